//! How many connections of this gateway a send reaches: for callers that ask, and for the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_core::delivery::Target;
use hubgate_core::id::HubName;
use hubgate_core::reach::{Reach, SendLog};
use hubgate_core::trace::TraceMark;

use crate::telemetry::{Span, SpanKind, Telemetry};

/// The recipients of one send. Dropped once all shards have sent; the log is told then.
#[derive(Debug)]
pub(crate) struct Recipients {
    hub: HubName,
    to: Target,
    count: AtomicUsize,
    /// Of the send, for those who follow what has brought it about, and for those who follow its target.
    spans: Vec<Arc<Span>>,
}

impl Recipients {
    /// Of a send for the message with this mark, if that is followed.
    pub(crate) fn of(telemetry: &Telemetry, hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Arc<Recipients> {
        let spans = spans_of(telemetry, hub, to, mark);
        Arc::new(Recipients { hub: hub.clone(), to: to.clone(), count: AtomicUsize::new(0), spans })
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Reach for Recipients {
    fn reached(&self, connections: usize) {
        self.count.fetch_add(connections, Ordering::Relaxed);
        for span in self.spans.iter().filter(|_| connections > 0) {
            let delivery = span.child_from_the_beginning(SpanKind::Internal, "deliver");
            delivery.number("hubgate.recipients", connections);
            delivery.text("thread.name", std::thread::current().name().unwrap_or_default());
        }
    }
}

impl Drop for Recipients {
    fn drop(&mut self) {
        let (kind, name) = described(&self.to);
        for span in &self.spans {
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

fn spans_of(telemetry: &Telemetry, hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Vec<Arc<Span>> {
    let cause = mark.and_then(Span::of);
    if cause.is_none() && !telemetry.is_watched() {
        return Vec::new();
    }
    let (kind, target) = described(to);
    let name = format!("send {kind}");
    let of_cause = cause.as_ref().map(|cause| cause.child(SpanKind::Producer, &name));
    let of_target = telemetry.begin_send(hub, to, &name, cause.as_deref());
    let spans: Vec<Arc<Span>> = of_cause.into_iter().chain(of_target).collect();
    for span in &spans {
        span.text("messaging.system", "signalr");
        span.text("messaging.operation.type", "send");
        span.text("messaging.destination.name", target.unwrap_or(hub.as_str()));
        span.text("hubgate.hub", hub.as_str());
        span.text("hubgate.target", kind);
    }
    spans
}

/// Tells the log of all sends where it takes such lines, and those who follow messages of what these send.
#[derive(Debug)]
pub(crate) struct SentLines(pub(crate) Arc<Telemetry>);

impl SendLog for SentLines {
    fn begin(&self, hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Option<Arc<dyn Reach>> {
        let is_wanted = mark.is_some() || self.0.is_watched() || tracing::enabled!(tracing::Level::DEBUG);
        is_wanted.then(|| Recipients::of(&self.0, hub, to, mark) as Arc<dyn Reach>)
    }
}
