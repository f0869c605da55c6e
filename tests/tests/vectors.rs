//! The protocol's vectors, where `HUBGATE_VECTORS` names their folder: each message is read and written as stated.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hubgate_wire::payload::PayloadRef;
use hubgate_wire::server_sent_events::write_event;
use hubgate_wire::service;
use hubgate_wire::signalr::framing::{split_binary_message, split_message};
use hubgate_wire::signalr::handshake::HandshakeRequest;
use hubgate_wire::signalr::{CompletionOutcome, Headers, HubMessage, HubProtocol, Invocation};
use serde_json::{Map, Value, json};

#[test]
fn json_messages_are_read_and_written_as_stated() {
    let Some(vectors) = vectors("hub-protocol-json.json") else { return };
    let bytes = |case: &Value| text(&case["text"]).as_bytes().to_vec();
    for case in cases(&vectors, &["roundtrip", "sizes"]) {
        read_and_written(HubProtocol::Json, &bytes(case), case);
    }
    for case in cases(&vectors, &["parse"]) {
        read(HubProtocol::Json, &bytes(case), case);
    }
    for case in cases(&vectors, &["invalid"]) {
        refused(HubProtocol::Json, &bytes(case), case);
    }
    // A gateway binds no arguments: what is wrong with them is for their receiver to say.
    for case in cases(&vectors, &["argument_binding"]) {
        assert!(parse(HubProtocol::Json, &bytes(case)).is_ok(), "{case}");
    }
}

