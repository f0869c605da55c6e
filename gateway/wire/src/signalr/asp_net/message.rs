//! What the gateway and clients say to each other: one JSON object a message.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::depth::{self, DEEPEST_MESSAGE};
use crate::payload::PayloadRef;

/// What tells a client that it is still connected.
pub const KEEP_ALIVE: &[u8] = b"{}";
/// How a message begins that hub servers write for clients.
const FROM_SERVER: &[u8] = br#"{"C":"0","M":["#;
/// What a cursor follows in a message that [`with_cursor`] has made, and in all others of the gateway's own that have one.
const BEFORE_CURSOR: &[u8] = br#"{"C":""#;

/// A message of a hub server for clients, as far as it matters here.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(rename = "M", borrow)]
    messages: Option<&'a RawValue>,
    #[serde(rename = "S", borrow)]
    initialized: Option<&'a RawValue>,
    #[serde(rename = "T", borrow)]
    reconnect: Option<&'a RawValue>,
    #[serde(rename = "G", borrow)]
    groups: Option<&'a RawValue>,
    #[serde(rename = "L", borrow)]
    delay: Option<&'a RawValue>,
    #[serde(rename = "E", borrow)]
    error: Option<&'a RawValue>,
}

impl Members<'_> {
    /// All but the messages and the cursor, by their names.
    fn others(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let others =
            [("S", self.initialized), ("T", self.reconnect), ("G", self.groups), ("L", self.delay), ("E", self.error)];
        others.into_iter().filter_map(|(name, value)| Some((name, value?.get())))
    }
}

