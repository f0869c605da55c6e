//! Acks of hub servers: what all shards that are asked know together.

use std::collections::VecDeque;

use super::{AckStatus, Page, answer};
use crate::client::Clients;
use crate::event::{HubAnswer, HubQuestion};
use crate::hash::FixedMap;
use crate::id::{HubIndex, ServerConnectionId};
use crate::order::{Order, Shards};
use crate::time::Millis;
use crate::turn::{Asked, Turn};

/// How long other shards may take; then the hub server is told so. Its SDK gives an ack up after 10 seconds.
const TIMEOUT: Millis = Millis(9_000);

/// An ack of a hub server.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(crate) server: ServerConnectionId,
    pub(crate) ack_id: i64,
    /// The best that was answered so far.
    pub(crate) status: AckStatus,
    /// What the ack of a query carries.
    pub(crate) page: Option<Page>,
}

/// What becomes of an ack now.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// All who were asked have answered.
    All(Ack),
    /// Other shards are asked.
    Waits,
}

/// An ack for which other shards are still asked.
#[derive(Debug)]
struct PendingAck {
    ack: Ack,
    /// Shards that have not answered, in number.
    waiting: usize,
}

/// The acks of a shard's hub servers that wait.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    pending: FixedMap<u32, PendingAck>,
    /// When they are too late, the oldest first; some have been answered meanwhile.
    deadlines: VecDeque<(Millis, u32)>,
    next: u32,
}

impl Acks {
    /// Asks all shards that a question is for.
    pub(crate) fn ask(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        hub: HubIndex,
        (server, ack_id): (ServerConnectionId, i64),
        asked: Asked,
        question: HubQuestion,
    ) -> Gathered {
        let name = clients.hub(hub).name.clone();
        let page = match &question {
            HubQuestion::Members { most, .. } => Some(Page::new(*most)),
            HubQuestion::Exists(_)
            | HubQuestion::Facts(_)
            | HubQuestion::UserInGroup { .. }
            | HubQuestion::Join { .. }
            | HubQuestion::Leave { .. }
            | HubQuestion::Barrier => None,
        };
        let mut ack = Ack { server, ack_id, status: AckStatus::NotFound, page };
        let (to, waiting) = match asked {
            Asked::One(shard) if shard.0 >= turn.shards => return Gathered::All(ack),
            Asked::One(shard) if shard != turn.here => (Shards::One(shard), 1),
            Asked::One(_) => {
                ack.add(answer(clients, turn, &name, question));
                return Gathered::All(ack);
            }
            Asked::All => {
                ack.add(answer(clients, turn, &name, question.clone()));
                (Shards::AllOthers, usize::from(turn.shards) - 1)
            }
        };
        if waiting == 0 {
            return Gathered::All(ack);
        }
        let number = self.add(PendingAck { ack, waiting }, turn.now);
        turn.forward(to, &name, Order::Ask { question, asker: turn.here, number });
        Gathered::Waits
    }

    /// Another shard has answered.
    pub(crate) fn answered(&mut self, number: u32, answer: HubAnswer) -> Option<Ack> {
        let pending = self.pending.get_mut(&number)?;
        pending.ack.add(answer);
        pending.waiting -= 1;
        match pending.waiting {
            0 => self.remove(number),
            _ => None,
        }
    }

    /// The next ack for which other shards took too long.
    pub(crate) fn next_late(&mut self, now: Millis) -> Option<Ack> {
        let (deadline, number) = *self.deadlines.front()?;
        if deadline > now {
            return None;
        }
        let ack = self.remove(number)?;
        Some(Ack { status: AckStatus::TooLate, page: None, ..ack })
    }

    fn add(&mut self, ack: PendingAck, now: Millis) -> u32 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.pending.insert(number, ack);
        self.deadlines.push_back((now + TIMEOUT, number));
        number
    }

    fn remove(&mut self, number: u32) -> Option<Ack> {
        let pending = self.pending.remove(&number);
        while let Some((_, oldest)) = self.deadlines.front()
            && !self.pending.contains_key(oldest)
        {
            self.deadlines.pop_front();
        }
        pending.map(|pending| pending.ack)
    }
}

impl Ack {
    fn add(&mut self, answer: HubAnswer) {
        self.status = self.status.max(AckStatus::of(&answer));
        if let (Some(page), HubAnswer::Members(members)) = (&mut self.page, answer) {
            page.add(members);
        }
    }
}
