//! The message in a request's body.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use hubgate_core::Outgoing;
use hubgate_core::id::{METHOD_TOO_LONG, is_short_enough};
use hubgate_wire::messagepack::Reader;
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload};
use hubgate_wire::signalr::{HubMessage, HubProtocol};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::Service;
use crate::http::body::RequestBody;
use crate::refusal::Refusal;

/// A call of a client's method.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) target: String,
    /// One array.
    pub(super) arguments: Payload,
}

impl From<Call> for Outgoing {
    fn from(Call { target, arguments }: Call) -> Outgoing {
        Outgoing::call(target, arguments)
    }
}

/// Reads what clients are to get, in the form that the body's type names.
pub(super) async fn read(
    service: &Rc<Service>,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Outgoing, Refusal> {
    let form = form(headers)?;
    let body = body.read(service).await?;
    match form {
        Form::Json => json(&body).map(Outgoing::from),
        Form::MessagePack => messagepack(&body).map(Outgoing::from),
        Form::Encoded => encoded(&body),
    }
}

/// Reads an item of a stream: the body is the item itself, or whole hub messages.
pub(super) async fn read_item(
    service: &Rc<Service>,
    headers: &HeaderMap,
    body: &mut RequestBody,
    stream: &str,
) -> Result<Outgoing, Refusal> {
    let form = form(headers)?;
    let body = body.read(service).await?;
    let item = match form {
        Form::Json => json_item(&body)?,
        Form::MessagePack => messagepack_item(&body)?,
        Form::Encoded => return encoded_by(&body, |protocol, message| check_item(protocol, message, stream)),
    };
    Ok(Outgoing::stream_item(stream, item))
}

/// Reads which method a client is asked to run. A whole hub message would have no id by which its answer is known.
pub(super) async fn read_call(
    service: &Rc<Service>,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Call, Refusal> {
    match form(headers)? {
        Form::Json => json(&body.read(service).await?),
        Form::MessagePack => messagepack(&body.read(service).await?),
        Form::Encoded => Err(Refusal::bad_request(
            "The body of an invocation must be `application/json` or `application/x-msgpack`: the gateway gives it an id.",
        )),
    }
}

/// What a body is.
enum Form {
    Json,
    MessagePack,
    /// Whole hub messages.
    Encoded,
}

fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return Ok(Form::Json);
    };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" | "text/json" => Ok(Form::Json),
        "application/x-msgpack" => Ok(Form::MessagePack),
        "application/octet-stream" => Ok(Form::Encoded),
        _ => Err(Refusal::UnsupportedMediaType),
    }
}

fn utf_8(body: &Bytes) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::bad_request("The body is not UTF-8."))?;
    // Some writers mark their UTF-8 (RFC 8259, section 8.1, allows to ignore it).
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Any one value; its text stays as it came.
fn json_item(body: &Bytes) -> Result<Payload, Refusal> {
    let text = utf_8(body)?.trim();
    if text.is_empty() {
        return Err(Refusal::bad_request(ITEM_REQUIRED));
    }
    let item = JsonText::parse(body.slice_ref(text.as_bytes()));
    item.map(Payload::Json).map_err(|error| Refusal::bad_request(format!("The item {error}")))
}

fn messagepack_item(body: &Bytes) -> Result<Payload, Refusal> {
    if body.is_empty() {
        return Err(Refusal::bad_request(ITEM_REQUIRED));
    }
    let item = MessagePackValue::parse(body.clone());
    item.map(Payload::MessagePack).map_err(|error| Refusal::bad_request(format!("The item {error}")))
}

const ITEM_REQUIRED: &str =
    "The request body is the item of the stream, and is required: any one value, such as `null`.";

/// A method and its arguments in JSON; their text stays as it came.
fn json(body: &Bytes) -> Result<Call, Refusal> {
    let text = utf_8(body)?;
    if text.trim().is_empty() {
        return Err(Refusal::bad_request("Message in request body is required."));
    }
    let message: Message<'_> = serde_json::from_str(text)
        .map_err(|error| Refusal::bad_request(format!("The body is not a message in JSON: {error}")))?;
    let target = check_target(message.target)?;
    let arguments = match message.arguments.map(RawValue::get) {
        None | Some("null") => return Ok(Call { target, arguments: Payload::no_arguments() }),
        Some(array) => JsonText::parse_array(body.slice_ref(array.as_bytes())),
    };
    let arguments = arguments.map_err(|error| Refusal::bad_request(format!("`arguments` {error}")))?;
    Ok(Call { target, arguments: Payload::Json(arguments) })
}

