//! The events of clients on their way to upstream: a queue for each client, and what waits for clients that have left.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::event::UpstreamEvent;
use crate::failure::UPLOAD_DROPPED;
use crate::id::Slot;
use crate::settings::Handler;
use crate::stream::StreamEvent;
use crate::streams::About;
use crate::trace::TraceMark;

/// What a waiting call takes up beside its own text, in bytes: its place in the queue and the headers of its allocations.
pub(crate) const CALL_OVERHEAD: usize = size_of::<WaitingCall>() + 4 * 16;

/// One client's events on their way to upstream: one at a time, in order.
#[derive(Debug, Default)]
pub(crate) struct CallQueue {
    /// The event that upstream is busy with, and who handles it.
    pub(crate) running: Option<(Running, Handler)>,
    waiting: VecDeque<WaitingCall>,
    /// The size of what waits, in bytes.
    bytes: usize,
    /// Whether somebody waits for what the client was asked.
    pub(crate) is_asked: bool,
    /// How the next call of a client that has left comes to its turn.
    turn: DepartedTurn,
}

/// The event that upstream is busy with, and whom to answer.
#[derive(Debug)]
pub(crate) enum Running {
    Connected,
    Invocation {
        id: Option<Arc<str>>,
        target: Arc<str>,
    },
    Disconnected,
    /// A call for a stream, told to a webhook. The client is answered only if nobody is going to send the stream.
    StreamCall {
        id: Arc<str>,
        target: Arc<str>,
    },
    /// What a plugin is told of a stream.
    Stream(About),
    /// Upstream has answered, and the actions of its answer are being carried out.
    Answered,
}

#[derive(Debug)]
pub(crate) struct WaitingCall {
    pub(crate) handler: Handler,
    pub(crate) event: UpstreamEvent,
    pub(crate) running: Running,
    /// What it holds in memory, overhead included. 0 of what the client has not caused by what it said: of connection events it has
    /// one each, of what is told of its streams as many as it has streams.
    pub(crate) bytes: usize,
    /// Of the message that it comes from, if that is followed.
    pub(crate) mark: Option<TraceMark>,
}

/// Where a client that has left stands among the others that have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum DepartedTurn {
    /// It waits for nothing, or for a call that began before it left.
    #[default]
    None,
    /// It is in the queue of [`DepartedCalls`].
    Waits,
    /// Its running call counts against [`DepartedCalls`].
    Runs,
}

impl CallQueue {
    pub(crate) fn push(&mut self, call: WaitingCall) {
        self.bytes += call.bytes;
        self.waiting.push_back(call);
    }

    pub(crate) fn pop(&mut self) -> Option<WaitingCall> {
        let call = self.waiting.pop_front()?;
        self.bytes -= call.bytes;
        Some(call)
    }

    /// Calls that wait, in number.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The size of what waits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing runs and nothing waits.
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty() && !self.waits_for_turn()
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    /// Removes the last thing that the client has said; its `disconnected` stays. A plugin that waits for the end of an upload is told
    /// that the rest of it was dropped.
    fn drop_newest(&mut self) {
        let Some(newest) = self.waiting.iter().rposition(WaitingCall::was_said) else {
            return;
        };
        let call = &mut self.waiting[newest];
        self.bytes -= std::mem::take(&mut call.bytes);
        match &mut call.event {
            UpstreamEvent::Stream(StreamEvent::Ended { error, .. }) => *error = Some(UPLOAD_DROPPED.to_owned()),
            _ => drop(self.waiting.remove(newest)),
        }
    }

    /// Whether the client has left, and its next call waits until fewer such calls run.
    pub(crate) fn waits_for_turn(&self) -> bool {
        self.turn == DepartedTurn::Waits
    }

    fn next_was_said(&self) -> bool {
        self.waiting.front().is_some_and(WaitingCall::was_said)
    }
}

impl WaitingCall {
    /// Whether it is there because of what the client said, and not because of its coming or going.
    fn was_said(&self) -> bool {
        self.bytes > 0
    }
}

