//! What is asked of a hub on whatever shards, and what comes of it: queries change nothing, commands do.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use hubgate_wire::payload::Payload;

use crate::event::ConnectionFacts;
use crate::filter::Origin;
use crate::id::{ConnectionId, GroupName, HubName, UserId};
use crate::refresh::{Refresh, Refreshed};
use crate::refusal::{MembershipRefusal, WatchRefusal};
use crate::stream::StreamReply;
use crate::target::Target;
use crate::tokens::{ClaimAnswer, Negotiated, TokenClaim, TokenKept};

/// Whoever waits for an answer of type `A`: chosen by the asker, and given back with the answer in [`crate::Effect::Answered`].
pub struct Ticket<A> {
    number: u64,
    answer: PhantomData<fn() -> A>,
}

/// What is looked for. One shard that finds it is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// A connection of the target.
    ConnectionOf(Target),
    /// The user in the group, by a membership of its own or with a connection.
    UserInGroup { user: UserId, group: GroupName },
}

/// What can be known of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    Find(Sought),
    /// What is known of a connection of the hub.
    Facts(ConnectionId),
    /// The same of the one whose transports this opens.
    FactsByToken(ConnectionId),
    /// How many connections the target has.
    Count(Target),
    /// The connections of the target whose ids come after `after`, in their order: `most` of them, and one more if there is one.
    Members {
        of: Target,
        after: Option<ConnectionId>,
        most: usize,
    },
}

/// What the shard of a connection does, and tells whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Put a connection into a group.
    Join { connection: ConnectionId, group: GroupName },
    /// Take a connection out of a group, or out of all.
    Leave { connection: ConnectionId, group: Option<GroupName> },
    /// Go on with other claims and another end. In a box, because it would make all questions larger.
    Refresh(Box<Refresh>),
}

/// What one shard asks of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Query(Query),
    Command(Command),
    /// Nothing: what was ordered before, of the same hub, is in effect when it is answered.
    Barrier,
    /// The same of what the asker has handed on for others, and not of what is handed on by whoever is asked: that goes no further.
    HandedOn,
}

/// What one shard answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Find`], and to [`Command::Leave`] whether the connection exists.
    Found(bool),
    Facts(Facts),
    Count(u64),
    Members(Members),
    Joined(Joined),
    Refreshed(Refreshed),
    /// To [`Question::Barrier`] and [`Question::HandedOn`].
    InEffect,
    /// To [`crate::Order::Stream`].
    Stream(StreamReply),
    /// To [`TokenCommand::Keep`].
    Kept(TokenKept),
    /// To [`TokenCommand::Claim`]. In a box, because it would make all answers larger.
    Claimed(Box<ClaimAnswer>),
}

/// What is asked of the shard that a connection token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCommand {
    /// A client of the same node has negotiated.
    Keep(Negotiated),
    /// Its client comes.
    Claim(TokenClaim),
}

impl TokenCommand {
    /// The token that it is about.
    pub(crate) fn token(&self) -> ConnectionId {
        match self {
            TokenCommand::Keep(negotiated) => negotiated.token,
            TokenCommand::Claim(claim) => claim.token,
        }
    }
}

/// What is known of a connection, if it is in the hub.
pub type Facts = Option<Arc<ConnectionFacts>>;

/// Connections, each with its user.
pub type Members = Vec<(ConnectionId, Option<UserId>)>;

/// What came of an attempt to put a connection into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It is in the group now, or was before.
    Yes,
    NoSuchConnection,
    /// It is in as many groups as a connection may be in.
    TooManyGroups,
}

/// What came of an attempt to put a user into a group.
pub type UserJoined = Result<(), MembershipRefusal>;

/// What a client is asked: a call whose result somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientQuestion {
    pub connection: ConnectionId,
    /// The client, of the shard that asks, whose event is handled meanwhile; none of another event.
    pub caller: Option<ConnectionId>,
    pub origin: Origin,
    pub method: String,
    /// One array.
    pub arguments: Payload,
}

impl ClientQuestion {
    /// The method and the arguments, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.method.len() + self.arguments.borrow().len()
    }
}

/// What a client answers, which may be no value.
pub type ClientAnswer = Result<Option<Payload>, AskError>;

/// Why a client does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// There is none with this id in the hub, or it is not let in yet.
    NoSuchConnection,
    /// The client's own error, or a filter's, or why the client is not asked.
    Failed(String),
    TimedOut,
    /// It has left, or leaves.
    Left,
    /// It was asked too much that it has not answered.
    Busy,
}
/// What came of a plugin's wish to watch a group.
pub type Watched = Result<(), WatchRefusal>;

/// What plugins and REST callers may ask of a hub, and who waits for the answer.
#[derive(Debug, Clone)]
pub enum CallerQuery {
    Find(Sought, Ticket<bool>),
    Facts(ConnectionId, Ticket<Facts>),
    /// The same of the connection whose transports this opens.
    FactsByToken(ConnectionId, Ticket<Facts>),
    Count(Target, Ticket<u64>),
    /// At most `most` connections of the target whose ids come after `after`, in their order.
    Members {
        of: Target,
        after: Option<ConnectionId>,
        most: usize,
        ticket: Ticket<Members>,
    },
}

