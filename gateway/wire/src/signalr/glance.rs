//! Where each message ends in a stream of hub messages that is passed on and not decoded, and what kind it is.

use super::HubProtocol;
use super::framing::RECORD_SEPARATOR;
use super::stream::MessageStream;
use crate::messagepack::{Head, Reader, Unexpected};
use crate::websocket::DataKind;

const INVOCATION: u32 = 1;
const COMPLETION: u32 = 3;
const STREAM_INVOCATION: u32 = 4;

/// What a piece of a stream held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Messages that ended in it, in number.
    pub(super) messages: usize,
    /// Where the last of them ended; 0 if none did.
    pub(super) whole: usize,
    /// Calls that are to be answered, in number.
    pub(super) begun: usize,
    /// Those of them that want a stream.
    pub(super) streams: usize,
    /// Completions, in number.
    pub(super) ended: usize,
}

impl Seen {
    /// One more message. `has_id`: whether it names an invocation.
    fn add(&mut self, (kind, has_id): (u32, bool)) {
        self.messages += 1;
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

/// A look at each message of one direction. What it keeps does not grow with the messages.
#[derive(Debug)]
pub(super) struct Glance {
    stream: MessageStream,
    /// The message that is begun.
    begun: Begun,
}

#[derive(Debug)]
enum Begun {
    Text(Text),
    Binary(Binary),
}

impl Glance {
    pub(super) fn new(protocol: HubProtocol) -> Glance {
        let begun = match protocol.data_kind() {
            DataKind::Text => Begun::Text(Text::default()),
            DataKind::Binary => Begun::Binary(Binary::default()),
        };
        Glance { stream: MessageStream::new(protocol), begun }
    }

    /// Where it is in the stream.
    pub(super) fn stream(&self) -> MessageStream {
        self.stream
    }

    /// Goes over the next bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let is_at_start = self.stream.is_between_messages();
            let Some(end) = self.stream.next_end(rest) else {
                self.begun.read(rest);
                break;
            };
            let (message, next) = rest.split_at(end);
            seen.add(self.begun.end(message, is_at_start));
            rest = next;
            seen.whole = bytes.len() - rest.len();
        }
        seen
    }
}

impl Begun {
    fn read(&mut self, bytes: &[u8]) {
        match self {
            Begun::Text(text) => text.read(bytes),
            Begun::Binary(binary) => binary.read(bytes),
        }
    }

    /// What the message is that ends with `bytes`, and whether it names an invocation; `is_whole`: whether it also begins with them.
    fn end(&mut self, bytes: &[u8], is_whole: bool) -> (u32, bool) {
        match self {
            Begun::Text(text) => {
                let message = bytes.strip_suffix(&[RECORD_SEPARATOR]).unwrap_or(bytes);
                let at_once = if is_whole { look_at_text(message) } else { None };
                at_once.unwrap_or_else(|| {
                    text.read(message);
                    let Text { kind, has_id, .. } = std::mem::take(text);
                    (kind, has_id)
                })
            }
            Begun::Binary(binary) => {
                binary.read(bytes);
                let Binary { kind, has_id, .. } = std::mem::take(binary);
                (kind, has_id)
            }
        }
    }
}

/// The type of a whole message without what frames it; 0 if it has none.
pub(super) fn kind_of(protocol: HubProtocol, message: &[u8]) -> u32 {
    match protocol.data_kind() {
        DataKind::Text => {
            let read = || {
                let mut text = Text::default();
                text.read(message);
                text.kind
            };
            look_at_text(message).map_or_else(read, |(kind, _)| kind)
        }
        DataKind::Binary => {
            let mut binary = Binary { part: Part::Fields, ..Binary::default() };
            binary.read(message);
            binary.kind
        }
    }
}

/// What a whole message is, where its members are in the order that .NET or JavaScript writes them in; others are read.
fn look_at_text(message: &[u8]) -> Option<(u32, bool)> {
    const ID: &[u8] = b"\"invocationId\":\"";
    const NAME: &[u8] = b"\"invocationId\"";
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    if let Some([kind, b',' | b'}', rest @ ..]) = message.strip_prefix(b"{\"type\":") {
        let kind = digit(kind)?;
        return match kind {
            _ if rest.starts_with(ID) => Some((kind, true)),
            INVOCATION | STREAM_INVOCATION => memchr::memmem::find(rest, NAME).is_none().then_some((kind, false)),
            // Whether it names an invocation further on does not matter.
            _ => Some((kind, false)),
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
    /// Between a member's colon and the comma after its value.
    is_at_value: bool,
    /// The name of the outermost object's member, as far as it can count.
    name: [u8; LONGEST_NAME],
    /// The length of the whole name.
    name_length: usize,
    kind: u32,
    has_id: bool,
}

impl Text {
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

/// The longest beginning of a value that tells how long the rest is.
const LONGEST_HEAD: usize = 9;

/// A place in a MessagePack message.
#[derive(Debug, Default)]
struct Binary {
    part: Part,
    /// The beginning of a value, with its length.
    head: [u8; LONGEST_HEAD],
    length: usize,
    /// Bytes of a value that are still to come, and tell nothing.
    skipped: usize,
    kind: u32,
    has_id: bool,
}

/// What comes next in a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Length,
    Fields,
    Kind,
    Headers,
    /// So many names and values of headers, and at least one.
    Header(usize),
    Id,
    /// Nothing that counts.
    Rest,
}

impl Binary {
    fn read(&mut self, mut bytes: &[u8]) {
        while self.part != Part::Rest {
            let skipped = self.skipped.min(bytes.len());
            self.skipped -= skipped;
            let Some((byte, rest)) = bytes[skipped..].split_first() else {
                return;
            };
            bytes = rest;
            match self.part {
                Part::Length if byte & 0x80 != 0 => {}
                Part::Length => self.part = Part::Fields,
                Part::Fields | Part::Kind | Part::Headers | Part::Header(_) | Part::Id | Part::Rest => {
                    self.head_byte(*byte);
                }
            }
        }
    }

    fn head_byte(&mut self, byte: u8) {
        self.head[self.length] = byte;
        self.length += 1;
        match Reader::new(&self.head[..self.length]).head() {
            Ok(head) => {
                self.length = 0;
                self.part = self.after(head);
            }
            Err(Unexpected) if self.length == LONGEST_HEAD => self.part = Part::Rest,
            Err(Unexpected) => {}
        }
    }

    /// What comes after a value that begins like this. A message that is none of the protocol's tells no more.
    fn after(&mut self, head: Head) -> Part {
        match (self.part, head) {
            (Part::Fields, Head::Array(_)) => Part::Kind,
            (Part::Kind, Head::Integer(kind)) => {
                self.kind = u32::try_from(kind).unwrap_or_default();
                match self.kind {
                    INVOCATION | STREAM_INVOCATION => Part::Headers,
                    _ => Part::Rest,
                }
            }
            (Part::Headers, Head::Map(0)) => Part::Id,
            (Part::Headers, Head::Map(pairs)) => Part::Header(pairs.saturating_mul(2)),
            (Part::Header(left), Head::Text(length)) => {
                self.skipped = length;
                match left {
                    1 => Part::Id,
                    _ => Part::Header(left - 1),
                }
            }
            (Part::Id, Head::Text(_)) => {
                self.has_id = true;
                Part::Rest
            }
            _ => Part::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
