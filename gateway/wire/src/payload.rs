//! The values that calls carry: arguments and results.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::depth::{self, DEEPEST_PAYLOAD};

/// The arguments of a call (one array) or one result, as text or bytes that nothing in the gateway re-reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Valid JSON text, numbers as their writer wrote them.
    Json(JsonText),
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
        let text = std::str::from_utf8(&bytes)?;
        serde_json::from_str::<&RawValue>(text)?;
        match depth::is_within(text, DEEPEST_PAYLOAD) {
            true => Ok(JsonText(bytes)),
            false => Err(NotJson::TooDeep),
        }
    }

    /// Takes `text` if it is exactly one JSON array, as arguments must be.
    pub fn parse_array(text: impl Into<Bytes>) -> Result<JsonText, NotJson> {
        let json = JsonText::parse(text)?;
        match json.as_str().trim_start().starts_with('[') {
            true => Ok(json),
            false => Err(NotJson::NotAnArray),
        }
    }

    /// Takes a value that a JSON reader has already checked.
    pub fn from_raw(raw: &RawValue) -> JsonText {
        JsonText(Bytes::copy_from_slice(raw.get().as_bytes()))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a JSON reader accepted it, so it is UTF-8")
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
        assert!(JsonText::parse(nested(DEEPEST_PAYLOAD)).is_ok());
        assert!(matches!(JsonText::parse_array(nested(DEEPEST_PAYLOAD + 1)), Err(NotJson::TooDeep)));
        assert!(matches!(JsonText::parse(nested(1_000_000)), Err(NotJson::TooDeep)));
    }
}
