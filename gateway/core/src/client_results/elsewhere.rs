//! Plugins of a shard that ask clients of other shards.

use std::collections::BTreeSet;

use crate::hash::FixedMap;
use crate::question::{ClientAnswer, Ticket};
use crate::time::Millis;

/// Who waits for the answer to which question.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    waiting: FixedMap<u32, (Ticket<ClientAnswer>, Millis)>,
    deadlines: BTreeSet<(Millis, u32)>,
    next: u32,
}

impl Elsewhere {
    pub(super) fn add(&mut self, ticket: Ticket<ClientAnswer>, deadline: Millis) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.waiting.insert(number, (ticket, deadline));
        self.deadlines.insert((deadline, number));
        number
    }

    /// Who waits for this answer, and does not from now on.
    pub(super) fn take(&mut self, number: u32) -> Option<Ticket<ClientAnswer>> {
        let (ticket, deadline) = self.waiting.remove(&number)?;
        self.deadlines.remove(&(deadline, number));
        Some(ticket)
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
