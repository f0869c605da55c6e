//! A WebSocket's stream on a connection of HTTP/2 (RFC 8441). The connection is served where it was accepted; the stream may go
//! to another thread.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::http_places::Carrying;

/// What is written at a time, in bytes. The HTTP library holds three such pieces of a stream whose peer takes nothing: no more
/// than that is not on the client's account.
const PIECE: usize = 8 << 10;

/// The WebSockets of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamPlaces(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    last_end: Option<Instant>,
}

/// The place of one of them, for as long as it lives.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    places: StreamPlaces,
    _carrying: Carrying,
}

impl StreamPlaces {
    pub(crate) fn enter(&self, carrying: Carrying) -> StreamPlace {
        self.taken().count += 1;
        StreamPlace { places: self.clone(), _carrying: carrying }
    }

    pub(crate) fn are_empty(&self) -> bool {
        self.taken().count == 0
    }

    /// When the last one ended, if there has been one.
    pub(crate) fn last_end(&self) -> Option<Instant> {
        self.taken().last_end
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.count -= 1;
        taken.last_end = Some(Instant::now());
    }
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    io: RefCell<TokioIo<Upgraded>>,
    writable: Arc<Writable>,
    _place: StreamPlace,
}

/// Whether it is worth a try to write, and who waits for it.
#[derive(Debug)]
struct Writable(Mutex<Wait>);

#[derive(Debug)]
struct Wait {
    is_over: bool,
    task: Option<Waker>,
}

impl Writable {
    fn wait(&self) -> MutexGuard<'_, Wait> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Writable {
    fn wake(self: Arc<Self>) {
        let mut wait = self.wait();
        wait.is_over = true;
        let task = wait.task.take();
        drop(wait);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Http2Stream {
    pub(crate) fn new(upgraded: Upgraded, place: StreamPlace) -> Http2Stream {
        let writable = Writable(Mutex::new(Wait { is_over: true, task: None }));
        Http2Stream { io: RefCell::new(TokioIo::new(upgraded)), writable: Arc::new(writable), _place: place }
    }

    /// Reads what the other side wrote; nothing at its end.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, buffer)
    }

    /// Takes bytes as far as there is room for them.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut piece = Vec::with_capacity(PIECE);
        for slice in slices {
            piece.extend_from_slice(&slice[..slice.len().min(PIECE - piece.len())]);
        }
        let waker = Waker::from(self.writable.clone());
        // Before the try: there may be room right after it.
        self.writable.wait().is_over = false;
        match Pin::new(&mut *self.io.borrow_mut()).poll_write(&mut Context::from_waker(&waker), &piece) {
            Poll::Ready(written) => {
                self.writable.wait().is_over = true;
                written
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Until it is worth another try to write.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wait = self.writable.wait();
        if wait.is_over {
            return Poll::Ready(Ok(()));
        }
        wait.task = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the stream after what was written, which leaves by itself.
    pub(crate) fn say_goodbye(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _is_told = Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(&mut cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_between_a_try_to_write_and_the_wait_for_it_is_not_missed() {
        let writable = Arc::new(Writable(Mutex::new(Wait { is_over: false, task: None })));
        Waker::from(writable.clone()).wake();
        assert!(writable.wait().is_over);
    }
}
