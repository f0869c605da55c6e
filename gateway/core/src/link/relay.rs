//! What passes between a client and its hub server.

use std::borrow::Cow;

use hubgate_wire::signalr::HubMessage;

use super::client_link::ClientLink;
use super::{Links, asp_net, moving, outgoing, to_server};
use crate::client::dialect::{Answer, Dialect, LONGEST_OPENING};
use crate::client::held::HeldBack;
use crate::client::read_holds::Hold;
use crate::client::{CLOSED_WITH_ERROR, Clients, Closing, Phase, logged, opening};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::failure;
use crate::filter::Direction;
use crate::hub::routing::{NoRoute, ServerAffinity};
use crate::id::{ConnectionId, HubIndex, ServerConnectionId, Slot};
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// The kinds of data that a hub server names (`DataMessageType`).
const HANDSHAKE_RESPONSE: i64 = 1;
const CLOSE: i64 = 4;

/// Bytes of a hub server for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerPayload<'a> {
    pub(super) payload: &'a [u8],
    /// What they are, if the server says so.
    pub(super) data_type: Option<i64>,
}

/// Finds a hub server for a client whose handshake request came, and tells it of the client.
pub(crate) fn route_client(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    dialect: Dialect,
    request: &[u8],
) {
    let Phase::Handshaking { identity, .. } = clients[slot].phase() else {
        return;
    };
    let servers = clients.hub_of(slot).directory.servers();
    let route = match servers.route(turn.here(), ServerAffinity::of(&identity.claims)) {
        Ok(route) => route,
        Err(no_route) => {
            let cause = match no_route {
                NoRoute::NoServer => CloseCause::NoAvailableServerConnection,
                NoRoute::NotTheRequired => CloseCause::ServerConnectionNotFound,
            };
            return clients.refuse(turn, slot, cause, failure::no_route(no_route).to_owned());
        }
    };
    let deadline = turn.now + turn.settings.timeouts.handshake;
    let is_congested = route.is_congested;
    links.add(clients, turn, slot, clients[slot].hub(), route.connection);
    let link = ClientLink::new(route, dialect, request, deadline);
    links.of_clients[slot] = Some(Box::new(link));
    opening::register(clients, turn, slot, dialect);
    if is_congested {
        clients.hold(turn, slot, Hold::Server);
    }
    to_server::open(links, clients, turn, slot, None);
    match dialect.is_asp_net() {
        // Its server does not say that it takes it, and says so if it does not.
        true => {
            opening::let_in(clients, turn, slot, None);
            if clients[slot].is_read() {
                clients[slot].line().attachment().effect(turn, Effect::ResumeReading);
            }
        }
        false => clients.schedule(slot, deadline),
    }
}

/// What a client says after its handshake request.
#[inline]
pub(crate) fn forward_from_client(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    bytes: &[u8],
) {
    let client = &mut clients[slot];
    if client.has_unread() {
        // Its messages were read one by one until now.
        let unread = client.take_unread();
        return forward_from_client(links, clients, turn, slot, &[&unread, bytes].concat());
    }
    let Some(link) = links.get_mut(slot) else {
        return;
    };
    let said = match &link.moving {
        // The rest of the message that is begun, and no more.
        Some(_) => link.unfinished(bytes),
        None => bytes.len(),
    };
    let (said, rest) = bytes.split_at(said);
    if !rest.is_empty() {
        client.add_unread(rest);
    }
    if said.is_empty() {
        return;
    }
    let is_moving = link.moving.is_some();
    to_server::forward(links, clients, turn, slot, said);
    if is_moving {
        moving::said_its_last(links, clients, turn, slot);
    }
}

/// What a hub server says to its client.
pub(super) fn forward_from_server(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (hub, from): (HubIndex, ServerConnectionId),
    to: ConnectionId,
    said: ServerPayload<'_>,
) {
    let Some(slot) = client_of_server(links, clients, hub, from, to) else {
        return;
    };
    match clients[slot].phase() {
        Phase::Connecting { .. } => handshake_answered(links, clients, turn, slot, said.payload),
        Phase::Open { .. } if said.data_type == Some(HANDSHAKE_RESPONSE) => {
            // Of a server that it moved to, which answers the stored request.
        }
        Phase::Open { .. } => relay_to_client(links, clients, turn, slot, said),
        Phase::Handshaking { .. } | Phase::Closed { .. } => {}
    }
    moving::go_on(links, clients, turn, slot);
}

/// A message of a hub server for its client is too long. The client has no use for what follows without it.
pub(super) fn said_too_much(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (hub, from): (HubIndex, ServerConnectionId),
    to: ConnectionId,
) {
    let Some(slot) = client_of_server(links, clients, hub, from, to) else {
        return;
    };
    match clients[slot].phase() {
        Phase::Connecting { .. } => {
            clients.refuse(turn, slot, CloseCause::ClosedByAppServer, CLOSED_WITH_ERROR.to_owned());
        }
        Phase::Open { .. } => close_for_long_message(clients, turn, slot),
        Phase::Handshaking { .. } | Phase::Closed { .. } => {}
    }
}

/// Ends a client whose hub server says more to it than is passed on. It may come back: nothing is wrong with it.
fn close_for_long_message(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let limit = turn.settings.limits.server_message;
    let detail =
        format!("its hub server sent a message longer than the {limit} bytes of `server.limits.server-message`");
    clients.close(turn, slot, CloseCause::ClosedByAppServer, Closing::with_error(true, detail));
}

