//! Threads of the host: the only door to new ones, and what they tell of themselves.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle, Scope, ScopedJoinHandle};
use std::time::Duration;

/// How long the end of a thread is waited for.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a thread shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VitalSign {
    /// Nothing of it is due, or it may wait for a disk.
    Idle,
    /// A number that another one must follow soon.
    Working(u64),
    /// It has ended without being told to.
    Ended,
}

/// Starts a thread; who keeps the handle is its owner.
pub(crate) fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Starts a thread that is over when the scope is.
pub(crate) fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().spawn_scoped(scope, work)
}

/// A thread whose end is not waited for without a bound, because a disk or somebody's file may hold it up. It is told to
/// stop by other means before [`Worker::join`].
#[derive(Debug)]
pub(crate) struct Worker {
    name: &'static str,
    /// Disconnected when the thread is over.
    ended: Mutex<Receiver<()>>,
}

impl Worker {
    pub(crate) fn start(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<Worker> {
        let (alive, ended) = mpsc::sync_channel(0);
        start_thread(name, move || {
            // Dropped with the thread, also by a panic.
            let _alive: mpsc::SyncSender<()> = alive;
            work();
        })?;
        Ok(Worker { name, ended: Mutex::new(ended) })
    }

    /// What it shows while nobody has told it to stop.
    pub(crate) fn vital_sign(&self) -> VitalSign {
        match self.ended.lock().unwrap_or_else(PoisonError::into_inner).try_recv() {
            Err(TryRecvError::Disconnected) => VitalSign::Ended,
            Ok(()) | Err(TryRecvError::Empty) => VitalSign::Idle,
        }
    }

    /// Waits for the end, and goes on without it after a while.
    pub(crate) fn join(self) {
        self.join_within(STOP_TIMEOUT);
    }

    fn join_within(self, timeout: Duration) {
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(timeout) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(thread = self.name, ?timeout, "a thread does not end; the gateway stops without it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_end_is_left_alone() {
        let (hold, held) = mpsc::channel::<()>();
        let worker = Worker::start("held", move || assert!(held.recv().is_err(), "nobody sends")).expect("a thread");
        worker.join_within(Duration::from_millis(1));
        let worker = Worker::start("ended", || ()).expect("a thread");
        worker.join_within(Duration::from_secs(3_600));
        drop(hold);
    }

    #[test]
    fn a_thread_that_panics_shows_that_it_has_ended() {
        let (hold, held) = mpsc::channel::<()>();
        let work = move || assert!(held.recv().is_ok(), "on purpose");
        let worker = Worker::start("panics", work).expect("a thread");
        assert_eq!(worker.vital_sign(), VitalSign::Idle);
        drop(hold);
        let ended = worker.ended.lock().expect("nobody panics with it").recv();
        assert_eq!(ended, Err(mpsc::RecvError));
        assert_eq!(worker.vital_sign(), VitalSign::Ended);
    }
}
