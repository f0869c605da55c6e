//! Scripts as they are written: TOML, whose keys are all known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::forms::{ActionForm, ErrorForm, MessageForm, OriginForm, TargetForm, VerdictForm};
use super::sign_in::{GrantForm, RefusalForm};
use super::timers::TimerForm;
use super::values::{Content, to_json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Script {
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(super) now: u64,
    #[serde(default)]
    pub(super) hub: Option<Spanned<String>>,
    /// In which form the plugin gets MessagePack, as `plugins.NAME.payload` says in a gateway.
    #[serde(default)]
    pub(super) payload: PayloadForm,
    #[serde(default)]
    pub(super) config: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) settings: SettingsForm,
    #[serde(default)]
    pub(super) state: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) clients: BTreeMap<String, Spanned<ClientForm>>,
    #[serde(default)]
    pub(super) http: Vec<Spanned<HttpForm>>,
    #[serde(default)]
    pub(super) ask: Vec<Spanned<AskedForm>>,
    #[serde(default)]
    pub(super) step: Vec<Spanned<StepForm>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PayloadForm {
    #[default]
    Json,
    Native,
}

/// What the plugin may use; the gateway's defaults if nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SettingsForm {
    pub(super) memory: Option<Spanned<String>>,
    /// Processor time, too.
    pub(super) call_time: Option<Spanned<String>>,
    /// Items that wait for the client of a stream.
    pub(super) stream_items: Option<usize>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ClientForm {
    pub(super) user: Option<String>,
    pub(super) protocol: Option<ProtocolForm>,
    #[serde(default)]
    pub(super) claims: BTreeMap<String, OneOrMany<String>>,
    #[serde(default)]
    pub(super) query: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, OneOrMany<String>>,
    pub(super) remote_address: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProtocolForm {
    Json,
    Messagepack,
}

/// One, or a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one).iter(),
            OneOrMany::Many(many) => many.iter(),
        }
    }
}

/// What a web server answers to the plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HttpForm {
    pub(super) method: Option<String>,
    pub(super) url: String,
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, OneOrMany<String>>,
    /// A text as it is, another value as JSON.
    pub(super) body: Option<toml::Value>,
    /// In place of an answer: `timed-out`, `too-large`, or the text of another failure.
    pub(super) error: Option<String>,
}

/// What a client answers to the plugin that asks it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AskedForm {
    /// Any client, if it is not said.
    pub(super) client: Option<String>,
    pub(super) method: String,
    pub(super) answer: Option<toml::Value>,
    pub(super) answer_json: Option<String>,
    /// In place of an answer: `timed-out`, `left`, `busy`, or the text of the client's own error.
    pub(super) error: Option<String>,
}

/// What a client waits for that has opened streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AnswerForm {
    Items,
    Value,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EventForm {
    Connected,
    Invoke,
    Disconnected,
    Inbound,
    Outbound,
    Stream,
    Item,
    Ended,
    Cancelled,
    Writable,
    Timers,
    Presence,
    Started,
    Authorize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct StepForm {
    pub(super) event: EventForm,
    /// The clock from this step on, milliseconds since 1970.
    pub(super) now: Option<u64>,
    /// In place of `now`: how far the clock moves on.
    pub(super) advance: Option<u64>,
    pub(super) client: Option<String>,
    pub(super) user: Option<String>,
    pub(super) target: Option<String>,
    pub(super) arguments: Option<toml::Value>,
    pub(super) arguments_json: Option<String>,
    /// MessagePack.
    pub(super) arguments_base64: Option<String>,
    pub(super) wants_result: Option<bool>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<MessageForm>,
    pub(super) to: Option<OneOrMany<TargetForm>>,
    pub(super) from: Option<OriginForm>,
    /// The name of a stream, and those of its uploads.
    pub(super) stream: Option<String>,
    #[serde(default)]
    pub(super) uploads: Vec<String>,
    pub(super) answer: Option<AnswerForm>,
    pub(super) upload: Option<String>,
    pub(super) item: Option<toml::Value>,
    pub(super) item_json: Option<String>,
    pub(super) error: Option<String>,
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) joined: Vec<String>,
    #[serde(default)]
    pub(super) left: Vec<String>,
    pub(super) query: Option<BTreeMap<String, OneOrMany<String>>>,
    pub(super) remote_address: Option<String>,
    pub(super) expect: Option<Spanned<ExpectForm>>,
}

impl StepForm {
    /// Where the clock stands after the step, if it stood at `now` before it.
    pub(super) fn clock(&self, now: u64) -> u64 {
        self.now.unwrap_or(now).saturating_add(self.advance.unwrap_or(0))
    }
}

/// What is to come of a step. What is not said may be anything, but an error has to be said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectForm {
    pub(super) result: Option<toml::Value>,
    pub(super) result_json: Option<String>,
    pub(super) error: Option<ErrorForm>,
    pub(super) verdict: Option<VerdictForm>,
    pub(super) grant: Option<GrantForm>,
    pub(super) refused: Option<RefusalForm>,
    pub(super) actions: Option<Vec<ActionForm>>,
    /// All that is kept afterwards.
    pub(super) state: Option<BTreeMap<String, toml::Value>>,
    /// All that are set afterwards, by their names' order.
    pub(super) timers: Option<Vec<TimerForm>>,
}

impl ExpectForm {
    pub(super) fn result(&self) -> Result<Option<Content>, String> {
        Content::read("result", self.result.as_ref(), self.result_json.as_deref())
    }

    /// The error says what of it can never come.
    pub(super) fn check(&self) -> Result<(), String> {
        self.result()?;
        if let Some(verdict) = &self.verdict {
            verdict.check().map_err(|reason| format!("`verdict`: {reason}"))?;
        }
        for (index, action) in self.actions.iter().flatten().enumerate() {
            action.check().map_err(|reason| format!("`actions`, number {}: {reason}", index + 1))?;
        }
        for (index, timer) in self.timers.iter().flatten().enumerate() {
            timer.check().map_err(|reason| format!("`timers`, number {}: {reason}", index + 1))?;
        }
        for (key, value) in self.state.iter().flatten() {
            to_json(value).map_err(|reason| format!("`state.{key}`: {reason}"))?;
        }
        Ok(())
    }
}
