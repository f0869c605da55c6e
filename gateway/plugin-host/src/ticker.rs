//! The thread that makes the engine's epochs while guests run: 1 ms each, and short ones while somebody is in a hurry to have
//! the guests' threads back. Without a running guest it sleeps, so that an idle gateway stays idle.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::worker::{VitalSign, start_thread};

/// How long one epoch lasts, and a guest's first turn at least. As turns end where epochs do, the first one may last nearly twice as long.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How long one lasts while somebody is in a hurry. A turn costs some microseconds, which a guest that computes for long is to lose
/// little of its time to.
pub(crate) const SHORT_TICK: Duration = Duration::from_micros(75);
/// How long the thread itself runs at once, at most, as far as the system is to know: the least that it takes. Who asks for less comes sooner.
#[cfg(target_os = "linux")]
const SLICE: Duration = Duration::from_micros(100);
/// The time without a running guest after which the thread sleeps. Waking it costs the next call a few microseconds.
const IDLE: Duration = Duration::from_millis(10);

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
    /// How many are in a hurry.
    hurries: AtomicUsize,
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

/// Epochs are short while this is held.
#[derive(Debug)]
pub(crate) struct Hurry(Arc<Shared>);

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

    /// Whether epochs are short, for whatever guest.
    pub(crate) fn is_hurried(&self) -> bool {
        self.shared.period() == SHORT_TICK
    }

    /// Makes epochs short, from the present one on. A guest runs meanwhile.
    pub(crate) fn hurry(&self) -> Hurry {
        if self.shared.hurries.fetch_add(1, Ordering::SeqCst) == 0 {
            // It may be in the middle of a long one.
            self.ticking.unpark();
        }
        Hurry(Arc::clone(&self.shared))
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.hurries.fetch_sub(1, Ordering::Release);
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
        wake_on_time();
        let (mut last, mut last_running) = (Instant::now(), Instant::now());
        while !self.is_stopped() {
            if self.is_running() {
                last_running = last;
            } else if last.saturating_duration_since(last_running) > IDLE {
                self.sleep();
                last = Instant::now();
                last_running = last;
            }
            self.wait(last);
            last = Instant::now();
            engine.increment_epoch();
            self.ticks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the epoch that began then is over.
    fn wait(&self, began: Instant) {
        while !self.is_stopped() {
            match self.period().saturating_sub(began.elapsed()) {
                Duration::ZERO => return,
                left => thread::park_timeout(left),
            }
        }
    }

    fn period(&self) -> Duration {
        match self.hurries.load(Ordering::SeqCst) {
            0 => TICK,
            _ => SHORT_TICK,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn sleep(&self) {
        self.callers().retain(|caller| Arc::strong_count(caller) > 1);
        self.asleep.store(true, Ordering::SeqCst);
        while self.asleep.load(Ordering::SeqCst) && !self.is_running() && !self.is_stopped() {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// Lets this thread's waits end when they are over: by default the system may prolong them by 50 µs, to wake for several things at
/// once. Where others hold all processors it comes next, instead of after the slices of some milliseconds that they have by default:
/// guests are among them. What the system refuses costs no more than that.
fn wake_on_time() {
    #[cfg(target_os = "linux")]
    {
        /// `struct sched_attr` of its first version (<https://man7.org/linux/man-pages/man2/sched_setattr.2.html>).
        #[repr(C)]
        struct Scheduling {
            size: u32,
            policy: u32,
            flags: u64,
            nice: i32,
            priority: u32,
            /// The length of a slice, in nanoseconds, since Linux 6.12.
            runtime: u64,
            deadline: u64,
            period: u64,
        }
        let size = size_of::<Scheduling>() as u32;
        let (policy, runtime) = (libc::SCHED_OTHER as u32, SLICE.as_nanos() as u64);
        // SAFETY: system calls about the calling thread; the one pointer is to a value that lives and has the size that it names.
        unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong);
            if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
                let nice = libc::getpriority(libc::PRIO_PROCESS, 0);
                let scheduling =
                    Scheduling { size, policy, flags: 0, nice, priority: 0, runtime, deadline: 0, period: 0 };
                libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !condition() {
            assert!(Instant::now() < deadline, "{what} did not come about in good time");
            thread::yield_now();
        }
    }

    /// Whether more epochs end than whole ticks pass.
    fn are_short(ticker: &Ticker) -> bool {
        const EPOCHS: u32 = 5;
        let began = Instant::now();
        let ticks = || ticker.shared.ticks.load(Ordering::Relaxed);
        let last = ticks() + u64::from(EPOCHS);
        until("epochs", || ticks() >= last);
        // The first of them may have begun before.
        began.elapsed() < TICK * (EPOCHS - 1)
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
            let enough = Instant::now() + IDLE * 3;
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

    #[test]
    fn epochs_are_short_while_anybody_is_in_a_hurry_and_last_a_tick_otherwise() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let caller = ticker.caller();
        let _running = caller.run();
        until("long epochs", || !are_short(&ticker));
        for _ in 0..3 {
            let (one, other) = (caller.hurry(), ticker.caller().hurry());
            drop(one);
            assert_eq!(ticker.shared.period(), SHORT_TICK);
            until("short epochs", || are_short(&ticker));
            drop(other);
            assert_eq!(ticker.shared.period(), TICK);
            until("long epochs", || !are_short(&ticker));
        }
    }
}
