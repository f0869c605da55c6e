//! A step of a script: the event that it brings about.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hubgate_core::delivery::Target;
use hubgate_core::event::UpstreamEvent;
use hubgate_core::filter::{FilterMessage, Origin};
use hubgate_core::id::GroupName;
use hubgate_core::pairs::Pairs;
use hubgate_core::stream::{StreamEvent, StreamId};
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload};

use super::forms::connection_id;
use super::script::{EventForm, PayloadForm, ProtocolForm, Script, StepForm};
use super::streams::Streams;
use super::values::Content;

/// Who speaks if a step does not say so.
pub(super) const CLIENT: &str = "c1";

#[derive(Debug)]
pub(super) enum Event {
    Connected {
        client: String,
    },
    Invoke {
        client: String,
        call: Call,
    },
    Disconnected {
        client: String,
        reason: Option<String>,
    },
    Inbound {
        client: String,
        message: FilterMessage,
        headers: Pairs,
    },
    Outbound {
        to: Vec<Target>,
        origin: Origin,
        message: FilterMessage,
        headers: Pairs,
    },
    /// `name` is what the script calls the stream or the upload, and `call` the id of the call that has opened it.
    Stream {
        client: String,
        name: String,
        call: StreamId,
        event: UpstreamEvent,
    },
    /// The clock moves on, and timers fire.
    Timers,
    Presence {
        group: GroupName,
        joined: Vec<String>,
        left: Vec<String>,
    },
    Started,
    Authorize {
        headers: Pairs,
        query: Pairs,
        remote_address: String,
    },
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
    pub(super) fn of(form: &StepForm, script: &Script, streams: &mut Streams) -> Result<Event, String> {
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
            EventForm::Stream | EventForm::Item | EventForm::Ended | EventForm::Cancelled | EventForm::Writable => {
                streams.event(form, client, script)?
            }
            EventForm::Timers => Event::Timers,
            EventForm::Presence => presence(form)?,
            EventForm::Started => Event::Started,
            EventForm::Authorize => {
                let query = form.query.iter().flatten();
                Event::Authorize {
                    headers,
                    query: query.flat_map(|(name, values)| values.iter().map(move |value| (name, value))).collect(),
                    remote_address: form.remote_address.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
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
            Event::Stream { client, name, event, .. } => of_stream(client, name, event),
            Event::Timers => "timers that are due".to_owned(),
            Event::Presence { group, .. } => format!("the group {} changes", group.as_str()),
            Event::Started => "started".to_owned(),
            Event::Authorize { .. } => "a request wants to become a client".to_owned(),
        }
    }

    /// The worlds of which a component must serve one to see it.
    pub(super) fn worlds(&self) -> &'static [&'static str] {
        match self {
            Event::Connected { .. } | Event::Invoke { .. } | Event::Disconnected { .. } => &["handler", "whole-hub"],
            Event::Inbound { .. } => &["filter", "filter-inbound"],
            Event::Outbound { .. } => &["filter", "filter-outbound"],
            Event::Stream { .. } | Event::Timers | Event::Presence { .. } | Event::Started => &["whole-hub"],
            Event::Authorize { .. } => &["whole-hub", "negotiator"],
        }
    }

    /// Whose event it is.
    pub(super) fn client(&self) -> Option<&str> {
        match self {
            Event::Connected { client }
            | Event::Invoke { client, .. }
            | Event::Disconnected { client, .. }
            | Event::Inbound { client, .. }
            | Event::Stream { client, .. } => Some(client),
            Event::Outbound { .. }
            | Event::Timers
            | Event::Presence { .. }
            | Event::Started
            | Event::Authorize { .. } => None,
        }
    }

    /// All clients that it names.
    pub(super) fn clients(&self) -> impl Iterator<Item = &str> {
        let members = match self {
            Event::Presence { joined, left, .. } => [joined.as_slice(), left.as_slice()],
            _ => [&[][..], &[]],
        };
        self.client().into_iter().chain(members.into_iter().flatten().map(String::as_str))
    }
}

