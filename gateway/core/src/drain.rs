//! The end of the gateway: clients are sent away at a pace, each when what it has said is answered.

use crate::client::{Clients, Closing, Leave, Phase};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::id::Slot;
use crate::link::Links;
use crate::time::Millis;
use crate::turn::Turn;
use crate::upstream::Upstream;

/// How long the handshake of a client that is just connecting is waited for: one that hears nothing does not know that it may
/// come back.
const LAST_HANDSHAKE: Millis = Millis(1_000);

/// How far the end is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// When clients were first sent away.
    began: Option<Millis>,
}

/// Whoever answers clients.
#[derive(Clone, Copy)]
pub(crate) struct Answerers<'a> {
    pub(crate) links: &'a Links,
    pub(crate) upstream: &'a Upstream,
}

impl Answerers<'_> {
    /// Whether nothing that a client has said waits for anything.
    fn have_answered(self, clients: &Clients, slot: Slot) -> bool {
        let client = &clients[slot];
        let has_results = self.links.get(slot).is_none_or(|link| link.has_given_results());
        client.is_read() && !client.holds_back() && self.upstream.is_over(slot) && has_results
    }
}

impl Drain {
    /// Sends clients away, `per_second` of them on all shards together or all at once for 0.
    pub(crate) fn go_on(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        answerers: Answerers<'_>,
        per_second: u32,
    ) {
        let began = *self.began.get_or_insert(turn.now);
        let due = match per_second {
            0 => u64::MAX,
            _ => (turn.now - began).0.saturating_mul(per_second.into()) / 1000 + 1,
        };
        for slot in clients.all() {
            let client = &clients[slot];
            if client.is_closed() {
                continue;
            }
            if client.line().is_waiting() {
                // It has nothing to hear, and comes back elsewhere.
                send_away(clients, turn, slot);
                continue;
            }
            if client.leave() == Leave::No && clients.hubs().directory().pace.asks_one_more(due) {
                clients[slot].set_leave(Leave::Connecting(turn.now));
            }
            go_on_leaving(clients, turn, answerers, slot);
        }
    }

    /// All is read that a client had said when it was asked to leave.
    pub(crate) fn said_last_words(
        &self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        answerers: Answerers<'_>,
        slot: Slot,
    ) {
        if clients[slot].leave() == Leave::Asked {
            clients[slot].set_leave(Leave::Said);
            go_on_leaving(clients, turn, answerers, slot);
        }
    }
}

fn go_on_leaving(clients: &mut Clients, turn: &mut Turn<'_>, answerers: Answerers<'_>, slot: Slot) {
    match (clients[slot].leave(), clients[slot].phase()) {
        (Leave::Connecting(since), Phase::Handshaking { .. }) if turn.now < since + LAST_HANDSHAKE => {}
        (Leave::Connecting(_), Phase::Handshaking { .. }) => send_away(clients, turn, slot),
        (Leave::Connecting(_), _) => {
            clients[slot].set_leave(Leave::Asked);
            clients[slot].line().attachment().effect(turn, Effect::HearLastWords);
        }
        (Leave::Said, Phase::Open { .. }) if answerers.have_answered(clients, slot) => send_away(clients, turn, slot),
        (Leave::No | Leave::Asked | Leave::Said, _) => {}
    }
}

/// Sends a client away, whatever it waits for.
pub(crate) fn send_away(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let closing = Closing { error: None, allow_reconnect: true, detail: String::new() };
    clients.close(turn, slot, CloseCause::ServiceReload, closing);
}
