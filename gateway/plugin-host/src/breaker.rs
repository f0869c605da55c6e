//! Answers calls as busy while nearly all of them run into their budget: such calls would hold the shards up and end in
//! vain. In between one is let through, to see whether it is still so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many calls in vain weigh as much as one that ended: nine of ten are too many.
const WEIGHT: u64 = 9;
/// The first pause between two calls that are let through is this part of the window, the longest so many windows.
const FIRST_PAUSE: u32 = 10;
const LONGEST_PAUSE: u32 = 3;

/// Of a plugin's calls for somebody, on all shards.
#[derive(Debug)]
pub(crate) struct Breaker {
    start: Instant,
    /// It opens when so many calls more were in vain than are made up for by others.
    calls: u64,
    /// After so long they are forgotten.
    window: Duration,
    /// Until when no call is let through, in nanoseconds since the start; 0 while all are.
    open_until: AtomicU64,
    /// Calls in vain that are not made up for.
    in_vain: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How long no call was let through the last time.
    pause: Duration,
    last_in_vain: Option<Instant>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// As all others.
    Free,
    /// To see whether calls end again.
    OnTrial,
    Closed,
}

impl Breaker {
    pub(crate) fn new(calls: u64, window: Duration) -> Breaker {
        let (open_until, in_vain, state) = Default::default();
        Breaker { start: Instant::now(), calls, window, open_until, in_vain, state }
    }

