//! The connections of hub servers: their handshake, their pings, their end.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`), and what version 1.34 of it does.

use bytes::{Buf, BytesMut};
use hubgate_wire::service::{self, Ack, Extensions, MalformedMessage, ServiceError, ServiceEvent, ServiceMessage};

use crate::client_connection::HubIndex;
use crate::delivery::Action;
use crate::effect::{Effect, Order, Shards};
use crate::filter::{Direction, Origin};
use crate::id::{ConnectionId, HubName, ServerConnectionId, ServerId, UserId};
use crate::outbound::Then;
use crate::questions::{AckStatus, Page};
use crate::read_holds::{Hold, ReadHolds};
use crate::server_handshake::not_for_hub_servers;
use crate::server_order::{Leaving, ServerOrder};
use crate::shard::Shard;
use crate::time::Millis;

/// A hub server gives a connection up after 30 seconds without data, and sends its own pings only as an answer to data. So it
/// must get something at least every 5 seconds.
const PING_PERIOD: Millis = Millis(4_500);
/// A hub server that says nothing for so long is gone. WebSocket pongs do not count.
const SERVER_TIMEOUT: Millis = Millis(30_000);
/// Acks of one connection that wait for other shards, in number. It is not read beyond it, until half of them are left.
const MAX_PENDING_ACKS: usize = 1_000;
/// 100-nanosecond ticks in a millisecond, as .NET counts time.
const TICKS: u64 = 10_000;

/// A hub server whose transport opens.
#[derive(Debug)]
pub struct NewServerConnection {
    pub hub: HubName,
    /// The header `X-ASRS-Server-Id`: one value per process.
    pub server: ServerId,
}

#[derive(Debug)]
pub(crate) struct ServerConnection {
    pub(crate) hub: HubIndex,
    pub(crate) server: ServerId,
    pub(crate) phase: ServerPhase,
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
    /// Whether the log has heard of a message that was not understood.
    has_puzzled: bool,
    /// Whether it was told that the gateway stops.
    knows_of_stop: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerPhase {
    Handshaking { deadline: Millis },
    Open(ServerKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// Clients are routed to it.
    Hub { migration: Migration },
    /// It only sends.
    Weak,
}

/// When clients of a hub server's connection may be moved to another server (`migrationLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Migration {
    Never,
    WhenItLeaves,
    WhenItIsLost,
}

impl Shard {
    /// A hub server's transport is open; its handshake request comes next.
    pub(crate) fn server_opened(&mut self, id: ServerConnectionId, server: NewServerConnection, now: Millis) {
        let NewServerConnection { hub, server } = server;
        self.next_server = id.number + 1;
        let index = self.occupy_hub(&hub);
        self.hub_mut(index).server_connections += 1;
        let connection = ServerConnection {
            hub: index,
            server,
            phase: ServerPhase::Handshaking { deadline: now + self.settings.timeouts.handshake },
            unread: BytesMut::new(),
            is_inspected: false,
            holds: ReadHolds::default(),
            pending_acks: 0,
            last_heard: now,
            next_ping: now + PING_PERIOD,
            has_puzzled: false,
            knows_of_stop: false,
        };
        self.servers.insert(id, connection);
    }

    /// Bytes came from a hub server: the content of its WebSocket messages, cut anywhere. Takes `most` messages off the front of
    /// `bytes`, or all of it if it holds no more. What is left is to come again, once the server is read.
    pub(crate) fn server_data(
        &mut self,
        id: ServerConnectionId,
        bytes: &mut &[u8],
        most: usize,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(server) = self.servers.get_mut(&id) else {
            *bytes = &[];
            return;
        };
        server.last_heard = now;
        let mut left = most;
        if !server.unread.is_empty() {
            server.complete_message(bytes);
            self.read_on(id, now, effects);
            left = left.saturating_sub(1);
        }
        if self.servers.get(&id).is_some_and(|server| server.unread.is_empty()) {
            self.server_messages(id, bytes, &mut left, now, effects);
            if left == 0 {
                return;
            }
        }
        if let Some(server) = self.servers.get_mut(&id) {
            server.unread.extend_from_slice(bytes);
        }
        *bytes = &[];
    }

    /// Goes on with what is unread.
    fn read_on(&mut self, id: ServerConnectionId, now: Millis, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let mut unread = std::mem::take(&mut server.unread);
        let mut input = &unread[..];
        self.server_messages(id, &mut input, &mut { usize::MAX }, now, effects);
        let read = unread.len() - input.len();
        unread.advance(read);
        if let Some(server) = self.servers.get_mut(&id)
            && !unread.is_empty()
        {
            server.unread = unread;
        }
    }

