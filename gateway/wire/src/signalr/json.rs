//! Hub messages as JSON text.
//!
//! Source: ASP.NET Core SignalR hub protocol, "JSON Encoding"; error texts as its .NET implementation writes them.
//! Values are never interpreted: arguments, items and results keep the text that their writer gave them. Nothing in here
//! recurses, and what is kept of a message is in proportion to its length, apart from lists whose length is limited.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::framing::RECORD_SEPARATOR;
use super::message::{CompletionOutcome, Headers, HubMessage, Invocation};
use super::{MOST_HEADERS, MOST_STREAMS};
use crate::depth::{self, DEEPEST_MESSAGE};
use crate::payload::PayloadRef;

/// The kinds of JSON values, as .NET names them in its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    Array,
    Boolean,
    Null,
    Number,
    Object,
    String,
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a text is no hub message. Such a text ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMessage {
    #[error("Error reading JSON.")]
    NotJson,
    #[error("Error reading JSON: it nests deeper than {DEEPEST_MESSAGE} levels.")]
    TooDeep,
    #[error("Unexpected JSON Token Type '{0}'. Expected a JSON Object.")]
    NotAnObject(TokenType),
    #[error("Missing required property '{0}'.")]
    Missing(&'static str),
    #[error("The property '{0}' is repeated.")]
    Repeated(&'static str),
    #[error("Expected '{property}' to be of type {expected}.")]
    WrongType { property: &'static str, expected: TokenType },
    #[error("Expected header '{0}' to be of type String.")]
    HeaderNotText(String),
    #[error("The message has more than {MOST_HEADERS} headers.")]
    TooManyHeaders,
    #[error("The call uploads more than {MOST_STREAMS} streams.")]
    TooManyStreams,
    #[error("The 'error' and 'result' properties are mutually exclusive.")]
    ErrorAndResult,
}

/// Reads one message without its separator.
pub fn parse(message: &[u8]) -> Result<HubMessage<'_>, MalformedMessage> {
    let fields = Fields::parse(message)?;
    let kind = fields.kind.ok_or(MalformedMessage::Missing("type"))?;
    let kind: i64 = kind.get().parse().map_err(|_| wrong("type", TokenType::Number))?;
    Ok(match kind {
        1 => HubMessage::Invocation(fields.invocation(fields.optional_id()?)?),
        2 => HubMessage::StreamItem {
            invocation_id: fields.id()?,
            item: PayloadRef::Json(fields.item.ok_or(MalformedMessage::Missing("item"))?.get()),
            headers: fields.headers()?,
        },
        3 => HubMessage::Completion {
            invocation_id: fields.id()?,
            outcome: fields.outcome()?,
            headers: fields.headers()?,
        },
        4 => HubMessage::StreamInvocation(fields.invocation(Some(fields.id()?))?),
        5 => HubMessage::CancelInvocation { invocation_id: fields.id()?, headers: fields.headers()? },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: fields.error.map(|raw| text("error", raw)).transpose()?,
            allow_reconnect: fields.allow_reconnect.map(boolean).transpose()?.unwrap_or(false),
        },
        8 => HubMessage::Ack { sequence_id: fields.sequence_id()? },
        9 => HubMessage::Sequence { sequence_id: fields.sequence_id()? },
        kind => HubMessage::Unknown { kind },
    })
}

/// The properties of a message before it is known which of them count.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    invocation_id: Option<&'a RawValue>,
    target: Option<&'a RawValue>,
    arguments: Option<&'a RawValue>,
    stream_ids: Option<&'a RawValue>,
    item: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    allow_reconnect: Option<&'a RawValue>,
    sequence_id: Option<&'a RawValue>,
}

const PROPERTIES: [&str; 11] = [
    "type",
    "headers",
    "invocationId",
    "target",
    "arguments",
    "streamIds",
    "item",
    "result",
    "error",
    "allowReconnect",
    "sequenceId",
];

