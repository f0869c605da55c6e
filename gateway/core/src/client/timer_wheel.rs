//! Deadlines of all clients of a shard, in one wheel.

use crate::id::Slot;
use crate::time::Millis;

/// How coarse deadlines are: one is met up to so much late.
const TICK: u64 = 250;
/// How many ticks the wheel holds; later deadlines are looked at once a turn.
const BUCKETS: usize = 256;

/// The tick at which a slot is due. Kept with the slot, so that an entry that no longer counts is known when it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due(u64);

impl Due {
    /// Whether it is later than a deadline at `at` would be.
    pub(crate) fn is_after(self, at: Millis) -> bool {
        self.0 > at.0.div_ceil(TICK)
    }

    /// Whether an entry that is met is the one that counts. It counts once: of two entries for the same tick only the first.
    pub(crate) fn counts(self, remembered: &mut Option<Due>) -> bool {
        remembered.take_if(|due| *due == self).is_some()
    }
}

/// Buckets of slots by the tick at which they are due. An entry is never searched for: whoever moves a deadline adds
/// another entry and remembers its [`Due`].
#[derive(Debug)]
pub(crate) struct TimerWheel {
    buckets: Vec<Vec<(Slot, Due)>>,
    /// The tick that is looked at next.
    next: u64,
}

impl TimerWheel {
    pub(crate) fn new() -> TimerWheel {
        TimerWheel { buckets: vec![Vec::new(); BUCKETS], next: 0 }
    }

    /// Makes `slot` due at `at`, at the earliest at the next tick.
    pub(crate) fn schedule(&mut self, slot: Slot, at: Millis) -> Due {
        let tick = at.0.div_ceil(TICK).clamp(self.next, self.next + BUCKETS as u64 - 1);
        self.buckets[(tick % BUCKETS as u64) as usize].push((slot, Due(tick)));
        Due(tick)
    }

    /// Takes all that is due at `now`.
    pub(crate) fn expire(&mut self, now: Millis) -> Vec<(Slot, Due)> {
        let mut expired = Vec::new();
        while self.next <= now.0 / TICK {
            expired.append(&mut self.buckets[(self.next % BUCKETS as u64) as usize]);
            self.next += 1;
        }
        expired
    }

    /// How long the owner may sleep between two looks at the wheel.
    pub(crate) const fn period() -> Millis {
        Millis(TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(index: u32) -> Slot {
        Slot { index, generation: 7 }
    }

    #[test]
    fn a_slot_is_due_at_its_tick_and_not_before() {
        let mut wheel = TimerWheel::new();
        let soon = wheel.schedule(slot(1), Millis(1_000));
        let late = wheel.schedule(slot(2), Millis(1_001));
        assert_eq!(wheel.expire(Millis(999)), []);
        assert_eq!(wheel.expire(Millis(1_000)), [(slot(1), soon)]);
        assert_eq!(wheel.expire(Millis(1_250)), [(slot(2), late)]);
    }

    #[test]
    fn of_two_entries_for_the_same_tick_one_counts() {
        let mut wheel = TimerWheel::new();
        let first = wheel.schedule(slot(1), Millis(1_000));
        let mut remembered = Some(wheel.schedule(slot(1), Millis(990)));
        assert_eq!(remembered, Some(first));
        let counts: Vec<bool> =
            wheel.expire(Millis(1_000)).iter().map(|(_, due)| due.counts(&mut remembered)).collect();
        assert_eq!(counts, [true, false]);
        let late = wheel.schedule(slot(1), Millis(2_000));
        assert!(!late.counts(&mut Some(wheel.schedule(slot(1), Millis(3_000)))), "it was rescheduled");
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_the_next_look_and_a_far_one_is_looked_at_before() {
        let mut wheel = TimerWheel::new();
        wheel.expire(Millis(10_000));
        wheel.schedule(slot(1), Millis(5));
        wheel.schedule(slot(2), Millis(10_000_000));
        assert_eq!(wheel.expire(Millis(10_250)).len(), 1);
        assert_eq!(wheel.expire(Millis(10_250 + TICK * BUCKETS as u64)).len(), 1);
    }
}
