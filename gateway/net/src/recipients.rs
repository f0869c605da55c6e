//! How many connections of this gateway a send reaches: for callers that ask, and for the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_core::delivery::Target;
use hubgate_core::id::HubName;
use hubgate_core::reach::{Reach, SendLog};
use hubgate_core::trace::TraceMark;

use crate::telemetry::{Span, SpanKind};

/// The recipients of one send. Dropped once all shards have sent; the log is told then.
#[derive(Debug)]
pub(crate) struct Recipients {
    hub: HubName,
    to: Target,
    count: AtomicUsize,
    /// Of the send, if it is traced.
    span: Option<Arc<Span>>,
}

impl Recipients {
    /// Of a send for the message with this mark, if that is followed.
    pub(crate) fn of(hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Arc<Recipients> {
        let span = mark.and_then(Span::of).map(|cause| span_of(&cause, hub, to));
        Arc::new(Recipients { hub: hub.clone(), to: to.clone(), count: AtomicUsize::new(0), span })
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Reach for Recipients {
    fn reached(&self, connections: usize) {
        self.count.fetch_add(connections, Ordering::Relaxed);
        if let Some(span) = &self.span
            && connections > 0
        {
            let delivery = span.child_from_the_beginning(SpanKind::Internal, "deliver");
            delivery.number("hubgate.recipients", connections);
            delivery.text("thread.name", std::thread::current().name().unwrap_or_default());
        }
    }
}

impl Drop for Recipients {
    fn drop(&mut self) {
        let (kind, name) = described(&self.to);
        if let Some(span) = &self.span {
            span.number("hubgate.recipients", self.count());
        }
        tracing::debug!(hub = %self.hub, to = kind, name, recipients = self.count(), "sent");
    }
}

/// What kind of target it is, and its name.
fn described(to: &Target) -> (&'static str, Option<&str>) {
    match to {
        Target::All => ("all", None),
        Target::Group(group) => ("group", Some(group.as_str())),
        Target::User(user) => ("user", Some(user.as_str())),
        Target::Connection(id) => ("connection", Some(id.as_str())),
    }
}

fn span_of(cause: &Arc<Span>, hub: &HubName, to: &Target) -> Arc<Span> {
    let (kind, name) = described(to);
    let span = cause.child(SpanKind::Producer, &format!("send {kind}"));
    span.text("messaging.system", "signalr");
    span.text("messaging.operation.type", "send");
    span.text("messaging.destination.name", name.unwrap_or(hub.as_str()));
    span.text("hubgate.hub", hub.as_str());
    span.text("hubgate.target", kind);
    span
}

/// Tells the log of all sends where it takes such lines, and the collector of those that are traced.
#[derive(Debug)]
pub(crate) struct SentLines;

impl SendLog for SentLines {
    fn begin(&self, hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Option<Arc<dyn Reach>> {
        let is_wanted = mark.is_some() || tracing::enabled!(tracing::Level::DEBUG);
        is_wanted.then(|| Recipients::of(hub, to, mark) as Arc<dyn Reach>)
    }
}