/// The same in MessagePack: a map with `target` and `arguments`, or an array of both.
fn messagepack(body: &Bytes) -> Result<Call, Refusal> {
    let malformed = |_| {
        let expected = "a map with `target` and `arguments`, or an array of both";
        Refusal::bad_request(format!("The body is not a message in MessagePack: it must be {expected}."))
    };
    let mut reader = Reader::new(body);
    let (mut target, mut arguments) = (None, None);
    if let Ok(2) = reader.clone().array() {
        reader.array().map_err(malformed)?;
        target = reader.optional_text().map_err(malformed)?;
        arguments = Some(reader.value().map_err(malformed)?);
    } else {
        for _ in 0..reader.map().map_err(malformed)? {
            match reader.text().map_err(malformed)? {
                name if name.eq_ignore_ascii_case("target") => target = reader.optional_text().map_err(malformed)?,
                name if name.eq_ignore_ascii_case("arguments") => {
                    arguments = Some(reader.value().map_err(malformed)?);
                }
                _ => drop(reader.value().map_err(malformed)?),
            }
        }
    }
    let target = check_target(target)?.to_owned();
    let arguments = match arguments {
        None | Some([0xc0]) => return Ok(Call { target, arguments: Payload::no_arguments() }),
        Some(array) => MessagePackValue::parse_array(body.slice_ref(array)),
    };
    let arguments = arguments.map_err(|error| Refusal::bad_request(format!("`arguments` {error}")))?;
    Ok(Call { target, arguments: Payload::MessagePack(arguments) })
}

/// A MessagePack map of whole hub messages, for the clients of each protocol.
fn encoded(body: &Bytes) -> Result<Outgoing, Refusal> {
    encoded_by(body, |protocol, message| match is_whole(protocol, message) {
        true => Ok(()),
        false => Err(Refusal::bad_request(format!("The `{}` message is not a whole hub message.", protocol.name()))),
    })
}

/// The same, if the messages of each protocol pass the check.
fn encoded_by(body: &Bytes, check: impl Fn(HubProtocol, &[u8]) -> Result<(), Refusal>) -> Result<Outgoing, Refusal> {
    let malformed = |_| Refusal::bad_request("The body is not a MessagePack map from protocol names to messages.");
    let mut reader = Reader::new(body);
    let mut messages = Vec::new();
    for _ in 0..reader.map().map_err(malformed)? {
        let name = reader.text().map_err(malformed)?;
        let message = body.slice_ref(reader.binary().map_err(malformed)?);
        let protocol = HubProtocol::named(name)
            .ok_or_else(|| Refusal::bad_request("The body names a protocol other than `json` and `messagepack`."))?;
        check(protocol, &message)?;
        messages.push((protocol, message));
    }
    match messages.is_empty() {
        true => Err(Refusal::bad_request("Message in request body is required.")),
        false => Ok(Outgoing::encoded(messages)),
    }
}

/// Whether clients can read it: one that gets anything else gives up its connection.
fn is_whole(protocol: HubProtocol, mut message: &[u8]) -> bool {
    let mut count = 0;
    while let Ok(Some(one)) = protocol.split_message(&mut message)
        && protocol.parse(one).is_ok()
    {
        count += 1;
    }
    count > 0 && message.is_empty()
}

/// Whether it is one item of this stream: any other message would say more than its path does.
fn check_item(protocol: HubProtocol, mut message: &[u8], stream: &str) -> Result<(), Refusal> {
    let one = protocol.split_message(&mut message).ok().flatten().filter(|_| message.is_empty());
    match one.map(|one| protocol.parse(one)) {
        Some(Ok(HubMessage::StreamItem { invocation_id, .. })) if invocation_id == stream => Ok(()),
        _ => Err(Refusal::bad_request(format!(
            "The `{}` message is not one whole StreamItem with the stream's id for its `invocationId`.",
            protocol.name()
        ))),
    }
}

