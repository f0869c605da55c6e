//! Hub messages in MessagePack.
//!
//! Source: ASP.NET Core SignalR hub protocol, "MessagePack (MsgPack) encoding"; error texts as its .NET implementation
//! writes them. Values are never interpreted: arguments, items and results keep the bytes that their writer gave them.

use std::borrow::Cow;

use super::framing::write_binary_message;
use super::message::{CompletionOutcome, Headers, HubMessage, Invocation, Unbindable};
use super::{MOST_HEADERS, MOST_STREAMS};
use crate::messagepack::{
    Reader, Unexpected, write_array, write_boolean, write_integer, write_map, write_optional_text, write_text,
};
use crate::payload::PayloadRef;

/// A ping as it goes onto the wire.
pub const PING: &[u8] = &[0x02, 0x91, 0x06];

const ERROR: i64 = 1;
const VOID: i64 = 2;
const RESULT: i64 = 3;

/// Why bytes are no hub message. Such bytes end the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMessage {
    #[error("Reading array length failed.")]
    NotAnArray,
    #[error("Reading '{field}' as {expected} failed.")]
    WrongType { field: Cow<'static, str>, expected: &'static str },
    #[error("Reading map length for 'headers' failed.")]
    HeadersNotAMap,
    #[error("Reading array length for 'streamIds' failed.")]
    StreamsNotAnArray,
    #[error("Null or empty {0} in header.")]
    EmptyHeader(&'static str),
    #[error("Null or empty target for {0} message.")]
    EmptyTarget(&'static str),
    #[error("Null or empty invocation ID for {0} message.")]
    EmptyId(&'static str),
    #[error("Null or empty value in streamIds received.")]
    EmptyStream,
    #[error("Invalid invocation result kind.")]
    UnknownOutcome,
    #[error("Reading '{0}' failed.")]
    BrokenValue(&'static str),
    #[error("The message has more than {MOST_HEADERS} headers.")]
    TooManyHeaders,
    #[error("The call uploads more than {MOST_STREAMS} streams.")]
    TooManyStreams,
}

/// Reads one message without its length. Elements that newer writers add behind the known ones are ignored.
pub fn parse(message: &[u8]) -> Result<HubMessage<'_>, MalformedMessage> {
    let mut fields = Fields { reader: Reader::new(message), left: 0 };
    fields.left = fields.reader.array().map_err(|_| MalformedMessage::NotAnArray)?;
    Ok(match fields.integer("messageType", "Int32")? {
        1 => fields.invocation("Invocation", HubMessage::Invocation)?,
        2 => HubMessage::StreamItem {
            headers: fields.headers()?,
            invocation_id: fields.id("StreamItem")?,
            item: fields.value("item")?,
        },
        3 => HubMessage::Completion {
            headers: fields.headers()?,
            invocation_id: fields.id("Completion")?,
            outcome: fields.outcome()?,
        },
        4 => fields.invocation("StreamInvocation", HubMessage::StreamInvocation)?,
        5 => HubMessage::CancelInvocation { headers: fields.headers()?, invocation_id: fields.id("CancelInvocation")? },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: fields.optional_text("error")?.map(Cow::Borrowed),
            // Older writers leave it out.
            allow_reconnect: match fields.left {
                0 => false,
                _ => fields.next(Reader::boolean).map_err(|_| wrong("allowReconnect", "Boolean"))?,
            },
        },
        8 => HubMessage::Ack { sequence_id: fields.integer("sequenceId", "Int64")? },
        9 => HubMessage::Sequence { sequence_id: fields.integer("sequenceId", "Int64")? },
        kind => HubMessage::Unknown { kind },
    })
}

/// The elements of a message that are not read yet.
struct Fields<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Fields<'a> {
    fn next<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unexpected>) -> Result<T, Unexpected> {
        // As in .NET, the array's length tells only whether optional elements are there.
        self.left = self.left.saturating_sub(1);
        read(&mut self.reader)
    }

    fn integer(&mut self, field: &'static str, expected: &'static str) -> Result<i64, MalformedMessage> {
        self.next(Reader::integer).map_err(|_| wrong(field, expected))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, MalformedMessage> {
        self.next(Reader::text).map_err(|_| wrong(field, "String"))
    }

    fn optional_text(&mut self, field: &'static str) -> Result<Option<&'a str>, MalformedMessage> {
        self.next(Reader::optional_text).map_err(|_| wrong(field, "String"))
    }

    fn value(&mut self, field: &'static str) -> Result<PayloadRef<'a>, MalformedMessage> {
        self.next(Reader::value).map(PayloadRef::MessagePack).map_err(|_| MalformedMessage::BrokenValue(field))
    }

    fn id(&mut self, message: &'static str) -> Result<Cow<'a, str>, MalformedMessage> {
        match self.optional_text("invocationId")? {
            Some(id) if !id.is_empty() => Ok(Cow::Borrowed(id)),
            Some(_) | None => Err(MalformedMessage::EmptyId(message)),
        }
    }

    fn headers(&mut self) -> Result<Headers<'a>, MalformedMessage> {
        let count = self.next(Reader::map).map_err(|_| MalformedMessage::HeadersNotAMap)?;
        let mut headers: Headers<'a> = Vec::new();
        for index in 0..count {
            let mut part = |part: &'static str, name: &'static str| match self.reader.text() {
                Ok("") => Err(MalformedMessage::EmptyHeader(name)),
                Ok(text) => Ok(text),
                Err(Unexpected) => {
                    let field = Cow::Owned(format!("headers[{index}].{part}"));
                    Err(MalformedMessage::WrongType { field, expected: "String" })
                }
            };
            let (name, value) = (part("Key", "key")?, part("Value", "value")?);
            match headers.iter().position(|(each, _)| *each == name) {
                // The last of equal ones counts, as in .NET.
                Some(earlier) => headers[earlier].1 = Cow::Borrowed(value),
                None if headers.len() == MOST_HEADERS => return Err(MalformedMessage::TooManyHeaders),
                None => headers.push((Cow::Borrowed(name), Cow::Borrowed(value))),
            }
        }
        Ok(headers)
    }

    fn invocation(
        &mut self,
        name: &'static str,
        message: fn(Invocation<'a>) -> HubMessage<'a>,
    ) -> Result<HubMessage<'a>, MalformedMessage> {
        let headers = self.headers()?;
        let invocation_id = match name {
            "Invocation" => self.optional_text("invocationId")?.filter(|id| !id.is_empty()).map(Cow::Borrowed),
            _ => Some(self.id(name)?),
        };
        let target = match self.text("target")? {
            "" => return Err(MalformedMessage::EmptyTarget(name)),
            target => Cow::Borrowed(target),
        };
        // Arguments that are no array fail the call, not the connection.
        let Ok(arguments) = self.next(arguments) else {
            let error = "Reading array length for 'arguments' failed.";
            return Ok(HubMessage::Unbindable(Unbindable { invocation_id, error }));
        };
        let stream_ids = match self.left {
            // Clients without streams leave them out.
            0 => Vec::new(),
            _ => self.stream_ids()?,
        };
        let arguments = PayloadRef::MessagePack(arguments);
        Ok(message(Invocation { headers, invocation_id, target, arguments, stream_ids }))
    }

    fn stream_ids(&mut self) -> Result<Vec<Cow<'a, str>>, MalformedMessage> {
        let count = self.next(Reader::array).map_err(|_| MalformedMessage::StreamsNotAnArray)?;
        if count > MOST_STREAMS {
            return Err(MalformedMessage::TooManyStreams);
        }
        let id = |_| match self.reader.text() {
            Ok("") => Err(MalformedMessage::EmptyStream),
            Ok(id) => Ok(Cow::Borrowed(id)),
            Err(Unexpected) => Err(wrong("streamIds", "String")),
        };
        (0..count).map(id).collect()
    }

    fn outcome(&mut self) -> Result<CompletionOutcome<'a>, MalformedMessage> {
        match self.integer("resultKind", "Int32")? {
            ERROR => Ok(CompletionOutcome::Error(Cow::Borrowed(self.text("error")?))),
            VOID => Ok(CompletionOutcome::Void),
            RESULT => Ok(CompletionOutcome::Result(self.value("result")?)),
            _ => Err(MalformedMessage::UnknownOutcome),
        }
    }
}

