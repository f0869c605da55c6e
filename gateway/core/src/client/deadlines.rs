//! What happens to a client as time passes: its handshake is due, it is pinged, it is missed, its token ends.

use hubgate_wire::negotiate::Transport;

use super::attachment::Attachment;
use super::timer_wheel::Due;
use super::{Clients, Closing, Phase, logged, resuming, returning};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::failure;
use crate::id::Slot;
use crate::settings::Timeouts;
use crate::time::Millis;
use crate::turn::Turn;

/// What the link of a client to its hub server waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkTimes {
    /// When the server must have answered the handshake.
    pub(crate) handshake: Millis,
    /// When the link is looked at next.
    pub(crate) next: Option<Millis>,
    /// When the client's move to another server is, if it moves.
    pub(crate) moving: Option<Millis>,
}

impl Clients {
    /// The clients whose deadlines are due.
    pub(crate) fn due(&mut self, now: Millis) -> Vec<Slot> {
        let expired = self.wheel.expire(now);
        // An entry whose client is gone or was rescheduled does not count.
        let counts =
            |(slot, due): &(Slot, Due)| self.arena.get_mut(*slot).is_some_and(|client| due.counts(&mut client.due));
        expired.into_iter().filter(counts).map(|(slot, _)| slot).collect()
    }

    /// Meets the deadlines of a client that are due, and schedules the next one. `link`: of one that a hub server answers.
    pub(crate) fn check_deadlines(&mut self, turn: &mut Turn<'_>, slot: Slot, link: Option<LinkTimes>) {
        logged::acknowledge(self, turn, slot);
        let client = &self[slot];
        let next = match &client.phase {
            Phase::Handshaking { deadline, .. } if turn.now >= *deadline => return miss_handshake(self, turn, slot),
            Phase::Handshaking { deadline, .. } => *deadline,
            Phase::Closed { .. } => return,
            Phase::Connecting { .. } if let Some(link) = link => {
                if turn.now >= link.handshake {
                    return miss_handshake(self, turn, slot);
                }
                link.moving.map_or(link.handshake, |moving| moving.min(link.handshake))
            }
            // Upstream has its own deadline.
            Phase::Connecting { .. } => turn.now + turn.settings.timeouts.keep_alive,
            Phase::Open { .. } if client.expiry.end().is_some_and(|expiry| turn.now >= expiry) => {
                let closing = Closing::with_error(true, "");
                return self.close(turn, slot, CloseCause::Unauthorized, closing);
            }
            Phase::Open { .. } if let Attachment::Waiting { until, cause } = client.line().attachment() => {
                if turn.now >= until {
                    return resuming::grace_ended(self, turn, slot, cause);
                }
                let of_link = link.into_iter().flat_map(|link| [link.next, link.moving]).flatten();
                of_link.chain(client.expiry.end()).fold(until, Millis::min)
            }
            Phase::Open { .. } if client.dialect().is_asp_net() => match self.check_asp_net(turn, slot) {
                Some(next) => {
                    self[slot].expiry.end().into_iter().chain(link.and_then(|link| link.next)).fold(next, Millis::min)
                }
                None => return,
            },
            // Its hub server pings it, and misses it.
            Phase::Open { .. } if let Some(link) = link => {
                let ack_due = client.line().ack_due();
                match client.expiry.end().into_iter().chain(link.next).chain(link.moving).chain(ack_due).min() {
                    Some(next) => next,
                    None => return,
                }
            }
            // Neither side pings there: the polls show that the client lives.
            Phase::Open { .. } if client.transport() == Transport::LongPolling => match client.expiry.end() {
                Some(expiry) => expiry,
                None => return,
            },
            Phase::Open { .. } => match self.check_silence(turn, slot) {
                Some(next) => {
                    let client = &self[slot];
                    let ack_due = client.line().ack_due();
                    client.expiry.end().into_iter().chain(ack_due).fold(next, Millis::min)
                }
                None => return,
            },
        };
        self.schedule(slot, next);
    }

    /// The same for a client of ASP.NET SignalR, which the gateway pings whoever answers it. Its polls show that it lives; of an event stream only what
    /// becomes of the writes does.
    fn check_asp_net(&mut self, turn: &mut Turn<'_>, slot: Slot) -> Option<Millis> {
        let next = match self[slot].transport() {
            Transport::WebSockets => self.check_silence(turn, slot)?,
            Transport::ServerSentEvents | Transport::LongPolling => turn.now + turn.settings.timeouts.client,
        };
        match self[slot].transport() {
            Transport::LongPolling => Some(next),
            Transport::WebSockets | Transport::ServerSentEvents => {
                Some(next.min(returning::keep_alive(self, turn, slot)))
            }
        }
    }

    /// Pings an open client that the gateway answers, and gives it up when it is silent for too long. Gives when to look again.
    fn check_silence(&mut self, turn: &mut Turn<'_>, slot: Slot) -> Option<Millis> {
        let Timeouts { client: timeout, keep_alive, .. } = turn.settings.timeouts;
        let (now, half) = (turn.now, Millis(timeout.0.div_ceil(2)));
        let client = &mut self.arena[slot];
        let is_read = client.holds.is_empty();
        let may_be_probed = client.transport() == Transport::WebSockets;
        if is_read && may_be_probed && !client.line().is_probed() && now - client.line().last_heard >= half {
            client.line_mut().last_probed = now;
            client.line().attachment().effect(turn, Effect::Probe);
        }
        let deadline = match (is_read, client.line().is_probed()) {
            // Nobody listens.
            (false, _) => now + timeout,
            (true, false) if may_be_probed => client.line().last_heard + half,
            (true, false) => client.line().last_heard + timeout,
            // Whatever held the gateway up, it has time to answer.
            (true, true) => (client.line().last_heard + timeout).max(client.line().last_probed + half),
        };
        if now >= deadline {
            if client.may_come_back(CloseCause::PingTimeout) {
                resuming::cut(self, turn, slot, CloseCause::PingTimeout);
                return None;
            }
            let error = Some(failure::timed_out(timeout));
            let closing = Closing { error, allow_reconnect: true, detail: String::new() };
            self.close(turn, slot, CloseCause::PingTimeout, closing);
            return None;
        }
        if now - client.line().last_sent >= keep_alive {
            client.line_mut().last_sent = now;
            let frame = self.pings.of(client.dialect());
            client.line().attachment().effect(turn, |to| Effect::Send { to, frame });
        }
        Some(deadline.min(self[slot].line().last_sent + keep_alive))
    }
}

fn miss_handshake(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    clients.refuse(turn, slot, CloseCause::HandshakeError, failure::HANDSHAKE_CANCELED.to_owned());
}
