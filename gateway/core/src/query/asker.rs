//! Who waits for an answer, and what the answers of several make together.

use super::ack::{Ack, AckStatus, Page};
use super::claiming::Claiming;
use crate::effect::Effect;
use crate::id::{HubName, ShardAddress};
use crate::order::{Addressees, Order};
use crate::question::{Answer, Answered, Facts, Joined, Members, Ticket, Watched};
use crate::refresh::Refreshed;
use crate::stream::StreamReply;
use crate::tokens::TokenKept;
use crate::turn::Turn;

/// Whoever asked, with what is known so far.
#[derive(Debug)]
pub(super) enum Asker {
    HubServer(Ack),
    Found(Ticket<bool>, bool),
    Facts(Ticket<Facts>, Facts),
    Count(Ticket<u64>, u64),
    Members(Ticket<Members>, Page),
    Joined(Ticket<Joined>, Joined),
    Refreshed(Ticket<Refreshed>, Refreshed),
    Stream(Ticket<StreamReply>, StreamReply),
    Watched(Ticket<Watched>),
    InEffect(Ticket<()>),
    /// Another shard, which waits until what was handed on for it is in effect, too.
    OtherShard {
        shard: ShardAddress,
        hub: HubName,
        number: u32,
    },
    Kept(Ticket<TokenKept>, TokenKept),
    Claimed(Box<Claiming>),
}

impl Asker {
    pub(super) fn is_bounded(&self) -> bool {
        match self {
            Asker::Found(..)
            | Asker::Facts(..)
            | Asker::Count(..)
            | Asker::Members(..)
            | Asker::Joined(..)
            | Asker::Refreshed(..)
            | Asker::Stream(..)
            | Asker::OtherShard { .. }
            | Asker::Kept(..)
            | Asker::Claimed(_) => true,
            Asker::HubServer(_) | Asker::Watched(_) | Asker::InEffect(_) => false,
        }
    }

    /// Adds what one shard answers. What answers another question says nothing.
    pub(super) fn add(&mut self, answer: Answer) {
        match (self, answer) {
            (Asker::HubServer(ack), answer) => ack.add(answer),
            (Asker::Found(_, found), Answer::Found(is_here)) => *found |= is_here,
            (Asker::Facts(_, facts), Answer::Facts(known)) => *facts = known,
            (Asker::Count(_, sum), Answer::Count(count)) => *sum = sum.saturating_add(count),
            (Asker::Members(_, page), Answer::Members(members)) => page.add(members),
            (Asker::Joined(_, joined), Answer::Joined(answered)) => *joined = answered,
            (Asker::Refreshed(_, refreshed), Answer::Refreshed(answered)) => *refreshed = answered,
            (Asker::Stream(_, reply), Answer::Stream(answered)) => *reply = answered,
            (Asker::Kept(_, kept), Answer::Kept(answered)) => *kept = answered,
            (Asker::Claimed(claiming), Answer::Claimed(answered)) => claiming.answered(*answered),
            (
                Asker::Found(..)
                | Asker::Facts(..)
                | Asker::Count(..)
                | Asker::Members(..)
                | Asker::Joined(..)
                | Asker::Refreshed(..)
                | Asker::Stream(..)
                | Asker::Watched(_)
                | Asker::InEffect(_)
                | Asker::OtherShard { .. }
                | Asker::Kept(..)
                | Asker::Claimed(_),
                _,
            ) => {}
        }
    }

    /// All have answered: tells a caller, or gives the ack of a hub server.
    pub(super) fn finish(self, turn: &mut Turn<'_>) -> Option<Ack> {
        let answered = match self {
            Asker::HubServer(ack) => return Some(ack),
            Asker::Found(ticket, found) => Answered::Found(ticket.answered(found)),
            Asker::Facts(ticket, facts) => Answered::Facts(ticket.answered(facts)),
            Asker::Count(ticket, sum) => Answered::Count(ticket.answered(sum)),
            Asker::Members(ticket, page) => Answered::Members(ticket.answered(page.finished().0)),
            Asker::Joined(ticket, joined) => Answered::Joined(ticket.answered(joined)),
            Asker::Refreshed(ticket, refreshed) => Answered::Refreshed(ticket.answered(refreshed)),
            Asker::Stream(ticket, reply) => Answered::Stream(ticket.answered(reply)),
            Asker::Watched(ticket) => Answered::Watched(ticket.answered(Ok(()))),
            Asker::InEffect(ticket) => Answered::InEffect(ticket.answered(())),
            Asker::OtherShard { shard, hub, number } => {
                turn.forward(Addressees::One(shard), &hub, Order::Answer { number, answer: Answer::InEffect });
                return None;
            }
            Asker::Kept(ticket, kept) => Answered::Kept(ticket.answered(kept)),
            Asker::Claimed(claiming) => claiming.finish(turn),
        };
        turn.effect(Effect::Answered(answered));
        None
    }

    /// The same, where some have not answered.
    pub(super) fn give_up(self, turn: &mut Turn<'_>) -> Option<Ack> {
        let answered = match self {
            Asker::HubServer(ack) => return Some(Ack { status: AckStatus::TooLate, carried: None, ..ack }),
            Asker::Found(ticket, _) => Answered::Found(ticket.unanswered()),
            Asker::Facts(ticket, _) => Answered::Facts(ticket.unanswered()),
            Asker::Count(ticket, _) => Answered::Count(ticket.unanswered()),
            Asker::Members(ticket, _) => Answered::Members(ticket.unanswered()),
            Asker::Joined(ticket, _) => Answered::Joined(ticket.unanswered()),
            Asker::Refreshed(ticket, _) => Answered::Refreshed(ticket.unanswered()),
            Asker::Stream(ticket, _) => Answered::Stream(ticket.unanswered()),
            Asker::Watched(ticket) => Answered::Watched(ticket.unanswered()),
            Asker::InEffect(ticket) => Answered::InEffect(ticket.unanswered()),
            // It waits no longer itself.
            Asker::OtherShard { .. } => return None,
            Asker::Kept(ticket, _) => Answered::Kept(ticket.unanswered()),
            Asker::Claimed(claiming) => claiming.give_up(),
        };
        turn.effect(Effect::Answered(answered));
        None
    }
}
