//! How the calls of a plugin's version have ended of late, and whose: whether the version is to give way to the one before it, and
//! whether further calls are worth a try.
//!
//! Each shard counts in slots of time of its own; they are summed when a call has broken off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::breakers::Breakers;
use crate::metrics::Outcome;
use crate::peers::{Peer, PeerSet};
use crate::settings::{Rollback, Share};

/// The parts of a window; it moves on by one of them.
const SLOTS: usize = 10;

/// The calls of a plugin within a window of time.
#[derive(Debug)]
pub(crate) struct Health {
    settings: Rollback,
    start: Instant,
    shards: Mutex<Vec<Arc<ShardHealth>>>,
    breakers: Arc<Breakers>,
    /// Of the version that does not give way, because the one before it was no better.
    spared: AtomicU64,
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
    /// Whose they were.
    peers: PeerSet,
    peers_broken_off: PeerSet,
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
        let breakers = Arc::new(Breakers::new(settings.calls, settings.window));
        Health { settings, start: Instant::now(), shards: Mutex::default(), breakers, spared: AtomicU64::new(0) }
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

    /// The calls of the window that ends now, if so many of them, and of the peers whose they were, broke off that the version should
    /// not serve. One peer's calls say nothing of the version as long as those of others end.
    pub(crate) fn is_bad(&self, generation: u64, now: Instant) -> Option<Tally> {
        let share = self.settings.errors?;
        let tally = self.tally(generation, now);
        let is_bad = tally.calls >= self.settings.calls && share.is_reached(tally.broken_off, tally.calls);
        (is_bad && self.is_bad_for_many(generation, share, now)).then_some(tally)
    }

    fn is_bad_for_many(&self, generation: u64, share: Share, now: Instant) -> bool {
        let (all, concerned) = (PeerSet::default(), PeerSet::default());
        self.each_slot(generation, now, |slot| {
            all.add_all(&slot.peers);
            concerned.add_all(&slot.peers_broken_off);
        });
        share.is_reached(concerned.count(), all.count())
    }

    /// The version with this generation serves on whatever its calls do: the one before it was as bad.
    pub(crate) fn spare(&self, generation: u64) {
        self.spared.store(generation, Ordering::Relaxed);
    }

    pub(crate) fn is_spared(&self, generation: u64) -> bool {
        self.spared.load(Ordering::Relaxed) == generation
    }

    pub(crate) fn breakers(&self) -> &Arc<Breakers> {
        &self.breakers
    }

    fn tally(&self, generation: u64, now: Instant) -> Tally {
        let mut tally = Tally::default();
        self.each_slot(generation, now, |slot| {
            tally.calls += slot.calls.load(Ordering::Relaxed);
            tally.broken_off += slot.broken_off.load(Ordering::Relaxed);
        });
        tally
    }

    /// Those of the version in the window that ends now, of all shards.
    fn each_slot(&self, generation: u64, now: Instant, mut what: impl FnMut(&Slot)) {
        let number = self.time().number(now);
        let first = (number + 1).saturating_sub(SLOTS as u64).max(1);
        self.shards().iter().flat_map(|shard| shard.slots_from(first, generation)).for_each(&mut what);
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
    pub(crate) fn record(&self, generation: u64, outcome: Outcome, peer: Peer, now: Instant) {
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
            slot.peers.clear();
            slot.peers_broken_off.clear();
            slot.number.store(number, Ordering::Relaxed);
        }
        add(&slot.calls, 1);
        slot.peers.add(peer);
        if outcome.is_broken_off() {
            add(&slot.broken_off, 1);
            slot.peers_broken_off.add(peer);
        }
    }

    /// The parts from the one with the number `first` on, if they are of this version.
    fn slots_from(&self, first: u64, generation: u64) -> impl Iterator<Item = &Slot> {
        let is_present = self.generation.load(Ordering::Relaxed) == generation;
        let slots = self.slots.iter().filter(move |slot| slot.number.load(Ordering::Relaxed) >= first);
        slots.filter(move |_| is_present)
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

    const ANN: Peer = Peer::numbered(1);
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
        one.record(1, Outcome::Trapped, ANN, now);
        one.record(1, Outcome::Ok, ANN, now);
        other.record(1, Outcome::TimedOut, ANN, now);
        assert_eq!(health.is_bad(1, now), None, "three calls are too few");
        other.record(1, Outcome::Rejected, ANN, now);
        assert_eq!(health.is_bad(1, now), Some(Tally { calls: 4, broken_off: 2 }));
        other.record(1, Outcome::Failed, ANN, now);
        assert_eq!(health.is_bad(1, now), None, "two of five are less than half");
    }

    #[test]
    fn what_is_not_the_versions_fault_does_not_count() {
        let (health, [shard, _]) = health();
        for outcome in [Outcome::Busy, Outcome::NotServing, Outcome::OutOfPluginMemory] {
            shard.record(1, outcome, ANN, health.start);
        }
        assert_eq!(health.tally(1, health.start), Tally::default());
    }

    #[test]
    fn calls_that_ended_before_the_window_count_no_more() {
        let (health, [shard, _]) = health();
        for second in 0..30 {
            shard.record(1, Outcome::Ok, ANN, health.start + Duration::from_secs(second));
            shard.record(1, Outcome::OutOfMemory, ANN, health.start + Duration::from_secs(second));
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
            shard.record(1, Outcome::Trapped, ANN, now);
            other.record(1, Outcome::Trapped, ANN, now);
        }
        shard.record(2, Outcome::Ok, ANN, now);
        assert_eq!(health.tally(2, now), Tally { calls: 1, ..Tally::default() });
        shard.record(1, Outcome::Trapped, ANN, now);
        assert_eq!(
            health.tally(2, now),
            Tally { calls: 1, ..Tally::default() },
            "a call of the version before ended late"
        );
    }

    #[test]
    fn one_peer_whose_calls_break_off_makes_no_version_bad_that_serves_others() {
        let (health, [one, other]) = health();
        let now = health.start;
        for _ in 0..100 {
            one.record(1, Outcome::Trapped, ANN, now);
        }
        assert!(health.is_bad(1, now).is_some(), "nobody else calls");
        for peer in [2, 3] {
            other.record(1, Outcome::Ok, Peer::numbered(peer), now);
        }
        assert_eq!(health.is_bad(1, now), None, "it is bad for one of three");
        one.record(1, Outcome::Trapped, Peer::numbered(3), now);
        assert!(health.is_bad(1, now).is_some(), "it is bad for two of three");
    }

    #[test]
    fn a_version_is_spared_by_its_generation() {
        let (health, _) = health();
        assert!(!health.is_spared(1));
        health.spare(2);
        assert!(health.is_spared(2) && !health.is_spared(3));
    }
}
