//! Hub messages with a number, as bytes on a WebSocket.

use std::borrow::Cow;

use hubgate_wire::payload::PayloadRef;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, HubProtocol, Invocation};

/// The texts of arguments that carry a number, and bytes that make the message longer.
pub(crate) fn arguments(number: u64, padding: usize) -> String {
    format!("[{number},\"{}\"]", "x".repeat(padding))
}

/// A call of `target`, whose sender waits for an answer if it has an id.
pub(crate) fn call(protocol: HubProtocol, target: &str, id: Option<&str>, arguments: &str) -> Vec<u8> {
    let invocation = Invocation {
        headers: Vec::new(),
        invocation_id: id.map(Cow::Borrowed),
        target: target.into(),
        arguments: PayloadRef::Json(arguments),
        stream_ids: Vec::new(),
    };
    encoded(protocol, &HubMessage::Invocation(invocation))
}

pub(crate) fn completion(protocol: HubProtocol, id: &str, result: &str) -> Vec<u8> {
    let outcome = CompletionOutcome::Result(PayloadRef::Json(result));
    encoded(protocol, &HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome })
}

/// A message with what frames it among others.
pub(crate) fn encoded(protocol: HubProtocol, message: &HubMessage<'_>) -> Vec<u8> {
    let mut framed = Vec::new();
    protocol.write(message, &mut framed);
    framed
}

/// The number that a message carries that counts.
pub(crate) fn number(message: &HubMessage<'_>) -> u64 {
    let payload = match message {
        HubMessage::Invocation(call) => call.arguments,
        HubMessage::Completion { outcome: CompletionOutcome::Result(result), .. } => *result,
        other => panic!("nobody says {other:?} here"),
    };
    number_in(&payload.to_json())
}

/// The number that these arguments or this result begin with.
pub(crate) fn number_in(json: &str) -> u64 {
    let values: serde_json::Value = serde_json::from_str(json).expect("JSON");
    values[0].as_u64().expect("a number comes first")
}

/// Takes all whole messages off the front of `bytes`.
pub(crate) fn take_messages(protocol: HubProtocol, bytes: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some(message) = protocol.split_message(&mut rest).expect("no message is longer than may be told") {
        messages.push(message.to_vec());
    }
    let taken = bytes.len() - rest.len();
    bytes.drain(..taken);
    messages
}

/// A client's frame.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).expect("messages are short here").to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Takes the gateway's next frame off the front of `bytes`: its opcode and payload. `None` if it is not there as a whole.
pub(crate) fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (opcode, short) = (*bytes.first()? & 0x0f, *bytes.get(1)?);
    let (header, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        length @ 0..126 => (2, usize::from(length)),
        _ => panic!("messages are short here, and the gateway masks nothing"),
    };
    assert_eq!(bytes[0] & 0x80, 0x80, "a message is one frame");
    (bytes.len() >= header + length).then(|| {
        let frame = bytes.drain(..header + length).skip(header);
        (opcode, frame.collect())
    })
}
