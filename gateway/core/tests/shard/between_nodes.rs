//! Several nodes in one rig, and what is on its way between each two of them: in its order, at once or when the test says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hubgate_core::id::{HubName, NodeId, ShardAddress, ShardIndex};
use hubgate_core::{DirectoryChange, Input, Nodes, Order, OtherNode};

use crate::rig::Rig;

/// The node with this index.
pub(crate) fn node_id(node: usize) -> NodeId {
    NodeId(0x6e6f_6465 + node as u32)
}

/// What is on its way between nodes.
#[derive(Debug, Default)]
pub(crate) struct BetweenNodes {
    shards_per_node: usize,
    /// The nodes that are there, by index.
    present: BTreeSet<usize>,
    on_its_way: BTreeMap<(usize, usize), VecDeque<Item>>,
    /// Announcements that not all nodes have applied: the shard that is told when they have, and the nodes that have not.
    announced: BTreeMap<usize, (usize, HubName, BTreeSet<usize>)>,
    announcements: usize,
    /// Orders that each node was given by others, in number.
    pub(crate) orders_for: BTreeMap<usize, usize>,
    /// Nothing arrives unless it is passed on.
    pub(crate) is_held: bool,
}

#[derive(Debug)]
enum Item {
    Order {
        from: ShardAddress,
        to: Option<ShardIndex>,
        hub: HubName,
        order: Order,
    },
    /// `announcement`: of those whose arrival is waited for.
    Change {
        hub: HubName,
        change: DirectoryChange,
        announcement: Option<usize>,
    },
}

impl BetweenNodes {
    pub(crate) fn new(nodes: usize, shards_per_node: usize) -> BetweenNodes {
        BetweenNodes { shards_per_node, present: (0..nodes).collect(), ..BetweenNodes::default() }
    }

    /// The node of a shard of the rig.
    pub(crate) fn node_of(&self, shard: usize) -> usize {
        shard / self.shards_per_node
    }

    /// The shards of a node, in the rig.
    pub(crate) fn shards_of(&self, node: usize) -> std::ops::Range<usize> {
        node * self.shards_per_node..(node + 1) * self.shards_per_node
    }

    pub(crate) fn address(&self, shard: usize) -> ShardAddress {
        let node = self.node_of(shard);
        ShardAddress { node: node_id(node), shard: ShardIndex((shard % self.shards_per_node) as u16) }
    }

    /// The shard of the rig at this address.
    pub(crate) fn shard_at(&self, address: ShardAddress) -> usize {
        self.node_with(address.node) * self.shards_per_node + usize::from(address.shard.0)
    }

    pub(crate) fn node_with(&self, id: NodeId) -> usize {
        (id.0 - node_id(0).0) as usize
    }

    /// What a node knows of the others.
    fn others_of(&self, node: usize) -> Arc<Nodes> {
        let others = self.present.iter().filter(|other| **other != node);
        let shards = self.shards_per_node as u16;
        Arc::new(others.map(|other| OtherNode { id: node_id(*other), shards }).collect())
    }

    /// Whether nothing is on its way to a node.
    pub(crate) fn is_nothing_for(&self, node: usize) -> bool {
        self.on_its_way.iter().all(|((_, to), items)| *to != node || items.is_empty())
    }

    fn push(&mut self, from: usize, to: usize, item: Item) {
        if self.present.contains(&from) && self.present.contains(&to) {
            self.on_its_way.entry((from, to)).or_default().push_back(item);
        }
    }

    /// A shard has an order for shards of another node: for one, or for all.
    pub(crate) fn order(&mut self, from: usize, (node, to): (usize, Option<ShardIndex>), hub: &HubName, order: Order) {
        let item = Item::Order { from: self.address(from), to, hub: hub.clone(), order };
        self.push(self.node_of(from), node, item);
    }

    /// A shard has changed what all nodes know.
    pub(crate) fn announce(&mut self, from: usize, hub: &HubName, change: &DirectoryChange) {
        let own = self.node_of(from);
        let others: BTreeSet<usize> = self.present.iter().copied().filter(|node| *node != own).collect();
        let is_waited_for = matches!(change, DirectoryChange::HubUsed(_));
        let announcement = is_waited_for.then_some(self.announcements);
        if is_waited_for {
            self.announced.insert(self.announcements, (from, hub.clone(), others.clone()));
            self.announcements += 1;
        }
        for other in others {
            self.push(own, other, Item::Change { hub: hub.clone(), change: change.clone(), announcement });
        }
    }

    /// A node will apply nothing more. Gives what all others have applied now, and who is told.
    fn count_out(&mut self, node: usize) -> Vec<(usize, HubName)> {
        let announcements: Vec<usize> = self.announced.keys().copied().collect();
        announcements.into_iter().filter_map(|announcement| self.applied(node, announcement)).collect()
    }

