//! Which shards have connections of a user, so that what is for a user wakes no other.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::{HubName, ShardIndex, UserId};

/// How many parts there are, each with a lock of its own: shards seldom meet in one.
const PARTS: usize = 64;

/// The shards of all users, for all shards of a gateway. It changes with the first and the last connection of a user on a
/// shard: before the first is told that it is connected, and after the last is out of all indexes.
#[derive(Debug)]
pub struct Presence {
    parts: [Mutex<Part>; PARTS],
    hasher: foldhash::fast::RandomState,
}

type Part = HashMap<(HubName, UserId), Vec<ShardIndex>, foldhash::fast::RandomState>;

impl Default for Presence {
    fn default() -> Presence {
        Presence { parts: std::array::from_fn(|_| Mutex::default()), hasher: Default::default() }
    }
}

impl Presence {
    pub(crate) fn entered(&self, hub: &HubName, user: &UserId, shard: ShardIndex) {
        let key = (hub.clone(), user.clone());
        self.part(&key).entry(key).or_default().push(shard);
    }

    pub(crate) fn left(&self, hub: &HubName, user: &UserId, shard: ShardIndex) {
        let key = (hub.clone(), user.clone());
        let mut part = self.part(&key);
        if let Some(shards) = part.get_mut(&key) {
            shards.retain(|each| *each != shard);
            if shards.is_empty() {
                part.remove(&key);
            }
        }
    }

    /// In no order.
    pub(crate) fn shards_of(&self, hub: &HubName, user: &UserId) -> Vec<ShardIndex> {
        let key = (hub.clone(), user.clone());
        self.part(&key).get(&key).cloned().unwrap_or_default()
    }

    fn part(&self, key: &(HubName, UserId)) -> MutexGuard<'_, Part> {
        let index = self.hasher.hash_one(key) as usize % PARTS;
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_where_its_connections_are() {
        let presence = Presence::default();
        let (hub, other) = (HubName::parse("chat").expect("a name"), HubName::parse("other").expect("a name"));
        let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
        presence.entered(&hub, &ann, ShardIndex(0));
        presence.entered(&hub, &ann, ShardIndex(2));
        assert_eq!(presence.shards_of(&hub, &ann), [ShardIndex(0), ShardIndex(2)]);
        assert!(presence.shards_of(&hub, &bob).is_empty() && presence.shards_of(&other, &ann).is_empty());
        presence.left(&hub, &ann, ShardIndex(0));
        presence.left(&hub, &bob, ShardIndex(2));
        assert_eq!(presence.shards_of(&hub, &ann), [ShardIndex(2)]);
        presence.left(&hub, &ann, ShardIndex(2));
        assert!(presence.parts.iter().all(|part| part.lock().expect("not poisoned").is_empty()));
    }
}
