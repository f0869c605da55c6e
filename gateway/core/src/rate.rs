//! How many messages one client, and all clients of a hub together, may say in a second. Whoever says more is read later: a
//! second's worth may come at once, and each message after that waits until it is paid for by time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::client_connection::{HubIndex, Phase};
use crate::effect::Effect;
use crate::id::ConnectionId;
use crate::presence::HubPresence;
use crate::read_holds::Hold;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Until when messages are paid for, in nanoseconds. Each pays for its share of a second.
type PaidUntil = u64;

/// How many more messages a rate allows now.
fn room(paid_until: PaidUntil, rate: u32, now: Millis) -> u64 {
    SECOND.saturating_sub(paid_until.saturating_sub(nanoseconds(now))) / share(rate)
}

/// Some messages came, whether there was room for them or not.
fn pay(paid_until: PaidUntil, rate: u32, messages: u64, now: Millis) -> PaidUntil {
    paid_until.max(nanoseconds(now)).saturating_add(share(rate).saturating_mul(messages))
}

/// A message's share of a second.
fn share(rate: u32) -> u64 {
    (SECOND / u64::from(rate).max(1)).max(1)
}

fn nanoseconds(time: Millis) -> u64 {
    time.0.saturating_mul(1_000_000)
}

/// What the clients of a hub have said, on all shards.
#[derive(Debug, Default)]
pub(crate) struct HeardOfHub {
    paid_until: AtomicU64,
    /// Clients that wait for their turn, in number: these share what the rate allows.
    waiting: AtomicUsize,
}

impl HeardOfHub {
    fn room(&self, rate: u32, now: Millis) -> u64 {
        room(self.paid_until.load(Ordering::Relaxed), rate, now)
    }

    fn pay(&self, rate: u32, messages: u64, now: Millis) {
        let paid = |until| Some(pay(until, rate, messages, now));
        let _ = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
    }

    /// Messages that were paid for did not come.
    fn pay_back(&self, share: u64, messages: u64) {
        let paid = |until: PaidUntil| Some(until.saturating_sub(share.saturating_mul(messages)));
        let _ = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// What one client has said.
#[derive(Debug, Default)]
pub(crate) struct HeardOfClient {
    paid_until: PaidUntil,
    /// Messages that it may still say in its turn. They are paid for.
    turn: u32,
    /// What each of them has paid: the hub may have another rate when the turn ends.
    share: u64,
    /// The round in which it had its last turn; 0: none yet.
    round: u32,
}

/// The clients of a shard that are not read because of a rate.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Those that have said as much as one client may.
    clients: Vec<Waiting>,
    /// Those whose hub has heard as much as it may.
    hubs: BTreeMap<HubIndex, HubQueue>,
    /// Those that have their turn in this round.
    called: Vec<Waiting>,
    /// How often it was looked whose turn it is, from 1.
    round: u32,
    /// Whether some of those that wait for their hub have left.
    has_gaps: bool,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { clients: Vec::new(), hubs: BTreeMap::new(), called: Vec::new(), round: 1, has_gaps: false }
    }
}

type Waiting = (Slot, ConnectionId);

/// Clients of one hub in the order of their turns; at least one.
#[derive(Debug)]
struct HubQueue {
    clients: VecDeque<Waiting>,
    /// Counts them among those of all shards.
    presence: Arc<HubPresence>,
}

impl HubQueue {
    fn push(&mut self, client: Waiting) {
        self.clients.push_back(client);
        self.presence.heard.waiting.fetch_add(1, Ordering::Relaxed);
    }

    fn retain(&mut self, stays: impl Fn(&Waiting) -> bool) {
        let before = self.clients.len();
        self.clients.retain(stays);
        self.have_left(before - self.clients.len());
    }

    /// Takes those that wait longest.
    fn take(&mut self, count: usize) -> Vec<Waiting> {
        self.have_left(count);
        self.clients.drain(..count).collect()
    }

    fn have_left(&self, count: usize) {
        self.presence.heard.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many of its clients have a turn now, and how many messages they may say together.
    fn turns(&self, rate: u32, now: Millis) -> (usize, u64) {
        let (own, heard) = (self.clients.len(), &self.presence.heard);
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
        self.have_left(self.clients.len());
    }
}

impl Shard {
    /// Whether clients of a hub are read at a rate.
    #[inline]
    pub(crate) fn has_rate(&self, hub: HubIndex) -> bool {
        self.settings.limits.messages_per_second > 0 || self.hubs[hub].messages_per_second > 0
    }

