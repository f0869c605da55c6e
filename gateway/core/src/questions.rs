//! What plugins, REST callers and hub servers ask of a hub, and the acks that hub servers get.

use std::sync::Arc;

use crate::delivery::Target;
use crate::effect::{Effect, Order, Shards};
use crate::event::{ConnectionFacts, HubAnswer, HubQuestion, Joined};
use crate::id::{ConnectionId, GroupName, HubName, ServerConnectionId, ShardIndex, UserId};
use crate::pending_acks::PendingAck;
use crate::registry::LocalTarget;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// What an ack says (Azure SignalR SDK for .NET, "Service Protocol", `Ack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AckStatus {
    NotFound,
    Ok,
    TooLate,
    Failed,
    NotSupported,
}

/// One page of a group's members.
#[derive(Debug, Default)]
pub(crate) struct Page {
    most: usize,
    members: Vec<(ConnectionId, Option<UserId>)>,
}

/// Whom a question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    All,
    /// The shard of one connection.
    One(ShardIndex),
}

impl Shard {
    /// Answers a question about a hub, as far as this shard knows.
    pub(crate) fn answer(&mut self, hub: &HubName, question: HubQuestion, now: Millis) -> HubAnswer {
        match question {
            HubQuestion::Exists(target) => HubAnswer::Exists(self.exists(hub, &target)),
            HubQuestion::Facts(id) => HubAnswer::Facts(self.facts(hub, id)),
            HubQuestion::UserInGroup { user, group } => {
                HubAnswer::Exists(self.is_user_in_group(hub, &user, &group, now))
            }
            HubQuestion::Join { connection, group } => HubAnswer::Joined(self.join(hub, connection, &group)),
            HubQuestion::Leave { connection, group } => {
                let slot = self.connection(hub, connection);
                if let Some(slot) = slot {
                    self.part_client(slot, group.as_ref());
                }
                HubAnswer::Exists(slot.is_some())
            }
            HubQuestion::Members { group, after, most } => HubAnswer::Members(self.members(hub, &group, after, most)),
            HubQuestion::Barrier => HubAnswer::InEffect,
        }
    }

    /// Asks for a hub server, and acks it when all who are asked have answered.
    pub(crate) fn ack_with(
        &mut self,
        server: ServerConnectionId,
        ack_id: i64,
        asked: Asked,
        question: HubQuestion,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hub) = self.server_hub(server) else {
            return;
        };
        let hub_name = self.hub(hub).name.clone();
        let mut page = match &question {
            HubQuestion::Members { most, .. } => Some(Page { most: *most, members: Vec::new() }),
            _ => None,
        };
        let (to, waiting, status) = match asked {
            Asked::One(shard) if shard.0 >= self.shards => (None, 0, AckStatus::NotFound),
            Asked::One(shard) if shard != self.index => (Some(Shards::One(shard)), 1, AckStatus::NotFound),
            Asked::One(_) => {
                let answer = self.answer(&hub_name, question.clone(), now);
                (None, 0, AckStatus::of(&answer))
            }
            Asked::All => {
                let answer = self.answer(&hub_name, question.clone(), now);
                let status = AckStatus::of(&answer);
                if let (Some(page), HubAnswer::Members(members)) = (&mut page, answer) {
                    page.members = members;
                }
                (Some(Shards::AllOthers), usize::from(self.shards) - 1, status)
            }
        };
        if let (Some(to), 1..) = (to, waiting) {
            let number = self.acks.add(PendingAck { server, ack_id, waiting, status, page }, now);
            self.ack_waits(server, effects);
            return self.forward(to, hub, Order::Ask { question, asker: self.index, number }, effects);
        }
        self.ack(server, ack_id, status, page, effects);
    }

    /// Another shard has answered.
    pub(crate) fn answered(&mut self, number: u32, answer: HubAnswer, now: Millis, effects: &mut Vec<Effect>) {
        let Some(pending) = self.acks.get(number) else {
            return;
        };
        pending.status = pending.status.max(AckStatus::of(&answer));
        pending.waiting -= 1;
        if let (Some(page), HubAnswer::Members(members)) = (&mut pending.page, answer) {
            page.members.extend(members);
        }
        if pending.waiting == 0
            && let Some(PendingAck { server, ack_id, status, page, .. }) = self.acks.remove(number)
        {
            self.ack(server, ack_id, status, page, effects);
            self.ack_ended(server, now, effects);
        }
    }

    /// Tells hub servers of acks for which other shards took too long.
    pub(crate) fn end_late_acks(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while let Some(PendingAck { server, ack_id, .. }) = self.acks.next_late(now) {
            self.ack(server, ack_id, AckStatus::TooLate, None, effects);
            self.ack_ended(server, now, effects);
        }
    }

    fn members(
        &self,
        hub: &HubName,
        group: &GroupName,
        after: Option<ConnectionId>,
        most: usize,
    ) -> Vec<(ConnectionId, Option<UserId>)> {
        let Some(hub) = self.hubs.find(hub) else {
            return Vec::new();
        };
        let target = LocalTarget::Group(group);
        let clients = self.hub(hub).clients_of(&target).map(|slot| &self.clients[slot.0 as usize]);
        let behind = clients.filter(|client| after.is_none_or(|after| client.id > after));
        let mut members: Vec<_> =
            behind.map(|client| (client.id, client.facts().and_then(|facts| facts.user_id.clone()))).collect();
        members.sort_unstable_by_key(|(id, _)| *id);
        members.truncate(most);
        members
    }

    /// The slot of a connection of the hub on this shard.
    fn connection(&self, hub: &HubName, id: ConnectionId) -> Option<Slot> {
        self.slot_of(self.hubs.find(hub)?, &Target::Connection(id))
    }

    fn exists(&self, hub: &HubName, target: &Target) -> bool {
        let Some(hub) = self.hubs.find(hub) else {
            return false;
        };
        let slot = self.slot_of(hub, target);
        self.hub(hub).clients_of(&LocalTarget::new(target, slot)).next().is_some()
    }

    fn is_user_in_group(&self, hub: &HubName, user: &UserId, group: &GroupName, now: Millis) -> bool {
        let is_in_group = |slot: Slot| self.clients[slot.0 as usize].groups.contains(group);
        let user_connections = LocalTarget::User(user);
        let is_member = self.hubs.presence().memberships.has(hub, user, group, now);
        is_member || self.hubs.find(hub).is_some_and(|hub| self.hub(hub).clients_of(&user_connections).any(is_in_group))
    }

    fn join(&mut self, hub: &HubName, connection: ConnectionId, group: &GroupName) -> Joined {
        match self.connection(hub, connection) {
            Some(slot) => self.join_client(slot, group),
            None => Joined::NoSuchConnection,
        }
    }

    fn facts(&self, hub: &HubName, id: ConnectionId) -> Option<Arc<ConnectionFacts>> {
        let slot = self.slots.get(&id)?;
        let facts = self.clients[slot.0 as usize].facts()?;
        (facts.hub == *hub).then(|| facts.clone())
    }
}

