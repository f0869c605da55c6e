//! Acks of hub servers that wait for other shards.

use std::collections::VecDeque;

use crate::hash::FixedMap;
use crate::id::ServerConnectionId;
use crate::questions::{AckStatus, Page};
use crate::time::Millis;

/// How long other shards may take; then the hub server is told so. Its SDK gives an ack up after 10 seconds.
const TIMEOUT: Millis = Millis(9_000);

/// An ack for which other shards are still asked.
#[derive(Debug)]
pub(crate) struct PendingAck {
    pub(crate) server: ServerConnectionId,
    pub(crate) ack_id: i64,
    /// Shards that have not answered, in number.
    pub(crate) waiting: usize,
    /// The best that was answered so far.
    pub(crate) status: AckStatus,
    /// What the ack of a query carries.
    pub(crate) page: Option<Page>,
}

/// The acks of a shard's hub servers that wait.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    pending: FixedMap<u32, PendingAck>,
    /// When they are too late, the oldest first; some have been answered meanwhile.
    deadlines: VecDeque<(Millis, u32)>,
    next: u32,
}

impl PendingAcks {
    /// Keeps an ack until all shards have answered; gives its number.
    pub(crate) fn add(&mut self, ack: PendingAck, now: Millis) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.pending.insert(number, ack);
        self.deadlines.push_back((now + TIMEOUT, number));
        number
    }

    pub(crate) fn get(&mut self, number: u32) -> Option<&mut PendingAck> {
        self.pending.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<PendingAck> {
        let ack = self.pending.remove(&number);
        while let Some((_, oldest)) = self.deadlines.front()
            && !self.pending.contains_key(oldest)
        {
            self.deadlines.pop_front();
        }
        ack
    }

    /// The next one that is too late.
    pub(crate) fn next_late(&mut self, now: Millis) -> Option<PendingAck> {
        let (deadline, number) = *self.deadlines.front()?;
        if deadline > now {
            return None;
        }
        self.remove(number)
    }
}
