//! What the thread of a shard may ask of it: transports, requests, questions, and the other threads' messages.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::delivery::Action;
use hubgate_core::id::{ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ShardIndex};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{Ticket, Unanswered};
use hubgate_core::settings::Settings;
use hubgate_core::time::Millis;
use hubgate_core::{
    Addressees, CloseCause, Input, ListPart, ListedClients, Neighbours, NewClient, NewServerConnection, Nodes, Order,
    ResumedClient, Shard, ShardStatus, TransportKey,
};
use hubgate_plugin_host::{Authorization, AuthorizeCall, PluginStatus};
use tokio::sync::oneshot;

use super::ShardThread;
use super::asked::CoreAnswer;
use super::asp_net::AspNet;
use super::read_buffer::ReadBuffer;
use super::tokens::Tokens;
use crate::admission::{ClientPlace, Move};
use crate::client_log::ClientLog;
use crate::envelope::Envelope;
#[cfg(test)]
use crate::faults::Fault;
use crate::inbox::Farewell;
use crate::links::{ClientLink, Owner, WebSocket};
use crate::peers::Peers;
use crate::shared::Shared;
use crate::slow::SlowReason;
use crate::tasks::ShardTasks;
use crate::turns::{MESSAGES_PER_LOOK, Turns};

/// Messages of one hub server that are acted on before the time is looked at. One may be for many clients.
const SERVER_MESSAGES_PER_LOOK: usize = 4;

/// The way to the shard of this thread.
#[derive(Clone)]
pub(crate) struct ShardHandle(Rc<ShardThread>);

/// What it has for everybody.
impl ShardHandle {
    pub(super) fn new(shard: Rc<ShardThread>) -> ShardHandle {
        ShardHandle(shard)
    }

    pub(super) fn thread(&self) -> &Rc<ShardThread> {
        &self.0
    }

    pub(crate) fn index(&self) -> ShardIndex {
        self.0.index
    }

    pub(crate) fn neighbours(&self) -> Neighbours {
        self.0.peers.neighbours()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// What opens connections.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::new(self.clone())
    }

    /// Clients of ASP.NET SignalR.
    pub(crate) fn asp_net(&self) -> AspNet {
        AspNet::new(self.clone())
    }

    pub(crate) fn tasks(&self) -> &ShardTasks {
        &self.0.tasks
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    pub(crate) fn turns(&self) -> &Rc<Turns> {
        &self.0.turns
    }

    pub(crate) fn read_buffer(&self) -> &ReadBuffer {
        &self.0.read_buffer
    }

    /// Asks a plugin whether a request may become a client.
    pub(crate) fn authorize(&self, call: AuthorizeCall) -> impl Future<Output = Authorization> + use<> {
        self.0.plugins.authorize(call)
    }

    /// How all plugins are.
    pub(crate) fn plugin_statuses(&self) -> Vec<PluginStatus> {
        self.0.plugins.statuses()
    }
}

/// Transports.
impl ShardHandle {
    /// A client's transport is open. Its place is given up when its transport has dropped it and the core has forgotten the
    /// client, whichever comes last.
    pub(crate) fn client_opened(
        &self,
        client: NewClient,
        link: ClientLink,
        place: Rc<ClientPlace>,
    ) -> (TransportKey, ClientLog) {
        let log = ClientLog::opened(&client, self.0.shared.resource_log.as_ref());
        let transport = self.0.core.borrow().next_transport();
        self.0.connections.client_opened(client.id, transport, link, place, log.visitor());
        self.0.feed(Input::ClientOpened { transport, client: Box::new(client) });
        (transport, log)
    }

    /// Acts on some messages of a client, and takes them off the front of `bytes`; what is left when the client is not read is to come
    /// again. No bytes at all are a sign of life.
    pub(crate) fn client_data(&self, transport: TransportKey, bytes: &mut &[u8]) {
        #[cfg(test)]
        self.0.shared.faults.strike(Fault::Client);
        self.0.feed(Input::ClientData { transport, bytes, most: MESSAGES_PER_LOOK });
    }

    /// A client has come with a token by which its connection ends at `expiry`, if it does not end later by another one. `claims` are
    /// those of a token that is newer than all before.
    pub(crate) fn token_renewed(&self, transport: TransportKey, expiry: Millis, claims: Option<Pairs>) {
        self.0.feed(Input::TokenRenewed { transport, expiry, claims });
    }

    pub(crate) fn said_last_words(&self, transport: TransportKey) {
        self.0.feed(Input::SaidLastWords(transport));
    }