/// The text with this cursor for its `C`, which comes first. `None` if it takes none: only a message with `M` does, and the result of a call
/// has none. `cursor` needs no escape in JSON.
pub fn with_cursor(text: &[u8], cursor: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() + cursor.len());
    out.extend_from_slice(BEFORE_CURSOR);
    out.extend_from_slice(cursor.as_bytes());
    // As they are written by servers, so that nothing has to be read.
    if let Some(rest) = text.strip_prefix(FROM_SERVER) {
        out.extend_from_slice(br#"","M":["#);
        out.extend_from_slice(rest);
        return Some(out);
    }
    let members: Members<'_> = serde_json::from_slice(text).ok()?;
    out.extend_from_slice(br#"","M":"#);
    out.extend_from_slice(members.messages?.get().as_bytes());
    for (name, value) in members.others() {
        out.extend_from_slice(format!(r#","{name}":{value}"#).as_bytes());
    }
    out.push(b'}');
    Some(out)
}

/// The cursor of a message that [`with_cursor`], [`init`], [`idle`] or [`merge`] has made.
pub fn cursor_of(text: &[u8]) -> Option<&str> {
    let rest = text.strip_prefix(BEFORE_CURSOR)?;
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// The first message of a transport, after which clients go on.
pub fn init(cursor: &str) -> Vec<u8> {
    format!(r#"{{"C":"{cursor}","S":1,"M":[]}}"#).into_bytes()
}

/// The answer to a poll for which nothing came.
pub fn idle(cursor: &str) -> Vec<u8> {
    format!(r#"{{"C":"{cursor}","M":[]}}"#).into_bytes()
}

/// The end of a connection: the client stops, and does not come back.
pub fn error(text: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Error<'a> {
        #[serde(rename = "E")]
        error: &'a str,
    }
    serde_json::to_vec(&Error { error: text }).unwrap_or_default()
}

/// The answer to a poll for which these texts wait, in order, and how many of them it has: those that begin the list and have a cursor, in one
/// message with that of the last, or the first one alone.
pub fn merge(texts: &[impl AsRef<[u8]>]) -> (Vec<u8>, usize) {
    let mut merged: Option<(Vec<u8>, &str)> = None;
    let mut count = 0;
    for text in texts {
        let Some((cursor, messages)) = mergeable(text.as_ref()) else {
            break;
        };
        count += 1;
        let (all, last) = merged.get_or_insert_with(|| (Vec::new(), cursor));
        *last = cursor;
        if !messages.is_empty() {
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(messages);
        }
    }
    match (merged, texts.first()) {
        (Some((messages, cursor)), _) if count > 1 => {
            let mut answer = Vec::with_capacity(messages.len() + cursor.len() + 16);
            answer.extend_from_slice(BEFORE_CURSOR);
            answer.extend_from_slice(cursor.as_bytes());
            answer.extend_from_slice(br#"","M":["#);
            answer.extend_from_slice(&messages);
            answer.extend_from_slice(b"]}");
            (answer, count)
        }
        (_, Some(first)) => (first.as_ref().to_vec(), 1),
        (_, None) => (Vec::new(), 0),
    }
}

/// The cursor of a message that [`with_cursor`] has made and that has nothing but messages, and these without the brackets.
fn mergeable(text: &[u8]) -> Option<(&str, &[u8])> {
    let cursor = cursor_of(text)?;
    let rest = text.get(BEFORE_CURSOR.len() + cursor.len()..)?.strip_prefix(br#"","M":["#)?;
    let messages = rest.strip_suffix(b"]}")?;
    // An array that ends the message ends with its last element; one that others follow would be cut elsewhere.
    let members: Members<'_> = serde_json::from_slice(text).ok()?;
    let is_all = members.others().next().is_none();
    is_all.then_some((cursor, messages))
}

/// The answer to a call that has failed.
pub fn failed_call(id: &str, error: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Failed<'a> {
        #[serde(rename = "I")]
        id: &'a str,
        #[serde(rename = "E")]
        error: &'a str,
    }
    serde_json::to_vec(&Failed { id, error }).unwrap_or_default()
}

/// A call of a hub method.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The hub and the method, with a dot between them.
    pub target: String,
    pub arguments: PayloadRef<'a>,
    /// None: nobody waits for the answer.
    pub id: Option<Cow<'a, str>>,
}

/// What a client says, if it is a call.
pub fn call_of(text: &[u8]) -> Option<Call<'_>> {
    #[derive(Deserialize)]
    struct Members<'a> {
        #[serde(rename = "H", borrow)]
        hub: Cow<'a, str>,
        #[serde(rename = "M", borrow)]
        method: Cow<'a, str>,
        #[serde(rename = "A", borrow)]
        arguments: Option<&'a RawValue>,
        #[serde(rename = "I", borrow)]
        id: Option<&'a RawValue>,
    }
    let text = std::str::from_utf8(text).ok()?;
    if !depth::is_within(text, DEEPEST_MESSAGE) {
        return None;
    }
    let call: Members<'_> = serde_json::from_str(text).ok()?;
    let id = call.id.map(RawValue::get).filter(|id| *id != "null").map(|id| Cow::Borrowed(id.trim_matches('"')));
    let arguments = PayloadRef::Json(call.arguments.map_or("[]", RawValue::get));
    arguments.is_array().then(|| Call { target: format!("{}.{}", call.hub, call.method), arguments, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("JSON")
    }

    #[test]
    fn a_message_gets_a_cursor_and_keeps_all_else_and_a_result_gets_none() {
        let with = |message: &str| with_cursor(message.as_bytes(), "7").map(text);
        assert_eq!(with(r#"{"C":"0","M":[{"H":"Chat"}]}"#).as_deref(), Some(r#"{"C":"7","M":[{"H":"Chat"}]}"#));
        assert_eq!(
            with(r#" { "M" : [ 1.50 ] , "G":"g","C":"x\"y", "L":3,"T":1,"E":"e" }"#).as_deref(),
            Some(r#"{"C":"7","M":[ 1.50 ],"T":1,"G":"g","L":3,"E":"e"}"#)
        );
        for other in [r#"{"R":1,"I":"3"}"#, r#"{"I":"3","E":"no"}"#, "{}", "no JSON", "", "[]", r#"{"C":"0"}"#, "\u{0}"]
        {
            assert_eq!(with(other), None, "{other}");
        }
    }

    #[test]
    fn the_cursor_of_what_the_gateway_has_written_is_found() {
        let made = with_cursor(br#"{"C":"0","M":[1]}"#, "0-1-2f").expect("it has messages");
        assert_eq!(cursor_of(&made), Some("0-1-2f"));
        assert_eq!((cursor_of(&init("a")), cursor_of(&idle("b"))), (Some("a"), Some("b")));
        for other in [&br#"{"R":1}"#[..], b"", br#"{"C":""#, b"{}"] {
            assert_eq!(cursor_of(other), None);
        }
    }

    #[test]
    fn messages_that_wait_are_one_answer_and_a_result_is_one_by_itself() {
        let (one, two) = (r#"{"C":"1","M":[{"A":["]}"]}]}"#, r#"{"C":"2","M":[]}"#);
        let (three, result) = (r#"{"C":"3","M":[3,4]}"#, r#"{"I":"0","R":1}"#);
        let merged = |texts: &[&str]| {
            let (answer, count) = merge(texts);
            (text(answer), count)
        };
        assert_eq!(merged(&[one]), (one.to_owned(), 1));
        assert_eq!(merged(&[one, two, three, result]), (r#"{"C":"3","M":[{"A":["]}"]},3,4]}"#.to_owned(), 3));
        assert_eq!(merged(&[result, one]), (result.to_owned(), 1));
        let first = r#"{"C":"0","S":1,"M":[]}"#;
        assert_eq!(merged(&[first, one]), (first.to_owned(), 1), "the first message is by itself");
        let error = r#"{"E":"gone"}"#;
        assert_eq!(merged(&[one, error]), (one.to_owned(), 1));
        assert_eq!(merged(&[]), (String::new(), 0));
    }

    #[test]
    fn a_call_is_read_as_clients_write_it() {
        for (said, id) in
            [(r#""I":"0""#, Some("0")), (r#""I":7"#, Some("7")), (r#""I":null"#, None), (r#""S":{}"#, None)]
        {
            let said = format!(r#"{{"H":"chat","M":"Send","A":["a",1],{said}}}"#);
            let call = call_of(said.as_bytes()).expect("a call");
            assert_eq!((call.target.as_str(), call.id.as_deref()), ("chat.Send", id));
            assert_eq!(call.arguments.to_json(), r#"["a",1]"#);
        }
        let deep = format!(r#"{{"H":"h","M":"m","A":{}{}}}"#, "[".repeat(100), "]".repeat(100));
        for other in ["", "{}", "[]", r#"{"H":"h"}"#, r#"{"H":"h","M":"m","A":{}}"#, &deep] {
            assert!(call_of(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn texts_from_elsewhere_are_escaped() {
        assert_eq!(text(error("a\"b")), r#"{"E":"a\"b"}"#);
        assert_eq!(text(failed_call("7", "a\"b")), r#"{"I":"7","E":"a\"b"}"#);
    }
}
