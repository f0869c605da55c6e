//! What plugins and REST callers ask of a hub, answered with what all shards know.

use std::future::poll_fn;
use std::rc::Rc;

use hubgate_core::delivery::{Action, Except, Target};
use hubgate_core::event::{HubAnswer, HubQuestion, Joined};
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, GroupName, HubName, ShardIndex, UserId};
use hubgate_core::{Input, MembershipRefusal, Outgoing};
use hubgate_plugin_host::ShardQuestion;
use tokio::sync::{mpsc, oneshot};

use crate::inbox::ShardMessage;
use crate::peers::Peer;
use crate::recipients::Recipients;
use crate::shard::ShardThread;

impl ShardThread {
    async fn ask_here(self: &Rc<Self>, hub: &HubName, question: HubQuestion) -> Option<HubAnswer> {
        let hub = hub.clone();
        self.ask_core(|ticket| Input::Ask { hub, question, ticket }).await
    }

    /// Does what a sender asks of a hub, behind the filters that look at what it sends.
    async fn run(self: &Rc<Self>, hub: &HubName, origin: Origin, actions: Vec<Action>) {
        poll_fn(|cx| self.poll_may_read(cx)).await;
        let hub = hub.clone();
        self.ask_core(|ticket| Input::Submit { hub, origin, actions, ticket }).await;
    }

    /// Answers a plugin that waits, with what all shards know.
    pub(crate) async fn answer(self: Rc<Self>, question: ShardQuestion) {
        let (hub, question, answer) = match question {
            ShardQuestion::Hub { hub, question, answer } => (hub, question, answer),
            ShardQuestion::Run { hub, origin, actions, done } => {
                match origin {
                    Some(origin) => self.run(&hub, origin, actions).await,
                    None => self.feed(Input::SubmitByFilter { hub, actions }),
                }
                self.wait_for_orders().await;
                let _ = done.send(());
                return;
            }
            ShardQuestion::Http(call) => return self.plugin_http.serve(call).await,
        };
        let answered = match question {
            HubQuestion::Exists(target) => HubAnswer::Exists(self.exists(&hub, target).await),
            HubQuestion::Facts(id) => {
                self.ask(id.shard(), &hub, HubQuestion::Facts(id)).await.unwrap_or(HubAnswer::Facts(None))
            }
            HubQuestion::UserInGroup { user, group } => HubAnswer::Exists(self.user_in_group(&hub, user, group).await),
            HubQuestion::Join { connection, group } => HubAnswer::Joined(self.join(&hub, connection, group).await),
            // Only hub servers ask these, and their shard asks the others itself.
            question @ (HubQuestion::Leave { .. } | HubQuestion::Members { .. } | HubQuestion::Barrier) => {
                return self.feed_for(answer, |ticket| Input::Ask { hub, question, ticket });
            }
        };
        drop(answer.send(answered));
    }

    /// Sends to a hub for a REST caller. What one sender sends later arrives later: it is told that the first is done when nothing of it can
    /// be overtaken.
    pub(crate) async fn send_to_hub(self: &Rc<Self>, hub: &HubName, action: Action) {
        self.run(hub, Origin::Rest, vec![action]).await;
        if self.peers.iter().any(|peer| !peer.waiting.borrow().is_empty()) {
            self.wait_for_orders().await;
        }
    }

    /// The same; gives how many connections of all shards it has reached, after filters.
    pub(crate) async fn send_and_count(
        self: &Rc<Self>,
        hub: &HubName,
        to: Target,
        message: Outgoing,
        except: Except,
    ) -> usize {
        let recipients = Recipients::of(hub, &to);
        let message = message.counted(recipients.clone());
        self.run(hub, Origin::Rest, vec![Action::Send { to, message, except }]).await;
        self.wait_for_orders().await;
        recipients.count()
    }

    /// Changes memberships or ends connections of a hub; in effect on all shards when this returns.
    pub(crate) async fn change(self: &Rc<Self>, hub: &HubName, action: Action) {
        self.run(hub, Origin::Rest, vec![action]).await;
        self.wait_for_orders().await;
    }

    /// Puts a connection into a group, on the shard that it lives on.
    pub(crate) async fn join(self: &Rc<Self>, hub: &HubName, connection: ConnectionId, group: GroupName) -> Joined {
        let question = HubQuestion::Join { connection, group };
        match self.ask(connection.shard(), hub, question).await {
            Some(HubAnswer::Joined(joined)) => joined,
            _ => Joined::NoSuchConnection,
        }
    }

    /// Puts a user into a group; in effect on all shards when this returns.
    pub(crate) async fn join_user(
        self: &Rc<Self>,
        hub: &HubName,
        user: UserId,
        group: GroupName,
        ttl_seconds: Option<u32>,
    ) -> Result<(), MembershipRefusal> {
        poll_fn(|cx| self.poll_may_read(cx)).await;
        let hub = hub.clone();
        let answer = self.ask_core(|ticket| Input::JoinUser { hub, user, group, ttl_seconds, ticket }).await;
        self.wait_for_orders().await;
        match answer {
            Some(HubAnswer::UserJoined(joined)) => joined,
            _ => Ok(()),
        }
    }

    pub(crate) async fn user_in_group(self: &Rc<Self>, hub: &HubName, user: UserId, group: GroupName) -> bool {
        self.is_true_anywhere(hub, || HubQuestion::UserInGroup { user: user.clone(), group: group.clone() }).await
    }

    pub(crate) async fn exists(self: &Rc<Self>, hub: &HubName, target: Target) -> bool {
        match target {
            Target::Connection(id) => {
                let answer = self.ask(id.shard(), hub, HubQuestion::Exists(target)).await;
                matches!(answer, Some(HubAnswer::Exists(true)))
            }
            target => self.is_true_anywhere(hub, || HubQuestion::Exists(target.clone())).await,
        }
    }

    /// Whether a shard, this one or another, says yes.
    async fn is_true_anywhere(self: &Rc<Self>, hub: &HubName, question: impl Fn() -> HubQuestion) -> bool {
        for shard in [self.index].into_iter().chain(self.other_shards()) {
            if let Some(HubAnswer::Exists(true)) = self.ask(shard, hub, question()).await {
                return true;
            }
        }
        false
    }

    async fn ask(self: &Rc<Self>, shard: ShardIndex, hub: &HubName, question: HubQuestion) -> Option<HubAnswer> {
        if shard == self.index {
            return self.ask_here(hub, question).await;
        }
        let peer = self.peers.get(usize::from(shard.0))?;
        let (answer, answered) = oneshot::channel();
        peer.inbox.send(ShardMessage::Question { hub: hub.clone(), question, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Until the other shards have obeyed all that was forwarded to them.
    async fn wait_for_orders(&self) {
        for shard in self.other_shards() {
            let peer = &self.peers[usize::from(shard.0)];
            let (answer, answered) = oneshot::channel();
            if let Err(mpsc::error::TrySendError::Full(barrier)) = self.send_behind(peer, ShardMessage::Barrier(answer))
            {
                drop(peer.inbox.send(barrier).await);
            }
            drop(answered.await);
        }
    }

    fn send_behind(&self, peer: &Peer, message: ShardMessage) -> Result<(), mpsc::error::TrySendError<ShardMessage>> {
        let mut waiting = peer.waiting.borrow_mut();
        match waiting.is_empty() {
            true => peer.inbox.try_send(message),
            false => {
                waiting.push(message);
                Ok(())
            }
        }
    }
}