    /// What carries a client's transport ends soon, and the client with it.
    pub(crate) fn way_ends(&self, transport: TransportKey) {
        self.0.feed(Input::WayEnds(transport));
    }

    /// A client that lives goes on by another transport, which is open. `None` if it may no longer: it has ended since its request was
    /// [granted](Tokens::may_resume).
    pub(crate) fn client_resumed(
        &self,
        hub: HubName,
        client: ResumedClient,
        link: ClientLink,
        to: Move,
    ) -> Option<(TransportKey, Rc<ClientPlace>, ClientLog)> {
        let (core, connections) = (&self.0.core, &self.0.connections);
        let place = connections.place(client.id)?;
        let (id, transport) = (client.id, core.borrow().next_transport());
        let visitor = connections.visitor(id);
        connections.attach(transport, link);
        self.0.feed(Input::ClientResumed { transport, client });
        // Also for one whose end the same turn has brought, which it is to be told.
        let carries = core.borrow().carries(transport);
        if carries {
            connections.client_waits_no_more(id);
            place.move_to(to);
            return Some((transport, place, ClientLog::returned(hub, id, visitor)));
        }
        connections.client_gone(transport);
        None
    }

    /// A client's WebSocket has ended, by `cause` if the client has.
    pub(crate) fn transport_ended(&self, log: ClientLog, cause: CloseCause, slow: Option<SlowReason>) {
        let client = self.0.core.borrow().find(log.id());
        match client {
            None => log.ended(cause, slow),
            Some(client) => {
                log.outlived_its_transport(slow);
                if self.0.core.borrow().transport_of(client).is_none() {
                    self.0.connections.client_waits(log);
                }
            }
        }
    }

    pub(crate) fn client_gone(&self, transport: TransportKey, cause: CloseCause) {
        self.0.connections.client_gone(transport);
        self.0.feed(Input::ClientGone { transport, cause });
    }

    pub(crate) fn server_opened(&self, server: NewServerConnection, socket: Rc<WebSocket>) -> ServerConnectionId {
        let id = self.0.core.borrow().next_server();
        self.0.connections.server_opened(id, socket);
        self.0.feed(Input::ServerOpened { id, server });
        id
    }

    /// Acts on some messages of a hub server, and takes them off the front of `bytes`, as [`ShardHandle::client_data`] does.
    pub(crate) fn server_data(&self, id: ServerConnectionId, bytes: &mut &[u8]) {
        self.0.feed(Input::ServerData { id, bytes, most: SERVER_MESSAGES_PER_LOOK });
    }

    pub(crate) fn server_gone(&self, id: ServerConnectionId) {
        self.0.connections.server_gone(id);
        self.0.feed(Input::ServerGone(id));
    }

    pub(crate) fn server_congested(&self, id: ServerConnectionId, is_congested: bool) {
        let hub = self.0.core.borrow().hub_of_server(id);
        match (is_congested, hub) {
            (true, Some(hub)) => {
                tracing::warn!(%hub, "a hub server's connection is congested: its clients are not read meanwhile");
            }
            (false, Some(hub)) => tracing::info!(%hub, "a hub server's connection has caught up"),
            (_, None) => {}
        }
        self.0.feed(Input::ServerCongested { id, is_congested });
    }

    /// What is queued leaves at the end of the turn.
    pub(crate) fn flush_later(&self, socket: &Rc<WebSocket>) {
        self.0.writer.flush_later(socket);
    }

    /// The task of a WebSocket was dropped before the core has heard of its end.
    pub(crate) fn abandon(&self, owner: Owner) {
        self.0.abandoned.borrow_mut().push(owner);
    }

    /// The core hears of the end of those whose tasks have panicked.
    pub(crate) fn bury_abandoned(&self) {
        for owner in self.0.abandoned.take() {
            match owner {
                Owner::Client(transport, _) => self.client_gone(transport, CloseCause::InternalError),
                Owner::Server(id) => self.server_gone(id),
            }
        }
    }
}

/// Who asks or sends from outside of connections.
impl ShardHandle {
    /// Feeds the core what somebody wants, with a ticket for what comes of it, and waits for that.
    pub(crate) async fn ask<A: CoreAnswer>(
        &self,
        input: impl FnOnce(Ticket<A>) -> Input<'static, 'static>,
    ) -> Result<A, Unanswered> {
        let (asker, answered) = oneshot::channel();
        let waiting = self.0.asked.begin(asker);
        self.0.feed(input(waiting.ticket()));
        answered.await.unwrap_or(Err(Unanswered))
    }