#[test]
fn messagepack_messages_are_read_and_written_as_stated() {
    let Some(vectors) = vectors("hub-protocol-messagepack.json") else { return };
    let bytes = |case: &Value| base64(&case["framed"]);
    for case in cases(&vectors, &["roundtrip", "sizes"]) {
        read_and_written(HubProtocol::MessagePack, &bytes(case), case);
    }
    for case in cases(&vectors, &["parse"]) {
        read(HubProtocol::MessagePack, &bytes(case), case);
    }
    for case in cases(&vectors, &["invalid"]) {
        refused(HubProtocol::MessagePack, &bytes(case), case);
    }
    for case in cases(&vectors, &["argument_binding"]) {
        let framed = bytes(case);
        let message = whole(HubProtocol::MessagePack, &framed);
        match HubProtocol::MessagePack.parse(message).unwrap_or_else(|error| panic!("{case}: {error}")) {
            HubMessage::Unbindable(call) => assert_eq!(call.error, text(&case["bindingError"]), "{case}"),
            HubMessage::Invocation(_) | HubMessage::StreamInvocation(_) => {}
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn messages_are_framed_as_stated() {
    let Some(json) = vectors("hub-protocol-json.json") else { return };
    for case in cases(&json, &["text_framing"]) {
        let mut input = text(&case["text"]).as_bytes();
        for message in list(&case["messages"]) {
            assert_eq!(split_message(&mut input), Some(text(message).as_bytes()), "{case}");
        }
        assert_eq!(split_message(&mut input), None, "{case}");
        assert_eq!(input, text(&case["rest"]).as_bytes(), "{case}");
    }
    for case in cases(&json, &["sse_encoding"]) {
        let mut event = Vec::new();
        write_event(text(&case["payload"]).as_bytes(), &mut event);
        assert_eq!(String::from_utf8_lossy(&event), text(&case["encoded"]), "{case}");
    }
    let packed = vectors("hub-protocol-messagepack.json").expect("it stands beside the other");
    let framing = &packed["framing"];
    for case in cases(framing, &["ok"]) {
        let encoded = base64(&case["encoded"]);
        let mut input = &encoded[..];
        for payload in list(&case["payloads"]) {
            assert_eq!(split_binary_message(&mut input), Ok(Some(&base64(payload)[..])), "{case}");
        }
        assert!(input.is_empty(), "{case}");
    }
    for case in cases(framing, &["incomplete"]) {
        assert_eq!(split_binary_message(&mut &base64(&case["encoded"])[..]), Ok(None), "{case}");
    }
    for case in cases(framing, &["error"]) {
        let error = split_binary_message(&mut &base64(&case["encoded"])[..]).expect_err("too long");
        assert_eq!(error.to_string(), text(&case["error"]), "{case}");
    }
}

#[test]
fn handshakes_are_read_as_stated() {
    let Some(vectors) = vectors("hub-protocol-json.json") else { return };
    let handshake = &vectors["handshake"];
    for case in cases(handshake, &["request_ok"]) {
        let mut input = text(&case["text"]).as_bytes();
        let request = HandshakeRequest::parse(split_message(&mut input).expect("a whole one")).expect("a good one");
        assert_eq!(
            (json!(request.protocol), json!(request.version)),
            (case["protocol"].clone(), case["version"].clone())
        );
    }
    for case in cases(handshake, &["request_incomplete"]) {
        assert_eq!(split_message(&mut text(&case["text"]).as_bytes()), None, "{case}");
    }
    for case in cases(handshake, &["request_error"]) {
        let mut input = text(&case["text"]).as_bytes();
        let error = HandshakeRequest::parse(split_message(&mut input).expect("a whole one")).expect_err("a bad one");
        assert_eq!(error.to_string(), text(&case["error"]), "{case}");
    }
}

fn read_and_written(protocol: HubProtocol, framed: &[u8], case: &Value) {
    let message = protocol.parse(whole(protocol, framed)).unwrap_or_else(|error| panic!("{case}: {error}"));
    let written = protocol.frame(&message).payload();
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(framed), "{case}");
    assert_eq!(written, framed, "{case}");
    if let Some(bytes) = case.get("bytes") {
        assert_eq!(json!(written.len()), *bytes, "{case}");
    }
    if let Some(expected) = case.get("message") {
        assert_eq!(described(&message), plain(expected), "{case}");
    }
}

fn read(protocol: HubProtocol, framed: &[u8], case: &Value) {
    let message = protocol.parse(whole(protocol, framed)).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(described(&message), plain(&case["message"]), "{case}");
}

fn refused(protocol: HubProtocol, framed: &[u8], case: &Value) {
    let error = parse(protocol, framed).expect_err("an invalid message");
    assert_eq!(error, text(&case["error"]), "{case}");
}

fn parse(protocol: HubProtocol, framed: &[u8]) -> Result<(), String> {
    protocol.parse(whole(protocol, framed)).map(drop).map_err(|error| error.to_string())
}

fn whole(protocol: HubProtocol, framed: &[u8]) -> &[u8] {
    let mut input = framed;
    let message = protocol.split_message(&mut input).expect("a length within bounds").expect("a whole message");
    assert!(input.is_empty(), "one message");
    message
}

/// A message as the vectors describe it: only what is on the wire.
fn described(message: &HubMessage<'_>) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    match message {
        HubMessage::Invocation(invocation) => describe_call("Invocation", invocation, &mut set),
        HubMessage::StreamInvocation(invocation) => describe_call("StreamInvocation", invocation, &mut set),
        HubMessage::StreamItem { headers, invocation_id, item } => {
            set("kind", json!("StreamItem"));
            describe_headers(headers, &mut set);
            set("invocationId", json!(invocation_id));
            set("item", value(*item));
        }
        HubMessage::Completion { headers, invocation_id, outcome } => {
            set("kind", json!("Completion"));
            describe_headers(headers, &mut set);
            set("invocationId", json!(invocation_id));
            match outcome {
                CompletionOutcome::Void => {}
                CompletionOutcome::Result(result) => set("result", value(*result)),
                CompletionOutcome::Error(error) => set("error", json!(error)),
            }
        }
        HubMessage::CancelInvocation { headers, invocation_id } => {
            set("kind", json!("CancelInvocation"));
            describe_headers(headers, &mut set);
            set("invocationId", json!(invocation_id));
        }
        HubMessage::Ping => set("kind", json!("Ping")),
        HubMessage::Close { error, allow_reconnect } => {
            set("kind", json!("Close"));
            if let Some(error) = error {
                set("error", json!(error));
            }
            if *allow_reconnect {
                set("allowReconnect", json!(true));
            }
        }
        HubMessage::Ack { sequence_id } => {
            set("kind", json!("Ack"));
            set("sequenceId", json!(sequence_id));
        }
        HubMessage::Sequence { sequence_id } => {
            set("kind", json!("Sequence"));
            set("sequenceId", json!(sequence_id));
        }
        HubMessage::Unbindable(call) => set("error", json!(call.error)),
        HubMessage::Unknown { kind } => set("kind", json!(kind)),
    }
    Value::Object(fields)
}

fn describe_call(kind: &str, call: &Invocation<'_>, set: &mut impl FnMut(&str, Value)) {
    set("kind", json!(kind));
    describe_headers(&call.headers, set);
    if let Some(id) = &call.invocation_id {
        set("invocationId", json!(id));
    }
    set("target", json!(call.target));
    set("arguments", value(call.arguments));
    if !call.stream_ids.is_empty() {
        set("streamIds", json!(call.stream_ids));
    }
}

fn describe_headers(headers: &Headers<'_>, set: &mut impl FnMut(&str, Value)) {
    if !headers.is_empty() {
        set("headers", headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect());
    }
}

fn value(payload: PayloadRef<'_>) -> Value {
    serde_json::from_str(&payload.to_json()).expect("valid JSON")
}

/// A described value in the form that its conversion to JSON has.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(members) => {
            for special in ["$bin", "$timestamp", "$float32"] {
                if let Some(value) = members.get(special) {
                    return value.clone();
                }
            }
            let kept = members.iter().filter(|(name, value)| {
                // What is false or empty is not on the wire, or means the same there.
                !(name.as_str() == "allowReconnect" && **value == json!(false))
            });
            kept.map(|(name, value)| (name.clone(), plain(value))).collect()
        }
        value => value.clone(),
    }
}