/// What a hub server may ask for.
#[derive(Debug)]
pub(crate) enum AckQuestion {
    Find(Sought),
    Members {
        group: GroupName,
        after: Option<ConnectionId>,
        most: usize,
    },
    /// The claims of the connection whose transports this opens.
    Claims(ConnectionId),
    Command(Command),
    Barrier,
}

/// What came of something that was asked for with a ticket.
#[derive(Debug)]
pub enum Answered {
    /// To [`CallerQuery::Find`], and whether what an [`crate::Input::PostedEarly`] brings is kept.
    Found(Reply<bool>),
    /// To [`CallerQuery::Facts`].
    Facts(Reply<Facts>),
    /// To [`CallerQuery::Count`].
    Count(Reply<u64>),
    /// To [`CallerQuery::Members`].
    Members(Reply<Members>),
    /// To [`crate::Input::Join`].
    Joined(Reply<Joined>),
    /// To [`crate::Input::Refresh`].
    Refreshed(Reply<Refreshed>),
    /// To [`crate::Input::JoinUser`].
    UserJoined(Reply<UserJoined>),
    /// To [`crate::Input::Watch`].
    Watched(Reply<Watched>),
    /// To [`crate::Input::Stream`].
    Stream(Reply<StreamReply>),
    /// To [`crate::Input::Submit`] and [`crate::Input::Barrier`].
    InEffect(Reply<()>),
    /// To [`crate::Input::AskClient`].
    Client(Reply<ClientAnswer>),
    /// To [`crate::Input::Negotiated`].
    Kept(Reply<TokenKept>),
    /// To [`crate::Input::ClaimToken`]. Whoever claims for a first transport owes its opening, or an [`crate::Input::TokenUnused`].
    Claimed { hub: HubName, reply: Reply<ClaimAnswer> },
}

/// An answer for whoever has the ticket.
#[derive(Debug)]
pub struct Reply<A> {
    pub ticket: Ticket<A>,
    pub answer: Result<A, Unanswered>,
}

/// Not all shards that were to answer have answered in time, or too many askers wait for that already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered;

impl Question {
    /// The connection that alone it is about: its id, or what opens it, which is where the connection is.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Question::Query(
                Query::Find(Sought::ConnectionOf(Target::Connection(id)))
                | Query::Count(Target::Connection(id))
                | Query::Members { of: Target::Connection(id), .. }
                | Query::Facts(id)
                | Query::FactsByToken(id),
            )
            | Question::Command(Command::Join { connection: id, .. } | Command::Leave { connection: id, .. }) => {
                Some(*id)
            }
            Question::Command(Command::Refresh(refresh)) => Some(refresh.token),
            Question::Query(Query::Find(_) | Query::Count(_) | Query::Members { .. })
            | Question::Barrier
            | Question::HandedOn => None,
        }
    }

    /// The names in it, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Question::Query(
                Query::Find(Sought::ConnectionOf(target)) | Query::Count(target) | Query::Members { of: target, .. },
            ) => target.weight(),
            Question::Query(Query::Find(Sought::UserInGroup { user, group })) => {
                user.as_str().len() + group.as_str().len()
            }
            Question::Command(Command::Join { group, .. }) => group.as_str().len(),
            Question::Command(Command::Leave { group, .. }) => group.as_ref().map_or(0, |group| group.as_str().len()),
            Question::Command(Command::Refresh(refresh)) => size_of::<Refresh>() + refresh.weight(),
            Question::Query(Query::Facts(_) | Query::FactsByToken(_)) | Question::Barrier | Question::HandedOn => 0,
        }
    }
}

impl From<AckQuestion> for Question {
    fn from(question: AckQuestion) -> Question {
        match question {
            AckQuestion::Find(sought) => Question::Query(Query::Find(sought)),
            AckQuestion::Members { group, after, most } => {
                Question::Query(Query::Members { of: Target::Group(group), after, most })
            }
            AckQuestion::Claims(token) => Question::Query(Query::FactsByToken(token)),
            AckQuestion::Command(command) => Question::Command(command),
            AckQuestion::Barrier => Question::Barrier,
        }
    }
}

impl<A> Ticket<A> {
    pub fn new(number: u64) -> Ticket<A> {
        Ticket { number, answer: PhantomData }
    }

    pub fn number(self) -> u64 {
        self.number
    }

    pub(crate) fn answered(self, answer: A) -> Reply<A> {
        Reply { ticket: self, answer: Ok(answer) }
    }

    pub(crate) fn unanswered(self) -> Reply<A> {
        Reply { ticket: self, answer: Err(Unanswered) }
    }
}

impl<A> Clone for Ticket<A> {
    fn clone(&self) -> Ticket<A> {
        *self
    }
}

impl<A> Copy for Ticket<A> {}

impl<A> fmt::Debug for Ticket<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}
