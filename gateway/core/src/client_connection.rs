//! One client as the core knows it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use hubgate_wire::negotiate::Transport;
use hubgate_wire::signalr::HubProtocol;
use hubgate_wire::signalr::framing::{self, TooLong};
use hubgate_wire::websocket::{DataKind, Frame};

use crate::calls::CallQueue;
use crate::event::ConnectionFacts;
use crate::id::{ConnectionId, GroupName, HubName, UserId};
use crate::mode::ClientKind;
use crate::outbound::HeldBack;
use crate::pairs::Pairs;
use crate::proxied::Proxy;
use crate::rate::HeardOfClient;
use crate::read_holds::ReadHolds;
use crate::time::Millis;
use crate::timer_wheel::Due;

/// A client whose transport opens.
#[derive(Debug)]
pub struct NewClient {
    pub hub: HubName,
    pub id: ConnectionId,
    /// What opens the connection's transports, if it was negotiated.
    pub token: Option<ConnectionId>,
    pub transport: Transport,
    pub identity: Identity,
    /// What its token says of its times.
    pub times: ClientTimes,
}

/// The times that a client's token sets (Azure SignalR Service's claims `asrs.s.cht`, `asrs.s.coae` and `asrs.s.aeo`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientTimes {
    /// From connect to the end of the hub handshake request; that of the settings if not said.
    pub handshake: Option<Millis>,
    /// When the connection ends, because its token does.
    pub expiry: Option<Millis>,
}

/// Who a client is and how it came; the fields are those of [`ConnectionFacts`].
#[derive(Debug)]
pub struct Identity {
    pub user_id: Option<UserId>,
    pub claims: Pairs,
    pub query: Box<str>,
    pub headers: Pairs,
    pub remote_address: Box<str>,
}

/// A hub of this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HubIndex(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(crate) hub: HubIndex,
    /// Who answers it.
    pub(crate) kind: ClientKind,
    pub(crate) id: ConnectionId,
    pub(crate) token: Option<ConnectionId>,
    pub(crate) transport: Transport,
    /// JSON until the handshake says otherwise.
    pub(crate) protocol: HubProtocol,
    pub(crate) expiry: Option<Millis>,
    pub(crate) last_heard: Millis,
    pub(crate) last_sent: Millis,
    /// When its WebSocket was asked whether it is there; that was for the silence since `last_heard`, if it is later.
    pub(crate) last_probed: Millis,
    pub(crate) due: Option<Due>,
    pub(crate) phase: Phase,
    /// Why it is not read. Its silence is not held against it meanwhile.
    pub(crate) holds: ReadHolds,
    /// Whether filters look at what it said; nothing more of it is parsed meanwhile.
    pub(crate) is_inspected: bool,
    /// What is sent to it waits here until its handshake is answered, and behind something that filters look at.
    pub(crate) held_back: Option<Box<Held>>,
    /// The beginning of a message whose end has not come, or bytes that may not be parsed yet.
    pub(crate) unread: BytesMut,
    pub(crate) calls: CallQueue,
    pub(crate) groups: Vec<GroupName>,
    /// Its hub server, from its handshake request until its end. None: the gateway answers it.
    pub(crate) proxy: Option<Box<Proxy>>,
    pub(crate) leave: Leave,
    /// For the rates at which clients are read.
    pub(crate) heard: HeardOfClient,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// Before the end of the handshake request.
    Handshaking {
        identity: Box<Identity>,
        deadline: Millis,
    },
    /// While upstream decides on `connected`, or the hub server on the handshake. Others see the client already; what is sent
    /// to it is held back, because the handshake answer must be the first message that it gets.
    Connecting {
        facts: Arc<ConnectionFacts>,
    },
    Open {
        facts: Arc<ConnectionFacts>,
    },
    /// Nobody sees it any more. It stays until its transport is gone and upstream has heard of its end.
    Closed {
        facts: Option<Arc<ConnectionFacts>>,
        transport: TransportState,
    },
}

/// How far a client is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    No,
    /// It is its turn, since this time, but its handshake request has not come.
    Connecting(Millis),
    /// Its transport reads what it has said so far, and no more.
    Asked,
    /// That is done. It leaves when it is answered.
    Said,
}