fn cases<'a>(vectors: &'a Value, lists: &[&str]) -> Vec<&'a Value> {
    let cases: Vec<&Value> = lists.iter().flat_map(|name| list(&vectors[*name])).collect();
    assert!(!cases.is_empty(), "the vectors have {lists:?}");
    cases
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn base64(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).expect("base64")
}

/// A file of vectors; none where they are not at hand.
fn vectors(name: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("HUBGATE_VECTORS") else {
        println!("HUBGATE_VECTORS is not set: the vectors are not replayed");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join(name)).expect("the folder has the file");
    Some(serde_json::from_str(&text).expect("the file is JSON"))
}

#[test]
fn service_messages_are_read_and_written_as_stated() {
    let Some(vectors) = vectors("service-protocol.json") else { return };
    let mut written_alike = 0;
    for case in cases(&vectors, &["cases"]) {
        let body = base64(&case["binary_base64"]);
        let framed = base64(&case["framed_base64"]);
        assert_eq!(service::split_message(&mut &framed[..]), Ok(Some(&body[..])), "{case}");
        let message = service::parse(&body).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(!matches!(message, service::ServiceMessage::Unknown(_)), "{case}");
        let mut written = Vec::new();
        service::write(&message, &mut written);
        let again = service::split_message(&mut &written[..]).expect("a length").expect("a whole message").to_vec();
        assert_eq!(service::parse(&again), Ok(message), "{case}");
        // Older layouts have fewer elements than those that are written.
        if case["set"] != "compat-parse-only" && json!(again[0] & 0x0f) == case["element_count"] {
            assert_eq!(written, framed, "{case}");
            written_alike += 1;
        }
    }
    assert!(written_alike >= 90, "{written_alike}");
}

