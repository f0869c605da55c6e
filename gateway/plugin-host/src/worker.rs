//! A thread of the host, whose end is not waited for without a bound: it may be held up by a disk, or by somebody's file.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the end of a thread is waited for.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A thread that was told to stop by other means before [`Worker::join`].
#[derive(Debug)]
pub(crate) struct Worker {
    name: &'static str,
    /// Disconnected when the thread is over.
    ended: Mutex<Receiver<()>>,
}

impl Worker {
    pub(crate) fn start(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<Worker> {
        let (alive, ended) = mpsc::sync_channel(0);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped with the thread, also by a panic.
            let _alive: mpsc::SyncSender<()> = alive;
            work();
        })?;
        Ok(Worker { name, ended: Mutex::new(ended) })
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
}
