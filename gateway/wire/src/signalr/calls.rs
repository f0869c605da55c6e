//! Which calls begin and end in streams of hub messages that are passed on and not decoded.

use super::HubProtocol;
use super::framing::{RECORD_SEPARATOR, length_prefix};
use super::stream::MessageStream;
use crate::messagepack::{Reader, Unexpected};
use crate::websocket::DataKind;

const INVOCATION: u32 = 1;
const COMPLETION: u32 = 3;
const STREAM_INVOCATION: u32 = 4;

/// The calls of one client that wait for their completions, in number.
///
/// They are not told apart: a call that is completed twice hides another one that waits.
#[derive(Debug)]
pub struct OpenCalls {
    from_client: Glance,
    from_server: Glance,
    waiting: usize,
    /// Streams that were begun since nothing waited.
    streams: usize,
}

impl OpenCalls {
    pub fn new(protocol: HubProtocol) -> OpenCalls {
        OpenCalls { from_client: Glance::new(protocol), from_server: Glance::new(protocol), waiting: 0, streams: 0 }
    }

    /// The client's next bytes, cut anywhere.
    pub fn client_says(&mut self, bytes: &[u8]) {
        let seen = self.from_client.follow(bytes);
        self.waiting += seen.begun;
        self.streams += seen.streams;
    }

    /// The next bytes of whoever answers it, cut anywhere.
    pub fn server_says(&mut self, bytes: &[u8]) {
        self.waiting = self.waiting.saturating_sub(self.from_server.follow(bytes).ended);
        if self.waiting == 0 {
            self.streams = 0;
        }
    }

    /// How many wait for their completions.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many of them want one result, at least: streams may have no end.
    pub fn waiting_for_results(&self) -> usize {
        self.waiting.saturating_sub(self.streams)
    }
}

/// What a piece of a stream held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    /// Calls that are to be answered, in number.
    begun: usize,
    /// Those of them that want a stream.
    streams: usize,
    /// Completions, in number.
    ended: usize,
}

impl Seen {
    /// One more message. `has_id`: whether it names an invocation.
    fn add(&mut self, kind: u32, has_id: bool) {
        match kind {
            INVOCATION if has_id => self.begun += 1,
            STREAM_INVOCATION if has_id => {
                self.begun += 1;
                self.streams += 1;
            }
            COMPLETION => self.ended += 1,
            _ => {}
        }
    }
}

/// A look at the kind of each message of one direction. What it keeps does not grow with the messages.
#[derive(Debug)]
enum Glance {
    Text(Text),
    Binary(Binary),
}

impl Glance {
    fn new(protocol: HubProtocol) -> Glance {
        match protocol.data_kind() {
            DataKind::Text => Glance::Text(Text::default()),
            DataKind::Binary => {
                Glance::Binary(Binary { stream: MessageStream::new(protocol), start: [0; LONGEST_START], length: 0 })
            }
        }
    }

    fn follow(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        match self {
            Glance::Text(text) => {
                while let Some(end) = memchr::memchr(RECORD_SEPARATOR, bytes) {
                    let (message, rest) = (&bytes[..end], &bytes[end + 1..]);
                    let at_once = if text.is_at_start() { look_at_text(message) } else { None };
                    let (kind, has_id) = at_once.unwrap_or_else(|| {
                        text.read(message);
                        let Text { kind, has_id, .. } = std::mem::take(text);
                        (kind, has_id)
                    });
                    seen.add(kind, has_id);
                    bytes = rest;
                }
                text.read(bytes);
            }
            Glance::Binary(binary) => {
                while let Some(end) = binary.stream.next_end(bytes) {
                    binary.read(&bytes[..end]);
                    let (kind, has_id) = binary.look();
                    seen.add(kind, has_id);
                    bytes = &bytes[end..];
                }
                binary.read(bytes);
            }
        }
        seen
    }
}

/// What a whole message is, where its members are in the order that .NET or JavaScript writes them in; others are read.
fn look_at_text(message: &[u8]) -> Option<(u32, bool)> {
    const ID: &[u8] = b"\"invocationId\":\"";
    const NAME: &[u8] = b"\"invocationId\"";
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    if let Some([kind, b',' | b'}', rest @ ..]) = message.strip_prefix(b"{\"type\":") {
        let kind = digit(kind)?;
        return match rest.starts_with(ID) {
            true => Some((kind, true)),
            false => memchr::memmem::find(rest, NAME).is_none().then_some((kind, false)),
        };
    }
    let [before @ .., kind, b'}'] = message else { return None };
    let (kind, before) = (digit(kind)?, before.strip_suffix(b",\"type\":")?);
    let Some(at) = memchr::memmem::rfind(before, NAME) else { return Some((kind, false)) };
    let is_outermost = before[..at].ends_with(b",") || before[..at] == *b"{";
    let is_flat = !before[at..].iter().any(|byte| b"{[]}\\".contains(byte));
    (is_outermost && is_flat && before[at..].starts_with(ID)).then_some((kind, true))
}

/// The longest name of a member that counts.
const LONGEST_NAME: usize = "invocationId".len();

