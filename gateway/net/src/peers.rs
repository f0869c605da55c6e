//! The other shards, of this node and of others, as one of them sees them: orders arrive in their order, and whoever causes too many is not
//! read meanwhile.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hubgate_core::id::{HubName, NodeId, ShardAddress, ShardIndex};
use hubgate_core::{Addressees, DirectoryChange, Location, Neighbours, Nodes, Order};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::cluster_link::{ClusterLink, Gathered};
use crate::envelope::Envelope;
use crate::inbox::{INBOX, InboxSender, LocalMessage, Message};
use crate::refusal::Refusal;
use crate::tasks::ShardTasks;

/// Clients are not read while orders that cost more than so many bytes wait for one other shard.
const MAX_WAITING: usize = 16 << 20;

/// How long another shard may take for what it does at once. One that takes longer stands still.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// All shards, and the ways to those that are not this one.
#[derive(Debug)]
pub(crate) struct Peers {
    neighbours: RefCell<Neighbours>,
    all: Vec<Peer>,
    held_readers: RefCell<HeldReaders>,
    /// What is for other nodes and has not been sent yet.
    gathered: RefCell<Gathered>,
    tasks: ShardTasks,
}

/// Readers that wait because another shard is behind, each once however often it has looked, by what its waker is made of.
#[derive(Debug, Default)]
struct HeldReaders(HashMap<(usize, usize), Waker>);

impl HeldReaders {
    fn hold(&mut self, waker: &Waker) {
        let key = (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr());
        self.0.entry(key).or_insert_with(|| waker.clone());
    }

    fn wake_all(&mut self) {
        self.0.drain().for_each(|(_, waker)| waker.wake());
    }
}

/// A shard, and what waits because its inbox is full.
#[derive(Debug)]
struct Peer {
    inbox: InboxSender,
    waiting: RefCell<Waiting>,
}

