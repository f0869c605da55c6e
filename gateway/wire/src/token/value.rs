//! The claims of a token as they stand in it. Numbers keep their text: digits beyond what a float holds tell users apart.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::depth::{DEEPEST_MESSAGE, is_within};

/// The latest time that a claim may name, in seconds since 1970: the end of the year 9999, as far as .NET's dates go. What
/// is later is a mistake, such as milliseconds, that would make a token valid for ever.
pub(super) const LATEST_TIME: u64 = 253_402_300_799;

/// The value of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimValue {
    Null,
    Text(String),
    /// A number, `true` or `false`, as JSON.
    Literal(Box<str>),
    List(Vec<ClaimValue>),
    /// An object, or a list in a list, as JSON without white space.
    Nested(Box<str>),
}

impl ClaimValue {
    fn parse(json: &str) -> serde_json::Result<ClaimValue> {
        Ok(match json.as_bytes() {
            [b'[', ..] => {
                let elements: Vec<&RawValue> = serde_json::from_str(json)?;
                let elements = elements.into_iter().map(|element| ClaimValue::parse_element(element.get()));
                ClaimValue::List(elements.collect::<serde_json::Result<_>>()?)
            }
            _ => ClaimValue::parse_element(json)?,
        })
    }

    fn parse_element(json: &str) -> serde_json::Result<ClaimValue> {
        Ok(match json.as_bytes() {
            [b'n', ..] => ClaimValue::Null,
            [b'"', ..] => ClaimValue::Text(serde_json::from_str(json)?),
            [b'[' | b'{', ..] => ClaimValue::Nested(without_white_space(json)),
            _ => ClaimValue::Literal(json.into()),
        })
    }

    /// The elements of a list, or the value itself.
    pub(super) fn elements(&self) -> &[ClaimValue] {
        match self {
            ClaimValue::List(elements) => elements,
            value => std::slice::from_ref(value),
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            ClaimValue::Text(text) => Some(text),
            ClaimValue::Null | ClaimValue::Literal(_) | ClaimValue::List(_) | ClaimValue::Nested(_) => None,
        }
    }

    /// The claim's value as .NET has it, which is always a text: of texts the text itself, of others the JSON. `None` for
    /// `null`, which is as good as no claim, and for lists, which are several claims.
    pub(super) fn as_claim(&self) -> Option<&str> {
        match self {
            ClaimValue::Text(text) => Some(text),
            ClaimValue::Literal(json) | ClaimValue::Nested(json) => Some(json),
            ClaimValue::Null | ClaimValue::List(_) => None,
        }
    }

    /// A time in seconds since 1970, which is a number up to the year 9999.
    pub(super) fn as_time(&self) -> Option<u64> {
        match self {
            ClaimValue::Literal(json) => whole_number(json).filter(|seconds| *seconds <= LATEST_TIME),
            ClaimValue::Null | ClaimValue::Text(_) | ClaimValue::List(_) | ClaimValue::Nested(_) => None,
        }
    }
}

/// The whole part of a number from 0 on, as JSON writes it; what is beyond 64 bits counts as the largest there is.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    // RFC 7519 allows fractions. Rust also reads `inf` and `nan`.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    (number >= 0.0).then_some(number as u64)
}

/// White space stands only between the tokens of JSON, and outside of texts has no meaning.
fn without_white_space(json: &str) -> Box<str> {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |character: &char| {
        let is_kept = is_text || !character.is_ascii_whitespace();
        is_text ^= *character == '"' && !is_escaped;
        is_escaped = is_text && *character == '\\' && !is_escaped;
        is_kept
    };
    json.chars().filter(is_kept).collect::<String>().into()
}

/// The members of a JSON object, in their order, each name once.
#[derive(Debug)]
pub(super) struct UniqueMembers(Vec<(String, ClaimValue)>);

impl UniqueMembers {
    /// Reads one part of a token.
    pub(super) fn decode(part: &str) -> Option<UniqueMembers> {
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
        is_within(&json, DEEPEST_MESSAGE).then(|| serde_json::from_str(&json).ok())?
    }

    pub(super) fn get(&self, name: &str) -> Option<&ClaimValue> {
        self.0.iter().find_map(|(each, value)| (each == name).then_some(value))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &ClaimValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UniqueMembers, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UniqueMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<UniqueMembers, M::Error> {
                let mut members: Vec<(String, ClaimValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    // Two readers could take one of them each, so a repeated name makes the token mean two things.
                    if members.iter().any(|(each, _)| *each == name) {
                        return Err(M::Error::custom("a name is repeated"));
                    }
                    members.push((name, ClaimValue::parse(value.get()).map_err(M::Error::custom)?));
                }
                Ok(UniqueMembers(members))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_off_and_saturate() {
        for (text, number) in [
            ("0", Some(0)),
            ("2305843009213693952", Some(1 << 61)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("1e300", Some(u64::MAX)),
            ("1e400", Some(u64::MAX)),
            ("1.9", Some(1)),
            ("2.5e3", Some(2500)),
            ("-0.0", Some(0)),
            ("-1", None),
            ("", None),
            ("true", None),
            ("inf", None),
            ("nan", None),
            ("0x10", None),
            (" 1", None),
        ] {
            assert_eq!(whole_number(text), number, "{text}");
        }
    }

    #[test]
    fn values_keep_what_json_says() {
        for (json, value) in [
            (" null ", ClaimValue::Null),
            (r#""a\u00e9""#, ClaimValue::Text("aé".to_owned())),
            ("18446744073709551617", ClaimValue::Literal("18446744073709551617".into())),
            ("1.50", ClaimValue::Literal("1.50".into())),
            ("true", ClaimValue::Literal("true".into())),
            (r#"{ "a b" : "\" : " , "c": [ 1 ] }"#, ClaimValue::Nested(r#"{"a b":"\" : ","c":[1]}"#.into())),
            (
                r#"[1, "x", [2,
                    3]]"#,
                ClaimValue::List(vec![
                    ClaimValue::Literal("1".into()),
                    ClaimValue::Text("x".to_owned()),
                    ClaimValue::Nested("[2,3]".into()),
                ]),
            ),
        ] {
            let members: UniqueMembers = serde_json::from_str(&format!("{{\"claim\":{json}}}")).expect("an object");
            assert_eq!(members.get("claim"), Some(&value), "{json}");
        }
    }
}
