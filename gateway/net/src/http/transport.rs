//! Requests for clients' transports: from a request to a WebSocket, an event stream, a poll's answer or a post's.
//!
//! Source: ASP.NET Core SignalR, "Transport Protocols".

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    PRAGMA, UPGRADE,
};
use http::request::Parts;
use http::{Method, StatusCode};
use hubgate_core::id::{ConnectionId, GroupName, HubName, ShardAddress, UserId};
use hubgate_core::time::Millis;
use hubgate_core::{ClientTimes, Family, Identity, NewClient, Reconnect, ResumedClient};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::token::{Claims, TokenError};
use tokio::sync::oneshot;

use super::answer::{Answer, AnswerBody, empty, messages, text, with_type};
use super::authorization::access_token;
use super::body::RequestBody;
use super::elsewhere;
use super::forwarded::{client_address, seen_headers};
use super::negotiate::{client_claims, new_id};
use super::query::Query;
use super::upgrade::{Handshake, NoUpgrade};
use super::way::WayEnds;
use super::{Service, Upgrade, Upgraded};
use crate::admission::Visitor;
use crate::client_request::{
    ClientRequest, LAST_WORDS, LONGEST_WAIT, PollAnswer, Posted, TokenTimes, TransportRequest,
};
use crate::delivery::DeliveryBody;
use crate::entrant::{Entrant, NewEntrant, Opening, Returner, ReturningClient, WebSocketRequest};
use crate::http_places::{Carrying, HttpPlace};
use crate::peers::ANSWER_TIMEOUT;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::shared::unix_seconds;
use crate::verified_token::VerifiedToken;

/// What is kept of a client's token and request for as long as it is connected, in bytes.
const MAX_IDENTITY: usize = 8 << 10;
/// What a name and a value take beside their own bytes.
const PAIR_OVERHEAD: usize = 8;

/// How many values a client may have of claims by which clients are counted: each takes some 100 bytes to count.
const MAX_COUNTED_CLAIMS: usize = 64;

/// How long a client that polls may be without a poll, if its token does not say.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// How long after the end of its token a client whose requests are checked one by one may come with a later one. Clients learn
/// from an answer of 401 that they need one.
pub(super) const SECONDS_TO_RENEW: u64 = 5;

