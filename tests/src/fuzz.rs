//! What any bytes may be done with, and must not break: one function for each kind of input from outside. `fuzz/` runs them
//! with cargo-fuzz, and an ordinary test replays the corpora there, with mutations.

mod aspnet;
mod link;
mod nodes;

use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::negotiate::NegotiateVersion;
use hubgate_wire::payload::{JsonText, MessagePackValue, Payload, PayloadRef};
use hubgate_wire::service::{self, Abridged};
use hubgate_wire::signalr::framing::{split_binary_message, split_message};
use hubgate_wire::signalr::handshake::HandshakeRequest;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, HubProtocol, json, messagepack};
use hubgate_wire::token::{AccessKey, Claims, Resource};
use hubgate_wire::websocket::Decoder;

pub use aspnet::aspnet;
pub use link::link;
pub use nodes::nodes;

/// A kind of input: the name of its corpus, and what is done with it.
pub type Target = (&'static str, fn(&[u8]));

/// All kinds.
pub const TARGETS: [Target; 11] = [
    ("aspnet", aspnet),
    ("hub_messages", hub_messages),
    ("handshake", handshake),
    ("link", link),
    ("messagepack", messagepack),
    ("negotiate", negotiate),
    ("nodes", nodes),
    ("rest_arguments", rest_arguments),
    ("service_messages", service_messages),
    ("token", token),
    ("websocket", websocket),
];

/// A stream of hub messages. What is read and written again is read as the same.
pub fn hub_messages(mut bytes: &[u8]) {
    while let Some(message) = split_message(&mut bytes) {
        if let Ok(parsed) = json::parse(message)
            && !matches!(parsed, HubMessage::Unknown { .. })
        {
            is_one_value_in_messagepack(&parsed);
            let mut written = Vec::new();
            json::write(&parsed, &mut written);
            assert_eq!(written.pop(), Some(0x1e), "each message ends with its separator");
            let again = json::parse(&written).expect("what is written can be read");
            let mut twice = Vec::new();
            json::write(&again, &mut twice);
            twice.pop();
            assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&written));
        }
    }
}

/// Whatever valid JSON a message carries has a form in MessagePack.
fn is_one_value_in_messagepack(message: &HubMessage<'_>) {
    let value = match message {
        HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => call.arguments,
        HubMessage::StreamItem { item, .. } => *item,
        HubMessage::Completion { outcome: CompletionOutcome::Result(result), .. } => *result,
        _ => return,
    };
    let mut packed = Vec::new();
    value.write_messagepack(&mut packed);
    MessagePackValue::parse(packed).expect("what is converted is one value");
}

/// The same in MessagePack. What a message carries is one value of JSON as well, which comes back as itself.
pub fn messagepack(mut bytes: &[u8]) {
    while let Ok(Some(message)) = split_binary_message(&mut bytes) {
        let Ok(parsed) = messagepack::parse(message) else { continue };
        if matches!(parsed, HubMessage::Unknown { .. } | HubMessage::Unbindable(_)) {
            continue;
        }
        if let HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) = &parsed {
            let text = call.arguments.to_json().into_owned();
            let json = JsonText::parse_array(text.clone()).expect("arguments become a JSON array");
            let mut packed = Vec::new();
            Payload::Json(json).borrow().write_messagepack(&mut packed);
            assert_eq!(PayloadRef::MessagePack(&packed).to_json(), text);
        }
        let written = HubProtocol::MessagePack.frame(&parsed).payload();
        let whole = split_binary_message(&mut &written[..]).expect("a length").expect("a whole message").to_vec();
        let again = messagepack::parse(&whole).expect("what is written can be read");
        assert_eq!(HubProtocol::MessagePack.frame(&again).payload(), written);
    }
}

/// A stream of messages between hub servers and the gateway. What is read and written again is read as the same.
pub fn service_messages(mut bytes: &[u8]) {
    while let Ok(Some(body)) = service::split_message(&mut bytes) {
        is_abridged_alike_wherever_it_is_cut(body);
        let Ok(message) = service::parse(body) else { continue };
        let mut written = Vec::new();
        service::write(&message, &mut written);
        let again = service::split_message(&mut &written[..]).expect("a length").expect("a whole message").to_vec();
        assert_eq!(service::parse(&again).expect("what is written can be read"), message);
    }
}

