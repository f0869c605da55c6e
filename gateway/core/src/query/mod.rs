//! What plugins, REST callers and hub servers ask of a hub, answered as far as this shard knows.

mod acks;

use std::sync::Arc;

pub(crate) use acks::{Ack, Acks, Gathered};

use crate::client::{Clients, actions};
use crate::event::{ConnectionFacts, HubAnswer, HubQuestion, Joined};
use crate::hub::LocalTarget;
use crate::id::{ConnectionId, GroupName, HubName, Slot, UserId};
use crate::target::Target;
use crate::turn::Turn;

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

/// Answers a question about a hub, as far as this shard knows.
pub(crate) fn answer(clients: &mut Clients, turn: &Turn<'_>, hub: &HubName, question: HubQuestion) -> HubAnswer {
    match question {
        HubQuestion::Exists(target) => HubAnswer::Exists(exists(clients, hub, &target)),
        HubQuestion::Facts(id) => HubAnswer::Facts(facts(clients, hub, id)),
        HubQuestion::UserInGroup { user, group } => {
            HubAnswer::Exists(is_user_in_group(clients, turn, hub, &user, &group))
        }
        HubQuestion::Join { connection, group } => HubAnswer::Joined(match find(clients, hub, connection) {
            Some(slot) => actions::join_client(clients, turn, slot, &group),
            None => Joined::NoSuchConnection,
        }),
        HubQuestion::Leave { connection, group } => {
            let slot = find(clients, hub, connection);
            if let Some(slot) = slot {
                actions::remove_from_group(clients, slot, group.as_ref());
            }
            HubAnswer::Exists(slot.is_some())
        }
        HubQuestion::Members { group, after, most } => HubAnswer::Members(members(clients, hub, &group, after, most)),
        HubQuestion::Barrier => HubAnswer::InEffect,
    }
}

fn members(
    clients: &Clients,
    hub: &HubName,
    group: &GroupName,
    after: Option<ConnectionId>,
    most: usize,
) -> Vec<(ConnectionId, Option<UserId>)> {
    let Some(hub) = clients.hubs().find(hub) else {
        return Vec::new();
    };
    let target = LocalTarget::Group(group);
    let members = clients.hub(hub).clients_of(&target).map(|slot| &clients[slot]);
    let later = members.filter(|client| after.is_none_or(|after| client.id() > after));
    let mut members: Vec<_> =
        later.map(|client| (client.id(), client.facts().and_then(|facts| facts.user_id.clone()))).collect();
    members.sort_unstable_by_key(|(id, _)| *id);
    members.truncate(most);
    members
}

/// The slot of a connection of the hub on this shard.
fn find(clients: &Clients, hub: &HubName, id: ConnectionId) -> Option<Slot> {
    clients.find_in(clients.hubs().find(hub)?, id)
}

fn exists(clients: &Clients, hub: &HubName, target: &Target) -> bool {
    let Some(hub) = clients.hubs().find(hub) else {
        return false;
    };
    clients.hub(hub).clients_of(&actions::local(clients, hub, target)).next().is_some()
}

fn is_user_in_group(clients: &Clients, turn: &Turn<'_>, hub: &HubName, user: &UserId, group: &GroupName) -> bool {
    let user_connections = LocalTarget::User(user);
    let is_member = clients.hubs().presence().memberships.has(hub, user, group, turn.now);
    let is_in_group = |slot| actions::is_in_group(clients, slot, group);
    is_member
        || clients.hubs().find(hub).is_some_and(|hub| clients.hub(hub).clients_of(&user_connections).any(is_in_group))
}

fn facts(clients: &Clients, hub: &HubName, id: ConnectionId) -> Option<Arc<ConnectionFacts>> {
    let facts = clients[clients.find(id)?].facts()?;
    (facts.hub == *hub).then(|| facts.clone())
}

impl Page {
    /// One that names so many members at most.
    fn new(most: usize) -> Page {
        Page { most, members: Vec::new() }
    }

    fn add(&mut self, members: Vec<(ConnectionId, Option<UserId>)>) {
        self.members.extend(members);
    }

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