/// Answers a request of `/client`; a client that it made on a WebSocket is left in `upgraded`.
pub(crate) async fn answer(
    service: &Rc<Service>,
    request: &Parts,
    body: &mut RequestBody,
    hub: &HubName,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Result<Answer, Refusal> {
    let access_token = access_token(request).ok_or(Refusal::NoToken)?;
    let claims = match client_claims(service, &access_token, hub) {
        Err(Refusal::BadToken(TokenError::WrongKey)) if service.shared().has_lost_keys() => {
            if let Some(owner) = owner_elsewhere(service, request)? {
                // That node knows whether the connection has come with this token.
                return elsewhere::ask_for_stranger(service, owner, request, body, remote).await;
            }
            claims_of_before(service, request, &access_token, hub).await?
        }
        claims => claims?,
    };
    let place = HttpPlace::of(&request.extensions);
    place.vouch();
    let token = match Query::of(&request.uri).get("id") {
        Some(id) => Some(ConnectionId::parse(&*id).ok_or(Refusal::UnknownConnection)?),
        None => None,
    };
    let asked = Asked::of(request)?;
    let transports = claims.transports().ok_or(Refusal::NoTransport)?;
    if let Some(transport) = asked.transport()
        && !transports.contains(transport)
    {
        return Err(Refusal::UnknownTransport(transport.name()));
    }
    if let Some(owner) = owner_elsewhere(service, request)? {
        return elsewhere::ask(service, owner, request, body, remote).await;
    }
    let existing = token.ok_or(Refusal::bad_request("Connection ID required"));
    let transport_request = |token| -> Result<_, Refusal> {
        let settings = service.shared().settings();
        let address = client_address(&settings, remote.ip(), &request.headers);
        Ok(Box::new(TransportRequest {
            hub: hub.clone(),
            token,
            access_token: access_token.as_ref().into(),
            digest: claims.digest,
            address,
            identity: identity(&settings, &claims, request, remote.ip())?,
            handshake: claims.handshake_timeout().map(|seconds| Millis(1000 * seconds)),
            token_times: token_times(service, &claims),
            silence: claims.poll_interval().map_or(LONGEST_SILENCE, Duration::from_secs),
            asp_net: None,
        }))
    };
    match asked {
        Asked::WebSocket(handshake) => {
            let entrant = web_socket(service, request, hub, remote, &access_token, &claims, token).await?;
            *upgraded.borrow_mut() = Some(Upgraded::Client(Box::new(entrant)));
            Ok(handshake.answer())
        }
        Asked::Events => {
            let token = existing?;
            let request = transport_request(token)?;
            let events = service
                .clients()
                .request(token, ANSWER_TIMEOUT, |answer| ClientRequest::Events(request, answer))
                .await?;
            Ok(event_stream(events, place.carry()))
        }
        Asked::Poll => {
            let token = existing?;
            let transport = transport_request(token)?;
            let polled = |answer| ClientRequest::Poll(transport, answer);
            let mut polled = service.clients().request(token, ANSWER_TIMEOUT, polled).await?;
            let answer = tokio::select! {
                // A connection whose task is gone is over.
                answer = &mut polled => answer.unwrap_or(PollAnswer::Over),
                () = WayEnds::of(request) => {
                    // What has been answered is not lost.
                    polled.close();
                    polled.try_recv().unwrap_or(PollAnswer::Empty)
                }
            };
            Ok(poll_answer(answer, place.carry()))
        }
        Asked::Post => {
            post(service, hub, existing?, &claims, body).await?;
            Ok(text(StatusCode::OK, ""))
        }
        Asked::Delete => {
            let (token, hub) = (existing?, hub.clone());
            service
                .clients()
                .request(token, LAST_WORDS + ANSWER_TIMEOUT, |answer| ClientRequest::Delete { hub, token, answer })
                .await?;
            Ok(text(StatusCode::ACCEPTED, ""))
        }
    }
}

/// The shard of another node that serves the connection of a request; none for WebSockets, which any node serves.
fn owner_elsewhere(service: &Service, request: &Parts) -> Result<Option<ShardAddress>, Refusal> {
    if Asked::of(request)?.is_web_socket() {
        return Ok(None);
    }
    let id = Query::of(&request.uri).get("id").and_then(|id| ConnectionId::parse(&*id));
    Ok(id.and_then(|id| elsewhere::owner_elsewhere(service, id)))
}

/// The claims of a token whose key is none of the gateway's any more. Only the connection that has come with this very token goes on with
/// it, as one on a WebSocket does.
async fn claims_of_before(
    service: &Rc<Service>,
    request: &Parts,
    access_token: &str,
    hub: &HubName,
) -> Result<Arc<VerifiedToken>, Refusal> {
    let wrong_key = || Refusal::from(TokenError::WrongKey);
    let id = Query::of(&request.uri).get("id").and_then(|id| ConnectionId::parse(&*id)).ok_or_else(wrong_key)?;
    let claims = VerifiedToken::new(access_token, Claims::check_without_key(access_token, unix_seconds())?);
    let (hub, token, digest) = (hub.clone(), id, claims.digest);
    let is_latest = |answer| ClientRequest::IsLatestToken { hub, token, digest, answer };
    match service.clients().request(token, ANSWER_TIMEOUT, is_latest).await {
        Ok(true) => Ok(Arc::new(claims)),
        Ok(false) | Err(Refusal::UnknownConnection) => Err(wrong_key()),
        Err(refusal) => Err(refusal),
    }
}

const NOT_ALLOWED: Refusal = Refusal::method_not_allowed("GET, POST, DELETE, OPTIONS");

/// What a request of `/client` is for.
enum Asked<'a> {
    WebSocket(Handshake<'a>),
    Events,
    Poll,
    Post,
    Delete,
}

impl Asked<'_> {
    fn is_web_socket(&self) -> bool {
        matches!(self, Asked::WebSocket(_))
    }

    fn of(request: &Parts) -> Result<Asked<'_>, Refusal> {
        match request.method {
            Method::GET | Method::CONNECT => match Handshake::of(request) {
                Ok(handshake) => Ok(Asked::WebSocket(handshake)),
                Err(NoUpgrade::Wrong(why)) => Err(Refusal::bad_request(why)),
                Err(NoUpgrade::NotAsked) if request.method == Method::CONNECT => Err(NOT_ALLOWED),
                Err(NoUpgrade::NotAsked) => match accepts_events(&request.headers) {
                    true => Ok(Asked::Events),
                    false => Ok(Asked::Poll),
                },
            },
            Method::POST => Ok(Asked::Post),
            Method::DELETE => Ok(Asked::Delete),
            _ => Err(NOT_ALLOWED),
        }
    }

    /// The transport that is asked for, if one is.
    fn transport(&self) -> Option<Transport> {
        match self {
            Asked::WebSocket(_) => Some(Transport::WebSockets),
            Asked::Events => Some(Transport::ServerSentEvents),
            Asked::Poll => Some(Transport::LongPolling),
            Asked::Post | Asked::Delete => None,
        }
    }
}

