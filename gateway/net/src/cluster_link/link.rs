//! The shards' way to the thread that speaks to other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item, TunnelMessage};
use hubgate_cluster::{Announced, LARGEST_ITEM, Receivers};
use hubgate_core::id::NodeId;
use hubgate_core::id::{HubName, ShardAddress};
use hubgate_core::{Addressees, DirectoryChange, Order};
use tokio::sync::{mpsc, watch};

use super::gathered::receivers;
use super::status::ClusterStatus;

/// Clients are not read while more than so many bytes wait for the thread.
const MAX_WAITING: usize = 16 << 20;

/// What a shard has for other nodes.
#[derive(Debug)]
pub(crate) enum FromShard {
    Send {
        to: Receivers,
        item: Bytes,
    },
    /// An order that is larger than any may be, for so many nodes: it goes nowhere.
    TooLarge {
        nodes: usize,
    },
    Announce(Announced),
}

/// How what is for other nodes gets on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// Some other node is slow.
    pub(crate) is_congested: bool,
    /// None is reached.
    pub(crate) is_cut_off: bool,
}

/// Where the thread gets it.
pub(crate) type FromShards = mpsc::UnboundedReceiver<FromShard>;

/// The way to the thread, for all shards. What each of them sends arrives in the order in which it was sent.
#[derive(Debug)]
pub(crate) struct ClusterLink {
    node: AtomicU32,
    orders: mpsc::UnboundedSender<FromShard>,
    /// What waits for the thread, in bytes.
    waiting: AtomicUsize,
    /// Whether some other node is slow to acknowledge what it was sent.
    is_congested: AtomicBool,
    /// Whether readers wait for the end of a congestion.
    is_waited_for: AtomicBool,
    /// Whether no other node is reached.
    is_cut_off: Arc<AtomicBool>,
    /// Nodes for which nothing is kept, because they are not reached.
    given_up: ArcSwap<Vec<NodeId>>,
    eased: watch::Sender<()>,
    status: ArcSwap<ClusterStatus>,
}

impl ClusterLink {
    /// That of a node which goes by this id at first.
    pub(crate) fn new(node: NodeId) -> (ClusterLink, FromShards) {
        let (orders, from_shards) = mpsc::unbounded_channel();
        let link = ClusterLink {
            node: node.0.into(),
            orders,
            waiting: AtomicUsize::new(0),
            is_congested: AtomicBool::new(false),
            is_waited_for: AtomicBool::new(false),
            is_cut_off: Arc::default(),
            given_up: ArcSwap::default(),
            eased: watch::Sender::new(()),
            status: ArcSwap::default(),
        };
        (link, from_shards)
    }

    /// What this node goes by. It may become another while it joins, before it serves anybody.
    pub(crate) fn node(&self) -> NodeId {
        NodeId(self.node.load(Ordering::Relaxed))
    }

    pub(crate) fn set_node(&self, node: NodeId) {
        self.node.store(node.0, Ordering::Relaxed);
    }

    /// Sends an order to shards of other nodes. Gives it back once this node has left, and if it is larger than any may be.
    pub(crate) fn send(
        &self,
        from: ShardAddress,
        to: Addressees,
        hub: HubName,
        order: Order,
    ) -> Result<(), (Addressees, Order)> {
        let Some((receivers, shards)) = receivers(&to) else {
            return Err((to, order));
        };
        let item = Item::Envelope(Envelope { from, to: shards, hub, order });
        match (self.send_item(receivers, &item), item) {
            (false, Item::Envelope(Envelope { order, .. })) => Err((to, order)),
            _ => Ok(()),
        }
    }

    /// Sends an item to other nodes, unless this one has left, or it is larger than any may be.
    pub(crate) fn send_item(&self, to: Receivers, item: &Item) -> bool {
        match item.encoded_length() {
            ..=LARGEST_ITEM => self.hand_over(FromShard::Send { to, item: item.encode() }).is_ok(),
            bytes => {
                self.drop_too_large(&to, bytes);
                false
            }
        }
    }

