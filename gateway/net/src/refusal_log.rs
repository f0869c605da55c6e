//! What operators are told of refusals that somebody has to mend: each cause once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cause that was told is only counted.
const PAUSE: Duration = Duration::from_secs(60);
/// Causes that are told apart; what comes beyond them is told by its kind alone. Strangers can make up causes.
const MOST_CAUSES: usize = 64;

/// The causes that were told lately.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog(Mutex<HashMap<Box<str>, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// Refusals of this cause that were not told since.
    untold: u64,
}

/// A cause that is to be told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// How many refusals of this cause were not told since it was told last, if there were any.
    pub(crate) untold: Option<u64>,
}

impl RefusalLog {
    /// Notes a refusal; says whether its cause is due to be told. `kind` is one of few.
    pub(crate) fn note(&self, kind: &'static str, cause: &str, now: Instant) -> Option<Due> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if causes.len() >= MOST_CAUSES && !causes.contains_key(cause) {
            causes.retain(|_, told| now.saturating_duration_since(told.at) < PAUSE);
        }
        let key = if causes.len() < MOST_CAUSES || causes.contains_key(cause) { cause } else { kind };
        match causes.get_mut(key) {
            Some(told) if now.saturating_duration_since(told.at) < PAUSE => {
                told.untold += 1;
                None
            }
            Some(told) => {
                let untold = std::mem::take(&mut told.untold);
                told.at = now;
                Some(Due { untold: (untold > 0).then_some(untold) })
            }
            None => {
                causes.insert(key.into(), Told { at: now, untold: 0 });
                Some(Due { untold: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_a_minute_with_how_often_it_came_meanwhile() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let told = |cause, seconds| log.note("token", cause, start + Duration::from_secs(seconds));
        assert_eq!(told("wrong key", 0), Some(Due { untold: None }));
        assert_eq!([told("wrong key", 1), told("wrong key", 59)], [None, None]);
        assert_eq!(told("expired", 59), Some(Due { untold: None }), "another cause has its own minute");
        assert_eq!(told("wrong key", 60), Some(Due { untold: Some(2) }));
        assert_eq!(told("wrong key", 119), None);
    }

    #[test]
    fn causes_without_number_take_no_more_room_and_no_more_lines_than_a_number_of_them() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        let told = (0..10_000).filter_map(|number| log.note("origin", &format!("origin {number}"), now)).count();
        assert_eq!(told, MOST_CAUSES + 1, "the last line stands for all others");
        assert_eq!(log.0.lock().expect("not poisoned").len(), MOST_CAUSES + 1);
        assert!(log.note("token", "another kind", now).is_some());
        let later = now + PAUSE;
        assert!(log.note("origin", "a new one", later).is_some());
        assert_eq!(log.0.lock().expect("not poisoned").len(), 1, "what was told before is forgotten");
    }
}
