//! What happens to a client as time passes: its handshake is due, it is pinged, it is missed, its token ends.

use hubgate_wire::negotiate::Transport;

use crate::client_connection::{ClientConnection, Phase};
use crate::closing::{CLOSED_WITH_ERROR, Closing};
use crate::effect::{CloseCause, Effect};
use crate::failure;
use crate::settings::Timeouts;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

impl Shard {
    /// Meets the deadlines of a client that are due, and schedules the next one.
    pub(crate) fn check_deadlines(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let timeouts = self.settings.timeouts.clone();
        let invocations = self.check_invocations(slot, now, effects);
        let moving = self.check_moving(slot, now, effects);
        let client = &mut self.clients[slot.0 as usize];
        let next = match &client.phase {
            Phase::Handshaking { deadline, .. } if now >= *deadline => {
                let error = "Handshake was canceled.".to_owned();
                return self.refuse(slot, CloseCause::HandshakeError, error, effects);
            }
            Phase::Handshaking { deadline, .. } => *deadline,
            Phase::Closed { .. } => return,
            Phase::Connecting { .. } if let Some(proxy) = &client.proxy => {
                if now >= proxy.deadline {
                    let error = "Handshake was canceled.".to_owned();
                    return self.refuse(slot, CloseCause::HandshakeError, error, effects);
                }
                moving.map_or(proxy.deadline, |moving| moving.min(proxy.deadline))
            }
            // Upstream has its own deadline.
            Phase::Connecting { .. } => now + timeouts.keep_alive,
            Phase::Open { .. } if client.expiry.is_some_and(|expiry| now >= expiry) => {
                let error = Some(CLOSED_WITH_ERROR.to_owned());
                let closing = Closing { error, allow_reconnect: true, detail: String::new() };
                return self.close(slot, CloseCause::Unauthorized, closing, effects);
            }
            // Its hub server pings it, and misses it.
            Phase::Open { .. } if client.proxy.is_some() => {
                match client.expiry.into_iter().chain(invocations).chain(moving).min() {
                    Some(next) => next,
                    None => return,
                }
            }
            // Neither side pings there: the polls show that the client lives.
            Phase::Open { .. } if client.transport == Transport::LongPolling => match client.expiry {
                Some(expiry) => expiry,
                None => return,
            },
            Phase::Open { .. } => match self.check_silence(slot, now, effects) {
                Some(next) => self.client(slot).expiry.map_or(next, |expiry| next.min(expiry)),
                None => return,
            },
        };
        self.schedule(slot, next);
    }

    /// A client has come with a token by which its connection, which ends with its token, ends at `expiry`. The latest counts.
    pub(crate) fn token_renewed(&mut self, slot: Slot, expiry: Millis) {
        let client = self.client(slot);
        // It is looked at when it would have ended before.
        client.expiry = client.expiry.map(|before| before.max(expiry));
    }

    /// Pings an open client that the gateway answers, and gives it up when it is silent for too long. Gives when to look again.
    fn check_silence(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> Option<Millis> {
        let Timeouts { client: timeout, keep_alive, .. } = self.settings.timeouts;
        let half = Millis(timeout.0.div_ceil(2));
        let client = &mut self.clients[slot.0 as usize];
        let is_read = client.holds.is_empty();
        let may_be_probed = client.transport == Transport::WebSockets;
        if is_read && may_be_probed && !client.is_probed() && now - client.last_heard >= half {
            client.last_probed = now;
            effects.push(Effect::Probe(slot));
        }
        let deadline = match (is_read, client.is_probed()) {
            // Nobody listens.
            (false, _) => now + timeout,
            (true, false) if may_be_probed => client.last_heard + half,
            (true, false) => client.last_heard + timeout,
            // Whatever held the gateway up, it has time to answer.
            (true, true) => (client.last_heard + timeout).max(client.last_probed + half),
        };
        if now >= deadline {
            let closing =
                Closing { error: Some(failure::timed_out(timeout)), allow_reconnect: true, detail: String::new() };
            self.close(slot, CloseCause::PingTimeout, closing, effects);
            return None;
        }
        if now - client.last_sent >= keep_alive {
            client.last_sent = now;
            effects.push(Effect::Send { to: slot, frame: self.pings[client.protocol as usize].clone() });
        }
        Some(deadline.min(client.last_sent + keep_alive))
    }

    pub(crate) fn schedule(&mut self, slot: Slot, at: Millis) {
        let due = self.wheel.schedule(slot, at);
        self.client(slot).due = Some(due);
    }
}

impl ClientConnection {
    /// Whether it was asked if it is there since it was heard last.
    fn is_probed(&self) -> bool {
        self.last_probed > self.last_heard
    }
}
