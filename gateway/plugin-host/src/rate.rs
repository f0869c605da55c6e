//! A bound on how often something is done.

use std::time::Instant;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
