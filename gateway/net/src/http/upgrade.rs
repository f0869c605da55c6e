//! From a request to a client on a WebSocket.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT, CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, StatusCode};
use hubgate_core::id::{ConnectionId, HubName, UserId};
use hubgate_core::{Identity, NewClient, TokenRefusal};
use hubgate_wire::token::Claims;
use hyper::body::Incoming;

use super::Upgrade;
use super::answer::{Answer, Refusal, text};
use super::forwarded::client_address;
use super::negotiate::{access_token, client_claims, new_id};
use super::query::Query;
use crate::shard::ShardThread;

/// Answers a request for a transport of `hub`; the client-to-be is left in `upgraded`.
pub(crate) async fn upgrade(
    shard: &Rc<ShardThread>,
    request: &Request<Incoming>,
    hub: &HubName,
    remote: SocketAddr,
    upgraded: &Upgrade,
) -> Result<Answer, Refusal> {
    let token = access_token(request).ok_or(Refusal::NoToken)?;
    let claims = client_claims(shard, &token, hub)?;
    let query = Query::of(request.uri());
    let connection_token = match query.get("id") {
        Some(id) => Some(ConnectionId::parse(&id).ok_or(Refusal::UnknownConnection)?),
        None => None,
    };
    let accept = match (request.method(), websocket_key(request.headers())) {
        (&Method::GET, Ok(key)) => accept_key(key),
        (&Method::GET, Err(NoUpgrade::NotAsked)) => return Err(other_transport(request.headers(), connection_token)),
        (&Method::GET, Err(NoUpgrade::Wrong(why))) => return Err(Refusal::bad_request(why)),
        (&Method::POST | &Method::DELETE, _) if connection_token.is_none() => {
            return Err(Refusal::bad_request("Connection ID required"));
        }
        (&Method::POST | &Method::DELETE, _) => return Err(Refusal::UnknownConnection),
        _ => return Err(Refusal::MethodNotAllowed),
    };
    let settings = shard.shared.settings().clone();
    let address = client_address(&settings, remote.ip(), request.headers());
    let identity = identity(&claims, query, request.headers(), address);
    let place = shard
        .shared
        .admission
        .enter_client(&settings.limits, address, hub, identity.user_id.as_ref(), &token)
        .map_err(Refusal::NoRoom)?;
    let id = match connection_token {
        None => new_id(shard),
        Some(token) => shard.claim_token(token, hub).await.map_err(|refusal| match refusal {
            TokenRefusal::Unknown => Refusal::UnknownConnection,
            TokenRefusal::InUse => Refusal::ConnectionInUse,
        })?,
    };
    let client = NewClient { hub: hub.clone(), id, token: connection_token, identity };
    *upgraded.borrow_mut() = Some((client, place));
    Ok(switching_protocols(&accept))
}

fn switching_protocols(accept: &str) -> Answer {
    let mut answer = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.clear();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(accept).expect("base64 is a header value"));
    answer
}

fn identity(claims: &Claims, query: Query<'_>, headers: &HeaderMap, address: IpAddr) -> Identity {
    let headers = headers.iter().filter(|(name, _)| !is_private(name));
    Identity {
        user_id: claims.user_id().map(UserId::new),
        claims: claims.flatten().collect(),
        query: query.without(&[]).into(),
        headers: headers.map(|(name, value)| (name, String::from_utf8_lossy(value.as_bytes()))).collect(),
        remote_address: address.to_string().into(),
    }
}

/// Headers that carry credentials, or concern this connection alone.
fn is_private(name: &HeaderName) -> bool {
    use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
    [AUTHORIZATION, PROXY_AUTHORIZATION, CONNECTION, UPGRADE].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// The transports that are not there, by the way in which clients ask for them.
fn other_transport(headers: &HeaderMap, token: Option<ConnectionId>) -> Refusal {
    let is_event_stream = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes() == b"text/event-stream");
    match (token, is_event_stream) {
        (None, _) => Refusal::bad_request("Connection ID required"),
        (Some(_), true) => Refusal::UnknownTransport("ServerSentEvents"),
        (Some(_), false) => Refusal::UnknownTransport("LongPolling"),
    }
}

enum NoUpgrade {
    NotAsked,
    Wrong(&'static str),
}

/// The key of a request that asks for a WebSocket (RFC 6455, section 4.2.1).
fn websocket_key(headers: &HeaderMap) -> Result<&[u8], NoUpgrade> {
    let has = |name: HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|each| each.trim().eq_ignore_ascii_case(token)))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(NoUpgrade::NotAsked);
    }
    if !has(SEC_WEBSOCKET_VERSION, "13") {
        return Err(NoUpgrade::Wrong("The WebSocket version must be 13."));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    key.filter(is_key).ok_or(NoUpgrade::Wrong("The Sec-WebSocket-Key must be 16 bytes in base64."))
}

/// Proves that the request was understood (RFC 6455, section 4.2.2).
fn accept_key(key: &[u8]) -> String {
    use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
