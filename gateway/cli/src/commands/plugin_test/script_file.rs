//! Files of scripts: what is read of them, and the line of what is wrong in one.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hubgate_plugin_host::RegularFile;

use super::script::{HttpForm, Script};
use super::step::Event;
use super::streams::Streams;
use super::values::to_json;

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
        let (mut events, mut streams, mut now) = (Vec::new(), Streams::default(), script.now);
        for step in &script.step {
            let error = |reason| self.error(Some(step.span()), reason);
            let form = step.as_ref();
            if form.now.is_some_and(|later| later < now) {
                return Err(error(format!("`now` is {now} already, and a clock does not go back")));
            }
            if form.now.is_some() && form.advance.is_some() {
                return Err(error("`now` and `advance` both set the clock: write one of them".to_owned()));
            }
            now = form.clock(now);
            events.push(Event::of(form, &script, &mut streams).map_err(error)?);
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
        for ask in &script.ask {
            ask.as_ref().check().map_err(|reason| self.error(Some(ask.span()), reason))?;
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