fn of_stream(client: &str, name: &str, event: &UpstreamEvent) -> String {
    match event {
        UpstreamEvent::Stream(StreamEvent::Begin(opening)) => format!("{client} opens {name} by {}", opening.target),
        UpstreamEvent::Stream(StreamEvent::Item(_)) => format!("{client} sends an item of {name}"),
        UpstreamEvent::Stream(StreamEvent::Ended { .. }) => format!("{client} ends {name}"),
        UpstreamEvent::Stream(StreamEvent::Cancelled { .. }) => format!("{client} cancels {name}"),
        _ => format!("{name} of {client} has room again"),
    }
}

fn presence(form: &StepForm) -> Result<Event, String> {
    let group = form.group.as_deref().ok_or("a step of `presence` needs a `group`")?;
    let group = GroupName::parse(group).map_err(|error| format!("`group`: {error}"))?;
    if let Some(name) = form.joined.iter().chain(&form.left).find(|name| connection_id(name).is_none()) {
        return Err(format!("\"{name}\" cannot be a client's name"));
    }
    Ok(Event::Presence { group, joined: form.joined.clone(), left: form.left.clone() })
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
    use EventForm::{
        Authorize, Cancelled, Connected, Disconnected, Ended, Inbound, Invoke, Item, Outbound, Presence, Stream,
        Writable,
    };
    let present = [
        ("client", form.client.is_some(), &[Connected, Invoke, Disconnected, Inbound, Stream][..]),
        ("user", form.user.is_some(), &[Connected, Invoke, Disconnected, Inbound, Stream]),
        ("target", form.target.is_some(), &[Invoke, Stream]),
        ("arguments", form.arguments.is_some(), &[Invoke, Stream]),
        ("arguments-json", form.arguments_json.is_some(), &[Invoke, Stream]),
        ("arguments-base64", form.arguments_base64.is_some(), &[Invoke, Stream]),
        ("wants-result", form.wants_result.is_some(), &[Invoke]),
        ("headers", form.headers.is_some(), &[Invoke, Inbound, Outbound, Stream, Item, Authorize]),
        ("reason", form.reason.is_some(), &[Disconnected]),
        ("message", form.message.is_some(), &[Inbound, Outbound]),
        ("to", form.to.is_some(), &[Outbound]),
        ("from", form.from.is_some(), &[Outbound]),
        ("stream", form.stream.is_some(), &[Stream, Cancelled, Writable]),
        ("uploads", !form.uploads.is_empty(), &[Stream]),
        ("answer", form.answer.is_some(), &[Stream]),
        ("upload", form.upload.is_some(), &[Item, Ended]),
        ("item", form.item.is_some(), &[Item]),
        ("item-json", form.item_json.is_some(), &[Item]),
        ("error", form.error.is_some(), &[Ended]),
        ("group", form.group.is_some(), &[Presence]),
        ("joined", !form.joined.is_empty(), &[Presence]),
        ("left", !form.left.is_empty(), &[Presence]),
        ("query", form.query.is_some(), &[Authorize]),
        ("remote-address", form.remote_address.is_some(), &[Authorize]),
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

pub(super) fn arguments(form: &StepForm, as_messagepack: bool) -> Result<Payload, String> {
    let content = Content::read("arguments", form.arguments.as_ref(), form.arguments_json.as_deref())?;
    let content = match (content, &form.arguments_base64) {
        (Some(_), Some(_)) => return Err("`arguments-base64` and `arguments` say the same thing: write one".to_owned()),
        (None, Some(encoded)) => {
            let bytes = BASE64_STANDARD.decode(encoded).map_err(|error| format!("`arguments-base64`: {error}"))?;
            let value = MessagePackValue::parse_array(bytes);
            return value.map(Payload::MessagePack).map_err(|error| format!("`arguments-base64` {error}"));
        }
        (Some(content), None) if !content.is_list() => return Err("`arguments` are a list".to_owned()),
        (Some(content), None) => content,
        (None, None) => Content::Json("[]".to_owned()),
    };
    spoken("arguments", &content, as_messagepack)
}

/// A value in the form in which its client says it.
pub(super) fn spoken(key: &str, content: &Content, as_messagepack: bool) -> Result<Payload, String> {
    let json = JsonText::parse_text(content.to_text());
    let json = Payload::Json(json.map_err(|error| format!("the text of `{key}` {error}"))?);
    if !as_messagepack {
        return Ok(json);
    }
    let mut bytes = Vec::new();
    json.borrow().write_messagepack(&mut bytes);
    MessagePackValue::parse(bytes).map(Payload::MessagePack).map_err(|error| format!("`{key}` {error}"))
}
