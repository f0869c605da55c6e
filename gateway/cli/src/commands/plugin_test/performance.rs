//! A script played to the plugin: what comes of each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hubgate_core::delivery::Action;
use hubgate_core::event::{UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{FilterMessage, Subject};
use hubgate_core::id::PluginName;
use hubgate_core::pairs::Pairs;
use hubgate_plugin_host::{
    AllowHttp, Budgets, Payloads, PluginSettings, PluginSource, Rehearsal, RehearsalError, Rollback, Stage, Uses,
};

use super::forms::{ActionForm, ErrorForm, VerdictForm};
use super::hub::Hub;
use super::script::{PayloadForm, Script};
use super::script_file::{ScriptError, ScriptFile};
use super::step::Event;
use super::values::{Content, alike, in_line, to_json, to_toml};
use crate::config::{Size, Span};

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) result: Option<Content>,
    pub(super) error: Option<ErrorForm>,
    pub(super) verdict: Option<VerdictForm>,
    pub(super) actions: Vec<ActionForm>,
    /// All that is kept afterwards.
    pub(super) state: BTreeMap<String, Vec<u8>>,
}

/// Plays all steps; gives what came of each.
pub(super) fn play(
    stage: &Stage,
    plugin: &PluginName,
    file: &ScriptFile,
    (script, events): (&Script, &[Event]),
) -> Result<Vec<Came>, ScriptError> {
    let serves = stage.worlds();
    for (step, event) in script.step.iter().zip(events) {
        if !event.worlds().iter().any(|world| serves.contains(world)) {
            let (has, needs) = (serves.join(" and "), event.worlds().join(" or "));
            let reason = format!("the component is a {has}, and this step is for a {needs}");
            return Err(file.error(Some(step.span()), reason));
        }
    }
    let mut hub = Hub::new(script, events).map_err(|reason| file.error(None, reason))?;
    let settings = settings(plugin, file, script)?;
    let state: Vec<_> = script.state.iter().map(|(key, value)| (key.clone(), to_kept(value.as_ref()))).collect();
    let mut rehearsal = stage.rehearse(settings, script.now, &state).map_err(|error| match &error {
        RehearsalError::State { key, .. } => {
            file.error(script.state.get(key).map(|value| value.span()), format!("[state]: {error}"))
        }
        RehearsalError::Load(_) => file.error(None, error.to_string()),
    })?;
    let mut came = Vec::with_capacity(events.len());
    for (step, event) in script.step.iter().zip(events) {
        let form = step.as_ref();
        if let Some(now) = form.now {
            rehearsal.set_clock(now);
        }
        let played = play_step(&mut rehearsal, &mut hub, event, form.user.as_deref());
        came.push(played.map_err(|reason| file.error(Some(step.span()), reason))?);
    }
    Ok(came)
}

fn play_step(rehearsal: &mut Rehearsal<'_>, hub: &mut Hub, event: &Event, user: Option<&str>) -> Result<Came, String> {
    let client = event.client().map(|client| hub.client(client, user)).transpose()?;
    let upstream_event = match event {
        Event::Connected { .. } => UpstreamEvent::Connected,
        Event::Disconnected { reason, .. } => UpstreamEvent::Disconnected { reason: reason.clone() },
        Event::Invoke { call, .. } => UpstreamEvent::Invocation {
            target: Arc::from(call.target.as_str()),
            arguments: call.arguments.clone(),
            invocation_id: call.wants_result.then(|| Arc::from("1")),
            headers: call.headers.clone(),
        },
        Event::Inbound { message, headers, .. } => {
            let subject = Subject::Client(client.ok_or("an inbound message has a client")?);
            return Ok(look(rehearsal, hub, &subject, (message, headers)));
        }
        Event::Outbound { to, origin, message, headers } => {
            let subject = Subject::Delivery { hub: hub.name().clone(), to: to.clone(), origin: origin.clone() };
            return Ok(look(rehearsal, hub, &subject, (message, headers)));
        }
    };
    let client = client.ok_or("an event has a client")?;
    if let Event::Disconnected { .. } = event {
        hub.disconnects(client.id);
    }
    let answer = rehearsal.call(&client, &upstream_event, &mut |question| hub.answer(question));
    if let (Event::Connected { .. }, Ok(_)) = (event, &answer.result) {
        hub.connects(client.id);
    }
    let mut came = end(rehearsal, hub, answer.actions);
    match answer.result {
        Ok(result) => came.result = result.map(|result| Content::of(result.borrow())),
        Err(failure) => came.error = Some(failure.into()),
    }
    Ok(came)
}

