//! What is sent: arguments and results, and messages to clients.

use bytes::Bytes;
use hubgate_core::question::ClientQuestion;
use hubgate_core::{Answerable, Content, Outgoing};
use hubgate_wire::messagepack::{
    length_of_array, length_of_binary, length_of_text, write_array, write_binary, write_nil, write_text,
};
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload};
use hubgate_wire::signalr::HubProtocol;

use crate::field::{Field, Source, Unreadable, record, write_optional};

record!(ClientQuestion { connection, caller, origin, method, arguments } if has_arguments);
record!(Answerable { headers, invocation_id });

fn has_arguments(question: &ClientQuestion) -> bool {
    question.arguments.borrow().is_array()
}

/// JSON is a text, MessagePack is bytes.
impl Field for Payload {
    fn length(&self) -> usize {
        match self {
            Payload::Json(json) => length_of_text(json.as_bytes().len()),
            Payload::MessagePack(value) => length_of_binary(value.as_bytes().len()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Payload::Json(json) => write_text(json.as_str(), out),
            Payload::MessagePack(value) => write_binary(value.as_bytes(), out),
        }
    }

    fn read(source: &mut Source<'_>) -> Result<Payload, Unreadable> {
        let mut ahead = source.reader;
        let payload = match ahead.binary() {
            Ok(bytes) => {
                source.reader = ahead;
                MessagePackValue::parse(source.share(bytes)).ok().map(Payload::MessagePack)
            }
            // Whether it is UTF-8 is looked at with the JSON.
            Err(_) => {
                let text = source.reader.text_bytes()?;
                JsonText::parse(source.share(text)).ok().map(Payload::Json)
            }
        };
        payload.ok_or(Unreadable::Malformed)
    }
}

/// The numbers of the kinds of messages.
const CALL: u64 = 0;
const ENCODED: u64 = 1;
const ITEM: u64 = 2;
const COMPLETION: u64 = 3;
/// What each kind consists of, beside its number.
const CALL_PARTS: usize = 3;
const ENCODED_PARTS: usize = 1;
const ITEM_PARTS: usize = 2;
const COMPLETION_PARTS: usize = 3;

/// A call has its arguments as its sender has encoded them. Of other messages there is an array of names of protocols and messages, in turn.
impl Field for Outgoing {
    fn length(&self) -> usize {
        match self.content() {
            Content::Call { method, arguments, answer } => {
                let parts = length_of_text(method.len()) + arguments.length() + answer.map_or(1, Field::length);
                length_of_array(1 + CALL_PARTS) + CALL.length() + parts
            }
            Content::Item { stream, item } => {
                let parts = length_of_text(stream.len()) + item.length();
                length_of_array(1 + ITEM_PARTS) + ITEM.length() + parts
            }
            Content::Completion { id, result, error } => {
                let error = error.map_or(1, |error| length_of_text(error.len()));
                let parts = length_of_text(id.len()) + result.map_or(1, Field::length) + error;
                length_of_array(1 + COMPLETION_PARTS) + COMPLETION.length() + parts
            }
            Content::Encoded => {
                let length = |(protocol, message): (HubProtocol, Bytes)| {
                    length_of_text(protocol.name().len()) + length_of_binary(message.len())
                };
                let messages: usize = encoded(self).map(length).sum();
                let head = length_of_array(1 + ENCODED_PARTS) + ENCODED.length();
                head + length_of_array(2 * encoded(self).count()) + messages
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self.content() {
            Content::Call { method, arguments, answer } => {
                write_array(1 + CALL_PARTS, out);
                CALL.write(out);
                write_text(method, out);
                arguments.write(out);
                write_optional(answer, out);
            }
            Content::Item { stream, item } => {
                write_array(1 + ITEM_PARTS, out);
                ITEM.write(out);
                write_text(stream, out);
                item.write(out);
            }
            Content::Completion { id, result, error } => {
                write_array(1 + COMPLETION_PARTS, out);
                COMPLETION.write(out);
                write_text(id, out);
                write_optional(result, out);
                match error {
                    Some(error) => write_text(error, out),
                    None => write_nil(out),
                }
            }
            Content::Encoded => {
                write_array(1 + ENCODED_PARTS, out);
                ENCODED.write(out);
                write_array(2 * encoded(self).count(), out);
                for (protocol, message) in encoded(self) {
                    write_text(protocol.name(), out);
                    write_binary(&message, out);
                }
            }
        }
    }

    fn read(source: &mut Source<'_>) -> Result<Outgoing, Unreadable> {
        let elements = source.reader.array()?.saturating_sub(1);
        match source.reader.unsigned()? {
            CALL => source.elements(elements, CALL_PARTS, |source| {
                let (method, arguments, answer) = (Field::read(source)?, Payload::read(source)?, Field::read(source)?);
                match arguments.borrow().is_array() {
                    true => Ok(Outgoing::new(method, arguments, answer)),
                    false => Err(Unreadable::Malformed),
                }
            }),
            ITEM => source.elements(elements, ITEM_PARTS, |source| {
                let (stream, item) = (source.reader.text()?.to_owned(), Payload::read(source)?);
                Ok(Outgoing::stream_item(&stream, item))
            }),
            COMPLETION => source.elements(elements, COMPLETION_PARTS, |source| {
                let (id, result) = (source.reader.text()?.to_owned(), Field::read(source)?);
                let error = source.reader.optional_text()?.map(str::to_owned);
                Ok(Outgoing::completion(&id, result, error))
            }),
            ENCODED => source.elements(elements, ENCODED_PARTS, read_encoded),
            number => Err(Unreadable::Unknown { number }),
        }
    }
}

/// What the sender of a message has encoded.
fn encoded(message: &Outgoing) -> impl Iterator<Item = (HubProtocol, Bytes)> {
    HubProtocol::ALL.into_iter().filter_map(|protocol| Some((protocol, message.frame(protocol)?.payload())))
}

/// No client here speaks protocols that only newer nodes know.
fn read_encoded(source: &mut Source<'_>) -> Result<Outgoing, Unreadable> {
    let count = source.reader.array()?;
    if count % 2 > 0 {
        return Err(Unreadable::Malformed);
    }
    let mut messages = [None; HubProtocol::COUNT];
    for _ in 0..count / 2 {
        let (name, message) = (source.reader.text()?, source.reader.binary()?);
        if let Some(protocol) = HubProtocol::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name))
        {
            messages[protocol as usize] = Some(message);
        }
    }
    let message = |protocol: HubProtocol| Some((protocol, messages[protocol as usize]?));
    Ok(Outgoing::encoded(HubProtocol::ALL.into_iter().filter_map(message)))
}
