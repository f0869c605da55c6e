//! Streams and uploads of a script, by the names that it gives them, and what happens to them.

use std::collections::BTreeMap;

use hubgate_core::event::UpstreamEvent;
use hubgate_core::id::ConnectionId;
use hubgate_core::pairs::Pairs;
use hubgate_core::stream::{Expected, Opening, Room, StreamBounds, StreamEvent, StreamId, UploadedItem};

use super::forms::connection_id;
use super::script::{AnswerForm, EventForm, Script, StepForm};
use super::step::{Event, arguments, speaks_messagepack, spoken};
use super::values::Content;

/// What a stream is called if a step does not say so.
const STREAM: &str = "s1";

/// Those that the steps before have opened. A name is of one stream or upload in all the script.
#[derive(Debug, Default)]
pub(super) struct Streams {
    known: BTreeMap<String, Known>,
    /// The last of each client.
    numbers: BTreeMap<ConnectionId, u32>,
}

#[derive(Debug, Clone)]
struct Known {
    client: String,
    id: StreamId,
    /// That of the call that has opened it.
    call: StreamId,
    is_upload: bool,
}

impl Streams {
    /// The error says why there can be no such event.
    pub(super) fn event(&mut self, form: &StepForm, client: String, script: &Script) -> Result<Event, String> {
        let headers: Pairs = form.headers.iter().flatten().collect();
        let name = form.stream.clone().or_else(|| form.upload.clone()).unwrap_or_else(|| STREAM.to_owned());
        if form.event == EventForm::Stream {
            let opening = self.open(form, (&client, &name), headers, script)?;
            let call = opening.id;
            return Ok(Event::Stream {
                client,
                name,
                call,
                event: UpstreamEvent::Stream(StreamEvent::Begin(Box::new(opening))),
            });
        }
        let is_upload = matches!(form.event, EventForm::Item | EventForm::Ended);
        if is_upload && form.upload.is_none() {
            return Err("it needs an `upload`, the name of one that a step of `stream` has opened".to_owned());
        }
        let kind = if is_upload { "upload" } else { "stream" };
        let known = self.known.get(&name).filter(|known| known.is_upload == is_upload);
        let Known { client, id, call, .. } =
            known.cloned().ok_or_else(|| format!("no step before has opened the {kind} \"{name}\""))?;
        let event = match form.event {
            EventForm::Item => {
                let item = item(form, speaks_messagepack(&client, script))?;
                StreamEvent::Item(Box::new(UploadedItem { upload: id, item, headers }))
            }
            EventForm::Ended => StreamEvent::Ended { upload: id, error: form.error.clone() },
            EventForm::Writable => {
                let StreamBounds { items, bytes, .. } = bounds(script);
                StreamEvent::Writable { stream: id, room: Room { items, bytes } }
            }
            _ => StreamEvent::Cancelled { stream: id },
        };
        Ok(Event::Stream { client, name, call, event: UpstreamEvent::Stream(event) })
    }

    fn open(
        &mut self,
        form: &StepForm,
        (client, name): (&str, &str),
        headers: Pairs,
        script: &Script,
    ) -> Result<Opening, String> {
        let target = form.target.as_deref().ok_or("a `stream` needs a `target`, the method's name")?;
        let connection = connection_id(client).ok_or_else(|| format!("\"{client}\" cannot be a client's name"))?;
        let answer = match form.answer {
            Some(AnswerForm::Items) => Expected::Items,
            Some(AnswerForm::Value) => Expected::Value,
            Some(AnswerForm::Nothing) => Expected::Nothing,
            None if form.uploads.is_empty() => Expected::Items,
            None => Expected::Value,
        };
        let id = self.number(connection);
        self.name(name, Known { client: client.to_owned(), id, call: id, is_upload: false })?;
        let mut uploads = Vec::with_capacity(form.uploads.len());
        for upload in &form.uploads {
            uploads.push(self.number(connection));
            let known = Known { client: client.to_owned(), id: uploads[uploads.len() - 1], call: id, is_upload: true };
            self.name(upload, known)?;
        }
        let arguments = arguments(form, speaks_messagepack(client, script))?;
        Ok(Opening { id, target: target.into(), arguments, uploads, answer, headers })
    }

    fn number(&mut self, connection: ConnectionId) -> StreamId {
        let number = self.numbers.entry(connection).or_default();
        *number += 1;
        StreamId { connection, number: *number }
    }

    fn name(&mut self, name: &str, known: Known) -> Result<(), String> {
        match self.known.insert(name.to_owned(), known) {
            None => Ok(()),
            Some(_) => Err(format!("another stream or upload is called \"{name}\": give this one a name of its own")),
        }
    }
}

/// How much may wait in a stream: as in a gateway, but for what the script says.
pub(super) fn bounds(script: &Script) -> StreamBounds {
    let default = StreamBounds::default();
    StreamBounds { items: script.settings.stream_items.unwrap_or(default.items), ..default }
}

fn item(form: &StepForm, as_messagepack: bool) -> Result<hubgate_wire::payload::Payload, String> {
    let item = Content::read("item", form.item.as_ref(), form.item_json.as_deref())?;
    spoken("item", &item.ok_or("it needs an `item`")?, as_messagepack)
}
