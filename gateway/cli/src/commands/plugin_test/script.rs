//! Scripts as they are written: TOML, whose keys are all known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use hubgate_plugin_host::RegularFile;
use serde::Deserialize;
use toml::Spanned;

use super::forms::{ActionForm, ErrorForm, MessageForm, OriginForm, TargetForm, VerdictForm};
use super::step::Event;
use super::values::{Content, to_json};

/// The longest script, in bytes.
const MAX_SCRIPT_BYTES: usize = 4 << 20;

/// What is wrong in a script, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub(super) struct ScriptError {
    file: PathBuf,
    line: usize,
    reason: String,
}

/// A script's file.
#[derive(Debug)]
pub(super) struct ScriptFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

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
#[derive(Debug, Clone, Deserialize)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EventForm {
    Connected,
    Invoke,
    Disconnected,
    Inbound,
    Outbound,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct StepForm {
    pub(super) event: EventForm,
    /// The clock from this step on, milliseconds since 1970.
    pub(super) now: Option<u64>,
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
    pub(super) expect: Option<Spanned<ExpectForm>>,
}

/// What is to come of a step. What is not said may be anything, but an error has to be said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectForm {
    pub(super) result: Option<toml::Value>,
    pub(super) result_json: Option<String>,
    pub(super) error: Option<ErrorForm>,
    pub(super) verdict: Option<VerdictForm>,
    pub(super) actions: Option<Vec<ActionForm>>,
    /// All that is kept afterwards.
    pub(super) state: Option<BTreeMap<String, toml::Value>>,
}

impl ExpectForm {
    pub(super) fn result(&self) -> Result<Option<Content>, String> {
        Content::read("result", self.result.as_ref(), self.result_json.as_deref())
    }

    /// The error says what of it can never come.
    fn check(&self) -> Result<(), String> {
        self.result()?;
        if let Some(verdict) = &self.verdict {
            verdict.check().map_err(|reason| format!("`verdict`: {reason}"))?;
        }
        for (index, action) in self.actions.iter().flatten().enumerate() {
            action.check().map_err(|reason| format!("`actions`, number {}: {reason}", index + 1))?;
        }
        for (key, value) in self.state.iter().flatten() {
            to_json(value).map_err(|reason| format!("`state.{key}`: {reason}"))?;
        }
        Ok(())
    }
}

impl ScriptFile {
    pub(super) fn read(path: &Path) -> Result<ScriptFile, ScriptError> {
        let error = |line, reason: String| ScriptError { file: path.to_owned(), line, reason };
        let read = RegularFile::read(path, MAX_SCRIPT_BYTES);
        let bytes = read.map_err(|reason| error(1, format!("the script cannot be read: {reason}")))?.bytes;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(ScriptFile { path: path.to_owned(), text }),
            Err(bad) => {
                let before = &bad.as_bytes()[..bad.utf8_error().valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                Err(error(line, "the script is not UTF-8".to_owned()))
            }
        }
    }

    /// What it says, with the event of each step.
    pub(super) fn parse(&self) -> Result<(Script, Vec<Event>), ScriptError> {
        let script: Script = toml::from_str(&self.text).map_err(|error| {
            let reason = error.message().trim().replace("unknown field", "unknown key").replace('\n', " ");
            self.error(error.span(), reason)
        })?;
        if script.step.is_empty() {
            return Err(self.error(None, "the script has no [[step]]".to_owned()));
        }
        self.check(&script)?;
        let (mut events, mut now) = (Vec::new(), script.now);
        for step in &script.step {
            let error = |reason| self.error(Some(step.span()), reason);
            let form = step.as_ref();
            if form.now.is_some_and(|later| later < now) {
                return Err(error(format!("`now` is {now} already, and a clock does not go back")));
            }
            now = form.now.unwrap_or(now);
            events.push(Event::of(form, &script).map_err(error)?);
            if let Some(expect) = &form.expect {
                expect.as_ref().check().map_err(|reason| self.error(Some(expect.span()), reason))?;
            }
        }
        Ok((script, events))
    }

