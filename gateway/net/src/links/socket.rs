//! The side of a WebSocket that is written to, from anywhere on its shard's thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hubgate_core::CloseCause;
use hubgate_core::id::HubName;
use hubgate_wire::websocket::{ControlPayload, DataKind, Frame};

use super::speaking::Speaking;
use super::transport::Writer;
use crate::outbox::{Bound, Cause, Flow, Flushed, Full, MAX_OWN_WAITING, Mark, Outbox, Sharing};
use crate::outboxes::Part;
use crate::slow::SlowReason;

/// A hub server for which more than so many bytes wait is congested: its clients are not read until it has caught up.
const CONGESTED: usize = 1024 * 1024;
/// It has caught up when no more wait for it.
const CAUGHT_UP: usize = 256 * 1024;
/// Messages for a hub server that reads slowly are gathered up to so many bytes before they become a frame; the buffer is
/// not kept if it has become larger.
const GATHERED: usize = 64 * 1024;
/// Pongs that leave together, in bytes.
const MAX_PONGS: usize = 4096;

#[derive(Debug)]
pub(crate) struct WebSocket {
    pub(crate) hub: HubName,
    writer: Writer,
    outbox: RefCell<Outbox>,
    /// Messages of the service protocol that leave in one WebSocket message at the end of the turn.
    gathered: RefCell<Vec<u8>>,
    /// How many of these bytes the hub server has caused itself.
    own_gathered: Cell<usize>,
    pongs: RefCell<Pongs>,
    /// Whether its clients are not read because of it.
    is_congested: Cell<bool>,
    state: Cell<SocketState>,
    reading: Cell<bool>,
    last_words: Cell<LastWords>,
    pub(crate) speaking: Speaking,
    /// Whether the shard has it on its list of sockets to flush.
    pub(crate) is_dirty: Cell<bool>,
    /// Why the gateway ends the connection, if it does.
    ending: Cell<Option<CloseCause>>,
    /// By which limit the peer was too slow, if it was.
    slow: Cell<Option<SlowReason>>,
    /// Wakes the task that reads.
    task: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketState {
    Open,
    /// The socket takes no more for now; its task waits until it does.
    Blocked,
    /// A close frame is the last thing in the outbox, or has left.
    Finishing,
    /// Nothing more can be written.
    Broken(CloseCause),
}

/// What a peer that is about to leave has said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWords {
    NotAsked,
    /// So many bytes of it may still be in the socket.
    Coming(usize),
    /// All of it is read, and no more is for now.
    Read,
}

/// Pongs that are due.
#[derive(Debug, Default)]
struct Pongs {
    /// Whole frames.
    due: Vec<u8>,
    /// The frame of the outbox that the ones before are in, as a number of [`Flow::queued`].
    last_queued: u64,
}

impl WebSocket {
    pub(crate) fn new(hub: HubName, writer: Writer, part: Part) -> WebSocket {
        WebSocket {
            hub,
            writer,
            outbox: RefCell::new(Outbox::counted(part)),
            gathered: RefCell::default(),
            own_gathered: Cell::new(0),
            pongs: RefCell::default(),
            is_congested: Cell::new(false),
            state: Cell::new(SocketState::Open),
            reading: Cell::new(true),
            last_words: Cell::new(LastWords::NotAsked),
            speaking: Speaking::default(),
            is_dirty: Cell::new(false),
            ending: Cell::new(None),
            slow: Cell::new(None),
            task: RefCell::new(None),
        }
    }

    pub(crate) fn state(&self) -> SocketState {
        self.state.get()
    }

    fn takes_frames(&self) -> bool {
        match self.state.get() {
            SocketState::Open | SocketState::Blocked => true,
            SocketState::Finishing | SocketState::Broken(_) => false,
        }
    }

    /// Queues a frame, with what tells that it has left; a peer that lets more than `limit` bytes wait is given up.
    pub(crate) fn push(&self, frame: Bytes, mark: Option<Mark>, sharing: Sharing, limit: usize) {
        if !self.takes_frames() {
            return;
        }
        let bound = Bound { limit, elsewhere: 0 };
        let push = |frame| self.outbox.borrow_mut().push_within(bound, frame, self.speaking.cause(), sharing);
        if let Err(Full(frame)) = push(frame) {
            self.flush();
            if push(frame).is_err() {
                return self.give_up_slow(SlowReason::Outbox);
            }
        }
        mark.into_iter().for_each(|mark| self.outbox.borrow_mut().mark(mark));
    }

