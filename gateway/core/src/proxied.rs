//! Clients that a hub server answers: what they say goes to it, and what it says goes to them.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`). The hub server answers the handshake,
//! sends the pings and the Close; the gateway reads of it all only where messages end.

use std::borrow::Cow;
use std::sync::Arc;

use hubgate_wire::service::{
    self, CloseConnection, ConnectionData, Headers, OpenConnection, ServiceMessage, long_name,
};
use hubgate_wire::signalr::framing::{self, RECORD_SEPARATOR};
use hubgate_wire::signalr::handshake;
use hubgate_wire::signalr::{HubMessage, HubProtocol, MessageStream, OpenCalls};
use hubgate_wire::websocket::Frame;

use crate::client_connection::{HubIndex, Phase};
use crate::closing::{CLOSED_WITH_ERROR, Closing};
use crate::effect::{CloseCause, Effect};
use crate::event::ConnectionFacts;
use crate::failure;
use crate::filter::Direction;
use crate::id::{ConnectionId, ServerConnectionId, ServerId};
use crate::invocation::ClientInvocation;
use crate::moving::Moving;
use crate::outbound::HeldBack;
use crate::read_holds::Hold;
use crate::routing::{NoRoute, Route, Wish};
use crate::server_connection::{protocol_extension, written};
use crate::server_order::Leaving;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// The kinds of data that a hub server names (`DataMessageType`).
const HANDSHAKE_RESPONSE: i64 = 1;
const CLOSE: i64 = 4;
/// No Close message is longer: older servers do not say which message is one, so short ones are looked at.
const LONGEST_CLOSE: usize = 4096;

/// A client's link to its hub server.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) route: Route,
    /// The client's handshake request, with its separator: for another server that it moves to.
    handshake: Box<[u8]>,
    /// When the server must have answered the handshake.
    pub(crate) deadline: Millis,
    pub(crate) from_client: MessageStream,
    pub(crate) from_server: MessageStream,
    /// The beginning of a message of the server's whose end has not come.
    pub(crate) partial: Vec<u8>,
    /// The server's last message was a Close.
    pub(crate) has_said_close: bool,
    /// Whether the server was handed anything but the handshake request.
    pub(crate) has_spoken: bool,
    /// The client's calls that the server has not answered.
    pub(crate) calls: OpenCalls,
    /// It moves to another server, which takes a while.
    pub(crate) moving: Option<Moving>,
    /// The server has ended the client itself, or is gone.
    pub(crate) server_knows_end: bool,
    /// Calls of the client by hub servers that have no answer yet.
    pub(crate) invocations: Vec<ClientInvocation>,
}

/// Bytes of a hub server for a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) payload: &'a [u8],
    /// What they are, if the server says so.
    pub(crate) data_type: Option<i64>,
}

impl Proxy {
    /// Whether the server has given the client all results that it has called for, and is not in the middle of a message.
    pub(crate) fn has_given_results(&self) -> bool {
        self.partial.is_empty() && self.calls.waiting_for_results() == 0
    }

    /// How many of the client's next bytes belong to a message whose beginning was passed on.
    pub(crate) fn unfinished(&self, bytes: &[u8]) -> usize {
        match self.from_client.is_between_messages() {
            true => 0,
            false => self.from_client.clone().next_end(bytes).unwrap_or(bytes.len()),
        }
    }

    /// Splits the rest of the client's message off the front of what it says next.
    pub(crate) fn split_message<'b>(&self, bytes: &mut &'b [u8]) -> &'b [u8] {
        let end = self.from_client.clone().next_end(bytes).unwrap_or(bytes.len());
        let (message, rest) = bytes.split_at(end);
        *bytes = rest;
        message
    }
}

impl Shard {
    /// Finds a hub server for a client whose handshake request came, and tells it of the client.
    pub(crate) fn route_client(
        &mut self,
        slot: Slot,
        protocol: HubProtocol,
        request: &[u8],
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let client = &self.clients[slot.0 as usize];
        let Phase::Handshaking { identity, .. } = &client.phase else {
            return;
        };
        let servers = &self.hub(client.hub).presence.servers;
        let route = match servers.route(self.index, Wish::of(&identity.claims)) {
            Ok(route) => route,
            Err(no_route) => {
                let cause = match no_route {
                    NoRoute::NoServer => CloseCause::NoAvailableServerConnection,
                    NoRoute::NotTheRequired => CloseCause::ServerConnectionNotFound,
                };
                return self.refuse(slot, cause, failure::no_route(no_route).to_owned(), effects);
            }
        };
        let deadline = now + self.settings.timeouts.handshake;
        let is_congested = route.is_congested;
        let calls = OpenCalls::new(protocol);
        self.clients_of_servers.entry(route.connection).or_default().insert(slot);
        self.client(slot).proxy = Some(Box::new(Proxy {
            route,
            handshake: [request, &[RECORD_SEPARATOR]].concat().into(),
            deadline,
            from_client: MessageStream::new(protocol),
            from_server: MessageStream::new(protocol),
            partial: Vec::new(),
            has_said_close: false,
            has_spoken: false,
            calls,
            moving: None,
            server_knows_end: false,
            invocations: Vec::new(),
        }));
        self.register(slot, protocol, now);
        if is_congested {
            self.hold(slot, Hold::Server, effects);
        }
        self.open_at_server(slot, None, effects);
        self.schedule(slot, deadline);
    }

