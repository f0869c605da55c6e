//! Requests for connections that live on other nodes, and those that other nodes pass on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Request, Uri, Version};
use hubgate_core::Location;
use hubgate_core::id::{ConnectionId, ShardAddress};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::answer::{Answer, AnswerBody};
use super::body::RequestBody;
use super::{Service, Upgrade, head, route};
use crate::delivery::CutOffs;
use crate::http_places::{Carrying, HttpPlace, Newcomer};
use crate::patience::PatientStream;
use crate::peer_task::PeerTask;
use crate::refusal::Refusal;
use crate::tunnels::TunnelStream;

/// What is of one connection alone, and not of the request (RFC 9110, section 7.6.1).
const OF_CONNECTIONS: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// The shard of another node that a connection's id or token names, if that node is there.
pub(super) fn owner_elsewhere(service: &Service, id: ConnectionId) -> Option<ShardAddress> {
    let owner = id.owner();
    (service.shard().neighbours().locate(owner) == Location::OtherNode).then_some(owner)
}

/// How long another node may take until it begins to answer: longer than any poll waits.
const LONGEST_ANSWER: Duration = Duration::from_secs(150);

/// Lets another node answer a request of a peer at `remote`.
pub(super) async fn ask(
    service: &Rc<Service>,
    to: ShardAddress,
    request: &Parts,
    body: &mut RequestBody,
    remote: SocketAddr,
) -> Result<Answer, Refusal> {
    let carrying = HttpPlace::of(&request.extensions).carry();
    answered(Some(carrying), service, to, (request, body, remote)).await
}

/// The same of a request whose token this node cannot check: it is a stranger's until the other one has answered.
pub(super) async fn ask_for_stranger(
    service: &Rc<Service>,
    to: ShardAddress,
    request: &Parts,
    body: &mut RequestBody,
    remote: SocketAddr,
) -> Result<Answer, Refusal> {
    answered(None, service, to, (request, body, remote)).await
}

async fn answered(
    carrying: Option<Carrying>,
    service: &Rc<Service>,
    to: ShardAddress,
    (request, body, remote): (&Parts, &mut RequestBody, SocketAddr),
) -> Result<Answer, Refusal> {
    let body = body.take().ok_or(Refusal::NoAnswer)?;
    let stream = service.tunnels().open(to, remote);
    let broken = |error: hyper::Error| {
        tracing::debug!(%error, node = to.node.0, "another node does not answer a request");
        Refusal::NoAnswer
    };
    let (mut asking, connection) = client::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let passing = async { drop(connection.await) };
    service.shard().tasks().spawn(PeerTask::Request, passing, || ());
    let answer = timeout(LONGEST_ANSWER, asking.send_request(passed_on(request, body))).await;
    let answer = answer.map_err(|_| Refusal::NoAnswer)?.map_err(broken)?;
    let (mut head, body) = answer.into_parts();
    OF_CONNECTIONS.iter().for_each(|name| drop(head.headers.remove(name)));
    head.version = Version::default();
    Ok(Answer::from_parts(head, AnswerBody::Elsewhere { body, _carrying: carrying }))
}

/// A request as it is asked of another node.
fn passed_on(request: &Parts, body: Incoming) -> Request<Incoming> {
    let mut passed = Request::new(body);
    *passed.method_mut() = request.method.clone();
    *passed.uri_mut() = request.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    let headers = passed.headers_mut();
    *headers = request.headers.clone();
    OF_CONNECTIONS.iter().for_each(|name| drop(headers.remove(name)));
    // In HTTP/2 it is a part of the URI.
    if let (false, Some(host)) = (headers.contains_key(HOST), request.uri.authority()) {
        headers.extend(HeaderValue::from_str(host.as_str()).map(|host| (HOST, host)));
    }
    passed
}

/// Answers what another node passes on for a peer at `remote`.
pub(crate) async fn serve(service: Rc<Service>, stream: TunnelStream, remote: SocketAddr) {
    let settings = service.shared().settings().clone();
    // The other node has counted its address.
    let newcomer = Newcomer { address: remote.ip(), is_proxy: true, is_surplus: false };
    let place =
        service.shared().http_places.enter(&settings.limits, settings.timeouts.header, newcomer, Instant::now());
    let place = match place {
        Ok(place) => place,
        Err(limit) => return service.shared().metrics.refused(limit.key()),
    };
    let open = service.connections().enter();
    let stream = PatientStream::new(stream, settings.timeouts.write);
    let (patience, cut_offs) = (stream.patience(), CutOffs::default());
    let answering = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        let (service, cut_offs, patience) = (service.clone(), cut_offs.clone(), patience.clone());
        Box::pin(async move {
            // Nobody passes WebSockets on.
            let upgrade = Upgrade::default();
            let mut answer = route::route(&service, request, remote, &upgrade).await;
            answer.body().on_connection(&cut_offs);
            answer.body_mut().be_watched_by(&patience);
            Ok::<_, Infallible>(answer)
        })
    });
    let mut connection = server::Builder::new();
    let connection = connection
        .timer(TokioTimer::new())
        .header_read_timeout(settings.timeouts.header)
        .max_buf_size(settings.limits.headers)
        .max_headers(head::MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answering);
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(%error, "a request that another node has passed on broke off");
        },
        () = cut_offs.any() => {}
        limit = place.lost() => service.shared().metrics.refused(limit.key()),
    }
    drop(open);
}
