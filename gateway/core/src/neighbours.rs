//! The shards that one shard can hand orders to, and where an address leads from there.

use crate::id::{ShardAddress, ShardIndex};

/// The shards of a gateway, as one of them sees them.
#[derive(Debug, Clone, Copy)]
pub struct Neighbours {
    own: ShardAddress,
    /// How many shards the gateway has, with this one.
    shards: u16,
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// To the shard that looks.
    Here,
    /// To another shard of its gateway.
    OtherShard(ShardIndex),
    /// To no shard that orders reach: an id from outside may name a shard that never was, or another gateway.
    Nowhere,
}

impl Neighbours {
    /// Those of the shard at `own`, whose gateway has so many `shards`, with that one.
    pub fn new(own: ShardAddress, shards: u16) -> Neighbours {
        Neighbours { own, shards }
    }

    /// The address of the shard itself.
    pub fn own(&self) -> ShardAddress {
        self.own
    }

    /// The address of a shard of this gateway.
    pub fn address_of(&self, shard: ShardIndex) -> ShardAddress {
        ShardAddress { node: self.own.node, shard }
    }

    /// How many shards the gateway has, with this one.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The other shards.
    pub fn others(&self) -> impl Iterator<Item = ShardIndex> + use<> {
        let own = self.own.shard;
        (0..self.shards).map(ShardIndex).filter(move |shard| *shard != own)
    }

    /// Where an address leads.
    #[inline]
    pub fn locate(&self, address: ShardAddress) -> Location {
        if address == self.own {
            return Location::Here;
        }
        match address.node == self.own.node && address.shard.0 < self.shards {
            true => Location::OtherShard(address.shard),
            false => Location::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    #[test]
    fn an_address_leads_here_or_to_a_shard_of_the_same_node_or_nowhere() {
        let at = |node, shard| ShardAddress { node: NodeId(node), shard: ShardIndex(shard) };
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
}