/// Calls that wait for upstream although their clients have left.
///
/// What a client said before it left still reaches upstream, in order and before its `disconnected`, but it must not cost
/// those who stay: all such calls of a shard share one bound in bytes, and only a few of them run at once, in turn between
/// their clients. Beyond the bound, calls are dropped from whichever client has most waiting, so that many small
/// farewells survive one flood; and the newest of them first, so that upstream sees a prefix of what the client said,
/// exactly as if its connection had broken a moment earlier.
#[derive(Debug, Default)]
pub(crate) struct DepartedCalls {
    bytes: usize,
    /// Clients by the size of what waits for them.
    by_size: BTreeSet<(usize, Slot)>,
    /// Calls that were started for clients that had left, and have no answer yet.
    running: usize,
    /// Clients whose next call waits for its turn.
    turns: VecDeque<Slot>,
    /// Whether the bound was met since there was last plenty of room; the log hears of it once.
    is_dropping: bool,
}

/// What came of counting the calls of a client that left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// All fit.
    None,
    /// One call of this client has to go.
    DropOneOf(Slot),
}

impl DepartedCalls {
    /// A client has left with these calls.
    pub(crate) fn enter(&mut self, slot: Slot, calls: &CallQueue) {
        self.resize(slot, 0, calls.bytes);
    }

    /// Which client loses a call because more than `limit` bytes wait.
    pub(crate) fn excess(&self, limit: usize) -> Excess {
        match self.by_size.last() {
            Some((_, largest)) if self.bytes > limit => Excess::DropOneOf(*largest),
            Some(_) | None => Excess::None,
        }
    }

    /// Drops the newest call of a client. Gives whether it is the first one since there was plenty of room.
    pub(crate) fn drop_newest(&mut self, slot: Slot, calls: &mut CallQueue) -> bool {
        let before = calls.bytes;
        calls.drop_newest();
        self.resize(slot, before, calls.bytes);
        !std::mem::replace(&mut self.is_dropping, true)
    }

    /// Drops all calls of a client that was never let in, its `disconnected` too.
    pub(crate) fn drop_all(&mut self, slot: Slot, calls: &mut CallQueue) {
        let before = calls.bytes;
        calls.clear();
        self.resize(slot, before, 0);
    }

    /// The running call of a client is over. If its next event is a call, the client takes its place after the others that
    /// wait for their turn.
    pub(crate) fn ended(&mut self, slot: Slot, calls: &mut CallQueue) {
        if std::mem::take(&mut calls.turn) == DepartedTurn::Runs {
            self.running -= 1;
        }
        if calls.next_was_said() {
            calls.turn = DepartedTurn::Waits;
            self.turns.push_back(slot);
        }
    }

    /// The next client whose turn it is, if less than `limit` calls run.
    pub(crate) fn next_turn(&mut self, limit: usize) -> Option<Slot> {
        match self.running < limit {
            true => self.turns.pop_front(),
            false => None,
        }
    }

    /// Takes the client's next event. `limit`: the bytes that may wait in all.
    pub(crate) fn take(&mut self, slot: Slot, calls: &mut CallQueue, limit: usize) -> Option<WaitingCall> {
        calls.turn = DepartedTurn::None;
        if calls.next_was_said() {
            self.running += 1;
            calls.turn = DepartedTurn::Runs;
        }
        let before = calls.bytes;
        let call = calls.pop();
        self.resize(slot, before, calls.bytes);
        self.is_dropping &= self.bytes > limit / 2;
        call
    }

    /// What was taken is not told to anybody.
    pub(crate) fn give_back(&mut self, calls: &mut CallQueue) {
        if std::mem::take(&mut calls.turn) == DepartedTurn::Runs {
            self.running -= 1;
        }
    }

    fn resize(&mut self, slot: Slot, before: usize, after: usize) {
        if before > 0 {
            self.by_size.remove(&(before, slot));
            self.bytes -= before;
        }
        if after > 0 {
            self.by_size.insert((after, slot));
            self.bytes += after;
        }
    }
}