/// A place in a JSON message, whose members may come in any order.
#[derive(Debug, Default)]
struct Text {
    /// How many objects and arrays are open.
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
    /// Between a member's colon and the comma behind its value.
    is_at_value: bool,
    /// The name of the outermost object's member, as far as it can count.
    name: [u8; LONGEST_NAME],
    /// The length of the whole name.
    name_length: usize,
    kind: u32,
    has_id: bool,
}

impl Text {
    fn is_at_start(&self) -> bool {
        self.depth == 0 && !self.is_in_text && self.kind == 0
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = rest;
            if !self.is_in_text {
                self.outside_text(*byte);
            } else if self.is_escaped {
                self.is_escaped = false;
                self.name_byte(*byte);
            } else {
                match byte {
                    b'"' => self.is_in_text = false,
                    b'\\' => {
                        self.is_escaped = true;
                        self.name_byte(*byte);
                    }
                    byte if self.is_name() => self.name_byte(*byte),
                    _ => bytes = &bytes[memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())..],
                }
            }
        }
    }

    /// Whether the text that is open is the name of a member of the outermost object.
    fn is_name(&self) -> bool {
        self.depth == 1 && !self.is_at_value
    }

    fn name_byte(&mut self, byte: u8) {
        if !self.is_name() {
            return;
        }
        if let Some(place) = self.name.get_mut(self.name_length) {
            *place = byte;
        }
        self.name_length = self.name_length.saturating_add(1);
    }

    fn has_name(&self, name: &str) -> bool {
        self.name_length == name.len() && self.name.starts_with(name.as_bytes())
    }

    fn outside_text(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.is_in_text = true;
                if self.is_name() {
                    self.name_length = 0;
                } else if self.depth == 1 && self.has_name("invocationId") {
                    self.has_id = true;
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => self.is_at_value = true,
            b',' if self.depth == 1 => self.is_at_value = false,
            b'0'..=b'9' if self.depth == 1 && self.is_at_value && self.has_name("type") => {
                self.kind = self.kind.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
            }
            _ => {}
        }
    }
}

/// How much of a message tells what it is, where its writer adds no headers.
const LONGEST_START: usize = 32;

/// A place in a stream of MessagePack messages.
#[derive(Debug)]
struct Binary {
    stream: MessageStream,
    /// The beginning of the message, with its length.
    start: [u8; LONGEST_START],
    length: usize,
}

impl Binary {
    fn read(&mut self, bytes: &[u8]) {
        let free = &mut self.start[self.length..];
        let taken = bytes.len().min(free.len());
        free[..taken].copy_from_slice(&bytes[..taken]);
        self.length += taken;
    }

    /// What the message is that has ended; the next one begins.
    fn look(&mut self) -> (u32, bool) {
        let start = &self.start[..std::mem::take(&mut self.length)];
        let Ok(Some((_, prefix))) = length_prefix(start) else {
            return (0, false);
        };
        let mut reader = Reader::new(&start[prefix..]);
        let kind = reader.array().and_then(|_| reader.integer()).ok().and_then(|kind| u32::try_from(kind).ok());
        // An id that does not fit is one; behind headers that do not fit there may be one.
        (kind.unwrap_or_default(), id(&mut reader).unwrap_or(true))
    }
}