    /// The messages that `input` begins with, `most` of them and up to one that takes a while.
    fn server_messages(
        &mut self,
        id: ServerConnectionId,
        input: &mut &[u8],
        most: &mut usize,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let limit = self.settings.limits.server_message;
        while *most > 0
            && ((!self.inspections.is_any() && self.crowded_servers == 0)
                || self.servers.get(&id).is_some_and(ServerConnection::is_parsing))
        {
            let split = match service::length_prefix(input) {
                Ok(Some((length, _))) if length > limit => Err(service::TooLong),
                Ok(_) | Err(service::TooLong) => service::split_message(input),
            };
            match split {
                Ok(Some(body)) => {
                    *most -= 1;
                    self.server_body(id, body, now, effects);
                }
                Ok(None) => return,
                Err(service::TooLong) => {
                    let detail =
                        format!("a message is longer than the {limit} bytes of `server.limits.server-message`");
                    return self.end_server(id, detail, now, effects);
                }
            }
        }
    }

    /// Sends for a hub server, whose next messages wait meanwhile if filters look at it.
    pub(crate) fn send_for_server(
        &mut self,
        id: ServerConnectionId,
        actions: Vec<Action>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let hub = server.hub;
        if !self.hubs[hub].filters.look_at(Direction::Outbound) {
            return self.act_all(hub, actions, now, effects);
        }
        let origin = server.origin();
        server.is_inspected = true;
        self.send_actions(hub, origin, actions, Then::Read(id), now, effects);
    }

    pub(crate) fn sending_waits(&mut self, id: ServerConnectionId, effects: &mut Vec<Effect>) {
        self.hold_server(id, Hold::Inspection, effects);
    }

    pub(crate) fn sending_ended(&mut self, id: ServerConnectionId, now: Millis, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        server.is_inspected = false;
        self.release_server_hold(id, Hold::Inspection, now, effects);
    }

    /// Reads no more of a hub server until the hold is released.
    fn hold_server(&mut self, id: ServerConnectionId, hold: Hold, effects: &mut Vec<Effect>) {
        if let Some(server) = self.servers.get_mut(&id)
            && server.holds.add(hold)
        {
            effects.push(Effect::PauseServer(id));
        }
    }

    /// Reads a hub server again, and goes on with what is unread, unless something else holds it.
    fn release_server_hold(&mut self, id: ServerConnectionId, hold: Hold, now: Millis, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        server.last_heard = now;
        if server.holds.remove(hold) {
            effects.push(Effect::ResumeServer(id));
        }
        self.read_on(id, now, effects);
    }

    /// One more ack of a hub server waits for other shards.
    pub(crate) fn ack_waits(&mut self, id: ServerConnectionId, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        server.pending_acks += 1;
        if server.pending_acks >= MAX_PENDING_ACKS && !server.holds.has(Hold::Acks) {
            self.crowded_servers += 1;
            self.hold_server(id, Hold::Acks, effects);
        }
    }

    /// One less does.
    pub(crate) fn ack_ended(&mut self, id: ServerConnectionId, now: Millis, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        server.pending_acks -= 1;
        if server.pending_acks <= MAX_PENDING_ACKS / 2 && server.holds.has(Hold::Acks) {
            self.crowded_servers -= 1;
            self.release_server_hold(id, Hold::Acks, now, effects);
        }
    }

    /// A hub server's transport is gone; nothing is sent to `id` from now on.
    pub(crate) fn server_gone(&mut self, id: ServerConnectionId, now: Millis, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.swap_remove(&id) else {
            return;
        };
        if server.holds.has(Hold::Acks) {
            self.crowded_servers -= 1;
        }
        self.hub(server.hub).presence.servers.disconnected(id);
        if let ServerPhase::Open(ServerKind::Hub { migration }) = server.phase {
            let leaving = Leaving::Lost { moves: migration == Migration::WhenItIsLost };
            self.order_about_server(server.hub, ServerOrder::Leaves { server: id, leaving }, now, effects);
        }
        self.hub_mut(server.hub).server_connections -= 1;
        self.hubs.vacate(server.hub);
    }