    /// Whether calls are answered as busy.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Relaxed) > 0
    }

    /// Calls in vain that are not made up for.
    pub(crate) fn calls_in_vain(&self) -> u64 {
        self.in_vain.load(Ordering::Relaxed)
    }

    /// Whether it tells no more than a new one would: nothing was in vain of late, or nobody has come for long to see whether calls end
    /// again.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let last_in_vain = self.state().last_in_vain;
        match self.open_until.load(Ordering::Relaxed) {
            0 => {
                self.calls_in_vain() == 0
                    || last_in_vain.is_none_or(|last| now.saturating_duration_since(last) >= self.window)
            }
            until => self.since_start(now) > until.saturating_add(nanoseconds(self.window * LONGEST_PAUSE)),
        }
    }

    /// Whether a call that begins now passes, if only on trial.
    pub(crate) fn lets_pass(&self, now: Instant) -> bool {
        self.since_start(now) >= self.open_until.load(Ordering::Relaxed)
    }

    /// A call is to begin, which ends within `call_time`.
    pub(crate) fn pass(&self, now: Instant, call_time: Duration) -> Passage {
        match self.is_open() {
            false => Passage::Free,
            true => self.try_again(now, call_time),
        }
    }

    fn try_again(&self, now: Instant, call_time: Duration) -> Passage {
        let state = self.state();
        if !self.is_open() {
            return Passage::Free;
        }
        if !self.lets_pass(now) {
            return Passage::Closed;
        }
        // One at a time; the next one when this one has told nothing.
        self.open_for(now, call_time.saturating_add(state.pause));
        Passage::OnTrial
    }

    /// A call has run into its budget; says whether further ones are answered as busy because of it. After one that was on
    /// trial the next one comes after a pause twice as long.
    pub(crate) fn in_vain(&self, passage: Passage, now: Instant) -> bool {
        let mut state = self.state();
        if self.is_open() {
            if passage == Passage::OnTrial {
                state.pause = (state.pause * 2).min(self.window * LONGEST_PAUSE);
                self.open_for(now, state.pause);
            }
            return false;
        }
        let last = state.last_in_vain.replace(now);
        let before = match last {
            Some(last) if now.saturating_duration_since(last) < self.window => self.in_vain.load(Ordering::Relaxed),
            Some(_) | None => 0,
        };
        self.in_vain.store(before + 1, Ordering::Relaxed);
        let opens = before + 1 >= self.calls;
        if opens {
            state.pause = self.window / FIRST_PAUSE;
            self.open_for(now, state.pause);
        }
        opens
    }

    /// A call has ended otherwise; says whether all pass again because of it.
    pub(crate) fn ended(&self, passage: Passage) -> bool {
        if passage == Passage::OnTrial {
            return self.close();
        }
        let _state = self.state();
        if self.is_open() {
            // It began before.
            return false;
        }
        let before = self.in_vain.load(Ordering::Relaxed);
        self.in_vain.store(before.saturating_sub(WEIGHT), Ordering::Relaxed);
        false
    }

    /// All calls pass from now on, whatever came of those before; says whether that is new.
    fn close(&self) -> bool {
        let _state = self.state();
        self.in_vain.store(0, Ordering::Relaxed);
        self.open_until.swap(0, Ordering::Relaxed) > 0
    }

    fn open_for(&self, now: Instant, time: Duration) {
        let until = self.since_start(now).saturating_add(nanoseconds(time));
        self.open_until.store(until.max(1), Ordering::Relaxed);
    }

    fn since_start(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.start))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(20, 10 * SECOND)
    }

    #[test]
    fn it_opens_when_more_than_nine_of_ten_calls_are_in_vain() {
        let opens_after = |ended_of_ten: usize| {
            let breaker = breaker();
            (1..=1_000).find(|call| match call % 10 < ended_of_ten {
                true => breaker.ended(Passage::Free),
                false => breaker.in_vain(Passage::Free, breaker.start),
            })
        };
        assert_eq!(opens_after(0), Some(20));
        assert_eq!(opens_after(1), None);
        let breaker = breaker();
        assert!(!(0..1_000).any(|_| breaker.ended(Passage::Free)));
        let in_vain = |_: &i32| breaker.in_vain(Passage::Free, breaker.start);
        assert_eq!((1..100).find(in_vain), Some(20), "what was long ago does not make up for it");
    }

    #[test]
    fn calls_in_vain_are_forgotten_after_a_window_without_one() {
        let breaker = breaker();
        for call in 0..100 {
            assert!(!breaker.in_vain(Passage::Free, breaker.start + call * 10 * SECOND));
        }
    }

    #[test]
    fn no_call_passes_but_one_after_each_pause_and_all_do_when_that_one_ends() {
        let breaker = breaker();
        let at = |seconds: u32| breaker.start + SECOND * seconds;
        assert_eq!(breaker.pass(at(10), SECOND), Passage::Free);
        assert!((0..20).any(|_| breaker.in_vain(Passage::Free, at(10))));
        assert_eq!(breaker.try_again(at(10), SECOND), Passage::Closed);
        assert!(!breaker.ended(Passage::Free), "a call that had begun before tells nothing");
        assert_eq!(breaker.try_again(at(11), SECOND), Passage::OnTrial);
        assert_eq!(breaker.try_again(at(11), SECOND), Passage::Closed, "one at a time");
        assert!(!breaker.in_vain(Passage::OnTrial, at(12)));
        assert_eq!(breaker.try_again(at(13), SECOND), Passage::Closed, "the pause is twice as long");
        assert_eq!(breaker.try_again(at(14), SECOND), Passage::OnTrial);
        for trial in 0..10 {
            breaker.in_vain(Passage::OnTrial, at(15 + trial));
        }
        assert_eq!(breaker.try_again(at(54), SECOND), Passage::OnTrial, "and has a bound");
        assert_eq!(breaker.try_again(at(85), SECOND), Passage::OnTrial, "the one before has told nothing");
        assert!(breaker.ended(Passage::OnTrial) && breaker.calls_in_vain() == 0);
        assert_eq!(breaker.pass(at(85), SECOND), Passage::Free);
    }

    #[test]
    fn calls_that_end_while_it_is_open_make_up_for_nothing() {
        let breaker = breaker();
        assert!((0..20).any(|_| breaker.in_vain(Passage::Free, breaker.start)));
        for _ in 0..100 {
            assert!(!breaker.ended(Passage::Free));
        }
        assert!(breaker.is_open() && breaker.calls_in_vain() > 0);
    }

    #[test]
    fn it_is_idle_when_nothing_was_in_vain_of_late_or_nobody_has_tried_again_for_long() {
        let breaker = breaker();
        let at = |seconds: u32| breaker.start + SECOND * seconds;
        assert!(breaker.is_idle(at(0)));
        breaker.in_vain(Passage::Free, at(0));
        assert!(!breaker.is_idle(at(9)) && breaker.is_idle(at(10)));
        assert!((0..20).any(|_| breaker.in_vain(Passage::Free, at(9))));
        assert!(!breaker.is_idle(at(39)) && breaker.is_idle(at(41)));
    }
}
