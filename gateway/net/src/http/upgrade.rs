//! From a request to a WebSocket.
//!
//! Source: RFC 6455, section 4.2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};

use super::answer::{Answer, text};

/// Why a request is for no WebSocket.
pub(super) enum NoUpgrade {
    NotAsked,
    Wrong(&'static str),
}

/// The key of a request that asks for a WebSocket (RFC 6455, section 4.2.1).
pub(super) fn websocket_key(headers: &HeaderMap) -> Result<&[u8], NoUpgrade> {
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

/// The answer to a request with this key.
pub(super) fn switching_protocols(key: &[u8]) -> Answer {
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
