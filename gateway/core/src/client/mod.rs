//! The clients of a shard and the hubs that they are in: who is there, what each of them waits for, and what it gets.

pub(crate) mod actions;
pub(crate) mod announcements;
mod attachment;
mod closing;
mod deadlines;
pub(crate) mod dialect;
mod expiry;
pub(crate) mod groups;
pub(crate) mod held;
mod kept;
mod line;
pub(crate) mod link_log;
pub(crate) mod listing;
mod log;
pub(crate) mod logged;
pub(crate) mod marked;
pub(crate) mod opening;
pub(crate) mod read_holds;
pub(crate) mod renewal;
mod replay;
pub(crate) mod resuming;
pub(crate) mod returning;
mod session;
pub(crate) mod timer_wheel;
pub(crate) mod unread;

use std::ops::{Index, IndexMut};

use hubgate_wire::websocket::Frame;

use announcements::Announcements;
use attachment::Attachment;
pub(crate) use closing::{CLOSED_WITH_ERROR, Closing};
pub(crate) use deadlines::LinkTimes;
use dialect::Pings;
use kept::{Copies, KeptAccount};
use link_log::Mark;
use read_holds::Hold;
pub(crate) use session::{Delivery, Leave, Phase, Session};
use timer_wheel::TimerWheel;

use crate::arena::Arena;
use crate::arrivals::{Family, NewClient};
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::hash::{FixedMap, HashSeed};
use crate::hub::Hub;
use crate::hub::directory::Directory;
use crate::hub::hubs::Hubs;
use crate::hub::presence::Presence;
use crate::id::{ConnectionId, HubIndex, HubName, Slot, TransportKey};
use crate::mode::ClientKind;
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// Calls of one client, by whoever answers it, that wait for their results, in number.
pub(crate) const MAX_PENDING_CLIENT_RESULTS: usize = 1_000;

/// The clients of a shard.
#[derive(Debug)]
pub(crate) struct Clients {
    arena: Arena<Slot, Session>,
    /// The client of each transport.
    transports: Arena<TransportKey, Slot>,
    /// Those that others see.
    slots: FixedMap<ConnectionId, Slot>,
    /// The same by what has opened them, where that is not their id.
    by_token: FixedMap<ConnectionId, Slot>,
    hubs: Hubs,
    announcements: Announcements,
    /// What plugins are to be told of groups that they watch.
    presence: Presence,
    wheel: TimerWheel,
    pings: Pings,
    /// Of those that may resume.
    kept: KeptAccount,
    seed: HashSeed,
    /// When the clock of the gateway began, in milliseconds since 1970.
    epoch: u64,
}

impl Clients {
    pub(crate) fn new(hubs: Hubs, seed: HashSeed) -> Clients {
        Clients {
            arena: Arena::new(),
            transports: Arena::new(),
            slots: FixedMap::default(),
            by_token: FixedMap::default(),
            hubs,
            announcements: Announcements::default(),
            presence: Presence::default(),
            wheel: TimerWheel::new(),
            pings: Pings::new(),
            kept: KeptAccount::default(),
            seed,
            epoch: 0,
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

    pub(crate) fn next_transport(&self) -> TransportKey {
        self.transports.next_key()
    }

    /// The client whose messages a transport carries; none if the transport is gone.
    #[inline]
    pub(crate) fn by_transport(&self, transport: TransportKey) -> Option<Slot> {
        self.transports.get(transport).copied()
    }

    /// How many there are, those among them that are closed and not over.
    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Session)> {
        self.arena.iter_mut()
    }

    /// All that there are.
    pub(crate) fn all(&self) -> Vec<Slot> {
        self.arena.keys().collect()
    }

    /// The client that others see under this id.
    pub(crate) fn find(&self, id: ConnectionId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// The same, if it is in this hub.
    pub(crate) fn find_in(&self, hub: HubIndex, id: ConnectionId) -> Option<Slot> {
        self.find(id).filter(|slot| self[*slot].hub() == hub)
    }

    /// A client, if it is not forgotten.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Session> {
        self.arena.get(slot)
    }

    /// Whether a client is there and not closed.
    pub(crate) fn is_still(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|client| !client.is_closed())
    }

    /// A client's transport is open.
    pub(crate) fn open(&mut self, turn: &mut Turn<'_>, transport: TransportKey, new: NewClient) -> Slot {
        let hub = self.hubs.occupy(&new.hub, turn.settings);
        let is_server_there = self.hubs[hub].directory.servers().is_any_there();
        let mode = turn.settings.hub(&new.hub).mode;
        let (kind, also_in) = match &new.family {
            Family::Core => (mode.of_new_client(is_server_there), Box::default()),
            // Nobody but a hub server answers it.
            Family::AspNet { also_in } => (ClientKind::Proxied, self.occupy_also(turn, also_in, hub)),
        };
        let deadline = turn.now + new.times.handshake.unwrap_or(turn.settings.timeouts.handshake);
        let slot = self.arena.insert(Session::new(new, transport, (hub, also_in, kind), deadline, turn.now));
        assert_eq!(self.transports.insert(slot), transport, "a client opens with the transport that was next");
        self.schedule(slot, deadline);
        announcements::opened(self, turn, slot);
        if self[slot].dialect().is_asp_net() {
            returning::opened(self, turn, slot);
        }
        slot
    }

