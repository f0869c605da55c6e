//! The acks of hub servers: what several shards answer, in the words of the service protocol.

use std::sync::Arc;

use crate::event::ConnectionFacts;
use crate::id::{ConnectionId, ServerConnectionId};
use crate::question::{AckQuestion, Answer, Command, Joined, Members};
use crate::refresh::RefreshRefusal;

/// An ack of a hub server.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(crate) server: ServerConnectionId,
    pub(crate) ack_id: i64,
    /// The best that was answered so far.
    pub(crate) status: AckStatus,
    /// What the ack carries, beside its status.
    pub(crate) carried: Option<Carried>,
    /// Whether one shard that finds something is enough.
    pub(super) looks: bool,
}

/// What the acks of some questions carry.
#[derive(Debug)]
pub(crate) enum Carried {
    /// Of a query for members.
    Page(Page),
    /// The claims of a client.
    Claims(Option<Arc<ConnectionFacts>>),
}

/// What an ack says (Azure SignalR SDK for .NET, "Service Protocol", `Ack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AckStatus {
    NotFound,
    Ok,
    TooLate,
    /// What is asked for cannot be.
    Refused,
    /// Others may do it.
    Forbidden,
}

/// One page of connections.
#[derive(Debug, Default)]
pub(crate) struct Page {
    most: usize,
    members: Members,
}

impl Ack {
    /// The ack of something that nobody has answered yet.
    pub(super) fn new(server: ServerConnectionId, ack_id: i64, question: &AckQuestion) -> Ack {
        let carried = match question {
            AckQuestion::Members { most, .. } => Some(Carried::Page(Page::new(*most))),
            AckQuestion::Claims(_) | AckQuestion::Command(Command::Refresh(_)) => Some(Carried::Claims(None)),
            AckQuestion::Find(_) | AckQuestion::Command(_) | AckQuestion::Barrier => None,
        };
        let looks = matches!(question, AckQuestion::Find(_));
        Ack { server, ack_id, status: AckStatus::NotFound, carried, looks }
    }

    /// Whether what was looked for is found.
    pub(super) fn is_found(&self) -> bool {
        self.looks && self.status == AckStatus::Ok
    }

    pub(super) fn add(&mut self, answer: Answer) {
        self.status = self.status.max(AckStatus::of(&answer));
        match (&mut self.carried, answer) {
            (Some(Carried::Page(page)), Answer::Members(members)) => page.add(members),
            (Some(Carried::Claims(facts)), Answer::Facts(Some(known)) | Answer::Refreshed(Ok(known))) => {
                *facts = Some(known);
            }
            _ => {}
        }
    }
}

impl Page {
    pub(super) fn new(most: usize) -> Page {
        Page { most, members: Vec::new() }
    }

    /// Adds what one shard has of it.
    pub(super) fn add(&mut self, members: Members) {
        self.members.extend(members);
    }

    /// Its members in the order of their ids, and where the next page begins, if there is one.
    pub(crate) fn finished(mut self) -> (Members, Option<ConnectionId>) {
        self.members.sort_unstable_by_key(|(id, _)| *id);
        let is_more = self.members.len() > self.most;
        self.members.truncate(self.most);
        let last = self.members.last().map(|(id, _)| *id).filter(|_| is_more);
        (self.members, last)
    }
}

impl AckStatus {
    fn of(answer: &Answer) -> AckStatus {
        let found = |found| if found { AckStatus::Ok } else { AckStatus::NotFound };
        match answer {
            Answer::Found(is_there) => found(*is_there),
            Answer::Facts(facts) => found(facts.is_some()),
            Answer::Count(count) => found(*count > 0),
            Answer::Members(members) => found(!members.is_empty()),
            Answer::Stream(reply) => found(reply.is_ok()),
            // Hub servers have none.
            Answer::Kept(kept) => found(kept.is_ok()),
            Answer::Claimed(claimed) => found(claimed.is_ok()),
            Answer::Joined(Joined::Yes) | Answer::Refreshed(Ok(_)) | Answer::InEffect => AckStatus::Ok,
            Answer::Joined(Joined::NoSuchConnection) | Answer::Refreshed(Err(RefreshRefusal::NoSuchConnection)) => {
                AckStatus::NotFound
            }
            Answer::Joined(Joined::TooManyGroups) | Answer::Refreshed(Err(RefreshRefusal::TooLarge)) => {
                AckStatus::Refused
            }
            Answer::Refreshed(Err(RefreshRefusal::AnotherUser)) => AckStatus::Forbidden,
        }
    }

    /// The number on the wire.
    pub(crate) fn number(self) -> i64 {
        match self {
            AckStatus::Ok => 1,
            AckStatus::NotFound => 2,
            AckStatus::TooLate => 3,
            AckStatus::Forbidden => 5,
            // None of the SDK's own. It takes 3 and 4 for time-outs, after which callers try again, and of 5 it thinks that others may
            // do it; of a number that it does not know it throws an error that names it.
            AckStatus::Refused => 6,
        }
    }

    /// For the server's log.
    pub(crate) fn text(self) -> &'static str {
        match self {
            AckStatus::Ok => "",
            AckStatus::NotFound => "It does not exist.",
            AckStatus::TooLate => "The gateway took too long: some of its threads have not answered.",
            AckStatus::Refused => {
                "The connection is in as many groups as it may be in, the hub has as many memberships of users as it may \
                 have, or an id or a name is not valid, or claims take more than is kept of them."
            }
            AckStatus::Forbidden => "The claims are those of another user than the connection's.",
        }
    }
}