impl<'a> Fields<'a> {
    fn parse(message: &'a [u8]) -> Result<Fields<'a>, MalformedMessage> {
        // Headers are checked as they are met: their error is the one reported, even if the text is broken behind them.
        let check = |property: &str, value: &RawValue| match property {
            "headers" => read_headers(value).map(drop),
            _ => Ok(()),
        };
        let values = Object::parse(message, &PROPERTIES, check).map_err(|error| match error {
            ObjectError::Syntax => MalformedMessage::NotJson,
            ObjectError::TooDeep => MalformedMessage::TooDeep,
            ObjectError::NotAnObject(token) => MalformedMessage::NotAnObject(token),
            ObjectError::Repeated(property) => MalformedMessage::Repeated(property),
            ObjectError::Property(error) => error,
        })?;
        let [
            kind,
            headers,
            invocation_id,
            target,
            arguments,
            stream_ids,
            item,
            result,
            error,
            allow_reconnect,
            sequence_id,
        ] = values;
        Ok(Fields {
            kind,
            headers,
            invocation_id,
            target,
            arguments,
            stream_ids,
            item,
            result,
            error,
            allow_reconnect,
            sequence_id,
        })
    }

    fn headers(&self) -> Result<Headers<'a>, MalformedMessage> {
        self.headers.map_or(Ok(Vec::new()), read_headers)
    }

    fn optional_id(&self) -> Result<Option<Cow<'a, str>>, MalformedMessage> {
        self.invocation_id.map(|raw| text("invocationId", raw)).transpose()
    }

    fn id(&self) -> Result<Cow<'a, str>, MalformedMessage> {
        self.optional_id()?.ok_or(MalformedMessage::Missing("invocationId"))
    }

    fn invocation(&self, invocation_id: Option<Cow<'a, str>>) -> Result<Invocation<'a>, MalformedMessage> {
        let target = self.target.ok_or(MalformedMessage::Missing("target"))?;
        let target = text("target", target)?;
        let arguments = self.arguments.ok_or(MalformedMessage::Missing("arguments"))?;
        if token_type(arguments) != TokenType::Array {
            return Err(wrong("arguments", TokenType::Array));
        }
        let stream_ids = match self.stream_ids {
            None => Vec::new(),
            Some(raw) => stream_ids(raw)?,
        };
        let arguments = PayloadRef::Json(arguments.get());
        Ok(Invocation { headers: self.headers()?, invocation_id, target, arguments, stream_ids })
    }

    fn outcome(&self) -> Result<CompletionOutcome<'a>, MalformedMessage> {
        // Writers that always have both properties say null for the one that is not meant.
        let error = self.error.filter(|error| token_type(error) != TokenType::Null);
        match (self.result, error) {
            (None, None) => Ok(CompletionOutcome::Void),
            (Some(result), None) => Ok(CompletionOutcome::Result(PayloadRef::Json(result.get()))),
            (None, Some(error)) => Ok(CompletionOutcome::Error(text("error", error)?)),
            (Some(_), Some(_)) => Err(MalformedMessage::ErrorAndResult),
        }
    }

    fn sequence_id(&self) -> Result<i64, MalformedMessage> {
        let raw = self.sequence_id.ok_or(MalformedMessage::Missing("sequenceId"))?;
        raw.get().parse().map_err(|_| wrong("sequenceId", TokenType::Number))
    }
}

fn wrong(property: &'static str, expected: TokenType) -> MalformedMessage {
    MalformedMessage::WrongType { property, expected }
}

fn text<'a>(property: &'static str, raw: &'a RawValue) -> Result<Cow<'a, str>, MalformedMessage> {
    string(raw).ok_or(wrong(property, TokenType::String))
}

fn boolean(raw: &RawValue) -> Result<bool, MalformedMessage> {
    raw.get().parse().map_err(|_| wrong("allowReconnect", TokenType::Boolean))
}

fn stream_ids(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, MalformedMessage> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    let ids = reader.deserialize_seq(StreamIds).map_err(|_| wrong("streamIds", TokenType::Array))?;
    if ids.len() > MOST_STREAMS {
        return Err(MalformedMessage::TooManyStreams);
    }
    ids.into_iter().map(|id| text("streamIds", id)).collect()
}

/// The first elements of a list: one more than there may be.
struct StreamIds;

