//! What waits to be written to one peer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::Waker;

use bytes::Bytes;
use hubgate_core::TransportKey;
use hubgate_wire::websocket::FRAME_OVERHEAD;
use tokio::sync::mpsc;

use crate::outboxes::Part;

/// Frames that one system call takes.
const FRAMES_PER_WRITE: usize = 64;
/// A peer for which more than so many bytes wait that it has caused itself is not read until they have left.
pub(crate) const MAX_OWN_WAITING: usize = 64 * 1024;
/// What a frame takes up here whose bytes are shared with others, in bytes: its slot in a queue that doubles as it grows.
const SLOT: usize = 80;

/// Frames in their order, with what they take up in memory.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Queued>,
    /// How much of the first frame has left already.
    written: usize,
    /// What all frames take up, the written part of the first one included.
    cost: usize,
    /// What those frames take up that the peer has caused itself, counted from when it had none here.
    own_cost: usize,
    /// The last of those frames, as a number of [`Flow::queued`].
    last_own: u64,
    /// What all frames take up without what they share with other outboxes.
    alone: usize,
    flow: Flow,
    /// What tells that a frame has left, by the frame's number of [`Flow::queued`].
    marks: VecDeque<(u64, Mark)>,
    /// In the account of all outboxes.
    part: Option<Part>,
}

/// Goes with a frame. It tells the shard of the frame's client, by being dropped, that the frame has left, or never will.
#[derive(Debug)]
pub(crate) struct Mark {
    client: TransportKey,
    taken: mpsc::UnboundedSender<TransportKey>,
}

/// What was next to leave.
#[derive(Debug)]
pub(crate) struct Popped {
    pub(crate) bytes: Bytes,
    pub(crate) cause: Cause,
    pub(crate) mark: Option<Mark>,
}

#[derive(Debug)]
struct Queued {
    bytes: Bytes,
    sharing: Sharing,
    cause: Cause,
}

/// Whether a frame is in one outbox or in many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    Alone,
    /// Its bytes are counted once for all.
    Shared,
}

/// How much has passed through a queue, in totals that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Messages that came in.
    pub(crate) queued: u64,
    /// Those of them that have left as a whole.
    pub(crate) left: u64,
    /// Bytes that have left.
    pub(crate) bytes: u64,
}

/// Who is the reason that something is sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The peer, by what it said.
    Receiver,
    /// Somebody else, or time.
    Others,
}

/// How much may wait for a peer, in bytes, with what each frame costs beside them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) limit: usize,
    /// What waits for it outside the outbox, and counts with what is in it.
    pub(crate) elsewhere: usize,
}

/// There is no room for this frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) Bytes);

/// What came of a try to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// The socket takes no more for now.
    Blocked,
}

/// What a queued frame of so many bytes takes up.
fn cost(length: usize) -> usize {
    length + FRAME_OVERHEAD
}

impl Mark {
    pub(crate) fn new(client: TransportKey, taken: mpsc::UnboundedSender<TransportKey>) -> Mark {
        Mark { client, taken }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // A shard that has ended has no use for it.
        let _ = self.taken.send(self.client);
    }
}

impl Queued {
    /// What it takes up without what it shares.
    fn alone(&self) -> usize {
        match self.sharing {
            Sharing::Alone => cost(self.bytes.len()),
            Sharing::Shared => SLOT,
        }
    }
}

impl Outbox {
    /// An empty one, whose content counts in the account of all outboxes.
    pub(crate) fn counted(part: Part) -> Outbox {
        Outbox { part: Some(part), ..Outbox::default() }
    }

    /// Takes all that is queued into another outbox, on the same accounts.
    pub(crate) fn take_all(&mut self) -> Outbox {
        let empty = Outbox { part: self.part.as_ref().map(Part::another), ..Outbox::default() };
        std::mem::replace(self, empty)
    }

    /// Counts what is queued, which does not leave at once. `waker` lets the peer notice that it [must go](Outbox::must_go).
    pub(crate) fn settle(&mut self, waker: Option<&Waker>) {
        let (alone, waiting) = (self.alone, self.waiting());
        if let Some(part) = &mut self.part {
            part.settle(alone, waiting, waker);
        }
    }

