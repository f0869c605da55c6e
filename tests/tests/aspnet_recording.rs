//! What the real server SDK of ASP.NET SignalR has said, in a recording beside the protocol's vectors, where `HUBGATE_VECTORS` names their folder.

use std::path::PathBuf;

use hubgate_wire::aspnet;
use hubgate_wire::service::{self, AnyText, ConnectionData, Payloads, ServiceMessage};
use serde_json::Value;

/// The messages of the service protocol that this side has said, as far as the recording has them whole.
fn messages(from: &str) -> Option<Vec<Vec<u8>>> {
    let folder = PathBuf::from(std::env::var_os("HUBGATE_VECTORS")?);
    let text = std::fs::read_to_string(folder.join("recorded-aspnet-sdk-1.25.json")).expect("the recording is there");
    let recording: Value = serde_json::from_str(&text).expect("it is JSON");
    let entries = recording["entries"].as_array().expect("it has entries");
    let said = entries.iter().filter(|entry| entry["kind"] == "message" && entry["from"] == from);
    let whole = |entry: &Value| {
        let bytes = hex(entry["hex"].as_str().expect("it has bytes"));
        (entry["length"].as_u64() == Some(bytes.len() as u64)).then_some(bytes)
    };
    Some(said.filter_map(whole).collect())
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What a message carries for clients.
fn wrapped<'a>(message: &ServiceMessage<'a>) -> Option<&'a [u8]> {
    let json = |payloads: &Payloads<'a>| payloads.iter().find(|(name, _)| *name == "json").map(|(_, payload)| *payload);
    match message {
        ServiceMessage::ConnectionData(data) => Some(data.payload),
        ServiceMessage::UserData(send) => json(&send.payloads),
        ServiceMessage::BroadcastData(send) => json(&send.payloads),
        ServiceMessage::GroupBroadcastData(send) => json(&send.payloads),
        _ => None,
    }
}

#[test]
fn what_the_server_sdk_sends_is_read_unwrapped_and_the_same_when_it_is_wrapped_again() {
    let Some(messages) = messages("server") else { return };
    let (mut with_cursor, mut results) = (0, 0);
    for body in &messages {
        let message = service::parse(body).unwrap_or_else(|error| panic!("{error}: {body:x?}"));
        assert!(!matches!(message, ServiceMessage::Unknown(_)), "{message:?}");
        let Some(payload) = wrapped(&message) else { continue };
        let texts = aspnet::unwrap(payload).unwrap_or_else(|error| panic!("{error}: {payload:x?}"));
        let mut again = Vec::new();
        for text in &texts {
            let data = ConnectionData { connection_id: AnyText(b""), payload: text, ..ConnectionData::default() };
            service::write(&ServiceMessage::ConnectionData(data), &mut again);
            match aspnet::with_cursor(text, "7") {
                Some(made) => {
                    assert_eq!(aspnet::cursor_of(&made), Some("7"));
                    let (before, after): (Value, Value) = (json(text), json(&made));
                    assert_eq!((&before["M"], &after["C"]), (&after["M"], &Value::from("7")));
                    with_cursor += 1;
                }
                None => {
                    assert!(json(text).get("I").is_some(), "the result of a call");
                    results += 1;
                }
            }
        }
        assert_eq!(again, payload);
    }
    assert!(messages.len() > 50 && with_cursor > 10 && results > 10, "{} {with_cursor} {results}", messages.len());
}

#[test]
fn what_a_gateway_has_said_to_it_is_written_as_it_was() {
    let Some(messages) = messages("gateway") else { return };
    let mut data = 0;
    for body in &messages {
        let message = service::parse(body).unwrap_or_else(|error| panic!("{error}: {body:x?}"));
        if let ServiceMessage::ConnectionData(sent) = &message {
            assert!(aspnet::unwrap(sent.payload).is_err(), "what goes to servers is bare");
            data += 1;
        }
    }
    assert!(data > 10, "{data}");
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("JSON")
}
