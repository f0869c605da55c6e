//! Which pages of a browser may talk to a hub.
//!
//! Source: WHATWG Fetch, "CORS protocol". Clients send credentials by default, for which `*` is no answer.

use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

use super::answer::{Answer, text};
use crate::settings::CorsOrigins;

/// Whether pages of `origin` may read answers.
pub(crate) fn is_allowed(origins: &CorsOrigins, origin: &str) -> bool {
    origins.any || origins.allows(origin)
}

/// Whether pages send credentials with what they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// They can do without.
    Perhaps,
    /// Clients of ASP.NET SignalR always do, and `*` would shut all of them out. The gateway has no cookies: a page can do nothing without a
    /// token.
    Always,
}

/// Adds what lets the browser hand the answer to the page, if the page may have it.
pub(crate) fn allow(origins: &CorsOrigins, credentials: Credentials, request: &HeaderMap, answer: &mut Answer) {
    let Some(origin) = request.get(ORIGIN) else {
        return;
    };
    let headers = answer.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let is_named = origin.to_str().is_ok_and(|origin| origins.allows(origin));
    if is_named || (origins.any && credentials == Credentials::Always) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else if origins.any {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}

/// Answers the question that a browser asks before a request.
pub(crate) fn preflight(origins: &CorsOrigins, credentials: Credentials, request: &HeaderMap) -> Answer {
    let mut answer = text(StatusCode::NO_CONTENT, "");
    allow(origins, credentials, request, &mut answer);
    let headers = answer.headers_mut();
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
    answer
}
