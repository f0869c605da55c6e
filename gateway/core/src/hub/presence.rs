//! What all shards of a gateway know together: which hubs there are, of each hub the shards of its users, its hub servers,
//! and how many clients it has, and which groups users are in. Everything else passes between shards as orders.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hash::{HashSeed, SeededMap};
use crate::id::{HubName, PluginName, ShardAddress, UserId};
use crate::rate::HeardOfHub;
use crate::time::Millis;

use super::memberships::Memberships;
use super::pace::Pace;
use super::routing::HubServers;

/// Hubs that the configuration does not name and that have labels of their own in the metrics, in number: names come from
/// outside, and each is some twenty series.
const MAX_LABELS: usize = 1_000;
/// A hub that nobody uses is remembered for so long, so that one client that comes and goes keeps its counters.
const IDLE_TIME: Millis = Millis(60_000);
/// But no more of them than this; the oldest goes.
const MAX_IDLE: usize = 1_000;

/// The presence of all hubs, for all shards of a gateway.
#[derive(Debug)]
pub struct Presence {
    hubs: Mutex<Hubs>,
    pub(crate) memberships: Memberships,
    /// How many hubs were forgotten so far, so that shards know when to look for hubs of theirs among them.
    forgotten: AtomicU64,
    /// At what pace clients leave when the gateway stops.
    pub(crate) pace: Pace,
}

#[derive(Debug)]
struct Hubs {
    by_name: BTreeMap<HubName, Arc<HubPresence>>,
    /// Hubs that nobody uses, by the time since when.
    idle: BTreeSet<(Millis, HubName)>,
    /// Those that the configuration does not name and that have labels of their own, in number.
    labelled: usize,
    /// When a shard last looked at its deadlines.
    now: Millis,
    seed: HashSeed,
}

impl Presence {
    pub fn new(seed: HashSeed) -> Presence {
        let hubs = Hubs { by_name: BTreeMap::new(), idle: BTreeSet::new(), labelled: 0, now: Millis::default(), seed };
        Presence {
            hubs: Mutex::new(hubs),
            memberships: Memberships::default(),
            forgotten: AtomicU64::default(),
            pace: Pace::default(),
        }
    }

    /// That of one hub; it begins when it is first asked for.
    pub(crate) fn hub(&self, name: &HubName, is_configured: bool) -> Arc<HubPresence> {
        self.hubs().hub(name, is_configured)
    }

    /// How many clients a hub has, on all shards.
    pub fn clients_of(&self, name: &HubName) -> usize {
        self.hubs().by_name.get(name).map_or(0, |hub| hub.clients())
    }

    /// A shard begins to use a hub; gives its presence, which is another one if the hub was forgotten meanwhile.
    pub(crate) fn occupy(&self, name: &HubName, is_configured: bool) -> Arc<HubPresence> {
        let mut hubs = self.hubs();
        let hub = hubs.hub(name, is_configured);
        if hub.shards.fetch_add(1, Ordering::Relaxed) == 0 {
            hubs.idle.remove(&(hub.idle_since(), name.clone()));
        }
        hub
    }

    /// A shard uses a hub no longer.
    pub(crate) fn vacate(&self, name: &HubName, hub: &HubPresence) {
        let mut hubs = self.hubs();
        if hub.shards.fetch_sub(1, Ordering::Relaxed) == 1 {
            hubs.note_if_idle(name);
        }
    }

