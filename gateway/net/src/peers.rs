//! The other shards, as one of them sees them: orders arrive in their order, and who causes too many is not read meanwhile.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hubgate_core::Order;
use hubgate_core::id::{HubName, ShardIndex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::http::Refusal;
use crate::inbox::{INBOX, InboxSender, ShardMessage};
use crate::shard::ShardThread;

/// Clients are not read while orders that cost more than so many bytes wait for one other shard.
const MAX_WAITING: usize = 16 << 20;

/// How long another shard may take for what it does at once. One that takes longer stands still.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Hands something to a shard, and waits for what it answers; `None` if whoever was to answer is gone.
pub(crate) async fn ask<T>(
    inbox: &InboxSender,
    message: ShardMessage,
    answered: oneshot::Receiver<T>,
    patience: Duration,
) -> Result<Option<T>, Refusal> {
    let asking = async {
        drop(inbox.send(message).await);
        answered.await.ok()
    };
    timeout(patience, asking).await.map_err(|_| Refusal::NoAnswer)
}

/// Another shard, and what waits because its inbox is full.
pub(crate) struct Peer {
    pub(crate) inbox: InboxSender,
    pub(crate) waiting: RefCell<Waiting>,
}

/// Messages for another shard in their order, with what they take up in memory.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    messages: VecDeque<(ShardMessage, usize)>,
    /// In bytes.
    cost: usize,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn push(&mut self, message: ShardMessage) {
        let cost = match &message {
            ShardMessage::Order { order, .. } => order.cost(),
            _ => size_of::<ShardMessage>(),
        };
        self.cost += cost;
        self.messages.push_back((message, cost));
    }

    fn pop(&mut self) -> Option<ShardMessage> {
        let (message, cost) = self.messages.pop_front()?;
        self.cost -= cost;
        Some(message)
    }

    /// Whether whoever causes more has to wait.
    fn is_too_much(&self) -> bool {
        self.messages.len() > INBOX || self.cost > MAX_WAITING
    }

    /// Whether whoever waits for that may go on.
    fn is_little(&self) -> bool {
        self.messages.len() <= INBOX / 2 && self.cost <= MAX_WAITING / 2
    }
}

impl Peer {
    pub(crate) fn new(inbox: InboxSender) -> Peer {
        Peer { inbox, waiting: RefCell::default() }
    }
}

impl ShardThread {
    /// Whether clients and callers may cause more: not while another shard takes no more of what they cause.
    pub(crate) fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        match self.peers.iter().any(|peer| peer.waiting.borrow().is_too_much()) {
            false => Poll::Ready(()),
            true => {
                self.held_readers.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The way to a shard, if there is such a one.
    pub(crate) fn inbox_of(&self, shard: ShardIndex) -> Option<&InboxSender> {
        self.peers.get(usize::from(shard.0)).map(|peer| &peer.inbox)
    }

    /// Hands an order to another shard, behind all that it was handed before.
    pub(crate) fn forward(self: &Rc<Self>, shard: ShardIndex, hub: HubName, order: Order) {
        let peer = &self.peers[usize::from(shard.0)];
        let mut waiting = peer.waiting.borrow_mut();
        let message = ShardMessage::Order { hub, order };
        if !waiting.is_empty() {
            return waiting.push(message);
        }
        if let Err(mpsc::error::TrySendError::Full(message)) = peer.inbox.try_send(message) {
            waiting.push(message);
            self.spawn_vital("the way to another shard", self.clone().hand_over_what_waits(shard));
        }
    }

    async fn hand_over_what_waits(self: Rc<Self>, shard: ShardIndex) {
        let peer = &self.peers[usize::from(shard.0)];
        loop {
            // The first message stays in the queue while it is handed over, so that nothing overtakes it.
            let Ok(permit) = peer.inbox.reserve().await else {
                return;
            };
            let mut waiting = peer.waiting.borrow_mut();
            if let Some(message) = waiting.pop() {
                permit.send(message);
            }
            if waiting.is_little() {
                self.held_readers.borrow_mut().drain(..).for_each(Waker::wake);
            }
            if waiting.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn other_shards(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        let own = self.index;
        (0..self.peers.len() as u16).map(ShardIndex).filter(move |index| *index != own)
    }
}

#[cfg(test)]
mod tests {
    use hubgate_core::Outgoing;
    use hubgate_core::delivery::{Action, Except, Target};
    use hubgate_wire::signalr::HubProtocol;

    use super::*;

    fn order(length: usize) -> ShardMessage {
        let message = Outgoing::encoded([(HubProtocol::Json, vec![b'x'; length])]);
        let action = Action::Send { to: Target::All, message, except: Except::default() };
        ShardMessage::Order { hub: HubName::parse("chat").expect("a hub's name"), order: Order::Act(action) }
    }

    #[test]
    fn whoever_causes_orders_waits_when_many_or_large_ones_do() {
        for (length, most) in [(0, INBOX + 1), (1 << 20, 16)] {
            let mut waiting = Waiting::default();
            while !waiting.is_too_much() {
                waiting.push(order(length));
            }
            assert!((most - 1..=most).contains(&waiting.messages.len()), "{}", waiting.messages.len());
            while !waiting.is_little() {
                assert!(waiting.pop().is_some());
            }
            assert!((most / 2 - 1..=most / 2).contains(&waiting.messages.len()), "{}", waiting.messages.len());
            while waiting.pop().is_some() {}
            assert_eq!((waiting.cost, waiting.is_empty()), (0, true));
        }
    }
}
