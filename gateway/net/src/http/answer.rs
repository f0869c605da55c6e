//! Answers to requests.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use hubgate_wire::token::TokenError;
use serde::Serialize;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn json(body: &impl Serialize) -> Answer {
    with_type(StatusCode::OK, "application/json", serde_json::to_vec(body).expect("answers are JSON"))
}

pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    answer
}

/// Why a request is refused. The name counts it in `hubgate_requests_refused_total`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The request has no access token: send it as `Authorization: Bearer …` or as `access_token` in the query.")]
    NoToken,
    #[error("The access token is refused: {0}.")]
    BadToken(#[from] TokenError),
    #[error("The query needs exactly one `hub`.")]
    NotOneHub,
    #[error(transparent)]
    BadHub(#[from] hubgate_core::id::InvalidHubName),
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("No Connection with that ID")]
    UnknownConnection,
    #[error("")]
    ConnectionInUse,
    #[error("{0} transport not supported by this end point type")]
    UnknownTransport(&'static str),
    #[error("The gateway holds as many connections as `server.limits.connections` allows; try again later.")]
    TooManyConnections,
    #[error("Hub '{0}' lets nobody in without a token: `hubs.{0}.negotiate` is not `{{ anonymous = true }}`.")]
    NotAnonymous(hubgate_core::id::HubName),
    #[error("{0}")]
    NotFound(&'static str),
    #[error("")]
    MethodNotAllowed,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::BadToken(TokenError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::NoToken | Refusal::BadToken(_) => StatusCode::UNAUTHORIZED,
            Refusal::NotOneHub | Refusal::BadHub(_) | Refusal::BadRequest(_) => StatusCode::BAD_REQUEST,
            Refusal::UnknownConnection | Refusal::UnknownTransport(_) | Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::ConnectionInUse => StatusCode::CONFLICT,
            Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NotAnonymous(_) => StatusCode::FORBIDDEN,
            Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The label of its metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Refusal::NoToken | Refusal::BadToken(_) => "token",
            Refusal::NotOneHub | Refusal::BadHub(_) => "hub",
            Refusal::BadRequest(_) | Refusal::MethodNotAllowed => "request",
            Refusal::UnknownConnection | Refusal::ConnectionInUse => "connection",
            Refusal::UnknownTransport(_) => "transport",
            Refusal::TooManyConnections => "connections",
            Refusal::NotAnonymous(_) => "anonymous",
            Refusal::NotFound(_) => "path",
        }
    }
}

/// The one place where a refusal becomes what a peer sees.
pub(crate) fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = text(refusal.status(), refusal.to_string());
    let headers = answer.headers_mut();
    match refusal {
        Refusal::NoToken => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refusal::BadToken(_) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
        Refusal::TooManyConnections => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        _ => {}
    }
    answer
}