/// Whether an event stream is among the media types that the request names (RFC 9110, section 12.5.1).
fn accepts_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_refused = |parameter: &str| {
            let weight = parameter.strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('='));
            weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0))
        };
        parts.next().is_some_and(|media| media.eq_ignore_ascii_case("text/event-stream")) && !parts.any(is_refused)
    })
}

/// Hands on what a client says, once its turn has come.
async fn post(
    service: &Rc<Service>,
    hub: &HubName,
    token: ConnectionId,
    claims: &Arc<VerifiedToken>,
    body: &mut RequestBody,
) -> Result<(), Refusal> {
    let (hub, token_times, claims) = (hub.clone(), token_times(service, claims), claims.clone());
    let user = claims.user_id()?.map(UserId::new);
    let request = |answer| ClientRequest::Post { hub, token, user, claims, token_times, answer };
    let turn = service.clients().request(token, LONGEST_WAIT + ANSWER_TIMEOUT, request).await?;
    let limit = service.shared().settings().limits.post;
    let body = match turn.early_limit {
        Some(early) if early < limit => match body.read_up_to(early, service).await {
            // No client says so much before its transport is open.
            Err(Refusal::BodyTooLarge { .. }) => return Err(Refusal::UnknownConnection),
            read => read?,
        },
        Some(_) | None => body.read(service).await?,
    };
    let (answer, answered) = oneshot::channel();
    drop(turn.body.send(Posted { body, answer }));
    // The client may be held for long, but not by a thread that stands still.
    service.answered(token.owner(), answered).await?.unwrap_or(Err(Refusal::UnknownConnection))
}

/// A client-to-be on a WebSocket, or one that lives and has come with another one.
async fn web_socket(
    service: &Rc<Service>,
    request: &Parts,
    hub: &HubName,
    remote: SocketAddr,
    access_token: &str,
    claims: &Claims,
    token: Option<ConnectionId>,
) -> Result<Entrant, Refusal> {
    let settings = service.shared().settings().clone();
    let address = client_address(&settings, remote.ip(), &request.headers);
    let identity = identity(&settings, claims, request, remote.ip())?;
    let (shard, transport, times) = (service.shard(), Transport::WebSockets, times(service, claims));
    let user = identity.user_id.as_ref();
    let Some(token) = token else {
        let visitor = Visitor { address, hub, user, claims: &identity.claims, token: access_token };
        let place = service.shared().admission.enter_client(&settings.limits, visitor);
        let place = place.map_err(|full| service.shared().no_room(full))?;
        let id = new_id(shard.neighbours().address_of(service.shared().loads.deal_near(shard.index())));
        let reconnect = Reconnect::No;
        let client = NewClient {
            hub: hub.clone(),
            id,
            token: None,
            transport,
            reconnect,
            identity,
            times,
            family: Family::Core,
        };
        return Ok(Entrant::New(Box::new(NewEntrant {
            client,
            lives_at: id.owner(),
            place,
            claimed: None,
            starts_with: None,
        })));
    };
    let claims = settings.limits.counted_claims(&identity.claims);
    let (user, access_token) = (user.cloned(), access_token.into());
    let request = WebSocketRequest { token, hub: hub.clone(), user, claims, address, access_token };
    Ok(match shard.tokens().claim_for_web_socket(request).await? {
        Opening::First { token: claimed, id, reconnect, place, lives_at } => {
            let (hub, token) = (hub.clone(), Some(token));
            let client = NewClient { hub, id, token, transport, reconnect, identity, times, family: Family::Core };
            Entrant::New(Box::new(NewEntrant { client, lives_at, place, claimed: Some(claimed), starts_with: None }))
        }
        Opening::Again { id, to, lives_at } => {
            let client = Returner::Core(ResumedClient { id, expiry: times.expiry });
            Entrant::Returning(ReturningClient { hub: hub.clone(), client, lives_at, to })
        }
    })
}

