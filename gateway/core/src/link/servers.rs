//! The connections of hub servers: what of them is read, what is sent to them, and how long they live.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`), and what version 1.34 of it does.

use std::collections::BTreeMap;

use bytes::BytesMut;
use foldhash::fast::FixedState;
use hubgate_wire::service::{self, CloseConnection, Extensions, ServiceEvent, ServiceMessage};
use indexmap::IndexMap;

use crate::client::Clients;
use crate::client::read_holds::{Hold, ReadHolds};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::filter::Origin;
use crate::id::{ConnectionId, HubIndex, HubName, NodeId, ServerConnectionId, ServerId, ShardAddress};
use crate::neighbours::Location;
use crate::order::{Addressees, Order, ServerOrder};
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// A hub server gives a connection up after 30 seconds without data, and sends its own pings only as an answer to data. So it
/// must get something at least every 5 seconds.
const PING_PERIOD: Millis = Millis(4_500);
/// A hub server that says nothing for so long is gone. WebSocket pongs do not count.
const SERVER_TIMEOUT: Millis = Millis(30_000);
/// Acks of one connection that wait for other shards, in number. It is not read beyond it, until half of them are left.
const MAX_PENDING_ACKS: usize = 1_000;

#[derive(Debug)]
pub(super) struct ServerConnection {
    hub: HubIndex,
    server: ServerId,
    phase: ServerPhase,
    /// The beginning of a message whose end has not come.
    unread: BytesMut,
    /// Whether filters look at what it sends; its next messages wait meanwhile.
    is_inspected: bool,
    /// Why it is not read. Its silence is not held against it meanwhile.
    holds: ReadHolds,
    /// Its acks that wait for other shards, in number.
    pending_acks: usize,
    last_heard: Millis,
    next_ping: Millis,
    /// Whether the log has heard of a message that was not understood, and of one that was too long.
    has_logged_unknown_message: bool,
    has_logged_long_message: bool,
    /// Whether it was told that the gateway stops.
    drain_announced: bool,
    /// Since when its clients on other nodes are to go to other servers, because the gateway stops.
    guests_leave_since: Option<Millis>,
    /// Its clients on other nodes, which cannot say their end when their node is lost, and where they live there.
    guests: BTreeMap<ConnectionId, ShardAddress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerPhase {
    Handshaking { deadline: Millis },
    Open(ServerKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerKind {
    /// Clients are routed to it.
    Hub { migration: Migration },
    /// It only sends.
    Weak,
}

/// Why a message has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skipped {
    /// Nobody knows what it means.
    Unknown,
    /// It is longer than `server.limits.server-message`.
    Oversized,
}

/// When clients of a hub server's connection may be moved to another server (`migrationLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Migration {
    Never,
    WhenItLeaves,
    WhenItIsLost,
}

/// The hub servers that are connected to a shard.
#[derive(Debug, Default)]
pub(super) struct Servers {
    connections: IndexMap<ServerConnectionId, ServerConnection, FixedState>,
    next: u32,
    /// Those that are not read because too many of their acks wait, in number.
    crowded: usize,
}

impl Servers {
    /// The number of the connection that opens next.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// A hub server's transport is open.
    pub(super) fn open(&mut self, turn: &Turn<'_>, id: ServerConnectionId, hub: HubIndex, server: ServerId) {
        assert_eq!(id.number, self.next, "a hub server opens with the number that was next");
        self.next = id.number + 1;
        let connection = ServerConnection {
            hub,
            server,
            phase: ServerPhase::Handshaking { deadline: turn.now + turn.settings.timeouts.handshake },
            unread: BytesMut::new(),
            is_inspected: false,
            holds: ReadHolds::default(),
            pending_acks: 0,
            last_heard: turn.now,
            next_ping: turn.now + PING_PERIOD,
            has_logged_unknown_message: false,
            has_logged_long_message: false,
            drain_announced: false,
            guests_leave_since: None,
            guests: BTreeMap::new(),
        };
        self.connections.insert(id, connection);
    }

    /// A hub server's transport is gone.
    pub(super) fn remove(&mut self, id: ServerConnectionId) -> Option<ServerConnection> {
        let server = self.connections.swap_remove(&id)?;
        self.crowded -= usize::from(server.holds.has(Hold::Acks));
        Some(server)
    }

    #[inline]
    pub(super) fn get(&self, id: ServerConnectionId) -> Option<&ServerConnection> {
        self.connections.get(&id)
    }

