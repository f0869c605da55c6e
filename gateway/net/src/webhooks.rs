//! Upstream by webhook: events of serverless clients as HTTP requests.
//!
//! Source: Azure SignalR Service, "Upstream endpoints". Redirects are not followed, so that a request goes to the host of the
//! configuration and nowhere else.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hubgate_core::event::{ConnectionFacts, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::settings::{ConnectFailure, Webhook};
use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::{CompletionOutcome, HubProtocol};
use hubgate_wire::token::AccessKey;
use hubgate_wire::webhook;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::gateway::Shared;
use crate::web_client::{self, WebClient, whole_text};

/// The longest answer that is read, in bytes (the service's limit).
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Requests of one shard to one webhook at once, in number; further events wait, each no longer than its request might take.
const REQUESTS: usize = 256;
/// Connection events of one shard that wait to be sent again, in number; those beyond are not.
const REPEATED: usize = 1_000;
/// What is read of an answer whose body does not matter, in bytes, so that its connection can be used again.
const IDLE_BODY: usize = 64 * 1024;
/// And how long.
const IDLE_BODY_TIME: Duration = Duration::from_secs(1);
/// How long the first repetition of a request waits; each further one waits twice as long, up to the longest wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a failure is logged; what fails in between is counted.
const LOG_PERIOD: Duration = Duration::from_secs(1);

/// The webhooks of one shard, with the connections to them.
pub(crate) struct Webhooks {
    shared: Arc<Shared>,
    client: OnceCell<WebClient<GaiResolver>>,
    /// By the webhook's URL.
    requests: RefCell<HashMap<Box<str>, Rc<Semaphore>>>,
    repeated: Semaphore,
    failures: RefCell<Failures>,
}

/// What keeps a broken webhook from filling the log.
#[derive(Debug, Default)]
struct Failures {
    logged: Option<Instant>,
    unlogged: u64,
}

/// Why a webhook gave no good answer.
#[derive(Debug)]
enum WebhookError {
    Status(StatusCode),
    /// The request could not be made, or broke off before it was answered.
    Unreachable(String),
    /// No answer began in time.
    TimedOut,
    /// The answer did not end in time.
    Cancelled,
    /// As many requests as may be are under way, and none ended in time.
    Busy,
    TooLarge,
    /// While the answer was read.
    Broken(String),
    /// What came is no Completion of the call.
    NoCompletion,
    /// The event's name is a step to another path.
    BadEvent,
}

impl Webhooks {
    pub(crate) fn new(shared: Arc<Shared>) -> Webhooks {
        Webhooks {
            shared,
            client: OnceCell::new(),
            requests: RefCell::default(),
            repeated: Semaphore::new(REPEATED),
            failures: RefCell::default(),
        }
    }

    /// Made when it is first needed: a gateway without webhooks reads no certificates.
    fn client(&self) -> &WebClient<GaiResolver> {
        self.client.get_or_init(|| {
            let connector = web_client::connector_with(HttpConnector::new(), &self.shared);
            web_client::builder().build(connector)
        })
    }

