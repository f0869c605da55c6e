//! The `http` import: requests to what the configuration allows, made by the shard.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_core::id::PluginName;
use tokio::sync::oneshot;

use super::call::HostCall;
use super::{Guest, ShardQuestion};
use crate::bindings::hubgate::plugin::{http, types};
use crate::limits::HTTP_BODY_BYTES;
use crate::settings::AllowHttp;

/// A request of a plugin.
pub struct HttpCall {
    pub plugin: PluginName,
    pub allowed: Arc<AllowHttp>,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The longest answer that may be read, in bytes.
    pub longest_answer: usize,
    /// When the answer must be there.
    pub deadline: Instant,
    pub answer: oneshot::Sender<Result<HttpAnswer, HttpFailure>>,
}

/// What a web server has answered.
pub struct HttpAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for HttpCall {
    /// Without what it says: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCall").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpAnswer {
    /// Without what it says: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpFailure {
    /// The configuration does not allow it.
    Denied(String),
    TimedOut,
    TooLarge,
    Failed(String),
}

impl http::Host for Guest {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, http::Error>> {
        self.perform(HostCall::Http(request)).await
    }
}

impl Guest {
    pub(super) async fn fetch(&mut self, request: http::Request) -> Result<http::Response, http::Error> {
        if self.event.is_none() {
            return Err(http::Error::Failed("there is no event being handled".to_owned()));
        }
        if request.body.len() > HTTP_BODY_BYTES {
            return Err(http::Error::TooLarge);
        }
        let time = request.timeout_ms.map(|milliseconds| Duration::from_millis(milliseconds.into()));
        let deadline = time.map_or(self.deadline, |time| self.deadline.min(Instant::now() + time));
        let settings = &self.surroundings.settings;
        let (plugin, allowed) = (settings.name.clone(), settings.allow_http.clone());
        let call = |answer| {
            ShardQuestion::Http(HttpCall {
                plugin,
                allowed,
                method: request.method,
                url: request.url,
                headers: request.headers.into_iter().map(|pair| (pair.name, pair.value)).collect(),
                body: request.body,
                longest_answer: HTTP_BODY_BYTES,
                deadline,
                answer,
            })
        };
        match self.ask_shard(call).await {
            Some(Ok(answer)) => Ok(http::Response {
                status: answer.status,
                headers: answer.headers.into_iter().map(|(name, value)| types::PairResult { name, value }).collect(),
                body: answer.body,
            }),
            Some(Err(HttpFailure::Denied(reason))) => {
                let line = format!("a request is denied: {reason}");
                self.surroundings.log_line(tracing::Level::WARN, &line, std::iter::empty());
                Err(http::Error::Denied(reason))
            }
            Some(Err(HttpFailure::TimedOut)) => Err(http::Error::TimedOut),
            Some(Err(HttpFailure::TooLarge)) => Err(http::Error::TooLarge),
            Some(Err(HttpFailure::Failed(reason))) => Err(http::Error::Failed(reason)),
            None => Err(http::Error::Failed("the gateway is stopping".to_owned())),
        }
    }
}
