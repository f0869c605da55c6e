//! Orders about a connection go by the shard that its id names, if nobody here knows where the connection lives: that shard hands them on. What
//! waits until orders are in effect asks these shards, too, because what goes straight to all others may overtake such an order.

use std::collections::BTreeMap;

use crate::hash::FixedMap;
use crate::id::{HubName, NodeId, ShardAddress};
use crate::time::Millis;

/// After so long an order has arrived, or a node was lost.
const LONGEST_WAY: Millis = Millis(300_000);

/// What may not be in effect of orders about single connections.
#[derive(Debug, Default)]
pub(crate) struct Detours {
    /// Sent by this shard to those that know where the connections live.
    pub(crate) sent: Ways,
    /// Sent by others, and handed on by this one to where the connections live.
    pub(crate) handed_on: Ways,
}

/// Shards of other nodes that may not have got all orders; by hub.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    by_hub: BTreeMap<HubName, FixedMap<ShardAddress, Latest>>,
    orders: u64,
}

/// The latest order to a shard.
#[derive(Debug, Clone, Copy)]
struct Latest {
    order: u64,
    at: Millis,
}

/// The shards that are waited for, each with the latest order that had been sent to it.
#[derive(Debug)]
pub(crate) struct Awaited {
    hub: HubName,
    orders: Vec<(ShardAddress, u64)>,
}

impl Detours {
    /// Nothing more arrives at a node.
    pub(crate) fn node_lost(&mut self, node: NodeId) {
        [&mut self.sent, &mut self.handed_on].into_iter().for_each(|ways| ways.node_lost(node));
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Millis) {
        [&mut self.sent, &mut self.handed_on].into_iter().for_each(|ways| ways.tick(now));
    }
}

impl Ways {
    /// An order of a hub goes to a shard.
    pub(crate) fn note(&mut self, hub: &HubName, to: ShardAddress, now: Millis) {
        self.orders += 1;
        let latest = Latest { order: self.orders, at: now };
        match self.by_hub.get_mut(hub) {
            Some(shards) => drop(shards.insert(to, latest)),
            None => drop(self.by_hub.entry(hub.clone()).or_default().insert(to, latest)),
        }
    }

    /// What whoever waits for the orders of a hub has to wait for, too.
    pub(crate) fn awaited(&self, hub: &HubName) -> Option<Awaited> {
        let shards = self.by_hub.get(hub)?;
        let mut orders: Vec<(ShardAddress, u64)> =
            shards.iter().map(|(shard, latest)| (*shard, latest.order)).collect();
        orders.sort_unstable();
        Some(Awaited { hub: hub.clone(), orders })
    }

    /// All of this is in effect.
    pub(crate) fn arrived(&mut self, Awaited { hub, orders }: &Awaited) {
        let Some(shards) = self.by_hub.get_mut(hub) else {
            return;
        };
        for (shard, order) in orders {
            if shards.get(shard).is_some_and(|latest| latest.order == *order) {
                shards.remove(shard);
            }
        }
        if shards.is_empty() {
            self.by_hub.remove(hub);
        }
    }

    fn node_lost(&mut self, node: NodeId) {
        self.retain(|shard, _| shard.node != node);
    }

    fn tick(&mut self, now: Millis) {
        if !self.by_hub.is_empty() {
            self.retain(|_, latest| latest.at + LONGEST_WAY > now);
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&ShardAddress, &Latest) -> bool) {
        self.by_hub.retain(|_, shards| {
            shards.retain(|shard, latest| is_kept(shard, latest));
            !shards.is_empty()
        });
    }
}

impl Awaited {
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardAddress> {
        self.orders.iter().map(|(shard, _)| *shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    #[test]
    fn a_shard_is_waited_for_until_its_latest_order_has_arrived_or_its_node_is_lost() {
        let at = |node| ShardAddress { node: NodeId(node), shard: ShardIndex(0) };
        let hub = HubName::parse("chat").expect("a name");
        let mut ways = Ways::default();
        let shards = |ways: &Ways| -> Vec<ShardAddress> {
            ways.awaited(&hub).iter().flat_map(|awaited| awaited.shards().collect::<Vec<_>>()).collect()
        };
        [1, 2, 1].into_iter().for_each(|node| ways.note(&hub, at(node), Millis(0)));
        let before = ways.awaited(&hub).expect("two");
        ways.note(&hub, at(1), Millis(10));
        ways.arrived(&before);
        assert_eq!(shards(&ways), [at(1)], "one was sent another order meanwhile");
        ways.note(&hub, at(3), Millis(20));
        ways.node_lost(NodeId(1));
        assert_eq!(shards(&ways), [at(3)]);
        ways.tick(Millis(20) + LONGEST_WAY);
        assert!(ways.by_hub.is_empty());
    }
}
