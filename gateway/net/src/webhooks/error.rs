//! What can go wrong with a request to a webhook, and what is made of it.

use http::StatusCode;

use super::REQUESTS;

/// Why a webhook gave no good answer.
#[derive(Debug)]
pub(super) enum WebhookError {
    Status(StatusCode),
    /// There was no connection, so that nothing of the request was sent.
    Unreachable(String),
    /// The request was sent, wholly or in part, and its connection broke off before an answer.
    BrokenOff(String),
    /// No answer began in time.
    TimedOut,
    /// The answer did not end in time.
    Cancelled,
    /// As many requests as may be are under way, and none ended in time.
    Busy,
    TooLarge,
    /// While the answer was read.
    Broken(String),
    /// What came is no Completion of the call.
    NoCompletion,
    /// What came is the Completion of a call that wants a stream, and no error.
    NoStream,
    /// The event's name is a step to another path.
    BadEvent,
    /// No header can carry this of the event.
    Unsendable(&'static str),
}

impl WebhookError {
    /// What a caller is told (the service's own texts, where it has one).
    pub(super) fn text(&self) -> String {
        match self {
            WebhookError::Status(status) => format!("Invocation failed, status code {}", status.as_u16()),
            WebhookError::Unreachable(_) => "Invocation failed, error: the upstream could not be reached".to_owned(),
            WebhookError::BrokenOff(_) => {
                "Invocation failed, error: the upstream broke off before it answered".to_owned()
            }
            WebhookError::TimedOut => "Invocation failed, error: the upstream did not answer in time".to_owned(),
            WebhookError::Busy => "Invocation failed, error: the upstream is busy; try again later".to_owned(),
            WebhookError::Cancelled => "Invocation failed, response cancelled.".to_owned(),
            WebhookError::TooLarge => "Invocation failed, response too large.".to_owned(),
            WebhookError::Broken(error) => format!("Invocation failed, error: {error}."),
            WebhookError::NoCompletion => {
                "Invocation failed, error: the response is not a Completion of this call.".to_owned()
            }
            WebhookError::NoStream => {
                "Invocation failed, error: the response is a result, and the call is answered by a stream.".to_owned()
            }
            WebhookError::BadEvent => "Invocation failed, error: no URL can hold the method's name.".to_owned(),
            WebhookError::Unsendable(what) => format!("Invocation failed, error: no header can carry the {what}."),
        }
    }

    /// What the log is told. Not every event is a call that somebody waits for.
    pub(super) fn detail(&self) -> String {
        match self {
            WebhookError::Status(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => format!(
                "it answered with status {}: does it check signatures with another access key than this gateway has, or does the \
                 URL lack a secret?",
                status.as_u16()
            ),
            WebhookError::Status(status) => format!("it answered with status {}", status.as_u16()),
            WebhookError::Unreachable(error) | WebhookError::BrokenOff(error) => error.clone(),
            WebhookError::TimedOut | WebhookError::Cancelled => {
                "it took longer than the upstream item's `timeout`".to_owned()
            }
            WebhookError::Busy => {
                format!("it was not asked: {REQUESTS} requests were under way for all of its `timeout`")
            }
            WebhookError::TooLarge => "its answer is too large".to_owned(),
            WebhookError::Broken(error) => format!("its answer broke off: {error}"),
            WebhookError::NoCompletion => "its answer is not a Completion of the call".to_owned(),
            WebhookError::NoStream => {
                "its answer is a result, and the call wants a stream: answer it without a body, and \
                                       send the items with the REST API"
                    .to_owned()
            }
            WebhookError::BadEvent => "it was not asked: no URL can hold the method's name".to_owned(),
            WebhookError::Unsendable(what) => format!("it was not asked: no header can carry the {what}"),
        }
    }

    /// Whether the same request may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            WebhookError::Unreachable(_)
            | WebhookError::BrokenOff(_)
            | WebhookError::TimedOut
            | WebhookError::Cancelled
            | WebhookError::Busy => true,
            WebhookError::Status(status) => {
                let is_of_server = status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED;
                is_of_server || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            WebhookError::TooLarge
            | WebhookError::Broken(_)
            | WebhookError::NoCompletion
            | WebhookError::NoStream
            | WebhookError::BadEvent
            | WebhookError::Unsendable(_) => false,
        }
    }

    /// Whether the webhook knows nothing of the request, so that a second one cannot have its effect twice.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self, WebhookError::Unreachable(_))
    }

    /// The status that says that nobody handles the event there. Azure Functions answers so for an event without a function.
    pub(super) fn unhandled(&self) -> Option<StatusCode> {
        const UNHANDLED: [StatusCode; 4] =
            [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::GONE, StatusCode::NOT_IMPLEMENTED];
        match self {
            WebhookError::Status(status) => UNHANDLED.contains(status).then_some(*status),
            _ => None,
        }
    }

    /// The label of its metric.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            WebhookError::Status(_) => "status",
            WebhookError::Unreachable(_) | WebhookError::BrokenOff(_) => "unreachable",
            WebhookError::TimedOut | WebhookError::Cancelled => "timed-out",
            WebhookError::Busy => "busy",
            WebhookError::TooLarge | WebhookError::Broken(_) | WebhookError::NoCompletion | WebhookError::NoStream => {
                "bad-answer"
            }
            WebhookError::BadEvent | WebhookError::Unsendable(_) => "bad-event",
        }
    }
}
