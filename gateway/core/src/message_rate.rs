//! How many messages one client, and all clients of a hub together, may say in a second. Whoever says more is read later: a
//! second's worth may come at once, and each message after that waits until it is paid for by time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::time::Millis;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Until when messages are paid for, in nanoseconds. Each pays for its share of a second.
pub(crate) type PaidUntil = u64;

/// How many more messages a rate allows now.
pub(crate) fn room(paid_until: PaidUntil, rate: u32, now: Millis) -> u64 {
    SECOND.saturating_sub(paid_until.saturating_sub(nanoseconds(now))) / share(rate)
}

/// Some messages came, whether there was room for them or not.
pub(crate) fn pay(paid_until: PaidUntil, rate: u32, messages: u64, now: Millis) -> PaidUntil {
    paid_until.max(nanoseconds(now)).saturating_add(share(rate).saturating_mul(messages))
}

/// A message's share of a second.
pub(crate) fn share(rate: u32) -> u64 {
    (SECOND / u64::from(rate).max(1)).max(1)
}

fn nanoseconds(time: Millis) -> u64 {
    time.0.saturating_mul(1_000_000)
}

/// What the clients of a hub have said, on all shards.
#[derive(Debug, Default)]
pub(crate) struct HeardOfHub {
    paid_until: AtomicU64,
    /// Clients that wait for their turn, in number: these share what the rate allows.
    waiting: AtomicUsize,
}

impl HeardOfHub {
    pub(crate) fn room(&self, rate: u32, now: Millis) -> u64 {
        room(self.paid_until.load(Ordering::Relaxed), rate, now)
    }

    pub(crate) fn pay(&self, rate: u32, messages: u64, now: Millis) {
        let paid = |until| Some(pay(until, rate, messages, now));
        let _ = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
    }

    /// Messages that were paid for did not come.
    pub(crate) fn pay_back(&self, share: u64, messages: u64) {
        let paid = |until: PaidUntil| Some(until.saturating_sub(share.saturating_mul(messages)));
        let _ = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// One more client waits for its turn.
    pub(crate) fn begins_to_wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// So many wait no longer.
    pub(crate) fn end_waiting(&self, clients: usize) {
        self.waiting.fetch_sub(clients, Ordering::Relaxed);
    }
}

/// What one client has said.
#[derive(Debug, Default)]
pub(crate) struct HeardOfClient {
    paid_until: PaidUntil,
    /// Messages that it may still say in its turn. They are paid for.
    turn: u32,
    /// What each of them has paid: the hub may have another rate when the turn ends.
    share: u64,
    /// The round in which it had its last turn; 0: none yet.
    round: u32,
}

impl HeardOfClient {
    /// How many more messages the rate of one client allows now.
    pub(crate) fn room(&self, rate: u32, now: Millis) -> u64 {
        room(self.paid_until, rate, now)
    }

    /// It has said some messages, at this rate of one client. Gives how many of them are not paid for by its turn.
    pub(crate) fn pay(&mut self, rate: u32, messages: u64, now: Millis) -> u64 {
        if rate > 0 {
            self.paid_until = pay(self.paid_until, rate, messages, now);
        }
        let in_turn = messages.min(u64::from(self.turn));
        self.turn -= in_turn as u32;
        messages - in_turn
    }

    /// Whether it may say something in its turn; none if it had no turn in this round.
    pub(crate) fn may_speak(&self, round: u32) -> Option<bool> {
        (self.round == round).then_some(self.turn > 0)
    }

    /// It may say so many messages in this round, each of which has paid its share.
    pub(crate) fn begin_turn(&mut self, round: u32, messages: u64, share: u64) {
        *self = HeardOfClient {
            turn: u32::try_from(messages).unwrap_or(u32::MAX),
            share,
            round,
            paid_until: self.paid_until,
        };
    }

    /// Its turn is over. Gives what is paid for and was not said, and what each message has paid.
    pub(crate) fn end_turn(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.turn).into(), self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_may_come_at_once_and_the_next_when_time_has_paid_for_it() {
        for rate in [1, 3, 7, 100, 4_000] {
            let now = Millis(10_000);
            assert_eq!(room(0, rate, now), u64::from(rate));
            let paid = pay(0, rate, u64::from(rate), now);
            assert_eq!(room(paid, rate, now), 0);
            assert_eq!(room(paid, rate, now + Millis(250)), u64::from(rate) / 4, "{rate}");
            assert_eq!(room(paid, rate, now + Millis(1_001)), u64::from(rate));
            assert_eq!(room(paid, rate, now + Millis(100_000)), u64::from(rate), "what was not used is lost");
        }
        assert!(room(0, u32::MAX, Millis(0)) > 0);
    }
}
