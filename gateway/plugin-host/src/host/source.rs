//! Time and chance. All that guests get of either comes from here, by the contract's imports and by WASI's alike.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

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
