//! From a request to a WebSocket.
//!
//! Source: RFC 6455, section 4.2; RFC 8441 for HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use hyper::ext::Protocol;

use super::answer::{Answer, empty, text};

/// Why a request is for no WebSocket.
pub(super) enum NoUpgrade {
    NotAsked,
    Wrong(&'static str),
}

impl NoUpgrade {
    /// Of a request that asks for none, or seems to want to.
    fn of(request: &Parts) -> NoUpgrade {
        let headers = &request.headers;
        let has_traces = headers.contains_key(SEC_WEBSOCKET_KEY) || headers.contains_key(SEC_WEBSOCKET_VERSION);
        if !has_traces || request.method != Method::GET {
            return NoUpgrade::NotAsked;
        }
        NoUpgrade::Wrong(match request.version {
            Version::HTTP_2 => "On HTTP/2 a WebSocket is asked for by an extended CONNECT (RFC 8441), and not by GET.",
            _ => {
                "The request has headers of a WebSocket, but neither `Upgrade: websocket` nor `Connection: Upgrade`: a proxy may have \
                 left them out."
            }
        })
    }
}

/// A request for a WebSocket that can be granted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake<'r> {
    /// On a connection of HTTP/1.1, with its key.
    Upgrade(&'r [u8]),
    /// On a stream of HTTP/2.
    Connect,
}

impl<'r> Handshake<'r> {
    pub(super) fn of(request: &'r Parts) -> Result<Handshake<'r>, NoUpgrade> {
        let headers = &request.headers;
        let is_connect = request.method == Method::CONNECT;
        let is_asked = match is_connect {
            true => request.extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket"),
            false => has(headers, UPGRADE, "websocket") && has(headers, CONNECTION, "upgrade"),
        };
        if !is_asked {
            return Err(NoUpgrade::of(request));
        }
        if request.version < Version::HTTP_11 {
            return Err(NoUpgrade::Wrong(
                "A WebSocket needs HTTP/1.1: a proxy may speak HTTP/1.0 with the gateway (nginx does without `proxy_http_version 1.1`).",
            ));
        }
        if !has(headers, SEC_WEBSOCKET_VERSION, "13") {
            return Err(NoUpgrade::Wrong("The WebSocket version must be 13."));
        }
        if is_connect {
            return Ok(Handshake::Connect);
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let is_key = |key: &&[u8]| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
        let key = key.filter(is_key).ok_or(NoUpgrade::Wrong("The Sec-WebSocket-Key must be 16 bytes in base64."))?;
        Ok(Handshake::Upgrade(key))
    }

    /// The answer that grants it.
    pub(super) fn answer(self) -> Answer {
        match self {
            Handshake::Upgrade(key) => switching_protocols(key),
            Handshake::Connect => empty(StatusCode::OK),
        }
    }
}

/// Whether a header's list has an item, in any case.
fn has(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(item))
}

/// The answer to a request with this key.
fn switching_protocols(key: &[u8]) -> Answer {
    let accept = accept_key(key);
    let mut answer = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.clear();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).expect("base64 is a header value"));
    answer
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