/// One array, as its own bytes.
fn arguments<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Unexpected> {
    reader.clone().array()?;
    reader.value()
}

fn wrong(field: &'static str, expected: &'static str) -> MalformedMessage {
    MalformedMessage::WrongType { field: Cow::Borrowed(field), expected }
}

/// Appends `message` with its length before it.
pub fn write(message: &HubMessage<'_>, out: &mut Vec<u8>) {
    write_binary_message(out, |out| match message {
        HubMessage::Invocation(invocation) => write_invocation(1, invocation, out),
        HubMessage::StreamItem { headers, invocation_id, item } => {
            begin(2, 4, headers, out);
            write_text(invocation_id, out);
            item.write_messagepack(out);
        }
        HubMessage::Completion { headers, invocation_id, outcome } => {
            write_outcome(headers, invocation_id, outcome, out)
        }
        HubMessage::StreamInvocation(invocation) => write_invocation(4, invocation, out),
        HubMessage::CancelInvocation { headers, invocation_id } => {
            begin(5, 3, headers, out);
            write_text(invocation_id, out);
        }
        HubMessage::Ping => write_kind(6, 1, out),
        HubMessage::Close { error, allow_reconnect } => {
            write_kind(7, 3, out);
            write_optional_text(error.as_deref(), out);
            write_boolean(*allow_reconnect, out);
        }
        HubMessage::Ack { sequence_id } => {
            write_kind(8, 2, out);
            write_integer(*sequence_id, out);
        }
        HubMessage::Sequence { sequence_id } => {
            write_kind(9, 2, out);
            write_integer(*sequence_id, out);
        }
        HubMessage::Unbindable(_) => unreachable!("it is what a reader makes of a message; nobody sends it"),
        HubMessage::Unknown { kind } => write_kind(*kind, 1, out),
    });
}

