//! The token that a request carries.
//!
//! Source: RFC 9110, section 11.6.2, and RFC 6750; `access_token` in the query as SignalR's clients in browsers send it.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, HeaderMap};
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