    /// Whether a client has said as much as it may for now; if so, it is not read until its turn comes.
    #[inline]
    pub(crate) fn waits_for_turn(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> bool {
        self.has_rate(self.clients[slot.0 as usize].hub) && self.begins_to_wait(slot, now, effects)
    }

    fn begins_to_wait(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) -> bool {
        let client = &self.clients[slot.0 as usize];
        if let Phase::Handshaking { .. } | Phase::Closed { .. } = client.phase {
            return false;
        }
        if client.holds.has(Hold::Rate) || client.holds.has(Hold::HubRate) {
            return true;
        }
        let (hub, id, rate) = (client.hub, client.id, self.settings.limits.messages_per_second);
        if rate > 0 && room(client.heard.paid_until, rate, now) == 0 {
            self.rates.clients.push((slot, id));
            self.hub_mut(hub).counters.slowed += 1;
            self.hold(slot, Hold::Rate, effects);
            return true;
        }
        let waits = !self.may_say_to_hub(slot, now);
        if waits {
            let presence = &self.hubs[hub].presence;
            let begin = || HubQueue { clients: VecDeque::new(), presence: presence.clone() };
            self.rates.hubs.entry(hub).or_insert_with(begin).push((slot, id));
            self.hub_mut(hub).counters.slowed_by_hub += 1;
            self.hold(slot, Hold::HubRate, effects);
        }
        waits
    }

    /// Whether the rate of its hub lets a client say something now: in its turn; or if it has had none in this round, while nobody
    /// waits for one.
    fn may_say_to_hub(&self, slot: Slot, now: Millis) -> bool {
        let client = &self.clients[slot.0 as usize];
        let hub = &self.hubs[client.hub];
        let (rate, heard) = (hub.messages_per_second, &hub.presence.heard);
        match client.heard.round == self.rates.round {
            _ if rate == 0 => true,
            true => client.heard.turn > 0,
            false => heard.waiting() == 0 && heard.room(rate, now) > 0,
        }
    }

    /// A client has said some messages.
    #[inline]
    pub(crate) fn heard(&mut self, slot: Slot, messages: usize, now: Millis) {
        if self.has_rate(self.clients[slot.0 as usize].hub) {
            self.pay_for(slot, messages as u64, now);
        }
    }

    fn pay_for(&mut self, slot: Slot, messages: u64, now: Millis) {
        let client = &mut self.clients[slot.0 as usize];
        let (heard, rate) = (&mut client.heard, self.settings.limits.messages_per_second);
        if rate > 0 {
            heard.paid_until = pay(heard.paid_until, rate, messages, now);
        }
        let hub = &self.hubs[client.hub];
        let in_turn = messages.min(u64::from(heard.turn));
        heard.turn -= in_turn as u32;
        if hub.messages_per_second > 0 {
            hub.presence.heard.pay(hub.messages_per_second, messages - in_turn, now);
        }
    }

    /// A client leaves: others have its place and what it has not said in its turn.
    pub(crate) fn leaves_queue(&mut self, slot: Slot) {
        self.rates.has_gaps |= self.clients[slot.0 as usize].holds.has(Hold::HubRate);
        self.end_turn(slot);
    }

    /// What a client has not said in its turn is not paid for.
    fn end_turn(&mut self, slot: Slot) {
        let client = &mut self.clients[slot.0 as usize];
        let unsaid = std::mem::take(&mut client.heard.turn);
        if unsaid > 0 {
            self.hubs[client.hub].presence.heard.pay_back(client.heard.share, unsaid.into());
        }
    }

    /// Time passed: reads those again whose turn has come.
    pub(crate) fn tick_rates(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let rate = self.settings.limits.messages_per_second;
        for (slot, id) in std::mem::take(&mut self.rates.clients) {
            if !self.is_still(slot, id) {
                continue;
            }
            match rate == 0 || room(self.client(slot).heard.paid_until, rate, now) > 0 {
                true => self.release_hold(slot, Hold::Rate, now, effects),
                false => self.rates.clients.push((slot, id)),
            }
        }
        self.end_round();
        let has_gaps = std::mem::take(&mut self.rates.has_gaps);
        for (hub, mut queue) in std::mem::take(&mut self.rates.hubs) {
            if has_gaps {
                queue.retain(|(slot, id)| self.is_still(*slot, *id));
            }
            self.deal_turns(hub, queue, now, effects);
        }
    }

    /// Those that have had their turn wait for another one.
    fn end_round(&mut self) {
        self.rates.round = self.rates.round.wrapping_add(1);
        for (slot, id) in std::mem::take(&mut self.rates.called) {
            if self.is_still(slot, id) {
                self.end_turn(slot);
            }
        }
    }

    /// Deals what the rate of a hub allows to those that wait longest.
    fn deal_turns(&mut self, hub: HubIndex, mut queue: HubQueue, now: Millis, effects: &mut Vec<Effect>) {
        let rate = self.hubs[hub].messages_per_second;
        let presence = queue.presence.clone();
        let (turns, mut messages) = queue.turns(rate, now);
        let mut called = queue.take(turns);
        let mut paid = 0;
        if rate > 0 {
            paid = share(rate);
            presence.heard.pay(rate, messages, now);
        }
        // Those whose turn is over wait after these.
        if !queue.clients.is_empty() {
            self.rates.hubs.insert(hub, queue);
        }
        let round = self.rates.round;
        // What cannot be divided is not always for the same ones.
        called.rotate_left(round as usize % turns.max(1));
        for (index, (slot, id)) in called.into_iter().enumerate() {
            let turn = messages.div_ceil((turns - index) as u64);
            messages -= turn;
            // Those before it may have closed it.
            if !self.is_still(slot, id) {
                presence.heard.pay_back(paid, turn);
                continue;
            }
            let heard = &mut self.client(slot).heard;
            (heard.turn, heard.share, heard.round) = (u32::try_from(turn).unwrap_or(u32::MAX), paid, round);
            self.rates.called.push((slot, id));
            self.release_hold(slot, Hold::HubRate, now, effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_may_come_at_once_and_the_next_when_time_has_paid_for_it() {
        for rate in [1, 3, 7, 100, 4_000] {
            let now = Millis(10_000);
            assert_eq!(room(0, rate, now), u64::from(rate));
            let paid = pay(0, rate, u64::from(rate), now);
            assert_eq!(room(paid, rate, now), 0);
            assert_eq!(room(paid, rate, now + Millis(250)), u64::from(rate) / 4, "{rate}");
            assert_eq!(room(paid, rate, now + Millis(1_001)), u64::from(rate));
            assert_eq!(room(paid, rate, now + Millis(100_000)), u64::from(rate), "what was not used is lost");
        }
        assert!(room(0, u32::MAX, Millis(0)) > 0);
    }
}
