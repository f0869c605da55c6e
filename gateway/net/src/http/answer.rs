//! Answers to requests.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde::Serialize;
use tokio::sync::mpsc;

use super::way::Way;
use crate::delivery::{CutOff, CutOffs, DeliveryBody, DeliveryFarewell};
use crate::http_places::Carrying;
use crate::patience::{OwnDeadlines, Patience, Watched};
use crate::refusal::Refusal;

pub(crate) type Answer = Response<AnswerBody>;

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Whole(Full<Bytes>),
    /// Messages for a client, on a connection that carries it meanwhile.
    Messages {
        body: DeliveryBody,
        _carrying: Carrying,
        /// On HTTP/1.1.
        own_deadlines: Option<OwnDeadlines>,
    },
    /// Text that comes by and by, until its sender is dropped.
    Events(mpsc::Receiver<Bytes>),
    /// What another node answers.
    Elsewhere {
        body: Incoming,
        way: Way,
        _carrying: Option<Carrying>,
    },
}

impl AnswerBody {
    /// Whether deadlines of its own end it when it is not taken.
    pub(crate) fn has_own_deadlines(&self) -> bool {
        matches!(self, AnswerBody::Messages { .. })
    }

    /// The way by which it comes from another node, if it does.
    pub(crate) fn way(&self) -> Option<&Way> {
        match self {
            AnswerBody::Elsewhere { way, .. } => Some(way),
            AnswerBody::Whole(_) | AnswerBody::Messages { .. } | AnswerBody::Events(_) => None,
        }
    }

    /// What tells the client, if it is a client's, that the connection ends that it is sent on.
    pub(crate) fn farewell(&self) -> Option<DeliveryFarewell> {
        match self {
            AnswerBody::Messages { body, .. } => Some(body.farewell()),
            AnswerBody::Whole(_) | AnswerBody::Events(_) | AnswerBody::Elsewhere { .. } => None,
        }
    }

    /// It is sent on a connection on which nothing passes while `pause` says so.
    pub(crate) fn pauses_while(&self, pause: Arc<AtomicBool>) {
        if let AnswerBody::Messages { body, .. } = self {
            body.pauses_while(pause);
        }
    }

    /// Tells the connection of HTTP/1.1 that it is sent on what to watch. The HTTP library drops a body as soon as it holds the
    /// rest of it: then its own deadlines are over, and the connection watches the rest.
    pub(crate) fn be_watched_by(&mut self, patience: &Patience) {
        match self {
            AnswerBody::Whole(_) => patience.watch(Watched::Answers),
            AnswerBody::Messages { own_deadlines, .. } => *own_deadlines = Some(patience.suspend()),
            // As a whole it may take long to come.
            AnswerBody::Events(_) | AnswerBody::Elsewhere { .. } => patience.watch(Watched::Bytes),
        }
    }

    /// The connection that it is sent on.
    pub(crate) fn on_connection(&self, cut_offs: &CutOffs) {
        match self {
            AnswerBody::Whole(_) | AnswerBody::Events(_) | AnswerBody::Elsewhere { .. } => {}
            AnswerBody::Messages { body, .. } => body.on_connection(cut_offs),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            AnswerBody::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            AnswerBody::Messages { body, .. } => Pin::new(body).poll_frame(cx),
            AnswerBody::Events(events) => events.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event)))),
            AnswerBody::Elsewhere { body, .. } => Pin::new(body).poll_frame(cx).map_err(|_| CutOff),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Whole(body) => body.is_end_stream(),
            AnswerBody::Messages { body, .. } => body.is_end_stream(),
            AnswerBody::Events(_) => false,
            AnswerBody::Elsewhere { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(body) => body.size_hint(),
            AnswerBody::Messages { body, .. } => body.size_hint(),
            AnswerBody::Events(_) => SizeHint::default(),
            AnswerBody::Elsewhere { body, .. } => body.size_hint(),
        }
    }
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn json(body: &impl Serialize) -> Answer {
    with_type(StatusCode::OK, "application/json", serde_json::to_vec(body).expect("answers are JSON"))
}

pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with_body(status, content_type, AnswerBody::Whole(Full::new(body.into())))
}

/// Server-sent events, until their sender is dropped.
pub(crate) fn events(events: mpsc::Receiver<Bytes>) -> Answer {
    with_body(StatusCode::OK, "text/event-stream", AnswerBody::Events(events))
}

/// Messages for a client that polls.
pub(crate) fn messages(body: DeliveryBody, carrying: Carrying) -> Answer {
    let body = AnswerBody::Messages { body, _carrying: carrying, own_deadlines: None };
    with_body(StatusCode::OK, "application/octet-stream", body)
}

fn with_body(status: StatusCode, content_type: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    answer
}

/// The one place where a refusal becomes what a peer sees.
pub(crate) fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = text(refusal.status(), refusal.to_string());
    refusal.add_headers(answer.headers_mut());
    answer
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::future::ready;
    use std::io;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::delivery::Delivery;
    use crate::http_places::{HttpPlaces, Newcomer};
    use crate::outbox::{Cause, Outbox, Sharing};
    use crate::patience::PatientStream;
    use crate::settings::Limits;

    const BUFFER: u32 = 8 << 10;

    /// A connection with a request in it that takes nothing any more, and its peer.
    async fn full() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let socket = TcpSocket::new_v4().expect("there is a socket");
        socket.set_recv_buffer_size(BUFFER).expect("a TCP socket has the option");
        let mut peer = socket.connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
        peer.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it has room");
        let (stream, _) = listener.accept().await.expect("somebody comes");
        socket2::SockRef::from(&stream).set_send_buffer_size(BUFFER as usize).expect("a TCP socket has the option");
        stream.writable().await.expect("it is open");
        while stream.try_write(&[0; 1024]).map_err(|error| error.kind()) != Err(io::ErrorKind::WouldBlock) {}
        (stream, peer)
    }

    #[tokio::test]
    async fn the_rest_of_messages_that_the_http_library_holds_has_to_be_taken_too() {
        let (stream, _peer) = full().await;
        let stream = PatientStream::new(stream, Duration::from_millis(1));
        let patience = stream.patience();
        let limits = Limits { http_connections: 1, ..crate::settings::tests::limits() };
        let newcomer = Newcomer { address: Ipv4Addr::LOCALHOST.into(), is_proxy: true, is_surplus: false };
        let place = Arc::<HttpPlaces>::default().enter(&limits, Duration::ZERO, newcomer, Instant::now());
        let place = place.expect("there is one");
        let mut outbox = Outbox::default();
        // More than the kernel may still take, less than the HTTP library holds.
        outbox.push(vec![b'x'; 256 << 10].into(), Cause::Others, Sharing::Alone);
        let (_delivery, body) = Delivery::whole(outbox, std::task::Waker::noop().clone());
        let answer = Cell::new(Some(messages(body, place.carry())));
        let service = service_fn(|_: http::Request<Incoming>| {
            let mut answer = answer.take().expect("one request comes");
            answer.body_mut().be_watched_by(&patience);
            ready(Ok::<_, Infallible>(answer))
        });
        let serving = http1::Builder::new().writev(false).serve_connection(TokioIo::new(stream), service);
        let served = tokio::time::timeout(Duration::from_secs(60), serving).await;
        served.expect("it ends").expect_err("nobody reads");
        assert!(patience.is_over());
    }
}