    pub(super) fn hub(&self, id: ServerConnectionId) -> Option<HubIndex> {
        self.get(id).map(|server| server.hub)
    }

    pub(super) fn all(&self) -> Vec<ServerConnectionId> {
        self.connections.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ServerConnectionId, &ServerConnection)> {
        self.connections.iter().map(|(id, server)| (*id, server))
    }

    /// A hub server's handshake is answered.
    pub(super) fn let_in(&mut self, id: ServerConnectionId, kind: ServerKind) {
        if let Some(server) = self.connections.get_mut(&id) {
            server.phase = ServerPhase::Open(kind);
        }
    }

    /// Something came from a hub server. Completes the message whose beginning is unread; gives whether there is one.
    pub(super) fn was_heard(&mut self, id: ServerConnectionId, bytes: &mut &[u8], now: Millis) -> bool {
        let Some(server) = self.connections.get_mut(&id) else {
            *bytes = &[];
            return false;
        };
        server.last_heard = now;
        let had_unread = !server.unread.is_empty();
        if had_unread {
            server.complete_message(bytes);
        }
        had_unread
    }

    pub(super) fn has_unread(&self, id: ServerConnectionId) -> bool {
        self.get(id).is_none_or(|server| !server.unread.is_empty())
    }

    pub(super) fn take_unread(&mut self, id: ServerConnectionId) -> BytesMut {
        self.connections.get_mut(&id).map(|server| std::mem::take(&mut server.unread)).unwrap_or_default()
    }

    pub(super) fn put_unread(&mut self, id: ServerConnectionId, unread: BytesMut) {
        if let Some(server) = self.connections.get_mut(&id)
            && !unread.is_empty()
        {
            server.unread = unread;
        }
    }

    pub(super) fn add_unread(&mut self, id: ServerConnectionId, bytes: &[u8]) {
        if let Some(server) = self.connections.get_mut(&id) {
            server.unread.extend_from_slice(bytes);
        }
    }

    /// Whether some are not read because too many of their acks wait.
    #[inline]
    pub(super) fn is_any_crowded(&self) -> bool {
        self.crowded > 0
    }

    /// Whether the next message of a hub server may be parsed.
    pub(super) fn is_parsing(&self, id: ServerConnectionId) -> bool {
        self.get(id).is_some_and(ServerConnection::is_parsing)
    }

    /// Filters look at what a hub server sends, or have done so.
    pub(super) fn set_inspected(&mut self, id: ServerConnectionId, is_inspected: bool) {
        if let Some(server) = self.connections.get_mut(&id) {
            server.is_inspected = is_inspected;
        }
    }

    /// Reads no more of a hub server until the hold is released.
    pub(super) fn hold(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId, hold: Hold) {
        if let Some(server) = self.connections.get_mut(&id)
            && server.holds.add(hold)
        {
            turn.effect(Effect::PauseServer(id));
        }
    }

    /// Reads a hub server again, and goes on with what is unread, unless something else holds it.
    pub(super) fn release_hold(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId, hold: Hold) {
        let Some(server) = self.connections.get_mut(&id) else {
            return;
        };
        server.last_heard = turn.now;
        if server.holds.remove(hold) {
            turn.effect(Effect::ResumeServer(id));
        }
        turn.then(Step::ReadServer(id));
    }

    /// One more ack of a hub server waits for other shards.
    pub(super) fn ack_waits(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        let Some(server) = self.connections.get_mut(&id) else {
            return;
        };
        server.pending_acks += 1;
        if server.pending_acks >= MAX_PENDING_ACKS && !server.holds.has(Hold::Acks) {
            self.crowded += 1;
            self.hold(turn, id, Hold::Acks);
        }
    }

    /// One less does.
    pub(super) fn ack_ended(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        let Some(server) = self.connections.get_mut(&id) else {
            return;
        };
        server.pending_acks -= 1;
        if server.pending_acks <= MAX_PENDING_ACKS / 2 && server.holds.has(Hold::Acks) {
            self.crowded -= 1;
            self.release_hold(turn, id, Hold::Acks);
        }
    }

