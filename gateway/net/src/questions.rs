//! What plugins and REST callers ask of a hub, answered with what all shards know.

use std::rc::Rc;

use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Except, Target};
use hubgate_core::event::{HubAnswer, HubQuestion, Joined};
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, GroupName, HubName, ShardIndex, UserId};
use hubgate_plugin_host::ShardQuestion;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::inbox::LocalMessage;
use crate::peers::ANSWER_TIMEOUT;
use crate::plugin_http::PluginHttp;
use crate::recipients::Recipients;
use crate::refusal::Refusal;
use crate::shard::ShardHandle;

/// Answers the plugins of one shard.
pub(crate) struct PluginQuestions {
    shard: ShardHandle,
    http: PluginHttp,
}

impl PluginQuestions {
    pub(crate) fn new(shard: ShardHandle) -> PluginQuestions {
        PluginQuestions { http: PluginHttp::new(shard.shared().clone()), shard }
    }

    /// Answers a plugin that waits, with what all shards know. What it has flushed it waits for as long as its call may take.
    pub(crate) async fn answer(self: Rc<Self>, question: ShardQuestion) {
        match question {
            ShardQuestion::Hub { hub, question, answer } => {
                // A plugin whose question has no answer is told so.
                if let Ok(answered) = self.answer_about(&hub, question).await {
                    drop(answer.send(answered));
                }
            }
            ShardQuestion::Run { hub, origin, actions, mut done } => {
                tokio::select! {
                    () = self.run(&hub, origin, actions) => drop(done.send(())),
                    () = done.closed() => {}
                }
            }
            ShardQuestion::Http(call) => self.http.serve(call).await,
        }
    }

    async fn answer_about(&self, hub: &HubName, question: HubQuestion) -> Result<HubAnswer, Refusal> {
        let access = HubAccess::new(&self.shard, hub);
        Ok(match question {
            HubQuestion::Exists(target) => HubAnswer::Exists(access.exists(target).await?),
            HubQuestion::Facts(id) => {
                let answer = access.ask(id.shard(), HubQuestion::Facts(id)).await?;
                answer.unwrap_or(HubAnswer::Facts(None))
            }
            HubQuestion::UserInGroup { user, group } => HubAnswer::Exists(access.has_user_in_group(user, group).await?),
            HubQuestion::Join { connection, group } => HubAnswer::Joined(access.join(connection, group).await?),
            // Only hub servers ask these, and their shard asks the others itself.
            question @ (HubQuestion::Leave { .. } | HubQuestion::Members { .. } | HubQuestion::Barrier) => {
                access.ask(self.shard.index(), question).await?.unwrap_or(HubAnswer::InEffect)
            }
        })
    }

    async fn run(&self, hub: &HubName, origin: Option<Origin>, actions: Vec<Action>) {
        match origin {
            Some(origin) => {
                self.shard.peers().may_read().await;
                let (asker, is_done) = oneshot::channel();
                self.shard.submit(hub.clone(), origin, actions, asker);
                drop(is_done.await);
            }
            None => self.shard.submit_by_filter(hub.clone(), actions),
        }
        self.shard.peers().orders_obeyed().await;
    }
}

/// A hub on all shards, for whoever is not connected to it. Nobody waits for a shard that stands still.
pub(crate) struct HubAccess<'a> {
    shard: &'a ShardHandle,
    hub: &'a HubName,
}

