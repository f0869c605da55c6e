//! Upstream by webhook: events of serverless clients as HTTP requests.
//!
//! Source: Azure SignalR Service, "Upstream endpoints". Redirects are not followed, so that a request goes to the host of the
//! configuration and nowhere else.

mod error;
mod request;
mod signature;
mod traced;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hubgate_core::event::{ConnectionFacts, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::settings::{ConnectFailure, Webhook};
use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::{CompletionOutcome, HubProtocol};
use hubgate_wire::webhook;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use self::error::WebhookError;
use self::request::names;
use crate::shared::Shared;
use crate::telemetry::Span;
use crate::web_client::{self, WebClient, whole_text};

/// The longest answer that is read, in bytes (the service's limit).
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Requests of one shard to one webhook at once, in number; further events wait, each no longer than its request might take.
const REQUESTS: usize = 256;
/// Events of one shard that wait to be sent again, in number; those beyond are not.
const REPEATED: usize = 1_000;
/// What is read of an answer whose body does not matter, in bytes, so that its connection can be used again.
const IDLE_BODY: usize = 64 * 1024;
/// And how long.
const IDLE_BODY_TIME: Duration = Duration::from_secs(1);
/// How long the first repetition of a request waits; each further one waits twice as long, up to the longest wait.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a failure is logged; what fails in between is counted.
const LOG_PERIOD: Duration = Duration::from_secs(1);
/// How often it is said that nobody handles an event.
const UNHANDLED_LOG_PERIOD: Duration = Duration::from_secs(60);

/// The webhooks of one shard, with the connections to them.
pub(crate) struct Webhooks {
    shared: Arc<Shared>,
    client: OnceCell<WebClient<GaiResolver>>,
    /// By the webhook's URL.
    requests: RefCell<HashMap<Box<str>, Rc<Semaphore>>>,
    repeated: Semaphore,
    failures: RefCell<Failures>,
}

/// What a webhook is told.
#[derive(Clone, Copy)]
struct Told<'a> {
    webhook: &'a Webhook,
    client: &'a ConnectionFacts,
    event: &'a UpstreamEvent,
    /// Of the event, if it is traced.
    span: Option<&'a Arc<Span>>,
}

