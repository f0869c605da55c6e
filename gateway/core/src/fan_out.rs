//! How what a sender asks for reaches connections, here and on the other shards.

use hubgate_wire::websocket::Frame;

use crate::client_connection::HubIndex;
use crate::closing::Closing;
use crate::delivery::{Action, Except, Member, Target};
use crate::effect::{CloseCause, Effect, Order, Shards};
use crate::event::Joined;
use crate::hash::SeededSet;
use crate::id::{ConnectionId, GroupName, HubName, ShardIndex, UserId};
use crate::memberships::{Bounds, MembershipRefusal, NewMembership, Refused};
use crate::outgoing::Outgoing;
use crate::reach::SendLog;
use crate::registry::{Clients, LocalTarget};
use crate::shard::{Shard, Slot};
use crate::time::Millis;

impl Shard {
    /// Does what a filter asks of a hub, in order. Filters do not see it.
    pub(crate) fn act_for_filter(
        &mut self,
        hub: &HubName,
        actions: Vec<Action>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let hub = self.hub_index(hub);
        self.act_all(hub, actions, now, effects);
    }

    /// Does what a sender asks of a hub, in order. A sender that does not wait is not told of what is refused: that is counted
    /// and logged.
    pub(crate) fn act_all(&mut self, hub: HubIndex, actions: Vec<Action>, now: Millis, effects: &mut Vec<Effect>) {
        for action in actions {
            self.act(hub, action, now, effects);
        }
    }

    /// The same for one action.
    pub(crate) fn act(&mut self, hub: HubIndex, action: Action, now: Millis, effects: &mut Vec<Effect>) {
        drop(self.try_act(hub, action, now, effects));
    }

    /// Puts a user's present and later connections into a group, for a caller with an access key.
    pub(crate) fn join_user(
        &mut self,
        hub: &HubName,
        (user, group): (UserId, GroupName),
        ttl_seconds: Option<u32>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) -> Result<(), MembershipRefusal> {
        let hub = self.hub_index(hub);
        let join = Action::Join { member: Member::User(user), group, ttl_seconds, plugin: None };
        self.try_act(hub, join, now, effects)
    }

    /// Does what another shard forwarded.
    pub(crate) fn obey(&mut self, hub: &HubName, order: Order, now: Millis, effects: &mut Vec<Effect>) {
        match order {
            Order::Act(action) => {
                // A hub that this shard does not know has no clients here.
                if let Some(index) = self.hubs.find(hub) {
                    self.apply(index, action, now, effects);
                }
            }
            Order::Server(order) => {
                let index = self.hub_index(hub);
                self.obey_about_server(index, order, now, effects);
            }
            Order::Ask { question, asker, number } => {
                let order = Order::Answer { number, answer: self.answer(hub, question, now) };
                effects.push(Effect::Forward { to: Shards::One(asker), hub: hub.clone(), order });
            }
            Order::Answer { number, answer } => self.answered(number, answer, now, effects),
        }
    }

    /// Does what a sender asks of a hub, on all shards that it concerns.
    pub(crate) fn try_act(
        &mut self,
        hub: HubIndex,
        mut action: Action,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) -> Result<(), MembershipRefusal> {
        if let Some(log) = &self.send_log {
            action.begin(&**log, &self.hubs[hub].name);
        }
        match action.owner() {
            Some(owner) if owner == self.index => self.apply(hub, action, now, effects),
            Some(owner) => {
                // An id from outside may name a shard that never was: nobody's connection.
                if owner.0 < self.shards {
                    self.forward(Shards::One(owner), hub, Order::Act(action), effects);
                }
            }
            None => {
                self.change_memberships(hub, &action, now, effects)?;
                self.forward_to_others(hub, &action, effects);
                self.apply(hub, action, now, effects);
            }
        }
        Ok(())
    }

    /// To the shards that it can concern.
    fn forward_to_others(&self, hub: HubIndex, action: &Action, effects: &mut Vec<Effect>) {
        if self.shards == 1 {
            return;
        }
        let order = || Order::Act(action.clone());
        match action.user() {
            Some(user) => {
                for shard in self.hub(hub).presence.users.shards_of(user) {
                    if shard != self.index {
                        self.forward(Shards::One(shard), hub, order(), effects);
                    }
                }
            }
            None => self.forward(Shards::AllOthers, hub, order(), effects),
        }
    }

    pub(crate) fn forward(&self, to: Shards, hub: HubIndex, order: Order, effects: &mut Vec<Effect>) {
        effects.push(Effect::Forward { to, hub: self.hub(hub).name.clone(), order });
    }

