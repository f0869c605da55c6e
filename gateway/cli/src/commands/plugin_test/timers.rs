//! A plugin's timers, as scripts write them.

use std::sync::Arc;

use hubgate_plugin_host::{Lifetime, Schedule, Timer};
use serde::{Deserialize, Serialize};

use super::performance::{from_kept, is_kept};
use super::values::to_json;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TimerForm {
    name: String,
    /// One of these says when it fires, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<u64>,
    /// When it is due next; any time if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    /// As what is kept is written; none if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    durable: bool,
    /// That of a timer which came.
    #[serde(skip)]
    bytes: Arc<[u8]>,
}

impl From<(Arc<str>, Timer)> for TimerForm {
    fn from((name, timer): (Arc<str>, Timer)) -> TimerForm {
        let (after, at, every) = match timer.when {
            Schedule::After(time) => (Some(time), None, None),
            Schedule::At(time) => (None, Some(time), None),
            Schedule::Every(period) => (None, None, Some(period)),
        };
        let payload = (!timer.payload.is_empty()).then(|| from_kept(&timer.payload));
        let (durable, bytes) = (timer.lifetime == Lifetime::Durable, timer.payload);
        TimerForm { name: name.to_string(), after, at, every, due: Some(timer.due), payload, durable, bytes }
    }
}

impl TimerForm {
    /// The error says what of it cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(payload) = &self.payload {
            to_json(payload).map_err(|reason| format!("`payload`: {reason}"))?;
        }
        match [self.after, self.at, self.every].into_iter().flatten().count() {
            1 => Ok(()),
            _ => Err("a timer has one of `after`, `at` and `every`".to_owned()),
        }
    }

    /// Whether this, which was expected, is the one that came.
    pub(super) fn is(&self, came: &TimerForm) -> bool {
        let when = |form: &TimerForm| (form.after, form.at, form.every);
        let payload = match &self.payload {
            Some(expected) => is_kept(expected, &came.bytes),
            None => came.bytes.is_empty(),
        };
        (&self.name, when(self), self.durable) == (&came.name, when(came), came.durable)
            && self.due.is_none_or(|due| came.due == Some(due))
            && payload
    }
}
