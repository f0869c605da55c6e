//! Brings spans and metrics to the collector, on the main thread. Nobody else waits for it.

mod collector;
mod metrics;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::collector::{Collector, Failure, resource, scope};
use crate::settings::TelemetrySettings;
use crate::shards::Shards;
use crate::shared::Shared;
use crate::tasks::{self, Caught};
use crate::telemetry::{Export, unix_nanoseconds};

/// How long spans wait for others, unless there are many.
const GATHERING: Duration = Duration::from_secs(1);
/// Spans of one request, in number.
const BATCH: usize = 512;
/// How long a request with spans that failed waits to be sent again: this long first, then twice as long as before, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How long the end waits for what is told last.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// What is under way until the gateway ends.
#[derive(Debug)]
pub(crate) struct Exporting {
    export: Arc<Export>,
    is_ending: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts on this thread's runtime. `spans` are those that `export` has taken.
pub(crate) fn start(
    export: Arc<Export>,
    settings: &TelemetrySettings,
    spans: mpsc::Receiver<Span>,
    (shared, shards): (&Shared, &Shards),
) -> Exporting {
    let (is_ending, ending) = watch::channel(false);
    let resource = resource(settings);
    let collector = Collector::new(settings, shared, "traces");
    let (ending, resource_of_spans) = (Ending(ending), resource.clone());
    let of_spans = Spans {
        export: export.clone(),
        waiting: spans,
        collector,
        resource: resource_of_spans,
        ending: ending.clone(),
    };
    let mut tasks = vec![spawn("spans", of_spans.export())];
    if let Some(interval) = settings.metrics_interval {
        let collector = Collector::new(settings, shared, "metrics");
        tasks.push(spawn("metrics", export_metrics(collector, resource, shards.clone(), interval, ending)));
    }
    Exporting { export, is_ending, tasks }
}

/// Nothing but telemetry depends on it.
fn spawn(what: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tasks::spawn_awaited(async move {
        if Caught::new(task).await.is_err() {
            tracing::error!(what, "telemetry is exported no more");
        }
    })
}

impl Exporting {
    /// The gateway ends: the collector may take what is left, and is waited for only for a moment.
    pub(crate) async fn end(self) {
        self.is_ending.send_replace(true);
        self.export.wake();
        let all = async {
            for task in self.tasks {
                // A panic is in the log.
                let _ = task.await;
            }
        };
        if timeout(LAST_EXPORT, all).await.is_err() {
            tracing::warn!("the collector does not take the last spans and metrics in time: they are lost");
        }
    }
}

/// Whether the gateway ends.
#[derive(Debug, Clone)]
struct Ending(watch::Receiver<bool>);

impl Ending {
    fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for so long, or until it begins.
    async fn wait(&mut self, time: Duration) {
        let _ = timeout(time, self.0.wait_for(|is_ending| *is_ending)).await;
    }
}

/// Spans on their way.
struct Spans {
    export: Arc<Export>,
    waiting: mpsc::Receiver<Span>,
    collector: Collector,
    resource: Resource,
    ending: Ending,
}

impl Spans {
    async fn export(mut self) {
        loop {
            let is_last = self.ending.has_begun();
            let mut batch = Vec::new();
            while let Ok(span) = self.waiting.try_recv() {
                batch.push(span);
                if batch.len() == BATCH {
                    self.send(std::mem::take(&mut batch)).await;
                }
            }
            if !batch.is_empty() {
                self.send(batch).await;
            }
            if is_last {
                return;
            }
            let _ = timeout(GATHERING, self.export.is_wanted()).await;
        }
    }

    /// Sends spans until they are taken, or refused for good. Meanwhile others wait as far as there is room. At the end each has one chance.
    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let body = Bytes::from(self.request(spans).encode_to_vec());
        let mut retry = FIRST_RETRY;
        loop {
            match self.collector.send_encoded(body.clone()).await {
                Ok(refused) => {
                    let refused = refused.min(count);
                    self.export.counts().exported(count - refused);
                    return self.export.counts().lost(refused);
                }
                Err(Failure::MayPass) if !self.ending.has_begun() => {
                    self.ending.wait(retry).await;
                    retry = (2 * retry).min(LONGEST_RETRY);
                }
                Err(_) => return self.export.counts().lost(count),
            }
        }
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }],
        }
    }
}

/// Tells what Prometheus would be told, again and again, and once more at the end. What is not taken is in the next ones.
async fn export_metrics(
    mut collector: Collector,
    resource: Resource,
    shards: Shards,
    interval: Duration,
    mut ending: Ending,
) {
    let begun = unix_nanoseconds();
    loop {
        ending.wait(interval).await;
        let is_last = ending.has_begun();
        match shards.metrics().await {
            Ok(text) => {
                let metrics = metrics::of_text(&text, begun, unix_nanoseconds());
                let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }];
                let resource = Some(resource.clone());
                let request = ExportMetricsServiceRequest {
                    resource_metrics: vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }],
                };
                // The log hears of it.
                let _ = collector.send(&request).await;
            }
            Err(error) => tracing::warn!(%error, "the metrics cannot be written"),
        }
        if is_last {
            return;
        }
    }
}
