//! Which messages of clients are followed, and with what they begin.

use std::sync::Arc;

use hubgate_core::event::ConnectionFacts;
use hubgate_core::follower::Follower;
use hubgate_core::trace::TraceMark;
use hubgate_wire::signalr::HubMessage;

use super::{Context, Span, Subject, Telemetry, redaction};

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
}

impl Telemetry {
    /// What begins because of a client: its call of a method, or its coming or going.
    pub(crate) fn of_client(
        &self,
        parent: Option<&Context>,
        client: &ConnectionFacts,
        method: &str,
    ) -> Option<Arc<Span>> {
        let subject = Subject {
            hub: &client.hub,
            user: client.user_id.as_ref(),
            connection: Some(client.id),
            method: Some(method),
        };
        let span = self.begin_for_client(parent, &subject, &format!("{}/{method}", client.hub))?;
        span.text("rpc.system", "signalr");
        span.text("rpc.service", client.hub.as_str());
        span.text("rpc.method", method);
        span.text("hubgate.connection.id", client.id.as_str());
        if let Some(user) = &client.user_id {
            span.text("user.id", user.as_str());
        }
        Some(span)
    }
}