    /// What is beside the steps.
    fn check(&self, script: &Script) -> Result<(), ScriptError> {
        let values = script.state.iter().map(|(key, value)| ("state", key, value));
        let values = values.chain(script.config.iter().map(|(key, value)| ("config", key, value)));
        for (table, key, value) in values {
            to_json(value.as_ref())
                .map_err(|reason| self.error(Some(value.span()), format!("`{table}.{key}`: {reason}")))?;
        }
        for http in &script.http {
            let problem = match http.as_ref() {
                HttpForm { error: Some(_), status: Some(_), .. } | HttpForm { error: Some(_), body: Some(_), .. } => {
                    Err("an `error` comes in place of `status` and `body`")
                }
                HttpForm { status: Some(status), .. } if !(100..=999).contains(status) => {
                    Err("no `status` is like that")
                }
                HttpForm { body: Some(body), .. } => to_json(body).map(drop),
                _ => Ok(()),
            };
            problem.map_err(|reason| self.error(Some(http.span()), reason.to_owned()))?;
        }
        Ok(())
    }

    /// At the line where `place` begins.
    pub(super) fn error(&self, place: Option<Range<usize>>, reason: String) -> ScriptError {
        let line = place.map_or(1, |place| self.line(place.start));
        ScriptError { file: self.path.clone(), line, reason }
    }

    /// The number of the line that byte `offset` is in, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Script, Vec<Event>), ScriptError> {
        ScriptFile { path: PathBuf::from("tests/a.toml"), text: text.to_owned() }.parse()
    }

    #[test]
    fn a_script_is_refused_with_the_line_and_what_is_known() {
        let step = "[[step]]\nevent = 'invoke'\ntarget = 'hello'\n";
        for (text, parts) in [
            ("nov = 1\n", &["tests/a.toml:1: unknown key `nov`", "`now`", "`state`"][..]),
            (
                "\n[[step]]\nevent = 'invoke'\ntarget = 'a'\nargs = []\n",
                &["tests/a.toml:5: unknown key `args`", "`arguments`"],
            ),
            ("\n[[step]]\nevent = 'call'\n", &["tests/a.toml:3:", "unknown variant `call`", "`invoke`"]),
            ("\n\n[[step]]\nevent = 'invoke'\n", &["tests/a.toml:3:", "`target`"]),
            (
                "[[step]]\nevent = 'connected'\ntarget = 'a'\n",
                &["tests/a.toml:1:", "`target` has no place", "connected"],
            ),
            ("now = 5\n", &["tests/a.toml:1:", "no [[step]]"]),
            ("now = \n", &["tests/a.toml:1:"]),
            (&format!("{step}arguments = [2026-01-01]\n"), &["tests/a.toml:1:", "no dates"]),
            (&format!("{step}arguments = [nan]\n"), &["tests/a.toml:1:", "`nan`"]),
            (&format!("{step}arguments = 1\n"), &["tests/a.toml:1:", "a list"]),
            (&format!("{step}arguments-json = '[1'\n"), &["tests/a.toml:1:", "not valid JSON"]),
            (&format!("{step}[step.expect]\nresult = inf\n"), &["tests/a.toml:4:", "`inf`"]),
            (
                &format!("{step}[step.expect]\nactions = [{{ sned = {{}} }}]\n"),
                &["tests/a.toml:5:", "`sned`", "`send`"],
            ),
            (&format!("{step}[step.expect]\nerror = 1\n"), &["tests/a.toml:5:", "must be a text"]),
            ("[state]\nx = 2026-01-01\n[[step]]\nevent = 'connected'\n", &["tests/a.toml:2: `state.x`"]),
            (
                "[[step]]\nevent = 'connected'\nnow = 9\n[[step]]\nevent = 'connected'\nnow = 8\n",
                &["a.toml:4:", "go back"],
            ),
            ("[[step]]\nevent = 'connected'\nclient = 'a b'\n", &["a.toml:1:", "\"a b\"", "name"]),
        ] {
            let error = parsed(text).map(drop).expect_err(text).to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}\n{error}");
        }
    }

    #[test]
    fn the_contracts_example_is_read() {
        let text = r#"
now = 0
[state]
votes = 3
[[step]]
event = "invoke"
client = "c1"
user = "ann"
target = "hello"
arguments = ["ann"]
[step.expect]
result = "Hello, ann"
actions = [{ send = { to = "all", method = "said", arguments = ["…"] } }]
"#;
        let (script, events) = parsed(text).expect("it is a script");
        assert_eq!((script.step.len(), events.len()), (1, 1));
    }
}
