//! The other shards, as one of them sees them: orders arrive in their order, and who causes too many is not read meanwhile.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hubgate_core::Order;
use hubgate_core::id::{HubName, ShardIndex};
use tokio::sync::mpsc;

use crate::inbox::{INBOX, InboxSender, ShardMessage};
use crate::shard::ShardThread;

/// Another shard, and what waits because its inbox is full.
pub(crate) struct Peer {
    pub(crate) inbox: InboxSender,
    pub(crate) waiting: RefCell<VecDeque<ShardMessage>>,
}

impl Peer {
    pub(crate) fn new(inbox: InboxSender) -> Peer {
        Peer { inbox, waiting: RefCell::default() }
    }
}

impl ShardThread {
    /// Whether clients may be read: not while another shard takes no more of what they cause.
    pub(crate) fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        match self.peers.iter().any(|peer| peer.waiting.borrow().len() > INBOX) {
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
            return waiting.push_back(message);
        }
        if let Err(mpsc::error::TrySendError::Full(message)) = peer.inbox.try_send(message) {
            waiting.push_back(message);
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
            if let Some(message) = waiting.pop_front() {
                permit.send(message);
            }
            if waiting.len() <= INBOX / 2 {
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
