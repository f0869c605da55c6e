//! The values that calls carry: arguments and results.

mod convert;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::depth::{self, DEEPEST_PAYLOAD};
use crate::messagepack::{Head, Reader};

/// The arguments of a call (one array) or one result, as text or bytes that nothing in the gateway re-reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Valid JSON text, numbers as their writer wrote them.
    Json(JsonText),
    /// One MessagePack value, without a length before it.
    MessagePack(MessagePackValue),
}

impl Payload {
    /// No arguments.
    pub fn no_arguments() -> Payload {
        Payload::Json(JsonText(Bytes::from_static(b"[]")))
    }

    pub fn borrow(&self) -> PayloadRef<'_> {
        match self {
            Payload::Json(json) => PayloadRef::Json(json.as_str()),
            Payload::MessagePack(value) => PayloadRef::MessagePack(value.as_bytes()),
        }
    }
}

/// A [`Payload`] in the text or bytes that it was read from.
#[derive(Clone, Copy)]
pub enum PayloadRef<'a> {
    Json(&'a str),
    MessagePack(&'a [u8]),
}

impl<'a> PayloadRef<'a> {
    /// A copy that outlives the text or bytes.
    pub fn to_payload(self) -> Payload {
        match self {
            PayloadRef::Json(text) => Payload::Json(JsonText(Bytes::copy_from_slice(text.as_bytes()))),
            PayloadRef::MessagePack(bytes) => Payload::MessagePack(MessagePackValue(Bytes::copy_from_slice(bytes))),
        }
    }

    /// Its size as it is, in bytes.
    pub fn len(self) -> usize {
        match self {
            PayloadRef::Json(text) => text.len(),
            PayloadRef::MessagePack(bytes) => bytes.len(),
        }
    }

    /// Whether it is one array, as arguments are.
    pub fn is_array(self) -> bool {
        match self {
            PayloadRef::Json(text) => text.trim_start().starts_with('['),
            PayloadRef::MessagePack(bytes) => matches!(Reader::new(bytes).head(), Ok(Head::Array(_))),
        }
    }

    /// Never true of a valid value.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value as JSON text: as it is, or converted.
    pub fn to_json(self) -> Cow<'a, str> {
        match self {
            PayloadRef::Json(text) => Cow::Borrowed(text),
            PayloadRef::MessagePack(bytes) => {
                let mut out = Vec::with_capacity(2 * bytes.len());
                convert::messagepack_to_json(bytes, &mut out);
                Cow::Owned(String::from_utf8(out).expect("the converter writes UTF-8"))
            }
        }
    }

    /// Appends the value as JSON text.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            PayloadRef::Json(text) => out.extend_from_slice(text.as_bytes()),
            PayloadRef::MessagePack(bytes) => convert::messagepack_to_json(bytes, out),
        }
    }

    /// Appends the value in MessagePack.
    pub fn write_messagepack(self, out: &mut Vec<u8>) {
        match self {
            PayloadRef::Json(text) => convert::json_to_messagepack(text, out),
            PayloadRef::MessagePack(bytes) => out.extend_from_slice(bytes),
        }
    }
}

impl fmt::Debug for PayloadRef<'_> {
    /// Its length alone: what clients say to each other is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadRef({} bytes)", self.len())
    }
}

/// One valid JSON value as its writer wrote it. Holds no raw 0x1E, since JSON text cannot.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Bytes);

impl fmt::Debug for JsonText {
    /// Its length alone: what clients say to each other is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.0.len())
    }
}

/// Why a text cannot be a [`JsonText`].
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    #[error("is not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("is not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
    #[error("must be a JSON array")]
    NotAnArray,
    #[error("nests deeper than {DEEPEST_PAYLOAD} levels, which clients do not read")]
    TooDeep,
}

impl JsonText {
    /// Takes `text` if it is exactly one JSON value that a hub message can carry.
    pub fn parse(text: impl Into<Bytes>) -> Result<JsonText, NotJson> {
        let bytes = text.into();
        // Checked once: a reader of bytes would check each value again.
        check_json(std::str::from_utf8(&bytes)?)?;
        Ok(JsonText(bytes))
    }

