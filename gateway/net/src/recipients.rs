//! How many connections of this gateway a send reaches: for callers that ask, and for the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_core::delivery::Target;
use hubgate_core::id::HubName;
use hubgate_core::reach::{Reach, SendLog};
use hubgate_core::trace::TraceMark;

use crate::resource_log::ResourceLog;
use crate::telemetry::{Span, SpanKind, Telemetry};

/// The recipients of one send. Dropped once all shards have sent; the log is told then.
#[derive(Debug)]
pub(crate) struct Recipients {
    hub: HubName,
    to: Target,
    count: AtomicUsize,
    /// Of the send, for those who follow what has brought it about, and for those who follow its target.
    spans: Vec<Arc<Span>>,
    /// Where it is told beside the gateway's own log.
    log: Option<Arc<ResourceLog>>,
}

impl Recipients {
    /// Of a send for the message with this mark, if that is followed.
    pub(crate) fn of(
        (telemetry, log): (&Telemetry, Option<&Arc<ResourceLog>>),
        hub: &HubName,
        to: &Target,
        mark: Option<&TraceMark>,
    ) -> Arc<Recipients> {
        let spans = spans_of(telemetry, hub, to, mark);
        Arc::new(Recipients { hub: hub.clone(), to: to.clone(), count: AtomicUsize::new(0), spans, log: log.cloned() })
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
        if let Some(log) = &self.log {
            log.sent(&self.hub, (kind, name), self.count());
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

/// Tells the logs of all sends where they take such lines, and those who follow messages of what these send.
#[derive(Debug)]
pub(crate) struct SentLines {
    pub(crate) telemetry: Arc<Telemetry>,
    /// The resource log, if it has messages.
    pub(crate) log: Option<Arc<ResourceLog>>,
}

impl SendLog for SentLines {
    fn begin(&self, hub: &HubName, to: &Target, mark: Option<&TraceMark>) -> Option<Arc<dyn Reach>> {
        let is_told = self.log.is_some() || self.telemetry.is_watched();
        let is_wanted = mark.is_some() || is_told || tracing::enabled!(tracing::Level::DEBUG);
        is_wanted.then(|| Recipients::of((&self.telemetry, self.log.as_ref()), hub, to, mark) as Arc<dyn Reach>)
    }
}
