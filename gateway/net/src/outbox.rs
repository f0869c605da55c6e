//! What waits to be written to one client.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

/// Frames that one system call takes.
const FRAMES_PER_WRITE: usize = 64;

/// Frames in their order, bounded in bytes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Bytes>,
    /// How much of the first frame has left already.
    written: usize,
    bytes: usize,
}

/// What came of a try to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// The socket takes no more for now.
    Blocked,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether `more` bytes are within `limit`. An empty outbox takes a frame of any size.
    pub(crate) fn has_room(&self, more: usize, limit: usize) -> bool {
        self.is_empty() || self.bytes + more <= limit
    }

    /// All that waits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Writes all that the socket takes, many frames in one call.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Flushed> {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                let start = if count == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&frame[start..]);
                count += 1;
            }
            match write(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.frames.capacity() > FRAMES_PER_WRITE {
            // A burst must not cost an idle connection memory for ever.
            self.frames = VecDeque::new();
        }
        Ok(Flushed::All)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.frames.front() {
            let left = front.len() - self.written;
            if written < left {
                self.written += written;
                return;
            }
            written -= left;
            self.written = 0;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to a socket that takes `room` bytes a call and blocks after `calls` of them.
    fn flush(outbox: &mut Outbox, room: usize, mut calls: usize) -> (Vec<u8>, Flushed) {
        let mut out = Vec::new();
        let flushed = outbox.flush(|slices| {
            if calls == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            calls -= 1;
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let taken = all.len().min(room);
            out.extend_from_slice(&all[..taken]);
            Ok(taken)
        });
        (out, flushed.expect("the socket works"))
    }

    #[test]
    fn what_is_queued_leaves_in_one_write() {
        let mut outbox = Outbox::default();
        outbox.push("one ".into());
        outbox.push("two".into());
        assert_eq!(flush(&mut outbox, 100, 1), (b"one two".to_vec(), Flushed::All));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_write_goes_on_where_the_socket_stopped() {
        let mut outbox = Outbox::default();
        outbox.push("one ".into());
        outbox.push("two".into());
        assert_eq!(flush(&mut outbox, 5, 1), (b"one t".to_vec(), Flushed::Blocked));
        outbox.push("!".into());
        assert_eq!(flush(&mut outbox, 1, 9), (b"wo!".to_vec(), Flushed::All));
    }

    #[test]
    fn one_message_of_any_size_passes_when_nothing_else_waits() {
        let mut outbox = Outbox::default();
        assert!(outbox.has_room(1_000, 10));
        outbox.push(vec![0; 1_000].into());
        assert!(!outbox.has_room(1, 10));
        flush(&mut outbox, 995, 1);
        assert!(outbox.has_room(5, 10) && !outbox.has_room(6, 10));
    }
}
