//! Who waits for what the core answers, by ticket.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use hubgate_core::TokenKept;
use hubgate_core::question::{
    Answered, ClientAnswer, Facts, Joined, Members, Reply, Ticket, Unanswered, UserJoined, Watched,
};
use hubgate_core::refresh::Refreshed;
use hubgate_core::stream::StreamReply;
use tokio::sync::oneshot;

use crate::entrant::{ClaimResult, Releases};

/// Those that wait for answers of one type.
pub(crate) type Waiting<A> = RefCell<HashMap<u64, oneshot::Sender<Result<A, Unanswered>>>>;

#[derive(Debug, Default)]
pub(crate) struct Asked {
    next_ticket: Cell<u64>,
    found: Waiting<bool>,
    facts: Waiting<Facts>,
    count: Waiting<u64>,
    members: Waiting<Members>,
    joined: Waiting<Joined>,
    refreshed: Waiting<Refreshed>,
    user_joined: Waiting<UserJoined>,
    watched: Waiting<Watched>,
    in_effect: Waiting<()>,
    client: Waiting<ClientAnswer>,
    streams: Waiting<StreamReply>,
    kept: Waiting<TokenKept>,
    claimed: Waiting<ClaimResult>,
}

/// What the core answers to a ticket.
pub(crate) trait CoreAnswer: Sized {
    fn waiting(asked: &Asked) -> &Waiting<Self>;
}

macro_rules! answers {
    ($($answer:ty: $waiting:ident,)*) => {
        $(impl CoreAnswer for $answer {
            fn waiting(asked: &Asked) -> &Waiting<Self> {
                &asked.$waiting
            }
        })*
    };
}

answers! {
    bool: found,
    Facts: facts,
    u64: count,
    Members: members,
    Joined: joined,
    Refreshed: refreshed,
    UserJoined: user_joined,
    Watched: watched,
    (): in_effect,
    ClientAnswer: client,
    StreamReply: streams,
    TokenKept: kept,
    ClaimResult: claimed,
}

/// A place among those that wait: until this is dropped, whatever the core answers.
pub(super) struct Place<'a, A: CoreAnswer> {
    asked: &'a Asked,
    ticket: Ticket<A>,
}

impl<A: CoreAnswer> Place<'_, A> {
    pub(super) fn ticket(&self) -> Ticket<A> {
        self.ticket
    }
}

impl<A: CoreAnswer> Drop for Place<'_, A> {
    fn drop(&mut self) {
        A::waiting(self.asked).borrow_mut().remove(&self.ticket.number());
    }
}

impl Asked {
    /// One more waits.
    pub(super) fn begin<A: CoreAnswer>(&self, asker: oneshot::Sender<Result<A, Unanswered>>) -> Place<'_, A> {
        let number = self.next_ticket.replace(self.next_ticket.get() + 1);
        A::waiting(self).borrow_mut().insert(number, asker);
        Place { asked: self, ticket: Ticket::new(number) }
    }

    /// `releases` is where the shard hears of tokens that nobody takes.
    pub(super) fn answered(&self, answered: Answered, releases: &Releases) {
        match answered {
            Answered::Found(reply) => self.tell(reply),
            Answered::Facts(reply) => self.tell(reply),
            Answered::Count(reply) => self.tell(reply),
            Answered::Members(reply) => self.tell(reply),
            Answered::Joined(reply) => self.tell(reply),
            Answered::Refreshed(reply) => self.tell(reply),
            Answered::UserJoined(reply) => self.tell(reply),
            Answered::Watched(reply) => self.tell(reply),
            Answered::InEffect(reply) => self.tell(reply),
            Answered::Client(reply) => self.tell(reply),
            Answered::Stream(reply) => self.tell(reply),
            Answered::Kept(reply) => self.tell(reply),
            Answered::Claimed { hub, reply: Reply { ticket, answer } } => {
                let answer = answer.map(|answer| ClaimResult::new(hub, answer, releases));
                self.tell(Reply { ticket: Ticket::new(ticket.number()), answer });
            }
        }
    }

    fn tell<A: CoreAnswer>(&self, Reply { ticket, answer }: Reply<A>) {
        if let Some(asker) = A::waiting(self).borrow_mut().remove(&ticket.number()) {
            // Whoever asked may be gone.
            let _ = asker.send(answer);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Asked {
            next_ticket: _,
            found,
            facts,
            count,
            members,
            joined,
            refreshed,
            user_joined,
            watched,
            in_effect,
            client,
            streams,
            kept,
            claimed,
        } = self;
        found.borrow().is_empty()
            && facts.borrow().is_empty()
            && count.borrow().is_empty()
            && members.borrow().is_empty()
            && joined.borrow().is_empty()
            && refreshed.borrow().is_empty()
            && user_joined.borrow().is_empty()
            && watched.borrow().is_empty()
            && in_effect.borrow().is_empty()
            && client.borrow().is_empty()
            && streams.borrow().is_empty()
            && kept.borrow().is_empty()
            && claimed.borrow().is_empty()
    }
}
