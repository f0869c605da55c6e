//! Clients of ASP.NET SignalR: how they come, start, come by another transport, and leave.
//!
//! Source: ASP.NET SignalR 2.4, its server and its clients: a transport opens with an init message; `/start` follows, and only then the
//! application hears of the client. A client whose transport breaks returns with the same connection token.

use hubgate_wire::aspnet;

use super::dialect::END_OF_TEXT;
use super::log::Log;
use super::read_holds::Hold;
use super::replay::Replay;
use super::{Clients, Leave, Phase, attachment};
use crate::arrivals::{Return, ReturningClient};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::id::{ConnectionId, HubName, Slot, TransportKey};
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// How long a client may be without a transport: it tries to return for the 30 s that negotiation tells it, and its last try takes a while.
pub(super) const GRACE: Millis = Millis(32_000);
/// The cursor of the init message. All that is kept comes after it.
const FIRST: &str = "0";

/// The first transport of a client is open.
pub(super) fn opened(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let client = &mut clients.arena[slot];
    client.line_mut().log = Some(Box::new(Log::AspNet(Replay::new(clients.kept.clone()))));
    if let Some(token) = client.token {
        clients.by_token.insert(token, slot);
    }
    clients.hold(turn, slot, Hold::Start);
    greet(clients, turn, slot);
}

fn greet(clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
    let frame = clients[slot].dialect().frame_encoded(&aspnet::init(FIRST));
    clients[slot].line().attachment().effect(turn, |to| Effect::Send { to, frame });
}

/// A client is ready: from here on it is let in as others are that have said what they open with, which is a query.
pub(crate) fn started(clients: &mut Clients, turn: &mut Turn<'_>, token: ConnectionId, query: &str) {
    let Some(slot) = clients.by_token.get(&token).copied().filter(|slot| clients.is_still(*slot)) else {
        return;
    };
    let client = &mut clients[slot];
    if client.has_hold(Hold::Start) {
        client.add_unread(query.as_bytes());
        client.add_unread(&[END_OF_TEXT]);
        // Its transport is read once it is let in.
        client.holds.remove(Hold::Start);
        turn.then(Step::ReadClient(slot));
    }
}

/// A client leaves for good.
pub(crate) fn aborted(clients: &mut Clients, turn: &mut Turn<'_>, token: ConnectionId) {
    if let Some(slot) = clients.by_token.get(&token).copied().filter(|slot| clients.is_still(*slot)) {
        clients.end(turn, slot, CloseCause::Normal, None, None, String::new());
    }
}

/// The client that this token has opened, if it is there.
pub(crate) fn find(clients: &Clients, token: ConnectionId) -> Option<ConnectionId> {
    clients.by_token.get(&token).filter(|slot| clients.is_still(**slot)).map(|slot| clients[*slot].id())
}

/// Whether the client that this token has opened may come by another transport.
pub(crate) fn may_return(clients: &Clients, token: ConnectionId, hub: &HubName, now: Millis) -> bool {
    clients
        .by_token
        .get(&token)
        .is_some_and(|slot| clients.hub_of(*slot).name == *hub && may_go_on(clients, *slot, now))
}

fn may_go_on(clients: &Clients, slot: Slot, now: Millis) -> bool {
    let client = &clients[slot];
    let is_there = matches!(client.phase(), Phase::Handshaking { .. } | Phase::Open { .. });
    let may_resume = client.line().log.as_ref().is_some_and(|log| log.may_resume(now));
    client.dialect().is_asp_net() && is_there && client.leave() == Leave::No && may_resume
}

/// A client comes by another transport.
pub(crate) fn returned(clients: &mut Clients, turn: &mut Turn<'_>, transport: TransportKey, client: ReturningClient) {
    let ReturningClient { token, transport: kind, why } = client;
    // Since it was asked for, the client may have ended, or others may have come for it.
    let found = clients.by_token.get(&token).copied().filter(|slot| may_go_on(clients, *slot, turn.now));
    let Some(slot) = found else {
        clients.transports.skip_key();
        return turn.effect(Effect::Sever(transport));
    };
    attachment::replace(clients, turn, slot, transport);
    forget_what_is_begun(clients, slot);
    let client = &mut clients.arena[slot];
    let before = client.transport();
    client.transport = kind;
    client.line_mut().goes_on_by(transport, turn.now);
    if client.facts().is_some() {
        clients.hubs[client.hub()].transport_changed(before, kind);
    }
    if !client.holds.is_empty() {
        turn.effect(Effect::PauseReading(transport));
    }
    let cursor = match &why {
        Return::Anew => {
            greet(clients, turn, slot);
            FIRST
        }
        Return::After(cursor) | Return::Again(cursor) => cursor,
    };
    for frame in clients[slot].line_mut().sent_after(cursor, turn.now) {
        turn.effect(Effect::Send { to: transport, frame });
    }
    if clients[slot].is_open() && matches!(why, Return::After(_)) {
        turn.then(Step::Resumed(slot));
    }
    turn.then(Step::CheckDeadlines(slot));
}

/// Forgets the beginning of a message whose end cannot come. Whole messages before it, which nobody has read yet, are not said again.
fn forget_what_is_begun(clients: &mut Clients, slot: Slot) {
    let client = &mut clients[slot];
    let mut unread = client.take_unread();
    let whole = unread.iter().rposition(|byte| *byte == END_OF_TEXT).map_or(0, |last| last + 1);
    unread.truncate(whole);
    client.put_unread(unread);
}

/// Tells a client now and then that it is connected. Gives when the next time is.
pub(super) fn keep_alive(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) -> Millis {
    // Clients give a transport up after the 20 s that negotiation tells them.
    const LONGEST_PERIOD: Millis = Millis(10_000);
    let period = turn.settings.timeouts.keep_alive.min(LONGEST_PERIOD);
    let frame = clients.pings.of(clients[slot].dialect());
    let line = clients[slot].line_mut();
    if let Some(replay) = line.log.as_mut().and_then(|log| log.asp_net_mut()) {
        replay.forget_old(turn.now);
    }
    if turn.now >= line.last_sent + period {
        line.last_sent = turn.now;
        line.attachment().effect(turn, |to| Effect::Send { to, frame });
    }
    line.last_sent + period
}

/// Makes room in what is kept for a client that has a transport; gives whether there was anything to be forgotten.
pub(super) fn forget_sent(clients: &mut Clients, slot: Slot) -> bool {
    let log = clients[slot].line_mut().log.as_mut().and_then(|log| log.asp_net_mut());
    log.is_some_and(Replay::forget_sent)
}

/// What a client of ASP.NET SignalR is told when its application's server is gone (the service's own words).
pub(crate) const SERVER_OFFLINE: &str = "Server offline";