/// What is held back for a client, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    items: VecDeque<HeldBack>,
    /// What the items take up in memory, in bytes.
    cost: usize,
    /// More was sent than may be held; the client cannot go on without it.
    pub(crate) is_too_much: bool,
}

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportState {
    Ending,
    Gone,
}

impl ClientConnection {
    /// What is known of the client once its handshake was read.
    pub(crate) fn facts(&self) -> Option<&Arc<ConnectionFacts>> {
        match &self.phase {
            Phase::Handshaking { .. } => None,
            Phase::Connecting { facts } | Phase::Open { facts } => Some(facts),
            Phase::Closed { facts, .. } => facts.as_ref(),
        }
    }

    /// Whether the client, which others see, gets `frame` now. Keeps it for one that has to wait for it, up to `limit` bytes
    /// in all.
    #[inline]
    pub(crate) fn takes(&mut self, frame: &Frame, now: Millis, limit: usize) -> bool {
        match &mut self.held_back {
            None => {
                self.last_sent = now;
                true
            }
            Some(held) => {
                held.push(HeldBack::Frame(frame.clone()), limit);
                false
            }
        }
    }

    /// Whether the next message may be parsed.
    pub(crate) fn is_parsing(&self) -> bool {
        match self.phase {
            Phase::Handshaking { .. } => true,
            Phase::Open { .. } => self.holds.is_empty() && !self.is_inspected,
            Phase::Connecting { .. } | Phase::Closed { .. } => false,
        }
    }

    /// Splits the first whole message off the front of `bytes`; `None` if it is not there as a whole.
    pub(crate) fn split_message<'b>(&self, bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, TooLong> {
        match self.phase {
            Phase::Handshaking { .. } => Ok(framing::split_message(bytes)),
            Phase::Connecting { .. } | Phase::Open { .. } | Phase::Closed { .. } => self.protocol.split_message(bytes),
        }
    }

    /// Takes what is unread and so much of `bytes` as makes it one message. `None` if `bytes` does not hold the message's
    /// end: then what is left of `bytes` belongs behind what is unread.
    pub(crate) fn complete_message(&mut self, bytes: &mut &[u8]) -> Result<Option<BytesMut>, TooLong> {
        let is_separated =
            matches!(self.phase, Phase::Handshaking { .. }) || self.protocol.data_kind() == DataKind::Text;
        if is_separated {
            // Only the new bytes are searched: what is unread holds no separator.
            return Ok(framing::split_message(bytes).map(|end| {
                let mut message = std::mem::take(&mut self.unread);
                message.extend_from_slice(end);
                message
            }));
        }
        loop {
            let missing = match framing::length_prefix(&self.unread)? {
                Some((length, prefix)) if self.unread.len() >= prefix + length => {
                    return Ok(Some(self.unread.split_to(prefix + length).split_off(prefix)));
                }
                Some((length, prefix)) => prefix + length - self.unread.len(),
                None => 1,
            };
            let Some((next, rest)) = bytes.split_at_checked(missing) else {
                return Ok(None);
            };
            self.unread.extend_from_slice(next);
            *bytes = rest;
        }
    }

    /// How long the message is whose beginning is unread, in bytes, as far as is known.
    pub(crate) fn unread_message(&self) -> usize {
        let told = match (&self.phase, self.protocol) {
            (Phase::Open { .. }, HubProtocol::MessagePack | HubProtocol::BlazorPack) => {
                framing::length_prefix(&self.unread)
            }
            _ => Ok(None),
        };
        match told {
            Ok(Some((length, _))) => length,
            Ok(None) | Err(TooLong) => self.unread.len(),
        }
    }

    /// Lets what is sent to it wait from now on.
    pub(crate) fn hold_back(&mut self) {
        self.held_back = Some(Box::default());
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// What was sent to it and is held back, for one that ends before its turn comes.
    pub(crate) fn take_held_frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        if matches!(self.phase, Phase::Open { .. })
            && let Some(mut held) = self.held_back.take()
        {
            while let Some(item) = held.pop() {
                if let HeldBack::Frame(frame) = item {
                    frames.push(frame);
                }
            }
        }
        frames
    }

    /// Whether nothing is left to be done for it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closed { transport: TransportState::Gone, .. }) && self.calls.is_over()
    }
}
