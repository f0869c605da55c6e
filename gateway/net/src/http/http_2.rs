//! HTTP/2, where a client of the TLS listener chooses it: requests side by side on one connection.
//!
//! A WebSocket among them begins with an extended CONNECT (RFC 8441). The connection lasts as long as it, wherever it is served.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::answer::{Answer, AnswerBody};
use super::way::Way;
use super::{Service, Upgrade, Upgraded, count_broken_request, count_slow_peer, route};
use crate::delivery::{CutOff, CutOffs};
use crate::http_2_stream::{Http2Stream, StreamPlace, StreamPlaces};
use crate::http_places::HttpPlace;
use crate::patience::{TIMES_OF_WHOLE, Watched};
use crate::peer_task::PeerTask;
use crate::shard::ShardHandle;
use crate::tls::HttpSocket;
use crate::upgraded::UpgradedStream;
use crate::websocket;

/// Requests at once on one connection.
const MOST_STREAMS: u32 = 100;
/// How often the other side is asked for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// What is handed out of an answer at a time, in bytes: whether the peer takes it shows only then.
const PIECE: usize = 16 * 1024;

/// Serves one connection until it ends, nobody asks for anything for as long as a request's head may take, or an answer is
/// not taken.
pub(super) async fn serve(service: &Rc<Service>, socket: HttpSocket, remote: SocketAddr, place: &HttpPlace) {
    let requests = Rc::new(Requests::new());
    let answering = service_fn(|mut request: Request<Incoming>| {
        let (service, running, place) = (service.clone(), requests.begin(), place.clone());
        request.extensions_mut().insert(place.clone());
        async move {
            let (upgrade, upgrading) = (Upgrade::default(), hyper::upgrade::on(&mut request));
            let answer = route::route(&service, request, remote, &upgrade).await;
            if let Some(upgraded) = upgrade.take() {
                let stream = running.requests.websockets.enter(place.carry());
                service.shard().tasks().spawn(
                    PeerTask::Connection,
                    serve_websocket(service.clone(), upgrading, stream, upgraded, place),
                    || (),
                );
            }
            answer.body().on_connection(&running.requests.cut_offs);
            Ok::<_, Infallible>(counted(answer, running))
        }
    });
    let (headers, longest_pause, longest_write) = {
        let settings = service.shared().settings();
        let headers = u32::try_from(settings.limits.headers).unwrap_or(u32::MAX);
        (headers, settings.timeouts.header, settings.timeouts.write)
    };
    let patience = socket.patience();
    // Answers pass each other: each has its own time.
    patience.watch(Watched::Bytes);
    let connection = http2::Builder::new(OnThisThread(service.shard().clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(headers)
        .keep_alive_interval(KEEP_ALIVE)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(socket), answering);
    let mut connection = pin!(connection);
    let mut pause = pin!(requests.pause(longest_pause));
    let mut stall = pin!(requests.stall(longest_write, || count_slow_peer(service)));
    let mut is_ending = false;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    count_broken_request(service, &error, &patience);
                }
                return;
            }
            () = pause.as_mut() => return,
            () = stall.as_mut() => return count_slow_peer(service),
            () = service.connections().end_has_begun(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Serves the WebSocket that a request has become, once its answer is on its way.
async fn serve_websocket(
    service: Rc<Service>,
    upgrading: OnUpgrade,
    stream: StreamPlace,
    upgraded: Upgraded,
    place: HttpPlace,
) {
    let stream = match upgrading.await {
        Ok(io) => UpgradedStream::Http2(Box::new(Http2Stream::new(io, stream))),
        Err(error) => return tracing::debug!(%error, "a stream was lost while it was upgraded"),
    };
    tracing::debug!("a stream of HTTP/2 becomes a WebSocket");
    match upgraded {
        Upgraded::Client(entrant) => service.upgraded(stream, Vec::new(), *entrant).await,
        Upgraded::Server(server) => {
            websocket::serve_server(service.shard().clone(), stream, Vec::new(), server, place.carry()).await;
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
    /// The answers that have begun and have no deadlines of their own, by number.
    answers: RefCell<BTreeMap<u64, Answering>>,
    next_answer: Cell<u64>,
    websockets: StreamPlaces,
}

/// An answer of which not all has been taken.
#[derive(Debug)]
struct Answering {
    since: Instant,
    /// Since when a piece of it waits for the window that the peer opens.
    still_since: Option<Instant>,
    from: Origin,
}

/// Where an answer comes from.
#[derive(Debug)]
enum Origin {
    Here,
    /// As a whole it may take long to come.
    OtherNode(Way),
    /// From there, and it is cut off.
    CutOff,
}

impl Answering {
    /// When it ends if nothing more of it is taken.
    fn end(&self, longest: Duration) -> Option<Instant> {
        let of_piece = self.still_since.map(|since| since + longest);
        match self.from {
            Origin::Here => {
                let of_whole = self.since + TIMES_OF_WHOLE * longest;
                Some(of_piece.map_or(of_whole, |of_piece| of_piece.min(of_whole)))
            }
            Origin::OtherNode(_) => of_piece,
            Origin::CutOff => None,
        }
    }
}

impl Requests {
    fn new() -> Requests {
        Requests {
            running: Cell::new(0),
            last_end: Cell::new(Instant::now()),
            cut_offs: CutOffs::default(),
            answers: RefCell::default(),
            next_answer: Cell::new(0),
            websockets: StreamPlaces::default(),
        }
    }

    fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        Running { requests: self.clone(), answer: None }
    }

    /// Since when no request runs, and no WebSocket is there.
    fn rests_since(&self) -> Option<Instant> {
        let rests = self.running.get() <= self.cut_offs.count() && self.websockets.are_empty();
        rests.then(|| self.websockets.last_end().map_or(self.last_end.get(), |end| end.max(self.last_end.get())))
    }

    /// Until nothing has run for `longest`.
    async fn pause(&self, longest: Duration) {
        loop {
            let since = self.rests_since().unwrap_or_else(Instant::now);
            if since.elapsed() >= longest {
                return;
            }
            tokio::time::sleep_until(since + longest).await;
        }
    }

    /// Until the next piece of an answer is not taken for `longest`, or a whole answer for a multiple of it. One of another node is cut off
    /// alone, as messages are that come from here, and `is_slow` is told.
    async fn stall(&self, longest: Duration, is_slow: impl Fn()) {
        loop {
            let now = Instant::now();
            (0..self.cut_off_stalled(longest, now)).for_each(|_| is_slow());
            let end = self.answers.borrow().values().filter_map(|answer| answer.end(longest)).min();
            match end {
                Some(end) if end <= now => return,
                // What begins meanwhile ends later than that.
                end => tokio::time::sleep_until(end.unwrap_or(now + longest)).await,
            }
        }
    }
}

impl Requests {
    /// Ends what comes from other nodes and is not taken; gives how many answers that are.
    fn cut_off_stalled(&self, longest: Duration, now: Instant) -> usize {
        let mut answers = self.answers.borrow_mut();
        let is_over = |answer: &Answering| answer.end(longest).is_some_and(|end| end <= now);
        let mut count = 0;
        for answer in answers.values_mut().filter(|answer| is_over(answer)) {
            if let Origin::OtherNode(way) = &answer.from {
                way.end();
                answer.from = Origin::CutOff;
                self.cut_offs.begun();
                count += 1;
            }
        }
        count
    }
}

/// One request, until all of its answer has left.
#[derive(Debug)]
struct Running {
    requests: Rc<Requests>,
    /// The number of its answer, once that has begun, unless it has deadlines of its own.
    answer: Option<u64>,
}

impl Running {
    fn answer_begins(&mut self, from: Origin) {
        let requests = &self.requests;
        let number = requests.next_answer.replace(requests.next_answer.get() + 1);
        let since = Instant::now();
        // The HTTP library asks for the first piece once the peer's window has room for some of it.
        let still_since = matches!(from, Origin::OtherNode(_)).then_some(since);
        let answering = Answering { since, still_since, from };
        requests.answers.borrow_mut().insert(number, answering);
        self.answer = Some(number);
    }

    /// Whether a piece has been handed out that the peer has not taken.
    fn set_waits(&self, waits: bool) {
        let mut answers = self.requests.answers.borrow_mut();
        if let Some(answer) = self.answer.and_then(|number| answers.get_mut(&number)) {
            answer.still_since = waits.then(Instant::now);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let answer = self.answer.and_then(|number| self.requests.answers.borrow_mut().remove(&number));
        if answer.is_some_and(|answer| matches!(answer.from, Origin::CutOff)) {
            self.requests.cut_offs.ended();
        }
        self.requests.running.set(self.requests.running.get() - 1);
        self.requests.last_end.set(Instant::now());
    }
}

/// An answer whose request runs until all of it has left.
fn counted(answer: Answer, mut running: Running) -> http::Response<CountedBody> {
    if !answer.body().has_own_deadlines() {
        running.answer_begins(answer.body().way().map_or(Origin::Here, |way| Origin::OtherNode(way.clone())));
    }
    answer.map(|body| CountedBody { body, rest: Bytes::new(), running })
}

/// An answer's body. An event stream is a request that runs for as long as its client lives.
struct CountedBody {
    body: AnswerBody,
    /// What comes next of the last part.
    rest: Bytes,
    running: Running,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = CutOff;

    /// Asked for when the piece before has been taken.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        self.running.set_waits(false);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(part))) => self.rest = part,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(cut_off)) => return Poll::Ready(Some(Err(cut_off))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.running.set_waits(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        of_body.exact().map_or(of_body, |length| SizeHint::with_exact(rest + length))
    }
}

/// Runs what a connection needs on the shard that it is on.
#[derive(Clone)]
struct OnThisThread(ShardHandle);

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        // Its stream is reset when it is dropped.
        self.0.tasks().spawn(PeerTask::Stream, async move { drop(future.await) }, || ());
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::http::{answer::empty, text};

    /// All pieces of an answer, each with whether the answer has ended with it.
    fn pieces(answer: http::Response<CountedBody>) -> Vec<(Bytes, bool)> {
        let mut body = answer.into_body();
        let mut pieces = Vec::new();
        while !body.is_end_stream() {
            let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Some(Ok(frame))) = polled else { panic!("the answer is there") };
            let piece = frame.into_data().expect("it has data alone");
            pieces.push((piece, body.is_end_stream()));
        }
        pieces
    }

    #[tokio::test]
    async fn an_answer_leaves_in_pieces_and_is_the_same() {
        let requests = Rc::new(Requests::new());
        let content: Vec<u8> = (0..3 * PIECE + 1).map(|index| index as u8).collect();
        let answer = counted(text(http::StatusCode::OK, content.clone()), requests.begin());
        assert_eq!(answer.body().size_hint().exact(), Some(content.len() as u64));
        let pieces = pieces(answer);
        assert_eq!(pieces.iter().map(|(_, is_last)| *is_last).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(pieces.iter().flat_map(|(piece, _)| piece.to_vec()).collect::<Vec<_>>(), content);
        let nothing = counted(empty(http::StatusCode::OK), requests.begin());
        assert!(nothing.body().is_end_stream());
    }
    #[tokio::test]
    async fn an_answer_of_another_node_that_is_not_taken_is_cut_off_alone_and_its_connection_goes_on() {
        const LONGEST: Duration = Duration::from_millis(20);
        let (requests, slow) = (Rc::new(Requests::new()), Cell::new(0));
        let mut stall = pin!(requests.stall(LONGEST, || slow.set(slow.get() + 1)));
        let (taken, still) = (Way::default(), Way::default());
        let [is_taken, is_still] = [&taken, &still].map(|way| {
            let mut running = requests.begin();
            running.answer_begins(Origin::OtherNode(way.clone()));
            running
        });
        is_taken.set_waits(false);
        tokio::select! {
            () = stall.as_mut() => panic!("the connection ends"),
            () = still.ended() => {}
        }
        tokio::select! {
            () = stall.as_mut() => panic!("the connection ends"),
            () = taken.ended() => panic!("it may take its time"),
            // Much longer than a whole answer may take.
            () = tokio::time::sleep(2 * TIMES_OF_WHOLE * LONGEST) => {}
        }
        assert_eq!((slow.get(), requests.cut_offs.count()), (1, 1));
        drop(is_still);
        assert_eq!(requests.cut_offs.count(), 0);
        let mut from_here = requests.begin();
        from_here.answer_begins(Origin::Here);
        from_here.set_waits(true);
        stall.await;
        drop(is_taken);
    }
}