    /// Forgets hubs that nobody has used for a while: that have no clients, no servers, no memberships, and are not named by
    /// the configuration. Removes memberships that have ended.
    pub(crate) fn tick(&self, now: Millis, is_configured: impl Fn(&HubName) -> bool) {
        let emptied = self.memberships.sweep(now);
        let mut hubs = self.hubs();
        hubs.now = now;
        emptied.iter().for_each(|name| hubs.note_if_idle(name));
        while let Some((since, name)) = hubs.idle.first().cloned()
            && (since + IDLE_TIME <= now || hubs.idle.len() > MAX_IDLE)
        {
            hubs.idle.remove(&(since, name.clone()));
            // Whoever takes the last membership away, or its name out of the configuration, notes it once more.
            if is_configured(&name) || self.memberships.of_hub(&name) > 0 {
                continue;
            }
            if let Some(hub) = hubs.by_name.remove(&name) {
                hub.is_forgotten.store(true, Ordering::Relaxed);
                hubs.labelled -= usize::from(hub.has_own_label);
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The configuration may name other hubs than before.
    pub(crate) fn reconfigured(&self) {
        let mut hubs = self.hubs();
        let names: Vec<HubName> = hubs.by_name.keys().cloned().collect();
        names.iter().for_each(|name| hubs.note_if_idle(name));
    }

    /// How many hubs were forgotten so far.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// How many memberships of users each plugin has made, in all hubs. One with long names counts as several.
    pub fn plugin_memberships(&self) -> Vec<(PluginName, usize)> {
        self.memberships.of_plugins()
    }

    fn hubs(&self) -> MutexGuard<'_, Hubs> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hubs {
    fn hub(&mut self, name: &HubName, is_configured: bool) -> Arc<HubPresence> {
        if let Some(hub) = self.by_name.get(name) {
            return hub.clone();
        }
        let has_own_label = !is_configured && self.labelled < MAX_LABELS;
        self.labelled += usize::from(has_own_label);
        let hub = Arc::new(HubPresence::new(has_own_label, &self.seed));
        self.by_name.insert(name.clone(), hub.clone());
        self.note_if_idle(name);
        hub
    }

    /// A hub that nobody uses is forgotten after a while, unless somebody does until then.
    fn note_if_idle(&mut self, name: &HubName) {
        let Some(hub) = self.by_name.get(name).filter(|hub| hub.shards.load(Ordering::Relaxed) == 0) else {
            return;
        };
        self.idle.remove(&(hub.idle_since(), name.clone()));
        hub.idle_since.store(self.now.0, Ordering::Relaxed);
        self.idle.insert((self.now, name.clone()));
    }
}

/// What all shards know of one hub.
#[derive(Debug)]
pub(crate) struct HubPresence {
    /// Shards that use the hub, in number. Changes under the lock of [`Presence`].
    shards: AtomicUsize,
    /// When it was last noted that nobody uses it, in [`Millis`].
    idle_since: AtomicU64,
    /// A shard that meets the name again begins anew.
    is_forgotten: AtomicBool,
    /// It counts against [`MAX_LABELS`].
    has_own_label: bool,
    clients: AtomicUsize,
    pub(crate) users: Users,
    pub(crate) servers: HubServers,
    /// For the rate at which its clients are read.
    pub(crate) heard: HeardOfHub,
}

impl HubPresence {
    fn new(has_own_label: bool, seed: &HashSeed) -> HubPresence {
        HubPresence {
            shards: AtomicUsize::default(),
            idle_since: AtomicU64::default(),
            is_forgotten: AtomicBool::default(),
            has_own_label,
            clients: AtomicUsize::default(),
            users: Users::new(seed),
            servers: HubServers::default(),
            heard: HeardOfHub::default(),
        }
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Ordering::Relaxed)
    }

    /// Whether the metrics count it under its own name although the configuration does not name it.
    pub(crate) fn has_own_label(&self) -> bool {
        self.has_own_label
    }

    fn idle_since(&self) -> Millis {
        Millis(self.idle_since.load(Ordering::Relaxed))
    }

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
    hasher: HashSeed,
}

type Part = SeededMap<UserId, Vec<ShardAddress>>;

impl Users {
    fn new(seed: &HashSeed) -> Users {
        let part = |_| Mutex::new(SeededMap::with_hasher(seed.clone()));
        Users { parts: std::array::from_fn(part), hasher: seed.clone() }
    }

    pub(crate) fn entered(&self, user: &UserId, shard: ShardAddress) {
        self.part(user).entry(user.clone()).or_default().push(shard);
    }

    pub(crate) fn left(&self, user: &UserId, shard: ShardAddress) {
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

    fn part(&self, user: &UserId) -> MutexGuard<'_, Part> {
        let index = self.hasher.hash_one(user) as usize % PARTS;
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardIndex;

    fn at(shard: u16) -> ShardAddress {
        ShardIndex(shard).into()
    }

    #[test]
    fn a_user_is_where_its_connections_are() {
        let presence = Presence::new(HashSeed::fixed());
        let hub = |name| presence.hub(&HubName::parse(name).expect("a name"), false);
        let (ann, bob) = (UserId::new("ann"), UserId::new("bob"));
        hub("chat").users.entered(&ann, at(0));
        hub("chat").users.entered(&ann, at(2));
        assert_eq!(hub("chat").users.shards_of(&ann), [at(0), at(2)]);
        assert!(hub("chat").users.shards_of(&bob).is_empty() && hub("other").users.shards_of(&ann).is_empty());
        hub("chat").users.left(&ann, at(0));
        hub("chat").users.left(&bob, at(2));
        assert_eq!(hub("chat").users.shards_of(&ann), [at(2)]);
        hub("chat").users.left(&ann, at(2));
        assert!(hub("chat").users.parts.iter().all(|part| part.lock().expect("not poisoned").is_empty()));
    }
}