    fn drop_too_large(&self, receivers: &Receivers, bytes: usize) {
        let limit = LARGEST_ITEM;
        tracing::error!(
            bytes,
            limit,
            "a message for other nodes is dropped: it is larger than what passes between nodes"
        );
        let nodes = match receivers {
            Receivers::One(_) => 1,
            Receivers::These(nodes) => nodes.len(),
        };
        // A node that has left counts nothing.
        drop(self.hand_over(FromShard::TooLarge { nodes }));
    }

    /// Sends something through a tunnel.
    pub(crate) fn send_through_tunnel(&self, to: NodeId, message: TunnelMessage) {
        let item = Item::Tunnel(message).encode();
        // Nothing passes once this node has left.
        drop(self.hand_over(FromShard::Send { to: Receivers::One(to), item }));
    }

    /// Tells all other nodes of a change.
    pub(crate) fn announce(&self, from: ShardAddress, hub: HubName, change: DirectoryChange) {
        // A node that has left tells nobody of anything.
        drop(self.hand_over(FromShard::Announce(Announced { shard: from.shard, hub, change })));
    }

    fn hand_over(&self, order: FromShard) -> Result<(), mpsc::error::SendError<FromShard>> {
        let cost = order.cost();
        self.waiting.fetch_add(cost, Ordering::Relaxed);
        self.orders.send(order).inspect_err(|_| {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
        })
    }

    /// The thread has taken an order.
    pub(crate) fn taken(&self, order: &FromShard) {
        self.waiting.fetch_sub(order.cost(), Ordering::Relaxed);
    }

    /// Whether clients and callers may cause no more orders for other nodes.
    pub(crate) fn is_congested(&self) -> bool {
        self.is_congested.load(Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed) > MAX_WAITING
    }

    /// Whether what passes through tunnels has to wait where it is: it would only wait elsewhere.
    pub(crate) fn holds_tunnels(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed) || self.is_congested()
    }

    /// Tells whether no other node is reached.
    pub(crate) fn cut_off(&self) -> Arc<AtomicBool> {
        self.is_cut_off.clone()
    }

    /// Whether what is said to a node is lost.
    pub(crate) fn has_given_up(&self, node: NodeId) -> bool {
        self.given_up.load().contains(&node)
    }

    /// The thread has ended: nothing waits for it any longer.
    pub(crate) fn close(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.set_flow(Flow { is_congested: false, is_cut_off: false });
    }

    /// Somebody waits until it is not congested any longer.
    pub(crate) fn is_waited_for(&self) {
        self.is_waited_for.store(true, Ordering::Relaxed);
    }

    /// Says again and again, at least with every tick, how things are.
    pub(crate) fn set_flow(&self, Flow { is_congested, is_cut_off }: Flow) {
        self.is_congested.store(is_congested, Ordering::Relaxed);
        let is_back = self.is_cut_off.swap(is_cut_off, Ordering::Relaxed) && !is_cut_off;
        if is_back || (!self.is_congested() && self.is_waited_for.swap(false, Ordering::Relaxed)) {
            self.eased.send_replace(());
        }
    }

    /// To be said before shards hear that what was begun with these nodes is over.
    pub(crate) fn set_given_up(&self, nodes: impl Iterator<Item = NodeId>) {
        let nodes: Vec<NodeId> = nodes.collect();
        if **self.given_up.load() != nodes {
            self.given_up.store(Arc::new(nodes));
        }
    }

    /// Hears of the end of each congestion from now on.
    pub(crate) fn easing(&self) -> watch::Receiver<()> {
        self.eased.subscribe()
    }

    pub(crate) fn status(&self) -> Arc<ClusterStatus> {
        self.status.load_full()
    }

    pub(crate) fn set_status(&self, status: ClusterStatus) {
        self.status.store(Arc::new(status));
    }
}

