//! Answers to requests.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use hubgate_core::MembershipRefusal;
use hubgate_wire::token::TokenError;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;

use crate::admission::NoRoom;
use crate::client::delivery::{CutOff, CutOffs, DeliveryBody};
use crate::http_places::Carrying;
use crate::patience::{OwnDeadlines, Patience, Watched};
use crate::retries;

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
}

impl AnswerBody {
    /// Whether deadlines of its own end it when it is not taken.
    pub(crate) fn has_own_deadlines(&self) -> bool {
        matches!(self, AnswerBody::Messages { .. })
    }

    /// Tells the connection of HTTP/1.1 that it is sent on what to watch. The HTTP library drops a body as soon as it holds the
    /// rest of it: then its own deadlines are over, and the connection watches the rest.
    pub(crate) fn be_watched_by(&mut self, patience: &Patience) {
        match self {
            AnswerBody::Whole(_) => patience.watch(Watched::Answers),
            AnswerBody::Messages { own_deadlines, .. } => *own_deadlines = Some(patience.suspend()),
        }
    }

    /// The connection that it is sent on.
    pub(crate) fn on_connection(&self, cut_offs: &CutOffs) {
        match self {
            AnswerBody::Whole(_) => {}
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Whole(body) => body.is_end_stream(),
            AnswerBody::Messages { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Whole(body) => body.size_hint(),
            AnswerBody::Messages { body, .. } => body.size_hint(),
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

/// Why a request is refused. The name counts it in `hubgate_requests_refused_total`.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The request has no access token: send it as `Authorization: Bearer …` or as `access_token` in the query.")]
    NoToken,
    #[error("The access token is refused: {0}.")]
    BadToken(#[from] TokenError),
    #[error("The query needs exactly one `hub`.")]
    NotOneHub,
    #[error(transparent)]
    BadHub(#[from] hubgate_core::id::InvalidHubName),
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    #[error("The body is longer than the {limit} bytes that `server.limits.post` allows.")]
    BodyTooLarge { limit: usize },
    #[error("The head of the request is longer than the {limit} bytes that `server.limits.headers` allows.")]
    HeadTooLarge { limit: usize },
    #[error("The request has more than 100 headers.")]
    TooManyHeaders,
    #[error(
        "The token's claims, the query and the headers take {kept} bytes: more than the {limit} that are kept of a client while \
         it is connected."
    )]
    IdentityTooLarge { kept: usize, limit: usize },
    #[error("The body took longer than `server.timeouts.http-body` allows.")]
    BodyTooSlow,
    #[error("The body must be `application/json`, `application/x-msgpack` or `application/octet-stream`.")]
    UnsupportedMediaType,
    #[error("{}", .0.text())]
    Absent(Absent),
    #[error("No Connection with that ID")]
    UnknownConnection,
    #[error("Another request has this connection already.")]
    ConnectionInUse,
    #[error(
        "Too many requests of this connection wait for their turn, or this one has waited for too long: send one at a time."
    )]
    PostsWait,
    #[error("Cannot change transports mid-connection")]
    OtherTransport,
    #[error("POST requests are not allowed for WebSocket connections.")]
    PostToWebSocket,
    #[error("Cannot terminate this connection using the DELETE endpoint.")]
    NotToBeDeleted,
    #[error("{0} transport not supported by this end point type")]
    UnknownTransport(&'static str),
    #[error(
        "The token's `asrs.s.htt` claim allows no transport that exists: 1 is WebSockets, 2 Server-Sent Events, 4 long \
         polling."
    )]
    NoTransport,
    #[error("The gateway holds as many connections as `server.limits.{}` allows; try again later.", .full.key())]
    NoRoom { full: NoRoom, wait: Duration },
    #[error("More negotiations in a second than `server.limits.negotiates-per-second` allows; try again later.")]
    TooManyNegotiates { wait: Duration },
    #[error("As many negotiated connections as the gateway keeps wait for their clients; try again later.")]
    TooManyNegotiated,
    #[error("The worker thread of the gateway that has the connection does not answer; try again later.")]
    NoAnswer,
    #[error(
        "Hub '{0}' is not open to everybody: let clients negotiate with your application, which gives them a token, or set \
         `hubs.{0}.negotiate = {{ anonymous = true }}`."
    )]
    NotAnonymous(hubgate_core::id::HubName),
    #[error(
        "The token's user id cannot be told to the webhook of hub '{0}': no header can carry control characters, or a blank at \
         its beginning or end."
    )]
    UserForWebhook(hubgate_core::id::HubName),
    #[error("'{0}' is not this gateway's host: list its URL in `server.endpoints` if clients are to use it.")]
    ForeignHost(String),
    /// Of a gateway for trying things out, which has no other names than its machine's.
    #[error(
        "'{0}' is not this gateway's host: `hubgate dev` answers under the names of its own machine only. Another name needs \
         `hubgate serve`, with its URL in `server.endpoints`."
    )]
    ForeignHostOfDev(String),
    #[error("Hub '{0}' is in serverless mode: it takes no hub servers.")]
    HubServerOfServerless(hubgate_core::id::HubName),
    #[error("{}", no_membership(.0))]
    NoMembership(MembershipRefusal),
    #[error("{0}")]
    NotFound(&'static str),
    #[error("This path takes no other methods than {0}.")]
    MethodNotAllowed(Cow<'static, str>),
}

/// What a REST caller asks for and is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Connection,
    /// One that a group should get.
    ConnectionToAdd,
    Group,
    User,
    UserInGroup,
}

