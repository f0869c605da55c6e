//! The tokens that a request carries: who asks, and for which connection.
//!
//! Source: RFC 9110, section 11.6.2, and RFC 6750; `access_token` in the query as SignalR's clients in browsers send it. ASP.NET Core
//! SignalR, "Authentication refresh", for the connection's.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use http::request::Parts;

use super::query::Query;

/// The token of a request: in its header, or where browsers cannot set one, in its query.
pub(crate) fn access_token(request: &Parts) -> Option<Cow<'_, str>> {
    bearer_token(&request.headers).map(Cow::Borrowed).or_else(|| Query::of(&request.uri).get("access_token"))
}

/// The token of an `Authorization: Bearer …` header.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let header = str::from_utf8(headers.get(AUTHORIZATION)?.as_bytes()).ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The secret that names a connection, and opens its transports.
pub(super) const CONNECTION_TOKEN: HeaderName = HeaderName::from_static("x-signalr-connection-token");
/// The same in the query.
pub(super) const CONNECTION_TOKEN_ITEM: &str = "id";

/// The connection token of a request that is for a connection: in its header, or in its query.
pub(super) fn connection_token(request: &Parts) -> Option<Cow<'_, str>> {
    match request.headers.get(CONNECTION_TOKEN) {
        Some(token) => token.to_str().ok().map(Cow::Borrowed),
        None => Query::of(&request.uri).get(CONNECTION_TOKEN_ITEM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_has_no_case_and_no_other_one_has_a_token() {
        for (header, token) in [
            ("Bearer a.b", Some("a.b")),
            ("bearer a.b", Some("a.b")),
            ("BEARER   a.b", Some("a.b")),
            ("Basic a.b", None),
            ("Bearer", None),
            ("Bearera.b", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().expect("a value"))]);
            assert_eq!(bearer_token(&headers), token, "{header}");
        }
    }
}
