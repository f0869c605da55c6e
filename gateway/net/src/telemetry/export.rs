//! Spans on their way to a collector.

use opentelemetry_proto::tonic::trace::v1 as otlp;
use tokio::sync::{Notify, mpsc};

use super::Context;
use super::counts::Counts;
use crate::settings::TelemetrySettings;

/// Spans that wait for the collector, in number.
const QUEUE: usize = 8_192;

/// Where spans go that a collector is told of, and which traces are recorded.
#[derive(Debug)]
pub(crate) struct Export {
    sample_ratio: f64,
    queue: mpsc::Sender<otlp::Span>,
    /// The queue is half full, or the gateway ends.
    is_wanted: Notify,
    counts: Counts,
}

impl Export {
    /// With the end of the queue that brings spans to the collector.
    pub(super) fn new(settings: &TelemetrySettings) -> (Export, mpsc::Receiver<otlp::Span>) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (sample_ratio, is_wanted) = (settings.sample_ratio, Notify::new());
        (Export { sample_ratio, queue, is_wanted, counts: Counts::default() }, spans)
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a trace is recorded: as `parent` says, and by chance of traces that begin here.
    pub(super) fn records(&self, parent: Option<&Context>) -> bool {
        match parent {
            Some(parent) => parent.is_sampled,
            None => self.sample_ratio >= 1.0 || rand::random::<f64>() < self.sample_ratio,
        }
    }

    /// The same because of a client. Anybody may be one: what it says of a trace makes no more of them recorded than the ratio does.
    pub(super) fn records_for_client(&self, parent: Option<&Context>) -> bool {
        parent.is_none_or(|parent| parent.is_within(self.sample_ratio)) && self.records(parent)
    }

    /// Waits until many spans wait, or somebody wants them to leave at once.
    pub(crate) async fn is_wanted(&self) {
        self.is_wanted.notified().await;
    }

    pub(crate) fn wake(&self) {
        self.is_wanted.notify_one();
    }

    /// A span is over. Nobody waits for room.
    pub(super) fn told(&self, span: otlp::Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.lost(1);
        }
        if self.queue.capacity() < QUEUE / 2 {
            self.wake();
        }
    }
}