/// Messages for another shard in their order, with what they take up in memory.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Message, usize)>,
    /// In bytes.
    cost: usize,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn push(&mut self, message: Message) {
        let cost = match &message {
            Message::Order(envelope) => envelope.order.cost(),
            Message::Local(_) => size_of::<Message>(),
        };
        self.cost += cost;
        self.messages.push_back((message, cost));
    }

    fn pop(&mut self) -> Option<Message> {
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

impl Peers {
    pub(crate) fn new(neighbours: Neighbours, inboxes: Vec<InboxSender>, tasks: ShardTasks) -> Peers {
        let all = inboxes.into_iter().map(|inbox| Peer { inbox, waiting: RefCell::default() }).collect();
        let (held_readers, gathered) = (RefCell::default(), RefCell::default());
        Peers { neighbours: RefCell::new(neighbours), all, held_readers, gathered, tasks }
    }

    /// Whether another shard, or another node, takes no more of what clients and callers cause.
    pub(crate) fn are_behind(&self) -> bool {
        let is_congested = |cluster: &ClusterLink| {
            let is_congested = cluster.is_congested();
            if is_congested {
                cluster.is_waited_for();
            }
            is_congested
        };
        self.all.iter().any(|peer| peer.waiting.borrow().is_too_much())
            || self.tasks.cluster().is_some_and(is_congested)
    }

    /// Whether clients and callers may cause more: not while another shard takes no more of what they cause.
    pub(crate) fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        match self.are_behind() {
            false => Poll::Ready(()),
            true => {
                self.held_readers.borrow_mut().hold(cx.waker());
                Poll::Pending
            }
        }
    }

    /// Until clients and callers may cause more.
    pub(crate) async fn may_read(&self) {
        poll_fn(|cx| self.poll_may_read(cx)).await;
    }

    /// The way to a shard, if there is such a one.
    fn inbox_of(&self, shard: ShardIndex) -> Option<&InboxSender> {
        self.all.get(usize::from(shard.0)).map(|peer| &peer.inbox)
    }

    /// Hands an order to other shards, to each after all that it was handed before. Gives it back for each that has ended, and for
    /// one that cannot be reached.
    pub(crate) fn forward(self: &Rc<Self>, to: Addressees, hub: HubName, order: Order) -> Vec<(Addressees, Order)> {
        let neighbours = self.neighbours.borrow();
        let forward_to = |shard, order| {
            let given_back = self.forward_to(&neighbours, shard, hub.clone(), order)?;
            Some((Addressees::One(neighbours.address_of(shard)), given_back))
        };
        match to {
            Addressees::One(address) => match neighbours.locate(address) {
                Location::OtherShard(shard) => forward_to(shard, order).into_iter().collect(),
                Location::OtherNode => self.forward_to_nodes(&neighbours, to, hub, order).into_iter().collect(),
                Location::Here | Location::Nowhere => vec![(to, order)],
            },
            Addressees::AllOthers => neighbours.others().filter_map(|shard| forward_to(shard, order.clone())).collect(),
            Addressees::Nodes(_) => self.forward_to_nodes(&neighbours, to, hub, order).into_iter().collect(),
        }
    }

    fn forward_to_nodes(
        &self,
        neighbours: &Neighbours,
        to: Addressees,
        hub: HubName,
        order: Order,
    ) -> Option<(Addressees, Order)> {
        let Some(cluster) = self.tasks.cluster() else {
            return Some((to, order));
        };
        let order = self.gathered.borrow_mut().add(&to, &hub, order).err()?;
        self.send_gathered(cluster, neighbours.own());
        let order = self.gathered.borrow_mut().add(&to, &hub, order).err()?;
        cluster.send(neighbours.own(), to, hub, order).err()
    }

    fn send_gathered(&self, cluster: &ClusterLink, own: ShardAddress) {
        for (to, item) in self.gathered.borrow_mut().take(own) {
            // Nobody misses what is sent to a node that this one has left.
            cluster.send_item(to, &item);
        }
    }

    /// Nothing follows that would pass with what other nodes are to be sent.
    pub(crate) fn flush(&self) {
        if let Some(cluster) = self.tasks.cluster() {
            self.send_gathered(cluster, self.neighbours.borrow().own());
        }
    }

    /// Tells all other nodes of a change, after all that they were handed before.
    pub(crate) fn announce(&self, hub: HubName, change: DirectoryChange) {
        if let Some(cluster) = self.tasks.cluster() {
            self.flush();
            cluster.announce(self.neighbours.borrow().own(), hub, change);
        }
    }

    /// Wakes readers that wait for other nodes, again and again.
    pub(crate) async fn hear_of_easing(self: Rc<Self>) {
        let Some(mut easing) = self.tasks.cluster().map(ClusterLink::easing) else {
            return;
        };
        while easing.changed().await.is_ok() {
            self.held_readers.borrow_mut().wake_all();
        }
    }

    fn forward_to(
        self: &Rc<Self>,
        neighbours: &Neighbours,
        shard: ShardIndex,
        hub: HubName,
        order: Order,
    ) -> Option<Order> {
        let peer = &self.all[usize::from(shard.0)];
        let message = Message::Order(Envelope { from: neighbours.own(), hub, order });
        let mut waiting = peer.waiting.borrow_mut();
        if !waiting.is_empty() {
            waiting.push(message);
            return None;
        }
        match peer.inbox.try_send(message) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(message)) => {
                waiting.push(message);
                self.tasks.spawn_vital("the way to another shard", self.clone().hand_over_what_waits(shard));
                None
            }
            Err(mpsc::error::TrySendError::Closed(message)) => match message {
                Message::Order(envelope) => Some(envelope.order),
                Message::Local(_) => None,
            },
        }
    }

    async fn hand_over_what_waits(self: Rc<Self>, shard: ShardIndex) {
        let peer = &self.all[usize::from(shard.0)];
        loop {
            // The first message stays in the queue while it is handed over, so that nothing overtakes it.
            let Ok(permit) = peer.inbox.reserve().await else {
                return self.give_back_what_waits(shard).await;
            };
            let mut waiting = peer.waiting.borrow_mut();
            if let Some(message) = waiting.pop() {
                permit.send(message);
            }
            if waiting.is_little() {
                self.held_readers.borrow_mut().wake_all();
            }
            if waiting.is_empty() {
                return;
            }
        }
    }

    /// Gives this shard the orders back that waited for one that has ended. Nobody waits for that one any more.
    async fn give_back_what_waits(&self, ended: ShardIndex) {
        let waiting = self.all[usize::from(ended.0)].waiting.take();
        self.held_readers.borrow_mut().wake_all();
        let orders = waiting.messages.into_iter().filter_map(|(message, _)| match message {
            Message::Order(envelope) => Some(envelope.order),
            Message::Local(_) => None,
        });
        let undelivered = LocalMessage::Undelivered { to: ended, orders: orders.collect() };
        let own = self.neighbours.borrow().own().shard;
        if let Some(inbox) = self.inbox_of(own) {
            // It has ended, too, if it takes none.
            drop(inbox.send(undelivered.into()).await);
        }
    }

    pub(crate) fn neighbours(&self) -> Neighbours {
        self.neighbours.borrow().clone()
    }

    /// These other nodes are there from now on.
    pub(crate) fn set_nodes(&self, nodes: Arc<Nodes>) {
        self.neighbours.borrow_mut().set_nodes(nodes);
    }

    pub(crate) fn node_lost(&self, node: NodeId) {
        self.neighbours.borrow_mut().lose(node);
    }

    /// This node goes by that id from now on.
    pub(crate) fn set_node(&self, node: NodeId) {
        self.neighbours.borrow_mut().set_node(node);
    }

    /// Whether orders wait because another shard is behind.
    pub(crate) fn has_backlog(&self) -> bool {
        self.all.iter().any(|peer| !peer.waiting.borrow().is_empty())
    }

    /// Hands something to a shard; `Err` if it takes nothing in time.
    pub(crate) async fn hand(&self, shard: ShardIndex, message: LocalMessage) -> Result<(), Refusal> {
        let Some(inbox) = self.inbox_of(shard) else {
            return Ok(());
        };
        // One that has ended has no use for it.
        timeout(ANSWER_TIMEOUT, async { drop(inbox.send(message.into()).await) }).await.map_err(|_| Refusal::NoAnswer)
    }

    /// Asks a shard, and waits for what it answers; `None` if whoever was to answer is gone.
    pub(crate) async fn ask<T>(
        &self,
        shard: ShardIndex,
        patience: Duration,
        question: impl FnOnce(oneshot::Sender<T>) -> LocalMessage,
    ) -> Result<Option<T>, Refusal> {
        let Some(inbox) = self.inbox_of(shard) else {
            return Ok(None);
        };
        let (answer, answered) = oneshot::channel();
        let asking = async {
            drop(inbox.send(question(answer).into()).await);
            answered.await.ok()
        };
        timeout(patience, asking).await.map_err(|_| Refusal::NoAnswer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hubgate_core::Outgoing;
    use hubgate_core::delivery::{Action, Except, Target};
    use hubgate_core::question::Question;
    use hubgate_wire::signalr::HubProtocol;
    use prometheus_client::registry::Registry;
    use tokio::task::LocalSet;

    use super::*;
    use crate::settings::tests::settings;
    use crate::shared::Shared;
    use crate::vitals::Vitals;

    #[tokio::test]
    async fn orders_that_wait_for_a_shard_that_ends_come_back_and_nobody_waits_for_it_any_more() {
        let (own, mut own_inbox) = mpsc::channel(INBOX);
        let (other, mut other_inbox) = mpsc::channel(1);
        let settings = settings();
        let address = settings.listen;
        let shared = Shared::new(
            settings,
            (None, crate::telemetry::Telemetry::default()),
            address,
            Arc::new(Vitals::new(2, None)),
            Registry::default(),
            Arc::default(),
        );
        let neighbours = Neighbours::new(ShardIndex(0).into(), 2);
        let tasks = ShardTasks::new(ShardIndex(0), Arc::new(shared));
        let peers = Rc::new(Peers::new(neighbours, vec![own, other], tasks));
        let hub = HubName::parse("chat").expect("a hub's name");
        let ask = |number| {
            let order = Order::Ask { question: Question::Barrier, asker: ShardIndex(0).into(), number };
            peers.forward(Addressees::AllOthers, hub.clone(), order).len()
        };
        let test = async {
            let given_back = (0..INBOX as u32 + 3).map(ask).sum::<usize>();
            assert_eq!((given_back, peers.are_behind()), (0, true));
            let reader = tokio::task::spawn_local({
                let peers = peers.clone();
                async move { peers.may_read().await }
            });
            tokio::task::yield_now().await;
            for _ in 0..100 {
                assert!(peers.poll_may_read(&Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!(peers.held_readers.borrow().0.len(), 2, "each is kept once");
            assert!(matches!(other_inbox.recv().await, Some(Message::Order(_))), "the first had arrived");
            drop(other_inbox);
            let Some(Message::Local(LocalMessage::Undelivered { to, orders })) = own_inbox.recv().await else {
                panic!("nothing comes back");
            };
            assert_eq!(to, ShardIndex(1));
            let number = |order: &Order| match order {
                Order::Ask { number, .. } => *number,
                other => panic!("{other:?}"),
            };
            let last = INBOX as u32 + 2;
            let numbers: Vec<u32> = orders.iter().map(number).collect();
            assert!(numbers.len() > INBOX && numbers.last() == Some(&last), "{numbers:?}");
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
            reader.await.expect("it goes on");
            assert_eq!((ask(last + 1), peers.has_backlog()), (1, false), "later ones come back at once");
        };
        LocalSet::new().run_until(test).await;
    }

    fn order(length: usize) -> Message {
        let message = Outgoing::encoded([(HubProtocol::Json, vec![b'x'; length])]);
        let action = Action::Send { to: Target::All, message, except: Except::default() };
        let hub = HubName::parse("chat").expect("a hub's name");
        Message::Order(Envelope { from: ShardIndex(0).into(), hub, order: Order::Act(action) })
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
