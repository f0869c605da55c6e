//! What plugins and REST callers ask of a hub and do to it, on all shards.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::delivery::{Action, Except, Target};
use hubgate_core::event::ConnectionFacts;
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, GroupName, HubName, UserId};
use hubgate_core::question::{
    AskError, CallerQuery, ClientAnswer, ClientQuestion, Facts, Joined, Members, Sought, Ticket, Unanswered,
};
use hubgate_core::refresh::{Refresh, RefreshRefusal};
use hubgate_core::stream::{StreamCommand, StreamReply};
use hubgate_core::time::Millis;
use hubgate_core::trace::TraceMark;
use hubgate_core::{Input, Outgoing};
use hubgate_plugin_host::ShardQuestion;
use tokio::time::timeout;

use crate::peers::ANSWER_TIMEOUT;
use crate::plugin_http::PluginHttp;
use crate::recipients::Recipients;
use crate::refusal::Refusal;
use crate::shard::{CoreAnswer, ShardHandle};

/// What a plugin has flushed is waited for as long as its call may take, but not for ever: a shard that has not done it by then
/// stands still, and has been found out.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers the plugins of one shard.
pub(crate) struct PluginQuestions {
    shard: ShardHandle,
    http: PluginHttp,
}

impl PluginQuestions {
    pub(crate) fn new(shard: ShardHandle) -> PluginQuestions {
        PluginQuestions { http: PluginHttp::new(shard.shared().clone()), shard }
    }

    /// Answers a plugin that waits, with what all shards know. One whose question has no answer is told so. What it has flushed it
    /// waits for as long as its call may take.
    pub(crate) async fn answer(self: Rc<Self>, question: ShardQuestion) {
        match question {
            ShardQuestion::Exists { hub, target, answer } => {
                if let Ok(exists) = HubAccess::new(&self.shard, &hub).exists(target).await {
                    let _ = answer.send(exists);
                }
            }
            ShardQuestion::Facts { hub, connection, answer } => {
                if let Ok(facts) = HubAccess::new(&self.shard, &hub).facts(connection).await {
                    let _ = answer.send(facts);
                }
            }
            ShardQuestion::Run { hub, origin, actions, mut done } => {
                tokio::select! {
                    () = self.run(&hub, origin, actions) => drop(done.send(())),
                    () = done.closed() => {}
                }
            }
            ShardQuestion::Count { hub, target, answer } => {
                if let Ok(count) = HubAccess::new(&self.shard, &hub).count(target).await {
                    let _ = answer.send(count);
                }
            }
            ShardQuestion::Members { hub, of, after, most, answer } => {
                if let Ok(members) = HubAccess::new(&self.shard, &hub).members(of, after, most).await {
                    let _ = answer.send(members);
                }
            }
            ShardQuestion::Watch { hub, plugin, group, answer } => {
                if let Ok(watched) = self.shard.ask(|ticket| Input::Watch { hub, plugin, group, ticket }).await {
                    let _ = answer.send(watched);
                }
            }
            ShardQuestion::Unwatch { hub, plugin, group, done } => {
                self.shard.unwatch(hub, plugin, group);
                let _ = done.send(());
            }
            ShardQuestion::Stream { hub, command, answer } => {
                if let Ok(reply) = HubAccess::new(&self.shard, &hub).do_to_stream(command).await {
                    let _ = answer.send(reply);
                }
            }
            ShardQuestion::Http(call) => self.http.serve(call).await,
            ShardQuestion::AskClient { hub, question, within, mut answer } => {
                let access = HubAccess::new(&self.shard, &hub);
                tokio::select! {
                    answered = access.answer_of_client(question, within) => {
                        if let Ok(answered) = answered {
                            let _ = answer.send(answered);
                        }
                    }
                    () = answer.closed() => {}
                }
            }
        }
    }

    async fn run(&self, hub: &HubName, origin: Option<Origin>, actions: Vec<Action>) {
        let name = hub.clone();
        match origin {
            Some(origin) => {
                self.shard.peers().may_read().await;
                let submit = |ticket| Input::Submit { hub: name, origin, actions, ticket };
                let _ = self.shard.ask(submit).await;
            }
            None => self.shard.submit_by_filter(name, actions),
        }
        let _ = HubAccess::new(&self.shard, hub).barrier(FLUSH_TIMEOUT).await;
    }
}