impl<'a> Visitor<'a> for StreamIds {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of streams")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut list: S) -> Result<Vec<&'a RawValue>, S::Error> {
        let mut ids = Vec::new();
        while let Some(id) = list.next_element()? {
            if ids.len() <= MOST_STREAMS {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

fn read_headers(raw: &RawValue) -> Result<Headers<'_>, MalformedMessage> {
    let mut headers: Headers<'_> = Vec::new();
    let entries = Entries(|name: Cow<'_, str>, value| {
        let Some(value) = string(value) else {
            return Err(ObjectError::Property(MalformedMessage::HeaderNotText(name.into_owned())));
        };
        match headers.iter().position(|(each, _)| *each == name) {
            // The last of equal ones counts, as in .NET.
            Some(earlier) => headers[earlier].1 = value,
            None if headers.len() == MOST_HEADERS => {
                return Err(ObjectError::Property(MalformedMessage::TooManyHeaders));
            }
            // The names borrow from the text only where it holds no escapes; they are rare enough to be copied.
            None => headers.push((Cow::Owned(name.into_owned()), value)),
        }
        Ok(())
    });
    entries.read(raw.get()).map_err(|error| match error {
        ObjectError::Property(error) => error,
        ObjectError::Syntax | ObjectError::TooDeep | ObjectError::NotAnObject(_) | ObjectError::Repeated(_) => {
            wrong("headers", TokenType::Object)
        }
    })?;
    Ok(headers)
}

/// The text of a JSON string, without a copy where it holds no escapes; `None` for any other value.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
    }
}

fn token_type(raw: &RawValue) -> TokenType {
    token_type_of(raw.get().as_bytes()).expect("a value has a first character")
}

fn token_type_of(text: &[u8]) -> Option<TokenType> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    Some(match first {
        b'{' => TokenType::Object,
        b'[' => TokenType::Array,
        b'"' => TokenType::String,
        b'n' => TokenType::Null,
        b't' | b'f' => TokenType::Boolean,
        _ => TokenType::Number,
    })
}

/// Reads chosen properties of one JSON object.
pub(super) struct Object;

/// Why a text is not the object that is asked for; `E` is the error of a property's own check.
pub(super) enum ObjectError<E> {
    Syntax,
    TooDeep,
    NotAnObject(TokenType),
    /// A property that is asked for is there more than once.
    Repeated(&'static str),
    Property(E),
}

impl Object {
    /// The values of `properties`, in their order. Others are ignored. One that is repeated is refused: of equal ones readers take
    /// the first or the last, .NET even what stands before another one, and filters must see what whoever answers takes.
    pub(super) fn parse<'a, const N: usize, E>(
        text: &'a [u8],
        properties: &[&'static str; N],
        mut check: impl FnMut(&str, &RawValue) -> Result<(), E>,
    ) -> Result<[Option<&'a RawValue>; N], ObjectError<E>> {
        // Checked once: a reader of bytes would check each value again.
        let text = std::str::from_utf8(text).map_err(|_| ObjectError::Syntax)?;
        if !depth::is_within(text, DEEPEST_MESSAGE) {
            return Err(ObjectError::TooDeep);
        }
        let mut values = [None; N];
        let entries = Entries(|name: Cow<'_, str>, value| {
            if let Some(index) = properties.iter().position(|property| *property == name) {
                check(properties[index], value).map_err(ObjectError::Property)?;
                if values[index].replace(value).is_some() {
                    return Err(ObjectError::Repeated(properties[index]));
                }
            }
            Ok(())
        });
        entries.read(text)?;
        Ok(values)
    }
}

/// Hands each entry of an object to a function, which may refuse it.
struct Entries<F>(F);

impl<F> Entries<F> {
    fn read<'a, E>(self, text: &'a str) -> Result<(), ObjectError<E>>
    where
        F: FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), ObjectError<E>>,
    {
        match token_type_of(text.as_bytes()) {
            Some(TokenType::Object) => {}
            // What is no JSON at all is reported as such, whatever its first character looks like.
            Some(token) if serde_json::from_str::<&RawValue>(text).is_ok() => {
                return Err(ObjectError::NotAnObject(token));
            }
            _ => return Err(ObjectError::Syntax),
        }
        let refusal = Cell::new(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = EntrySeed { each: self.0, refusal: &refusal }.deserialize(&mut reader).and_then(|()| reader.end());
        match (read, refusal.into_inner()) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(refusal)) => Err(refusal),
            (Err(_), None) => Err(ObjectError::Syntax),
        }
    }
}

