//! Plugins of a shard that ask clients of other shards.

use std::collections::BTreeSet;

use crate::hash::FixedMap;
use crate::id::NodeId;
use crate::question::{ClientAnswer, Ticket};
use crate::time::Millis;

/// Who waits for the answer to which question.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    waiting: FixedMap<u32, Waiting>,
    deadlines: BTreeSet<(Millis, u32)>,
    next: u32,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket<ClientAnswer>,
    /// Where the client is that is asked.
    node: NodeId,
    deadline: Millis,
}

impl Elsewhere {
    pub(super) fn add(&mut self, ticket: Ticket<ClientAnswer>, node: NodeId, deadline: Millis) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.waiting.insert(number, Waiting { ticket, node, deadline });
        self.deadlines.insert((deadline, number));
        number
    }

    /// Who waits for this answer, and does not from now on.
    pub(super) fn take(&mut self, number: u32) -> Option<Ticket<ClientAnswer>> {
        let Waiting { ticket, deadline, .. } = self.waiting.remove(&number)?;
        self.deadlines.remove(&(deadline, number));
        Some(ticket)
    }

    /// Who waits for answers of a node's clients, and does not from now on.
    pub(super) fn take_asked_of(&mut self, node: NodeId) -> Vec<Ticket<ClientAnswer>> {
        let asked = self.waiting.iter().filter(|(_, waiting)| waiting.node == node);
        let mut asked: Vec<u32> = asked.map(|(number, _)| *number).collect();
        asked.sort_unstable();
        asked.into_iter().filter_map(|number| self.take(number)).collect()
    }

    /// One of those whose time is over.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<Ticket<ClientAnswer>> {
        let (deadline, number) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.take(number)
    }
}