/// A hub on all shards, for whoever is not connected to it. Nobody waits for a shard that stands still.
pub(crate) struct HubAccess<'a> {
    shard: &'a ShardHandle,
    hub: &'a HubName,
    /// Of the request that what is sent comes from, if that is traced.
    mark: Option<TraceMark>,
}

impl<'a> HubAccess<'a> {
    pub(crate) fn new(shard: &'a ShardHandle, hub: &'a HubName) -> HubAccess<'a> {
        HubAccess { shard, hub, mark: None }
    }

    /// The same, for a request that is traced.
    pub(crate) fn traced(self, mark: Option<TraceMark>) -> HubAccess<'a> {
        HubAccess { mark, ..self }
    }

    /// Sends for a REST caller, in order. What one sender sends later arrives later: it is told that the first is done when nothing of it can
    /// be overtaken.
    pub(crate) async fn send(&self, actions: Vec<Action>) -> Result<(), Refusal> {
        self.run(actions).await?;
        match self.shard.peers().has_backlog() {
            true => self.wait_for_orders().await,
            false => Ok(()),
        }
    }

    /// The same; gives how many connections of all shards it has reached, after filters.
    pub(crate) async fn send_and_count(&self, to: Target, message: Outgoing, except: Except) -> Result<usize, Refusal> {
        let shared = self.shard.shared();
        let log = shared.message_log();
        let recipients = Recipients::of((&shared.telemetry, log), self.hub, &to, self.mark.as_ref());
        let message = message.counted(recipients.clone());
        self.change(Action::Send { to, message, except }).await?;
        Ok(recipients.count())
    }

    /// Changes memberships or ends connections for a REST caller; in effect on all shards when this returns.
    pub(crate) async fn change(&self, action: Action) -> Result<(), Refusal> {
        self.run(vec![action]).await?;
        self.wait_for_orders().await
    }

    /// Does what a REST caller asks, after the filters that look at what it sends.
    async fn run(&self, actions: Vec<Action>) -> Result<(), Refusal> {
        self.submit(Origin::Rest, actions).await
    }

    /// Does what somebody asks for who is no REST caller, in order.
    pub(crate) async fn submit(&self, origin: Origin, actions: Vec<Action>) -> Result<(), Refusal> {
        self.may_cause_more().await?;
        let hub = self.hub.clone();
        let mark = self.mark.clone();
        let submit = |ticket| {
            let submit = Input::Submit { hub, origin, actions, ticket };
            match mark {
                None => submit,
                Some(mark) => Input::Traced { mark, input: Box::new(submit) },
            }
        };
        self.shard.ask(submit).await.map_err(no_answer)
    }

    /// Puts a connection into a group, on the shard that it lives on.
    pub(crate) async fn join(&self, connection: ConnectionId, group: GroupName) -> Result<Joined, Refusal> {
        let hub = self.hub.clone();
        self.ask(|deadline, ticket| Input::Join { hub, connection, group, deadline, ticket }).await
    }

    /// Puts a user into a group; in effect on all shards when this returns.
    pub(crate) async fn join_user(
        &self,
        user: UserId,
        group: GroupName,
        ttl_seconds: Option<u32>,
    ) -> Result<(), Refusal> {
        self.may_cause_more().await?;
        let hub = self.hub.clone();
        let joined = self.shard.ask(|ticket| Input::JoinUser { hub, user, group, ttl_seconds, ticket }).await;
        joined.map_err(no_answer)?.map_err(Refusal::NoMembership)?;
        self.wait_for_orders().await
    }

    pub(crate) async fn has_user_in_group(&self, user: UserId, group: GroupName) -> Result<bool, Refusal> {
        self.query(|ticket| CallerQuery::Find(Sought::UserInGroup { user, group }, ticket)).await
    }

    pub(crate) async fn exists(&self, target: Target) -> Result<bool, Refusal> {
        self.query(|ticket| CallerQuery::Find(Sought::ConnectionOf(target), ticket)).await
    }

    /// How many connections the target has.
    async fn count(&self, target: Target) -> Result<u64, Refusal> {
        self.query(|ticket| CallerQuery::Count(target, ticket)).await
    }

    /// A page of the target's connections, in the order of their ids.
    pub(crate) async fn members(
        &self,
        of: Target,
        after: Option<ConnectionId>,
        most: usize,
    ) -> Result<Members, Refusal> {
        self.query(|ticket| CallerQuery::Members { of, after, most, ticket }).await
    }

    /// Lets a connection go on with other claims and another end, on the shard that it lives on. Gives what is known of it then.
    pub(crate) async fn refresh(&self, refresh: Refresh) -> Result<Arc<ConnectionFacts>, Refusal> {
        let (hub, refresh) = (self.hub.clone(), Box::new(refresh));
        let refreshed = self.ask(|deadline, ticket| Input::Refresh { hub, refresh, deadline, ticket }).await?;
        Ok(refreshed?)
    }

    /// What is known of the connection that a token has opened.
    pub(crate) async fn facts_by_token(&self, token: ConnectionId) -> Result<Arc<ConnectionFacts>, Refusal> {
        let facts = self.query(|ticket| CallerQuery::FactsByToken(token, ticket)).await?;
        Ok(facts.ok_or(RefreshRefusal::NoSuchConnection)?)
    }

    async fn facts(&self, connection: ConnectionId) -> Result<Facts, Refusal> {
        self.query(|ticket| CallerQuery::Facts(connection, ticket)).await
    }

    /// Does what a plugin wants of a client's stream, on the shard that the client lives on.
    async fn do_to_stream(&self, command: StreamCommand) -> Result<StreamReply, Refusal> {
        let hub = self.hub.clone();
        self.ask(|deadline, ticket| Input::Stream { hub, command, deadline, ticket }).await
    }

    /// Asks a client for a REST caller, and waits for its answer as long as said.
    pub(crate) async fn ask_client(&self, question: ClientQuestion, within: Duration) -> Result<ClientAnswer, Refusal> {
        self.answer_of_client(question, within).await.map_err(no_answer)
    }

    /// The core meets the deadline too, but only at its ticks.
    async fn answer_of_client(&self, question: ClientQuestion, within: Duration) -> Result<ClientAnswer, Unanswered> {
        let (hub, deadline) = (self.hub.clone(), self.shard.deadline(within));
        let asked = async {
            self.shard.peers().may_read().await;
            self.shard.ask(|ticket| Input::AskClient { hub, question, deadline, ticket }).await
        };
        timeout(within, asked).await.unwrap_or(Ok(Err(AskError::TimedOut)))
    }

    async fn query<A: CoreAnswer>(&self, query: impl FnOnce(Ticket<A>) -> CallerQuery) -> Result<A, Refusal> {
        let hub = self.hub.clone();
        self.ask(|deadline, ticket| Input::Ask { hub, query: query(ticket), deadline }).await
    }

    /// Asks all shards that know an answer.
    async fn ask<A: CoreAnswer>(
        &self,
        input: impl FnOnce(Millis, Ticket<A>) -> Input<'static, 'static>,
    ) -> Result<A, Refusal> {
        let deadline = self.shard.deadline(ANSWER_TIMEOUT);
        self.may_cause_more().await?;
        self.shard.ask(|ticket| input(deadline, ticket)).await.map_err(no_answer)
    }

    async fn may_cause_more(&self) -> Result<(), Refusal> {
        timeout(ANSWER_TIMEOUT, self.shard.peers().may_read()).await.map_err(|_| Refusal::NoAnswer)
    }

    async fn wait_for_orders(&self) -> Result<(), Refusal> {
        self.barrier(ANSWER_TIMEOUT).await.map_err(no_answer)
    }

    /// Until all that was ordered before is in effect on all shards.
    async fn barrier(&self, within: Duration) -> Result<(), Unanswered> {
        let (hub, deadline) = (self.hub.clone(), self.shard.deadline(within));
        self.shard.ask(|ticket| Input::Barrier { hub, deadline, ticket }).await
    }
}

fn no_answer(Unanswered: Unanswered) -> Refusal {
    Refusal::NoAnswer
}
