//! How the guests of one plugin share a shard with everybody else, however many of them run.
//!
//! For each turn that guests of a plugin have had, all of them wait until the shard has looked at its sockets and timers. Calls that
//! begin share turns of their own, so that short ones do not wait for long ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::breakers::Breakers;
use crate::ticker::SHORT_TICK;

/// What calls that begin may take of the thread at once, together. Half of the time that passes is given to them anew.
const BEGINNERS_TURN: Duration = Duration::from_micros(100);

/// How long a guest rests between two turns while its caller's calls run into their budget, at least: timers go off at whole milliseconds.
const REST: Duration = SHORT_TICK.saturating_mul(10);

/// The turns of one plugin on one shard.
#[derive(Debug)]
pub(crate) struct Turns {
    /// What calls that begin have taken of their turn, in nanoseconds, and what was given to them anew until `counted`, in nanoseconds
    /// from the start, is taken off. Only the shard's thread writes them.
    begun: AtomicU64,
    counted: AtomicU64,
    /// One of the calls that wait to begin, or of the guests that wait to go on, has its turn next.
    beginning: Semaphore,
    going_on: Semaphore,
    resting: Semaphore,
    start: Instant,
    /// When a guest last had its turn, in nanoseconds from the start.
    went_on: AtomicU64,
    pub(crate) breakers: Arc<Breakers>,
}

impl Turns {
    pub(crate) fn new(breakers: Arc<Breakers>) -> Arc<Turns> {
        let [beginning, going_on, resting] = [(); 3].map(|()| Semaphore::new(1));
        let (begun, counted, went_on) = Default::default();
        Arc::new(Turns { begun, counted, beginning, going_on, resting, start: Instant::now(), went_on, breakers })
    }

    /// Must a call that is to begin at `now` wait for its turn?
    pub(crate) fn is_used_up(&self, now: Instant) -> bool {
        if !self.is_spent() {
            return false;
        }
        // Only now, as most calls need not know it.
        let now = nanoseconds(now.saturating_duration_since(self.start));
        // A call may have waited for something else since then, and others been counted meanwhile.
        let passed = now.saturating_sub(self.counted.fetch_max(now, Ordering::Relaxed));
        self.begun.store(self.begun.load(Ordering::Relaxed).saturating_sub(passed / 2), Ordering::Relaxed);
        self.is_spent()
    }

    fn is_spent(&self) -> bool {
        self.begun.load(Ordering::Relaxed) >= nanoseconds(BEGINNERS_TURN)
    }

    /// Waits until a call may begin.
    pub(crate) async fn begin(&self) {
        let _next = self.beginning.acquire().await;
        if self.is_spent() {
            others_turn().await;
            self.begun.store(0, Ordering::Relaxed);
        }
    }

    /// A call has run for so long, without an end or to its end.
    pub(crate) fn has_run(&self, time: Duration) {
        let begun = self.begun.load(Ordering::Relaxed);
        self.begun.store(begun.saturating_add(nanoseconds(time.min(BEGINNERS_TURN))), Ordering::Relaxed);
    }

    /// Waits until a guest that was interrupted soon after its beginning may go on: with those that begin.
    pub(crate) async fn go_on_soon(self: Arc<Self>) {
        let _next = self.beginning.acquire().await;
        others_turn().await;
        self.begun.store(0, Ordering::Relaxed);
        self.guest_goes_on();
    }

    /// Waits until a guest that has had its turn may have another one.
    pub(crate) async fn go_on(self: Arc<Self>) {
        // Whoever is next waits for the shard only then, so that one of them goes on each time.
        let _next = self.going_on.acquire().await;
        others_turn().await;
        self.guest_goes_on();
    }

    /// The same, after a while: for guests whose caller's calls run into their budget.
    pub(crate) async fn rest(self: Arc<Self>) {
        let _next = self.resting.acquire().await;
        tokio::time::sleep(REST).await;
        others_turn().await;
        self.guest_goes_on();
    }

    fn guest_goes_on(&self) {
        self.went_on.store(nanoseconds(self.start.elapsed()), Ordering::Relaxed);
    }

    /// When a guest last had its turn.
    pub(crate) fn went_on(&self) -> Instant {
        self.start + Duration::from_nanos(self.went_on.load(Ordering::Relaxed))
    }
}

/// Waits until the shard has looked at its sockets and timers, and what that has caused has left: the task that writes is ready only
/// after those that have something to write, and would have its turn after the guest.
async fn others_turn() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Runs `work` of many tasks, and gives how many of them had their turn at most until another task had its own.
    fn most_at_once<W: Future<Output = ()> + 'static>(work: impl Fn(Arc<Turns>) -> W) -> usize {
        const TASKS: usize = 20;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let turns = Turns::new(Arc::new(Breakers::new(20, Duration::from_secs(10))));
            let (ran, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            for _ in 0..TASKS {
                let (work, ran, done) = (work(turns.clone()), ran.clone(), done.clone());
                tokio::task::spawn_local(async move {
                    work.await;
                    ran.set(ran.get() + 1);
                    done.set(done.get() + 1);
                });
            }
            let mut most = 0;
            while done.get() < TASKS {
                tokio::task::yield_now().await;
                most = most.max(ran.take());
            }
            most
        })
    }

    #[test]
    fn of_many_guests_that_run_one_goes_on_for_each_turn_of_the_shard() {
        assert_eq!(most_at_once(Turns::go_on), 1);
        assert_eq!(most_at_once(Turns::rest), 1);
    }

    #[test]
    fn calls_that_begin_share_a_turn_for_each_turn_of_the_shard() {
        let now = Instant::now() + Duration::from_secs(3_600);
        let begin = |time: Duration| {
            most_at_once(move |turns: Arc<Turns>| async move {
                // No time passes.
                turns.counted.store(nanoseconds(now - turns.start), Ordering::Relaxed);
                if turns.is_used_up(now) {
                    turns.begin().await;
                }
                turns.has_run(time);
            })
        };
        assert_eq!(begin(BEGINNERS_TURN), 1);
        assert_eq!(begin(BEGINNERS_TURN / 4), 4);
        assert!(begin(Duration::ZERO) > 4);
    }

    #[test]
    fn half_of_the_time_that_passes_is_given_anew_to_calls_that_begin() {
        let turns = Turns::new(Arc::new(Breakers::new(20, Duration::from_secs(10))));
        let begin_at_once = |mut now: Instant, run: Duration, rest: Duration| {
            (0..100).all(|_| {
                let begins = !turns.is_used_up(now);
                turns.has_run(run);
                now += run + rest;
                begins
            })
        };
        let (run, later) = (BEGINNERS_TURN / 5, turns.start + BEGINNERS_TURN * 1_000);
        assert!(begin_at_once(turns.start, run, run), "they take half of the thread's time");
        assert!(!begin_at_once(later, run, Duration::ZERO), "they take all of it");
    }
}
