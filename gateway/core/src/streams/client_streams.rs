//! The streams of one client.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hubgate_wire::websocket::FRAME_OVERHEAD;

use super::outgoing::Outgoing;
use crate::id::PluginName;
use crate::stream::{Expected, Room, StreamBounds};

/// All streams of a client may have no more waiting for it than this part of what may wait for it in all: what else it is sent finds
/// room whatever it takes.
const SHARE: usize = 4;

/// The calls of one client that have streams, and its uploads, by their numbers.
#[derive(Debug, Default)]
pub(super) struct ClientStreams {
    next: u32,
    pub(super) calls: BTreeMap<u32, Call>,
    uploads: BTreeMap<u32, Upload>,
    /// What was sent and is not taken, in its order: the client has taken each as a whole when it has taken the last of it.
    on_way: VecDeque<Batch>,
    /// What was pushed and is not taken, of all streams, with what frames cost.
    waiting: usize,
    /// What waits for filters, and after what waits for them.
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Whether filters look at the first of it.
    pub(super) is_inspected: bool,
}

/// A call that has streams.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) plugin: PluginName,
    pub(super) target: Arc<str>,
    /// The client's own.
    pub(super) invocation_id: Option<Arc<str>>,
    pub(super) answer: Expected,
    /// Its uploads that the client has not completed.
    open_uploads: usize,
    pub(super) state: CallState,
    /// Whether the plugin has been told of it.
    pub(super) has_begun: bool,
    /// What was pushed and is not taken.
    waiting: Room,
    pub(super) fullness: Fullness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallState {
    Open,
    /// By the client; the plugin is still to be told.
    Cancelled,
    /// The client has left, or a filter has ended it; the plugin is still to be told what the client said before.
    BrokenOff,
}

/// Whether a plugin waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fullness {
    Roomy,
    /// Something was refused.
    Full,
    /// There is room again, and the plugin is still to be told.
    Told,
}

/// A stream that a client sends.
#[derive(Debug)]
struct Upload {
    /// The client's own.
    client_id: Box<str>,
    call: u32,
    /// Whether the client has said all of it.
    is_complete: bool,
}

/// Items of one stream that were sent one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) call: u32,
    pub(super) size: Room,
    /// What they cost while they wait, in bytes.
    pub(super) cost: usize,
}

impl Room {
    pub(super) fn add(&mut self, other: Room) {
        self.items += other.items;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Room) {
        self.items -= other.items;
        self.bytes -= other.bytes;
    }

    /// What items of this size cost while they wait, in bytes: each has the id of its stream with it.
    fn cost(self, invocation_id: &str) -> usize {
        self.bytes + self.items * item_overhead(invocation_id)
    }

    /// Items of this size, of a call that its client knows by this id.
    pub(super) fn of(self, call: u32, invocation_id: &str) -> Batch {
        Batch { call, size: self, cost: self.cost(invocation_id) }
    }
}

/// What an item costs beside its own bytes: its frame, and the id as JSON has it.
fn item_overhead(invocation_id: &str) -> usize {
    let written = |byte| match byte {
        b'"' | b'\\' => 2,
        0..b' ' => r"\u0000".len(),
        _ => 1,
    };
    FRAME_OVERHEAD + invocation_id.bytes().map(written).sum::<usize>()
}

/// As how many streams a call counts: one that only waits for its answer is kept as well.
pub(super) fn streams_of(uploads: usize, answer: Expected) -> usize {
    (uploads + usize::from(answer == Expected::Items)).max(1)
}

/// What may wait for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) of_stream: &'a StreamBounds,
    /// What may wait for it in all, in bytes.
    pub(super) held: usize,
}

impl Bounds<'_> {
    fn of_client(self) -> usize {
        self.held / SHARE
    }

    /// Whether so much would never fit.
    pub(super) fn exclude(self, Batch { size, cost, .. }: Batch) -> bool {
        let StreamBounds { items, bytes, .. } = *self.of_stream;
        // A single item passes when nothing else waits, whatever it costs.
        size.items > items || size.bytes > bytes || (size.items > 1 && cost > self.of_client())
    }
}

impl ClientStreams {
    /// Streams that are open, in number; a call of which none is open any more counts as one.
    pub(super) fn count(&self) -> usize {
        let open = self.calls.values().filter(|call| call.state == CallState::Open);
        open.map(|call| streams_of(call.open_uploads, call.answer)).sum()
    }

    pub(super) fn add_call(&mut self, call: Call) -> u32 {
        let number = self.next_number();
        self.calls.insert(number, call);
        number
    }

    pub(super) fn add_upload(&mut self, client_id: &str, call: u32) -> u32 {
        let number = self.next_number();
        self.uploads.insert(number, Upload { client_id: client_id.into(), call, is_complete: false });
        if let Some(call) = self.calls.get_mut(&call) {
            call.open_uploads += 1;
        }
        number
    }

