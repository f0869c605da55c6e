//! The thread that makes the engine's epochs, 1 ms each, while guests run. Without a running guest it sleeps, so that an
//! idle gateway stays idle.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

use crate::worker::{VitalSign, start_thread};

/// How long one epoch lasts: the longest that a guest holds its thread.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the thread sleeps. Waking it costs the next call a few microseconds.
const IDLE_TICKS: u32 = 10;

/// The thread and what is told to it.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ticking: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    asleep: AtomicBool,
    stopped: AtomicBool,
    ticks: AtomicU64,
    callers: Mutex<Vec<Arc<RunningCalls>>>,
}

/// The calls that one caller, a shard for example, has running. On a cache line of its own: each call writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct RunningCalls(AtomicUsize);

/// Where one caller tells that guests run.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    running: Arc<RunningCalls>,
    shared: Arc<Shared>,
    ticking: Thread,
}

/// A guest may run while this is held.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a RunningCalls);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = start_thread("hubgate-epochs", move || own.tick(&engine))?;
        Ok(Ticker { shared, ticking: thread.thread().clone(), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn caller(&self) -> Caller {
        let running = Arc::default();
        self.shared.callers().push(Arc::clone(&running));
        Caller { running, shared: Arc::clone(&self.shared), ticking: self.ticking.clone() }
    }

    /// Ends the thread. A guest that loops is not broken off any more.
    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.ticking.unpark();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // That it has panicked was seen before.
            drop(thread.join());
        }
    }

    /// Without it a guest that loops holds its thread for ever.
    pub(crate) fn vital_sign(&self) -> VitalSign {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let has_ended = thread.as_ref().is_some_and(JoinHandle::is_finished);
        if self.shared.stopped.load(Ordering::SeqCst) {
            VitalSign::Idle
        } else if has_ended {
            VitalSign::Ended
        } else if self.shared.asleep.load(Ordering::SeqCst) {
            VitalSign::Idle
        } else {
            VitalSign::Working(self.shared.ticks.load(Ordering::Relaxed))
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Caller {
    pub(crate) fn run(&self) -> Running<'_> {
        self.running.0.fetch_add(1, Ordering::SeqCst);
        // The ticker first says that it sleeps and then looks for running calls; here it is the other way round. In one
        // total order one of the two sees the other.
        if self.shared.asleep.load(Ordering::SeqCst) && self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.ticking.unpark();
        }
        Running(&self.running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

impl Shared {
    fn callers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<RunningCalls>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self) -> bool {
        self.callers().iter().any(|caller| caller.0.load(Ordering::SeqCst) > 0)
    }

    fn tick(&self, engine: &Engine) {
        let mut idle_ticks = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            idle_ticks = if self.is_running() { 0 } else { idle_ticks + 1 };
            if idle_ticks > IDLE_TICKS {
                self.sleep();
                idle_ticks = 0;
            }
            thread::sleep(TICK);
            engine.increment_epoch();
            self.ticks.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn sleep(&self) {
        self.callers().retain(|caller| Arc::strong_count(caller) > 1);
        self.asleep.store(true, Ordering::SeqCst);
        while self.asleep.load(Ordering::SeqCst) && !self.is_running() && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "{what} did not come about within 10 s");
            thread::yield_now();
        }
    }

    #[test]
    fn it_sleeps_while_no_guest_runs_and_not_while_one_does() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let asleep = || ticker.shared.asleep.load(Ordering::SeqCst);
        let caller = ticker.caller();
        for _ in 0..3 {
            until("sleep", asleep);
            let running = caller.run();
            assert!(!asleep());
            let nested = caller.run();
            drop(running);
            assert!(matches!(ticker.vital_sign(), VitalSign::Working(_)));
            // Longer than it would take to fall asleep.
            let enough = Instant::now() + TICK * (3 * IDLE_TICKS);
            until("time", || Instant::now() > enough);
            assert!(!asleep());
            drop(nested);
        }
        until("sleep", asleep);
        assert_eq!(ticker.vital_sign(), VitalSign::Idle);
        ticker.stop();
        assert_eq!(ticker.vital_sign(), VitalSign::Idle);
        assert!(ticker.thread.lock().unwrap().is_none());
    }
}
