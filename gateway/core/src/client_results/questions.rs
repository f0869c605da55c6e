//! What the clients of a shard were asked and have not answered.

use std::collections::{BTreeMap, BTreeSet};

use super::tell;
use crate::id::{HubName, NodeId, ShardAddress, Slot};
use crate::order::{Addressees, Order};
use crate::question::{ClientAnswer, Ticket};
use crate::time::Millis;
use crate::turn::Turn;

/// Each by its number.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<(Slot, u64), Open>,
    /// How many of them each client has, if it has any.
    counts: BTreeMap<Slot, usize>,
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

impl Questions {
    /// A client is asked; gives the number by which it answers. No other client answers by it.
    pub(super) fn add(&mut self, slot: Slot, deadline: Millis, asker: Asker) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert((slot, number), Open { asker, deadline });
        self.deadlines.insert((deadline, slot, number));
        *self.counts.entry(slot).or_default() += 1;
        number
    }

    /// How many a client has not answered.
    pub(super) fn count(&self, slot: Slot) -> usize {
        self.counts.get(&slot).copied().unwrap_or_default()
    }

    /// Whether somebody waits for the answer.
    pub(super) fn has(&self, slot: Slot, number: u64) -> bool {
        self.open.contains_key(&(slot, number))
    }

    /// Who waits for the answer, and does not from now on.
    pub(super) fn remove(&mut self, slot: Slot, number: u64) -> Option<Asker> {
        let Open { asker, deadline } = self.open.remove(&(slot, number))?;
        self.deadlines.remove(&(deadline, slot, number));
        match self.count(slot) {
            0 | 1 => self.counts.remove(&slot),
            more => self.counts.insert(slot, more - 1),
        };
        Some(asker)
    }

    /// The oldest question that the client has not answered.
    pub(super) fn first_of(&self, slot: Slot) -> Option<u64> {
        let ((_, number), _) = self.open.range((slot, 0)..=(slot, u64::MAX)).next()?;
        Some(*number)
    }

    /// The questions of a node's plugins.
    pub(super) fn asked_by(&self, node: NodeId) -> Vec<(Slot, u64)> {
        let is_of_node = |open: &Open| match open.asker {
            Asker::Here(_) => false,
            Asker::Elsewhere { shard, .. } => shard.node == node,
        };
        self.open.iter().filter(|(_, open)| is_of_node(open)).map(|(key, _)| *key).collect()
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