fn is_abridged_alike_wherever_it_is_cut(body: &[u8]) {
    let (mut whole, mut cut) = (Abridged::new(body.len()), Abridged::new(body.len()));
    assert!(whole.read(&mut &*body));
    for byte in body.chunks(1) {
        cut.read(&mut &*byte);
    }
    assert_eq!(cut.message(), whole.message());
    // Nothing is left out of what is short.
    if let Ok(message) = service::parse(body)
        && body.len() <= 4_096
    {
        assert_eq!(whole.message(), Some(message));
    }
}

pub fn handshake(bytes: &[u8]) {
    if let Ok(request) = HandshakeRequest::parse(bytes) {
        let _ = request.accept();
    }
}

/// The version of a negotiation, and an endpoint.
pub fn negotiate(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = NegotiateVersion::choose(Some(&text));
    if let Ok(endpoint) = Endpoint::parse(&text) {
        let again = Endpoint::parse(&endpoint.to_string()).expect("what is shown can be read");
        assert_eq!(again.to_string(), endpoint.to_string());
    }
}

pub fn rest_arguments(bytes: &[u8]) {
    if let Ok(arguments) = JsonText::parse_array(bytes.to_vec()) {
        assert!(!arguments.as_bytes().contains(&0x1e), "nothing in JSON ends a hub message");
    }
}

/// A token as it is, and its parts as claims that are signed.
pub fn token(bytes: &[u8]) {
    const NOW: u64 = 1_800_000_000;
    let text = String::from_utf8_lossy(bytes);
    let keys = [AccessKey::new("a-key-for-fuzzing-alone")];
    let _ = Claims::verify(&text, &keys, NOW);
    if let Ok(claims) = serde_json::from_slice(bytes)
        && let Ok(verified) = Claims::verify(&keys[0].sign(&claims), &keys, NOW)
    {
        let endpoint = Endpoint::parse("http://localhost:8888").expect("a URL");
        for resource in [Resource::Client { hub: "chat" }, Resource::Rest { path: "/api/hubs/chat/users/a%2Fb" }] {
            let _ = verified.check_audience(std::slice::from_ref(&endpoint), resource);
        }
        let _ = (verified.user_id(), verified.transports(), verified.connection_end());
        let _ = verified.flatten().count();
        assert!(verified.expiry() > NOW);
    }
}

/// Frames cut anywhere give the same data and the same end: the first byte says where. Where they end with an error, more or
/// less of the message that has it was handed on before.
pub fn websocket(bytes: &[u8]) {
    let Some((cut, frames)) = bytes.split_first() else {
        return;
    };
    let (whole, end) = events(&[frames]);
    let (first, second) = frames.split_at(usize::from(*cut).min(frames.len()));
    let (parts, end_of_parts) = events(&[first, second]);
    assert_eq!(end_of_parts, end);
    match end {
        None => assert_eq!(parts, whole),
        Some(_) => assert!(whole.starts_with(&parts) || parts.starts_with(&whole), "{parts:?} {whole:?}"),
    }
}

/// The content of all data, and how the stream ended.
fn events(chunks: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    use hubgate_wire::websocket::Event;
    let (mut decoder, mut seen) = (Decoder::new(1 << 20), Vec::new());
    for chunk in chunks {
        let mut bytes = chunk.to_vec();
        let mut input = &mut bytes[..];
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Data { bytes, .. })) => seen.extend_from_slice(bytes),
                Ok(Some(Event::Close(code))) => return (seen, Some(format!("{code:?}"))),
                Ok(Some(_)) => {}
                Err(error) => return (seen, Some(error.to_string())),
            }
        }
    }
    (seen, None)
}

/// A few small changes of one input, sometimes with a piece of another.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\x1e\"\\{}[]:,0e-\xff\x7f\x80u";
    let mut input = random.one_of(corpus).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(6) {
            0 if at < input.len() => input[at] = *random.one_of(TELLING),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => input.insert(at, *random.one_of(TELLING)),
            3 => input.truncate(at),
            4 => {
                let end = (at + random.below(16)).min(input.len());
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let other = random.one_of(corpus);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input
}

/// Marsaglia's xorshift: what is random here must only be the same each time.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `limit`, which is at least 1.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