    /// Brings an event to a webhook, and its answer back. Each attempt waits for its turn, and for its answer, no longer than the
    /// webhook's timeout.
    pub(crate) async fn call(
        self: Rc<Self>,
        webhook: Arc<Webhook>,
        client: Arc<ConnectionFacts>,
        event: UpstreamEvent,
    ) -> UpstreamAnswer {
        let mut answer = self.try_once(&webhook, &client, &event).await;
        let mut wait = FIRST_WAIT;
        // A call may have had its effect; that a client came or went can be told twice.
        let retries = match event {
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } => webhook.retries,
            UpstreamEvent::Invocation { .. } => 0,
        };
        let mut place = None;
        for _ in 0..retries {
            if !answer.as_ref().is_err_and(WebhookError::may_pass) {
                break;
            }
            if place.is_none() {
                let Ok(free) = self.repeated.try_acquire() else { break };
                place = Some(free);
            }
            // Not all at the same time: what has failed at once may fail again at once.
            tokio::time::sleep(wait.mul_f32(0.5 + rand::random::<f32>())).await;
            wait = (2 * wait).min(LONGEST_WAIT);
            answer = self.try_once(&webhook, &client, &event).await;
        }
        let result = match (&event, answer) {
            (UpstreamEvent::Connected, Err(error)) => match webhook.on_connect_failure {
                ConnectFailure::Close => Err(UpstreamFailure::Failed(error.text())),
                ConnectFailure::Log => Ok(None),
            },
            (_, Ok(Some(outcome))) => outcome,
            (_, Ok(None)) => Ok(None),
            (_, Err(error)) => Err(UpstreamFailure::Rejected(error.text())),
        };
        UpstreamAnswer { result, actions: Vec::new() }
    }

    async fn try_once(
        &self,
        webhook: &Webhook,
        client: &ConnectionFacts,
        event: &UpstreamEvent,
    ) -> Result<Option<Result<Option<Payload>, UpstreamFailure>>, WebhookError> {
        let requests = self.requests_to(webhook);
        let answer = match tokio::time::timeout(webhook.timeout.into(), requests.acquire()).await {
            Ok(Ok(_permit)) => self.ask(webhook, client, event).await,
            Ok(Err(_)) | Err(_) => Err(WebhookError::Busy),
        };
        self.shared.metrics.webhook(match &answer {
            Ok(_) => "ok",
            Err(error) => error.outcome(),
        });
        if let Err(error) = &answer {
            self.log(webhook, client, event, error);
        }
        answer
    }

    fn requests_to(&self, webhook: &Webhook) -> Rc<Semaphore> {
        let mut requests = self.requests.borrow_mut();
        match requests.get(webhook.url.expose()) {
            Some(present) => present.clone(),
            None => {
                // Of webhooks that the configuration had before, nobody has any more.
                requests.retain(|_, each| Rc::strong_count(each) > 1);
                let new = Rc::new(Semaphore::new(REQUESTS));
                requests.insert(webhook.url.expose().into(), new.clone());
                new
            }
        }
    }

    /// The outcome that a webhook gives to a call that waits for one.
    async fn ask(
        &self,
        webhook: &Webhook,
        client: &ConnectionFacts,
        event: &UpstreamEvent,
    ) -> Result<Option<Result<Option<Payload>, UpstreamFailure>>, WebhookError> {
        let request = self.request(webhook, client, event)?;
        let deadline = tokio::time::Instant::now() + webhook.timeout.into();
        let answer = timeout_at(deadline, self.client().request(request)).await.map_err(|_| WebhookError::TimedOut)?;
        let answer = answer.map_err(|error| WebhookError::Unreachable(whole_text(&error)))?;
        let status = answer.status();
        let is_good = match event {
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } => status.is_success(),
            UpstreamEvent::Invocation { .. } => [StatusCode::OK, StatusCode::NO_CONTENT].contains(&status),
        };
        match event {
            UpstreamEvent::Invocation { invocation_id: Some(id), .. } if is_good => {
                let body = timeout_at(deadline, read(answer)).await.unwrap_or(Err(WebhookError::Cancelled))?;
                match body.is_empty() {
                    true => Ok(None),
                    false => outcome(client.protocol, &body, id).map(Some),
                }
            }
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } | UpstreamEvent::Invocation { .. } => {
                let deadline = deadline.min(tokio::time::Instant::now() + IDLE_BODY_TIME);
                drop(timeout_at(deadline, Limited::new(answer.into_body(), IDLE_BODY).collect()).await);
                if is_good { Ok(None) } else { Err(WebhookError::Status(status)) }
            }
        }
    }

    fn request(
        &self,
        webhook: &Webhook,
        client: &ConnectionFacts,
        event: &UpstreamEvent,
    ) -> Result<Request<Full<Bytes>>, WebhookError> {
        let (category, name) = names(event);
        let url = webhook.url.expand(client.hub.as_str(), category, name).ok_or(WebhookError::BadEvent)?;
        let (content_type, body) = match event {
            UpstreamEvent::Connected => ("application/json", Bytes::from_static(webhook::CONNECTED)),
            UpstreamEvent::Disconnected { reason } => {
                ("application/json", webhook::disconnected(reason.as_deref()).into())
            }
            UpstreamEvent::Invocation { target, arguments, invocation_id, headers } => {
                let content_type = match client.protocol {
                    HubProtocol::Json => "application/json",
                    HubProtocol::MessagePack | HubProtocol::BlazorPack => "application/x-msgpack",
                };
                let headers = headers.iter().map(|(name, value)| (name.into(), value.into())).collect();
                let id = invocation_id.as_deref();
                let body = webhook::invocation(client.protocol, id, target, arguments.borrow(), headers);
                (content_type, body.into())
            }
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| WebhookError::BadEvent)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        describe(client, category, name, headers);
        let signature = signature(&self.shared.settings().access_keys, client.id.as_str());
        set(headers, "x-asrs-signature", &signature);
        Ok(request)
    }

    fn log(&self, webhook: &Webhook, client: &ConnectionFacts, event: &UpstreamEvent, error: &WebhookError) {
        let mut failures = self.failures.borrow_mut();
        if failures.logged.is_some_and(|at| at.elapsed() < LOG_PERIOD) {
            failures.unlogged += 1;
            return;
        }
        let unlogged = std::mem::take(&mut failures.unlogged);
        failures.logged = Some(Instant::now());
        let (hub, connection, url, (_, event)) = (&client.hub, &client.id, webhook.url.shown(), names(event));
        let error = error.detail();
        tracing::warn!(%hub, %connection, url, event, error, unlogged, "a webhook has failed");
    }
}

