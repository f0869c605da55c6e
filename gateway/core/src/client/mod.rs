//! The clients of a shard and the hubs that they are in: who is there, what each of them waits for, and what it gets.

pub(crate) mod actions;
mod closing;
mod connection;
mod deadlines;
pub(crate) mod held;
pub(crate) mod read_holds;
pub(crate) mod timer_wheel;

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use bytes::BytesMut;
use hubgate_wire::signalr::handshake;
use hubgate_wire::signalr::{HubMessage, HubProtocol};
use hubgate_wire::websocket::Frame;
use slab::Slab;

pub(crate) use closing::{CLOSED_WITH_ERROR, Closing};
use connection::Delivery;
pub(crate) use connection::{Client, Leave, Phase, TransportState};
pub(crate) use deadlines::LinkTimes;
use read_holds::Hold;
use timer_wheel::TimerWheel;

use crate::arrivals::{Identity, NewClient};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::event::ConnectionFacts;
use crate::failure;
use crate::hash::{FixedMap, HashSeed};
use crate::hub::Hub;
use crate::hub::change::DirectoryChange;
use crate::hub::hubs::Hubs;
use crate::id::{ConnectionId, HubIndex, Slot};
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// The clients of a shard.
#[derive(Debug)]
pub(crate) struct Clients {
    arena: Slab<Client>,
    /// Those that others see.
    slots: FixedMap<ConnectionId, Slot>,
    hubs: Hubs,
    wheel: TimerWheel,
    /// By protocol.
    pings: [Frame; HubProtocol::COUNT],
    seed: HashSeed,
}

impl Clients {
    pub(crate) fn new(hubs: Hubs, seed: HashSeed) -> Clients {
        Clients {
            arena: Slab::new(),
            slots: FixedMap::default(),
            hubs,
            wheel: TimerWheel::new(),
            pings: HubProtocol::ALL.map(|protocol| protocol.frame(&HubMessage::Ping)),
            seed,
        }
    }

    pub(crate) fn hubs(&self) -> &Hubs {
        &self.hubs
    }

    pub(crate) fn hubs_mut(&mut self) -> &mut Hubs {
        &mut self.hubs
    }

    #[inline]
    pub(crate) fn hub(&self, index: HubIndex) -> &Hub {
        &self.hubs[index]
    }

    #[inline]
    pub(crate) fn hub_mut(&mut self, index: HubIndex) -> &mut Hub {
        &mut self.hubs[index]
    }

    /// The hub of a client.
    #[inline]
    pub(crate) fn hub_of(&self, slot: Slot) -> &Hub {
        &self.hubs[self[slot].hub()]
    }

    pub(crate) fn next_slot(&self) -> Slot {
        Slot(self.arena.vacant_key() as u32)
    }