impl FromShard {
    /// What it takes up while it waits, about, in bytes.
    fn cost(&self) -> usize {
        let carried = match self {
            FromShard::Send { item, .. } => item.len(),
            FromShard::Announce(_) => size_of::<DirectoryChange>(),
            FromShard::TooLarge { .. } => 0,
        };
        size_of::<FromShard>() + carried
    }
}

#[cfg(test)]
mod tests {
    use hubgate_cluster::LARGEST_MESSAGE;
    use hubgate_core::Outgoing;
    use hubgate_core::delivery::{Action, Except, Target};
    use hubgate_core::id::ShardIndex;
    use hubgate_core::question::Question;
    use hubgate_wire::signalr::HubProtocol;

    use super::*;

    const OTHER: ShardAddress = ShardAddress { node: NodeId(7), shard: ShardIndex(1) };

    fn order() -> (HubName, Order) {
        let order = Order::Ask { question: Question::Barrier, asker: ShardIndex(0).into(), number: 3 };
        (HubName::parse("chat").expect("a hub's name"), order)
    }

    #[test]
    fn what_waits_has_an_account_and_is_given_back_when_nobody_takes_it() {
        let (link, mut from_shards) = ClusterLink::new(NodeId(5));
        let send = |link: &ClusterLink| {
            let (hub, order) = order();
            link.send(ShardIndex(0).into(), Addressees::One(OTHER), hub, order)
        };
        let mut sent = 0;
        while !link.is_congested() {
            send(&link).expect("the thread is there");
            sent += 1;
        }
        assert!((10_000..1_000_000).contains(&sent), "{sent}");
        let mut easing = link.easing();
        link.is_waited_for();
        let set_congested = |is_congested| link.set_flow(Flow { is_congested, is_cut_off: false });
        set_congested(false);
        assert!(!easing.has_changed().expect("the link is there"), "so much waits still");
        while let Ok(order) = from_shards.try_recv() {
            link.taken(&order);
        }
        assert_eq!(link.waiting.load(Ordering::Relaxed), 0);
        set_congested(true);
        assert!(!easing.has_changed().expect("the link is there") && link.is_congested());
        set_congested(false);
        assert!(easing.has_changed().expect("the link is there"));
        easing.mark_unchanged();
        set_congested(false);
        assert!(!easing.has_changed().expect("the link is there"), "nobody waits any longer");
        link.set_flow(Flow { is_congested: false, is_cut_off: true });
        assert!(link.holds_tunnels() && !link.is_congested());
        set_congested(false);
        assert!(easing.has_changed().expect("the link is there"), "other nodes are reached again");
        assert!(!link.holds_tunnels());
        drop(from_shards);
        let (_, order) = order();
        assert_eq!(send(&link), Err((Addressees::One(OTHER), order)));
        assert_eq!(link.waiting.load(Ordering::Relaxed), 0);
    }
    #[test]
    fn an_order_that_is_too_large_for_other_nodes_is_given_back_and_counted_and_does_not_pass() {
        let (link, mut from_shards) = ClusterLink::new(NodeId(5));
        let send = |bytes: usize| {
            let message = Outgoing::encoded([(HubProtocol::Json, vec![b'x'; bytes])]);
            let action = Action::Send { to: Target::All, message, except: Except::default() };
            let hub = HubName::parse("chat").expect("a hub's name");
            link.send(ShardIndex(0).into(), Addressees::One(OTHER), hub, Order::Act(action))
        };
        send(LARGEST_MESSAGE).expect("it passes");
        assert!(matches!(from_shards.try_recv(), Ok(FromShard::Send { item, .. }) if item.len() <= LARGEST_ITEM));
        assert!(send(LARGEST_ITEM).is_err());
        assert!(matches!(from_shards.try_recv(), Ok(FromShard::TooLarge { nodes: 1 })));
        assert!(from_shards.try_recv().is_err());
    }
}
