//! Changes of strings inside of a JSON text that leave the rest of it byte for byte.

use std::fmt;

use memchr::{memchr, memchr2};
use serde::Deserializer;
use serde::de::{Error, Visitor};

/// `json` with other strings in the place of those for which `change` gives one; `None` if it gives none. Names of an object's
/// members are not asked for. `json` is valid. Half a surrogate pair is shown as U+FFFD, and stays that if its string is replaced.
pub(crate) fn map_strings(json: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut changed = String::new();
    let (mut copied, mut position) = (0, 0);
    while let Some(quote) = memchr(b'"', &json.as_bytes()[position..]) {
        let start = position + quote;
        let end = end_of_string(json.as_bytes(), start);
        position = end;
        if is_name(&json[end..]) {
            continue;
        }
        let literal = &json[start..end];
        let unescaped: String;
        let string = match memchr(b'\\', literal.as_bytes()) {
            None => &literal[1..literal.len() - 1],
            Some(_) => {
                unescaped = unescape(literal);
                &unescaped
            }
        };
        if let Some(other) = change(string) {
            changed.push_str(&json[copied..start]);
            changed.push_str(&serde_json::Value::String(other).to_string());
            copied = end;
        }
    }
    (copied > 0).then(|| changed + &json[copied..])
}

/// The text of a string literal. Nobody may hide something behind half a surrogate pair, which is valid JSON and no text.
fn unescape(literal: &str) -> String {
    struct Lossy;

    impl Visitor<'_> for Lossy {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    let mut reader = serde_json::Deserializer::from_str(literal);
    // As bytes, serde_json reads what is no text, too.
    reader.deserialize_bytes(Lossy).expect("the literal is part of valid JSON")
}

/// Behind the closing quote of the string that starts at `start`.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(found) = memchr2(b'"', b'\\', &json[position..]) {
        match json[position + found] {
            b'"' => return position + found + 1,
            _ => position += found + 2,
        }
    }
    json.len()
}

fn is_name(behind: &str) -> bool {
    behind.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(':')
}