/// Whether a message names an invocation, from its headers on.
fn id(reader: &mut Reader<'_>) -> Result<bool, Unexpected> {
    for _ in 0..2 * reader.map()? {
        reader.value()?;
    }
    reader.optional_text().map(|id| id.is_some())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{CompletionOutcome, HubMessage, Invocation};
    use super::*;
    use crate::payload::PayloadRef;

    /// How many calls wait once all of this was said, in pieces of so many bytes.
    #[track_caller]
    fn waiting(protocol: HubProtocol, client: &[u8], server: &[u8], expected: [usize; 2]) {
        for cut in [1, 2, 3, 7, 50, 10_000] {
            let mut calls = OpenCalls::new(protocol);
            client.chunks(cut).for_each(|piece| calls.client_says(piece));
            assert_eq!(calls.waiting(), expected[0], "begun, in pieces of {cut}");
            server.chunks(cut).for_each(|piece| calls.server_says(piece));
            assert_eq!(calls.waiting(), expected[1], "left, in pieces of {cut}");
        }
    }

    #[test]
    fn calls_in_json_wait_until_they_are_completed_whatever_order_their_members_have() {
        let client = [
            r#"{"type":1,"invocationId":"1","target":"m","arguments":[]}"#,
            r#"{ "arguments" : [{"type":6,"invocationId":null},"\"}"], "invocationId" : "2" , "target":"m","type" : 1 }"#,
            r#"{"streamIds":["9"],"type":4,"invocationId":"3","target":"m","arguments":["\\"]}"#,
            // Nobody waits for the answers of these.
            r#"{"type":1,"target":"m","arguments":["invocationId",{"invocationId":"x"}]}"#,
            r#"{"invocationId":null,"type":1,"target":"invocationId","arguments":[]}"#,
            r#"{"type":11,"invocationId":"4"}"#,
            r#"{"type":2,"invocationId":"9","item":{"type":1}}"#,
            r#"{"type":3,"invocationId":"9"}"#,
            r#"{"type":6}"#,
            "nonsense\"",
            "",
        ];
        let server = [
            r#"{"type":3,"invocationId":"1","result":{"type":3}}"#,
            r#"{"type":2,"invocationId":"3","item":{"type":3}}"#,
            r#"{"type":1,"target":"type","arguments":[3,{"type":3}]}"#,
            r#"{"invocationId":"3","error":"type\":3","type":3}"#,
        ];
        let text = |messages: &[&str]| messages.iter().map(|message| format!("{message}\x1e")).collect::<String>();
        waiting(HubProtocol::Json, text(&client).as_bytes(), text(&server).as_bytes(), [3, 1]);
    }

    #[test]
    fn calls_in_messagepack_wait_until_they_are_completed() {
        let arguments = PayloadRef::MessagePack(b"\x91\xa1x");
        let call = |id: Option<&'static str>, headers: usize| Invocation {
            headers: (0..headers).map(|_| (Cow::from("a name of a header"), Cow::from("value"))).collect(),
            invocation_id: id.map(Into::into),
            target: "method".into(),
            arguments,
            stream_ids: Vec::new(),
        };
        let long = "an id that is longer than what is kept of a message";
        let id = || Cow::from("1");
        let client = [
            HubMessage::Invocation(call(Some("1"), 0)),
            HubMessage::Invocation(call(Some(long), 0)),
            HubMessage::StreamInvocation(call(Some("2"), 0)),
            HubMessage::Invocation(call(None, 0)),
            HubMessage::Ping,
            HubMessage::StreamItem { headers: Vec::new(), invocation_id: id(), item: arguments },
        ];
        let server = [
            HubMessage::Completion { headers: Vec::new(), invocation_id: id(), outcome: CompletionOutcome::Void },
            HubMessage::Invocation(call(None, 0)),
            HubMessage::Ping,
        ];
        for protocol in [HubProtocol::MessagePack, HubProtocol::BlazorPack] {
            let bytes = |messages: &[HubMessage<'_>]| {
                let mut out = Vec::new();
                messages.iter().for_each(|message| protocol.write(message, &mut out));
                out
            };
            waiting(protocol, &bytes(&client), &bytes(&server), [3, 2]);
            let unclear = bytes(&[HubMessage::Invocation(call(None, 3))]);
            waiting(protocol, &unclear, &[], [1, 1]);
        }
    }

    #[test]
    fn what_is_seen_at_a_glance_is_what_reading_finds() {
        for (message, expected) in [
            (r#"{"type":1,"invocationId":"1","target":"m","arguments":[]}"#, Some((1, true))),
            (r#"{"type":1,"target":"m","arguments":[]}"#, Some((1, false))),
            (r#"{"type":3,"invocationId":"1","result":{"type":1}}"#, Some((3, true))),
            (r#"{"type":6}"#, Some((6, false))),
            (r#"{"arguments":[{"a":1}],"invocationId":"0","target":"m","type":1}"#, Some((1, true))),
            (r#"{"arguments":[{"a":1}],"target":"m","type":1}"#, Some((1, false))),
            // Whose id it is takes a look at all of it.
            (r#"{"type":1,"target":"m","arguments":[{"invocationId":"x"}]}"#, None),
            (r#"{"arguments":[{"a":1,"invocationId":"x"}],"target":"m","type":1}"#, None),
            (r#"{"arguments":["\",\"invocationId\":\"x"],"target":"m","type":1}"#, Some((1, false))),
            (r#"{"invocationId":null,"target":"m","type":1}"#, None),
            (r#"{"type":11,"invocationId":"4"}"#, None),
            (r#"{ "type": 1 }"#, None),
        ] {
            assert_eq!(look_at_text(message.as_bytes()), expected, "{message}");
            let mut text = Text::default();
            text.read(message.as_bytes());
            assert!(expected.is_none_or(|expected| expected == (text.kind, text.has_id)), "{message}");
        }
    }

    #[test]
    fn streams_are_no_results_that_are_waited_for() {
        let mut calls = OpenCalls::new(HubProtocol::Json);
        calls.client_says(b"{\"type\":4,\"invocationId\":\"1\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (1, 0));
        calls.client_says(b"{\"type\":1,\"invocationId\":\"2\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (2, 1));
        calls.server_says(b"{\"type\":3,\"invocationId\":\"2\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (1, 0));
        calls.server_says(b"{\"type\":3,\"invocationId\":\"1\"}\x1e");
        calls.client_says(b"{\"type\":1,\"invocationId\":\"3\"}\x1e");
        assert_eq!((calls.waiting(), calls.waiting_for_results()), (1, 1));
    }

    #[test]
    fn no_completion_is_counted_for_a_call_that_never_was() {
        let mut calls = OpenCalls::new(HubProtocol::Json);
        calls.server_says(b"{\"type\":3,\"invocationId\":\"1\"}\x1e");
        calls.client_says(b"{\"type\":1,\"invocationId\":\"1\"}\x1e");
        assert_eq!(calls.waiting(), 1);
    }
}