    /// Does what a sender asks for, as far as it concerns this shard.
    fn apply(&mut self, hub: HubIndex, action: Action, now: Millis, effects: &mut Vec<Effect>) {
        match action {
            Action::Send { to, message, except } => self.deliver(hub, &to, &except, &message, now, effects),
            Action::Join { member, group, .. } => {
                for slot in self.targets(hub, &member.into_target(), &[]) {
                    self.join_client(slot, &group);
                }
            }
            Action::Leave { member, group } => self.part(hub, member, Some(&group)),
            Action::LeaveAll(member) => self.part(hub, member, None),
            Action::Close { target, except, reason, allow_reconnect } => {
                for slot in self.targets(hub, &target, &except) {
                    let closing = Closing { error: reason.clone(), allow_reconnect, detail: String::new() };
                    self.close(slot, CloseCause::ClosedByRequest, closing, effects);
                }
            }
        }
    }

    fn deliver(
        &mut self,
        hub: HubIndex,
        to: &Target,
        except: &Except,
        message: &Outgoing,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let held = self.settings.limits.held;
        let mut slots = self.targets(hub, to, &except.connections);
        if !except.users.is_empty() {
            self.leave_out(&mut slots, &except.users);
        }
        // As a rule all speak one protocol, so that one round is enough.
        while let Some(first) = slots.first() {
            let protocol = self.client(*first).protocol;
            let frame = message.frame(protocol);
            let (count, mut others) = (slots.len(), Vec::new());
            slots.retain(|slot| {
                let client = self.client(*slot);
                if client.protocol != protocol {
                    others.push(*slot);
                    return false;
                }
                frame.is_some_and(|frame| client.takes(frame, now, held))
            });
            if let Some(frame) = frame {
                if let Some(reach) = message.reach() {
                    reach.reached(count - others.len());
                }
                let counters = &mut self.hub_mut(hub).counters;
                counters.messages_out += (count - others.len()) as u64;
                counters.bytes_out += ((count - others.len()) * frame.len()) as u64;
                match slots.as_slice() {
                    [] => {}
                    [slot] => effects.push(Effect::Send { to: *slot, frame: frame.clone() }),
                    _ => effects.push(Effect::Deliver { to: slots, frame: frame.clone() }),
                }
            }
            slots = others;
        }
    }

    /// Queues a frame for one client.
    pub(crate) fn send(&mut self, slot: Slot, frame: Frame, now: Millis, effects: &mut Vec<Effect>) {
        if self.client(slot).is_closed() {
            return;
        }
        self.count_out(slot, &frame);
        let held = self.settings.limits.held;
        if self.client(slot).takes(&frame, now, held) {
            effects.push(Effect::Send { to: slot, frame });
        }
    }

    /// Queues a frame for one client that is open, before what is held back for it.
    pub(crate) fn send_at_once(&mut self, slot: Slot, frame: Frame, now: Millis, effects: &mut Vec<Effect>) {
        self.count_out(slot, &frame);
        self.client(slot).last_sent = now;
        effects.push(Effect::Send { to: slot, frame });
    }

    fn count_out(&mut self, slot: Slot, frame: &Frame) {
        let hub = self.client(slot).hub;
        let counters = &mut self.hub_mut(hub).counters;
        counters.messages_out += 1;
        counters.bytes_out += frame.len() as u64;
    }

    /// The clients of a target on this shard.
    fn targets(&self, hub: HubIndex, target: &Target, except: &[ConnectionId]) -> Vec<Slot> {
        let target = LocalTarget::new(target, self.slot_of(hub, target));
        // Of a list of any length and with any repetitions, no more than there are clients.
        let except: Clients = except.iter().filter_map(|id| self.slots.get(id).copied()).collect();
        let clients = self.hub(hub).clients_of(&target);
        match except.is_empty() {
            true => clients.collect(),
            false => clients.filter(|slot| !except.contains(slot)).collect(),
        }
    }

    /// Leaves out the clients of these users. What it takes grows with the clients and with the list, and not with their product.
    fn leave_out(&self, slots: &mut Vec<Slot>, users: &[UserId]) {
        let user_of = |slot: &Slot| self.clients[slot.0 as usize].facts()?.user_id.as_ref();
        let mut present = SeededSet::with_hasher(self.seed.clone());
        present.extend(slots.iter().filter_map(user_of));
        let mut left_out = SeededSet::with_hasher(self.seed.clone());
        left_out.extend(users.iter().filter(|user| present.contains(user)));
        slots.retain(|slot| user_of(slot).is_none_or(|user| !left_out.contains(user)));
    }

    /// The slot of a target that is a connection of the hub on this shard.
    pub(crate) fn slot_of(&self, hub: HubIndex, target: &Target) -> Option<Slot> {
        let Target::Connection(id) = target else {
            return None;
        };
        let slot = *self.slots.get(id)?;
        (self.clients[slot.0 as usize].hub == hub).then_some(slot)
    }

