//! Where messages end in a stream that is passed on and not decoded.

use super::HubProtocol;
use super::framing::RECORD_SEPARATOR;
use crate::websocket::DataKind;

/// A place in a stream of hub messages of one protocol, whose bytes come cut anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageStream {
    kind: DataKind,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind a whole message, or at the beginning.
    Between,
    /// In a message that ends at its separator.
    Text,
    /// In the length before a message: what is known of it, and the number of bytes that told it.
    Prefix { length: usize, bytes: u8 },
    /// In a message of which so many bytes are missing.
    Body { missing: usize },
    /// Behind a length of more than 31 bits: no message ends any more.
    Lost,
}

impl MessageStream {
    pub fn new(protocol: HubProtocol) -> MessageStream {
        MessageStream { kind: protocol.data_kind(), place: Place::Between }
    }

    /// Whether no message is begun.
    pub fn is_between_messages(&self) -> bool {
        self.place == Place::Between
    }

    /// Goes over the next bytes up to the end of one message, and gives where that is; over all of them if no message ends
    /// in them.
    pub fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.kind == DataKind::Text {
            let end = memchr::memchr(RECORD_SEPARATOR, bytes);
            self.place = match end {
                Some(_) => Place::Between,
                None if bytes.is_empty() => self.place,
                None => Place::Text,
            };
            return end.map(|end| end + 1);
        }
        let mut position = 0;
        loop {
            match self.place {
                Place::Body { missing } => {
                    let left = bytes.len() - position;
                    if missing > left {
                        self.place = Place::Body { missing: missing - left };
                        return None;
                    }
                    self.place = Place::Between;
                    return Some(position + missing);
                }
                Place::Lost | Place::Text => return None,
                Place::Between | Place::Prefix { .. } => {
                    let byte = *bytes.get(position)?;
                    position += 1;
                    self.place = self.behind_prefix_byte(byte);
                }
            }
        }
    }

    fn behind_prefix_byte(&self, byte: u8) -> Place {
        let (length, bytes) = match self.place {
            Place::Prefix { length, bytes } => (length, bytes),
            Place::Between | Place::Text | Place::Body { .. } | Place::Lost => (0, 0),
        };
        let length = length | usize::from(byte & 0x7f) << (7 * bytes);
        match byte & 0x80 {
            _ if bytes == 4 && byte > 7 => Place::Lost,
            0 => Place::Body { missing: length },
            _ => Place::Prefix { length, bytes: bytes + 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_message_that_is_begun_is_found() {
        let mut stream = MessageStream::new(HubProtocol::MessagePack);
        assert_eq!(stream.next_end(b"\x03a"), None);
        assert_eq!(stream.next_end(b"bc\x01d"), Some(2));
        assert!(stream.is_between_messages());
        let mut stream = MessageStream::new(HubProtocol::Json);
        assert_eq!(stream.next_end(b"{"), None);
        assert_eq!(stream.next_end(b"}\x1e{}\x1e"), Some(2));
    }

    #[test]
    fn behind_a_length_that_is_too_long_nothing_ends() {
        let mut stream = MessageStream::new(HubProtocol::MessagePack);
        assert_eq!(stream.next_end(b"\xff\xff\xff\xff\xff"), None);
        assert_eq!(stream.next_end(&[0; 100]), None);
        assert!(!stream.is_between_messages());
    }
}
