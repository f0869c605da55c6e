//! The hubs that a client names, in the item `connectionData` of its queries.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Hubs that one client may name, in number.
pub const MOST_HUBS: usize = 32;
/// The longest name of a hub, in characters.
const LONGEST_HUB: usize = 128;

/// Why connection data names no hubs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionDataError {
    #[error("Protocol error: Missing connection data: the hubs of the connection, as in [{{\"name\":\"chat\"}}].")]
    Missing,
    #[error("Protocol error: The connection data is no list of hubs, as in [{{\"name\":\"chat\"}}].")]
    Malformed,
    #[error("Protocol error: The connection data names more than {MOST_HUBS} hubs.")]
    TooMany,
    #[error(
        "Protocol error: The connection data names a hub with no name, or one of more than {LONGEST_HUB} characters."
    )]
    BadName,
    #[error("Duplicate Hub names found.")]
    Repeated,
}

/// The hubs in lower case and in the order of their names: clients may write them in any.
pub fn hubs(connection_data: &str) -> Result<Vec<String>, ConnectionDataError> {
    if connection_data.trim().is_empty() {
        return Err(ConnectionDataError::Missing);
    }
    let mut deserializer = serde_json::Deserializer::from_str(connection_data);
    let hubs = deserializer.deserialize_seq(List).map_err(|_| ConnectionDataError::Malformed)?;
    deserializer.end().map_err(|_| ConnectionDataError::Malformed)?;
    let mut hubs = hubs?;
    hubs.sort_unstable();
    match hubs.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(ConnectionDataError::Repeated),
        false if hubs.is_empty() => Err(ConnectionDataError::Missing),
        false => Ok(hubs),
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Result<Vec<String>, ConnectionDataError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hubs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut hubs = Vec::new();
        while let Some(name) = list.next_element_seed(Hub)? {
            let name = name.unwrap_or_default();
            if name.is_empty() || name.len() > LONGEST_HUB {
                return Ok(Err(ConnectionDataError::BadName));
            }
            if hubs.len() == MOST_HUBS {
                return Ok(Err(ConnectionDataError::TooMany));
            }
            hubs.push(name.to_lowercase());
        }
        Ok(Ok(hubs))
    }
}

/// One hub: an object whose `name`, in any case, counts.
struct Hub;

impl<'de> DeserializeSeed<'de> for Hub {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Hub {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hub")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut name = None;
        while let Some(member) = members.next_key::<Cow<'_, str>>()? {
            match member.eq_ignore_ascii_case("name") {
                true => name = Some(members.next_value::<String>()?),
                false => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_are_named_without_case_in_any_order_and_once() {
        assert_eq!(hubs(r#"[{"name":"news"},{"Name":"Chat"}]"#), Ok(vec!["chat".to_owned(), "news".to_owned()]));
        assert_eq!(hubs(r#" [ {"other":[1,{}], "NAME" : "a.b" } ] "#), Ok(vec!["a.b".to_owned()]));
        for (text, error) in [
            ("", ConnectionDataError::Missing),
            ("  ", ConnectionDataError::Missing),
            ("[]", ConnectionDataError::Missing),
            ("no JSON", ConnectionDataError::Malformed),
            (r#"{"name":"a"}"#, ConnectionDataError::Malformed),
            (r#"["a"]"#, ConnectionDataError::Malformed),
            (r#"[{"name":1}]"#, ConnectionDataError::Malformed),
            (r#"[{"name":"a"}] x"#, ConnectionDataError::Malformed),
            ("[{}]", ConnectionDataError::BadName),
            (r#"[{"name":""}]"#, ConnectionDataError::BadName),
            (r#"[{"name":"a"},{"name":"A"}]"#, ConnectionDataError::Repeated),
        ] {
            assert_eq!(hubs(text), Err(error), "{text}");
        }
        let many = |count: usize| {
            let all: Vec<_> = (0..count).map(|number| format!(r#"{{"name":"h{number}"}}"#)).collect();
            format!("[{}]", all.join(","))
        };
        assert_eq!(hubs(&many(MOST_HUBS)).map(|hubs| hubs.len()), Ok(MOST_HUBS));
        assert_eq!(hubs(&many(MOST_HUBS + 1)), Err(ConnectionDataError::TooMany));
        let name = |length| format!(r#"[{{"name":"{}"}}]"#, "x".repeat(length));
        assert!(hubs(&name(LONGEST_HUB)).is_ok());
        assert_eq!(hubs(&name(LONGEST_HUB + 1)), Err(ConnectionDataError::BadName));
    }

    #[test]
    fn what_nests_without_end_is_refused() {
        assert_eq!(hubs(&"[".repeat(100_000)), Err(ConnectionDataError::Malformed));
        let deep = format!(r#"[{{"x":{}"#, "[".repeat(100_000));
        assert_eq!(hubs(&deep), Err(ConnectionDataError::Malformed));
    }
}