/// A hub server ends its client.
pub(super) fn server_closes(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (hub, from): (HubIndex, ServerConnectionId),
    client: ConnectionId,
    error: Option<&str>,
) {
    let Some(slot) = client_of_server(links, clients, hub, from, client) else {
        return;
    };
    let Some(link) = links.get_mut(slot) else {
        return;
    };
    if std::mem::replace(&mut link.server_knows_end, true) {
        // It has ended the client already, after what is held back.
        return;
    }
    link.moving = None;
    let client = &mut clients[slot];
    // The server leaves it to the gateway whether its client may see the text.
    let is_shown = !client.dialect().is_asp_net() || asp_net::shows_errors(client);
    let error = error.filter(|_| is_shown).map(str::to_owned);
    // Of one whose handshake is not answered nothing has been said that the end could overtake.
    if client.is_open()
        && let Some(held) = client.held_back_mut()
    {
        return held.push(HeldBack::End { error }, usize::MAX);
    }
    outgoing::end_by_server(links, clients, turn, slot, error);
}

/// The hub server answers what a client has opened with.
fn handshake_answered(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, payload: &[u8]) {
    let dialect = clients[slot].dialect();
    let Some(link) = links.get_mut(slot) else {
        return;
    };
    let mut bytes = std::mem::take(&mut link.partial);
    bytes.extend_from_slice(payload);
    let Some(Answer { frame, is_refusal, rest }) = dialect.split_answer(&bytes) else {
        if bytes.len() > LONGEST_OPENING {
            let error = CLOSED_WITH_ERROR.to_owned();
            return clients.refuse(turn, slot, CloseCause::ClosedByAppServer, error);
        }
        link.partial = bytes;
        return;
    };
    if is_refusal {
        let detail = "the hub server refuses its handshake".to_owned();
        return clients.end(turn, slot, CloseCause::HandshakeError, Some(frame), None, detail);
    }
    opening::let_in(clients, turn, slot, Some(frame));
    if !rest.is_empty() {
        // It comes after what was held back, and need not fit there.
        turn.then(Step::Relay(slot, rest.into()));
    }
    clients.release_hold(turn, slot, Hold::Admission);
}

/// The hub server has said more to a client with its answer to the handshake.
pub(crate) fn relay(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, payload: &[u8]) {
    relay_to_client(links, clients, turn, slot, ServerPayload { payload, data_type: None });
    moving::go_on(links, clients, turn, slot);
}

/// Passes on what is whole of it; clients take whole messages only, and a send must not land inside one.
fn relay_to_client(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, said: ServerPayload<'_>) {
    let ServerPayload { payload, data_type } = said;
    let limit = turn.settings.limits.server_message;
    let dialect = clients[slot].dialect();
    let Some(link) = links.get_mut(slot) else {
        return;
    };
    let followed = link.exchange.server_says(payload);
    let (whole, begun) = payload.split_at(followed.whole);
    if whole.is_empty() && link.partial.len() + begun.len() > limit {
        return close_for_long_message(clients, turn, slot);
    }
    if whole.is_empty() {
        return link.partial.extend_from_slice(begun);
    }
    let partial = std::mem::replace(&mut link.partial, begun.to_vec());
    let messages = match partial.is_empty() {
        true => Cow::Borrowed(whole),
        false => Cow::Owned([&partial, whole].concat()),
    };
    if clients[slot].holds_back() || clients.hub_of(slot).filters.inspects(Direction::Outbound) {
        return outgoing::filter_said(links, clients, turn, slot, &messages);
    }
    link.has_said_close |= match data_type {
        Some(data_type) => data_type == CLOSE,
        None => dialect.ends_with_closing(&messages, followed.messages),
    };
    if !clients[slot].line().has_log() {
        return clients.send(turn, slot, dialect.frame_framed(&messages));
    }
    // Each is acknowledged, and sent again, by itself.
    let mut rest = &*messages;
    while clients.is_still(slot)
        && let Ok(Some(message)) = dialect.split(&mut rest)
    {
        logged::send_said(clients, turn, slot, message);
    }
}

/// Pings the hub server of a client that waits for another transport as the client would, because the server does not know that it waits, and
/// gives up clients that say nothing. Gives when the next ping is due.
pub(super) fn ping_for_waiting(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
) -> Option<Millis> {
    let client = &mut clients[slot];
    if !client.line().is_waiting() || client.dialect().is_asp_net() || links.get(slot).is_none() {
        return None;
    }
    // Clients do so twice in the time for which servers wait; what it was heard by last may have been no message.
    let period = Millis(turn.settings.timeouts.keep_alive.0 / 2);
    if turn.now >= client.line().last_heard() + period {
        client.line_mut().was_heard(turn.now);
        let dialect = client.dialect();
        to_server::pass_on(links, clients, turn, slot, |out| dialect.write(&HubMessage::Ping, out));
    }
    Some(clients[slot].line().last_heard() + period)
}

/// The slot of a client that is on this shard and has this server connection.
fn client_of_server(
    links: &Links,
    clients: &Clients,
    hub: HubIndex,
    server: ServerConnectionId,
    id: ConnectionId,
) -> Option<Slot> {
    let slot = clients.find_in(hub, id)?;
    (links.get(slot)?.route.connection == server).then_some(slot)
}