    /// A hub server reads too slowly for what its clients say, or has caught up.
    pub(crate) fn server_congested(
        &mut self,
        id: ServerConnectionId,
        is_congested: bool,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(hub) = self.server_hub(id) {
            // Clients that are routed to it from now on read this; the others are told.
            self.hub(hub).presence.servers.congested(id, is_congested);
            self.order_about_server(hub, ServerOrder::Congested { server: id, is_congested }, now, effects);
        }
    }

    /// Meets the deadlines of hub servers.
    pub(crate) fn tick_servers(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let mut ended = Vec::new();
        for (id, server) in &mut self.servers {
            match server.phase {
                ServerPhase::Handshaking { deadline } if now >= deadline => ended.push((*id, "no handshake came")),
                ServerPhase::Handshaking { .. } => {}
                ServerPhase::Open(_) if server.is_silent(now) => {
                    ended.push((*id, "nothing came for 30 seconds"));
                }
                ServerPhase::Open(_) if now >= server.next_ping => {
                    server.next_ping = now + PING_PERIOD;
                    effects.push(Effect::ToServer { to: *id, messages: written(&ServiceMessage::Ping(Vec::new())) });
                }
                ServerPhase::Open(_) => {}
            }
        }
        for (id, why) in ended {
            self.end_server(id, why.to_owned(), now, effects);
        }
        self.send_misplaced_away(now, effects);
    }

    /// Ends the connections of hub servers whose hub's mode takes none any more, each once its clients are gone.
    fn send_misplaced_away(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let is_misplaced = |id: &ServerConnectionId, server: &ServerConnection| {
            let hub = self.hub(server.hub);
            matches!(server.phase, ServerPhase::Open(ServerKind::Hub { .. }))
                && !self.settings.hub(&hub.name).mode.takes_hub_servers()
                && hub.presence.servers.clients_of(*id) == 0
        };
        let misplaced: Vec<(ServerConnectionId, HubIndex)> =
            self.servers.iter().filter(|(id, each)| is_misplaced(id, each)).map(|(id, each)| (*id, each.hub)).collect();
        for (id, hub) in misplaced {
            let error = not_for_hub_servers(&self.hub(hub).name);
            self.send_to_server(id, &ServiceMessage::ServiceError(ServiceError { error: &error }), effects);
            self.end_server(id, error, now, effects);
        }
    }

    /// Tells hub servers that the gateway stops; ends each once no client of its hub is left, on whatever shard.
    pub(crate) fn drain_servers(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        const SERVER_CONNECTION: i64 = 4;
        const RELOADING: i64 = 0;
        let ids: Vec<ServerConnectionId> = self.servers.keys().copied().collect();
        for id in ids {
            let Some(server) = self.servers.get_mut(&id) else {
                continue;
            };
            let hub = server.hub;
            if !std::mem::replace(&mut server.knows_of_stop, true) {
                let event = ServiceEvent {
                    object_type: SERVER_CONNECTION,
                    kind: RELOADING,
                    message: "The gateway stops.",
                    ..ServiceEvent::default()
                };
                self.send_to_server(id, &ServiceMessage::ServiceEvent(event), effects);
            }
            if self.hub(hub).presence.clients() == 0 {
                self.end_server(id, "the gateway stops".to_owned(), now, effects);
            }
        }
    }

    /// Ends a hub server's connection; its clients are treated as if it had been lost.
    pub(crate) fn end_server(
        &mut self,
        id: ServerConnectionId,
        detail: String,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::FinishServer { to: id, detail });
        self.server_gone(id, now, effects);
    }

    fn server_body(&mut self, id: ServerConnectionId, body: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        // A message before it can have ended the connection.
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        match (server.phase, service::parse(body)) {
            (ServerPhase::Handshaking { .. }, message) => self.server_handshake(id, message, now, effects),
            (ServerPhase::Open(kind), Ok(message)) => self.server_message(id, kind, message, body, now, effects),
            (ServerPhase::Open(_), Err(MalformedMessage)) => {
                self.skip_server_message(id, "a malformed message", effects)
            }
        }
    }

    /// A message that has no effect, because nobody knows what it means.
    pub(crate) fn skip_server_message(&mut self, id: ServerConnectionId, what: &str, effects: &mut Vec<Effect>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let (index, has_puzzled) = (server.hub, std::mem::replace(&mut server.has_puzzled, true));
        self.hub_mut(index).counters.server_messages_skipped += 1;
        if !has_puzzled {
            let hub = self.hub(index).name.clone();
            effects.push(Effect::ServerMessageSkipped { hub, what: what.to_owned() });
        }
    }

