//! The spans of requests to webhooks, and how webhooks learn of them.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use hubgate_core::settings::Webhook;

use crate::telemetry::{Context, Span, SpanKind};

/// The span of one request. Of the URL it has the template alone, without what may be secret.
pub(super) fn span(cause: &Arc<Span>, webhook: &Webhook) -> Arc<Span> {
    let span = cause.child(SpanKind::Client, "POST");
    span.text("http.request.method", "POST");
    span.text("url.template", webhook.url.shown());
    span
}

/// Adds `traceparent`, and `tracestate` if the trace has one.
pub(super) fn tell(span: &Span, headers: &mut HeaderMap) {
    for (name, value) in span.context().into_iter().flat_map(Context::headers) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
