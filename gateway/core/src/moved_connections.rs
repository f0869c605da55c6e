//! Connections that live on another node than their ids say: that one has negotiated them, and their transports came to another.
//!
//! The two nodes know it from the claim on. The others learn it only if the first one is lost, and ask that one until then.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::directory_change::DirectoryChange;
use crate::hash::FixedMap;
use crate::id::{ConnectionId, HubName, NodeId, ShardAddress};

/// What one node knows of connections that have moved.
#[derive(Debug, Default)]
pub(crate) struct MovedConnections {
    /// How many it knows. As long as there are none, nothing is locked.
    count: AtomicUsize,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: FixedMap<ConnectionId, Moved>,
    /// The same by what has opened them, where that is not their id.
    by_token: FixedMap<ConnectionId, ConnectionId>,
    /// Those that nobody knows of any more but the node that they live on, and of which it has not told the others.
    homeless: BTreeSet<ConnectionId>,
    /// How often a node was lost.
    losses: u64,
}

#[derive(Debug)]
struct Moved {
    hub: HubName,
    token: ConnectionId,
    lives_at: ShardAddress,
    /// Whether all nodes were told.
    is_announced: bool,
}

/// A connection that has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovedConnection {
    pub(crate) hub: HubName,
    pub(crate) id: ConnectionId,
    /// What opens its transports.
    pub(crate) token: ConnectionId,
    pub(crate) lives_at: ShardAddress,
}

/// What was known when a connection was claimed of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Losses(u64);

impl MovedConnection {
    /// What other nodes are told of it.
    pub(crate) fn change(&self) -> DirectoryChange {
        DirectoryChange::ConnectionMoved { id: self.id, token: self.token, to: self.lives_at }
    }
}

impl MovedConnections {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Where a connection lives that has moved, by its id or by what opens it.
    #[inline]
    pub(crate) fn find(&self, connection: ConnectionId) -> Option<ShardAddress> {
        match self.is_empty() {
            true => None,
            false => self.look_up(connection).map(|(_, lives_at)| lives_at),
        }
    }

    /// The same with its id.
    #[inline(never)]
    pub(crate) fn look_up(&self, connection: ConnectionId) -> Option<(ConnectionId, ShardAddress)> {
        let known = self.read();
        let id = known.by_token.get(&connection).copied().unwrap_or(connection);
        known.by_id.get(&id).map(|moved| (id, moved.lives_at))
    }

    /// To be remembered while a connection is claimed of another node.
    pub(crate) fn losses(&self) -> Losses {
        Losses(self.read().losses)
    }

    /// A connection that this node has negotiated lives elsewhere from now on.
    pub(crate) fn moved_away(&self, moved: MovedConnection) {
        self.write(|known| known.insert(moved, false));
    }

    /// Another node says where a connection lives. None moves twice.
    pub(crate) fn announced_elsewhere(&self, moved: MovedConnection) {
        self.write(|known| {
            if !known.by_id.contains_key(&moved.id) {
                known.insert(moved, true);
            }
        });
    }

    /// A connection of another node lives on this one from now on. If a node was lost since it was claimed, that may have been the one that
    /// knows of it.
    pub(crate) fn moved_here(&self, moved: MovedConnection, when_claimed: Losses) {
        self.write(|known| {
            let id = moved.id;
            known.insert(moved, false);
            if when_claimed != Losses(known.losses) {
                known.homeless.insert(id);
            }
        });
    }

    /// A connection is over. Gives whether other nodes were told where it lives.
    pub(crate) fn end(&self, id: ConnectionId) -> bool {
        self.write(|known| known.remove(id).is_some_and(|moved| moved.is_announced))
    }

    /// A shard of another node says that its connection is over.
    pub(crate) fn end_elsewhere(&self, id: ConnectionId, at: ShardAddress) {
        self.write(|known| {
            if known.by_id.get(&id).is_some_and(|moved| moved.lives_at == at) {
                known.remove(id);
            }
        });
    }

    /// The connections that live at a shard and of which the others are to be told now. They are told of each once.
    pub(crate) fn take_homeless(&self, at: ShardAddress) -> Vec<MovedConnection> {
        if self.is_empty() || self.read().homeless.is_empty() {
            return Vec::new();
        }
        self.write(|known| {
            let Known { by_id, homeless, .. } = known;
            let is_here = |id: &ConnectionId| by_id.get(id).is_some_and(|moved| moved.lives_at == at);
            let here: Vec<ConnectionId> = homeless.extract_if(.., |id| is_here(id)).collect();
            for id in &here {
                if let Some(moved) = by_id.get_mut(id) {
                    moved.is_announced = true;
                }
            }
            here.into_iter().filter_map(|id| known.get(id)).collect()
        })
    }

