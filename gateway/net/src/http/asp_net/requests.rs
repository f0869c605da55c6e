//! Requests of clients of ASP.NET SignalR: which is what, and how it is answered.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use hubgate_core::id::{ConnectionId, UserId};
use hubgate_core::{Family, NewClient, Reconnect, Return, ReturningClient as CoreReturningClient};
use hubgate_wire::aspnet::{self, Version};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::signalr::framing::RECORD_SEPARATOR;
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;

use super::asking::{Asking, Connecting};
use super::negotiate;
use crate::client_request::{
    AspNetTransport, ClientRequest, LAST_WORDS, LONGEST_WAIT, PollAnswer, Posted, TransportRequest,
};
use crate::entrant::{Entrant, NewEntrant, Opening, Returner, ReturningClient, WebSocketRequest};
use crate::http::answer::{Answer, messages, text, with_type};
use crate::http::body::RequestBody;
use crate::http::forwarded::client_address;
use crate::http::query::Query;
use crate::http::transport::{LONGEST_SILENCE, event_stream, identity, times, token_times};
use crate::http::upgrade::{Handshake, NoUpgrade};
use crate::http::way::WayEnds;
use crate::http::{Service, Upgrade, Upgraded, elsewhere};
use crate::http_places::HttpPlace;
use crate::peers::ANSWER_TIMEOUT;
use crate::refusal::Refusal;

/// The media type of answers, as self-hosted servers write it.
pub(super) const JSON: &str = "application/json; charset=UTF-8";
const NO_SNIFFING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));

/// What a request of `/aspnetclient/…` is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Negotiate,
    Connect,
    Start,
    Send,
    Poll,
    Reconnect,
    Abort,
    Ping,
}

impl Operation {
    const ALL: [(&'static str, Operation, &'static str); 8] = [
        ("negotiate", Operation::Negotiate, "GET, POST, OPTIONS"),
        ("connect", Operation::Connect, "GET, POST, OPTIONS"),
        ("start", Operation::Start, "GET, POST, OPTIONS"),
        ("send", Operation::Send, "POST, OPTIONS"),
        ("poll", Operation::Poll, "GET, POST, OPTIONS"),
        ("reconnect", Operation::Reconnect, "GET, POST, OPTIONS"),
        ("abort", Operation::Abort, "POST, OPTIONS"),
        ("ping", Operation::Ping, "GET, OPTIONS"),
    ];

    /// The one of this name, which is still encoded, if it has such a method. An extended CONNECT opens a WebSocket, as a GET does.
    fn of(name: &str, method: &Method) -> Result<Operation, Refusal> {
        let name = percent_decode_str(name).decode_utf8_lossy();
        let found = Operation::ALL.into_iter().find(|(each, ..)| name.eq_ignore_ascii_case(each));
        let (_, operation, methods) = found.ok_or(Refusal::NotFound("No such path.".into()))?;
        let method = if method == Method::CONNECT { &Method::GET } else { method };
        match methods.split(", ").any(|each| method == each) {
            true => Ok(operation),
            false => Err(Refusal::method_not_allowed(methods)),
        }
    }
}

