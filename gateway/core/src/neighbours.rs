//! The shards that one shard can hand orders to, on its own node and on others, and where an address leads from there.

use std::sync::Arc;

use crate::id::{NodeId, ShardAddress, ShardIndex};

/// The shards of all nodes, as one of them sees them.
#[derive(Debug, Clone)]
pub struct Neighbours {
    own: ShardAddress,
    /// How many shards the gateway has, with this one.
    shards: u16,
    nodes: Arc<Nodes>,
}

/// The other gateways that serve as one with this one. None, as long as it serves alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes(Vec<OtherNode>);

/// Another gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherNode {
    pub id: NodeId,
    /// How many shards it has.
    pub shards: u16,
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// To the shard that looks.
    Here,
    /// To another shard of its gateway.
    OtherShard(ShardIndex),
    /// To a shard of another gateway that is there.
    OtherNode,
    /// To no shard that orders reach: an id from outside may name a shard that never was, or a gateway that is not there.
    Nowhere,
}

impl Nodes {
    /// One of them, if it is there.
    pub fn find(&self, id: NodeId) -> Option<OtherNode> {
        let index = self.0.binary_search_by_key(&id, |node| node.id).ok()?;
        Some(self.0[index])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = OtherNode> {
        self.0.iter().copied()
    }
}

impl FromIterator<OtherNode> for Nodes {
    /// Each node once.
    fn from_iter<I: IntoIterator<Item = OtherNode>>(nodes: I) -> Nodes {
        let mut nodes: Vec<OtherNode> = nodes.into_iter().collect();
        nodes.sort_unstable();
        nodes.dedup_by_key(|node| node.id);
        Nodes(nodes)
    }
}

impl Neighbours {
    /// Those of the shard at `own`, whose gateway has so many `shards`, with that one, and serves alone.
    pub fn new(own: ShardAddress, shards: u16) -> Neighbours {
        Neighbours { own, shards, nodes: Arc::default() }
    }

    /// The gateway serves as one with these from now on.
    pub fn set_nodes(&mut self, nodes: Arc<Nodes>) {
        self.nodes = nodes;
    }

    /// The gateway goes by another id from now on.
    pub fn set_node(&mut self, node: NodeId) {
        self.own.node = node;
    }

    /// A node is not there any longer.
    pub fn lose(&mut self, node: NodeId) {
        self.nodes = Arc::new(self.nodes.iter().filter(|each| each.id != node).collect());
    }

    /// The address of the shard itself.
    pub fn own(&self) -> ShardAddress {
        self.own
    }

    /// The address of a shard of this gateway.
    pub fn address_of(&self, shard: ShardIndex) -> ShardAddress {
        ShardAddress { node: self.own.node, shard }
    }

    /// Whether there is no other shard.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.shards == 1 && self.nodes.is_empty()
    }

    /// How many shards the gateway has, with this one.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The other shards of this gateway.
    pub fn others(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        let own = self.own.shard;
        (0..self.shards).map(ShardIndex).filter(move |shard| *shard != own)
    }

    /// The other gateways.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The address of one shard of each other gateway: not all shards here take the same.
    pub(crate) fn one_of_each_node(&self) -> impl Iterator<Item = ShardAddress> {
        let own = self.own.shard.0;
        self.nodes
            .iter()
            .map(move |OtherNode { id, shards }| ShardAddress { node: id, shard: ShardIndex(own % shards.max(1)) })
    }

    /// Where an address leads.
    #[inline]
    pub fn locate(&self, address: ShardAddress) -> Location {
        if address == self.own {
            return Location::Here;
        }
        if address.node != self.own.node {
            return self.locate_on_other_node(address);
        }
        match address.shard.0 < self.shards {
            true => Location::OtherShard(address.shard),
            false => Location::Nowhere,
        }
    }

    fn locate_on_other_node(&self, address: ShardAddress) -> Location {
        match self.nodes.find(address.node) {
            Some(node) if address.shard.0 < node.shards => Location::OtherNode,
            Some(_) | None => Location::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(node: u32, shard: u16) -> ShardAddress {
        ShardAddress { node: NodeId(node), shard: ShardIndex(shard) }
    }

    #[test]
    fn an_address_leads_here_or_to_a_shard_of_the_same_node_or_nowhere() {
        for node in [0, 7] {
            let neighbours = Neighbours::new(at(node, 1), 3);
            assert_eq!(neighbours.locate(at(node, 1)), Location::Here);
            for other in [0, 2] {
                assert_eq!(neighbours.locate(at(node, other)), Location::OtherShard(ShardIndex(other)));
            }
            for nowhere in [at(node, 3), at(node, u16::MAX), at(node + 1, 1), at(node + 1, 0), at(u32::MAX, 2)] {
                assert_eq!(neighbours.locate(nowhere), Location::Nowhere, "{nowhere:?}");
            }
            let others: Vec<Location> =
                neighbours.others().map(|shard| neighbours.locate(neighbours.address_of(shard))).collect();
            assert_eq!(others, [0, 2].map(|shard| Location::OtherShard(ShardIndex(shard))));
        }
    }

    #[test]
    fn an_address_leads_to_a_shard_of_another_node_for_as_long_as_that_is_there() {
        let mut neighbours = Neighbours::new(at(1, 0), 3);
        let nodes = [(9, 1), (5, 2), (9, 1)].map(|(id, shards)| OtherNode { id: NodeId(id), shards });
        neighbours.set_nodes(Arc::new(nodes.into_iter().collect()));
        assert_eq!(neighbours.nodes().iter().map(|node| node.id.0).collect::<Vec<_>>(), [5, 9]);
        for there in [at(5, 0), at(5, 1), at(9, 0)] {
            assert_eq!(neighbours.locate(there), Location::OtherNode, "{there:?}");
        }
        for nowhere in [at(5, 2), at(9, 1), at(4, 0), at(1, 3)] {
            assert_eq!(neighbours.locate(nowhere), Location::Nowhere, "{nowhere:?}");
        }
        neighbours.lose(NodeId(5));
        assert_eq!(neighbours.locate(at(5, 0)), Location::Nowhere);
        assert_eq!(neighbours.locate(at(9, 0)), Location::OtherNode);
    }
}
