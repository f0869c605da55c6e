//! What comes of an operator's request, for the operator and for the log.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use http::{StatusCode, Uri};
use serde_json::Value;
use tokio::sync::mpsc;

use super::access::Token;
use super::operations::Operation;
use crate::http::{Answer, events, text, with_type};
use crate::refusal::Refusal;

/// What the log tells of a path and of an outcome, in bytes.
const LONGEST_TOLD: usize = 512;

/// What an operator gets.
#[derive(Debug)]
pub(super) enum Reply {
    Json(Value),
    Metrics(String),
    Text(StatusCode, &'static str),
    /// Server-sent events, as they come.
    Events(mpsc::Receiver<Bytes>),
    /// Of the console.
    Page(Box<Answer>),
    /// Of a change, with what the log tells of it: the JSON may have secrets.
    Changed(Value, String),
}

/// Why an operator gets nothing.
#[derive(Debug)]
pub(super) struct Denial {
    status: StatusCode,
    text: String,
    /// The methods that the path has.
    allow: Option<String>,
}

impl Denial {
    /// The text ends without a line's end.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Denial {
        Denial { status, text: text.into(), allow: None }
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Denial {
        Denial::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn other_methods(methods: String) -> Denial {
        let text = format!("This path has other methods: {methods}.");
        Denial { allow: Some(methods), ..Denial::new(StatusCode::METHOD_NOT_ALLOWED, text) }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Denial {
        Denial::new(refusal.status(), refusal.to_string())
    }
}

impl From<Denial> for Answer {
    fn from(Denial { status, text: why, allow }: Denial) -> Answer {
        let mut answer = text(status, format!("{why}\n"));
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            answer.headers_mut().insert(ALLOW, allow);
        }
        answer
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        match reply {
            Reply::Json(body) | Reply::Changed(body, _) => {
                with_type(StatusCode::OK, "application/json", body.to_string())
            }
            Reply::Text(status, told) => text(status, told),
            Reply::Events(received) => events(received),
            Reply::Page(answer) => *answer,
            Reply::Metrics(metrics) => {
                with_type(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics)
            }
        }
    }
}

/// The line of the log about a change, or about one that did not come about.
pub(super) fn log_change(
    operation: &Operation,
    uri: &Uri,
    (token, operator): (Token, IpAddr),
    outcome: &Result<Reply, Denial>,
) {
    let (status, told) = match outcome {
        Ok(Reply::Changed(_, told)) => (StatusCode::OK, told.as_str()),
        Ok(Reply::Json(_) | Reply::Metrics(_) | Reply::Text(..) | Reply::Page(_) | Reply::Events(_)) => {
            (StatusCode::OK, "")
        }
        Err(denial) => (denial.status, denial.text.as_str()),
    };
    let shorten = |text: &'_ str| text[..text.floor_char_boundary(LONGEST_TOLD)].to_owned();
    let (path, outcome) = (shorten(uri.path()), shorten(told));
    let (token, operation, status) = (token.name(), operation.name, status.as_u16());
    tracing::info!(operation, path, token, %operator, status, outcome, "an operator's change");
}
