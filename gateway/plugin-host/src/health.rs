//! How the calls of a plugin's version have ended of late: whether the version is to give way to the one before it, and whether
//! further calls are worth a try.
//!
//! Each shard counts in slots of time of its own; they are summed when a call has broken off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::breaker::Breaker;
use crate::metrics::Outcome;
use crate::settings::Rollback;

/// The parts of a window; it moves on by one of them.
const SLOTS: usize = 10;

/// The calls of a plugin within a window of time.
#[derive(Debug)]
pub(crate) struct Health {
    settings: Rollback,
    start: Instant,
    shards: Mutex<Vec<Arc<ShardHealth>>>,
    breaker: Arc<Breaker>,
}

/// The same on one shard, written by that shard's thread only.
#[derive(Debug)]
pub(crate) struct ShardHealth {
    time: Time,
    /// Whose calls are counted; those of versions before it are not any more.
    generation: AtomicU64,
    slots: [Slot; SLOTS],
}

/// How time is cut into parts.
#[derive(Debug, Clone, Copy)]
struct Time {
    start: Instant,
    slot_nanoseconds: u64,
}

/// The calls of one part of a window.
#[derive(Debug, Default)]
struct Slot {
    /// Which part, from 1; 0 is none.
    number: AtomicU64,
    calls: AtomicU64,
    broken_off: AtomicU64,
}

/// How many calls ended within a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    /// Those that cost an instance by the plugin's own fault.
    pub(crate) broken_off: u64,
}

impl Health {
    pub(crate) fn new(settings: Rollback) -> Health {
        let breaker = Arc::new(Breaker::new(settings.calls, settings.window));
        Health { settings, start: Instant::now(), shards: Mutex::default(), breaker }
    }

    /// Of one more shard.
    pub(crate) fn shard(&self) -> Arc<ShardHealth> {
        let shard =
            Arc::new(ShardHealth { time: self.time(), generation: AtomicU64::new(0), slots: Default::default() });
        let mut shards = self.shards();
        // Those of pools that are gone count no more.
        shards.retain(|shard| Arc::strong_count(shard) > 1);
        shards.push(shard.clone());
        shard
    }

    /// The calls of the window that ends now, if so many of them broke off that the version should not serve.
    pub(crate) fn is_bad(&self, generation: u64, now: Instant) -> Option<Tally> {
        let share = self.settings.errors?;
        let tally = self.tally(generation, now);
        (tally.calls >= self.settings.calls && share.is_reached(tally.broken_off, tally.calls)).then_some(tally)
    }

    pub(crate) fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    fn tally(&self, generation: u64, now: Instant) -> Tally {
        let mut tally = Tally::default();
        let number = self.time().number(now);
        let first = (number + 1).saturating_sub(SLOTS as u64).max(1);
        self.shards().iter().for_each(|shard| shard.add_to(&mut tally, generation, first));
        tally
    }

    fn time(&self) -> Time {
        let slot = (self.settings.window / SLOTS as u32).as_nanos();
        Time { start: self.start, slot_nanoseconds: u64::try_from(slot).unwrap_or(u64::MAX).max(1) }
    }

    fn shards(&self) -> MutexGuard<'_, Vec<Arc<ShardHealth>>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardHealth {
    /// A call of the version with this generation has ended.
    pub(crate) fn record(&self, generation: u64, outcome: Outcome, now: Instant) {
        if !outcome.is_the_guests() {
            return;
        }
        let present = self.generation.load(Ordering::Relaxed);
        if generation < present {
            return;
        }
        if generation > present {
            self.slots.iter().for_each(|slot| slot.number.store(0, Ordering::Relaxed));
            self.generation.store(generation, Ordering::Relaxed);
        }
        let number = self.time.number(now);
        let slot = &self.slots[number as usize % SLOTS];
        if slot.number.load(Ordering::Relaxed) != number {
            slot.calls.store(0, Ordering::Relaxed);
            slot.broken_off.store(0, Ordering::Relaxed);
            slot.number.store(number, Ordering::Relaxed);
        }
        add(&slot.calls, 1);
        add(&slot.broken_off, u64::from(outcome.is_broken_off()));
    }

    /// Adds the parts from the one with the number `first` on.
    fn add_to(&self, tally: &mut Tally, generation: u64, first: u64) {
        if self.generation.load(Ordering::Relaxed) != generation {
            return;
        }
        for slot in self.slots.iter().filter(|slot| slot.number.load(Ordering::Relaxed) >= first) {
            tally.calls += slot.calls.load(Ordering::Relaxed);
            tally.broken_off += slot.broken_off.load(Ordering::Relaxed);
        }
    }
}

impl Time {
    /// The number of the part that has this moment, from 1.
    fn number(self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX) / self.slot_nanoseconds + 1
    }
}

/// One thread writes, so a load and a store lose nothing.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::Share;

    const WINDOW: Duration = Duration::from_secs(10);

    fn health() -> (Health, [Arc<ShardHealth>; 2]) {
        let health = Health::new(Rollback { errors: Share::new(0.5), window: WINDOW, calls: 4 });
        let shards = [health.shard(), health.shard()];
        (health, shards)
    }

    #[test]
    fn a_version_is_bad_when_enough_of_enough_calls_on_all_shards_broke_off() {
        let (health, [one, other]) = health();
        let now = health.start;
        one.record(1, Outcome::Trapped, now);
        one.record(1, Outcome::Ok, now);
        other.record(1, Outcome::TimedOut, now);
        assert_eq!(health.is_bad(1, now), None, "three calls are too few");
        other.record(1, Outcome::Rejected, now);
        assert_eq!(health.is_bad(1, now), Some(Tally { calls: 4, broken_off: 2 }));
        other.record(1, Outcome::Failed, now);
        assert_eq!(health.is_bad(1, now), None, "two of five are less than half");
    }

    #[test]
    fn what_is_not_the_versions_fault_does_not_count() {
        let (health, [shard, _]) = health();
        for outcome in [Outcome::Busy, Outcome::NotServing, Outcome::OutOfPluginMemory] {
            shard.record(1, outcome, health.start);
        }
        assert_eq!(health.tally(1, health.start), Tally::default());
    }

    #[test]
    fn calls_that_ended_before_the_window_count_no_more() {
        let (health, [shard, _]) = health();
        for second in 0..30 {
            shard.record(1, Outcome::Ok, health.start + Duration::from_secs(second));
            shard.record(1, Outcome::OutOfMemory, health.start + Duration::from_secs(second));
        }
        let tally = |second| health.tally(1, health.start + Duration::from_secs(second));
        assert_eq!(tally(29), Tally { calls: 20, broken_off: 10 });
        assert_eq!(tally(34), Tally { calls: 10, broken_off: 5 });
        assert_eq!(tally(60), Tally::default());
    }

    #[test]
    fn a_new_version_begins_with_a_clean_record() {
        let (health, [shard, other]) = health();
        let now = health.start;
        for _ in 0..8 {
            shard.record(1, Outcome::Trapped, now);
            other.record(1, Outcome::Trapped, now);
        }
        shard.record(2, Outcome::Ok, now);
        assert_eq!(health.tally(2, now), Tally { calls: 1, ..Tally::default() });
        shard.record(1, Outcome::Trapped, now);
        assert_eq!(
            health.tally(2, now),
            Tally { calls: 1, ..Tally::default() },
            "a call of the version before ended late"
        );
    }
}