#[test]
fn what_the_newest_server_sdk_may_say_is_read_and_written_back_as_it_is() {
    // HandshakeResponse, Ack and ConnectionReconnect: the SDK's writer is not the gateway's.
    const SAID_BY_GATEWAYS: [u64; 3] = [2, 20, 38];
    let Some(vectors) = vectors("service-protocol-1.34.json") else { return };
    let cases = cases(&vectors, &["cases"]);
    let is_servers = |case: &&Value| !SAID_BY_GATEWAYS.iter().any(|number| case["type_number"] == *number);
    for case in cases.into_iter().filter(is_servers) {
        let framed = base64(&case["framed_base64"]);
        let body = service::split_message(&mut &framed[..]).expect("a length").expect("a whole message").to_vec();
        let message = service::parse(&body).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(!matches!(message, service::ServiceMessage::Unknown(_)), "{case}");
        let mut written = Vec::new();
        service::write(&message, &mut written);
        assert_eq!(written, framed, "{case}");
    }
}

#[test]
fn what_acks_carry_is_written_as_the_newest_server_sdk_reads_it() {
    let Some(vectors) = vectors("service-protocol-1.34.json") else { return };
    let mut claims = 0;
    for case in cases(&vectors, &["ack_payloads"]) {
        let payload = base64(&case["payload_base64"]);
        let written = match text(&case["type"]) {
            "ConnectionClaimsResponse" => {
                claims += 1;
                let pairs = case["value"]["map"].as_array().into_iter().flatten();
                let pairs: Vec<(&str, &str)> = pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
                service::connection_claims(pairs.iter().copied())
            }
            "GroupMemberQueryResponse" => {
                let members = list(&case["value"][0]).iter();
                let members: Vec<_> = members.map(|member| (text(&member[0]), member[1].as_str())).collect();
                service::group_members(&members, case["value"][1].as_str())
            }
            other => panic!("{other}"),
        };
        assert_eq!(written, payload, "{case}");
    }
    assert_eq!(claims, 2);
}

#[test]
fn what_the_server_sdk_says_and_hears_is_read_and_written_back_as_it_is() {
    for file in ["recorded-sdk-1.34.json", "recorded-sdk-1.34-real.json"] {
        check_recording(file);
    }
}

fn check_recording(file: &str) {
    let Some(recording) = vectors(file) else { return };
    let mut from_server = 0;
    for entry in cases(&recording, &["entries"]).into_iter().filter(|entry| entry["kind"] == "message") {
        let body = hex(&entry["hex"]);
        let message = service::parse(&body).unwrap_or_else(|error| panic!("{entry}: {error}"));
        assert!(!matches!(message, service::ServiceMessage::Unknown(_)), "{entry}");
        let mut written = Vec::new();
        service::write(&message, &mut written);
        assert_eq!(service::split_message(&mut &written[..]), Ok(Some(&body[..])), "{entry}");
        from_server += usize::from(entry["from"] == "server");
    }
    assert!(from_server > 40, "{from_server}");
}

fn hex(digits: &Value) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a digit") as u8;
    text(digits).as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

#[test]
fn the_members_of_a_group_are_told_as_the_newest_server_sdk_reads_them() {
    let Some(vectors) = vectors("service-protocol-1.34.json") else { return };
    let cases = cases(&vectors, &["ack_payloads"]).into_iter();
    let of_members: Vec<_> = cases.filter(|case| case["type"] == "GroupMemberQueryResponse").collect();
    assert!(of_members.len() >= 3, "{of_members:?}");
    for case in of_members {
        let members = list(&case["value"][0]).iter().map(|member| (text(&member[0]), member[1].as_str()));
        let members: Vec<(&str, Option<&str>)> = members.collect();
        let payload = service::group_members(&members, case["value"][1].as_str());
        assert_eq!(payload, base64(&case["payload_base64"]), "{case}");
    }
}
