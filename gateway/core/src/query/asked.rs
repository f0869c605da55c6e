//! Who is asked a question.

use crate::client::Clients;
use crate::detours::Awaited;
use crate::id::{HubName, ShardAddress, UserId};
use crate::neighbours::Location;
use crate::order::Addressees;
use crate::question::{Query, Question, Sought};
use crate::target::Target;
use crate::turn::Turn;

/// Whom a question is for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) is_this_one: bool,
    pub(super) addressees: Vec<Addressees>,
    /// Other shards are asked only because orders of before go by them. Once all have answered, these are in effect.
    pub(super) awaited: Option<Awaited>,
}

impl Asked {
    pub(super) fn by(question: &Question, clients: &Clients, turn: &Turn<'_>, hub: &HubName) -> Asked {
        if let Some(connection) = question.connection() {
            return Asked::shards(turn, &[turn.shard_of(connection)]);
        }
        match question {
            Question::Query(Query::Find(Sought::UserInGroup { user, .. })) => Asked::of_user(user, clients, turn, hub),
            Question::Query(
                Query::Find(Sought::ConnectionOf(Target::User(user)))
                | Query::Count(Target::User(user))
                | Query::Members { of: Target::User(user), .. },
            ) => Asked::of_user(user, clients, turn, hub),
            Question::Query(_) | Question::Command(_) => Asked::all(clients, turn, hub),
            Question::Barrier | Question::HandedOn => Asked::all(clients, turn, hub).and_awaited(turn, hub),
        }
    }

    /// Also the shards by which orders of the hub have gone that may not have arrived.
    fn and_awaited(mut self, turn: &Turn<'_>, hub: &HubName) -> Asked {
        self.awaited = turn.detours.sent.awaited(hub);
        for shard in self.awaited.iter().flat_map(Awaited::shards) {
            let is_asked = |to: &Addressees| matches!(to, Addressees::Nodes(nodes) if nodes.contains(&shard.node));
            if !self.addressees.iter().any(is_asked) && turn.locate(shard) == Location::OtherNode {
                self.addressees.push(Addressees::One(shard));
            }
        }
        self
    }

    /// The shards that this one has handed orders of the hub on to which may not have arrived, if there are any.
    pub(super) fn handed_on(turn: &Turn<'_>, hub: &HubName) -> Option<Asked> {
        let awaited = turn.detours.handed_on.awaited(hub)?;
        let there = awaited.shards().filter(|shard| turn.locate(*shard) == Location::OtherNode);
        let addressees = there.map(Addressees::One).collect();
        Some(Asked { is_this_one: false, addressees, awaited: Some(awaited) })
    }

    /// The shards of this node, and of those that have clients of the hub.
    fn all(clients: &Clients, turn: &Turn<'_>, hub: &HubName) -> Asked {
        let here = (turn.neighbours.shards() > 1).then_some(Addressees::AllOthers);
        let nodes = match turn.neighbours.nodes().is_empty() {
            true => None,
            false => clients.hubs().directory().find(hub).and_then(|hub| hub.other_nodes(turn)),
        };
        Asked { is_this_one: true, addressees: here.into_iter().chain(nodes).collect(), awaited: None }
    }

    /// The shards that the user is on, those of other nodes that have clients of the hub, and this one: what users are in without
    /// a connection is known here.
    fn of_user(user: &UserId, clients: &Clients, turn: &Turn<'_>, hub: &HubName) -> Asked {
        let directory = clients.hubs().directory().find(hub);
        let shards = directory.as_ref().map(|hub| hub.users().shards_of(user)).unwrap_or_default();
        let mut asked = Asked { is_this_one: true, ..Asked::shards(turn, &shards) };
        asked.addressees.extend(directory.and_then(|hub| hub.other_nodes(turn)));
        asked
    }

    fn shards(turn: &Turn<'_>, shards: &[ShardAddress]) -> Asked {
        let is_elsewhere = |shard| matches!(turn.locate(shard), Location::OtherShard(_) | Location::OtherNode);
        let others = shards.iter().filter(|shard| is_elsewhere(**shard));
        Asked {
            addressees: others.map(|shard| Addressees::One(*shard)).collect(),
            is_this_one: shards.iter().any(|shard| matches!(turn.locate(*shard), Location::Here)),
            awaited: None,
        }
    }
}
