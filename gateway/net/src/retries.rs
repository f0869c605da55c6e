//! When those who are refused for want of room may come again. Told the same, they would all come at once, and again.

use std::time::{Duration, Instant};

/// The longest time that anybody is told, but for what is added at random.
const LONGEST: Duration = Duration::from_secs(60);

/// Those who were told to come again and whose time has not come.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// When the last of them comes.
    last: Option<Instant>,
}

impl Retries {
    /// When one more may come: in `soonest` at least, and `interval` after the one before.
    pub(crate) fn join(&mut self, soonest: Duration, interval: Duration, now: Instant) -> Duration {
        let before = self.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(now));
        let wait = (before + interval).max(soonest).min(LONGEST);
        self.last = Some(now + wait);
        wait
    }
}

/// The seconds of a `Retry-After`: `wait`, and up to as long again.
pub(crate) fn seconds(wait: Duration) -> u64 {
    let least = wait.as_secs() + 1;
    rand::random_range(least..=2 * least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_comes_after_the_one_before() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let told: Vec<Duration> = (0..10).map(|_| retries.join(2 * SECOND, SECOND, now)).collect();
        let expected: Vec<Duration> = (2..12).map(|seconds| seconds * SECOND).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn those_whose_time_has_come_keep_nobody_waiting() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let told = (0..10).map(|_| retries.join(SECOND, SECOND, now)).max();
        assert_eq!(told, Some(10 * SECOND));
        assert_eq!(retries.join(SECOND, SECOND, now + 8 * SECOND), 3 * SECOND);
        assert_eq!(retries.join(SECOND, SECOND, now + 100 * SECOND), SECOND);
    }

    #[test]
    fn nobody_is_sent_away_for_long_however_many_there_are() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        assert!((0..100_000).all(|_| retries.join(SECOND, SECOND, now) <= LONGEST));
    }

    #[test]
    fn many_that_are_told_the_same_do_not_come_in_the_same_second() {
        let told: std::collections::HashSet<u64> = (0..1_000).map(|_| seconds(4 * SECOND)).collect();
        assert!(told.iter().all(|seconds| (5..=10).contains(seconds)), "{told:?}");
        assert_eq!(told.len(), 6);
    }
}
