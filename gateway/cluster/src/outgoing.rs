//! What one node sends another: items in their order, each kept until the other has acknowledged it.

use std::collections::VecDeque;

use bytes::Bytes;
use hubgate_core::time::Millis;

use crate::frame::Data;

/// A frame is sent again if nothing was acknowledged for so long, and then every so often: a link that is slow is not made slower.
const RESEND_AFTER: Millis = Millis(1_000);
const LONGEST_RESEND_AFTER: Millis = Millis(2_000);

/// A place in a stream: that of the frame which carries an item. Places of a later stream are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    stream: u32,
    sequence: u64,
}

/// How much may be kept for a node that does not acknowledge it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResendBuffer {
    /// In bytes, of frames and of what waits to be in one.
    pub(crate) bytes: usize,
    pub(crate) age: Millis,
}

/// A stream of items to one node.
#[derive(Debug)]
pub(crate) struct OutgoingStream {
    number: u32,
    /// The incarnation of the node that it is for.
    to: u64,
    /// Streams of that node up to this one are not followed.
    ignores: u32,
    /// What a frame may take up, in bytes.
    frame_size: usize,
    /// The sequence of the next frame; the first of a stream has 1.
    next: u64,
    /// The sequence of the next frame that is to be published, once more or for the first time.
    unsent: u64,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// What the next frame has.
    items: Vec<Bytes>,
    items_bytes: usize,
    /// How many of them are messages.
    messages: u64,
    /// When the first of them was pushed.
    items_since: Millis,
    /// Whether the first of them goes on with the last one of the frame before.
    continues: bool,
    /// When something was acknowledged or sent again last, or when the first of what is kept was sent.
    progress: Millis,
    /// How long nothing may be acknowledged before all is sent again.
    resend_after: Millis,
}

#[derive(Debug)]
struct Kept {
    data: Data,
    bytes: usize,
    /// How many messages are whole with it.
    messages: u64,
    since: Millis,
}

impl OutgoingStream {
    /// A stream of which nothing is sent, to a node of the incarnation `to`, whose streams up to `ignores` are not followed. `number` is
    /// greater than those of all earlier streams of this node.
    pub(crate) fn new(number: u32, (to, ignores): (u64, u32), frame_size: usize) -> OutgoingStream {
        OutgoingStream {
            number,
            to,
            ignores,
            frame_size,
            next: 1,
            unsent: 1,
            kept: VecDeque::new(),
            kept_bytes: 0,
            items: Vec::new(),
            items_bytes: 0,
            messages: 0,
            items_since: Millis::default(),
            continues: false,
            progress: Millis::default(),
            resend_after: RESEND_AFTER,
        }
    }

    /// Adds a message, which is lost if it does not arrive.
    pub(crate) fn push_message(&mut self, item: Bytes, now: Millis) {
        self.push(item, now);
        self.messages += 1;
    }

    /// Adds what is told again in the beginning of the next stream if it does not arrive. It has arrived with the frame at the given position.
    pub(crate) fn push(&mut self, item: Bytes, now: Millis) -> Position {
        let most = self.frame_size.saturating_sub(Data::LONGEST_HEAD + Data::ITEM_HEAD).max(1);
        if self.items_bytes + item.len() > most && !self.items.is_empty() {
            self.cut(now, false);
        }
        let mut rest = item;
        while rest.len() > most {
            let piece = rest.split_to(most);
            self.add(piece, now);
            self.cut(now, true);
        }
        self.add(rest, now);
        Position { stream: self.number, sequence: self.next }
    }

    fn add(&mut self, item: Bytes, now: Millis) {
        if self.items.is_empty() {
            self.items_since = now;
        }
        self.items_bytes += item.len() + Data::ITEM_HEAD;
        self.items.push(item);
    }