    /// The same for a text that is known to be UTF-8.
    pub fn parse_text(text: impl Into<Bytes> + AsRef<str>) -> Result<JsonText, NotJson> {
        check_json(text.as_ref())?;
        Ok(JsonText(text.into()))
    }

    /// Takes `text` if it is exactly one JSON array, as arguments must be.
    pub fn parse_array(text: impl Into<Bytes>) -> Result<JsonText, NotJson> {
        let json = JsonText::parse(text)?;
        match PayloadRef::Json(json.as_str()).is_array() {
            true => Ok(json),
            false => Err(NotJson::NotAnArray),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a JSON reader accepted it, so it is UTF-8")
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether `text` is exactly one JSON value that a hub message can carry.
#[inline]
fn check_json(text: &str) -> Result<(), NotJson> {
    serde_json::from_str::<&RawValue>(text)?;
    match depth::is_within(text, DEEPEST_PAYLOAD) {
        true => Ok(()),
        false => Err(NotJson::TooDeep),
    }
}

/// One whole MessagePack value as its writer wrote it, which nests no deeper than a hub message can carry.
#[derive(Clone, PartialEq, Eq)]
pub struct MessagePackValue(Bytes);

impl fmt::Debug for MessagePackValue {
    /// Its length alone: what clients say to each other is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessagePackValue({} bytes)", self.0.len())
    }
}

/// Why bytes cannot be a [`MessagePackValue`].
#[derive(Debug, thiserror::Error)]
pub enum NotMessagePack {
    #[error("is not one MessagePack value, or nests deeper than {DEEPEST_PAYLOAD} levels")]
    Malformed,
    #[error("must be a MessagePack array")]
    NotAnArray,
}

impl MessagePackValue {
    /// Takes `bytes` if they are exactly one value.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<MessagePackValue, NotMessagePack> {
        let bytes = bytes.into();
        match Reader::new(&bytes).value() {
            Ok(value) if value.len() == bytes.len() => Ok(MessagePackValue(bytes)),
            Ok(_) | Err(_) => Err(NotMessagePack::Malformed),
        }
    }

    /// Takes `bytes` if they are exactly one array, as arguments must be.
    pub fn parse_array(bytes: impl Into<Bytes>) -> Result<MessagePackValue, NotMessagePack> {
        let value = MessagePackValue::parse(bytes)?;
        match PayloadRef::MessagePack(&value.0).is_array() {
            true => Ok(value),
            false => Err(NotMessagePack::NotAnArray),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_nest_as_deep_as_a_message_can_carry() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(JsonText::parse_text(nested(DEEPEST_PAYLOAD)).is_ok());
        assert!(matches!(JsonText::parse_text(nested(DEEPEST_PAYLOAD + 1)), Err(NotJson::TooDeep)));
        assert!(matches!(JsonText::parse_text("[1] 2"), Err(NotJson::Syntax(_))));
        assert!(JsonText::parse(nested(DEEPEST_PAYLOAD)).is_ok());
        assert!(matches!(JsonText::parse_array(nested(DEEPEST_PAYLOAD + 1)), Err(NotJson::TooDeep)));
        assert!(matches!(JsonText::parse(nested(1_000_000)), Err(NotJson::TooDeep)));
    }

    #[test]
    fn a_messagepack_value_is_whole_and_alone() {
        assert!(MessagePackValue::parse(&b"\x93\x01\xc0\xa1a"[..]).is_ok());
        assert!(matches!(MessagePackValue::parse(&b"\x93\x01\xc0"[..]), Err(NotMessagePack::Malformed)));
        assert!(matches!(MessagePackValue::parse(&b"\xc0\xc0"[..]), Err(NotMessagePack::Malformed)));
        assert!(matches!(MessagePackValue::parse_array(&b"\x80"[..]), Err(NotMessagePack::NotAnArray)));
    }
}