fn look(rehearsal: &mut Rehearsal<'_>, hub: &mut Hub, subject: &Subject, message: (&FilterMessage, &Pairs)) -> Came {
    let inspected = rehearsal.inspect(subject, message, &mut |question| hub.answer(question));
    let (verdict, actions) = match inspected {
        Ok((verdict, actions)) => (Ok(verdict), actions),
        Err(failure) => (Err::<_, UpstreamFailure>(failure), Vec::new()),
    };
    let mut came = end(rehearsal, hub, actions);
    match verdict {
        Ok(verdict) => came.verdict = Some(verdict.into()),
        Err(failure) => came.error = Some(failure.into()),
    }
    came
}

/// What was asked for, flushed or not, and what is kept now.
fn end(rehearsal: &Rehearsal<'_>, hub: &mut Hub, actions: Vec<Action>) -> Came {
    hub.run(&actions);
    let asked = hub.take_flushed().into_iter().chain(actions);
    Came {
        actions: asked.map(|action| ActionForm::from(&action)).collect(),
        state: rehearsal.kept().into_iter().collect(),
        ..Came::default()
    }
}

/// The gateway's defaults, but for what the script says.
fn settings(plugin: &PluginName, file: &ScriptFile, script: &Script) -> Result<PluginSettings, ScriptError> {
    let mut budgets = Budgets::default();
    if let Some(memory) = &script.settings.memory {
        let size: Result<Size, String> = memory.as_ref().parse();
        budgets.memory_bytes = size.map_err(|reason| file.error(Some(memory.span()), reason))?.0;
    }
    if let Some(time) = &script.settings.call_time {
        let span: Result<Span, String> = time.as_ref().parse();
        budgets.call_time = span.map_err(|reason| file.error(Some(time.span()), reason))?.0;
        budgets.cpu_time = budgets.call_time;
    }
    let config = script.config.iter().map(|(key, value)| match value.as_ref() {
        toml::Value::String(text) => (key.clone(), text.clone()),
        other => (key.clone(), to_json(other).unwrap_or_default().to_string()),
    });
    Ok(PluginSettings {
        name: plugin.clone(),
        source: PluginSource::Embedded(&[]),
        uses: Uses::default(),
        config: config.collect(),
        budgets,
        payloads: match script.payload {
            PayloadForm::Json => Payloads::Json,
            PayloadForm::Native => Payloads::Native,
        },
        rollback: Rollback::default(),
        allow_http: Arc::new(AllowHttp::default()),
    })
}

/// The key under which bytes that are no text stand.
const BASE64: &str = "base64";

/// What a plugin keeps, as a script writes it: a text as it is, another value as JSON, `{ base64 = "…" }` as its bytes.
pub(super) fn to_kept(value: &toml::Value) -> Vec<u8> {
    match value {
        toml::Value::String(text) => text.clone().into_bytes(),
        toml::Value::Table(table) if table.len() == 1 && table.contains_key(BASE64) => {
            let encoded = table[BASE64].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
            encoded.unwrap_or_else(|| to_json(value).unwrap_or_default().to_string().into_bytes())
        }
        value => to_json(value).unwrap_or_default().to_string().into_bytes(),
    }
}

/// The same the other way round.
pub(super) fn from_kept(kept: &[u8]) -> toml::Value {
    let Ok(text) = std::str::from_utf8(kept) else {
        let encoded = BASE64_STANDARD.encode(kept);
        return toml::Value::Table([(BASE64.to_owned(), toml::Value::String(encoded))].into_iter().collect());
    };
    let value = serde_json::from_str(text).ok().filter(|value: &serde_json::Value| !value.is_string());
    let value = value.as_ref().and_then(to_toml).filter(|value| to_kept(value) == kept);
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// Whether a script means these bytes.
pub(super) fn is_kept(expected: &toml::Value, kept: &[u8]) -> bool {
    let both = || Some((to_json(expected).ok()?, serde_json::from_slice(kept).ok()?));
    let is_value = !expected.is_str() && both().is_some_and(|(expected, kept)| alike(&expected, &kept));
    is_value || to_kept(expected) == kept
}

/// Kept bytes as one line of TOML.
pub(super) fn kept_in_line(kept: &[u8]) -> String {
    in_line(&from_kept(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_written_as_numbers_texts_or_json() {
        let table: toml::Table =
            toml::from_str("n = 3\nt = 'ann'\nj = { a = [1] }\nb = { base64 = '/wA=' }\nq = '\"ann\"'").expect("TOML");
        for (key, bytes) in
            [("n", &b"3"[..]), ("t", b"ann"), ("j", b"{\"a\":[1]}"), ("b", b"\xff\0"), ("q", b"\"ann\"")]
        {
            assert_eq!(to_kept(&table[key]), bytes, "{key}");
            assert_eq!(from_kept(bytes), table[key], "{key}");
            assert!(is_kept(&table[key], bytes), "{key}");
        }
        assert!(is_kept(&table["j"], b"{ \"a\": [1.0] }"), "JSON is compared by what it says");
        assert!(!is_kept(&table["t"], b"\"ann\""), "a text is compared as it is");
        assert_eq!(kept_in_line(b"{\"a\":null}"), "'{\"a\":null}'");
    }
}