    fn next_number(&mut self) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }

    /// The upload that a client knows by this id, and the call that it belongs to.
    pub(super) fn find_upload(&self, client_id: &str) -> Option<(u32, u32)> {
        let is_it = |upload: &Upload| !upload.is_complete && *upload.client_id == *client_id;
        self.uploads.iter().find(|(_, upload)| is_it(upload)).map(|(number, upload)| (*number, upload.call))
    }

    /// A client has said all of an upload.
    pub(super) fn complete_upload(&mut self, number: u32) {
        if let Some(upload) = self.uploads.get_mut(&number).filter(|upload| !upload.is_complete) {
            upload.is_complete = true;
            if let Some(call) = self.calls.get_mut(&upload.call) {
                call.open_uploads -= 1;
            }
        }
    }

    /// Completes the uploads of a call that the client has not completed.
    pub(super) fn break_off_uploads(&mut self, call: u32) -> Vec<u32> {
        if let Some(call) = self.calls.get_mut(&call) {
            call.open_uploads = 0;
        }
        let open = self.uploads.iter_mut().filter(|(_, upload)| upload.call == call && !upload.is_complete);
        open.map(|(number, upload)| {
            upload.is_complete = true;
            *number
        })
        .collect()
    }

    pub(super) fn forget_upload(&mut self, number: u32) {
        self.uploads.remove(&number);
    }

    pub(super) fn forget_uploads(&mut self, call: u32) {
        self.uploads.retain(|_, upload| upload.call != call);
    }

    pub(super) fn has_uploads(&self, call: u32) -> bool {
        self.uploads.values().any(|upload| upload.call == call)
    }

    /// Whether the plugin is to be told what comes of an upload.
    pub(super) fn is_heard(&self, upload: u32) -> bool {
        let call = self.uploads.get(&upload).and_then(|upload| self.calls.get(&upload.call));
        call.is_some_and(|call| call.has_begun && call.state != CallState::Cancelled)
    }

    /// How much may still be pushed to a stream.
    pub(super) fn room(&self, call: &Call, bounds: Bounds<'_>) -> Room {
        let left = bounds.of_client().saturating_sub(self.waiting);
        Room {
            items: bounds.of_stream.items.saturating_sub(call.waiting.items).min(left / call.item_overhead()),
            bytes: bounds.of_stream.bytes.saturating_sub(call.waiting.bytes).min(left),
        }
    }

    /// Whether so much may be pushed to a stream now.
    pub(super) fn fits(&self, call: &Call, Batch { size, cost, .. }: Batch, bounds: Bounds<'_>) -> bool {
        let StreamBounds { items, bytes, .. } = *bounds.of_stream;
        let fits_in_stream = call.waiting.items + size.items <= items && call.waiting.bytes + size.bytes <= bytes;
        fits_in_stream && (self.waiting == 0 || self.waiting + cost <= bounds.of_client())
    }

    /// These items of a stream wait for the client from now on.
    pub(super) fn begin_waiting(&mut self, Batch { call, size, cost }: Batch) {
        self.waiting += cost;
        if let Some(call) = self.calls.get_mut(&call) {
            call.waiting.add(size);
        }
    }

    /// They do no longer.
    pub(super) fn end_waiting(&mut self, Batch { call, size, cost }: Batch) {
        self.waiting -= cost;
        if let Some(call) = self.calls.get_mut(&call) {
            call.waiting.remove(size);
        }
    }

    /// The last of these items will be told of once it is taken.
    pub(super) fn sent(&mut self, batch: Batch) {
        self.on_way.push_back(batch);
    }

    /// The client has taken the next of what was sent.
    pub(super) fn taken(&mut self) {
        if let Some(batch) = self.on_way.pop_front() {
            self.end_waiting(batch);
        }
    }

    /// Whether half of what may wait is free again for a stream whose plugin waits for room.
    pub(super) fn is_roomy_again(&self, call: &Call, bounds: Bounds<'_>) -> bool {
        let StreamBounds { items, bytes, .. } = *bounds.of_stream;
        call.state == CallState::Open
            && call.fullness == Fullness::Full
            && call.waiting.items <= items / 2
            && call.waiting.bytes <= bytes / 2
            && self.waiting <= bounds.of_client() / 2
    }
}

impl Call {
    pub(super) fn new(plugin: PluginName, target: Arc<str>, invocation_id: Option<Arc<str>>, answer: Expected) -> Call {
        Call {
            plugin,
            target,
            invocation_id,
            answer,
            open_uploads: 0,
            state: CallState::Open,
            has_begun: false,
            waiting: Room::default(),
            fullness: Fullness::Roomy,
        }
    }

    fn item_overhead(&self) -> usize {
        item_overhead(self.invocation_id.as_deref().unwrap_or_default())
    }
}