    /// Asks the peer whether it is there.
    pub(crate) fn ping(&self) {
        if self.takes_frames() {
            self.outbox.borrow_mut().push(Frame::ping().into_bytes(), Cause::Others, Sharing::Alone);
        }
    }

    /// Answers a ping. A peer that does not read gets the answer to its latest one alone (RFC 6455, section 5.5.3).
    pub(crate) fn pong(&self, ping: &ControlPayload) {
        if !self.takes_frames() {
            return;
        }
        let pong = Frame::pong(ping);
        if self.pongs.borrow().due.len() + pong.len() > MAX_PONGS {
            self.flush();
        }
        let mut pongs = self.pongs.borrow_mut();
        if self.state.get() == SocketState::Blocked {
            pongs.due.clear();
        }
        pongs.due.extend_from_slice(pong.as_bytes());
    }

    /// Adds messages of the service protocol to those that leave together; a hub server that lets more than `limit` bytes
    /// wait is given up.
    pub(crate) fn gather(&self, messages: &[u8], limit: usize) {
        if !self.takes_frames() {
            return;
        }
        self.gathered.borrow_mut().extend_from_slice(messages);
        if self.speaking.cause() == Cause::Receiver {
            self.own_gathered.set(self.own_gathered.get() + messages.len());
        }
        if self.waiting() > limit {
            self.flush();
            if self.waiting() > limit {
                self.give_up_slow(SlowReason::ServerOutbox);
            }
        }
    }

    /// Makes one WebSocket message of what was gathered.
    fn frame_gathered(&self) {
        let mut gathered = self.gathered.borrow_mut();
        if gathered.is_empty() {
            return;
        }
        let frame = Frame::of_payload(DataKind::Binary, &gathered);
        match gathered.capacity() > GATHERED {
            true => *gathered = Vec::new(),
            false => gathered.clear(),
        }
        let cause = match self.own_gathered.take() {
            0 => Cause::Others,
            _ => Cause::Receiver,
        };
        self.outbox.borrow_mut().push(frame.into_bytes(), cause, Sharing::Alone);
    }

    /// Makes one frame of the pongs that are due, unless those before them have not left.
    fn queue_pongs(&self) {
        let mut pongs = self.pongs.borrow_mut();
        let mut outbox = self.outbox.borrow_mut();
        if pongs.due.is_empty() || outbox.flow().left < pongs.last_queued {
            return;
        }
        outbox.push(std::mem::take(&mut pongs.due).into(), Cause::Receiver, Sharing::Alone);
        pongs.last_queued = outbox.flow().queued;
    }

    /// All that has not left, with what it costs to keep it, in bytes.
    fn waiting(&self) -> usize {
        self.outbox.borrow().waiting() + self.gathered.borrow().len() + self.writer.unsent()
    }