    /// The hubs of which a client gets what is sent there, beside its own.
    fn occupy_also(&mut self, turn: &Turn<'_>, names: &[HubName], own: HubIndex) -> Box<[HubIndex]> {
        let mut hubs: Vec<HubIndex> = Vec::with_capacity(names.len());
        for name in names {
            let hub = self.hubs.get(name, turn.settings);
            if hub != own && !hubs.contains(&hub) {
                self.hubs.occupy_again(hub, turn.settings);
                hubs.push(hub);
            }
        }
        hubs.into()
    }

    /// A client's transport is gone.
    pub(crate) fn gone(&mut self, turn: &mut Turn<'_>, transport: TransportKey, cause: CloseCause) {
        let Some(slot) = self.transports.remove(transport) else {
            return;
        };
        if self[slot].may_come_back(cause) {
            return resuming::wait(self, turn, slot, cause);
        }
        if !self[slot].is_closed() {
            let reason = match cause {
                CloseCause::Normal => None,
                cause => Some(cause.name().to_owned()),
            };
            self.retire(turn, slot, cause, reason);
        }
        self[slot].line_mut().attach(Attachment::Ended);
        turn.then(Step::ForgetIfOver(slot));
    }

    /// Nothing is left to be done for a client whose transport is gone.
    pub(crate) fn forget(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        if let Some(client) = self.arena.remove(slot) {
            client.hubs().for_each(|hub| self.hubs.vacate(hub));
            turn.effect(Effect::Forgotten(client.id()));
        }
    }

    /// Reads no more of a client until the hold is released.
    pub(crate) fn hold(&mut self, turn: &mut Turn<'_>, slot: Slot, hold: Hold) {
        let client = &mut self[slot];
        if !client.is_closed() && client.holds.add(hold) {
            client.line().attachment().effect(turn, Effect::PauseReading);
        }
    }

    /// Reads a client again, and parses on where it stopped, unless something else holds it.
    pub(crate) fn release_hold(&mut self, turn: &mut Turn<'_>, slot: Slot, hold: Hold) {
        let client = &mut self[slot];
        if client.holds.remove(hold) && !client.is_closed() {
            // Its silence is not held against it: nobody listened.
            client.line_mut().was_heard(turn.now);
            client.line_mut().patience_begins_anew();
            client.line().attachment().effect(turn, Effect::ResumeReading);
        }
        turn.then(Step::ReadClient(slot));
    }

    /// What plugins are to be told of groups that they watch, and who knows which these are.
    pub(crate) fn presence(&mut self) -> (&mut Presence, &Directory) {
        (&mut self.presence, self.hubs.directory())
    }

    /// Queues a frame for one client.
    pub(crate) fn send(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        let client = &mut self.arena[slot];
        if client.is_closed() {
            return;
        }
        self.hubs[client.hub()].count_out(1, frame.len());
        let delivery = client.accept_or_hold(&mut Copies::of(&frame), turn.now, &turn.settings.limits);
        deliver(turn, slot, delivery, frame);
    }

    /// Queues a frame for one client that is open, before what is held back for it.
    pub(crate) fn send_at_once(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        let hub = self.arena[slot].hub();
        self.hubs[hub].count_out(1, frame.len());
        self.send_held(turn, slot, frame);
    }

    /// Queues a frame that was held back, and counted then.
    pub(crate) fn send_held(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        let delivery = self[slot].accept(&mut Copies::of(&frame), Mark::None, turn.now, &turn.settings.limits);
        deliver(turn, slot, delivery, frame);
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
            let frame = self[slot].dialect().error(id, error);
            self.send(turn, slot, frame);
        }
    }

    pub(crate) fn schedule(&mut self, slot: Slot, at: Millis) {
        let due = self.wheel.schedule(slot, at);
        self[slot].due = Some(due);
    }

    /// The same unless it is due before anyway.
    fn schedule_by(&mut self, slot: Slot, at: Millis) {
        if self[slot].due.is_none_or(|due| due.is_after(at)) {
            self.schedule(slot, at);
        }
    }
}

/// Does what a client's session makes of a frame for it.
fn deliver(turn: &mut Turn<'_>, slot: Slot, delivery: Delivery, frame: Frame) {
    match delivery {
        Delivery::Now(to) => turn.effect(Effect::Send { to, frame }),
        Delivery::NotNow | Delivery::OnResume => {}
        Delivery::TooMuch => turn.then(Step::CloseSlow(slot)),
    }
}

impl Index<Slot> for Clients {
    type Output = Session;

    #[inline]
    fn index(&self, slot: Slot) -> &Session {
        &self.arena[slot]
    }
}

impl IndexMut<Slot> for Clients {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Session {
        &mut self.arena[slot]
    }
}