impl Absent {
    /// The value of `x-ms-error-code`, by which the .NET management SDK tells "no" from a failure.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Absent::Connection => "Warning.Connection.NotExisted",
            Absent::ConnectionToAdd => "Error.Connection.NotExisted",
            Absent::Group => "Warning.Group.NotExisted",
            Absent::User => "Warning.User.NotExisted",
            Absent::UserInGroup => "Info.User.NotInGroup",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Absent::Connection | Absent::ConnectionToAdd => "The hub has no connection with this id.",
            Absent::Group => "The group has no connections.",
            Absent::User => "The user has no connections.",
            Absent::UserInGroup => "The user is not in the group.",
        }
    }
}

impl Refusal {
    pub(crate) fn bad_request(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::BadRequest(text.into())
    }

    /// `allowed` are the methods that the path has, as the header `Allow` lists them.
    pub(crate) const fn method_not_allowed(allowed: &'static str) -> Refusal {
        Refusal::MethodNotAllowed(Cow::Borrowed(allowed))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::BadToken(TokenError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::NoToken | Refusal::BadToken(_) => StatusCode::UNAUTHORIZED,
            Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::HeadTooLarge { .. } | Refusal::TooManyHeaders | Refusal::IdentityTooLarge { .. } => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Refusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::NotOneHub | Refusal::BadHub(_) | Refusal::BadRequest(_) | Refusal::UserForWebhook(_) => {
                StatusCode::BAD_REQUEST
            }
            Refusal::UnknownConnection | Refusal::UnknownTransport(_) | Refusal::NotFound(_) | Refusal::Absent(_) => {
                StatusCode::NOT_FOUND
            }
            Refusal::ConnectionInUse => StatusCode::CONFLICT,
            Refusal::ForeignHost(_) | Refusal::ForeignHostOfDev(_) => StatusCode::MISDIRECTED_REQUEST,
            Refusal::TooManyNegotiated | Refusal::NoAnswer | Refusal::NoRoom { full: NoRoom::Connections, .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::NoRoom {
                full: NoRoom::ConnectionsPerIp | NoRoom::ConnectionsPerUser | NoRoom::ConnectionsPerToken,
                ..
            }
            | Refusal::TooManyNegotiates { .. }
            | Refusal::PostsWait
            | Refusal::NoMembership(MembershipRefusal::HubFull | MembershipRefusal::PluginFull(_)) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Refusal::NoMembership(MembershipRefusal::UserFull) => StatusCode::BAD_REQUEST,
            Refusal::NotAnonymous(_) | Refusal::HubServerOfServerless(_) => StatusCode::FORBIDDEN,
            Refusal::OtherTransport | Refusal::NotToBeDeleted | Refusal::NoTransport => StatusCode::BAD_REQUEST,
            Refusal::MethodNotAllowed(_) | Refusal::PostToWebSocket => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Whether it is likely that somebody who set the gateway, an application or a page up has to mend something.
    pub(crate) fn is_to_be_mended(&self) -> bool {
        matches!(self.reason(), "token" | "hub" | "anonymous" | "host" | "hub-server")
            || matches!(self, Refusal::NoTransport)
    }

    /// The label of its metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Refusal::NoToken | Refusal::BadToken(_) | Refusal::UserForWebhook(_) => "token",
            Refusal::NotOneHub | Refusal::BadHub(_) => "hub",
            Refusal::BadRequest(_) | Refusal::MethodNotAllowed(_) | Refusal::UnsupportedMediaType => "request",
            Refusal::BodyTooLarge { .. } => "post",
            Refusal::HeadTooLarge { .. } | Refusal::TooManyHeaders | Refusal::IdentityTooLarge { .. } => "headers",
            Refusal::BodyTooSlow => "http-body",
            Refusal::PostsWait => "posts",
            Refusal::Absent(_) => "absent",
            Refusal::UnknownConnection
            | Refusal::ConnectionInUse
            | Refusal::OtherTransport
            | Refusal::PostToWebSocket
            | Refusal::NotToBeDeleted => "connection",
            Refusal::UnknownTransport(_) | Refusal::NoTransport => "transport",
            Refusal::NoRoom { full, .. } => full.key(),
            Refusal::TooManyNegotiates { .. } => "negotiates-per-second",
            Refusal::TooManyNegotiated => "negotiated",
            Refusal::NoAnswer => "no-answer",
            Refusal::NoMembership(_) => "user-memberships",
            Refusal::NotAnonymous(_) => "anonymous",
            Refusal::HubServerOfServerless(_) => "hub-server",
            Refusal::NotFound(_) => "path",
            Refusal::ForeignHost(_) | Refusal::ForeignHostOfDev(_) => "host",
        }
    }
}

/// Why a user is not put into a group.
pub(crate) fn no_membership(refusal: &MembershipRefusal) -> String {
    match refusal {
        MembershipRefusal::UserFull => {
            "The user has as many memberships as `server.limits.groups-per-connection` allows.".to_owned()
        }
        MembershipRefusal::HubFull => {
            "The hub has as many memberships of users as `server.limits.user-memberships` allows.".to_owned()
        }
        MembershipRefusal::PluginFull(plugin) => format!(
            "Plugin '{plugin}' has made half of the memberships of users that `server.limits.user-memberships` allows in a \
             hub, which is all that one plugin may make."
        ),
    }
}

/// The one place where a refusal becomes what a peer sees.
pub(crate) fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = text(refusal.status(), refusal.to_string());
    headers_of(refusal, answer.headers_mut());
    answer
}

/// Adds what tells a peer how to go on.
pub(crate) fn headers_of(refusal: &Refusal, headers: &mut HeaderMap) {
    match refusal {
        Refusal::NoToken => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refusal::BadToken(_) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
        Refusal::NoRoom { wait, .. } | Refusal::TooManyNegotiates { wait } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(retries::seconds(*wait)));
        }
        Refusal::PostsWait | Refusal::TooManyNegotiated | Refusal::NoAnswer => {
            headers.insert(RETRY_AFTER, HeaderValue::from(retries::seconds(Duration::ZERO)));
        }
        Refusal::MethodNotAllowed(allowed) => {
            headers.insert(ALLOW, HeaderValue::from_str(allowed).expect("methods are ASCII"));
        }
        Refusal::PostToWebSocket => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, OPTIONS"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::future::ready;
    use std::io;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Instant;

    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::client::delivery::Delivery;
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
        let (_delivery, body) = Delivery::whole(outbox);
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
