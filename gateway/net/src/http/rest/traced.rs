//! The spans of operations: what is sent because of a request belongs to its trace.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hubgate_core::id::HubName;

use crate::http::Service;
use crate::telemetry::{Context, Span, SpanKind, Subject};

/// The span of an operation that its caller may do, if somebody is told of the trace. The query stays out of it: a token may be there.
pub(super) fn span(service: &Service, request: &Parts, hub: &HubName, operation: &'static str) -> Option<Arc<Span>> {
    let headers = request.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let parent = Context::of(headers);
    let subject = Subject { hub, user: None, connection: None, method: None };
    let name = format!("{} {operation}", request.method);
    let span = service.shared().telemetry.begin(parent.as_ref(), &subject, SpanKind::Server, &name)?;
    span.text("http.request.method", request.method.as_str());
    span.text("url.path", request.uri.path());
    span.text("hubgate.hub", hub.as_str());
    span.text("hubgate.operation", operation);
    Some(span)
}

/// It was answered with this status.
pub(super) fn answered(span: &Span, status: StatusCode) {
    span.number("http.response.status_code", usize::from(status.as_u16()));
    if status.is_server_error() {
        span.failed("server-error");
    }
    span.end();
}
