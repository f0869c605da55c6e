//! Whose calls a plugin has: users, clients without one, and whatever else has messages that filters look at.

use std::hash::{BuildHasher, Hash};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hubgate_core::event::ConnectionFacts;
use hubgate_core::filter::{Origin, Subject};
use hubgate_core::id::HubName;

/// Its keys are unknown outside, so that nobody chooses names that look like another's.
static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(foldhash::fast::RandomState::default);

/// Whoever calls, whatever its number of connections if it is a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peer(u64);

impl Peer {
    pub(crate) fn of_client(client: &ConnectionFacts) -> Peer {
        match &client.user_id {
            Some(user) => Peer::named(&(client.hub.as_str(), user.as_str())),
            None => Peer::named(&client.id),
        }
    }

    /// What no client has caused.
    pub(crate) fn of_hub(hub: &HubName) -> Peer {
        Peer::named(&(hub.as_str(), 5))
    }

    /// Whoever wants to become a client.
    pub(crate) fn of_address(hub: &HubName, address: &str) -> Peer {
        Peer::named(&(hub.as_str(), 6, address))
    }

    pub(crate) fn of_subject(subject: &Subject) -> Peer {
        match subject {
            Subject::Client(client) => Peer::of_client(client),
            Subject::Delivery { hub, origin, .. } => match origin {
                Origin::HubServer(server) => Peer::named(&(hub.as_str(), 0, server.as_str())),
                Origin::Plugin(plugin) => Peer::named(&(hub.as_str(), 1, plugin.as_str())),
                Origin::Webhook => Peer::named(&(hub.as_str(), 2)),
                Origin::Rest => Peer::named(&(hub.as_str(), 3)),
                Origin::Management => Peer::named(&(hub.as_str(), 4)),
            },
        }
    }

    fn named(name: &impl Hash) -> Peer {
        Peer(HASHER.hash_one(name))
    }

    #[cfg(test)]
    pub(crate) const fn numbered(number: u64) -> Peer {
        Peer(number)
    }
}

/// About how many peers there are in a set, whatever their number in half a kilobyte.
#[derive(Debug)]
pub(crate) struct PeerSet([AtomicU64; WORDS]);

const WORDS: usize = 64;
const BITS: usize = WORDS * u64::BITS as usize;

impl Default for PeerSet {
    fn default() -> PeerSet {
        PeerSet(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl PeerSet {
    /// One thread adds, so a load and a store lose nothing.
    pub(crate) fn add(&self, peer: Peer) {
        let bit = peer.0 as usize % BITS;
        let word = &self.0[bit / u64::BITS as usize];
        word.store(word.load(Ordering::Relaxed) | 1 << (bit % u64::BITS as usize), Ordering::Relaxed);
    }

    pub(crate) fn add_all(&self, other: &PeerSet) {
        for (word, more) in self.0.iter().zip(&other.0) {
            word.store(word.load(Ordering::Relaxed) | more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Exact as long as there are few. Peers that share a bit are made up for by how full the set is.
    pub(crate) fn count(&self) -> u64 {
        let ones: u32 = self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum();
        let empty = (BITS as f64 - f64::from(ones)).max(0.5) / BITS as f64;
        (-empty.ln() * BITS as f64).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_counted_once_each_exactly_while_they_are_few() {
        let (set, others) = (PeerSet::default(), PeerSet::default());
        for number in [1, 2, 2, 3, 1] {
            set.add(Peer::numbered(number));
            others.add(Peer::numbered(number + 2));
        }
        assert_eq!((set.count(), others.count()), (3, 3));
        set.add_all(&others);
        assert_eq!(set.count(), 5);
        set.clear();
        assert_eq!(set.count(), 0);
    }

    #[test]
    fn many_peers_are_counted_about() {
        // Its keys are the same each time, unlike those of `HASHER`.
        let hasher = foldhash::quality::FixedState::default();
        let set = PeerSet::default();
        for number in 0..10_000_u64 {
            set.add(Peer::numbered(hasher.hash_one(number)));
        }
        assert!((9_000..11_000).contains(&set.count()), "{}", set.count());
    }
}
