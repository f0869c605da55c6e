//! What operators are told of refusals that somebody has to mend: each cause once a minute, and then how often it came.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a cause that was told is only counted.
const PAUSE: Duration = Duration::from_secs(60);
/// Causes of one kind that are told apart. Strangers can make up causes of some kinds; those of others keep their lines.
const MOST_CAUSES: usize = 32;

/// The causes that were told lately.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog(Mutex<HashMap<Cause, Told>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cause {
    /// One of few.
    kind: &'static str,
    /// `None` stands for all causes of the kind that are not told apart.
    text: Option<Box<str>>,
}

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
    /// Whether it is told for all causes of its kind that are not told apart.
    pub(crate) for_others: Option<&'static str>,
}

/// What a line says that stands for many causes.
const FOR_OTHERS: &str = "more causes of this kind came than are told apart: this line stands for all others";

/// Refusals of a cause that was told before, and did not come again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overdue {
    pub(crate) kind: &'static str,
    pub(crate) cause: Box<str>,
    pub(crate) untold: u64,
}

impl RefusalLog {
    /// Notes a refusal; says whether its cause is due to be told.
    pub(crate) fn note(&self, kind: &'static str, cause: &str, now: Instant) -> Option<Due> {
        let mut causes = self.causes();
        let mut key = Cause { kind, text: Some(cause.into()) };
        if !causes.contains_key(&key) && causes.keys().filter(|each| each.kind == kind).count() >= MOST_CAUSES {
            key.text = None;
        }
        let for_others = key.text.is_none().then_some(FOR_OTHERS);
        match causes.get_mut(&key) {
            Some(told) if now.saturating_duration_since(told.at) < PAUSE => {
                told.untold += 1;
                None
            }
            Some(told) => {
                let untold = std::mem::take(&mut told.untold);
                told.at = now;
                Some(Due { untold: (untold > 0).then_some(untold), for_others })
            }
            None => {
                causes.insert(key, Told { at: now, untold: 0 });
                Some(Due { untold: None, for_others })
            }
        }
    }

    /// Forgets the causes that were told long ago; gives those whose last refusals were only counted.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<Overdue> {
        let is_over = |_: &Cause, told: &mut Told| now.saturating_duration_since(told.at) >= PAUSE;
        let mut causes = self.causes();
        let over = causes.extract_if(is_over).filter(|(_, told)| told.untold > 0);
        let overdue = |(cause, told): (Cause, Told)| Overdue {
            kind: cause.kind,
            cause: cause.text.unwrap_or_else(|| "causes that were not told apart".into()),
            untold: told.untold,
        };
        over.map(overdue).collect()
    }

    fn causes(&self) -> MutexGuard<'_, HashMap<Cause, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Option<Due> = Some(Due { untold: None, for_others: None });

    #[test]
    fn a_cause_is_told_once_a_minute_with_how_often_it_came_meanwhile() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let told = |cause, seconds| log.note("token", cause, start + Duration::from_secs(seconds));
        assert_eq!(told("wrong key", 0), FIRST);
        assert_eq!([told("wrong key", 1), told("wrong key", 59)], [None, None]);
        assert_eq!(told("expired", 59), FIRST, "another cause has its own minute");
        assert_eq!(told("wrong key", 60), Some(Due { untold: Some(2), for_others: None }));
        assert_eq!(told("wrong key", 119), None);
    }

    #[test]
    fn causes_without_number_take_no_room_and_no_lines_of_other_kinds_and_the_line_that_stands_for_many_says_so() {
        let (log, now) = (RefusalLog::default(), Instant::now());
        let told: Vec<Due> =
            (0..10_000).filter_map(|number| log.note("origin", &format!("origin {number}"), now)).collect();
        assert_eq!(told.len(), MOST_CAUSES + 1);
        assert!(told[..MOST_CAUSES].iter().all(|due| due.for_others.is_none()));
        assert_eq!(told[MOST_CAUSES].for_others, Some(FOR_OTHERS));
        assert_eq!(log.causes().len(), MOST_CAUSES + 1);
        for cause in ["wrong key", "expired"] {
            assert_eq!(log.note("token", cause, now), FIRST, "another kind");
        }
    }

    #[test]
    fn what_was_counted_is_told_although_its_cause_does_not_come_again() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let causes = 10_000;
        let mut told: u64 = 0;
        for number in 0..causes {
            for _ in 0..2 {
                told += u64::from(log.note("origin", &format!("origin {number}"), start).is_some());
            }
        }
        assert_eq!(log.sweep(start + PAUSE / 2), [], "each has its minute");
        let swept = log.sweep(start + PAUSE);
        assert_eq!(swept.len(), MOST_CAUSES + 1);
        told += swept.iter().map(|overdue| overdue.untold).sum::<u64>();
        assert_eq!(told, 2 * causes, "all of them");
        assert_eq!(log.sweep(start + PAUSE), [], "once");
        assert!(log.causes().is_empty());
    }
}