impl WebhookError {
    /// What a caller is told (the service's own texts, where it has one).
    fn text(&self) -> String {
        match self {
            WebhookError::Status(status) => format!("Invocation failed, status code {}", status.as_u16()),
            WebhookError::Unreachable(_) | WebhookError::TimedOut | WebhookError::Busy => {
                "Invocation failed, status code 500".to_owned()
            }
            WebhookError::Cancelled => "Invocation failed, response cancelled.".to_owned(),
            WebhookError::TooLarge => "Invocation failed, response too large.".to_owned(),
            WebhookError::Broken(error) => format!("Invocation failed, error: {error}."),
            WebhookError::NoCompletion => {
                "Invocation failed, error: the response is no Completion of this call.".to_owned()
            }
            WebhookError::BadEvent => "Invocation failed, error: no URL can hold the method's name.".to_owned(),
        }
    }

    /// What the log is told.
    fn detail(&self) -> String {
        match self {
            WebhookError::Unreachable(error) => error.clone(),
            WebhookError::TimedOut | WebhookError::Cancelled => {
                "it took longer than the upstream item's `timeout`".to_owned()
            }
            WebhookError::Busy => {
                format!("it was not asked: {REQUESTS} requests were under way for all of its `timeout`")
            }
            other => other.text(),
        }
    }

    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        match self {
            WebhookError::Unreachable(_) | WebhookError::TimedOut | WebhookError::Cancelled | WebhookError::Busy => {
                true
            }
            WebhookError::Status(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            WebhookError::TooLarge | WebhookError::Broken(_) | WebhookError::NoCompletion | WebhookError::BadEvent => {
                false
            }
        }
    }

    /// The label of its metric.
    fn outcome(&self) -> &'static str {
        match self {
            WebhookError::Status(_) => "status",
            WebhookError::Unreachable(_) => "unreachable",
            WebhookError::TimedOut | WebhookError::Cancelled => "timed-out",
            WebhookError::Busy => "busy",
            WebhookError::TooLarge | WebhookError::Broken(_) | WebhookError::NoCompletion => "bad-answer",
            WebhookError::BadEvent => "bad-event",
        }
    }
}

/// An event's category and name.
fn names(event: &UpstreamEvent) -> (&'static str, &str) {
    match event {
        UpstreamEvent::Connected => ("connections", "connected"),
        UpstreamEvent::Disconnected { .. } => ("connections", "disconnected"),
        UpstreamEvent::Invocation { target, .. } => ("messages", target),
    }
}

/// The headers that say whom the event is about, each one line.
fn describe(client: &ConnectionFacts, category: &str, event: &str, headers: &mut HeaderMap) {
    set(headers, "x-asrs-connection-id", client.id.as_str());
    set(headers, "x-asrs-hub", client.hub.as_str());
    set(headers, "x-asrs-category", category);
    set(headers, "x-asrs-event", event);
    if let Some(user) = &client.user_id {
        set(headers, "x-asrs-user-id", user.as_str());
    }
    let claims: Vec<String> = client.claims.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    if !claims.is_empty() {
        set(headers, "x-asrs-user-claims", &claims.join(", "));
    }
    if !client.query.is_empty() {
        set(headers, "x-asrs-client-query", &format!("?{}", client.query));
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = webhook::header_value(value).parse().expect("what cannot stand in a header is encoded");
    headers.insert(HeaderName::from_static(name), value);
}

/// Proves that the request comes from who has the keys: one signature of the connection id for each.
fn signature(keys: &[AccessKey], connection_id: &str) -> String {
    let mut text = String::new();
    for (index, key) in keys.iter().enumerate() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        text.push_str(if index == 0 { "sha256=" } else { ",sha256=" });
        for byte in hmac::sign(&key, connection_id.as_bytes()).as_ref() {
            write!(text, "{byte:02X}").expect("a String takes what is written");
        }
    }
    text
}

async fn read(answer: Response<Incoming>) -> Result<Bytes, WebhookError> {
    match Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(WebhookError::TooLarge),
        Err(error) => Err(WebhookError::Broken(error.to_string())),
    }
}

/// What the Completion in an answer says.
fn outcome(
    protocol: HubProtocol,
    body: &[u8],
    invocation_id: &str,
) -> Result<Result<Option<Payload>, UpstreamFailure>, WebhookError> {
    match webhook::completion(protocol, body, invocation_id).ok_or(WebhookError::NoCompletion)? {
        CompletionOutcome::Result(result) => Ok(Ok(Some(result.to_payload()))),
        CompletionOutcome::Void => Ok(Ok(None)),
        CompletionOutcome::Error(error) => Ok(Err(UpstreamFailure::Rejected(error.into_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_signs_the_connection_id() {
        let keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB="];
        let expected = "sha256=DEF83B0DFCE04DE09DEEE0C1A3B3E5ABDCD58D24919890A2BD2A367C1FEAB7C1,\
                        sha256=7914A16CED2FA3251A8468753F107F65F7525636209455F16E9D9263FCD9A1ED";
        assert_eq!(signature(&keys.map(AccessKey::new), "0KvNQ3l9pJ8p3lJrUqkYwA"), expected);
    }
}
