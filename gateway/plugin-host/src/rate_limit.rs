//! Bounds on how often, and how much of something, is done.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket that counts what it turned away.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
    turned_away: u64,
}

impl RateLimit {
    pub(crate) fn new((per_second, burst): (u32, u32), now: Instant) -> RateLimit {
        RateLimit { per_second: per_second.into(), burst: burst.into(), tokens: burst.into(), at: now, turned_away: 0 }
    }

    /// May it be done now? If so, says how often it could not be since the last time it could.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.burst);
        self.at = now;
        if self.tokens < 1.0 {
            self.turned_away += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.turned_away))
    }
}

/// A pace that work is held to by waiting: so many bytes in a second, and those of a second at once.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: usize,
    /// When all that was admitted is done at this pace.
    done_at: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: usize, now: Instant) -> Pace {
        Pace { bytes_per_second, done_at: Mutex::new(now) }
    }

    /// Admits work of so many bytes, which has its turn at the time that is returned, or at once.
    pub(crate) fn admit(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.max(1) as f64);
        let mut done_at = self.done_at.lock().unwrap_or_else(PoisonError::into_inner);
        *done_at = now.max(*done_at) + takes;
        let due = done_at.checked_sub(Duration::from_secs(1))?;
        (due > now).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_work_is_admitted_at_once_and_more_in_its_turn() {
        let start = Instant::now();
        let pace = Pace::new(1_000, start);
        assert_eq!(pace.admit(600, start), None);
        assert_eq!(pace.admit(400, start), None);
        assert_eq!(pace.admit(500, start), Some(start + Duration::from_millis(500)));
        assert_eq!(pace.admit(500, start), Some(start + Duration::from_millis(1_000)), "it is behind the one before");
        assert_eq!(pace.admit(1_000, start + Duration::from_secs(2)), None);
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut limit = RateLimit::new((10, 2), start);
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start), None);
        assert_eq!(limit.admit(start + Duration::from_millis(50)), None);
        assert_eq!(limit.admit(start + Duration::from_millis(110)), Some(2));
        assert_eq!(limit.admit(start + Duration::from_millis(120)), None);
    }
}
