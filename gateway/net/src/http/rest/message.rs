//! The message in a request's body.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use hubgate_wire::payload::{JsonText, Payload};
use hyper::body::Incoming;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::answer::Refusal;
use crate::http::body;
use crate::shard::ShardThread;

/// Reads a client method and its arguments, whose text stays as it came.
pub(super) async fn read(shard: &Rc<ShardThread>, request: Request<Incoming>) -> Result<(String, Payload), Refusal> {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_owned());
    if !content_type.as_deref().is_none_or(is_json) {
        return Err(Refusal::UnsupportedMediaType);
    }
    parse(&body::read(shard, request.into_body()).await?)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.eq_ignore_ascii_case("text/json")
}

fn parse(body: &Bytes) -> Result<(String, Payload), Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::bad_request("The body is not UTF-8."))?;
    if text.trim().is_empty() {
        return Err(Refusal::bad_request("Message in request body is required."));
    }
    let message: Message<'_> = serde_json::from_str(text)
        .map_err(|error| Refusal::bad_request(format!("The body is no message in JSON: {error}")))?;
    let target = message.target.filter(|target| !target.is_empty());
    let target = target.ok_or(Refusal::bad_request("The message needs a `target`: the client method."))?;
    let arguments = match message.arguments.map(RawValue::get) {
        None | Some("null") => JsonText::parse_array("[]"),
        Some(array) => JsonText::parse_array(body.slice_ref(array.as_bytes())),
    };
    let arguments = arguments.map_err(|error| Refusal::bad_request(format!("`arguments` {error}")))?;
    Ok((target, Payload::Json(arguments)))
}

/// A message whose names are read without regard to case: SDKs write `Target`, people `target`.
#[derive(Default)]
struct Message<'a> {
    target: Option<String>,
    arguments: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message<'de>, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `target` and `arguments`")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Message<'de>, M::Error> {
                let mut message = Message::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name.eq_ignore_ascii_case("target") {
                        message.target = map.next_value()?;
                    } else if name.eq_ignore_ascii_case("arguments") {
                        message.arguments = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(Items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static str) -> Result<(String, String), String> {
        let parsed = parse(&Bytes::from_static(body.as_bytes())).map_err(|refusal| refusal.to_string());
        parsed.map(|(target, Payload::Json(arguments))| (target, arguments.as_str().to_owned()))
    }

    #[test]
    fn arguments_keep_their_text_and_names_have_any_case() {
        let text = r#"{"Target":"say","x":{"target":1},"ARGUMENTS":[1.0, 12345678901234567890,"\u00e9",{"a":null}]}"#;
        let arguments = r#"[1.0, 12345678901234567890,"\u00e9",{"a":null}]"#;
        assert_eq!(message(text), Ok(("say".to_owned(), arguments.to_owned())));
    }

    #[test]
    fn no_arguments_are_an_empty_list() {
        for text in [r#"{"target":"say"}"#, r#"{"target":"say","arguments":null}"#] {
            assert_eq!(message(text), Ok(("say".to_owned(), "[]".to_owned())));
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "Message in request body is required."),
            (" ", "Message in request body is required."),
            ("[]", "an object with `target` and `arguments`"),
            (r#"{"arguments":[]}"#, "`target`"),
            (r#"{"target":""}"#, "`target`"),
            (r#"{"target":null}"#, "`target`"),
            (r#"{"target":1}"#, "no message in JSON"),
            (r#"{"target":"say","arguments":{}}"#, "`arguments` must be a JSON array"),
            (r#"{"target":"say"} x"#, "no message in JSON"),
        ] {
            assert!(message(text).expect_err(text).contains(reason), "{text}");
        }
    }
}
