//! What comes from one other node: each item once, in the order in which it was sent.

use bytes::{Bytes, BytesMut};
use hubgate_core::time::Millis;

use crate::frame::Data;

/// A frame that is missing is asked for again if it has not come for so long.
const ASK_AGAIN_AFTER: Millis = Millis(500);
/// The longest message that passes between nodes, whatever it comes with, in bytes.
pub const LARGEST_MESSAGE: usize = 64 << 20;
/// What one item may take up, in bytes. Nothing larger is to be sent: what comes after it would not be read either.
pub const LARGEST_ITEM: usize = LARGEST_MESSAGE + (16 << 20);

/// A stream of items from one node.
#[derive(Debug, Default)]
pub(crate) struct IncomingStream {
    /// Of the stream that is followed; none if none is.
    number: Option<u32>,
    /// Streams up to this one are over.
    over: u32,
    /// The sequence of the frame that comes next.
    next: u64,
    /// The beginning of an item of which more is to come.
    begun: Option<BytesMut>,
    /// When a missing frame was asked for last.
    asked: Option<Millis>,
    /// Whether frames have come since the last acknowledgement.
    is_unacknowledged: bool,
}

/// What came with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Items {
        beginning: Beginning,
        items: Vec<Bytes>,
    },
    /// It was here before, or is of a stream that is over.
    Known,
    /// Frames before it are missing.
    Early,
    /// No node sends this: an item is larger than any, or goes on with none.
    Misbehaved,
}

/// Whether a frame begins a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    No,
    /// The first stream that is followed.
    First,
    /// Another was followed before.
    Anew,
}

impl IncomingStream {
    /// Takes a frame.
    pub(crate) fn receive(&mut self, data: Data) -> Arrived {
        let beginning = match self.number {
            _ if data.stream <= self.over => return Arrived::Known,
            Some(number) if data.stream == number => Beginning::No,
            Some(_) => Beginning::Anew,
            None => Beginning::First,
        };
        if beginning != Beginning::No {
            if data.sequence != 1 {
                return Arrived::Early;
            }
            let (number, over) = (Some(data.stream), data.stream - 1);
            *self = IncomingStream { number, over, next: 1, ..IncomingStream::default() };
        }
        // A repeated frame says that its acknowledgement may be lost.
        self.is_unacknowledged |= data.sequence <= self.next;
        match data.sequence.cmp(&self.next) {
            std::cmp::Ordering::Less => return Arrived::Known,
            std::cmp::Ordering::Greater => return Arrived::Early,
            std::cmp::Ordering::Equal => {}
        }
        let Some(items) = self.join(data) else {
            return Arrived::Misbehaved;
        };
        self.next += 1;
        self.asked = None;
        Arrived::Items { beginning, items }
    }

    /// The items of the next frame that are whole with it. `None`: no node sends this.
    fn join(&mut self, data: Data) -> Option<Vec<Bytes>> {
        let Data { continues, is_cut, mut items, .. } = data;
        if continues != self.begun.is_some() {
            return None;
        }
        if continues && !items.is_empty() {
            let mut begun = self.begun.take()?;
            if begun.len() + items[0].len() > LARGEST_ITEM {
                return None;
            }
            begun.extend_from_slice(&items[0]);
            if is_cut && items.len() == 1 {
                self.begun = Some(begun);
                return Some(Vec::new());
            }
            items[0] = begun.freeze();
        }
        if is_cut {
            self.begun = Some(BytesMut::from(&*items.pop()?));
        }
        Some(items)
    }

    /// The stream and the sequence from which on frames are to be sent again, unless they were asked for just now. `stream` is that of
    /// a frame that came too early.
    pub(crate) fn ask_again(&mut self, stream: u32, now: Millis) -> Option<(u32, u64)> {
        if self.asked.is_some_and(|asked| now < asked + ASK_AGAIN_AFTER) {
            return None;
        }
        self.asked = Some(now);
        match self.number == Some(stream) {
            true => Some((stream, self.next)),
            false => Some((stream, 1)),
        }
    }

    /// What is to be acknowledged: a stream, and the sequence up to which all frames have come.
    pub(crate) fn acknowledge(&mut self) -> Option<(u32, u64)> {
        let number = self.number?;
        std::mem::take(&mut self.is_unacknowledged).then_some((number, self.next - 1))
    }

    /// The same of which streams up to `over` are over.
    pub(crate) fn after(over: u32) -> IncomingStream {
        IncomingStream { over, ..IncomingStream::default() }
    }

    /// Streams up to this one are not followed.
    pub(crate) fn ignores(&self) -> u32 {
        self.over
    }

    /// The last stream that was followed, or that is over.
    pub(crate) fn last(&self) -> u32 {
        self.number.unwrap_or(self.over)
    }
}
