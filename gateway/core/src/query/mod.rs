//! What a shard knows of a hub, and what it does and tells of, for whoever asks.

mod ack;
mod asked;
mod asker;
mod claiming;
mod gather;
mod owed;

use std::sync::Arc;

pub(crate) use ack::{Ack, AckStatus, Carried, Page};
pub(crate) use gather::Gathers;

use crate::client::{Clients, actions, groups, renewal};
use crate::event::ConnectionFacts;
use crate::hub::LocalTarget;
use crate::hub::directory::TooManyGroups;
use crate::id::{ConnectionId, GroupName, HubName, PluginName, Slot, UserId};
use crate::question::{Answer, Command, Joined, Members, Query, Question, Sought, Watched};
use crate::refusal::WatchRefusal;
use crate::target::Target;
use crate::time::Millis;
use crate::turn::Turn;

/// Answers a question about a hub, as far as it concerns this shard.
pub(crate) fn answer(clients: &mut Clients, turn: &mut Turn<'_>, hub: &HubName, question: Question) -> Answer {
    match question {
        Question::Query(query) => look_up(clients, turn.now, hub, query),
        Question::Command(command) => obey(clients, turn, hub, command),
        Question::Barrier | Question::HandedOn => Answer::InEffect,
    }
}

fn look_up(clients: &Clients, now: Millis, hub: &HubName, query: Query) -> Answer {
    match query {
        Query::Find(Sought::ConnectionOf(target)) => Answer::Found(exists(clients, hub, &target)),
        Query::Find(Sought::UserInGroup { user, group }) => {
            Answer::Found(is_user_in_group(clients, now, hub, &user, &group))
        }
        Query::Facts(id) => Answer::Facts(facts(clients, hub, id)),
        Query::FactsByToken(token) => Answer::Facts(renewal::facts(clients, hub, token)),
        Query::Count(target) => Answer::Count(count(clients, hub, &target)),
        Query::Members { of, after, most } => Answer::Members(members(clients, hub, &of, after, most)),
    }
}

fn obey(clients: &mut Clients, turn: &mut Turn<'_>, hub: &HubName, command: Command) -> Answer {
    match command {
        Command::Join { connection, group } => Answer::Joined(match find(clients, hub, connection) {
            Some(slot) => groups::join(clients, turn, slot, &group),
            None => Joined::NoSuchConnection,
        }),
        Command::Leave { connection, group } => {
            let slot = find(clients, hub, connection);
            if let Some(slot) = slot {
                groups::leave(clients, turn, slot, group.as_ref());
            }
            Answer::Found(slot.is_some())
        }
        Command::Refresh(refresh) => Answer::Refreshed(renewal::refresh(clients, turn, hub, &refresh)),
    }
}

fn members(clients: &Clients, hub: &HubName, of: &Target, after: Option<ConnectionId>, most: usize) -> Members {
    let Some(hub) = clients.hubs().find(hub) else {
        return Vec::new();
    };
    let target = actions::local(clients, hub, of);
    let members = clients.hub(hub).clients_of(&target);
    let members = members.map(|slot| (clients[slot].id(), slot));
    let mut page: Vec<_> = members.filter(|(id, _)| after.is_none_or(|after| *id > after)).collect();
    // One more tells that there is a further page.
    if page.len() > most + 1 {
        page.select_nth_unstable_by_key(most, |(id, _)| *id);
        page.truncate(most + 1);
    }
    page.sort_unstable_by_key(|(id, _)| *id);
    let user = |slot: Slot| clients[slot].facts().and_then(|facts| facts.user_id.clone());
    page.into_iter().map(|(id, slot)| (id, user(slot))).collect()
}

fn count(clients: &Clients, hub: &HubName, of: &Target) -> u64 {
    let Some(index) = clients.hubs().find(hub) else {
        return 0;
    };
    let (hub, target) = (clients.hub(index), actions::local(clients, index, of));
    hub.many(&target).map_or_else(|| hub.clients_of(&target).count(), |many| many.len()) as u64
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

fn is_user_in_group(clients: &Clients, now: Millis, hub: &HubName, user: &UserId, group: &GroupName) -> bool {
    let user_connections = LocalTarget::User(user);
    let is_member = clients.hubs().directory().memberships.has(hub, user, group, now);
    let is_in_group = |slot| actions::is_in_group(clients, slot, group);
    is_member
        || clients.hubs().find(hub).is_some_and(|hub| clients.hub(hub).clients_of(&user_connections).any(is_in_group))
}

fn facts(clients: &Clients, hub: &HubName, id: ConnectionId) -> Option<Arc<ConnectionFacts>> {
    let facts = clients[clients.find(id)?].facts()?;
    (facts.hub == *hub).then(|| facts.clone())
}

/// Lets a plugin watch a group, as a shard of any gateway may: all of them know it at once.
pub(crate) fn watch(clients: &Clients, turn: &Turn<'_>, hub: &HubName, watch: (PluginName, GroupName)) -> Watched {
    let (settings, mode) = (turn.settings, turn.settings.hub(hub).mode);
    if !mode.asks_upstream() {
        return Err(WatchRefusal::NotServerless(mode));
    }
    let most = settings.presence.get(&watch.0).map_or(0, |presence| presence.groups);
    let watched = clients.hubs().directory().watch((hub, settings.names(hub)), watch, most);
    watched.map_err(|TooManyGroups| WatchRefusal::TooMany)
}
