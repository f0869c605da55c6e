//! One client as the core knows it, whatever carries its messages.

use std::sync::Arc;

use bytes::BytesMut;
use hubgate_wire::negotiate::Transport;
use hubgate_wire::websocket::Frame;

use super::attachment::Attachment;
use super::dialect::{Dialect, TooLong};
use super::expiry::Expiry;
use super::held::{Held, HeldBack};
use super::kept::Copies;
use super::line::Line;
use super::link_log::Mark;
use super::read_holds::{Hold, ReadHolds};
use super::timer_wheel::Due;
use crate::arrivals::{Identity, NewClient};
use crate::event::ConnectionFacts;
use crate::id::{ConnectionId, GroupName, HubIndex, TransportKey};
use crate::message_rate::HeardOfClient;
use crate::mode::{ClientKind, Mode};
use crate::settings::Limits;
use crate::time::Millis;

/// A client, from its opening until nothing is left to be done for it. What waits for it, what it waits for and how it is seen
/// are its own, and not its transport's.
#[derive(Debug)]
pub(crate) struct Session {
    hub: HubIndex,
    /// Other hubs of which it gets what is sent there.
    pub(super) also_in: Box<[HubIndex]>,
    /// Who answers it.
    kind: ClientKind,
    id: ConnectionId,
    pub(super) token: Option<ConnectionId>,
    /// The kind of transport that it uses.
    pub(super) transport: Transport,
    line: Line,
    /// When its first transport opened.
    opened: Millis,
    dialect: Dialect,
    pub(super) expiry: Expiry,
    pub(super) due: Option<Due>,
    pub(super) phase: Phase,
    /// Why it is not read. Its silence is not held against it meanwhile.
    pub(super) holds: ReadHolds,
    /// Whether filters look at what it said; nothing more of it is parsed meanwhile.
    is_inspected: bool,
    /// What is sent to it waits here until its handshake is answered, and after something that filters look at.
    pub(super) held_back: Option<Box<Held>>,
    /// The beginning of a message whose end has not come, or bytes that may not be parsed yet.
    unread: BytesMut,
    pub(super) groups: Vec<GroupName>,
    leave: Leave,
    /// For the rates at which clients are read.
    heard: HeardOfClient,
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
    /// Nobody sees it any longer. It stays until its transport is gone and upstream has heard of its end.
    Closed {
        facts: Option<Arc<ConnectionFacts>>,
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

impl Session {
    pub(super) fn new(
        client: NewClient,
        transport: TransportKey,
        (hub, also_in, kind): (HubIndex, Box<[HubIndex]>, ClientKind),
        deadline: Millis,
        now: Millis,
    ) -> Session {
        Session {
            hub,
            also_in,
            kind,
            id: client.id,
            token: client.token,
            transport: client.transport,
            line: Line::new(transport, client.reconnect, now),
            opened: now,
            dialect: Dialect::of_new(&client.family),
            expiry: Expiry::new(client.times.expiry),
            due: None,
            phase: Phase::Handshaking { identity: Box::new(client.identity), deadline },
            holds: ReadHolds::default(),
            is_inspected: false,
            held_back: None,
            unread: BytesMut::new(),
            groups: Vec::new(),
            leave: Leave::No,
            heard: HeardOfClient::default(),
        }
    }

    #[inline]
    pub(crate) fn hub(&self) -> HubIndex {
        self.hub
    }

    /// That, and the other hubs of which it gets what is sent there.
    pub(crate) fn hubs(&self) -> impl Iterator<Item = HubIndex> {
        std::iter::once(self.hub).chain(self.also_in.iter().copied())
    }

    #[inline]
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    #[inline]
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What it has opened with says how it goes on.
    pub(super) fn speaks(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(crate) fn kind(&self) -> ClientKind {
        self.kind
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn opened(&self) -> Millis {
        self.opened
    }

    /// How it is reached.
    #[inline]
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    #[inline]
    pub(crate) fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    #[inline]
    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What is known of the client once its handshake was read.
    pub(crate) fn facts(&self) -> Option<&Arc<ConnectionFacts>> {
        match &self.phase {
            Phase::Handshaking { .. } => None,
            Phase::Connecting { facts } | Phase::Open { facts } => Some(facts),
            Phase::Closed { facts } => facts.as_ref(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Whether it is closed, and its transport gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_closed() && self.line.attachment() == Attachment::Ended
    }

    /// The hub's mode changes. Gives whether the client fits the new one.
    pub(crate) fn switch(&mut self, mode: Mode) -> bool {
        match mode.of_present_client(self.kind) {
            Some(kind) => {
                self.kind = kind;
                true
            }
            None => false,
        }
    }

    pub(crate) fn leave(&self) -> Leave {
        self.leave
    }

    pub(crate) fn set_leave(&mut self, leave: Leave) {
        self.leave = leave;
    }

    #[inline]
    pub(crate) fn heard(&self) -> &HeardOfClient {
        &self.heard
    }

    #[inline]
    pub(crate) fn heard_mut(&mut self) -> &mut HeardOfClient {
        &mut self.heard
    }

    pub(crate) fn has_hold(&self, hold: Hold) -> bool {
        self.holds.has(hold)
    }

    /// Whether nothing keeps it from being read, and filters look at nothing of it.
    pub(crate) fn is_read(&self) -> bool {
        self.holds.is_empty() && !self.is_inspected
    }

    pub(crate) fn is_inspected(&self) -> bool {
        self.is_inspected
    }

    pub(crate) fn set_inspected(&mut self, is_inspected: bool) {
        self.is_inspected = is_inspected;
    }

    /// Whether the next message may be parsed.
    pub(crate) fn is_parsing(&self) -> bool {
        match self.phase {
            Phase::Handshaking { .. } => !self.holds.has(Hold::Announcement) && !self.holds.has(Hold::Start),
            Phase::Open { .. } => self.holds.is_empty() && !self.is_inspected,
            Phase::Connecting { .. } | Phase::Closed { .. } => false,
        }
    }

    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    pub(crate) fn take_unread(&mut self) -> BytesMut {
        std::mem::take(&mut self.unread)
    }

    pub(crate) fn put_unread(&mut self, unread: BytesMut) {
        self.unread = unread;
    }

    pub(crate) fn add_unread(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Takes what is unread and so much of `bytes` as makes it one message. `None` if `bytes` does not hold the message's
    /// end: then what is left of `bytes` belongs after what is unread.
    pub(crate) fn complete_message(&mut self, bytes: &mut &[u8]) -> Result<Option<BytesMut>, TooLong> {
        self.dialect.complete(&mut self.unread, bytes)
    }

    /// How long the message is whose beginning is unread, in bytes, as far as is known.
    pub(super) fn unread_message(&self) -> usize {
        match self.phase {
            Phase::Open { .. } => self.dialect.length_begun(&self.unread),
            Phase::Handshaking { .. } | Phase::Connecting { .. } | Phase::Closed { .. } => self.unread.len(),
        }
    }

    /// Sends the client, which others see, a frame now, or keeps it for one that has to wait for it, within bounds.
    pub(super) fn accept_or_hold(&mut self, copies: &mut Copies<'_>, now: Millis, limits: &Limits) -> Delivery {
        match &mut self.held_back {
            Some(held) => {
                held.push(HeldBack::Frame(copies.frame.clone()), limits.held);
                Delivery::NotNow
            }
            None => self.accept(copies, Mark::None, now, limits),
        }
    }

    /// Sends it a frame now, whatever is held back for it; or keeps it until it is back.
    pub(super) fn accept(&mut self, copies: &mut Copies<'_>, mark: Mark, now: Millis, limits: &Limits) -> Delivery {
        if !self.is_read() {
            self.line.patience_begins_anew();
        }
        self.line.accept(copies, self.dialect, mark, now, limits)
    }

    /// Whether what is sent to it waits.
    #[inline]
    pub(crate) fn holds_back(&self) -> bool {
        self.held_back.is_some()
    }

    /// Lets what is sent to it wait from now on.
    pub(crate) fn hold_back(&mut self) {
        self.held_back = Some(Box::default());
    }

    pub(crate) fn held_back_mut(&mut self) -> Option<&mut Held> {
        self.held_back.as_deref_mut()
    }

    /// What is held back; nothing waits from now on.
    pub(crate) fn take_held_back(&mut self) -> Option<Box<Held>> {
        self.held_back.take()
    }

    /// What was sent to it and is held back, for one that ends before its turn comes.
    pub(super) fn take_held_frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.is_open()
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
}

/// When a client gets what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// By this transport.
    Now(TransportKey),
    /// Once what it waits for has come, if it is still there then.
    NotNow,
    /// Once it comes by another transport.
    OnResume,
    /// Never: too much is kept for it already, and it is to be closed.
    TooMuch,
}