/// What the token of a client on a WebSocket says of its times, on the gateway's clock: it was checked once for all.
pub(super) fn times(service: &Service, claims: &Claims) -> ClientTimes {
    ClientTimes {
        handshake: claims.handshake_timeout().map(|seconds| Millis(1000 * seconds)),
        expiry: claims.connection_end().map(|end| on_our_clock(service, end)),
    }
}

/// The same of a client whose requests are checked one by one.
pub(super) fn token_times(service: &Service, claims: &Claims) -> TokenTimes {
    let valid_until = on_our_clock(service, claims.expiry());
    let end = claims.connection_end().map(|end| on_our_clock(service, end));
    let renewed_until = valid_until + Millis(1_000 * SECONDS_TO_RENEW);
    TokenTimes { valid_until, end: end.map_or(renewed_until, |end| end.min(renewed_until)) }
}

/// A time in seconds since 1970.
pub(super) fn on_our_clock(service: &Service, time: u64) -> Millis {
    service.shared().now() + Millis(time.saturating_sub(unix_seconds()).saturating_mul(1000))
}

pub(super) fn event_stream(body: DeliveryBody, carrying: Carrying) -> Answer {
    let mut answer = Answer::new(AnswerBody::Messages { body, _carrying: carrying, own_deadlines: None });
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    // Keeps what is in between from holding events back until it has enough to compress or to pass on.
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer
}

pub(super) fn poll_answer(polled: PollAnswer, carrying: Carrying) -> Answer {
    let mut answer = match polled {
        PollAnswer::Opened => with_type(StatusCode::OK, "application/octet-stream", ""),
        PollAnswer::Messages(body) => messages(body, carrying),
        PollAnswer::Idle(text) => with_type(StatusCode::OK, "text/plain", text),
        PollAnswer::Empty => with_type(StatusCode::OK, "text/plain", ""),
        PollAnswer::Over => empty(StatusCode::NO_CONTENT),
    };
    let headers = answer.headers_mut();
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    answer
}

pub(super) fn identity(
    settings: &Settings,
    claims: &Claims,
    request: &Parts,
    peer: IpAddr,
) -> Result<Identity, Refusal> {
    let headers = seen_headers(settings, peer, &request.headers).filter(|(name, _)| !is_private(name));
    let identity = Identity {
        user_id: claims.user_id()?.map(UserId::new),
        claims: claims.flatten().collect(),
        query: Query::of(&request.uri).without(&[]).into(),
        headers: headers.collect(),
        remote_address: client_address(settings, peer, &request.headers).to_string().into(),
        groups: claims
            .groups()
            .map(GroupName::parse)
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::bad_request(error.to_string()))?,
    };
    let is_counted = |(name, _): &(&str, &str)| settings.limits.counts_claim(name);
    if identity.claims.iter().filter(is_counted).count() > MAX_COUNTED_CLAIMS {
        return Err(Refusal::TooManyCountedClaims { limit: MAX_COUNTED_CLAIMS });
    }
    match kept(&identity) {
        0..=MAX_IDENTITY => Ok(identity),
        kept => Err(Refusal::IdentityTooLarge { kept, limit: MAX_IDENTITY }),
    }
}

/// How much of a client is kept, in bytes.
fn kept(identity: &Identity) -> usize {
    let pairs = identity.claims.iter().chain(identity.headers.iter());
    let pairs = pairs.map(|(name, value)| name.len() + value.len() + PAIR_OVERHEAD).sum::<usize>();
    let groups = identity.groups.iter().map(|group| group.as_str().len() + PAIR_OVERHEAD).sum::<usize>();
    pairs + identity.query.len() + groups
}

/// Headers that carry credentials, or concern this connection alone.
fn is_private(name: &HeaderName) -> bool {
    use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
    [AUTHORIZATION, PROXY_AUTHORIZATION, CONNECTION, UPGRADE].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stream_is_asked_for_by_any_list_that_names_it() {
        let asked = |values: &[&'static str]| {
            let values = values.iter().map(|value| (ACCEPT, HeaderValue::from_static(value)));
            accepts_events(&values.collect())
        };
        assert!(asked(&["text/event-stream"]));
        assert!(asked(&["text/event-stream, */*"]));
        assert!(asked(&["*/*;q=0.1, TEXT/Event-Stream; charset=utf-8"]));
        assert!(asked(&["application/json", "text/event-stream"]));
        assert!(!asked(&["*/*"]));
        assert!(!asked(&["text/event-stream;q=0, */*"]));
        assert!(!asked(&["text/event-streams"]));
        assert!(!asked(&[]));
    }
}
