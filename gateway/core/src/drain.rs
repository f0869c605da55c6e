//! The end of the gateway: clients are sent away at a pace, each when what it has said is answered.

use crate::client_connection::{ClientConnection, Leave, Phase};
use crate::closing::Closing;
use crate::effect::{CloseCause, Effect};
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// How long the handshake of a client that is just connecting is waited for: one that hears nothing does not know that it
/// may come back.
const HANDSHAKE: Millis = Millis(1_000);

impl Shard {
    /// Sends clients away, `per_second` of them on all shards together or all at once for 0, and tells hub servers. To be
    /// called again and again until [`Shard::is_empty`], because time passes and clients come that were just connecting.
    pub(crate) fn drain(&mut self, per_second: u32, now: Millis, effects: &mut Vec<Effect>) {
        let began = *self.drain_began.get_or_insert(now);
        let due = match per_second {
            0 => u64::MAX,
            _ => (now - began).0.saturating_mul(per_second.into()) / 1000 + 1,
        };
        let present: Vec<Slot> = self.clients.iter().map(|(slot, _)| Slot(slot as u32)).collect();
        for slot in present {
            let client = self.client(slot);
            if client.is_closed() {
                continue;
            }
            if client.leave == Leave::No && self.hubs.presence().pace.asks_one_more(due) {
                self.client(slot).leave = Leave::Connecting(now);
            }
            self.go_on_leaving(slot, now, effects);
        }
        self.drain_servers(now, effects);
    }

    /// Sends all clients away at once, whatever they wait for.
    pub(crate) fn drain_now(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let present: Vec<Slot> = self.clients.iter().map(|(slot, _)| Slot(slot as u32)).collect();
        for slot in present {
            self.send_away(slot, effects);
        }
        self.drain_servers(now, effects);
    }

    /// All is read that a client had said when it was asked to leave.
    pub(crate) fn said_last_words(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        if client.leave == Leave::Asked {
            client.leave = Leave::Said;
            self.go_on_leaving(slot, now, effects);
        }
    }

    fn go_on_leaving(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        match (client.leave, &client.phase) {
            (Leave::Connecting(since), Phase::Handshaking { .. }) if now < since + HANDSHAKE => {}
            (Leave::Connecting(_), Phase::Handshaking { .. }) => self.send_away(slot, effects),
            (Leave::Connecting(_), _) => {
                client.leave = Leave::Asked;
                effects.push(Effect::HearLastWords(slot));
            }
            (Leave::Said, Phase::Open { .. }) if client.is_answered() => self.send_away(slot, effects),
            (Leave::No | Leave::Asked | Leave::Said, _) => {}
        }
    }

    fn send_away(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let closing = Closing { error: None, allow_reconnect: true, detail: String::new() };
        self.close(slot, CloseCause::ServiceReload, closing, effects);
    }
}

impl ClientConnection {
    /// Whether nothing that it has said waits for anything.
    fn is_answered(&self) -> bool {
        let is_read = self.holds.is_empty() && !self.is_inspected;
        let has_results = self.proxy.as_ref().is_none_or(|proxy| proxy.has_given_results());
        is_read && self.held_back.is_none() && self.calls.is_over() && has_results
    }
}