    /// Pings those that are due; gives those that are not heard any longer, and why they end.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) -> Vec<(ServerConnectionId, &'static str)> {
        let (mut ended, now) = (Vec::new(), turn.now);
        for (id, server) in &mut self.connections {
            match server.phase {
                ServerPhase::Handshaking { deadline } if now >= deadline => ended.push((*id, "no handshake came")),
                ServerPhase::Handshaking { .. } => {}
                ServerPhase::Open(_) if server.is_silent(now) => ended.push((*id, "nothing came for 30 seconds")),
                ServerPhase::Open(_) if now >= server.next_ping => {
                    server.next_ping = now + PING_PERIOD;
                    turn.effect(Effect::ToServer { to: *id, messages: written(&ServiceMessage::Ping(Vec::new())) });
                }
                ServerPhase::Open(_) => {}
            }
        }
        ended
    }

    /// Tells a hub server once that the gateway stops.
    pub(super) fn announce_drain(&mut self, turn: &mut Turn<'_>, id: ServerConnectionId) {
        const SERVER_CONNECTION: i64 = 4;
        const RELOADING: i64 = 0;
        if let Some(server) = self.connections.get_mut(&id)
            && !std::mem::replace(&mut server.drain_announced, true)
        {
            let event = ServiceEvent {
                object_type: SERVER_CONNECTION,
                kind: RELOADING,
                message: "The gateway stops.",
                ..ServiceEvent::default()
            };
            self.send(turn, id, &ServiceMessage::ServiceEvent(event));
        }
    }

    /// The clients of a connection on other nodes are to go to other servers from now on.
    pub(super) fn let_guests_leave(&mut self, turn: &Turn<'_>, id: ServerConnectionId) {
        if let Some(server) = self.connections.get_mut(&id) {
            server.guests_leave_since = Some(turn.now);
        }
    }

    /// A message has no effect, because nobody knows what it means.
    pub(super) fn skip_message(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        id: ServerConnectionId,
        what: &str,
    ) {
        self.skip(clients, turn, id, Skipped::Unknown, what);
    }

    /// A message has no effect, which counts, and which the log hears of once for each connection and reason.
    pub(super) fn skip(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        id: ServerConnectionId,
        why: Skipped,
        what: &str,
    ) {
        let Some(server) = self.connections.get_mut(&id) else {
            return;
        };
        let has_logged = match why {
            Skipped::Unknown => &mut server.has_logged_unknown_message,
            Skipped::Oversized => &mut server.has_logged_long_message,
        };
        let has_logged = std::mem::replace(has_logged, true);
        let hub = clients.hub_mut(server.hub);
        hub.counters.server_messages_skipped += 1;
        if !has_logged {
            turn.effect(Effect::ServerMessageSkipped { hub: hub.name.clone(), what: what.to_owned() });
        }
    }

    /// Sends to a hub server on this shard.
    pub(super) fn send(&self, turn: &mut Turn<'_>, to: ServerConnectionId, message: &ServiceMessage<'_>) {
        if self.connections.contains_key(&to) {
            turn.effect(Effect::ToServer { to, messages: written(message) });
        }
    }

    /// Sends messages to a hub server, on whatever shard it is.
    pub(super) fn pass(&self, turn: &mut Turn<'_>, hub: &HubName, to: ServerConnectionId, messages: Vec<u8>) {
        match turn.locate(to.owner) {
            Location::Here => self.hand_over(turn, to, messages),
            Location::OtherShard(_) | Location::OtherNode => {
                let order = ServerOrder::Pass { to, messages: messages.into() };
                turn.forward(Addressees::One(to.owner), hub, Order::Server(order));
            }
            Location::Nowhere => {}
        }
    }

    fn hand_over(&self, turn: &mut Turn<'_>, to: ServerConnectionId, messages: Vec<u8>) {
        if self.connections.contains_key(&to) {
            turn.effect(Effect::ToServer { to, messages });
        }
    }

    /// Sends a hub server, on whatever shard it is, messages with which it gets a client.
    pub(super) fn open_client(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        to: ServerConnectionId,
        (client, lives_at): (ConnectionId, ShardAddress),
        messages: Vec<u8>,
    ) {
        match turn.locate(to.owner) {
            Location::Here => {
                if let Some(server) = self.connections.get_mut(&to)
                    && lives_at.node != turn.here().node
                {
                    server.guests.insert(client, lives_at);
                }
                self.hand_over(turn, to, messages);
            }
            Location::OtherShard(_) | Location::OtherNode => {
                let order = ServerOrder::Opens { to, client, messages: messages.into() };
                turn.forward(Addressees::One(to.owner), hub, Order::Server(order));
            }
            Location::Nowhere => {}
        }
    }