    /// Ends the frame that is begun; `is_cut`: the last item goes on in the next one.
    fn cut(&mut self, now: Millis, is_cut: bool) {
        if self.kept.is_empty() {
            self.progress = now;
        }
        let bytes = std::mem::take(&mut self.items_bytes) + Data::LONGEST_HEAD;
        let items = std::mem::take(&mut self.items);
        let continues = std::mem::replace(&mut self.continues, is_cut);
        let OutgoingStream { number: stream, to, ignores, next: sequence, .. } = *self;
        let data = Data { stream, to, sequence, ignores, continues, is_cut, items };
        let messages = std::mem::take(&mut self.messages);
        self.kept.push_back(Kept { data, bytes, messages, since: self.items_since });
        self.kept_bytes += bytes;
        self.next += 1;
    }

    /// The frames that are to be published now, all that was pushed among them.
    pub(crate) fn publish(&mut self, now: Millis) -> impl Iterator<Item = &Data> {
        if !self.items.is_empty() {
            self.cut(now, false);
        }
        let unsent = std::mem::replace(&mut self.unsent, self.next);
        let first = self.kept.front().map_or(self.next, |kept| kept.data.sequence);
        let skipped = usize::try_from(unsent.saturating_sub(first)).unwrap_or(usize::MAX);
        self.kept.iter().skip(skipped).map(|kept| &kept.data)
    }

    /// The other node has received all frames up to `sequence`. Gives whether that is news.
    pub(crate) fn acknowledged(&mut self, stream: u32, sequence: u64, now: Millis) -> bool {
        if stream != self.number || sequence >= self.next {
            return false;
        }
        let mut is_news = false;
        while let Some(first) = self.kept.front()
            && first.data.sequence <= sequence
        {
            self.kept_bytes -= first.bytes;
            self.kept.pop_front();
            is_news = true;
        }
        if is_news {
            (self.progress, self.resend_after) = (now, RESEND_AFTER);
            self.unsent = self.unsent.max(sequence + 1);
        }
        is_news
    }

    /// The other node lacks the frames from `sequence` on.
    pub(crate) fn send_again(&mut self, stream: u32, sequence: u64, now: Millis) {
        let is_kept = self.kept.front().is_some_and(|first| first.data.sequence <= sequence);
        if stream == self.number && is_kept {
            self.unsent = self.unsent.min(sequence);
            self.progress = now;
        }
    }

    /// Publishes again all that is not acknowledged.
    pub(crate) fn send_all_again(&mut self, now: Millis) {
        if let Some(first) = self.kept.front() {
            self.unsent = first.data.sequence;
            self.progress = now;
        }
    }

    /// Sends again what may have been lost without anybody noticing it.
    pub(crate) fn tick(&mut self, now: Millis) {
        if self.progress + self.resend_after <= now {
            self.send_all_again(now);
            self.resend_after = Millis(2 * self.resend_after.0).min(LONGEST_RESEND_AFTER);
        }
    }

    /// Whether the item at `position` has arrived, or was given up with its stream.
    pub(crate) fn is_over(&self, position: Position) -> bool {
        let first = self.kept.front().map_or(self.next, |kept| kept.data.sequence);
        position < Position { stream: self.number, sequence: first }
    }

    /// Whether all that was pushed has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.items.is_empty()
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What is kept until it is acknowledged, in bytes.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes + self.items_bytes
    }

    /// How long the oldest of what is not acknowledged has been here.
    pub(crate) fn age(&self, now: Millis) -> Millis {
        let waiting = (!self.items.is_empty()).then_some(self.items_since);
        self.kept.front().map(|kept| kept.since).or(waiting).map_or(Millis(0), |since| now - since)
    }

    /// Whether more is kept, or for longer, than `buffer` allows. While some of it is acknowledged, much may be there at once: what all nodes hold
    /// alike, or one large message. `is_up`: frames reach others.
    pub(crate) fn exceeds(&self, buffer: ResendBuffer, is_up: bool, now: Millis) -> bool {
        let goes_on = is_up && self.progress + RESEND_AFTER > now;
        (!goes_on && self.kept_bytes() > buffer.bytes) || self.age(now) > buffer.age
    }

    /// Messages that are not acknowledged, in number.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.kept.iter().map(|kept| kept.messages).sum::<u64>() + self.messages
    }
}
