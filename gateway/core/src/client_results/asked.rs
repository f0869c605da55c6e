//! What the clients of a shard were asked and have not answered.

use std::collections::{BTreeMap, BTreeSet};

use super::tell;
use crate::id::{HubName, ShardAddress, Slot};
use crate::order::{Addressees, Order};
use crate::question::{ClientAnswer, Ticket};
use crate::time::Millis;
use crate::turn::Turn;

/// What they were asked, each by its number.
#[derive(Debug, Default)]
pub(super) struct Clients {
    open: BTreeMap<(Slot, u64), Open>,
    deadlines: BTreeSet<(Millis, Slot, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Open {
    asker: Asker,
    deadline: Millis,
}

/// Who is told the answer.
#[derive(Debug)]
pub(super) enum Asker {
    Here(Ticket<ClientAnswer>),
    /// A plugin of another shard, which knows it by this number.
    Elsewhere {
        shard: ShardAddress,
        number: u32,
        hub: HubName,
    },
}

impl Clients {
    /// A client is asked; gives the number by which it answers. No other client answers by it.
    pub(super) fn add(&mut self, slot: Slot, deadline: Millis, asker: Asker) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert((slot, number), Open { asker, deadline });
        self.deadlines.insert((deadline, slot, number));
        number
    }

    /// Whether somebody waits for the answer.
    pub(super) fn has(&self, slot: Slot, number: u64) -> bool {
        self.open.contains_key(&(slot, number))
    }

    /// Who waits for the answer, and does not from now on.
    pub(super) fn remove(&mut self, slot: Slot, number: u64) -> Option<Asker> {
        let Open { asker, deadline } = self.open.remove(&(slot, number))?;
        self.deadlines.remove(&(deadline, slot, number));
        Some(asker)
    }

    /// The oldest question that the client has not answered.
    pub(super) fn first_of(&self, slot: Slot) -> Option<u64> {
        let ((_, number), _) = self.open.range((slot, 0)..=(slot, u64::MAX)).next()?;
        Some(*number)
    }

    /// A question whose time is over.
    pub(super) fn first_due(&self, now: Millis) -> Option<(Slot, u64)> {
        let (deadline, slot, number) = *self.deadlines.first()?;
        (deadline <= now).then_some((slot, number))
    }
}

impl Asker {
    pub(super) fn tell(self, turn: &mut Turn<'_>, answer: ClientAnswer) {
        match self {
            Asker::Here(ticket) => tell(turn, ticket, answer),
            Asker::Elsewhere { shard, number, hub } => {
                let answer = Box::new(answer);
                turn.forward(Addressees::One(shard), &hub, Order::ClientAnswered { number, answer });
            }
        }
    }
}