/// Answers a request of `/aspnetclient/{name}`; a client that it made on a WebSocket is left in `upgraded`.
pub(crate) async fn answer(
    service: &Rc<Service>,
    (request, body): (&Parts, &mut RequestBody),
    name: &str,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Result<Answer, Refusal> {
    let operation = Operation::of(name, &request.method)?;
    let asking = Asking::of(service, request)?;
    let answer = match operation {
        Operation::Ping => with_type(StatusCode::OK, JSON, r#"{"Response":"pong"}"#),
        operation => {
            let client = asking.connecting(request)?;
            of_client(service, (request, body), operation, client, (remote, upgraded)).await?
        }
    };
    Ok(without_sniffing(answer))
}

fn without_sniffing(mut answer: Answer) -> Answer {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (name, value) = NO_SNIFFING;
        answer.headers_mut().insert(name, value);
    }
    answer
}

async fn of_client(
    service: &Rc<Service>,
    (request, body): (&Parts, &mut RequestBody),
    operation: Operation,
    client: Connecting,
    (remote, upgraded): (SocketAddr, &Upgrade),
) -> Result<Answer, Refusal> {
    if operation == Operation::Negotiate {
        return negotiate::answer(service, request, &client, remote).await;
    }
    let settings = service.shared().settings().clone();
    let query = Query::of(&request.uri);
    let kind = transport(query)?;
    let token = client.token(&settings, request)?;
    let is_web_socket = kind == Transport::WebSockets && matches!(operation, Operation::Connect | Operation::Reconnect);
    if !is_web_socket && let Some(owner) = elsewhere::owner_elsewhere(service, token) {
        return elsewhere::ask(service, owner, request, body, remote).await;
    }
    let version = Version::of(query.get("clientProtocol").as_deref());
    let hub_query = || aspnet::hub_query(request.uri.query().unwrap_or_default()).into_boxed_str();
    match operation {
        Operation::Negotiate | Operation::Ping => Err(Refusal::NotFound("No such path.".into())),
        Operation::Start => {
            let query = hub_query();
            let start = |answer| ClientRequest::Start { token, query, answer };
            service.clients().request(token, ANSWER_TIMEOUT, start).await?;
            Ok(with_type(StatusCode::OK, JSON, r#"{"Response":"started"}"#))
        }
        Operation::Abort => {
            let abort = |answer| ClientRequest::Abort { token, answer };
            service.clients().request(token, LAST_WORDS + ANSWER_TIMEOUT, abort).await?;
            Ok(text(StatusCode::OK, ""))
        }
        Operation::Send => {
            send(service, &client, token, body).await?;
            Ok(with_type(StatusCode::OK, JSON, ""))
        }
        Operation::Connect | Operation::Poll | Operation::Reconnect => {
            let at = cursor(service, query, operation, body).await?;
            let why = match (operation, at) {
                (Operation::Connect, _) => Return::Anew,
                (Operation::Reconnect, at) => Return::After(at),
                (_, at) => Return::Again(at),
            };
            if operation == Operation::Connect {
                client.check_hubs(&settings.core)?;
            }
            let starts_with = (operation == Operation::Connect && !version.has_start()).then(hub_query);
            match (kind, operation) {
                (Transport::LongPolling, _) => {
                    let asked = transport_request(service, request, client, (token, remote), (why, starts_with))?;
                    poll(service, request, token, asked).await
                }
                (_, Operation::Poll) => Err(Refusal::OtherTransport),
                (Transport::ServerSentEvents, _) => {
                    let asked = transport_request(service, request, client, (token, remote), (why, starts_with))?;
                    let events = |answer| ClientRequest::Events(asked, answer);
                    let events = service.clients().request(token, ANSWER_TIMEOUT, events).await?;
                    Ok(event_stream(events, HttpPlace::of(&request.extensions).carry()))
                }
                (Transport::WebSockets, _) => {
                    let handshake = Handshake::of(request).map_err(|no_upgrade| match no_upgrade {
                        NoUpgrade::Wrong(why) => Refusal::bad_request(why),
                        NoUpgrade::NotAsked => Refusal::bad_request("The transport `webSockets` needs a WebSocket."),
                    })?;
                    let entrant = web_socket(service, request, client, (token, remote), (why, starts_with)).await?;
                    *upgraded.borrow_mut() = Some(Upgraded::Client(Box::new(entrant)));
                    Ok(handshake.answer())
                }
            }
        }
    }
}

/// The transport that a request names.
fn transport(query: Query<'_>) -> Result<Transport, Refusal> {
    let name = query.get("transport").unwrap_or_default();
    let named = |each: &str| name.eq_ignore_ascii_case(each);
    match () {
        () if named("webSockets") => Ok(Transport::WebSockets),
        () if named("serverSentEvents") => Ok(Transport::ServerSentEvents),
        () if named("longPolling") => Ok(Transport::LongPolling),
        () => Err(Refusal::bad_request("Protocol error: Unknown transport.")),
    }
}

/// Where a client is, which says so in its query, or in the form that it polls with.
async fn cursor(
    service: &Service,
    query: Query<'_>,
    operation: Operation,
    body: &mut RequestBody,
) -> Result<Box<str>, Refusal> {
    const ITEM: &str = "messageId";
    if let Some(cursor) = query.get(ITEM) {
        return Ok(cursor.into());
    }
    let form = match operation {
        Operation::Poll | Operation::Reconnect => body.read(service).await?,
        _ => return Ok("".into()),
    };
    Ok(aspnet::form_value(&form, ITEM).unwrap_or_default().into())
}

fn transport_request(
    service: &Rc<Service>,
    request: &Parts,
    client: Connecting,
    (token, remote): (ConnectionId, SocketAddr),
    (why, starts_with): (Return, Option<Box<str>>),
) -> Result<Box<TransportRequest>, Refusal> {
    let settings = service.shared().settings();
    let Connecting { asking: Asking { claims, access_token, hub, .. }, also_in, .. } = client;
    let expiry = times(service, &claims).expiry;
    Ok(Box::new(TransportRequest {
        hub,
        token,
        access_token,
        digest: claims.digest,
        address: client_address(&settings, remote.ip(), &request.headers),
        identity: identity(&settings, &claims, request, remote.ip())?,
        handshake: None,
        token_times: token_times(service, &claims),
        silence: claims.poll_interval().map_or(LONGEST_SILENCE, Duration::from_secs),
        asp_net: Some(AspNetTransport { also_in, why, starts_with, expiry }),
    }))
}

async fn poll(
    service: &Rc<Service>,
    request: &Parts,
    token: ConnectionId,
    asked: Box<TransportRequest>,
) -> Result<Answer, Refusal> {
    let carrying = HttpPlace::of(&request.extensions).carry();
    let poll = |answer| ClientRequest::Poll(asked, answer);
    let mut polled = service.clients().request(token, ANSWER_TIMEOUT, poll).await?;
    let answer = tokio::select! {
        // A connection whose task is gone is over.
        answer = &mut polled => answer.unwrap_or(PollAnswer::Over),
        () = WayEnds::of(request) => {
            // What has been answered is not lost.
            polled.close();
            polled.try_recv().unwrap_or(PollAnswer::Empty)
        }
    };
    let mut answer = match answer {
        PollAnswer::Messages(body) => messages(body, carrying),
        PollAnswer::Idle(text) => with_type(StatusCode::OK, JSON, text),
        PollAnswer::Opened | PollAnswer::Empty | PollAnswer::Over => {
            with_type(StatusCode::OK, JSON, aspnet::KEEP_ALIVE)
        }
    };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    Ok(answer)
}

/// Hands on what a client says, once its turn has come.
async fn send(
    service: &Rc<Service>,
    client: &Connecting,
    token: ConnectionId,
    body: &mut RequestBody,
) -> Result<(), Refusal> {
    let Asking { claims, hub, .. } = &client.asking;
    let (hub, token_times, claims) = (hub.clone(), token_times(service, claims), claims.clone());
    let user = claims.user_id()?.map(UserId::new);
    let post = |answer| ClientRequest::Post { hub, token, user, claims, token_times, answer };
    let turn = service.clients().request(token, LONGEST_WAIT + ANSWER_TIMEOUT, post).await?;
    if turn.early_limit.is_some() {
        // Nobody says anything before its transport is open.
        return Err(Refusal::UnknownConnection);
    }
    let form = body.read(service).await?;
    let said = aspnet::form_value(&form, "data").ok_or(Refusal::bad_request("The form has no `data`."))?;
    let mut body = said.into_bytes();
    body.push(RECORD_SEPARATOR);
    let (answer, answered) = oneshot::channel();
    drop(turn.body.send(Posted { body: body.into(), answer }));
    // The client may be held for long, but not by a thread that stands still.
    service.answered(token.owner(), answered).await?.unwrap_or(Err(Refusal::UnknownConnection))
}

/// A client-to-be on a WebSocket, or one that is there and has come with another one.
async fn web_socket(
    service: &Rc<Service>,
    request: &Parts,
    client: Connecting,
    (token, remote): (ConnectionId, SocketAddr),
    (why, starts_with): (Return, Option<Box<str>>),
) -> Result<Entrant, Refusal> {
    if elsewhere::owner_elsewhere(service, token).is_some() {
        // Nobody passes WebSockets on, and what else the client asks for goes there.
        return Err(Refusal::AspNetWebSocketElsewhere);
    }
    let settings = service.shared().settings().clone();
    let address = client_address(&settings, remote.ip(), &request.headers);
    let Connecting { asking: Asking { claims, access_token, hub, .. }, also_in, .. } = client;
    let (identity, times) = (identity(&settings, &claims, request, remote.ip())?, times(service, &claims));
    let asked = || WebSocketRequest {
        token,
        hub: hub.clone(),
        user: identity.user_id.clone(),
        claims: settings.limits.counted_claims(&identity.claims),
        address,
        access_token: access_token.clone(),
    };
    let tokens = service.shard().tokens();
    let opening = match why {
        Return::Anew => match tokens.claim_for_web_socket(asked()).await {
            // It tries another kind of transport, or the same once more.
            Err(Refusal::ConnectionInUse | Refusal::OtherTransport) => tokens.return_by_web_socket(asked()).await?,
            opening => opening?,
        },
        Return::After(_) | Return::Again(_) => tokens.return_by_web_socket(asked()).await?,
    };
    let transport = Transport::WebSockets;
    Ok(match opening {
        Opening::First { token: claimed, id, place, lives_at, .. } => {
            let (token, reconnect, family) = (Some(token), Reconnect::No, Family::AspNet { also_in });
            let client = NewClient { hub, id, token, transport, identity, times, reconnect, family };
            Entrant::New(Box::new(NewEntrant { client, lives_at, place, claimed: Some(claimed), starts_with }))
        }
        Opening::Again { to, lives_at, .. } => {
            let client = Returner::AspNet(CoreReturningClient { token, transport, why });
            Entrant::Returning(ReturningClient { hub, client, lives_at, to })
        }
    })
}
