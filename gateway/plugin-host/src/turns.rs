//! How the guests of one plugin share a shard with everybody else, however many of them run.
//!
//! For each turn that guests of a plugin have had, all of them wait until the shard has looked at its sockets and timers. Calls that
//! begin share a tick of their own, so that short ones do not wait for long ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::breakers::Breakers;
use crate::ticker::{SHORT_TICK, TICK};

/// How long a guest rests between two turns while its caller's calls run into their budget, at least: timers go off at whole milliseconds.
const REST: Duration = SHORT_TICK.saturating_mul(10);

/// The turns of one plugin on one shard.
#[derive(Debug)]
pub(crate) struct Turns {
    /// For how long calls have run that began since the shard had its turn, in nanoseconds.
    begun: AtomicU64,
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
        let (begun, start, went_on) = (AtomicU64::new(0), Instant::now(), AtomicU64::new(0));
        Arc::new(Turns { begun, beginning, going_on, resting, start, went_on, breakers })
    }

    /// Must a call that is to begin wait for its turn?
    pub(crate) fn is_used_up(&self) -> bool {
        self.begun.load(Ordering::Relaxed) >= TICK.as_nanos() as u64
    }

    /// Waits until a call may begin.
    pub(crate) async fn begin(&self) {
        let _next = self.beginning.acquire().await;
        if self.is_used_up() {
            tokio::task::yield_now().await;
            self.begun.store(0, Ordering::Relaxed);
        }
    }

    /// A call has run for so long, without an end or to its end.
    pub(crate) fn has_run(&self, time: Duration) {
        // Only the shard's thread writes.
        let begun = self.begun.load(Ordering::Relaxed);
        self.begun.store(begun.saturating_add(time.min(TICK).as_nanos() as u64), Ordering::Relaxed);
    }

    /// Waits until a guest that has had its turn may have another one.
    pub(crate) async fn go_on(self: Arc<Self>) {
        // Whoever is next waits for the shard only then, so that one of them goes on each time.
        let _next = self.going_on.acquire().await;
        tokio::task::yield_now().await;
        self.guest_goes_on();
    }

    /// The same, after a while: for guests whose caller's calls run into their budget.
    pub(crate) async fn rest(self: Arc<Self>) {
        let _next = self.resting.acquire().await;
        tokio::time::sleep(REST).await;
        self.guest_goes_on();
    }

    fn guest_goes_on(&self) {
        self.went_on.store(self.start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// When a guest last had its turn.
    pub(crate) fn went_on(&self) -> Instant {
        self.start + Duration::from_nanos(self.went_on.load(Ordering::Relaxed))
    }
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
    fn calls_that_begin_share_one_tick_for_each_turn_of_the_shard() {
        let begin = |time: Duration| {
            most_at_once(move |turns: Arc<Turns>| async move {
                if turns.is_used_up() {
                    turns.begin().await;
                }
                turns.has_run(time);
            })
        };
        assert_eq!(begin(TICK), 1);
        assert_eq!(begin(TICK / 4), 4);
        assert!(begin(Duration::ZERO) > 4);
    }
}
