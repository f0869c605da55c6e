//! A script played to the plugin: what comes of each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hubgate_core::delivery::Action;
use hubgate_core::event::{
    ConnectionFacts, HubCall, HubEvent, PresentMember, UpstreamAnswer, UpstreamEvent, UpstreamFailure,
};
use hubgate_core::filter::{FilterMessage, Subject};
use hubgate_core::id::PluginName;
use hubgate_core::pairs::Pairs;
use hubgate_plugin_host::{
    AllowHttp, Authorization, AuthorizeCall, Budgets, Payloads, PluginSettings, PluginSource, Refused, Rehearsal,
    RehearsalError, Rollback, Stage, StateScope, Uses,
};

use super::forms::{ActionForm, ErrorForm, VerdictForm};
use super::hub::Hub;
use super::script::{PayloadForm, Script};
use super::script_file::{ScriptError, ScriptFile};
use super::sign_in::{GrantForm, RefusalForm};
use super::step::{Call, Event};
use super::streams::bounds;
use super::timers::TimerForm;
use super::values::{Content, alike, in_line, to_json, to_toml};
use crate::config::{Size, Span};

/// The most timers that fire in one step.
const MOST_FIRED: usize = 10_000;

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) result: Option<Content>,
    pub(super) error: Option<ErrorForm>,
    pub(super) verdict: Option<VerdictForm>,
    pub(super) grant: Option<GrantForm>,
    pub(super) refused: Option<RefusalForm>,
    pub(super) actions: Vec<ActionForm>,
    /// All that is kept afterwards.
    pub(super) state: BTreeMap<String, Vec<u8>>,
    /// All that are set afterwards.
    pub(super) timers: Vec<TimerForm>,
    /// Whether others were set before.
    pub(super) changes_timers: bool,
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
    let (mut came, mut now): (Vec<Came>, u64) = (Vec::with_capacity(events.len()), script.now);
    for (step, event) in script.step.iter().zip(events) {
        let form = step.as_ref();
        now = form.clock(now);
        // Timers set it themselves, from one to the next.
        if !matches!(event, Event::Timers) {
            rehearsal.set_clock(now);
        }
        hub.begin_step();
        let mut scene = Scene { rehearsal: &mut rehearsal, hub: &mut hub, plugin };
        let played = scene.play(event, form.user.as_deref(), now);
        let mut played = played.map_err(|reason| file.error(Some(step.span()), reason))?;
        played.changes_timers = came.last().map_or(&[][..], |before| &before.timers) != played.timers;
        came.push(played);
    }
    Ok(came)
}

/// Where a step is played.
struct Scene<'a, 'stage> {
    rehearsal: &'a mut Rehearsal<'stage>,
    hub: &'a mut Hub,
    plugin: &'a PluginName,
}

impl Scene<'_, '_> {
    /// Plays a step after which the clock stands at `until`.
    fn play(&mut self, event: &Event, user: Option<&str>, until: u64) -> Result<Came, String> {
        let client = event.client().map(|client| self.hub.client(client, user)).transpose()?;
        let hub_event = match event {
            Event::Timers => return self.fire(until),
            Event::Authorize { headers, query, remote_address } => {
                return Ok(self.authorize(headers, query, remote_address));
            }
            Event::Outbound { to, origin, message, headers } => {
                let hub = self.hub.name().clone();
                let subject = Subject::Delivery { hub, to: to.clone(), origin: origin.clone() };
                return Ok(self.look(&subject, (message, headers)));
            }
            Event::Started => HubEvent::Started,
            Event::Presence { group, joined, left } => {
                let joined = self.members(joined)?;
                let left = self.members(left)?;
                self.hub.change(group, &joined, &left);
                HubEvent::PresenceChanged { group: group.clone(), joined, left }
            }
            of_client => {
                let client = client.ok_or("the event has a client")?;
                return Ok(self.happens_to(&client, of_client));
            }
        };
        let call = HubCall { plugin: self.plugin.clone(), hub: self.hub.name().clone(), event: hub_event };
        let answer = self.rehearsal.call_hub(&call, &mut |question| self.hub.answer(question));
        Ok(self.answered(answer))
    }

    fn members(&mut self, names: &[String]) -> Result<Vec<PresentMember>, String> {
        names.iter().map(|name| self.hub.member(name)).collect()
    }