impl<'a> HubAccess<'a> {
    pub(crate) fn new(shard: &'a ShardHandle, hub: &'a HubName) -> HubAccess<'a> {
        HubAccess { shard, hub }
    }

    /// Sends for a REST caller. What one sender sends later arrives later: it is told that the first is done when nothing of it can
    /// be overtaken.
    pub(crate) async fn send(&self, action: Action) -> Result<(), Refusal> {
        self.run(action).await?;
        match self.shard.peers().has_backlog() {
            true => self.wait_for_orders().await,
            false => Ok(()),
        }
    }

    /// The same; gives how many connections of all shards it has reached, after filters.
    pub(crate) async fn send_and_count(&self, to: Target, message: Outgoing, except: Except) -> Result<usize, Refusal> {
        let recipients = Recipients::of(self.hub, &to);
        let message = message.counted(recipients.clone());
        self.change(Action::Send { to, message, except }).await?;
        Ok(recipients.count())
    }

    /// Changes memberships or ends connections for a REST caller; in effect on all shards when this returns.
    pub(crate) async fn change(&self, action: Action) -> Result<(), Refusal> {
        self.run(action).await?;
        self.wait_for_orders().await
    }

    /// Does what a REST caller asks, after the filters that look at what it sends.
    async fn run(&self, action: Action) -> Result<(), Refusal> {
        self.may_cause_more().await?;
        let (asker, is_done) = oneshot::channel();
        self.shard.submit(self.hub.clone(), Origin::Rest, vec![action], asker);
        drop(is_done.await);
        Ok(())
    }

    /// Puts a connection into a group, on the shard that it lives on.
    pub(crate) async fn join(&self, connection: ConnectionId, group: GroupName) -> Result<Joined, Refusal> {
        Ok(match self.ask(connection.shard(), HubQuestion::Join { connection, group }).await? {
            Some(HubAnswer::Joined(joined)) => joined,
            _ => Joined::NoSuchConnection,
        })
    }

    /// Puts a user into a group; in effect on all shards when this returns.
    pub(crate) async fn join_user(
        &self,
        user: UserId,
        group: GroupName,
        ttl_seconds: Option<u32>,
    ) -> Result<(), Refusal> {
        self.may_cause_more().await?;
        let (asker, answered) = oneshot::channel();
        self.shard.join_user(self.hub.clone(), (user, group), ttl_seconds, asker);
        let answer = answered.await;
        self.wait_for_orders().await?;
        match answer {
            Ok(HubAnswer::UserJoined(joined)) => joined.map_err(Refusal::NoMembership),
            _ => Ok(()),
        }
    }

    pub(crate) async fn has_user_in_group(&self, user: UserId, group: GroupName) -> Result<bool, Refusal> {
        self.is_true_anywhere(|| HubQuestion::UserInGroup { user: user.clone(), group: group.clone() }).await
    }

    pub(crate) async fn exists(&self, target: Target) -> Result<bool, Refusal> {
        match target {
            Target::Connection(id) => {
                let answer = self.ask(id.shard(), HubQuestion::Exists(target)).await?;
                Ok(matches!(answer, Some(HubAnswer::Exists(true))))
            }
            target => self.is_true_anywhere(|| HubQuestion::Exists(target.clone())).await,
        }
    }

    /// Whether a shard, this one or another, says yes. A yes counts although another shard does not answer.
    async fn is_true_anywhere(&self, question: impl Fn() -> HubQuestion) -> Result<bool, Refusal> {
        let mut unanswered = Ok(false);
        for shard in std::iter::once(self.shard.index()).chain(self.shard.peers().others()) {
            match self.ask(shard, question()).await {
                Ok(Some(HubAnswer::Exists(true))) => return Ok(true),
                Ok(_) => {}
                Err(refusal) => unanswered = Err(refusal),
            }
        }
        unanswered
    }

    /// Asks one shard, this one or another; `None` if there is no such shard, or it has ended.
    async fn ask(&self, shard: ShardIndex, question: HubQuestion) -> Result<Option<HubAnswer>, Refusal> {
        let hub = self.hub.clone();
        if shard == self.shard.index() {
            let (asker, answered) = oneshot::channel();
            self.shard.answer(hub, question, asker);
            return Ok(answered.await.ok());
        }
        let ask = |answer| LocalMessage::Question { hub, question, answer };
        self.shard.peers().ask(shard, ANSWER_TIMEOUT, ask).await
    }

    async fn may_cause_more(&self) -> Result<(), Refusal> {
        timeout(ANSWER_TIMEOUT, self.shard.peers().may_read()).await.map_err(|_| Refusal::NoAnswer)
    }

    async fn wait_for_orders(&self) -> Result<(), Refusal> {
        timeout(ANSWER_TIMEOUT, self.shard.peers().orders_obeyed()).await.map_err(|_| Refusal::NoAnswer)
    }
}
