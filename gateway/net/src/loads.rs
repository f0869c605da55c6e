//! Which shard gets the next client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_core::id::ShardIndex;

use crate::vitals::Vitals;

/// How many clients each shard has, those among them that have negotiated and are still to come. Each shard says so itself
/// every now and then; who is dealt out in between is added to what it said.
#[derive(Debug)]
pub(crate) struct Loads {
    clients: Box<[AtomicUsize]>,
    /// Where the search begins, so that equals get their turn.
    next: AtomicUsize,
    /// Whether the shards show signs of life.
    vitals: Arc<Vitals>,
}

impl Loads {
    pub(crate) fn new(shards: u16, vitals: Arc<Vitals>) -> Loads {
        let clients = (0..shards.max(1)).map(|_| AtomicUsize::new(0)).collect();
        Loads { clients, next: AtomicUsize::new(0), vitals }
    }

    /// The shard with the fewest clients, which has one more now; equals in turn. One that stands still gets none, unless all do.
    pub(crate) fn deal(&self) -> ShardIndex {
        self.deal_from(self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len())
    }

    /// The same; among equals the one on which the client's connection is already.
    pub(crate) fn deal_near(&self, own: ShardIndex) -> ShardIndex {
        self.deal_from(usize::from(own.0))
    }

    fn deal_from(&self, first: usize) -> ShardIndex {
        let count = self.clients.len();
        let in_turn = (0..count).map(|step| (first + step) % count);
        let rank =
            |shard: &usize| (self.vitals.shard(*shard).is_silent(), self.clients[*shard].load(Ordering::Relaxed));
        let shard = in_turn.min_by_key(rank).unwrap_or(first);
        self.clients[shard].fetch_add(1, Ordering::Relaxed);
        ShardIndex(shard as u16)
    }

    /// A shard says how many it has.
    pub(crate) fn set(&self, shard: ShardIndex, clients: usize) {
        self.clients[usize::from(shard.0)].store(clients, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(shards: u16) -> Loads {
        Loads::new(shards, Arc::new(Vitals::new(shards, None)))
    }

    fn dealt(loads: &Loads, clients: usize) -> Vec<u16> {
        (0..clients).map(|_| loads.deal().0).collect()
    }

    #[test]
    fn equals_get_their_turn() {
        let loads = loads(3);
        let mut first = dealt(&loads, 3);
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
    }

    #[test]
    fn the_shard_with_the_fewest_gets_all_until_it_has_as_many() {
        let loads = loads(2);
        loads.set(ShardIndex(0), 10);
        loads.set(ShardIndex(1), 4);
        assert_eq!(dealt(&loads, 6), [1; 6]);
        let mut next = dealt(&loads, 2);
        next.sort_unstable();
        assert_eq!(next, [0, 1]);
    }

    #[test]
    fn what_a_shard_says_replaces_what_was_dealt_to_it() {
        let loads = loads(2);
        dealt(&loads, 10);
        loads.set(ShardIndex(1), 0);
        assert_eq!(dealt(&loads, 5), [1; 5]);
    }

    #[test]
    fn a_shard_that_stands_still_gets_nobody_unless_all_do() {
        let loads = loads(2);
        loads.set(ShardIndex(0), 10);
        loads.vitals.shard(1).set_silent(true);
        assert_eq!(dealt(&loads, 5), [0; 5]);
        assert_eq!(loads.deal_near(ShardIndex(1)), ShardIndex(0));
        loads.vitals.shard(0).set_silent(true);
        assert_eq!(dealt(&loads, 5), [1; 5]);
    }

    #[test]
    fn a_client_stays_where_it_is_unless_another_shard_has_fewer() {
        let loads = loads(2);
        assert_eq!(loads.deal_near(ShardIndex(1)), ShardIndex(1));
        assert_eq!(loads.deal_near(ShardIndex(1)), ShardIndex(0));
        assert_eq!(loads.deal_near(ShardIndex(1)), ShardIndex(1));
    }
}