    /// The same of what this shard answers at once, because it concerns no other one.
    pub(crate) fn ask_here<A: CoreAnswer>(
        &self,
        input: impl FnOnce(Ticket<A>) -> Input<'static, 'static>,
    ) -> Result<A, Unanswered> {
        let (asker, mut answered) = oneshot::channel();
        let waiting = self.0.asked.begin(asker);
        self.0.feed(input(waiting.ticket()));
        answered.try_recv().unwrap_or(Err(Unanswered))
    }

    /// A deadline for the core, which meets it when about this time has passed: it looks at deadlines once a tick.
    pub(crate) fn deadline(&self, within: Duration) -> Millis {
        self.0.now() + within.saturating_sub(Shard::tick_period().into()).into()
    }

    pub(crate) fn unwatch(&self, hub: HubName, plugin: PluginName, group: GroupName) {
        self.0.feed(Input::Unwatch { hub, plugin, group });
    }

    pub(crate) fn submit_by_filter(&self, hub: HubName, actions: Vec<Action>) {
        self.0.feed(Input::SubmitByFilter { hub, actions });
    }
}

/// Other threads.
impl ShardHandle {
    /// Obeys an order of another shard.
    pub(crate) fn obey(&self, Envelope { from, hub, order }: Envelope) {
        tracing::trace!(node = from.node.0, shard = from.shard.0, %hub, "an order of another shard");
        self.0.feed(Input::Order { from, hub, order });
    }

    /// Takes back orders that the shard they were for can obey no more.
    pub(crate) fn take_back(&self, ended: ShardIndex, orders: Vec<Order>) {
        let to = Addressees::One(self.neighbours().address_of(ended));
        orders.into_iter().for_each(|order| self.0.feed(Input::Undelivered { to: to.clone(), order }));
    }

    /// These other nodes are there from now on.
    pub(crate) fn set_nodes(&self, nodes: Arc<Nodes>) {
        self.0.peers.set_nodes(nodes.clone());
        self.0.feed(Input::Nodes(nodes));
    }

    /// Nothing that was begun with a node goes on.
    pub(crate) fn node_lost(&self, node: NodeId) {
        self.0.peers.node_lost(node);
        self.0.feed(Input::NodeLost(node));
    }

    pub(crate) fn hub_announced(&self, hub: HubName) {
        self.0.feed(Input::HubAnnounced(hub));
    }

    /// The gateway goes by this id from now on.
    pub(crate) fn set_node(&self, node: NodeId) {
        self.0.peers.set_node(node);
        self.0.feed(Input::Named(node));
    }

    pub(crate) fn status(&self) -> ShardStatus {
        self.0.core.borrow().status()
    }

    /// A part of a list of clients.
    pub(crate) fn list(&self, wanted: &ListedClients, from: usize, most: usize) -> ListPart {
        self.0.core.borrow().list(wanted, from, most)
    }

    /// What is queued for a client and has not left, in bytes.
    pub(crate) fn queued_bytes(&self, transport: TransportKey) -> usize {
        self.0.connections.link(transport).map_or(0, |link| link.queued_bytes())
    }

    /// The hub of a client that others see, if it is here.
    pub(crate) fn hub_of_client(&self, id: ConnectionId) -> Option<HubName> {
        let wanted = ListedClients { id: Some(id), ..ListedClients::default() };
        self.list(&wanted, 0, 1).clients.pop().map(|client| client.facts.hub.clone())
    }

    /// Goes on with these settings, those that are shared, and the plugins that the host has now.
    pub(crate) fn configure(&self, settings: Arc<Settings>) {
        self.0.plugins.refresh();
        self.0.connections.set_limits(&self.0.shared.settings().limits);
        self.0.feed(Input::Configure { settings, halves: self.0.plugins.halves() });
    }

    /// Follows the messages that somebody wants to be told of now.
    pub(crate) fn follow_messages(&self) {
        self.0.core.borrow_mut().follow_messages(self.0.shared.follower());
    }

    /// Asks clients and hub servers to leave: once, or again those that have come meanwhile.
    pub(crate) fn drain(&self, farewell: Farewell) {
        let pace = self.0.shared.settings().drain.closes;
        self.0.feed(match farewell {
            Farewell::Orderly => Input::Drain { per_second: pace },
            Farewell::AtOnce => Input::DrainNow,
        });
    }

    /// Whether no client and no hub server is connected, and nobody waits for an answer of the core.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It has become empty.
    pub(crate) async fn drained(&self) {
        self.0.is_drained.notified().await;
    }
}