/// The client method, which must have a name.
fn check_target<T: AsRef<str>>(target: Option<T>) -> Result<T, Refusal> {
    match target {
        Some(target) if !is_short_enough(target.as_ref()) => Err(Refusal::bad_request(METHOD_TOO_LONG)),
        Some(target) if !target.as_ref().is_empty() => Ok(target),
        Some(_) | None => Err(Refusal::bad_request("The message needs a `target`: the client method.")),
    }
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

    fn text_for_json_clients(message: &Outgoing) -> String {
        let frame = message.frame(HubProtocol::Json).expect("a frame for JSON");
        String::from_utf8(frame.payload().to_vec()).expect("JSON is UTF-8")
    }

    /// What clients of the JSON protocol get.
    fn message(body: &'static str) -> Result<String, String> {
        let parsed = json(&Bytes::from_static(body.as_bytes())).map_err(|refusal| refusal.to_string());
        parsed.map(|call| text_for_json_clients(&call.into()))
    }

    fn call(target: &str, arguments: &str) -> String {
        format!("{{\"type\":1,\"target\":\"{target}\",\"arguments\":{arguments}}}\x1e")
    }

    #[test]
    fn arguments_keep_their_text_and_names_have_any_case() {
        let text = r#"{"Target":"say","x":{"target":1},"ARGUMENTS":[1.0, 12345678901234567890,"\u00e9",{"a":null}]}"#;
        let arguments = r#"[1.0, 12345678901234567890,"\u00e9",{"a":null}]"#;
        assert_eq!(message(text), Ok(call("say", arguments)));
    }

    #[test]
    fn a_byte_order_mark_before_json_is_ignored() {
        assert_eq!(message("\u{feff}{\"target\":\"say\"}"), Ok(call("say", "[]")));
        assert!(message("\u{feff}").expect_err("nothing follows").contains("required"));
    }

    #[test]
    fn no_arguments_are_an_empty_list() {
        for text in [r#"{"target":"say"}"#, r#"{"target":"say","arguments":null}"#] {
            assert_eq!(message(text), Ok(call("say", "[]")));
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
            (r#"{"target":1}"#, "not a message in JSON"),
            (r#"{"target":"say","arguments":{}}"#, "`arguments` must be a JSON array"),
            (r#"{"target":"say"} x"#, "not a message in JSON"),
        ] {
            assert!(message(text).expect_err(text).contains(reason), "{text}");
        }
    }

    #[test]
    fn messagepack_bodies_are_maps_or_arrays() {
        let read = |body: &'static [u8]| {
            let message = messagepack(&Bytes::from_static(body)).map_err(|refusal| refusal.to_string());
            message.map(|call| text_for_json_clients(&call.into()))
        };
        let expected = Ok(call("say", "[1,\"a\"]"));
        assert_eq!(read(b"\x82\xa6target\xa3say\xa9arguments\x92\x01\xa1a"), expected);
        assert_eq!(read(b"\x83\xa9Arguments\x92\x01\xa1a\xa1x\xc0\xa6Target\xa3say"), expected);
        assert_eq!(read(b"\x92\xa3say\x92\x01\xa1a"), expected);
        assert_eq!(read(b"\x81\xa6target\xa3say"), Ok(call("say", "[]")));
        for (body, reason) in [
            (&b""[..], "not a message in MessagePack"),
            (b"\x80", "`target`"),
            (b"\x92\xa3say\x01", "`arguments` must be a MessagePack array"),
            (b"\x92\xa3say\x92\x01", "not a message in MessagePack"),
        ] {
            assert!(read(body).expect_err("refused").contains(reason), "{body:x?}");
        }
    }

    #[test]
    fn an_item_is_any_one_value_as_it_was_written() {
        let read = |parse: fn(&Bytes) -> Result<Payload, Refusal>, body: &'static [u8]| {
            let item = parse(&Bytes::from_static(body)).map_err(|refusal| refusal.to_string());
            item.map(|item| text_for_json_clients(&Outgoing::stream_item("s\"1", item)))
        };
        let frame = |item: &str| Ok(format!("{{\"type\":2,\"invocationId\":\"s\\\"1\",\"item\":{item}}}\x1e"));
        for item in ["1.50", "null", "\"text\"", r#"{"target":"x", "a":[]}"#] {
            assert_eq!(read(json_item, item.as_bytes()), frame(item));
        }
        assert_eq!(read(json_item, b"\xef\xbb\xbf [1] \n"), frame("[1]"));
        assert_eq!(read(messagepack_item, b"\x92\x01\xa1a"), frame("[1,\"a\"]"));
        for (parse, body, reason) in [
            (json_item as fn(&Bytes) -> Result<Payload, Refusal>, &b" "[..], "is required"),
            (json_item, b"1 2", "not valid JSON"),
            (json_item, b"\xff", "UTF-8"),
            (messagepack_item, b"", "is required"),
            (messagepack_item, b"\x01\x02", "not one MessagePack value"),
        ] {
            assert!(read(parse, body).expect_err("refused").contains(reason), "{body:x?}");
        }
    }

    #[test]
    fn an_encoded_item_is_one_item_of_its_stream() {
        let read = |text: &str| {
            let body = [b"\x81\xa4json\xc4", &[text.len() as u8][..], text.as_bytes()].concat();
            encoded_by(&body.into(), |protocol, message| check_item(protocol, message, "7"))
        };
        let item = "{\"type\":2,\"invocationId\":\"7\",\"item\":1}\x1e";
        assert_eq!(text_for_json_clients(&read(item).expect("an item")), item);
        for other in [
            "{\"type\":2,\"invocationId\":\"8\",\"item\":1}\x1e",
            "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e",
            "{\"type\":1,\"target\":\"say\",\"arguments\":[]}\x1e",
            "{\"type\":7}\x1e",
            &item[..item.len() - 1],
            &item.repeat(2),
            "",
        ] {
            assert!(read(other).expect_err("refused").to_string().contains("one whole StreamItem"), "{other}");
        }
    }

    #[test]
    fn encoded_bodies_hold_whole_messages() {
        let read = |body: &'static [u8]| encoded(&Bytes::from_static(body)).map_err(|refusal| refusal.to_string());
        let message = read(b"\x81\xa4json\xc4\x0b{\"type\":6}\x1e").expect("a message");
        assert_eq!(text_for_json_clients(&message), "{\"type\":6}\x1e");
        assert!(message.frame(HubProtocol::MessagePack).is_none());
        for (body, reason) in [
            (&b"\x80"[..], "required"),
            (b"\x81\xa3xml\xc4\x00", "other than"),
            (b"\x81\xa4json\xc4\x0a{\"type\":6}", "not a whole"),
            (b"\x81\xabmessagepack\xc4\x02\x05\x91", "not a whole"),
            (b"\x81\xa4json", "not a MessagePack map"),
        ] {
            assert!(read(body).expect_err("refused").contains(reason), "{body:x?}");
        }
    }
}