    /// A node has applied an announcement. Gives who is told if it was the last one.
    fn applied(&mut self, node: usize, announcement: usize) -> Option<(usize, HubName)> {
        let (_, _, missing) = self.announced.get_mut(&announcement)?;
        missing.remove(&node);
        if !missing.is_empty() {
            return None;
        }
        let (shard, hub, _) = self.announced.remove(&announcement)?;
        Some((shard, hub))
    }
}

impl Rig {
    /// All shards know of the other nodes that are there.
    pub(crate) fn tell_nodes(&mut self) {
        for node in self.between_nodes.present.clone() {
            let others = self.between_nodes.others_of(node);
            for shard in self.between_nodes.shards_of(node) {
                self.feed(shard, Input::Nodes(others.clone()));
            }
        }
    }

    /// What one node has for another arrives: so many items.
    pub(crate) fn pass_some_on(&mut self, from: usize, to: usize, items: usize) {
        for _ in 0..items {
            let Some(item) = self.between_nodes.on_its_way.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
                return;
            };
            match item {
                Item::Order { from, to: shard, hub, order } => {
                    *self.between_nodes.orders_for.entry(to).or_default() += 1;
                    for index in self.between_nodes.shards_of(to) {
                        if shard.is_none_or(|shard| self.between_nodes.address(index).shard == shard) {
                            self.feed(index, Input::Order { from, hub: hub.clone(), order: order.clone() });
                        }
                    }
                }
                Item::Change { hub, change, announcement } => {
                    self.directories[to].apply(&hub, false, change);
                    let told = announcement.and_then(|announcement| self.between_nodes.applied(to, announcement));
                    told.into_iter().for_each(|(shard, hub)| self.feed(shard, Input::HubAnnounced(hub)));
                }
            }
        }
    }

    /// All that one node has for another now arrives.
    pub(crate) fn pass_on(&mut self, from: usize, to: usize) {
        let items = self.between_nodes.on_its_way.get(&(from, to)).map_or(0, VecDeque::len);
        self.pass_some_on(from, to, items);
    }

    /// All arrives that is on its way, and what comes of it.
    pub(crate) fn pass_all_on(&mut self) {
        self.depth += 1;
        while let Some(pair) =
            self.between_nodes.on_its_way.iter().find(|(_, items)| !items.is_empty()).map(|(pair, _)| *pair)
        {
            self.pass_some_on(pair.0, pair.1, 1);
        }
        self.depth -= 1;
    }

    /// Lets things happen before anything else arrives.
    fn at_once(&mut self, happen: impl FnOnce(&mut Rig)) {
        self.depth += 1;
        happen(self);
        self.depth -= 1;
        if self.depth == 0 && !self.between_nodes.is_held {
            self.pass_all_on();
        }
    }

    /// A node is gone: the others notice.
    pub(crate) fn lose(&mut self, node: usize) {
        self.between_nodes.present.remove(&node);
        self.between_nodes.on_its_way.retain(|(from, to), _| *from != node && *to != node);
        self.at_once(|rig| {
            rig.between_nodes.present.clone().into_iter().for_each(|other| rig.forget_node(other, node));
            let told = rig.between_nodes.count_out(node);
            told.into_iter().for_each(|(shard, hub)| rig.feed(shard, Input::HubAnnounced(hub)));
        });
    }

    /// What two nodes have for each other is lost: all begins anew.
    pub(crate) fn break_off(&mut self, first: usize, second: usize) {
        let both_ways = [(first, second), (second, first)];
        self.at_once(|rig| {
            both_ways.into_iter().for_each(|(node, other)| rig.forget_node(node, other));
            both_ways.iter().for_each(|pair| drop(rig.between_nodes.on_its_way.remove(pair)));
            rig.tell_nodes();
            both_ways.into_iter().for_each(|(node, other)| rig.show(node, other));
        });
    }

    fn forget_node(&mut self, node: usize, lost: usize) {
        self.directories[node].node_lost(node_id(lost));
        for shard in self.between_nodes.shards_of(node) {
            self.feed(shard, Input::NodeLost(node_id(lost)));
        }
    }

    /// A node that was not there until now is.
    pub(crate) fn appear(&mut self, node: usize) {
        let others = self.between_nodes.present.clone();
        self.between_nodes.present.insert(node);
        self.at_once(|rig| {
            rig.tell_nodes();
            for other in others {
                rig.show(node, other);
                rig.show(other, node);
            }
        });
    }

    /// Nobody knows of a node yet, and it serves alone.
    pub(crate) fn begin_without(&mut self, node: usize) {
        self.between_nodes.present.remove(&node);
        self.tell_nodes();
        for shard in self.between_nodes.shards_of(node) {
            self.feed(shard, Input::Nodes(Arc::default()));
        }
    }

    /// A node applies what another one knows of itself.
    fn show(&mut self, to: usize, of: usize) {
        let memberships = self.directories[of].memberships_snapshot();
        for (hub, change) in self.directories[of].snapshot_of(node_id(of)).into_iter().chain(memberships) {
            self.directories[to].apply(&hub, false, change);
        }
    }
}
