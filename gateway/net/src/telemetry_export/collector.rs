//! Requests to the collector, by OTLP over HTTP.
//!
//! Source: OpenTelemetry, "OTLP Specification", sections "OTLP/HTTP Request" and "OTLP/HTTP Response".

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::time::timeout;

use crate::settings::TelemetrySettings;
use crate::shared::Shared;
use crate::telemetry::attribute;
use crate::web_client::{self, WebClient, whole_text};

/// How long the collector may take to answer.
const REQUEST: Duration = Duration::from_secs(10);
/// What is read of its answer, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// What is repeated of its reasons, in bytes.
const LONGEST_REASON: usize = 500;

/// Whether what failed may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    MayPass,
    Final,
}

/// Where one kind of telemetry goes.
pub(super) struct Collector {
    client: WebClient<GaiResolver>,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the last request failed: the log hears of the first of them alone.
    is_failing: bool,
    /// The same of one of which the collector has refused a part.
    is_refusing: bool,
}

impl Collector {
    /// `signal` is the last part of the path, such as `traces`.
    pub(super) fn new(settings: &TelemetrySettings, shared: &Shared, signal: &str) -> Collector {
        let connector = web_client::connector_with(HttpConnector::new(), web_client::tls(shared));
        Collector {
            client: web_client::builder().build(connector),
            url: settings.otlp.of_signal(&format!("v1/{signal}")),
            headers: settings.headers.clone(),
            is_failing: false,
            is_refusing: false,
        }
    }

    /// Sends a message once. Gives how many of its spans or data points the collector has refused.
    pub(super) async fn send(&mut self, message: &impl Message) -> Result<u64, Failure> {
        self.send_encoded(message.encode_to_vec().into()).await
    }

    /// The same of one that is encoded.
    pub(super) async fn send_encoded(&mut self, body: Bytes) -> Result<u64, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.extend(self.headers.iter().cloned());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let (failure, error) = match timeout(REQUEST, self.answered(request)).await {
            Ok(Ok((status, answer))) if status.is_success() => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(url = %self.url, "the collector takes telemetry again");
                }
                return Ok(self.refused(&answer));
            }
            Ok(Ok((status, _))) => (of_status(status), format!("it answers {status}")),
            Ok(Err(error)) => (Failure::MayPass, error),
            Err(_) => (Failure::MayPass, format!("there is no answer within {} s", REQUEST.as_secs())),
        };
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(url = %self.url, error, "the collector of `telemetry.otlp` does not take telemetry");
        }
        Err(failure)
    }

    /// The status, and the body if it is not too long.
    async fn answered(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let answer = self.client.request(request).await.map_err(|error| whole_text(&error))?;
        let status = answer.status();
        // It is read in any case, so that the connection can be used again.
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        Ok((status, body.map(|body| body.to_bytes()).unwrap_or_default()))
    }

    /// How many of what it was sent the collector has refused, by its answer. They are not sent again.
    ///
    /// Source: "Partial Success". Answers about metrics have the same fields.
    fn refused(&mut self, answer: &[u8]) -> u64 {
        let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
        let refused = partial.as_ref().map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0));
        let was_refusing = std::mem::replace(&mut self.is_refusing, refused > 0);
        if let Some(partial) = partial.filter(|_| refused > 0 && !was_refusing) {
            let reason = &partial.error_message[..partial.error_message.floor_char_boundary(LONGEST_REASON)];
            tracing::warn!(url = %self.url, refused, reason, "the collector of `telemetry.otlp` refuses a part of what it is told");
        }
        refused
    }
}

/// Source: "Retryable Response Codes".
fn of_status(status: StatusCode) -> Failure {
    match status.as_u16() {
        429 | 502 | 503 | 504 => Failure::MayPass,
        _ => Failure::Final,
    }
}

/// Who tells, by the names of the semantic conventions.
pub(super) fn resource(settings: &TelemetrySettings) -> Resource {
    let mut id = [0; 16];
    rand::fill(&mut id[..]);
    let id = format!("{:032x}", u128::from_be_bytes(id));
    let attributes = [
        ("service.name", &*settings.service_name),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &id),
    ];
    let attributes = attributes.map(|(key, value)| attribute(key, Value::StringValue(value.to_owned())));
    Resource { attributes: attributes.into(), ..Resource::default() }
}

pub(super) fn scope() -> InstrumentationScope {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    InstrumentationScope { name: "hubgate".to_owned(), version, ..InstrumentationScope::default() }
}
