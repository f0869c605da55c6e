//! Clients that move to another hub server, because theirs leaves.
//!
//! Source: Azure SignalR SDK for .NET, "Service Protocol" (`specs/ServiceProtocol.md`), "Client migration". Its version 1.34 hands what it
//! reads to the hub a moment later, and drops what it has not handed on when it is told that the client has gone. So a client
//! that moves is not read until what it has said before is answered.

use hubgate_wire::service::{CloseConnection, ServiceMessage};

use super::client_link::Moving;
use super::servers::written;
use super::{Links, client_result, to_server};
use crate::client::Clients;
use crate::client::read_holds::Hold;
use crate::gate::inbound::is_filtered;
use crate::id::Slot;
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// How long a hub server has for what it was handed last.
const SETTLING: Millis = Millis(100);
/// How long answers are waited for: with what the deadlines of clients may be late, one second.
const LONGEST_MOVE: Millis = Millis(750);

/// A client's hub server leaves: the client goes to another one, if there is one, once its calls are answered.
pub(super) fn begin(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let servers = clients.hub_of(slot).directory.servers();
    let Some(link) = links.get_mut(slot) else {
        return;
    };
    if link.moving.is_some() || link.has_said_close || !servers.is_another_there(&link.route.server) {
        return;
    }
    let earliest = match link.has_spoken {
        true => clients[slot].line().last_heard() + SETTLING,
        false => turn.now,
    };
    link.moving = Some(Moving { earliest, latest: turn.now + LONGEST_MOVE, held: Vec::new() });
    go_on(links, clients, turn, slot);
    hold_for_move(links, clients, turn, slot);
    turn.then(Step::CheckDeadlines(slot));
}

/// The message is over that had begun when the client was to move.
pub(super) fn said_its_last(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    if let Some(link) = links.get_mut(slot)
        && link.is_between_messages()
        && let Some(moving) = &mut link.moving
    {
        moving.earliest = turn.now + SETTLING;
        hold_for_move(links, clients, turn, slot);
        turn.then(Step::CheckDeadlines(slot));
    }
}

/// Reads no more of a client that is to move, unless it is in the middle of a message.
fn hold_for_move(links: &Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    if links.get(slot).is_some_and(|link| link.moving.is_some() && link.is_between_messages()) {
        clients.hold(turn, slot, Hold::Moving);
    }
}

/// Moves a client that waits for nothing any longer.
#[inline]
pub(super) fn go_on(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    if links.get(slot).is_some_and(|link| link.moving.is_some()) && may_move(links, clients, slot, turn.now) {
        end(links, clients, turn, slot);
    }
}

/// The same; gives when it is looked at again.
pub(super) fn check(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) -> Option<Millis> {
    go_on(links, clients, turn, slot);
    let moving = links.get(slot)?.moving.as_ref()?;
    [moving.earliest, moving.latest].into_iter().find(|time| *time > turn.now)
}

fn may_move(links: &Links, clients: &Clients, slot: Slot, now: Millis) -> bool {
    let client = &clients[slot];
    let Some(link) = links.get(slot) else {
        return false;
    };
    let Some(moving) = &link.moving else {
        return false;
    };
    if now < moving.earliest || !link.is_between_messages() || client.is_closed() {
        return false;
    }
    // What it has said may still be on its way to a server that is congested.
    let has_arrived = !link.has_spoken || (client.is_open() && !client.has_hold(Hold::Server));
    now >= moving.latest || (has_arrived && link.is_answered())
}

/// A client moves now. One for which there is no other server any longer stays, if it has one at all.
pub(super) fn end(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) -> bool {
    let has_moved = move_client(links, clients, turn, slot);
    let moving = links.get_mut(slot).and_then(|link| link.moving.take());
    if let Some(Moving { held, .. }) = moving.filter(|moving| !moving.held.is_empty()) {
        to_server::hand_over(links, clients, turn, slot, &held);
    }
    if !is_filtered(clients, slot) {
        let unread = clients[slot].take_unread();
        if !unread.is_empty() {
            to_server::forward(links, clients, turn, slot, &unread);
        }
    }
    clients.release_hold(turn, slot, Hold::Moving);
    has_moved
}

/// Lets another hub server have a client that is between two messages, if there is one.
fn move_client(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) -> bool {
    let client = &clients[slot];
    let (hub, id, dialect) = (client.hub(), client.id(), client.dialect());
    // A client whose handshake is still unanswered starts over with the new server.
    let has_begun = client.is_open();
    let Some(link) = links.get_mut(slot) else {
        return false;
    };
    if link.has_said_close {
        return false;
    }
    let from = link.route.clone();
    let Some(to) = clients.hub(hub).directory.servers().route_away(turn.here(), &from.server) else {
        return false;
    };
    let knows_end = std::mem::take(&mut link.server_knows_end);
    let invocations = std::mem::take(&mut link.invocations);
    let deadline = turn.now + turn.settings.timeouts.handshake;
    link.reroute(to.clone(), dialect, deadline);
    for invocation in &invocations {
        let error = "The connection has moved to another server.";
        client_result::fail(links, clients, turn, (hub, id), invocation, error);
    }
    links.release(clients, turn, slot, hub, &from);
    links.add(clients, turn, slot, hub, to.connection);
    if !knows_end {
        let headers = match has_begun {
            true => vec![("Asrs-Migrate-To", vec![to.server.as_str()])],
            false => Vec::new(),
        };
        let close = CloseConnection { connection_id: id.as_str(), headers, ..CloseConnection::default() };
        let message = written(&ServiceMessage::CloseConnection(close));
        links.servers.end_client(turn, &clients.hub(hub).name, from.connection, id, message);
    }
    to_server::open(links, clients, turn, slot, has_begun.then_some(&from.server));
    if !has_begun {
        clients.schedule(slot, deadline);
    }
    match to.is_congested {
        true => clients.hold(turn, slot, Hold::Server),
        false => clients.release_hold(turn, slot, Hold::Server),
    }
    true
}
