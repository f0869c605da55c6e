//! Which messages of clients are followed, and with what they begin.

use std::sync::Arc;

use hubgate_core::event::ConnectionFacts;
use hubgate_core::follower::Follower;
use hubgate_core::trace::TraceMark;
use hubgate_wire::signalr::HubMessage;

use super::{Context, Span, SpanKind, Subject, Telemetry, redaction};

/// Follows the calls of clients. Items of streams, answers and pings belong to no trace of their own.
#[derive(Debug)]
pub(super) struct Following(pub(super) Arc<Telemetry>);

impl Follower for Following {
    fn said(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark> {
        let (HubMessage::Invocation(call) | HubMessage::StreamInvocation(call)) = message else {
            return None;
        };
        let parent = Context::of(call.headers.iter().map(|(name, value)| (&**name, &**value)));
        let span = self.0.of_client(parent.as_ref(), client, &call.target)?;
        span.payload(|| redaction::shown(call.arguments));
        Some(span.mark())
    }

    fn reads_what_passes(&self) -> bool {
        self.0.is_watched()
    }

    fn passes(&self, client: &Arc<ConnectionFacts>, message: &HubMessage<'_>) -> Option<TraceMark> {
        let (HubMessage::Invocation(call) | HubMessage::StreamInvocation(call)) = message else {
            return None;
        };
        // Its end is not seen here, so that the collector is not told.
        let span = self.0.of_passing(client, &call.target)?;
        span.payload(|| redaction::shown(call.arguments));
        span.text("hubgate.handler", "hub server");
        Some(span.mark())
    }
}

impl Telemetry {
    /// What begins because of a client: its call of a method, or its coming or going.
    pub(crate) fn of_client(
        &self,
        parent: Option<&Context>,
        client: &ConnectionFacts,
        method: &str,
    ) -> Option<Arc<Span>> {
        let subject = subject_of(client, method);
        let span = self.begin_for_client(parent, &subject, &name_of(client, method))?;
        describe(&span, client, method);
        Some(span)
    }

    /// The same for those who watch alone.
    fn of_passing(&self, client: &ConnectionFacts, method: &str) -> Option<Arc<Span>> {
        if !self.is_watched() {
            return None;
        }
        let span =
            self.begin_for(None, None, &subject_of(client, method), SpanKind::Server, &name_of(client, method))?;
        describe(&span, client, method);
        Some(span)
    }
}

fn subject_of<'c>(client: &'c ConnectionFacts, method: &'c str) -> Subject<'c> {
    Subject { hub: &client.hub, user: client.user_id.as_ref(), connection: Some(client.id), method: Some(method) }
}

fn name_of(client: &ConnectionFacts, method: &str) -> String {
    format!("{}/{method}", client.hub)
}

fn describe(span: &Span, client: &ConnectionFacts, method: &str) {
    span.text("rpc.system", "signalr");
    span.text("rpc.service", client.hub.as_str());
    span.text("rpc.method", method);
    span.text("hubgate.connection.id", client.id.as_str());
    if let Some(user) = &client.user_id {
        span.text("user.id", user.as_str());
    }
}
