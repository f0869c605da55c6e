//! Where the users of a hub are.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::directory_change::DirectoryChange;
use crate::hash::{HashSeed, SeededMap};
use crate::id::{ShardAddress, UserId};

/// How many parts there are, each with a lock of its own: shards seldom meet in one.
const PARTS: usize = 16;

/// The shards that have connections of a user, so that what is for a user, or asked about one, wakes no other. It changes with the first and the
/// last connection of a user on a shard: before the first is told that it is connected, and after the last is out of all
/// indexes.
#[derive(Debug)]
pub(crate) struct Users {
    parts: [Mutex<Part>; PARTS],
    hasher: HashSeed,
}

type Part = SeededMap<UserId, Vec<ShardAddress>>;

impl Users {
    pub(super) fn new(seed: &HashSeed) -> Users {
        let part = |_| Mutex::new(SeededMap::with_hasher(seed.clone()));
        Users { parts: std::array::from_fn(part), hasher: seed.clone() }
    }

    pub(super) fn entered(&self, user: UserId, shard: ShardAddress) {
        self.part(&user).entry(user).or_default().push(shard);
    }

    pub(super) fn left(&self, user: &UserId, shard: ShardAddress) {
        let mut part = self.part(user);
        if let Some(shards) = part.get_mut(user) {
            shards.retain(|each| *each != shard);
            if shards.is_empty() {
                part.remove(user);
            }
        }
    }

    /// In no order.
    pub(crate) fn shards_of(&self, user: &UserId) -> Vec<ShardAddress> {
        self.part(user).get(user).cloned().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts().all(|part| part.is_empty())
    }

    /// The changes that lead from nobody to these users.
    pub(super) fn snapshot(&self) -> Vec<DirectoryChange> {
        let mut changes = Vec::new();
        for part in self.parts() {
            for (user, shards) in part.iter() {
                let entered = |shard: &ShardAddress| DirectoryChange::UserEntered { user: user.clone(), shard: *shard };
                changes.extend(shards.iter().map(entered));
            }
        }
        changes
    }

    fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Part>> {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn part(&self, user: &UserId) -> MutexGuard<'_, Part> {
        let index = self.hasher.hash_one(user) as usize % PARTS;
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    #[test]
    fn a_user_is_where_its_connections_are() {
        let users = Users::new(&HashSeed::fixed());
        let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
        let [first, second] = [0, 2].map(|shard| ShardIndex(shard).into());
        users.entered(ann.clone(), first);
        users.entered(ann.clone(), second);
        assert_eq!(users.shards_of(&ann), [first, second]);
        assert!(users.shards_of(&bob).is_empty());
        users.left(&ann, first);
        users.left(&bob, second);
        assert_eq!(users.shards_of(&ann), [second]);
        assert!(!users.is_empty());
        users.left(&ann, second);
        assert!(users.is_empty());
    }
}
