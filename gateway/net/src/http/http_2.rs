//! HTTP/2, where a client of the TLS listener chooses it: requests side by side on one connection.
//!
//! A WebSocket is never among them: clients open those on HTTP/1.1.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::answer::AnswerBody;
use super::{Upgrade, count_broken_request, route};
use crate::client::delivery::{CutOff, CutOffs};
use crate::shard::ShardThread;
use crate::tasks::PeerTask;
use crate::tls::HttpSocket;

/// Requests at once on one connection.
const MOST_STREAMS: u32 = 100;
/// How often the other side is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Serves one connection until it ends, or nobody asks for anything for as long as a request's head may take.
pub(super) async fn serve(shard: &Rc<ShardThread>, socket: HttpSocket, remote: SocketAddr) {
    let (running, last_end) = (Cell::new(0), Cell::new(Instant::now()));
    let requests = Rc::new(Requests { running, last_end, cut_offs: CutOffs::default() });
    let service = service_fn(|request| {
        let (shard, running) = (shard.clone(), requests.begin());
        async move {
            let answer = route::route(&shard, request, remote, &Upgrade::default()).await;
            answer.body().on_connection(&running.0.cut_offs);
            Ok::<_, Infallible>(answer.map(|body| CountedBody { body, _running: running }))
        }
    });
    let (headers, longest_pause) = {
        let settings = shard.shared.settings();
        (u32::try_from(settings.limits.headers).unwrap_or(u32::MAX), settings.timeouts.header)
    };
    let connection = http2::Builder::new(OnThisThread(shard.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(headers)
        .keep_alive_interval(KEEP_ALIVE)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let mut pause = pin!(requests.pause(longest_pause));
    let mut is_ending = false;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    count_broken_request(shard, &error);
                }
                return;
            }
            () = pause.as_mut() => return,
            () = shard.http.end_has_begun(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The requests of one connection.
#[derive(Debug)]
struct Requests {
    running: Cell<usize>,
    /// Of the last request that ended, or of the connection's beginning.
    last_end: Cell<Instant>,
    /// Answers that are not sent any further. The connection carries others as long as there are any.
    cut_offs: CutOffs,
}

impl Requests {
    fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        Running(self.clone())
    }

    /// Until no request has run for `longest`.
    async fn pause(&self, longest: Duration) {
        loop {
            let since = match self.running.get() <= self.cut_offs.count() {
                true => self.last_end.get(),
                false => Instant::now(),
            };
            if since.elapsed() >= longest {
                return;
            }
            tokio::time::sleep_until(since + longest).await;
        }
    }
}

/// One request, until all of its answer has left.
#[derive(Debug)]
struct Running(Rc<Requests>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.last_end.set(Instant::now());
    }
}

/// An answer's body. An event stream is a request that runs for as long as its client lives.
struct CountedBody {
    body: AnswerBody,
    _running: Running,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs what a connection needs on the shard that it is on.
#[derive(Clone)]
struct OnThisThread(Rc<ShardThread>);

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        // Its stream is reset when it is dropped.
        self.0.spawn(PeerTask::Stream, async move { drop(future.await) }, |_| ());
    }
}
