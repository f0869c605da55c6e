//! The clock by which values live: the machine's, or one that a script sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    #[default]
    Machine,
    Scripted(Arc<ScriptedClock>),
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct ScriptedClock {
    start: Instant,
    first: u64,
    now: AtomicU64,
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Clock::Machine => Instant::now(),
            Clock::Scripted(clock) => clock.start + clock.passed(),
        }
    }

    /// The time since 1970.
    pub(crate) fn since_1970(&self) -> Duration {
        match self {
            Clock::Machine => SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Clock::Scripted(clock) => clock.since_1970(),
        }
    }
}

impl ScriptedClock {
    /// At `now`, in milliseconds since 1970.
    pub(crate) fn at(now: u64) -> ScriptedClock {
        ScriptedClock { start: Instant::now(), first: now, now: AtomicU64::new(now) }
    }

    /// Moves on to `now`, in milliseconds since 1970; it never goes back.
    pub(crate) fn set(&self, now: u64) {
        self.now.fetch_max(now, Ordering::Relaxed);
    }

    /// The time since 1970.
    pub(crate) fn since_1970(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::Relaxed))
    }

    /// What has passed since it was made, within what an `Instant` can hold.
    pub(crate) fn passed(&self) -> Duration {
        const CENTURY: Duration = Duration::from_secs(100 * 366 * 86_400);
        (self.since_1970() - Duration::from_millis(self.first)).min(CENTURY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripted_clock_stands_still_until_it_is_set_and_never_goes_back() {
        let scripted = Arc::new(ScriptedClock::at(1_000));
        let clock = Clock::Scripted(scripted.clone());
        let start = clock.now();
        scripted.set(3_500);
        scripted.set(2_000);
        assert_eq!(clock.now(), start + Duration::from_millis(2_500));
        assert_eq!(scripted.since_1970(), Duration::from_millis(3_500));
        scripted.set(u64::MAX);
        assert!(clock.now() > start);
    }
}