    /// The connections that live at these shards and of which all were told, in the order of their ids.
    pub(crate) fn announced(&self, is_at: impl Fn(ShardAddress) -> bool) -> Vec<MovedConnection> {
        if self.is_empty() {
            return Vec::new();
        }
        let known = self.read();
        let announced = known.by_id.iter().filter(|(_, moved)| moved.is_announced && is_at(moved.lives_at));
        let mut ids: Vec<ConnectionId> = announced.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| known.get(id)).collect()
    }

    /// A node is lost: so are the connections that live there. Those whose ids name it live on, and it knows of them no more.
    pub(crate) fn node_lost(&self, node: NodeId) {
        self.write(|known| {
            known.losses += 1;
            let there = known.by_id.iter().filter(|(_, moved)| moved.lives_at.node == node);
            let there: Vec<ConnectionId> = there.map(|(id, _)| *id).collect();
            there.into_iter().for_each(|id| drop(known.remove(id)));
            let Known { by_id, homeless, .. } = known;
            let of_node = by_id.iter().filter(|(id, moved)| id.owner().node == node && !moved.is_announced);
            homeless.extend(of_node.map(|(id, _)| *id));
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut known: RwLockWriteGuard<'_, Known> = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut known);
        self.count.store(known.by_id.len(), Ordering::Relaxed);
        changed
    }
}

impl Known {
    fn get(&self, id: ConnectionId) -> Option<MovedConnection> {
        let Moved { hub, token, lives_at, .. } = self.by_id.get(&id)?;
        Some(MovedConnection { hub: hub.clone(), id, token: *token, lives_at: *lives_at })
    }

    fn insert(&mut self, MovedConnection { hub, id, token, lives_at }: MovedConnection, is_announced: bool) {
        self.remove(id);
        if token != id {
            self.by_token.insert(token, id);
        }
        self.by_id.insert(id, Moved { hub, token, lives_at, is_announced });
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Moved> {
        let moved = self.by_id.remove(&id)?;
        self.by_token.remove(&moved.token);
        self.homeless.remove(&id);
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    fn at(node: u32) -> ShardAddress {
        ShardAddress { node: NodeId(node), shard: ShardIndex(0) }
    }

    fn id(node: u32, number: u8) -> ConnectionId {
        ConnectionId::new(at(node), [number; 12])
    }

    /// A connection that node 1 has negotiated.
    fn moved(number: u8, to: u32) -> MovedConnection {
        let hub = HubName::parse("chat").expect("a name");
        MovedConnection { hub, id: id(1, number), token: id(1, number + 100), lives_at: at(to) }
    }

    #[test]
    fn a_connection_is_found_by_its_id_and_by_its_token_until_it_is_over() {
        let known = MovedConnections::default();
        known.moved_away(moved(1, 2));
        known.moved_away(moved(2, 3));
        assert_eq!((known.find(id(1, 1)), known.find(id(1, 101))), (Some(at(2)), Some(at(2))));
        assert_eq!(known.look_up(id(1, 102)), Some((id(1, 2), at(3))));
        assert!(!known.end(id(1, 1)));
        assert_eq!((known.find(id(1, 1)), known.find(id(1, 101))), (None, None));
        assert!(!known.end(id(1, 2)) && !known.end(id(1, 2)));
        let Known { by_id, by_token, homeless, .. } = &*known.read();
        assert!(by_id.is_empty() && by_token.is_empty() && homeless.is_empty());
    }

    #[test]
    fn a_node_that_is_lost_takes_its_connections_and_others_tell_of_those_that_it_has_negotiated() {
        let (here, other) = (MovedConnections::default(), MovedConnections::default());
        let losses = here.losses();
        here.moved_here(moved(1, 2), losses);
        here.moved_away(MovedConnection { id: id(2, 9), token: id(2, 9), ..moved(9, 1) });
        assert_eq!(here.take_homeless(at(2)), []);
        here.node_lost(NodeId(1));
        assert_eq!(here.find(id(2, 9)), None);
        assert_eq!(here.take_homeless(at(3)), [], "it lives on another shard");
        assert_eq!(here.announced(|_| true), [], "nobody was told so far");
        assert_eq!(here.take_homeless(at(2)), [moved(1, 2)]);
        assert_eq!((here.take_homeless(at(2)), here.announced(|_| true)), (vec![], vec![moved(1, 2)]));
        other.announced_elsewhere(moved(1, 2));
        other.announced_elsewhere(moved(1, 3));
        assert_eq!(other.find(id(1, 101)), Some(at(2)), "none moves twice");
        other.end_elsewhere(id(1, 1), at(3));
        assert_eq!(other.find(id(1, 1)), Some(at(2)), "it is not that shard's to end");
        other.end_elsewhere(id(1, 1), at(2));
        assert!(here.end(id(1, 1)) && other.find(id(1, 1)).is_none());
    }

    #[test]
    fn a_connection_whose_node_was_lost_while_it_was_claimed_is_told_of_as_well() {
        let here = MovedConnections::default();
        let losses = here.losses();
        here.node_lost(NodeId(1));
        here.moved_here(moved(1, 2), losses);
        here.moved_here(moved(2, 2), here.losses());
        assert_eq!(here.take_homeless(at(2)), [moved(1, 2)]);
    }
}