    /// How many there are, those among them that are closed and not over.
    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Client)> {
        self.arena.iter_mut().map(|(index, client)| (Slot(index as u32), client))
    }

    /// The slots of all that there are.
    pub(crate) fn all(&self) -> Vec<Slot> {
        self.arena.iter().map(|(index, _)| Slot(index as u32)).collect()
    }

    /// The client that others see under this id.
    pub(crate) fn find(&self, id: ConnectionId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// The same, if it is in this hub.
    pub(crate) fn find_in(&self, hub: HubIndex, id: ConnectionId) -> Option<Slot> {
        self.find(id).filter(|slot| self[*slot].hub() == hub)
    }

    /// The client in a slot, if it is the one for which the slot was noted.
    pub(crate) fn get(&self, slot: Slot, id: ConnectionId) -> Option<&Client> {
        self.arena.get(slot.0 as usize).filter(|client| client.id() == id)
    }

    /// Whether the client for which a slot was noted is there and not closed.
    pub(crate) fn is_still(&self, slot: Slot, id: ConnectionId) -> bool {
        self.get(slot, id).is_some_and(|client| !client.is_closed())
    }

    /// A client's transport is open.
    pub(crate) fn open(&mut self, turn: &mut Turn<'_>, slot: Slot, new: NewClient) {
        let hub = self.hubs.occupy(&new.hub, turn.settings);
        let is_server_there = self.hubs[hub].directory.servers().is_any_there();
        let kind = turn.settings.hub(&new.hub).mode.of_new_client(is_server_there);
        let deadline = turn.now + new.times.handshake.unwrap_or(turn.settings.timeouts.handshake);
        let index = self.arena.insert(Client::new(new, hub, kind, deadline, turn.now));
        assert_eq!(index, slot.0 as usize, "a client opens in the slot that was next");
        self.schedule(slot, deadline);
    }

    /// A client's transport is gone.
    pub(crate) fn gone(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
        if !self[slot].is_closed() {
            let reason = match cause {
                CloseCause::Normal => None,
                cause => Some(cause.name().to_owned()),
            };
            self.retire(turn, slot, cause, reason);
        }
        if let Phase::Closed { transport, .. } = &mut self[slot].phase {
            *transport = TransportState::Gone;
        }
        turn.then(Step::ForgetIfOver(slot));
    }

    /// Nothing is left to be done for a client whose transport is gone.
    pub(crate) fn forget(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let client = self.arena.remove(slot.0 as usize);
        self.hubs.vacate(client.hub());
        turn.effect(Effect::Forgotten(slot));
    }

    /// Others see the client from here on; whoever answers it decides whether it stays.
    pub(crate) fn register(&mut self, turn: &mut Turn<'_>, slot: Slot, protocol: HubProtocol) {
        let closed = Phase::Closed { facts: None, transport: TransportState::Ending };
        let client = &mut self.arena[slot.0 as usize];
        let Phase::Handshaking { identity, .. } = std::mem::replace(&mut client.phase, closed) else {
            unreachable!("only a handshaking client is registered");
        };
        let Identity { user_id, claims, query, headers, remote_address } = *identity;
        client.speaks(protocol);
        let (index, id, transport) = (client.hub(), client.id(), client.transport());
        let hub = &mut self.hubs[index];
        let name = hub.name.clone();
        let facts =
            Arc::new(ConnectionFacts { hub: name, id, user_id, protocol, claims, query, headers, remote_address });
        hub.directory.apply(DirectoryChange::ClientsEntered(1));
        if let Some(user) = &facts.user_id
            && !hub.has_user(user)
        {
            hub.directory.apply(DirectoryChange::UserEntered { user: user.clone(), shard: turn.here() });
        }
        hub.add(slot, transport, facts.user_id.as_ref());
        let groups = match &facts.user_id {
            Some(user) => self.hubs.directory().memberships.groups_of(&facts.hub, user, turn.now),
            None => Vec::new(),
        };
        self.slots.insert(id, slot);
        let client = &mut self[slot];
        client.phase = Phase::Connecting { facts };
        client.hold_back();
        for group in groups {
            actions::join_client(self, turn, slot, &group);
        }
    }

    /// Answers the handshake of a client that the gateway itself serves.
    pub(crate) fn accept(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let frame = self[slot].protocol().handshake_frame(handshake::ACCEPTED);
        self.let_in(turn, slot, frame);
        self.release_hold(turn, slot, Hold::Admission);
    }

    /// Sends the answer to the handshake, and after it what was held back.
    pub(crate) fn let_in(&mut self, turn: &mut Turn<'_>, slot: Slot, answer: Frame) {
        let client = &mut self[slot];
        let Phase::Connecting { facts } = &client.phase else {
            return;
        };
        client.phase = Phase::Open { facts: facts.clone() };
        client.last_sent = turn.now;
        client.last_heard = turn.now;
        let id = client.id();
        turn.effect(Effect::Send { to: slot, frame: answer });
        turn.then(Step::ReleaseHeld(slot, id));
        turn.then(Step::CheckDeadlines(slot, id));
    }

    /// Reads no more of a client until the hold is released.
    pub(crate) fn hold(&mut self, turn: &mut Turn<'_>, slot: Slot, hold: Hold) {
        let client = &mut self[slot];
        if !client.is_closed() && client.holds.add(hold) {
            turn.effect(Effect::PauseReading(slot));
        }
    }

    /// Reads a client again, and parses on where it stopped, unless something else holds it.
    pub(crate) fn release_hold(&mut self, turn: &mut Turn<'_>, slot: Slot, hold: Hold) {
        let client = &mut self[slot];
        if client.holds.remove(hold) && !client.is_closed() {
            // Its silence is not held against it: nobody listened.
            client.last_heard = turn.now;
            turn.effect(Effect::ResumeReading(slot));
        }
        turn.then(Step::ReadClient(slot));
    }

    /// Keeps what cannot be parsed yet, within bounds.
    pub(crate) fn keep_unread(&mut self, turn: &mut Turn<'_>, slot: Slot, bytes: &[u8]) {
        let client = &mut self[slot];
        if client.is_closed() {
            return;
        }
        client.add_unread(bytes);
        self.check_unread(turn, slot);
    }

    /// Puts back what is left after some of it was parsed.
    pub(crate) fn put_back(&mut self, turn: &mut Turn<'_>, slot: Slot, unread: BytesMut) {
        if !unread.is_empty() && !self[slot].is_closed() {
            self[slot].put_unread(unread);
            self.check_unread(turn, slot);
        }
    }

    fn check_unread(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let limit = turn.settings.limits.message;
        let client = &self[slot];
        let unread = client.unread_message();
        match client.phase {
            Phase::Handshaking { .. } if unread > handshake::LONGEST_REQUEST => {
                let malformed = handshake::MalformedHandshake::TooLong;
                let error = failure::malformed_handshake(&malformed, turn.settings.detailed_errors);
                self.refuse(turn, slot, CloseCause::HandshakeError, error);
            }
            Phase::Open { .. } if client.is_parsing() && unread > limit => self.too_large(turn, slot),
            Phase::Connecting { .. } if unread > handshake::LONGEST_REQUEST => {
                self.hold(turn, slot, Hold::Admission);
            }
            Phase::Handshaking { .. } | Phase::Connecting { .. } | Phase::Open { .. } | Phase::Closed { .. } => {}
        }
    }

    /// Queues a frame for one client.
    pub(crate) fn send(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        let client = &mut self.arena[slot.0 as usize];
        if client.is_closed() {
            return;
        }
        self.hubs[client.hub()].count_out(1, frame.len());
        if client.accept_or_hold(&frame, turn.now, turn.settings.limits.held) == Delivery::Now {
            turn.effect(Effect::Send { to: slot, frame });
        }
    }

    /// Queues a frame for one client that is open, before what is held back for it.
    pub(crate) fn send_at_once(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        let client = &mut self.arena[slot.0 as usize];
        self.hubs[client.hub()].count_out(1, frame.len());
        client.last_sent = turn.now;
        turn.effect(Effect::Send { to: slot, frame });
    }

    /// Queues a frame that was held back, and counted then.
    pub(crate) fn send_held(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        self[slot].last_sent = turn.now;
        turn.effect(Effect::Send { to: slot, frame });
    }

    /// Completes a client's call with an error, if the client waits for it.
    pub(crate) fn complete_with_error(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        invocation_id: Option<&str>,
        error: &str,
    ) {
        if let Some(id) = invocation_id {
            let frame = self[slot].protocol().error_frame(id, error);
            self.send(turn, slot, frame);
        }
    }

    pub(crate) fn schedule(&mut self, slot: Slot, at: Millis) {
        let due = self.wheel.schedule(slot, at);
        self[slot].due = Some(due);
    }
}

impl Index<Slot> for Clients {
    type Output = Client;

    #[inline]
    fn index(&self, slot: Slot) -> &Client {
        &self.arena[slot.0 as usize]
    }
}

impl IndexMut<Slot> for Clients {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Client {
        &mut self.arena[slot.0 as usize]
    }
}
