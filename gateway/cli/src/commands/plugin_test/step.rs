//! A step of a script: the event that it brings about.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hubgate_core::delivery::Target;
use hubgate_core::filter::{FilterMessage, Origin};
use hubgate_core::pairs::Pairs;
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload};

use super::forms::connection_id;
use super::script::{EventForm, PayloadForm, ProtocolForm, Script, StepForm};
use super::values::Content;

/// Who speaks if a step does not say so.
pub(super) const CLIENT: &str = "c1";

#[derive(Debug)]
pub(super) enum Event {
    Connected { client: String },
    Invoke { client: String, call: Call },
    Disconnected { client: String, reason: Option<String> },
    Inbound { client: String, message: FilterMessage, headers: Pairs },
    Outbound { to: Vec<Target>, origin: Origin, message: FilterMessage, headers: Pairs },
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) target: String,
    pub(super) arguments: Payload,
    pub(super) wants_result: bool,
    pub(super) headers: Pairs,
}

impl Event {
    /// The error says why there can be no such event.
    pub(super) fn of(form: &StepForm, script: &Script) -> Result<Event, String> {
        refuse_strangers(form)?;
        let client = form.client.clone().unwrap_or_else(|| CLIENT.to_owned());
        if connection_id(&client).is_none() {
            return Err(format!(
                "\"{client}\" cannot be a client's name: up to 24 letters, digits, `-` and `_`, and no `_` at the end"
            ));
        }
        let headers: Pairs = form.headers.iter().flatten().collect();
        let message = || match &form.message {
            Some(message) => message.to_message().map_err(|reason| format!("`message`: {reason}")),
            None => Err("it needs a `message`".to_owned()),
        };
        Ok(match form.event {
            EventForm::Connected => Event::Connected { client },
            EventForm::Disconnected => Event::Disconnected { client, reason: form.reason.clone() },
            EventForm::Invoke => Event::Invoke {
                call: Call {
                    target: form.target.clone().ok_or("an `invoke` needs a `target`, the method's name")?,
                    arguments: arguments(form, speaks_messagepack(&client, script))?,
                    wants_result: form.wants_result.unwrap_or(true),
                    headers,
                },
                client,
            },
            EventForm::Inbound => Event::Inbound { client, message: message()?, headers },
            EventForm::Outbound => {
                let to =
                    form.to.iter().flat_map(|to| to.iter().map(|to| to.to_target())).collect::<Result<Vec<_>, _>>();
                let to = to.map_err(|reason| format!("`to`: {reason}"))?;
                Event::Outbound {
                    to: if to.is_empty() { vec![Target::All] } else { to },
                    origin: form.from.as_ref().map_or(Origin::Rest, |from| from.to_origin()),
                    message: message()?,
                    headers,
                }
            }
        })
    }

    /// What it is about, in a few words.
    pub(super) fn title(&self) -> String {
        let of = |message: &FilterMessage| message.target.clone().unwrap_or_else(|| "a value".to_owned());
        match self {
            Event::Connected { client } => format!("{client} connected"),
            Event::Disconnected { client, .. } => format!("{client} disconnected"),
            Event::Invoke { client, call } => format!("{client} invokes {}", call.target),
            Event::Inbound { client, message, .. } => format!("{client} sends {}", of(message)),
            Event::Outbound { message, .. } => format!("{} is sent", of(message)),
        }
    }

    /// The worlds of which a component must serve one to see it.
    pub(super) fn worlds(&self) -> &'static [&'static str] {
        match self {
            Event::Connected { .. } | Event::Invoke { .. } | Event::Disconnected { .. } => &["handler", "whole-hub"],
            Event::Inbound { .. } => &["filter", "filter-inbound"],
            Event::Outbound { .. } => &["filter", "filter-outbound"],
        }
    }

    /// Whose event it is.
    pub(super) fn client(&self) -> Option<&str> {
        match self {
            Event::Connected { client }
            | Event::Invoke { client, .. }
            | Event::Disconnected { client, .. }
            | Event::Inbound { client, .. } => Some(client),
            Event::Outbound { .. } => None,
        }
    }
}

/// Whether what the client says is MessagePack.
pub(super) fn speaks_messagepack(client: &str, script: &Script) -> bool {
    match script.clients.get(client).and_then(|client| client.as_ref().protocol) {
        Some(protocol) => protocol == ProtocolForm::Messagepack,
        // Bytes are only of interest where a client sends some.
        None => script.payload == PayloadForm::Native,
    }
}

/// Keys that other events have.
fn refuse_strangers(form: &StepForm) -> Result<(), String> {
    use EventForm::{Connected, Disconnected, Inbound, Invoke, Outbound};
    let present = [
        ("client", form.client.is_some(), &[Connected, Invoke, Disconnected, Inbound][..]),
        ("user", form.user.is_some(), &[Connected, Invoke, Disconnected, Inbound]),
        ("target", form.target.is_some(), &[Invoke]),
        ("arguments", form.arguments.is_some(), &[Invoke]),
        ("arguments-json", form.arguments_json.is_some(), &[Invoke]),
        ("arguments-base64", form.arguments_base64.is_some(), &[Invoke]),
        ("wants-result", form.wants_result.is_some(), &[Invoke]),
        ("headers", form.headers.is_some(), &[Invoke, Inbound, Outbound]),
        ("reason", form.reason.is_some(), &[Disconnected]),
        ("message", form.message.is_some(), &[Inbound, Outbound]),
        ("to", form.to.is_some(), &[Outbound]),
        ("from", form.from.is_some(), &[Outbound]),
    ];
    let is_stranger = |(_, is_present, events): &&(_, bool, &[EventForm])| *is_present && !events.contains(&form.event);
    match present.iter().find(is_stranger) {
        None => Ok(()),
        Some((key, _, events)) => {
            let names = |event: &EventForm| format!("{event:?}").to_lowercase();
            let events: Vec<String> = events.iter().map(names).collect();
            Err(format!("`{key}` has no place in a step of `{}`: it is of {}", names(&form.event), events.join(", ")))
        }
    }
}

fn arguments(form: &StepForm, as_messagepack: bool) -> Result<Payload, String> {
    let content = Content::read("arguments", form.arguments.as_ref(), form.arguments_json.as_deref())?;
    let json = match (content, &form.arguments_base64) {
        (Some(_), Some(_)) => return Err("`arguments-base64` and `arguments` say the same thing: write one".to_owned()),
        (None, Some(encoded)) => {
            let bytes = BASE64_STANDARD.decode(encoded).map_err(|error| format!("`arguments-base64`: {error}"))?;
            let value = MessagePackValue::parse_array(bytes);
            return value.map(Payload::MessagePack).map_err(|error| format!("`arguments-base64` {error}"));
        }
        (Some(content), None) => JsonText::parse_array(content.to_text()),
        (None, None) => JsonText::parse_array("[]"),
    };
    let json = Payload::Json(json.map_err(|error| match error {
        hubgate_wire::payload::NotJson::NotAnArray => "`arguments` are a list".to_owned(),
        error => format!("the text of `arguments` {error}"),
    })?);
    if !as_messagepack {
        return Ok(json);
    }
    let mut bytes = Vec::new();
    json.borrow().write_messagepack(&mut bytes);
    MessagePackValue::parse_array(bytes).map(Payload::MessagePack).map_err(|error| format!("`arguments` {error}"))
}