    /// Whether its peer is to be let go, because too much waits for all peers together.
    pub(crate) fn must_go(&self) -> bool {
        self.part.as_ref().is_some_and(Part::must_go)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Queues a frame if there is room for it. A peer for which nothing waits is sent a frame of any size.
    pub(crate) fn push_within(
        &mut self,
        Bound { limit, elsewhere }: Bound,
        frame: Bytes,
        cause: Cause,
        sharing: Sharing,
    ) -> Result<(), Full> {
        let waiting = self.waiting() + elsewhere;
        if waiting > 0 && waiting + cost(frame.len()) > limit {
            return Err(Full(frame));
        }
        self.push(frame, cause, sharing);
        Ok(())
    }

    /// What has still to leave, in bytes, with what each frame costs beside them.
    pub(crate) fn waiting(&self) -> usize {
        self.cost - self.written
    }

    /// How much waits because of the peer itself: at most so much.
    pub(crate) fn own_waiting(&self) -> usize {
        self.own_cost.min(self.waiting())
    }

    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// Queues what has to be said to the peer in any case, or waits on its account already.
    pub(crate) fn push(&mut self, frame: Bytes, cause: Cause, sharing: Sharing) {
        let cost = cost(frame.len());
        let frame = Queued { bytes: frame, sharing, cause };
        self.alone += frame.alone();
        self.cost += cost;
        self.flow.queued += 1;
        if cause == Cause::Receiver {
            self.own_cost += cost;
            self.last_own = self.flow.queued;
        }
        self.frames.push_back(frame);
    }

    /// Lets a mark go with the frame that was queued last.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.push_back((self.flow.queued, mark));
    }