    /// What a client says after its handshake request.
    pub(crate) fn client_says(&mut self, slot: Slot, bytes: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let client = &mut self.clients[slot.0 as usize];
        let unread = std::mem::take(&mut client.unread);
        if !unread.is_empty() {
            // Its messages were read one by one until now.
            return self.client_says(slot, &[&unread, bytes].concat(), now, effects);
        }
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        let said = match &proxy.moving {
            // The rest of the message that is begun, and no more.
            Some(_) => proxy.unfinished(bytes),
            None => bytes.len(),
        };
        let (said, rest) = bytes.split_at(said);
        client.unread.extend_from_slice(rest);
        if said.is_empty() {
            return;
        }
        let (messages, is_moving) = (proxy.from_client.follow(said).messages, proxy.moving.is_some());
        let hub = client.hub;
        self.hub_mut(hub).counters.messages_in += messages as u64;
        self.heard(slot, messages, now);
        self.hand_to_server(slot, said, effects);
        if is_moving {
            self.said_its_last(slot, now, effects);
        }
    }

    /// Hands a client's bytes to its hub server.
    pub(crate) fn hand_to_server(&mut self, slot: Slot, bytes: &[u8], effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let (hub, id) = (client.hub, client.id);
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        proxy.has_spoken = true;
        proxy.calls.client_says(bytes);
        let to = proxy.route.connection;
        self.pass_to_server(hub, to, connection_data(id, bytes), effects);
    }