    /// The same with which it loses one.
    pub(super) fn end_client(
        &mut self,
        turn: &mut Turn<'_>,
        hub: &HubName,
        to: ServerConnectionId,
        client: ConnectionId,
        messages: Vec<u8>,
    ) {
        match turn.locate(to.owner) {
            Location::Here => {
                self.guest_ends(to, client);
                self.hand_over(turn, to, messages);
            }
            Location::OtherShard(_) | Location::OtherNode => {
                let order = ServerOrder::Ends { to, client, messages: messages.into() };
                turn.forward(Addressees::One(to.owner), hub, Order::Server(order));
            }
            Location::Nowhere => {}
        }
    }

    /// Whether a client of another node is a hub server's own.
    pub(super) fn is_guest(&self, of: ServerConnectionId, client: ConnectionId) -> bool {
        self.connections.get(&of).is_some_and(|server| server.guests.contains_key(&client))
    }

    /// The shard that a client lives on, which may be a hub server's own.
    pub(super) fn shard_of(&self, turn: &Turn<'_>, of: ServerConnectionId, client: ConnectionId) -> ShardAddress {
        if turn.neighbours.nodes().is_empty() {
            return turn.shard_of(client);
        }
        let guest = self.connections.get(&of).and_then(|server| server.guests.get(&client));
        guest.copied().unwrap_or_else(|| turn.shard_of(client))
    }

    /// A client is no longer the server's, if it was one of another node.
    pub(super) fn guest_ends(&mut self, of: ServerConnectionId, client: ConnectionId) {
        if let Some(server) = self.connections.get_mut(&of) {
            server.guests.remove(&client);
        }
    }

    /// A node is gone, and its clients with it: their servers are told.
    pub(super) fn lose_guests_of(&mut self, turn: &mut Turn<'_>, node: NodeId) {
        for (id, server) in &mut self.connections {
            for (client, _) in server.guests.extract_if(.., |_, lives_at| lives_at.node == node) {
                let error = Some(CloseCause::TransportLost.name());
                let close = CloseConnection { connection_id: client.as_str(), error, ..CloseConnection::default() };
                turn.effect(Effect::ToServer { to: *id, messages: written(&ServiceMessage::CloseConnection(close)) });
            }
        }
    }
}

impl ServerConnection {
    pub(super) fn hub(&self) -> HubIndex {
        self.hub
    }

    pub(super) fn server(&self) -> &ServerId {
        &self.server
    }

    pub(super) fn phase(&self) -> ServerPhase {
        self.phase
    }

    /// Since when its clients on other nodes are to go to other servers, if they are.
    pub(super) fn guests_leave_since(&self) -> Option<Millis> {
        self.guests_leave_since
    }

    /// Whether clients are routed to it.
    pub(super) fn takes_clients(&self) -> bool {
        matches!(self.phase, ServerPhase::Open(ServerKind::Hub { .. }))
    }

    /// As whom filters know it.
    pub(super) fn origin(&self) -> Origin {
        match self.phase {
            ServerPhase::Open(ServerKind::Weak) => Origin::Management,
            ServerPhase::Open(ServerKind::Hub { .. }) | ServerPhase::Handshaking { .. } => {
                Origin::HubServer(self.server.clone())
            }
        }
    }

    /// Moves so much off the front of `bytes` as makes the message whole whose beginning is unread.
    fn complete_message(&mut self, bytes: &mut &[u8]) {
        while !bytes.is_empty() {
            let missing = match service::length_prefix(&self.unread) {
                Ok(Some((length, prefix))) => (prefix + length).saturating_sub(self.unread.len()),
                Ok(None) => 1,
                // It is refused, whatever follows.
                Err(service::TooLong) => 0,
            };
            if missing == 0 {
                return;
            }
            let (next, rest) = bytes.split_at(missing.min(bytes.len()));
            self.unread.extend_from_slice(next);
            *bytes = rest;
        }
    }

    /// Whether its next message may be parsed.
    fn is_parsing(&self) -> bool {
        !self.is_inspected && self.holds.is_empty()
    }

    /// Whether nothing came for too long; not while the transport is not asked for more.
    fn is_silent(&self, now: Millis) -> bool {
        self.holds.is_empty() && now - self.last_heard >= SERVER_TIMEOUT
    }
}

/// One message with its length.
pub(crate) fn written(message: &ServiceMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    service::write(message, &mut bytes);
    bytes
}

/// What names a hub protocol in a message.
pub(crate) fn protocol_extension(name: &str) -> Extensions<'_> {
    Extensions { protocol: Some(name), ..Extensions::default() }
}
