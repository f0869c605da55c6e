//! A connection while HTTP is served on it: it ends when its peer does not take what is written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// A whole answer may take so many times as long as the next byte of one.
pub(crate) const TIMES_OF_WHOLE: u32 = 6;

/// What has to be taken in time of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Watched {
    /// The next byte, and each answer as a whole.
    Answers,
    /// The next byte.
    Bytes,
    /// What is written has deadlines of its own.
    Nothing,
}

/// What both the stream and whoever answers requests on it know.
#[derive(Debug, Clone)]
pub(crate) struct Patience(Arc<Flags>);

#[derive(Debug)]
struct Flags {
    watched: AtomicU8,
    is_over: AtomicBool,
}

impl Patience {
    fn new() -> Patience {
        Patience(Arc::new(Flags { watched: AtomicU8::new(Watched::Answers as u8), is_over: AtomicBool::new(false) }))
    }

    /// Of what is written from now on.
    pub(crate) fn watch(&self, watched: Watched) {
        self.0.watched.store(watched as u8, Ordering::Relaxed);
    }

    /// Nothing is watched while what this gives lives.
    pub(crate) fn suspend(&self) -> OwnDeadlines {
        self.watch(Watched::Nothing);
        OwnDeadlines(self.clone())
    }

    fn watched(&self) -> Watched {
        match self.0.watched.load(Ordering::Relaxed) {
            watched if watched == Watched::Answers as u8 => Watched::Answers,
            watched if watched == Watched::Bytes as u8 => Watched::Bytes,
            _ => Watched::Nothing,
        }
    }

    /// Whether the connection has ended because its peer took too little.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }
}

/// While it lives, something else sees to it that what is written is taken. What is left after that has to be taken byte by
/// byte: as a whole it may have begun long ago.
#[derive(Debug)]
pub(crate) struct OwnDeadlines(Patience);

impl Drop for OwnDeadlines {
    fn drop(&mut self) {
        self.0.watch(Watched::Bytes);
    }
}

/// A socket whose writes fail when their peer takes no byte for too long, or not all of an answer. It may go to another thread.
#[derive(Debug)]
pub(crate) struct PatientStream<S = TcpStream> {
    stream: S,
    /// How long the next byte may take.
    longest: Duration,
    patience: Patience,
    /// While it says so, nothing is taken whoever the peer is, and no time passes.
    pause: Option<Arc<AtomicBool>>,
    /// While not all that was written has left. Boxed: most connections never have to wait.
    wait: Option<Box<Wait>>,
}

#[derive(Debug)]
struct Wait {
    times: Times,
    alarm: Pin<Box<Sleep>>,
}

/// When a peer began to be slow.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Since when not all has left.
    since: Instant,
    /// Since when nothing has.
    still_since: Instant,
}

impl Times {
    /// When the connection ends if nothing more is taken.
    fn end(self, longest: Duration, watched: Watched) -> Option<Instant> {
        let of_byte = self.still_since + longest;
        match watched {
            Watched::Answers => Some(of_byte.min(self.since + TIMES_OF_WHOLE * longest)),
            Watched::Bytes => Some(of_byte),
            Watched::Nothing => None,
        }
    }
}

impl<S> PatientStream<S> {
    pub(crate) fn new(stream: S, longest: Duration) -> PatientStream<S> {
        PatientStream { stream, longest, patience: Patience::new(), pause: None, wait: None }
    }

    /// The same, but no time passes while `pause` says so. Whoever ends the pause lets the stream be written again.
    pub(crate) fn pausing_while(self, pause: Arc<AtomicBool>) -> PatientStream<S> {
        PatientStream { pause: Some(pause), ..self }
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience.clone()
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Notes what came of a write.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        if written.is_ready() {
            if let Some(wait) = &mut self.wait {
                wait.times.still_since = now;
            }
            return written;
        }
        if self.pause.as_ref().is_some_and(|pause| pause.load(Ordering::Relaxed)) {
            self.wait = None;
            return Poll::Pending;
        }
        let longest = self.longest;
        let wait = self.wait.get_or_insert_with(|| {
            let times = Times { since: now, still_since: now };
            Box::new(Wait { times, alarm: Box::pin(tokio::time::sleep(longest)) })
        });
        let Some(end) = wait.times.end(longest, self.patience.watched()) else {
            return Poll::Pending;
        };
        if wait.alarm.deadline() != end {
            wait.alarm.as_mut().reset(end);
        }
        ready!(wait.alarm.as_mut().poll(cx));
        self.patience.0.is_over.store(true, Ordering::Relaxed);
        let why = "what is written is not taken for longer than `server.timeouts.write` allows";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Comes when all has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wait = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);

    /// When a connection ends, after so many seconds, if the peer takes its last byte after `taken` of them.
    fn end(taken: u64, watched: Watched) -> Option<u64> {
        let since = Instant::now();
        let times = Times { since, still_since: since + Duration::from_secs(taken) };
        times.end(LONGEST, watched).map(|end| (end - since).as_secs())
    }

    #[test]
    fn no_byte_for_a_time_ends_it_and_a_whole_answer_has_six_times_as_long() {
        assert_eq!([0, 9, 50, 59].map(|taken| end(taken, Watched::Answers)), [10, 19, 60, 60].map(Some));
        assert_eq!([0, 9, 50, 3600].map(|taken| end(taken, Watched::Bytes)), [10, 19, 60, 3610].map(Some));
        assert_eq!(end(0, Watched::Nothing), None);
    }

    async fn pair(longest: Duration) -> (PatientStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let peer = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("somebody comes");
        (PatientStream::new(stream, longest), peer)
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_ends_the_write() {
        let (mut stream, _peer) = pair(Duration::from_millis(1)).await;
        let error = stream.write_all(&vec![0; 64 << 20]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(stream.patience().is_over());
    }

    #[tokio::test]
    async fn no_time_passes_in_a_pause() {
        let (stream, _peer) = pair(Duration::from_millis(1)).await;
        let pause = Arc::new(AtomicBool::new(true));
        let mut stream = stream.pausing_while(pause.clone());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while Pin::new(&mut stream).poll_write(&mut cx, &[0; 64 << 10]).is_ready() {}
        assert!(stream.wait.is_none());
        pause.store(false, Ordering::Relaxed);
        stream.write_all(&[0; 64 << 10]).await.expect_err("nobody reads");
        assert!(stream.patience().is_over());
    }

    #[tokio::test]
    async fn a_peer_that_takes_all_may_go_on() {
        let (mut stream, mut peer) = pair(Duration::from_secs(60)).await;
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 16 << 20];
            peer.read_exact(&mut buffer).await.map(drop)
        });
        stream.write_all(&vec![0; 16 << 20]).await.expect("it is read");
        stream.flush().await.expect("all has left");
        assert!(stream.wait.is_none() && !stream.patience().is_over());
        reading.await.expect("it does not panic").expect("all comes");
    }
}