    /// All that has not left, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.borrow().bytes() + self.gathered.borrow().len() + self.writer.unsent()
    }

    pub(crate) fn flow(&self) -> Flow {
        let mut flow = self.outbox.borrow().flow();
        // What is encrypted has left the outbox, but not the gateway.
        flow.bytes = flow.bytes.saturating_sub(self.writer.unsent() as u64);
        flow
    }

    /// Whether it has become congested, or has caught up, since this was asked last.
    pub(crate) fn congestion_change(&self) -> Option<bool> {
        let waiting = self.waiting();
        let is_congested = match self.is_congested.get() {
            true => waiting > CAUGHT_UP,
            false => waiting > CONGESTED,
        };
        (self.is_congested.replace(is_congested) != is_congested).then_some(is_congested)
    }

    /// Whether the peer is read. It is not while what it has caused itself cannot leave: a peer that asks for more than it
    /// takes is slowed down.
    pub(crate) fn is_read(&self) -> bool {
        self.reading.get() && self.last_words.get() != LastWords::Read && !self.is_stuck_on_its_own()
    }

    fn is_stuck_on_its_own(&self) -> bool {
        if self.outbox.borrow().own_waiting() + self.own_gathered.get() <= MAX_OWN_WAITING {
            return false;
        }
        // It may not have been tried in this turn.
        self.flush();
        self.state.get() == SocketState::Blocked
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn flush(&self) {
        match self.state.get() {
            SocketState::Open => {
                self.frame_gathered();
                self.queue_pongs();
            }
            SocketState::Blocked => {
                if self.gathered.borrow().len() > GATHERED {
                    self.frame_gathered();
                }
                if !self.is_congested.get() && self.waiting() > CONGESTED {
                    self.wake();
                }
                return self.settle();
            }
            SocketState::Finishing => {}
            SocketState::Broken(_) => return,
        }
        let flushed = self.outbox.borrow_mut().flush(|slices| self.writer.try_write(slices));
        match flushed {
            // Encrypted, but not sent.
            Ok(Flushed::All) if self.has_unsent() => self.block(),
            Ok(Flushed::All) => {}
            Ok(Flushed::Blocked) => self.block(),
            Err(_) => self.give_up(CloseCause::TransportLost),
        }
    }

    /// Whether something that was queued has not left yet.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.outbox.borrow().is_empty() || self.writer.has_unsent()
    }

    /// Its task waits until the socket takes more.
    fn block(&self) {
        if self.state.get() == SocketState::Open {
            self.state.set(SocketState::Blocked);
        }
        self.wake();
        self.settle();
    }

    /// Counts what does not leave at once in the account of all outboxes.
    fn settle(&self) {
        self.outbox.borrow_mut().settle(self.task.borrow().as_ref());
    }

    /// Whether its peer is to be let go, because too much waits for all peers together.
    pub(crate) fn must_go(&self) -> bool {
        self.outbox.borrow().must_go()
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_write_ready(cx)
    }

    /// The socket takes more: sends what was encrypted before, then what is queued.
    pub(crate) fn unblock(&self) {
        match self.writer.send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return self.give_up(CloseCause::TransportLost),
            Ok(()) => {}
        }
        if self.state.get() == SocketState::Blocked {
            self.state.set(SocketState::Open);
        }
        self.flush();
    }

    pub(crate) fn say_goodbye(&self) {
        self.writer.say_goodbye();
    }

    /// Queues the close frame; nothing can be queued behind it. `cause` is the gateway's, if it wants the end. It is read
    /// again, for the other side's close frame.
    pub(crate) fn finish(&self, code: u16, cause: Option<CloseCause>) {
        self.reading.set(true);
        self.last_words.set(LastWords::NotAsked);
        if self.ending.get().is_none() {
            self.ending.set(cause);
        }
        if self.takes_frames() {
            self.frame_gathered();
            self.outbox.borrow_mut().push(Frame::close(code).into_bytes(), Cause::Others, Sharing::Alone);
            self.state.set(SocketState::Finishing);
            self.wake();
        }
    }

    /// Reads what the peer has said so far, and no more.
    pub(crate) fn hear_last_words(&self) {
        self.last_words.set(LastWords::Coming(self.writer.unread()));
        self.wake();
    }

    /// So many bytes were read; none if nothing is there.
    pub(crate) fn has_read(&self, bytes: usize) {
        if let LastWords::Coming(in_socket) = self.last_words.get() {
            let still = if bytes == 0 { 0 } else { in_socket.saturating_sub(bytes) };
            self.last_words.set(LastWords::Coming(still));
        }
    }

    /// Whether the last words have just been read as a whole.
    pub(crate) fn last_words_end(&self) -> bool {
        let end = self.last_words.get() == LastWords::Coming(0);
        if end {
            self.last_words.set(LastWords::Read);
        }
        end
    }

    pub(crate) fn set_reading(&self, reading: bool) {
        self.reading.set(reading);
        self.wake();
    }

    /// The peer is too slow for one of its limits.
    pub(crate) fn give_up_slow(&self, reason: SlowReason) {
        self.slow.set(Some(reason));
        self.give_up(CloseCause::SlowClient);
    }

    /// The same of a client that may come back: what it took nothing of was perhaps never brought to it.
    pub(crate) fn cut_off_slow(&self, reason: SlowReason) {
        self.slow.set(Some(reason));
        self.give_up(CloseCause::TransportLost);
    }

    /// Ends the connection at once: its client goes on by another one, or may.
    pub(crate) fn break_off(&self) {
        self.give_up(CloseCause::TransportLost);
    }

    /// Ends the connection at once: what its peer has caused made the gateway panic.
    pub(crate) fn break_off_panicked(&self) {
        self.give_up(CloseCause::InternalError);
    }

    fn give_up(&self, cause: CloseCause) {
        self.state.set(SocketState::Broken(cause));
        self.outbox.borrow_mut().clear();
        self.gathered.take();
        self.wake();
    }

    /// Why the connection ended: the gateway's reason, if it had one, or else `cause`.
    pub(crate) fn ending(&self, cause: CloseCause) -> CloseCause {
        self.ending.get().unwrap_or(cause)
    }

    pub(crate) fn slow(&self) -> Option<SlowReason> {
        self.slow.get()
    }

    pub(crate) fn listen_for_wakes(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        match task.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }
}
