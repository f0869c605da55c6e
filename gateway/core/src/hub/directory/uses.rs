//! Which nodes have clients of a hub, so that what is for all of its clients wakes no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::directory_change::DirectoryChange;
use crate::id::{NodeId, ShardAddress, ShardIndex};

/// The shards that have clients of a hub, by their nodes. Each tells of its own, so that nothing depends on the order in which two
/// of them do.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<BTreeMap<NodeId, BTreeSet<ShardIndex>>>);

impl Uses {
    pub(super) fn begin(&self, ShardAddress { node, shard }: ShardAddress) {
        self.lock().entry(node).or_default().insert(shard);
    }

    pub(super) fn end(&self, ShardAddress { node, shard }: ShardAddress) {
        let mut nodes = self.lock();
        if let Some(shards) = nodes.get_mut(&node) {
            shards.remove(&shard);
            if shards.is_empty() {
                nodes.remove(&node);
            }
        }
    }

    /// Nothing is known of a node any longer.
    pub(super) fn forget(&self, node: NodeId) {
        self.lock().remove(&node);
    }

    /// The nodes that have clients, in the order of their ids.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.lock().keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The changes that lead from nothing to what is known of these shards.
    pub(super) fn snapshot(&self, is_of: impl Fn(ShardAddress) -> bool) -> Vec<DirectoryChange> {
        let nodes = self.lock();
        let address = |node: &NodeId, shard: &ShardIndex| ShardAddress { node: *node, shard: *shard };
        let all = nodes.iter().flat_map(|(node, shards)| shards.iter().map(|shard| address(node, shard)));
        all.filter(|shard| is_of(*shard)).map(DirectoryChange::HubUsed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, BTreeSet<ShardIndex>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_clients_for_as_long_as_one_of_its_shards_does() {
        let uses = Uses::default();
        let at = |node, shard| ShardAddress { node: NodeId(node), shard: ShardIndex(shard) };
        [at(2, 0), at(1, 0), at(1, 3), at(1, 3)].into_iter().for_each(|shard| uses.begin(shard));
        assert_eq!(uses.nodes(), [NodeId(1), NodeId(2)]);
        uses.end(at(1, 3));
        uses.end(at(2, 1));
        assert_eq!(uses.nodes(), [NodeId(1), NodeId(2)]);
        uses.end(at(1, 0));
        assert_eq!((uses.nodes(), uses.is_empty()), (vec![NodeId(2)], false));
        uses.forget(NodeId(2));
        assert!(uses.is_empty());
    }
}