/// What keeps a broken webhook from filling the log.
#[derive(Debug, Default)]
struct Failures {
    logged: Option<Instant>,
    unlogged: u64,
    /// When it was last said that nobody handles an event.
    unhandled: Option<Instant>,
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
            let connector = web_client::connector_with(HttpConnector::new(), web_client::tls(&self.shared));
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
        span: Option<Arc<Span>>,
    ) -> UpstreamAnswer {
        let told = Told { webhook: &webhook, client: &client, event: &event, span: span.as_ref() };
        let mut answer = self.try_once(told).await;
        let mut wait = FIRST_WAIT;
        // That a client came or went can be told twice. A call may have had its effect as soon as any of it was sent.
        let is_repeated = match event {
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } => WebhookError::may_pass,
            UpstreamEvent::Invocation { .. } | UpstreamEvent::StreamCall(_) | UpstreamEvent::Stream(_) => {
                WebhookError::is_unsent
            }
        };
        let mut place = None;
        for _ in 0..webhook.retries {
            if !answer.as_ref().is_err_and(is_repeated) {
                break;
            }
            if place.is_none() {
                let Ok(free) = self.repeated.try_acquire() else { break };
                place = Some(free);
            }
            // Not all at the same time: what has failed at once may fail again at once.
            tokio::time::sleep(wait.mul_f32(0.5 + rand::random::<f32>())).await;
            wait = (2 * wait).min(LONGEST_WAIT);
            answer = self.try_once(told).await;
        }
        let result = match (&event, answer) {
            (UpstreamEvent::Connected, Err(error)) => match webhook.on_connect_failure {
                ConnectFailure::Close if error.unhandled().is_some() => Ok(None),
                ConnectFailure::Close if error.may_pass() => Err(UpstreamFailure::Unavailable(error.text())),
                ConnectFailure::Close => Err(UpstreamFailure::Rejected(error.text())),
                ConnectFailure::Log => Ok(None),
            },
            (_, Ok(Some(outcome))) => outcome,
            (_, Ok(None)) => Ok(None),
            (_, Err(error)) => Err(UpstreamFailure::Rejected(error.text())),
        };
        UpstreamAnswer { result, actions: Vec::new() }
    }

    async fn try_once(&self, told: Told<'_>) -> Result<Option<Result<Option<Payload>, UpstreamFailure>>, WebhookError> {
        let Told { webhook, client, event, .. } = told;
        let requests = self.requests_to(webhook);
        let answer = match tokio::time::timeout(webhook.timeout.into(), requests.acquire()).await {
            Ok(Ok(_permit)) => {
                let span = told.span.map(|cause| traced::span(cause, webhook));
                let answer = self.ask(told, span.as_deref()).await;
                if let (Some(span), Err(error)) = (&span, &answer) {
                    span.failed(error.outcome());
                }
                answer
            }
            Ok(Err(_)) | Err(_) => Err(WebhookError::Busy),
        };
        self.shared.metrics.webhook(match &answer {
            Ok(_) => "ok",
            Err(error) => error.outcome(),
        });
        if let Err(error) = &answer {
            match (event, error.unhandled()) {
                (UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. }, Some(status)) => {
                    self.log_unhandled(webhook, event, status);
                }
                _ => self.log(webhook, client, event, error),
            }
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
        Told { webhook, client, event, .. }: Told<'_>,
        span: Option<&Span>,
    ) -> Result<Option<Result<Option<Payload>, UpstreamFailure>>, WebhookError> {
        #[cfg(test)]
        self.shared.faults.strike(crate::faults::Fault::Call);
        let mut request = request::request(webhook, client, event, &self.shared.settings().access_keys)?;
        if let Some(span) = span {
            traced::tell(span, request.headers_mut());
        }
        let deadline = tokio::time::Instant::now() + webhook.timeout.into();
        let answer = timeout_at(deadline, self.client().request(request)).await.map_err(|_| WebhookError::TimedOut)?;
        let answer = answer.map_err(|error| match error.is_connect() {
            true => WebhookError::Unreachable(whole_text(&error)),
            false => WebhookError::BrokenOff(whole_text(&error)),
        })?;
        let status = answer.status();
        if let Some(span) = span {
            span.number("http.response.status_code", usize::from(status.as_u16()));
        }
        let is_good = match event {
            UpstreamEvent::Connected | UpstreamEvent::Disconnected { .. } | UpstreamEvent::StreamCall(_) => {
                status.is_success()
            }
            UpstreamEvent::Invocation { .. } | UpstreamEvent::Stream(_) => {
                [StatusCode::OK, StatusCode::NO_CONTENT].contains(&status)
            }
        };
        match event {
            UpstreamEvent::Invocation { invocation_id: Some(id), .. } if is_good => {
                let body = timeout_at(deadline, read(answer)).await.unwrap_or(Err(WebhookError::Cancelled))?;
                match body.is_empty() {
                    true => Ok(None),
                    false => outcome(client.protocol, &body, id).map(Some),
                }
            }
            UpstreamEvent::StreamCall(call) if is_good => {
                let body = timeout_at(deadline, read(answer)).await.unwrap_or(Err(WebhookError::Cancelled))?;
                match body.is_empty() {
                    true => Ok(None),
                    false => match outcome(client.protocol, &body, &call.invocation_id)? {
                        Ok(_) => Err(WebhookError::NoStream),
                        error => Ok(Some(error)),
                    },
                }
            }
            UpstreamEvent::Connected
            | UpstreamEvent::Disconnected { .. }
            | UpstreamEvent::Invocation { .. }
            | UpstreamEvent::StreamCall(_)
            | UpstreamEvent::Stream(_) => {
                let deadline = deadline.min(tokio::time::Instant::now() + IDLE_BODY_TIME);
                drop(timeout_at(deadline, Limited::new(answer.into_body(), IDLE_BODY).collect()).await);
                if is_good { Ok(None) } else { Err(WebhookError::Status(status)) }
            }
        }
    }

    fn log(&self, webhook: &Webhook, client: &ConnectionFacts, event: &UpstreamEvent, error: &WebhookError) {
        let mut failures = self.failures.borrow_mut();
        if failures.logged.is_some_and(|at| at.elapsed() < LOG_PERIOD) {
            failures.unlogged += 1;
            return;
        }
        let unlogged = Some(std::mem::take(&mut failures.unlogged)).filter(|count| *count > 0);
        failures.logged = Some(Instant::now());
        let (hub, connection, url, (_, event)) = (&client.hub, &client.id, webhook.url.shown(), names(event));
        let error = error.detail();
        tracing::warn!(%hub, %connection, url, event, error, unlogged, "a webhook has failed");
    }

    /// An application need not care for every event; whoever expects this one to be handled finds it in the log.
    fn log_unhandled(&self, webhook: &Webhook, event: &UpstreamEvent, status: StatusCode) {
        let mut failures = self.failures.borrow_mut();
        if failures.unhandled.is_none_or(|at| at.elapsed() >= UNHANDLED_LOG_PERIOD) {
            failures.unhandled = Some(Instant::now());
            let (url, (_, event), status) = (webhook.url.shown(), names(event), status.as_u16());
            tracing::info!(url, event, status, "the webhook does not handle this event; clients stay");
        }
    }
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