    /// What has still to leave, in bytes, without what it costs to keep it.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting() - self.frames.len() * FRAME_OVERHEAD
    }

    /// The next frame, with what goes with it.
    pub(crate) fn pop(&mut self) -> Option<Popped> {
        let Queued { bytes, cause, .. } = self.frames.front()?;
        let (bytes, cause) = (bytes.slice(self.written..), *cause);
        let next = self.flow.left + 1;
        let is_marked = self.marks.front().is_some_and(|(frame, _)| *frame == next);
        let mark = if is_marked { self.marks.pop_front().map(|(_, mark)| mark) } else { None };
        self.advance(bytes.len());
        Some(Popped { bytes, cause, mark })
    }

    /// Takes up to `most` of the next bytes. They are copied, so that a small piece does not keep a large frame.
    pub(crate) fn take(&mut self, most: usize) -> Bytes {
        let mut piece = Vec::with_capacity(most.min(self.bytes()));
        let taken = self.flush(|slices| {
            let before = piece.len();
            for slice in slices {
                piece.extend_from_slice(&slice[..slice.len().min(most - piece.len())]);
            }
            match piece.len() - before {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            }
        });
        debug_assert!(taken.is_ok(), "memory takes all that there is room for");
        piece.into()
    }

    /// Drops all that waits.
    pub(crate) fn clear(&mut self) {
        *self = Outbox { flow: self.flow, part: self.part.take(), ..Outbox::default() };
        self.settle(None);
    }

    /// Writes all that the socket takes, many frames in one call.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Flushed> {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                let start = if count == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&frame.bytes[start..]);
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
        Ok(Flushed::All)
    }

    fn advance(&mut self, mut written: usize) {
        self.flow.bytes += written as u64;
        while let Some(front) = self.frames.front() {
            let left = front.bytes.len() - self.written;
            if written < left {
                self.written += written;
                break;
            }
            written -= left;
            self.written = 0;
            self.cost -= cost(front.bytes.len());
            self.alone -= front.alone();
            self.flow.left += 1;
            self.frames.pop_front();
        }
        while self.marks.front().is_some_and(|(frame, _)| *frame <= self.flow.left) {
            self.marks.pop_front();
        }
        if self.flow.left >= self.last_own {
            self.own_cost = 0;
        }
        if self.frames.capacity() > FRAMES_PER_WRITE.max(4 * self.frames.len()) {
            // A burst must not cost the connection memory for ever.
            self.frames.shrink_to(2 * self.frames.len());
        }
        if self.part.as_ref().is_some_and(Part::is_counted) {
            self.settle(None);
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
        outbox.push("one ".into(), Cause::Others, Sharing::Alone);
        outbox.push("two".into(), Cause::Others, Sharing::Alone);
        assert_eq!(flush(&mut outbox, 100, 1), (b"one two".to_vec(), Flushed::All));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_write_goes_on_where_the_socket_stopped() {
        let mut outbox = Outbox::default();
        outbox.push("one ".into(), Cause::Others, Sharing::Alone);
        outbox.push("two".into(), Cause::Others, Sharing::Alone);
        assert_eq!(flush(&mut outbox, 5, 1), (b"one t".to_vec(), Flushed::Blocked));
        outbox.push("!".into(), Cause::Others, Sharing::Alone);
        assert_eq!(flush(&mut outbox, 1, 9), (b"wo!".to_vec(), Flushed::All));
    }

    #[test]
    fn one_message_of_any_size_passes_when_nothing_else_waits() {
        let limit = 10 + 2 * FRAME_OVERHEAD;
        let mut outbox = Outbox::default();
        let push = |outbox: &mut Outbox, length, elsewhere| {
            let bound = Bound { limit, elsewhere };
            outbox
                .push_within(bound, vec![0; length].into(), Cause::Others, Sharing::Alone)
                .map_err(|Full(frame)| frame.len())
        };
        assert_eq!(push(&mut outbox, 10_000, 1), Err(10_000), "something waits elsewhere");
        assert_eq!(push(&mut outbox, 10_000, 0), Ok(()));
        assert_eq!(push(&mut outbox, 1, 0), Err(1));
        flush(&mut outbox, 9_995, 1);
        assert_eq!(push(&mut outbox, 6, 0), Err(6));
        assert_eq!(push(&mut outbox, 5, 1), Err(5));
        assert_eq!(push(&mut outbox, 5, 0), Ok(()));
        assert_eq!(outbox.bytes(), 10, "what there was no room for is not in it");
    }

    #[test]
    fn each_frame_counts_with_its_overhead_until_all_of_it_has_left() {
        let mut outbox = Outbox::default();
        outbox.push(vec![0; 100].into(), Cause::Others, Sharing::Alone);
        outbox.push(vec![0; 1].into(), Cause::Others, Sharing::Alone);
        assert_eq!((outbox.cost, outbox.waiting()), (101 + 2 * FRAME_OVERHEAD, 101 + 2 * FRAME_OVERHEAD));
        flush(&mut outbox, 60, 1);
        assert_eq!((outbox.cost, outbox.waiting()), (101 + 2 * FRAME_OVERHEAD, 41 + 2 * FRAME_OVERHEAD));
        flush(&mut outbox, 40, 1);
        assert_eq!((outbox.cost, outbox.waiting()), (1 + FRAME_OVERHEAD, 1 + FRAME_OVERHEAD));
        assert_eq!(outbox.flow(), Flow { queued: 2, left: 1, bytes: 100 });
        outbox.clear();
        assert_eq!((outbox.cost, outbox.is_empty()), (0, true));
    }

    #[test]
    fn pieces_are_taken_across_frames_and_leave_like_what_is_written() {
        let mut outbox = Outbox::default();
        outbox.push("one ".into(), Cause::Others, Sharing::Alone);
        outbox.push("two".into(), Cause::Others, Sharing::Alone);
        assert_eq!(outbox.bytes(), 7);
        assert_eq!(outbox.take(5), "one t");
        assert_eq!((outbox.bytes(), outbox.waiting()), (2, 2 + FRAME_OVERHEAD));
        assert_eq!(outbox.flow(), Flow { queued: 2, left: 1, bytes: 5 });
        assert_eq!(outbox.take(5), "wo");
        assert_eq!((outbox.take(5), outbox.waiting()), (Bytes::new(), 0));
        outbox.push("three".into(), Cause::Others, Sharing::Alone);
        outbox.take(2);
        assert_eq!(outbox.pop().map(|popped| popped.bytes), Some("ree".into()));
        assert!(outbox.pop().is_none() && outbox.waiting() == 0);
    }

    #[test]
    fn a_mark_tells_once_its_frame_has_left_as_a_whole_or_is_dropped_and_stays_with_it_until_then() {
        let (taken, mut told) = mpsc::unbounded_channel();
        let client = TransportKey { index: 1, generation: 2 };
        let marked = |outbox: &mut Outbox, frame: &'static str| {
            outbox.push(frame.into(), Cause::Others, Sharing::Alone);
            outbox.mark(Mark::new(client, taken.clone()));
        };
        let mut outbox = Outbox::default();
        outbox.push("one ".into(), Cause::Others, Sharing::Alone);
        marked(&mut outbox, "two");
        flush(&mut outbox, 6, 1);
        assert!(told.try_recv().is_err(), "a byte of it is still here");
        flush(&mut outbox, 1, 1);
        assert_eq!(told.try_recv(), Ok(client));
        outbox.push("three".into(), Cause::Others, Sharing::Alone);
        marked(&mut outbox, "four");
        let mut moved = outbox.take_all();
        assert!(moved.pop().is_some_and(|popped| popped.mark.is_none()), "the frame before it has none");
        let popped = moved.pop().expect("a frame");
        assert!(popped.mark.is_some() && told.try_recv().is_err(), "it is with whoever has the frame");
        drop(popped);
        assert_eq!(told.try_recv(), Ok(client));
        marked(&mut outbox, "five");
        outbox.clear();
        assert_eq!((told.try_recv(), told.try_recv().is_err()), (Ok(client), true), "it never will");
    }

    #[test]
    fn what_the_peer_caused_itself_waits_until_the_last_of_it_has_left() {
        let mut outbox = Outbox::default();
        outbox.push(vec![0; 50].into(), Cause::Others, Sharing::Alone);
        assert_eq!(outbox.own_waiting(), 0);
        outbox.push(vec![0; 10].into(), Cause::Receiver, Sharing::Alone);
        outbox.push(vec![0; 50].into(), Cause::Others, Sharing::Alone);
        assert_eq!(outbox.own_waiting(), 10 + FRAME_OVERHEAD);
        flush(&mut outbox, 59, 1);
        assert_eq!(outbox.own_waiting(), 10 + FRAME_OVERHEAD, "a byte of it is still here");
        flush(&mut outbox, 2, 1);
        assert_eq!(outbox.own_waiting(), 0);
    }
}