fn write_kind(kind: i64, fields: usize, out: &mut Vec<u8>) {
    write_array(fields, out);
    write_integer(kind, out);
}

fn begin(kind: i64, fields: usize, headers: &Headers<'_>, out: &mut Vec<u8>) {
    write_kind(kind, fields, out);
    write_map(headers.len(), out);
    for (name, value) in headers {
        write_text(name, out);
        write_text(value, out);
    }
}

fn write_invocation(kind: i64, invocation: &Invocation<'_>, out: &mut Vec<u8>) {
    begin(kind, 6, &invocation.headers, out);
    write_optional_text(invocation.invocation_id.as_deref(), out);
    write_text(&invocation.target, out);
    invocation.arguments.write_messagepack(out);
    write_array(invocation.stream_ids.len(), out);
    for id in &invocation.stream_ids {
        write_text(id, out);
    }
}

fn write_outcome(headers: &Headers<'_>, id: &str, outcome: &CompletionOutcome<'_>, out: &mut Vec<u8>) {
    let (kind, fields) = match outcome {
        CompletionOutcome::Error(_) => (ERROR, 5),
        CompletionOutcome::Void => (VOID, 4),
        CompletionOutcome::Result(_) => (RESULT, 5),
    };
    begin(3, fields, headers, out);
    write_text(id, out);
    write_integer(kind, out);
    match outcome {
        CompletionOutcome::Error(error) => write_text(error, out),
        CompletionOutcome::Void => {}
        CompletionOutcome::Result(result) => result.write_messagepack(out),
    }
}
