//! Requests for connections that live on other nodes, and those that other nodes pass on.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
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
use super::way::{Way, WayEnds};
use super::{Service, Upgrade, head, route};
use crate::cluster_link::ClusterLink;
use crate::delivery::{CutOffs, DeliveryFarewell};
use crate::http_places::{Carrying, HttpPlace, Newcomer};
use crate::patience::PatientStream;
use crate::peer_task::PeerTask;
use crate::refusal::Refusal;
use crate::slow::SlowReason;
use crate::tunnels::{Told, TunnelStream, TunnelWatch};

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
    let stream = service.tunnels().open(to, remote)?;
    let broken = |error: hyper::Error| {
        tracing::debug!(%error, node = to.node.0, "another node does not answer a request");
        Refusal::NodeNotReached
    };
    let (watch, way) = (stream.watch(), Way::default());
    let (mut asking, connection) = client::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let passing = async { drop(connection.await) };
    let passing = pass(service.clone(), passing, watch, way.clone());
    service.shard().tasks().spawn(PeerTask::Request, passing, || ());
    let answer = timeout(LONGEST_ANSWER, asking.send_request(passed_on(request, body))).await;
    let answer = answer.map_err(|_| Refusal::NodeNotReached)?.map_err(broken)?;
    let (mut head, body) = answer.into_parts();
    keep_what_is_passed_on(&mut head.headers);
    head.version = Version::default();
    Ok(Answer::from_parts(head, AnswerBody::Elsewhere { body, way, _carrying: carrying }))
}

/// Lets a request and its answer pass, until both are over or the way is ended. The other node hears when this one stops.
async fn pass(service: Rc<Service>, passing: impl Future<Output = ()>, watch: TunnelWatch, way: Way) {
    let (mut passing, mut has_left) = (pin!(passing), false);
    loop {
        tokio::select! {
            () = passing.as_mut() => return,
            () = way.ended() => return,
            told = watch.told() => match told {
                Told::MustGo => return service.shared().metrics.slow_peer(SlowReason::Outboxes),
                // Its clients are told themselves.
                Told::IsLeft => {}
            },
            () = service.connections().end_has_begun(), if !has_left => {
                has_left = true;
                watch.leave();
            }
        }
    }
}

/// Takes away what is of one connection alone: the headers that are so always, and those that the peer says are (RFC 9110, section 7.6.1).
fn keep_what_is_passed_on(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).map(|name| HeaderName::try_from(name.trim()));
    let named: Vec<HeaderName> = named.filter_map(Result::ok).collect();
    OF_CONNECTIONS.iter().chain(&named).for_each(|name| drop(headers.remove(name)));
}

/// A request as it is asked of another node.
fn passed_on<B>(request: &Parts, body: B) -> Request<B> {
    let mut passed = Request::new(body);
    *passed.method_mut() = request.method.clone();
    *passed.uri_mut() = request.uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    let headers = passed.headers_mut();
    *headers = request.headers.clone();
    keep_what_is_passed_on(headers);
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
    let pause = service.shared().cluster.as_ref().map(ClusterLink::cut_off).unwrap_or_default();
    let (watch, ending) = (stream.watch(), Rc::<Ending>::default());
    let stream = PatientStream::new(stream, settings.timeouts.write).pausing_while(pause.clone());
    let (patience, cut_offs) = (stream.patience(), CutOffs::default());
    let answering = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        request.extensions_mut().insert(ending.way_ends.clone());
        let (service, cut_offs, patience) = (service.clone(), cut_offs.clone(), patience.clone());
        let (pause, ending) = (pause.clone(), ending.clone());
        Box::pin(async move {
            // Nobody passes WebSockets on.
            let upgrade = Upgrade::default();
            let mut answer = route::route(&service, request, remote, &upgrade).await;
            answer.body().on_connection(&cut_offs);
            answer.body().pauses_while(pause);
            ending.of_answer(answer.body().farewell());
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
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a request that another node has passed on broke off");
                }
                break;
            }
            () = cut_offs.any() => break,
            limit = place.lost() => {
                service.shared().metrics.refused(limit.key());
                break;
            }
            told = watch.told() => match told {
                Told::MustGo => {
                    service.shared().metrics.slow_peer(SlowReason::Outboxes);
                    break;
                }
                Told::IsLeft => ending.begin(),
            },
        }
    }
    drop(open);
}

/// What the end of the other node is told to.
#[derive(Debug, Default)]
struct Ending {
    has_begun: Cell<bool>,
    way_ends: WayEnds,
    farewell: RefCell<Option<DeliveryFarewell>>,
}

impl Ending {
    fn begin(&self) {
        self.has_begun.set(true);
        self.way_ends.begin();
        self.say();
    }

    /// The answer has begun.
    fn of_answer(&self, farewell: Option<DeliveryFarewell>) {
        self.farewell.replace(farewell);
        if self.has_begun.get() {
            self.say();
        }
    }

    fn say(&self) {
        self.farewell.take().iter().for_each(DeliveryFarewell::say);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_of_its_connection_alone_is_not_passed_on() {
        let request = Request::get("https://example.com/client/?hub=chat&id=1")
            .header(CONNECTION, "keep-alive, X-Hop ,, not a name")
            .header(CONNECTION, "x-other")
            .header("x-hop", "1")
            .header("x-other", "2")
            .header("keep-alive", "timeout=5")
            .header("x-kept", "3");
        let (request, ()) = request.body(()).expect("a request").into_parts();
        let passed = passed_on(&request, ());
        let mut names: Vec<&str> = passed.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            (names, &passed.headers()[HOST]),
            (vec!["host", "x-kept"], &HeaderValue::from_static("example.com"))
        );
        assert_eq!(passed.uri(), "/client/?hub=chat&id=1");
    }
}
