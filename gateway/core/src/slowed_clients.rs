//! Clients that are not read because they, or all clients of their hub together, have said as many messages as they may in a
//! second. Time lifts that, in turn between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::client::read_holds::Hold;
use crate::client::{Clients, Phase};
use crate::hub::directory::HubDirectory;
use crate::id::{HubIndex, Slot};
use crate::message_rate::share;
use crate::settings::Settings;
use crate::time::Millis;
use crate::turn::Turn;

/// The clients of a shard that are not read because of a rate.
#[derive(Debug)]
pub(crate) struct SlowedClients {
    /// Those that have said as much as one client may.
    clients: Vec<Slot>,
    /// Those whose hub has heard as much as it may.
    hubs: BTreeMap<HubIndex, HubQueue>,
    /// Those that have their turn in this round.
    called: Vec<Slot>,
    /// How often it was looked whose turn it is, from 1.
    round: u32,
    /// Whether some of those that wait for their hub have left.
    has_gaps: bool,
}

/// Clients of one hub in the order of their turns; at least one.
#[derive(Debug)]
struct HubQueue {
    clients: VecDeque<Slot>,
    /// Counts them among those of all shards.
    directory: Arc<HubDirectory>,
}

impl HubQueue {
    fn push(&mut self, client: Slot) {
        self.clients.push_back(client);
        self.directory.heard().begins_to_wait();
    }

    fn retain(&mut self, stays: impl Fn(&Slot) -> bool) {
        let before = self.clients.len();
        self.clients.retain(stays);
        self.directory.heard().end_waiting(before - self.clients.len());
    }

    /// Takes those that wait longest.
    fn take(&mut self, count: usize) -> Vec<Slot> {
        self.directory.heard().end_waiting(count);
        self.clients.drain(..count).collect()
    }

    /// How many of its clients have a turn now, and how many messages they may say together.
    fn turns(&self, rate: u32, now: Millis) -> (usize, u64) {
        let (own, heard) = (self.clients.len(), self.directory.heard());
        if rate == 0 {
            return (own, u64::MAX);
        }
        let all = heard.waiting().max(own).max(1) as u64;
        let messages = heard.room(rate, now).saturating_mul(own as u64).div_ceil(all);
        (usize::try_from(messages).unwrap_or(usize::MAX).min(own), messages)
    }
}

impl Drop for HubQueue {
    fn drop(&mut self) {
        self.directory.heard().end_waiting(self.clients.len());
    }
}

/// Whether the clients of a client's hub are read at a rate.
#[inline]
pub(crate) fn has_rate(clients: &Clients, settings: &Settings, slot: Slot) -> bool {
    settings.limits.messages_per_second > 0 || clients.hub_of(slot).messages_per_second > 0
}

/// Counts what a client has said towards the rates.
#[inline]
pub(crate) fn charge(clients: &mut Clients, turn: &Turn<'_>, slot: Slot, messages: usize) {
    if has_rate(clients, turn.settings, slot) {
        pay_for(clients, turn, slot, messages as u64);
    }
}

fn pay_for(clients: &mut Clients, turn: &Turn<'_>, slot: Slot, messages: u64) {
    let rate = turn.settings.limits.messages_per_second;
    let unpaid = clients[slot].heard_mut().pay(rate, messages, turn.now);
    let hub = clients.hub_of(slot);
    if hub.messages_per_second > 0 {
        hub.directory.heard().pay(hub.messages_per_second, unpaid, turn.now);
    }
}

/// What a client has not said in its turn is not paid for.
fn end_turn(clients: &mut Clients, slot: Slot) {
    let (unsaid, share) = clients[slot].heard_mut().end_turn();
    if unsaid > 0 {
        clients.hub_of(slot).directory.heard().pay_back(share, unsaid);
    }
}

impl SlowedClients {
    pub(crate) fn new() -> SlowedClients {
        SlowedClients { clients: Vec::new(), hubs: BTreeMap::new(), called: Vec::new(), round: 1, has_gaps: false }
    }

    /// Whether a client has said as much as it may for now; if so, it is not read until its turn comes.
    #[inline]
    pub(crate) fn is_out_of_turn(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) -> bool {
        has_rate(clients, turn.settings, slot) && self.begins_to_wait(clients, turn, slot)
    }