    /// What its hub server says to a client.
    pub(crate) fn server_says(
        &mut self,
        hub: HubIndex,
        from: ServerConnectionId,
        to: ConnectionId,
        said: Said<'_>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.client_of_server(hub, from, to) else {
            return;
        };
        match self.client(slot).phase {
            Phase::Connecting { .. } => self.handshake_answered(slot, said.payload, now, effects),
            Phase::Open { .. } if said.data_type == Some(HANDSHAKE_RESPONSE) => {
                // Of a server that it moved to, which answers the stored request.
            }
            Phase::Open { .. } => self.relay_to_client(slot, said, now, effects),
            Phase::Handshaking { .. } | Phase::Closed { .. } => {}
        }
        self.go_on_moving(slot, now, effects);
    }

    /// A hub server ends its client.
    pub(crate) fn server_closes(
        &mut self,
        hub: HubIndex,
        from: ServerConnectionId,
        client: ConnectionId,
        error: Option<&str>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.client_of_server(hub, from, client) else {
            return;
        };
        let client = self.client(slot);
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        if std::mem::replace(&mut proxy.server_knows_end, true) {
            // It has ended the client already, after what is held back.
            return;
        }
        proxy.moving = None;
        let error = error.map(str::to_owned);
        // Of one whose handshake is not answered nothing has been said that the end could overtake.
        if let (Phase::Open { .. }, Some(held)) = (&client.phase, &mut client.held_back) {
            return held.push(HeldBack::End { error }, usize::MAX);
        }
        self.end_by_server(slot, error, effects);
    }

    pub(crate) fn end_by_server(&mut self, slot: Slot, error: Option<String>, effects: &mut Vec<Effect>) {
        let Some(proxy) = &self.client(slot).proxy else {
            return;
        };
        let cause = CloseCause::ClosedByAppServer;
        let detail = error.clone().unwrap_or_default();
        match proxy.has_said_close {
            true => self.end(slot, cause, None, None, detail, effects),
            false => {
                let closing = Closing { error, allow_reconnect: false, detail };
                self.close(slot, cause, closing, effects);
            }
        }
    }

    /// The clients of a server connection lose it.
    pub(crate) fn clients_lose_server(
        &mut self,
        server: ServerConnectionId,
        leaving: Leaving,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(clients) = self.clients_of_servers.get(&server) else {
            return;
        };
        for slot in clients.iter().copied().collect::<Vec<_>>() {
            let Some(proxy) = &mut self.client(slot).proxy else {
                continue;
            };
            if proxy.server_knows_end {
                // The server has ended it, after what filters look at.
                continue;
            }
            let has_moved = match leaving {
                Leaving::MovesClients => {
                    self.begin_to_move(slot, now, effects);
                    continue;
                }
                Leaving::DropsClients => false,
                Leaving::Lost { moves } => {
                    proxy.server_knows_end = true;
                    // The beginning of a message is lost with the server that has it.
                    let may_move = (moves || proxy.moving.is_some()) && proxy.from_client.is_between_messages();
                    may_move && self.end_move(slot, now, effects)
                }
            };
            if !has_moved {
                let error = Some(CLOSED_WITH_ERROR.to_owned());
                let closing = Closing { error, allow_reconnect: true, detail: String::new() };
                self.close(slot, CloseCause::ServerConnectionClosed, closing, effects);
            }
        }
    }

    /// Reads the clients of a server connection no more, or again.
    pub(crate) fn hold_clients(
        &mut self,
        server: ServerConnectionId,
        is_held: bool,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(clients) = self.clients_of_servers.get(&server) else {
            return;
        };
        for slot in clients.iter().copied().collect::<Vec<_>>() {
            if is_held {
                self.hold(slot, Hold::Server, effects);
            } else {
                self.release_hold(slot, Hold::Server, now, effects);
            }
        }
    }

    /// A client is gone: its hub server is told, and nothing is left of the link.
    pub(crate) fn leave_server(&mut self, slot: Slot, proxy: Proxy, reason: Option<&str>, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let (hub, id) = (client.hub, client.id);
        self.release(slot, hub, &proxy.route);
        for invocation in &proxy.invocations {
            self.fail_invocation(hub, id, invocation, "The connection ended before it answered.", effects);
        }
        if !proxy.server_knows_end {
            let close = CloseConnection { connection_id: id.as_str(), error: reason, ..CloseConnection::default() };
            let message = written(&ServiceMessage::CloseConnection(close));
            self.pass_to_server(hub, proxy.route.connection, message, effects);
        }
    }

    pub(crate) fn release(&mut self, slot: Slot, hub: HubIndex, route: &Route) {
        self.hub(hub).presence.servers.released(route.connection);
        if let Some(clients) = self.clients_of_servers.get_mut(&route.connection) {
            clients.swap_remove(&slot);
            if clients.is_empty() {
                self.clients_of_servers.remove(&route.connection);
            }
        }
    }

    /// Tells its hub server of a client, and gives it the handshake request. `from` is the server that it has moved from.
    pub(crate) fn open_at_server(&mut self, slot: Slot, from: Option<&ServerId>, effects: &mut Vec<Effect>) {
        let client = &self.clients[slot.0 as usize];
        let (Some(facts), Some(proxy)) = (client.facts(), &client.proxy) else {
            return;
        };
        let names: Vec<(Cow<'_, str>, &str)> =
            facts.claims.iter().map(|(name, value)| (long_name(name), value)).collect();
        let query = match &*facts.query {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let open = OpenConnection {
            connection_id: client.id.as_str(),
            claims: names.iter().map(|(name, value)| (&**name, *value)).collect(),
            headers: headers(facts, from),
            query: &query,
            extensions: protocol_extension(client.protocol.name()),
        };
        let mut messages = written(&ServiceMessage::OpenConnection(open));
        messages.extend_from_slice(&connection_data(client.id, &proxy.handshake));
        let (hub, to) = (client.hub, proxy.route.connection);
        self.pass_to_server(hub, to, messages, effects);
    }

    /// The hub server answers a client's handshake, which is text in all protocols.
    fn handshake_answered(&mut self, slot: Slot, payload: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let protocol = client.protocol;
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        let mut bytes = std::mem::take(&mut proxy.partial);
        bytes.extend_from_slice(payload);
        let mut rest = &bytes[..];
        let Some(answer) = framing::split_message(&mut rest) else {
            if bytes.len() > handshake::LONGEST_REQUEST {
                let error = CLOSED_WITH_ERROR.to_owned();
                return self.refuse(slot, CloseCause::ClosedByAppServer, error, effects);
            }
            proxy.partial = bytes;
            return;
        };
        let frame = protocol.handshake_frame(&bytes[..answer.len() + 1]);
        if handshake::is_refusal(answer) {
            let detail = "the hub server refuses its handshake".to_owned();
            return self.end(slot, CloseCause::HandshakeError, Some(frame), None, detail, effects);
        }
        self.let_in(slot, frame, now, effects);
        if !rest.is_empty() {
            self.relay_to_client(slot, Said { payload: rest, data_type: None }, now, effects);
        }
        self.release_hold(slot, Hold::Admission, now, effects);
    }

    /// Passes on what is whole of it; clients take whole messages only, and a send must not land inside one.
    fn relay_to_client(&mut self, slot: Slot, said: Said<'_>, now: Millis, effects: &mut Vec<Effect>) {
        let Said { payload, data_type } = said;
        let limit = self.settings.limits.server_message;
        let client = &mut self.clients[slot.0 as usize];
        let protocol = client.protocol;
        let Some(proxy) = &mut client.proxy else {
            return;
        };
        proxy.calls.server_says(payload);
        let (whole, begun) = payload.split_at(proxy.from_server.follow(payload).whole);
        if whole.is_empty() && proxy.partial.len() + begun.len() > limit {
            let detail = format!(
                "its hub server sent a message longer than the {limit} bytes of `server.limits.server-message`"
            );
            let closing = Closing { error: Some(CLOSED_WITH_ERROR.to_owned()), allow_reconnect: false, detail };
            return self.close(slot, CloseCause::ClosedByAppServer, closing, effects);
        }
        if whole.is_empty() {
            return proxy.partial.extend_from_slice(begun);
        }
        let partial = std::mem::replace(&mut proxy.partial, begun.to_vec());
        let messages = match partial.is_empty() {
            true => Cow::Borrowed(whole),
            false => Cow::Owned([&partial, whole].concat()),
        };
        if client.held_back.is_some() || self.hubs[client.hub].filters.look_at(Direction::Outbound) {
            return self.filter_said(slot, &messages, now, effects);
        }
        proxy.has_said_close |= match data_type {
            Some(data_type) => data_type == CLOSE,
            None => ends_with_close(protocol, &messages),
        };
        let frame = Frame::data(protocol.data_kind(), |out| out.extend_from_slice(&messages));
        self.send(slot, frame, now, effects);
    }

    /// The slot of a client that is on this shard and has this server connection.
    fn client_of_server(&self, hub: HubIndex, server: ServerConnectionId, id: ConnectionId) -> Option<Slot> {
        let slot = *self.slots.get(&id)?;
        let client = &self.clients[slot.0 as usize];
        let proxy = client.proxy.as_ref()?;
        (client.hub == hub && proxy.route.connection == server).then_some(slot)
    }
}

fn connection_data(id: ConnectionId, bytes: &[u8]) -> Vec<u8> {
    let data = ConnectionData { connection_id: id.as_str(), payload: bytes, ..ConnectionData::default() };
    let mut message = Vec::with_capacity(bytes.len() + 48);
    service::write(&ServiceMessage::ConnectionData(data), &mut message);
    message
}

/// The headers of a client's request as its hub server gets them: each name once, none that only the gateway may set, and the
/// address that the gateway believes.
fn headers<'a>(facts: &'a Arc<ConnectionFacts>, from: Option<&'a ServerId>) -> Headers<'a> {
    let mut headers: Headers<'a> = Vec::new();
    for (name, value) in facts.headers.iter() {
        let is_ours = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("asrs-"));
        if is_ours || name.eq_ignore_ascii_case("x-forwarded-for") {
            continue;
        }
        match headers.iter_mut().find(|(each, _)| each.eq_ignore_ascii_case(name)) {
            Some((_, values)) => values.push(value),
            None => headers.push((name, vec![value])),
        }
    }
    headers.push(("X-Forwarded-For", vec![&facts.remote_address]));
    if let Some(from) = from {
        headers.push(("Asrs-Migrate-From", vec![from.as_str()]));
    }
    headers
}

/// Whether the last of some whole messages is a Close, as .NET writes one. Others are not decoded to find out.
fn ends_with_close(protocol: HubProtocol, messages: &[u8]) -> bool {
    if messages.len() > LONGEST_CLOSE {
        return false;
    }
    let (mut rest, mut last) = (messages, &[][..]);
    while let Ok(Some(message)) = protocol.split_message(&mut rest) {
        last = message;
    }
    let may_be = match protocol {
        HubProtocol::Json => last.starts_with(b"{\"type\":7"),
        HubProtocol::MessagePack | HubProtocol::BlazorPack => last.get(1) == Some(&7),
    };
    may_be && matches!(protocol.parse(last), Ok(HubMessage::Close { .. }))
}
