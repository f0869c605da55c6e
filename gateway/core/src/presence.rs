//! What all shards of a gateway know together: of each hub the shards of its users, its hub servers, and how many clients it
//! has. Everything else passes between shards as orders.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::{HubName, ShardIndex, UserId};
use crate::routing::HubServers;

/// The presence of all hubs, for all shards of a gateway.
#[derive(Debug, Default)]
pub struct Presence(Mutex<HashMap<HubName, Arc<HubPresence>>>);

impl Presence {
    /// That of one hub; it begins when it is first asked for.
    pub(crate) fn hub(&self, name: &HubName) -> Arc<HubPresence> {
        let mut hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.entry(name.clone()).or_default().clone()
    }
}

#[derive(Debug, Default)]
pub(crate) struct HubPresence {
    clients: AtomicUsize,
    pub(crate) users: Users,
    pub(crate) servers: HubServers,
}

impl HubPresence {
    /// Clients that others see, on all shards.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    pub(crate) fn client_entered(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn client_left(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many parts there are, each with a lock of its own: shards seldom meet in one.
const PARTS: usize = 16;

/// The shards that have connections of a user, so that what is for a user wakes no other. It changes with the first and the
/// last connection of a user on a shard: before the first is told that it is connected, and after the last is out of all
/// indexes.
#[derive(Debug)]
pub(crate) struct Users {
    parts: [Mutex<Part>; PARTS],
    hasher: foldhash::fast::RandomState,
}

type Part = HashMap<UserId, Vec<ShardIndex>, foldhash::fast::RandomState>;

impl Default for Users {
    fn default() -> Users {
        Users { parts: std::array::from_fn(|_| Mutex::default()), hasher: Default::default() }
    }
}

impl Users {
    pub(crate) fn entered(&self, user: &UserId, shard: ShardIndex) {
        self.part(user).entry(user.clone()).or_default().push(shard);
    }

    pub(crate) fn left(&self, user: &UserId, shard: ShardIndex) {
        let mut part = self.part(user);
        if let Some(shards) = part.get_mut(user) {
            shards.retain(|each| *each != shard);
            if shards.is_empty() {
                part.remove(user);
            }
        }
    }

    /// In no order.
    pub(crate) fn shards_of(&self, user: &UserId) -> Vec<ShardIndex> {
        self.part(user).get(user).cloned().unwrap_or_default()
    }

    fn part(&self, user: &UserId) -> MutexGuard<'_, Part> {
        let index = self.hasher.hash_one(user) as usize % PARTS;
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_where_its_connections_are() {
        let presence = Presence::default();
        let hub = |name| presence.hub(&HubName::parse(name).expect("a name"));
        let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
        hub("chat").users.entered(&ann, ShardIndex(0));
        hub("chat").users.entered(&ann, ShardIndex(2));
        assert_eq!(hub("chat").users.shards_of(&ann), [ShardIndex(0), ShardIndex(2)]);
        assert!(hub("chat").users.shards_of(&bob).is_empty() && hub("other").users.shards_of(&ann).is_empty());
        hub("chat").users.left(&ann, ShardIndex(0));
        hub("chat").users.left(&bob, ShardIndex(2));
        assert_eq!(hub("chat").users.shards_of(&ann), [ShardIndex(2)]);
        hub("chat").users.left(&ann, ShardIndex(2));
        assert!(hub("chat").users.parts.iter().all(|part| part.lock().expect("not poisoned").is_empty()));
    }
}
