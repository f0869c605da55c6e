//! A collector of OpenTelemetry: an OTLP endpoint that decodes what it is told with the project's own definitions, and keeps it. Whatever else it is
//! asked, it answers without a body: it may be a webhook, too.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::wait::until;

/// Listens on a port of its own until the test ends.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    kept: Mutex<Kept>,
    status: watch::Sender<Option<StatusCode>>,
    /// What the next request with spans is answered with.
    refusal: Mutex<Option<ExportTracePartialSuccess>>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    resources: Vec<BTreeMap<String, String>>,
    /// Those that it was told last.
    metrics: Vec<Metric>,
    requests: Vec<(String, HeaderMap, Bytes)>,
}

impl Collector {
    pub async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            kept: Mutex::default(),
            status: watch::Sender::new(Some(StatusCode::OK)),
            refusal: Mutex::default(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("the gateway connects");
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                // The gateway may end the connection when it likes.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Collector { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The configuration of a gateway that tells it everything.
    pub fn config(&self) -> String {
        format!("telemetry.otlp = '{}'\n", self.url())
    }

    /// Requests are answered so from now on; by none, they wait until there is a status.
    pub fn answer(&self, status: Option<StatusCode>) {
        self.state.status.send_replace(status);
    }

    /// Takes the next spans but for so many, for this reason.
    pub fn refuses(&self, spans: i64, reason: &str) {
        let refusal = ExportTracePartialSuccess { rejected_spans: spans, error_message: reason.to_owned() };
        *self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All spans that it has taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.kept().spans.clone()
    }

    /// The metrics that it was told last.
    pub fn metrics(&self) -> Vec<Metric> {
        self.kept().metrics.clone()
    }

    /// Who has told it, once for each request.
    pub fn resources(&self) -> Vec<BTreeMap<String, String>> {
        self.kept().resources.clone()
    }

    /// The requests that have come, answered or not: their paths, headers and bodies.
    pub fn requests(&self) -> Vec<(String, HeaderMap, Bytes)> {
        self.kept().requests.clone()
    }

    /// The spans of a trace once `is_whole` finds all of them.
    pub async fn trace(&self, trace_id: &[u8], is_whole: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let spans = async || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace_id == trace_id);
            is_whole(&spans).then_some(spans)
        };
        until("the spans of a trace", spans).await
    }

    /// The first span of this name, once it has come.
    pub async fn span(&self, name: &str) -> Span {
        let span = async || self.spans().into_iter().find(|span| span.name == name);
        until(&format!("the span '{name}'"), span).await
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let keep = |keep: &mut dyn FnMut(&mut Kept)| keep(&mut state.kept.lock().unwrap_or_else(PoisonError::into_inner));
    keep(&mut |kept| kept.requests.push((path.clone(), head.headers.clone(), body.clone())));
    let mut statuses = state.status.subscribe();
    let status = statuses.wait_for(Option::is_some).await.map_or(None, |status| *status);
    let status = status.unwrap_or(StatusCode::OK);
    if status.is_success() && path.ends_with("/v1/traces") {
        let told = ExportTraceServiceRequest::decode(body.clone()).expect("a request of OTLP");
        keep(&mut |kept| {
            for spans in told.resource_spans.clone() {
                kept.resources.push(texts(&spans.resource.expect("who tells").attributes));
                kept.spans.extend(spans.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        });
    }
    if status.is_success() && path.ends_with("/v1/metrics") {
        let told = ExportMetricsServiceRequest::decode(body).expect("a request of OTLP");
        keep(&mut |kept| {
            for metrics in told.resource_metrics.clone() {
                kept.resources.push(texts(&metrics.resource.expect("who tells").attributes));
                kept.metrics = metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics).collect();
            }
        });
    }
    let refusal = || state.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    let partial_success = Some(()).filter(|()| path.ends_with("/v1/traces")).and_then(|()| refusal());
    let said = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let mut answer = Response::new(Full::new(Bytes::from(said)));
    *answer.status_mut() = status;
    Ok(answer)
}

/// Attributes as texts.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("the gateway tells no {other:?}"),
    };
    let value = |attribute: &KeyValue| Some(text(attribute.value.as_ref()?.value.as_ref()?));
    attributes.iter().filter_map(|attribute| Some((attribute.key.clone(), value(attribute)?))).collect()
}