    /// News from a hub server, or nothing but a sign of life.
    pub(crate) fn server_ping(
        &mut self,
        id: ServerConnectionId,
        words: &[&str],
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.server_hub(id) else {
            return;
        };
        let presence = self.hub(index).presence.clone();
        match words {
            ["status", "1"] => {
                let clients = presence.clients();
                let (status, count) = (if clients > 0 { "1" } else { "0" }, clients.to_string());
                let news = vec!["status", status, "clientcount", &count];
                self.send_to_server(id, &ServiceMessage::Ping(news), effects);
            }
            ["servers", ..] => {
                let servers = presence.servers.servers();
                let names: Vec<&str> = servers.iter().map(ServerId::as_str).collect();
                let list = format!("{}:{}", now.0 * TICKS, names.join(";"));
                self.send_to_server(id, &ServiceMessage::Ping(vec!["servers", &list]), effects);
            }
            ["shutdown", fin] if fin.starts_with("fin:") => {
                self.send_to_server(id, &ServiceMessage::Ping(vec!["shutdown", "finack"]), effects);
                self.server_leaves(id, fin, now, effects);
            }
            // Also its counts of clients, and whatever newer servers tell. An echo is never answered: both would do so for ever.
            _ => {}
        }
    }

    /// The server behind a connection takes no more clients; `fin` says what becomes of those that it has.
    fn server_leaves(&mut self, id: ServerConnectionId, fin: &str, now: Millis, effects: &mut Vec<Effect>) {
        let Some(connection) = self.servers.get(&id) else {
            return;
        };
        let ServerPhase::Open(ServerKind::Hub { migration }) = connection.phase else {
            return;
        };
        let hub = connection.hub;
        self.hub(hub).presence.servers.leaving(&connection.server);
        let leaving = match fin {
            "fin:0" => Leaving::DropsClients,
            "fin:1" if migration > Migration::Never => Leaving::MovesClients,
            _ => return,
        };
        self.order_about_server(hub, ServerOrder::Leaves { server: id, leaving }, now, effects);
    }

    pub(crate) fn ack(
        &mut self,
        to: ServerConnectionId,
        ack_id: i64,
        status: AckStatus,
        page: Option<Page>,
        effects: &mut Vec<Effect>,
    ) {
        let payload = page.map(|page| {
            let (members, next) = page.finished();
            let members: Vec<_> =
                members.iter().map(|(id, user)| (id.as_str(), user.as_ref().map(UserId::as_str))).collect();
            service::group_members(&members, next.as_ref().map(ConnectionId::as_str))
        });
        let ack = Ack {
            ack_id,
            status: status.number(),
            message: status.text(),
            payload: payload.as_deref(),
            ..Ack::default()
        };
        self.send_to_server(to, &ServiceMessage::Ack(ack), effects);
    }

    /// Sends to a hub server on this shard.
    pub(crate) fn send_to_server(
        &mut self,
        to: ServerConnectionId,
        message: &ServiceMessage<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if self.servers.contains_key(&to) {
            effects.push(Effect::ToServer { to, messages: written(message) });
        }
    }

    /// Sends messages to a hub server, on whatever shard it is.
    pub(crate) fn pass_to_server(
        &mut self,
        hub: HubIndex,
        to: ServerConnectionId,
        messages: Vec<u8>,
        effects: &mut Vec<Effect>,
    ) {
        if to.shard == self.index {
            if self.servers.contains_key(&to) {
                effects.push(Effect::ToServer { to, messages });
            }
            return;
        }
        let order = ServerOrder::Pass { to, messages: messages.into() };
        self.forward(Shards::One(to.shard), hub, Order::Server(order), effects);
    }

    /// The hub of a server connection on this shard.
    pub fn hub_of_server(&self, id: ServerConnectionId) -> Option<HubName> {
        self.server_hub(id).map(|hub| self.hub(hub).name.clone())
    }

    pub(crate) fn server_hub(&self, id: ServerConnectionId) -> Option<HubIndex> {
        self.servers.get(&id).map(|server| server.hub)
    }

    /// Lets all shards do what a hub server causes.
    fn order_about_server(&mut self, hub: HubIndex, order: ServerOrder, now: Millis, effects: &mut Vec<Effect>) {
        if self.shards > 1 {
            self.forward(Shards::AllOthers, hub, Order::Server(order.clone()), effects);
        }
        self.obey_about_server(hub, order, now, effects);
    }
}

impl ServerConnection {
    /// As whom filters know it.
    pub(crate) fn origin(&self) -> Origin {
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