    /// Puts a client into a group, unless it is in too many.
    pub(crate) fn join_client(&mut self, slot: Slot, group: &GroupName) -> Joined {
        let limit = self.settings.limits.groups_per_connection;
        let client = self.client(slot);
        if client.groups.contains(group) {
            return Joined::Yes;
        }
        let (hub, is_full) = (client.hub, client.groups.len() >= limit);
        if is_full {
            self.hub_mut(hub).counters.joins_refused += 1;
            return Joined::TooManyGroups;
        }
        client.groups.push(group.clone());
        self.hub_mut(hub).join(slot, group.clone());
        Joined::Yes
    }

    /// Takes a member's connections out of a group, or out of all.
    fn part(&mut self, hub: HubIndex, member: Member, group: Option<&GroupName>) {
        for slot in self.targets(hub, &member.into_target(), &[]) {
            self.part_client(slot, group);
        }
    }

    /// Takes a client out of a group, or out of all.
    pub(crate) fn part_client(&mut self, slot: Slot, group: Option<&GroupName>) {
        let client = self.client(slot);
        let hub = client.hub;
        let left = match group {
            Some(group) => client.groups.extract_if(.., |each| each == group).collect(),
            None => std::mem::take(&mut client.groups),
        };
        for group in left {
            self.hub_mut(hub).leave(slot, &group);
        }
    }

    /// What an action means for connections that its user makes later.
    fn change_memberships(
        &mut self,
        hub: HubIndex,
        action: &Action,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) -> Result<(), MembershipRefusal> {
        let name = &self.hubs[hub].name;
        let memberships = &self.hubs.presence().memberships;
        match action {
            // With a time to live of nothing, only present connections join.
            Action::Join { ttl_seconds: Some(0), .. } => {}
            Action::Join { member: Member::User(user), group, ttl_seconds, plugin } => {
                let ends = ttl_seconds.map(|seconds| now + Millis(u64::from(seconds) * 1000));
                let limits = &self.settings.limits;
                let bounds = Bounds { per_hub: limits.user_memberships, per_user: limits.groups_per_connection };
                let new = NewMembership { hub: name, user, group, ends, plugin: plugin.as_ref() };
                if let Err(Refused { refusal, is_first }) = memberships.add(&new, bounds, now) {
                    if is_first {
                        effects.push(Effect::MembershipRefused { hub: name.clone(), refusal: refusal.clone() });
                    }
                    self.hub_mut(hub).counters.memberships_refused += 1;
                    return Err(refusal);
                }
            }
            Action::Leave { member: Member::User(user), group } => memberships.end(name, user, Some(group)),
            Action::LeaveAll(Member::User(user)) => memberships.end(name, user, None),
            Action::Send { .. }
            | Action::Join { member: Member::Connection(_), .. }
            | Action::Leave { member: Member::Connection(_), .. }
            | Action::LeaveAll(Member::Connection(_))
            | Action::Close { .. } => {}
        }
        Ok(())
    }
}

impl Action {
    /// Lets the log know of a send whose reach nobody else asks for.
    fn begin(&mut self, log: &dyn SendLog, hub: &HubName) {
        if let Action::Send { to, message, .. } = self
            && message.reach().is_none()
            && let Some(reach) = log.begin(hub, to)
        {
            *message = message.clone().counted(reach);
        }
    }
}

impl Member {
    fn into_target(self) -> Target {
        match self {
            Member::Connection(id) => Target::Connection(id),
            Member::User(user) => Target::User(user),
        }
    }
}

impl Action {
    /// The user whose connections alone it is about.
    fn user(&self) -> Option<&UserId> {
        match self {
            Action::Send { to: Target::User(user), .. }
            | Action::Join { member: Member::User(user), .. }
            | Action::Leave { member: Member::User(user), .. }
            | Action::LeaveAll(Member::User(user))
            | Action::Close { target: Target::User(user), .. } => Some(user),
            Action::Send { to: Target::All | Target::Group(_) | Target::Connection(_), .. }
            | Action::Join { member: Member::Connection(_), .. }
            | Action::Leave { member: Member::Connection(_), .. }
            | Action::LeaveAll(Member::Connection(_))
            | Action::Close { target: Target::All | Target::Group(_) | Target::Connection(_), .. } => None,
        }
    }

    /// The only shard that the action is about, if it is about one connection.
    fn owner(&self) -> Option<ShardIndex> {
        match self {
            Action::Send { to: Target::Connection(id), .. }
            | Action::Join { member: Member::Connection(id), .. }
            | Action::Leave { member: Member::Connection(id), .. }
            | Action::LeaveAll(Member::Connection(id))
            | Action::Close { target: Target::Connection(id), .. } => Some(id.shard()),
            Action::Send { to: Target::All | Target::Group(_) | Target::User(_), .. }
            | Action::Join { member: Member::User(_), .. }
            | Action::Leave { member: Member::User(_), .. }
            | Action::LeaveAll(Member::User(_))
            | Action::Close { target: Target::All | Target::Group(_) | Target::User(_), .. } => None,
        }
    }
}