impl Page {
    /// Its members in the order of their ids, and where the next page begins, if there is one.
    pub(crate) fn finished(mut self) -> (Vec<(ConnectionId, Option<UserId>)>, Option<ConnectionId>) {
        self.members.sort_unstable_by_key(|(id, _)| *id);
        let is_more = self.members.len() >= self.most;
        self.members.truncate(self.most);
        let last = self.members.last().map(|(id, _)| *id).filter(|_| is_more);
        (self.members, last)
    }
}

impl AckStatus {
    fn of(answer: &HubAnswer) -> AckStatus {
        match answer {
            HubAnswer::Exists(true)
            | HubAnswer::Joined(Joined::Yes)
            | HubAnswer::InEffect
            | HubAnswer::UserJoined(Ok(())) => AckStatus::Ok,
            HubAnswer::Exists(false) | HubAnswer::Joined(Joined::NoSuchConnection) => AckStatus::NotFound,
            HubAnswer::Joined(Joined::TooManyGroups) | HubAnswer::UserJoined(Err(_)) => AckStatus::Failed,
            HubAnswer::Members(members) => match members.is_empty() {
                false => AckStatus::Ok,
                true => AckStatus::NotFound,
            },
            HubAnswer::Facts(facts) => match facts {
                Some(_) => AckStatus::Ok,
                None => AckStatus::NotFound,
            },
        }
    }

    /// The number on the wire.
    pub(crate) fn number(self) -> i64 {
        match self {
            AckStatus::Ok => 1,
            AckStatus::NotFound => 2,
            AckStatus::TooLate => 3,
            AckStatus::Failed | AckStatus::NotSupported => 4,
        }
    }

    /// For the server's log.
    pub(crate) fn text(self) -> &'static str {
        match self {
            AckStatus::Ok => "",
            AckStatus::NotFound => "It does not exist.",
            AckStatus::TooLate => "The gateway took too long: some of its threads have not answered.",
            AckStatus::Failed => {
                "The connection is in as many groups as it may be in, the hub has as many memberships of users as it may \
                 have, or an id or a name is not valid."
            }
            AckStatus::NotSupported => "This gateway does not refresh the authentication of clients.",
        }
    }
}