    fn begins_to_wait(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) -> bool {
        let client = &clients[slot];
        if let Phase::Handshaking { .. } | Phase::Closed { .. } = client.phase() {
            return false;
        }
        if client.has_hold(Hold::Rate) || client.has_hold(Hold::HubRate) {
            return true;
        }
        let (hub, rate) = (client.hub(), turn.settings.limits.messages_per_second);
        if rate > 0 && client.heard().room(rate, turn.now) == 0 {
            self.clients.push(slot);
            clients.hub_mut(hub).counters.slowed += 1;
            clients.hold(turn, slot, Hold::Rate);
            return true;
        }
        let waits = !self.may_say_to_hub(clients, slot, turn.now);
        if waits {
            let directory = &clients.hub(hub).directory;
            let begin = || HubQueue { clients: VecDeque::new(), directory: directory.clone() };
            self.hubs.entry(hub).or_insert_with(begin).push(slot);
            clients.hub_mut(hub).counters.slowed_by_hub += 1;
            clients.hold(turn, slot, Hold::HubRate);
        }
        waits
    }

    /// Whether the rate of its hub lets a client say something now: in its turn; or if it has had none in this round, while nobody
    /// waits for one.
    fn may_say_to_hub(&self, clients: &Clients, slot: Slot, now: Millis) -> bool {
        let hub = clients.hub_of(slot);
        let (rate, heard) = (hub.messages_per_second, &hub.directory.heard());
        match clients[slot].heard().may_speak(self.round) {
            _ if rate == 0 => true,
            Some(may_speak) => may_speak,
            None => heard.waiting() == 0 && heard.room(rate, now) > 0,
        }
    }

    /// A client is closed: others have its place and what it has not said in its turn.
    pub(crate) fn departed(&mut self, clients: &mut Clients, slot: Slot) {
        self.has_gaps |= clients[slot].has_hold(Hold::HubRate);
        end_turn(clients, slot);
    }

    /// Time passed: reads those again whose turn has come.
    pub(crate) fn tick(&mut self, clients: &mut Clients, turn: &mut Turn<'_>) {
        let rate = turn.settings.limits.messages_per_second;
        for slot in std::mem::take(&mut self.clients) {
            if !clients.is_still(slot) {
                continue;
            }
            match rate == 0 || clients[slot].heard().room(rate, turn.now) > 0 {
                true => clients.release_hold(turn, slot, Hold::Rate),
                false => self.clients.push(slot),
            }
        }
        self.end_round(clients);
        let has_gaps = std::mem::take(&mut self.has_gaps);
        for (hub, mut queue) in std::mem::take(&mut self.hubs) {
            if has_gaps {
                queue.retain(|slot| clients.is_still(*slot));
            }
            self.deal_turns(clients, turn, hub, queue);
        }
    }

    /// Those that have had their turn wait for another one.
    fn end_round(&mut self, clients: &mut Clients) {
        self.round = self.round.wrapping_add(1);
        for slot in std::mem::take(&mut self.called) {
            if clients.is_still(slot) {
                end_turn(clients, slot);
            }
        }
    }

    /// Deals what the rate of a hub allows to those that wait longest.
    fn deal_turns(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, hub: HubIndex, mut queue: HubQueue) {
        let rate = clients.hub(hub).messages_per_second;
        let directory = queue.directory.clone();
        let (turns, mut messages) = queue.turns(rate, turn.now);
        let mut called = queue.take(turns);
        let mut paid = 0;
        if rate > 0 {
            paid = share(rate);
            directory.heard().pay(rate, messages, turn.now);
        }
        // Those whose turn is over wait after these.
        if !queue.clients.is_empty() {
            self.hubs.insert(hub, queue);
        }
        // What cannot be divided is not always for the same ones.
        called.rotate_left(self.round as usize % turns.max(1));
        for (index, slot) in called.into_iter().enumerate() {
            let share = messages.div_ceil((turns - index) as u64);
            messages -= share;
            // Those before it may have closed it.
            if !clients.is_still(slot) {
                directory.heard().pay_back(paid, share);
                continue;
            }
            clients[slot].heard_mut().begin_turn(self.round, share, paid);
            self.called.push(slot);
            clients.release_hold(turn, slot, Hold::HubRate);
        }
    }
}
