//! What became of spans, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Default)]
pub(crate) struct Counts {
    exported: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Counts {
    /// A collector has taken so many.
    pub(crate) fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Ordering::Relaxed);
    }

    /// It has not, or there was no room for them.
    pub(crate) fn lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// As metrics.
    pub(crate) fn metrics(&self) -> Registry {
        let spans = Family::<OutcomeLabel, Counter>::default();
        for (outcome, count) in [("exported", &self.exported), ("lost", &self.lost)] {
            spans.get_or_create(&OutcomeLabel { outcome }).inc_by(count.load(Ordering::Relaxed));
        }
        let mut registry = Registry::default();
        let help = "Spans that the collector has taken, and those that it has not or for which there was no room";
        registry.register("hubgate_telemetry_spans", help, spans);
        registry
    }
}