    fn happens_to(&mut self, client: &Arc<ConnectionFacts>, event: &Event) -> Came {
        match event {
            Event::Inbound { message, headers, .. } => {
                return self.look(&Subject::Client(client.clone()), (message, headers));
            }
            Event::Stream { event, .. } => self.hub.stream_happens(event),
            Event::Disconnected { .. } => self.hub.disconnects(client.id),
            _ => {}
        }
        let made;
        let upstream_event = match event {
            Event::Stream { event, .. } => event,
            Event::Disconnected { reason, .. } => {
                made = UpstreamEvent::Disconnected { reason: reason.clone() };
                &made
            }
            Event::Invoke { call, .. } => {
                made = invocation(call);
                &made
            }
            _ => &UpstreamEvent::Connected,
        };
        let answer = self.rehearsal.call(client, upstream_event, &mut |question| self.hub.answer(question));
        match (event, &answer.result) {
            (Event::Connected { .. }, Ok(_)) => self.hub.connects(client.id),
            (Event::Stream { call, .. }, Err(_)) => self.hub.stream_fails(*call),
            _ => {}
        }
        self.answered(answer)
    }

    /// Moves the clock on, from one timer that is due to the next.
    fn fire(&mut self, until: u64) -> Result<Came, String> {
        let (mut failure, mut fired) = (None, 0);
        while let Some(due) = self.rehearsal.next_timer().filter(|due| *due <= until) {
            if fired == MOST_FIRED {
                return Err(format!("more than {MOST_FIRED} timers fire in one step: move the clock on less"));
            }
            fired += 1;
            self.rehearsal.set_clock(due);
            let answer = self.rehearsal.fire(&mut |question| self.hub.answer(question));
            let Some(answer) = answer.map_err(|error| error.to_string())? else { break };
            self.hub.end_call(&answer.actions);
            failure = failure.or(answer.result.err());
        }
        self.rehearsal.set_clock(until);
        Ok(Came { error: failure.map(ErrorForm::from), ..self.end(&[]) })
    }

    fn authorize(&mut self, headers: &Pairs, query: &Pairs, remote_address: &str) -> Came {
        let call = AuthorizeCall {
            plugin: self.plugin.clone(),
            hub: self.hub.name().clone(),
            headers: headers.clone(),
            query: query.clone(),
            remote_address: remote_address.into(),
        };
        let Authorization { result, actions } =
            self.rehearsal.authorize(&call, &mut |question| self.hub.answer(question));
        let mut came = self.end(&actions);
        match result {
            Ok(grant) => came.grant = Some(grant.into()),
            Err(Refused::Unauthorized(text)) => came.refused = Some(RefusalForm::Unauthorized(text)),
            Err(Refused::Forbidden(text)) => came.refused = Some(RefusalForm::Forbidden(text)),
            Err(Refused::Failed(failure)) => came.error = Some(failure.into()),
        }
        came
    }

    fn look(&mut self, subject: &Subject, message: (&FilterMessage, &Pairs)) -> Came {
        let inspected = self.rehearsal.inspect(subject, message, &mut |question| self.hub.answer(question));
        let (verdict, actions) = match inspected {
            Ok((verdict, actions)) => (Ok(verdict), actions),
            Err(failure) => (Err::<_, UpstreamFailure>(failure), Vec::new()),
        };
        let mut came = self.end(&actions);
        match verdict {
            Ok(verdict) => came.verdict = Some(verdict.into()),
            Err(failure) => came.error = Some(failure.into()),
        }
        came
    }

    fn answered(&mut self, answer: UpstreamAnswer) -> Came {
        let mut came = self.end(&answer.actions);
        match answer.result {
            Ok(result) => came.result = result.map(|result| Content::of(result.borrow())),
            Err(failure) => came.error = Some(failure.into()),
        }
        came
    }

    /// What has taken effect, at once or now, and what is kept now.
    fn end(&mut self, actions: &[Action]) -> Came {
        self.hub.end_call(actions);
        Came {
            actions: self.hub.take_done(),
            state: self.rehearsal.kept().into_iter().collect(),
            timers: self.rehearsal.timers(self.hub.name()).into_iter().map(TimerForm::from).collect(),
            ..Came::default()
        }
    }
}

fn invocation(call: &Call) -> UpstreamEvent {
    UpstreamEvent::Invocation {
        target: Arc::from(call.target.as_str()),
        arguments: call.arguments.clone(),
        invocation_id: call.wants_result.then(|| Arc::from("1")),
        headers: call.headers.clone(),
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
    budgets.streams = bounds(script);
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
        state_scope: StateScope::Node,
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