struct EntrySeed<'c, F, E> {
    each: F,
    refusal: &'c Cell<Option<ObjectError<E>>>,
}

impl<'a, F, E> DeserializeSeed<'a> for EntrySeed<'_, F, E>
where
    F: FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), ObjectError<E>>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, F, E> Visitor<'a> for EntrySeed<'_, F, E>
where
    F: FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), ObjectError<E>>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let value = map.next_value()?;
            if let Err(refusal) = (self.each)(name, value) {
                self.refusal.set(Some(refusal));
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// A property's name, borrowed where it holds no escapes.
struct NameSeed;

impl<'a> DeserializeSeed<'a> for NameSeed {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for NameSeed {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Appends `message` with its separator, properties in the order in which .NET writes them.
pub fn write(message: &HubMessage<'_>, out: &mut Vec<u8>) {
    match message {
        HubMessage::Invocation(invocation) => write_invocation(1, invocation, out),
        HubMessage::StreamItem { headers, invocation_id, item } => {
            begin(2, headers, Some(invocation_id), out);
            value_property("item", *item, out);
        }
        HubMessage::Completion { headers, invocation_id, outcome } => {
            begin(3, headers, Some(invocation_id), out);
            match outcome {
                CompletionOutcome::Void => {}
                CompletionOutcome::Result(result) => value_property("result", *result, out),
                CompletionOutcome::Error(error) => text_property("error", error, out),
            }
        }
        HubMessage::StreamInvocation(invocation) => write_invocation(4, invocation, out),
        HubMessage::CancelInvocation { headers, invocation_id } => begin(5, headers, Some(invocation_id), out),
        HubMessage::Ping => begin(6, &[], None, out),
        HubMessage::Close { error, allow_reconnect } => {
            begin(7, &[], None, out);
            if let Some(error) = error {
                text_property("error", error, out);
            }
            if *allow_reconnect {
                raw_property("allowReconnect", "true", out);
            }
        }
        HubMessage::Ack { sequence_id } => write_sequence(8, *sequence_id, out),
        HubMessage::Sequence { sequence_id } => write_sequence(9, *sequence_id, out),
        HubMessage::Unbindable(_) => unreachable!("it is what a reader makes of a message; nobody sends it"),
        HubMessage::Unknown { kind } => begin(*kind, &[], None, out),
    }
    end(out);
}

fn write_invocation(kind: i64, invocation: &Invocation<'_>, out: &mut Vec<u8>) {
    begin(kind, &invocation.headers, invocation.invocation_id.as_deref(), out);
    text_property("target", &invocation.target, out);
    value_property("arguments", invocation.arguments, out);
    if !invocation.stream_ids.is_empty() {
        name("streamIds", out);
        json(&invocation.stream_ids, out);
    }
}

fn write_sequence(kind: i64, sequence_id: i64, out: &mut Vec<u8>) {
    begin(kind, &[], None, out);
    raw_property("sequenceId", &sequence_id.to_string(), out);
}

fn begin(kind: i64, headers: &[(Cow<'_, str>, Cow<'_, str>)], invocation_id: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":");
    match u8::try_from(kind) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit),
        _ => out.extend_from_slice(kind.to_string().as_bytes()),
    }
    if !headers.is_empty() {
        name("headers", out);
        out.push(b'{');
        for (index, (header, value)) in headers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json(header, out);
            out.push(b':');
            json(value, out);
        }
        out.push(b'}');
    }
    if let Some(id) = invocation_id {
        text_property("invocationId", id, out);
    }
}

fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'}', RECORD_SEPARATOR]);
}

fn name(property: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(property.as_bytes());
    out.extend_from_slice(b"\":");
}

fn raw_property(property: &str, value: &str, out: &mut Vec<u8>) {
    name(property, out);
    out.extend_from_slice(value.as_bytes());
}

fn value_property(property: &str, value: PayloadRef<'_>, out: &mut Vec<u8>) {
    name(property, out);
    value.write_json(out);
}

fn text_property(property: &str, value: &str, out: &mut Vec<u8>) {
    name(property, out);
    json(value, out);
}

fn json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("texts and lists of texts are JSON");
}

#[cfg(test)]
mod tests;
