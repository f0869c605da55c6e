//! What is kept of a message that is too long to be taken.

use super::{ServiceMessage, parse};
use crate::messagepack::{Head, Reader, write_binary, write_nil, write_text};

/// Texts and binaries of more bytes are left out: no name and no id is as long.
const LONGEST_VALUE: usize = 4_096;
/// Bytes that are kept of one message.
const LONGEST: usize = 64 * 1024;
/// Bytes that say what a value is, and how long.
const LONGEST_HEAD: usize = 9;

/// A message that is passed over as it comes. What is short in it is kept, so that its sender can be told which one it was.
#[derive(Debug)]
pub struct Abridged {
    /// Bytes of the message that have not come.
    missing: usize,
    /// Bytes to be kept of the value that is read, and bytes to be left out.
    kept: usize,
    left_out: usize,
    /// The beginning of a value that does not say yet what it is.
    head: Vec<u8>,
    /// Nothing of what is no MessagePack, or has too many values.
    body: Option<Vec<u8>>,
}

impl Abridged {
    /// A message of so many bytes, without its length, none of which has been read.
    pub fn new(length: usize) -> Abridged {
        Abridged { missing: length, kept: 0, left_out: 0, head: Vec::new(), body: Some(Vec::new()) }
    }

    /// Takes what belongs to the message off the front of `input`; gives whether all of it has come.
    pub fn read(&mut self, input: &mut &[u8]) -> bool {
        let (mut bytes, rest) = input.split_at(self.missing.min(input.len()));
        self.missing -= bytes.len();
        *input = rest;
        while !bytes.is_empty() {
            let Some(body) = &mut self.body else {
                break;
            };
            if self.left_out > 0 {
                let left_out;
                (left_out, bytes) = bytes.split_at(self.left_out.min(bytes.len()));
                self.left_out -= left_out.len();
            } else if self.kept > 0 {
                let kept;
                (kept, bytes) = bytes.split_at(self.kept.min(bytes.len()));
                self.kept -= kept.len();
                body.extend_from_slice(kept);
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                self.read_head();
            }
        }
        self.missing == 0
    }

    /// The message with nothing in the place of what was long, if that can be told.
    pub fn message(&self) -> Option<ServiceMessage<'_>> {
        parse(self.body.as_deref()?).ok()
    }

    fn read_head(&mut self) {
        let (Ok(head), Some(body)) = (Reader::new(&self.head).head(), &mut self.body) else {
            if self.head.len() >= LONGEST_HEAD {
                self.body = None;
            }
            return;
        };
        let length = match head {
            Head::Text(length) | Head::Binary(length) | Head::Extension { length, .. } => length,
            _ => 0,
        };
        if length <= LONGEST_VALUE {
            self.kept = length;
            body.extend_from_slice(&self.head);
        } else {
            self.left_out = length;
            match head {
                Head::Text(_) => write_text("", body),
                Head::Binary(_) => write_binary(b"", body),
                _ => write_nil(body),
            }
        }
        self.head.clear();
        if body.len() + self.kept > LONGEST {
            self.body = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientInvocation, CloseUserConnectionsWithAck, write};
    use super::*;

    fn written(message: &ServiceMessage<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(message, &mut bytes);
        let mut input = &bytes[..];
        super::super::split_message(&mut input).expect("a length").expect("a whole message").to_vec()
    }

    fn call(payload: &[u8]) -> ServiceMessage<'_> {
        ServiceMessage::ClientInvocation(ClientInvocation {
            invocation_id: "id",
            connection_id: "client",
            caller_server_id: "server",
            payloads: vec![("json", payload), ("messagepack", b"short")],
            ..ClientInvocation::default()
        })
    }

    /// Reads `body`, with a byte of what follows, in pieces of `size` bytes.
    fn abridged(body: &[u8], size: usize) -> Abridged {
        let mut abridged = Abridged::new(body.len());
        let bytes = [body, b"\x2a"].concat();
        for piece in bytes.chunks(size) {
            let mut piece = piece;
            if abridged.read(&mut piece) {
                assert!(piece.is_empty() || piece == [0x2a], "what follows is not taken");
                return abridged;
            }
            assert!(piece.is_empty());
        }
        panic!("it is there as a whole");
    }

    #[test]
    fn what_is_short_in_a_long_message_is_kept_wherever_it_is_cut() {
        let long = vec![b'x'; 100_000];
        let body = written(&call(&long));
        for size in [1, 2, 7, 4_096, 99_999, 1_000_000] {
            assert_eq!(abridged(&body, size).message(), Some(call(b"")), "{size}");
        }
        let short = written(&call(b"1"));
        assert_eq!(abridged(&short, 3).message(), Some(call(b"1")));
    }

    #[test]
    fn long_texts_are_left_out_and_lengths_of_all_kinds_are_read() {
        for length in [4_096, 4_097, 70_000] {
            let user_id = "u".repeat(length);
            let close = CloseUserConnectionsWithAck { user_id: &user_id, ack_id: 70_000, ..Default::default() };
            let kept = if length > LONGEST_VALUE { "" } else { &*user_id };
            let expected = CloseUserConnectionsWithAck { user_id: kept, ..close.clone() };
            let body = written(&ServiceMessage::CloseUserConnectionsWithAck(close));
            let expected = ServiceMessage::CloseUserConnectionsWithAck(expected);
            assert_eq!(abridged(&body, 1_000).message(), Some(expected), "{length}");
        }
    }

    #[test]
    fn nothing_is_kept_of_many_values_or_of_what_is_no_message() {
        let many = CloseUserConnectionsWithAck { excluded: vec!["client"; 20_000], ..Default::default() };
        let many = abridged(&written(&ServiceMessage::CloseUserConnectionsWithAck(many)), 10_000);
        assert_eq!((many.message(), many.body.is_none()), (None, true));
        for garbage in [vec![0xc1; 100_000], vec![0x91; 100_000], vec![0xff; 10]] {
            assert_eq!(abridged(&garbage, 1_000).message(), None);
        }
    }
}
