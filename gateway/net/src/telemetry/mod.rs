//! OpenTelemetry: the spans of what is done for messages and requests, told to a collector by OTLP.
//!
//! Spans are made on the shards' threads, of messages that are followed ([`hubgate_core::trace`]) and of requests. They wait in a bounded queue
//! for a task of the main thread ([`crate::telemetry_export`]); what finds no room there is lost and counted. Without a collector in the configuration
//! there is no [`Telemetry`], and nothing is followed.

mod context;
mod counts;
mod following;
mod span;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_core::follower::Follower;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use tokio::sync::{Notify, mpsc};

use crate::settings::TelemetrySettings;
pub(crate) use context::{Context, is_of_trace};
use counts::Counts;
pub(crate) use span::{Span, SpanKind, attribute};

/// Spans that wait for the collector, in number.
const QUEUE: usize = 8_192;

/// Where spans go, and which traces are recorded.
#[derive(Debug)]
pub(crate) struct Telemetry {
    sample_ratio: f64,
    queue: mpsc::Sender<otlp::Span>,
    /// The queue is half full, or the gateway ends.
    is_wanted: Notify,
    counts: Counts,
}

impl Telemetry {
    /// With the end of the queue that brings spans to the collector.
    pub(crate) fn new(settings: &TelemetrySettings) -> (Arc<Telemetry>, mpsc::Receiver<otlp::Span>) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (sample_ratio, is_wanted) = (settings.sample_ratio, Notify::new());
        (Arc::new(Telemetry { sample_ratio, queue, is_wanted, counts: Counts::default() }), spans)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What decides which messages of clients are followed.
    pub(crate) fn follower(self: &Arc<Telemetry>) -> Arc<dyn Follower> {
        Arc::new(following::Following(self.clone()))
    }

    /// The first span of a trace here, if that is recorded: as `parent` says, and by chance of traces that begin here.
    pub(crate) fn begin(
        self: &Arc<Telemetry>,
        parent: Option<&Context>,
        kind: SpanKind,
        name: &str,
    ) -> Option<Arc<Span>> {
        let is_recorded = match parent {
            Some(parent) => parent.is_sampled,
            None => self.sample_ratio >= 1.0 || rand::random::<f64>() < self.sample_ratio,
        };
        is_recorded.then(|| Span::first(self.clone(), parent, kind, name))
    }

    /// The same because of a client. Anybody may be one: what it says of a trace makes no more of them recorded than the ratio does.
    fn begin_for_client(self: &Arc<Telemetry>, parent: Option<&Context>, name: &str) -> Option<Arc<Span>> {
        let is_one_of_the_part = parent.is_none_or(|parent| parent.is_within(self.sample_ratio));
        is_one_of_the_part.then(|| self.begin(parent, SpanKind::Server, name)).flatten()
    }

    /// Waits until many spans wait, or somebody wants them to leave at once.
    pub(crate) async fn exporter_is_wanted(&self) {
        self.is_wanted.notified().await;
    }

    pub(crate) fn wake_exporter(&self) {
        self.is_wanted.notify_one();
    }

    /// A span is over. Nobody waits for room.
    fn told(&self, span: otlp::Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.lost(1);
        }
        if self.queue.capacity() < QUEUE / 2 {
            self.wake_exporter();
        }
    }
}

/// Since 1970.
pub(crate) fn unix_nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
