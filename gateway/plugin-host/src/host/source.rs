//! Time and chance. All that guests get of either comes from here, by the contract's imports and by WASI's alike.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::ScriptedClock;

/// Where time and chance come from.
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// The time since 1970.
    fn wall_clock(&self) -> Duration;

    /// The time since a moment before the first guest; it never goes back.
    fn monotonic_clock(&self) -> Duration;

    /// How long it is until then.
    fn until(&self, moment: Instant) -> Duration;

    /// Fills the bytes with random ones that nobody can guess.
    fn fill(&self, bytes: &mut [u8]);
}

/// Those of the machine.
#[derive(Debug)]
pub(crate) struct Machine {
    start: Instant,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine { start: Instant::now() }
    }
}

impl Source for Machine {
    fn wall_clock(&self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }

    fn monotonic_clock(&self) -> Duration {
        self.start.elapsed()
    }

    fn until(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(Instant::now())
    }

    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has random bytes");
    }
}

/// The time that a script sets, and chance that is the same in each run. Only the monotonic clock also runs by itself: whoever waits
/// would wait for ever by one that stands still.
#[derive(Debug)]
pub(crate) struct Scripted {
    start: Instant,
    clock: Arc<ScriptedClock>,
    call_time: Duration,
    drawn: AtomicU64,
}

impl Scripted {
    /// Calls always have `call_time` left.
    pub(crate) fn new(clock: Arc<ScriptedClock>, call_time: Duration) -> Scripted {
        Scripted { start: Instant::now(), clock, call_time, drawn: AtomicU64::new(0) }
    }
}

impl Source for Scripted {
    fn wall_clock(&self) -> Duration {
        self.clock.since_1970()
    }

    fn monotonic_clock(&self) -> Duration {
        self.start.elapsed() + self.clock.passed()
    }

    fn until(&self, _: Instant) -> Duration {
        self.call_time
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64, which will give the same numbers in all later versions, too.
            let mut number =
                self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (number ^ (number >> 31)).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripted_chance_is_the_same_in_each_run_and_no_two_draws_are_alike() {
        let draws = || {
            let source = Scripted::new(Arc::new(ScriptedClock::at(5)), Duration::from_secs(1));
            let mut draws = [[0; 11]; 2];
            draws.iter_mut().for_each(|draw| source.fill(draw));
            assert_eq!(
                (source.wall_clock(), source.until(Instant::now())),
                (Duration::from_millis(5), Duration::from_secs(1))
            );
            draws
        };
        let [first, second] = draws();
        assert_eq!([first, second], draws());
        assert_ne!(first, second);
        // The first numbers of SplitMix64 from 0, as its authors give them.
        assert_eq!(u64::from_le_bytes(first[..8].try_into().unwrap()), 0xe220_a839_7b1d_cdaf);
    }
}
