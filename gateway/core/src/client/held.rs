//! What waits until a client may have it.

use std::collections::VecDeque;

use bytes::Bytes;
use hubgate_wire::websocket::{FRAME_OVERHEAD, Frame};

use crate::filter::Origin;
use crate::id::ServerId;
use crate::outgoing::Outgoing;

/// What is held back for a client, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    items: VecDeque<HeldBack>,
    /// What the items take up in memory, in bytes.
    cost: usize,
    /// More was sent than may be held; the client cannot go on without it.
    is_too_much: bool,
}

/// What waits for its turn: for the answer to the client's handshake, or because filters look at something before it.
#[derive(Debug)]
pub(crate) enum HeldBack {
    Frame(Frame),
    /// Of the client's hub server.
    Message(HeldMessage),
    /// The hub server ends the client.
    End {
        error: Option<String>,
    },
}

/// What a hub server says to one client.
#[derive(Debug)]
pub(crate) enum HeldMessage {
    /// One message of the client's own hub server, without what frames it.
    Said { by: ServerId, message: Bytes },
    /// A call of the client.
    Call(ClientCall),
}

/// A call of a client on its way there. Who waits for its result is known to the client's link.
#[derive(Debug)]
pub(crate) struct ClientCall {
    pub(crate) origin: Origin,
    /// The body of the hub server's message.
    pub(crate) message: Bytes,
    pub(crate) outgoing: Outgoing,
    pub(crate) invocation_id: Box<str>,
}

/// What something held back takes up beside its bytes: that of a frame, and a slot in a queue that doubles as it grows.
const HELD_OVERHEAD: usize = FRAME_OVERHEAD + 2 * size_of::<HeldBack>();

impl Held {
    /// One item that is larger than `limit` passes when nothing else is held.
    #[cold]
    pub(crate) fn push(&mut self, item: HeldBack, limit: usize) {
        self.cost += item.cost();
        self.is_too_much |= self.cost > limit && !self.items.is_empty();
        match self.is_too_much {
            true => (self.items, self.cost) = (VecDeque::new(), 0),
            false => self.items.push_back(item),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<HeldBack> {
        let item = self.items.pop_front()?;
        self.cost -= item.cost();
        Some(item)
    }

    pub(crate) fn is_too_much(&self) -> bool {
        self.is_too_much
    }
}

impl HeldMessage {
    pub(crate) fn origin(&self) -> Origin {
        match self {
            HeldMessage::Said { by, .. } => Origin::HubServer(by.clone()),
            HeldMessage::Call(call) => call.origin.clone(),
        }
    }
}

impl HeldBack {
    /// What it takes up in memory, in bytes.
    fn cost(&self) -> usize {
        match self {
            HeldBack::Frame(frame) => HELD_OVERHEAD + frame.len(),
            HeldBack::Message(HeldMessage::Said { message, .. }) => HELD_OVERHEAD + message.len(),
            // The hub server's message, and the call that was made of it.
            HeldBack::Message(HeldMessage::Call(call)) => 2 * (HELD_OVERHEAD + call.message.len()),
            HeldBack::End { error } => HELD_OVERHEAD + error.as_ref().map_or(0, String::len),
        }
    }
}
