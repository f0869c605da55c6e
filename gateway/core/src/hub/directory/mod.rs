//! What all shards of a gateway know together: which hubs there are, of each hub the shards of its users, its hub servers, on
//! whatever node, how many clients it has, which nodes have any, which groups plugins watch, which groups users are in, and where connections
//! live that have moved. Everything else passes between shards as orders.
//!
//! It is one value for all shards, since a client that connects must find at once what has come to any of them. Its changes are data
//! ([`DirectoryChange`]), so that those of another gateway are applied as those of a shard are.

mod hub;
mod open_streams;
mod users;
mod uses;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hash::HashSeed;
use crate::id::{GroupName, HubName, NodeId, PluginName};
use crate::time::Millis;

use super::memberships::Memberships;
use super::pace::Pace;
use crate::directory_change::DirectoryChange;
use crate::moved_connections::{MovedConnection, MovedConnections};
pub(crate) use hub::HubDirectory;
use open_streams::OpenStreams;
use watches::WatchCounts;
pub(crate) use watches::{TooManyGroups, WatchNumber};

/// Hubs that the configuration does not name and that have labels of their own in the metrics, in number: names come from
/// outside, and each is some twenty series.
const MAX_LABELS: usize = 1_000;
/// A hub that nobody uses is remembered for so long, so that one client that comes and goes keeps its counters.
const IDLE_TIME: Millis = Millis(60_000);
/// But no more of them than this; the oldest goes.
const MAX_IDLE: usize = 1_000;

/// What all shards of a gateway know of all hubs.
#[derive(Debug)]
pub struct Directory {
    hubs: Mutex<Hubs>,
    pub(crate) memberships: Memberships,
    pub(crate) moved: MovedConnections,
    watch_counts: Arc<WatchCounts>,
    /// How many hubs were forgotten so far, so that shards know when to look for hubs of theirs among them.
    forgotten: AtomicU64,
    /// At what pace clients leave when the gateway stops.
    pub(crate) pace: Pace,
    pub(crate) streams: OpenStreams,
}

#[derive(Debug)]
struct Hubs {
    by_name: BTreeMap<HubName, Arc<HubDirectory>>,
    /// Hubs that nobody uses, by the time since when.
    idle: BTreeSet<(Millis, HubName)>,
    /// Those that the configuration does not name and that have labels of their own, in number.
    labelled: usize,
    /// When a shard last looked at its deadlines.
    now: Millis,
    watch_counts: Arc<WatchCounts>,
    seed: HashSeed,
}

impl Directory {
    pub fn new(seed: HashSeed) -> Directory {
        let watch_counts = Arc::<WatchCounts>::default();
        let hubs = Hubs {
            by_name: BTreeMap::new(),
            idle: BTreeSet::new(),
            labelled: 0,
            now: Millis::default(),
            watch_counts: watch_counts.clone(),
            seed,
        };
        Directory {
            hubs: Mutex::new(hubs),
            memberships: Memberships::default(),
            moved: MovedConnections::default(),
            watch_counts,
            forgotten: AtomicU64::default(),
            pace: Pace::default(),
            streams: OpenStreams::default(),
        }
    }

    /// What is known of one hub; it begins when it is first asked for.
    pub(crate) fn hub(&self, name: &HubName, is_configured: bool) -> Arc<HubDirectory> {
        self.hubs().hub(name, is_configured)
    }

    /// What is known of one hub, if anything is.
    pub(crate) fn find(&self, name: &HubName) -> Option<Arc<HubDirectory>> {
        self.hubs().by_name.get(name).cloned()
    }

    /// Whether all hub servers of a hub have allowed stateful reconnect, on all shards; none if none is there.
    pub(crate) fn servers_allow_stateful_reconnect(&self, name: &HubName) -> Option<bool> {
        self.find(name)?.servers().allow_stateful_reconnect()
    }

    /// Whether a hub server is there to which clients can be routed.
    pub(crate) fn has_servers(&self, name: &HubName) -> bool {
        self.find(name).is_some_and(|hub| hub.servers().is_any_there())
    }

    /// How many clients a hub has, on all shards.
    pub fn clients_of(&self, name: &HubName) -> usize {
        self.find(name).map_or(0, |hub| hub.clients())
    }

    /// A shard begins to use a hub; gives what is known of it, which begins anew if the hub was forgotten meanwhile.
    pub(crate) fn occupy(&self, name: &HubName, is_configured: bool) -> Arc<HubDirectory> {
        let mut hubs = self.hubs();
        let hub = hubs.hub(name, is_configured);
        if hub.occupy() {
            hubs.idle.remove(&(hub.idle_since(), name.clone()));
        }
        hub
    }

    /// A shard uses a hub no longer.
    pub(crate) fn vacate(&self, name: &HubName, hub: &HubDirectory) {
        let mut hubs = self.hubs();
        if hub.vacate() {
            hubs.note_if_idle(name);
        }
    }

    /// Changes what is known of a hub, for whoever is no shard that uses it.
    pub fn apply(&self, name: &HubName, is_configured: bool, change: DirectoryChange) {
        let change = match change {
            DirectoryChange::MembershipBegins { user, group, ends, plugin, stamp } => {
                return self.memberships.begin_elsewhere(name, &user, &group, (ends, plugin.as_ref()), stamp);
            }
            DirectoryChange::MembershipEnds { user, group, stamp } => {
                return self.memberships.end_elsewhere(name, &user, group.as_ref(), stamp);
            }
            DirectoryChange::ConnectionMoved { id, token, to: lives_at } => {
                let moved = MovedConnection { hub: name.clone(), id, token, lives_at };
                return self.moved.announced_elsewhere(moved);
            }
            DirectoryChange::ConnectionOver { id, at } => return self.moved.end_elsewhere(id, at),
            change => change,
        };
        let mut hubs = self.hubs();
        hubs.hub(name, is_configured).apply(change);
        hubs.note_if_idle(name);
    }

    /// A plugin is told from now on who joins and leaves a group, unless it watches `most` groups of all hubs already.
    pub(crate) fn watch(
        &self,
        (name, is_configured): (&HubName, bool),
        (plugin, group): (PluginName, GroupName),
        most: usize,
    ) -> Result<(), TooManyGroups> {
        // No hub is forgotten meanwhile.
        let mut hubs = self.hubs();
        let watched = hubs.hub(name, is_configured).watches().begin(plugin, group, most);
        hubs.note_if_idle(name);
        watched
    }

    /// It is not told any longer.
    pub(crate) fn unwatch(&self, name: &HubName, plugin: &PluginName, group: &GroupName) {
        let mut hubs = self.hubs();
        if let Some(hub) = hubs.by_name.get(name) {
            hub.watches().end(plugin, group);
            hubs.note_if_idle(name);
        }
    }

    /// Plugins watch groups of these hubs alone from now on.
    pub(crate) fn keep_watches(&self, is_kept: impl Fn(&HubName, &PluginName) -> bool) {
        let hubs = self.hubs();
        for (name, hub) in &hubs.by_name {
            hub.watches().retain(|plugin, _| is_kept(name, plugin));
        }
    }

    /// How many groups each plugin watches, in all hubs.
    pub fn watched_groups(&self) -> Vec<(PluginName, usize)> {
        self.watch_counts.by_plugin()
    }

    /// Nothing is known of a node any longer: it is gone, or tells everything anew.
    pub fn node_lost(&self, node: NodeId) {
        self.moved.node_lost(node);
        let mut hubs = self.hubs();
        let names: Vec<HubName> = hubs.by_name.keys().cloned().collect();
        for name in names {
            if let Some(hub) = hubs.by_name.get(&name) {
                hub.node_lost(node);
                hubs.note_if_idle(&name);
            }
        }
    }

    /// The changes that lead from an empty directory to one that knows of all hubs what this one does.
    pub fn snapshot(&self) -> Vec<(HubName, DirectoryChange)> {
        self.snapshot_with(HubDirectory::snapshot)
    }

    /// The same of what one node, as a rule this one, tells the others: which hubs have clients there, its hub servers, where its clients
    /// are routed to, the watches that it knows, and the connections that live there and that it has told of. Which groups users are in is
    /// [another one](Directory::memberships_snapshot).
    pub fn snapshot_of(&self, node: NodeId) -> Vec<(HubName, DirectoryChange)> {
        let mut changes = self.snapshot_with(|hub| hub.snapshot_of(node));
        let moved = self.moved.announced(|at| at.node == node);
        changes.extend(moved.into_iter().map(|moved| (moved.hub.clone(), moved.change())));
        changes
    }

    /// The changes that lead from no memberships of users to those that this node knows, and from others to the same.
    pub fn memberships_snapshot(&self) -> Vec<(HubName, DirectoryChange)> {
        self.memberships.snapshot()
    }

    fn snapshot_with(
        &self,
        snapshot: impl Fn(&HubDirectory) -> Vec<DirectoryChange>,
    ) -> Vec<(HubName, DirectoryChange)> {
        let hubs = self.hubs();
        let changes =
            hubs.by_name.iter().map(|(name, hub)| snapshot(hub).into_iter().map(|change| (name.clone(), change)));
        changes.flatten().collect()
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
            // Whoever takes away the last that is known of it, or its name out of the configuration, notes it once more.
            let is_known = hubs.by_name.get(&name).is_some_and(|hub| !hub.is_empty());
            if is_known || is_configured(&name) || self.memberships.of_hub(&name) > 0 {
                continue;
            }
            if let Some(hub) = hubs.by_name.remove(&name) {
                hub.set_forgotten();
                hubs.labelled -= usize::from(hub.has_own_label());
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
    fn hub(&mut self, name: &HubName, is_configured: bool) -> Arc<HubDirectory> {
        if let Some(hub) = self.by_name.get(name) {
            return hub.clone();
        }
        let has_own_label = !is_configured && self.labelled < MAX_LABELS;
        self.labelled += usize::from(has_own_label);
        let hub = Arc::new(HubDirectory::new(has_own_label, self.watch_counts.clone(), &self.seed));
        self.by_name.insert(name.clone(), hub.clone());
        self.note_if_idle(name);
        hub
    }

    /// A hub that nobody uses is forgotten after a while, unless somebody does until then.
    fn note_if_idle(&mut self, name: &HubName) {
        let Some(hub) = self.by_name.get(name).filter(|hub| !hub.is_occupied()) else {
            return;
        };
        self.idle.remove(&(hub.idle_since(), name.clone()));
        hub.set_idle_since(self.now);
        self.idle.insert((self.now, name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::{Reconnect, WhenLost};
    use crate::hub::routing::{NoRoute, ServerAffinity};
    use crate::id::{ServerConnectionId, ServerId, ShardAddress, ShardIndex, UserId};

    fn hub(name: &str) -> HubName {
        HubName::parse(name).expect("a name")
    }

    fn at(node: u32, shard: u16) -> ShardAddress {
        ShardAddress { node: NodeId(node), shard: ShardIndex(shard) }
    }

    fn id(node: u32, shard: u16, number: u32) -> ServerConnectionId {
        ServerConnectionId { owner: at(node, shard), number }
    }

    fn connected(id: ServerConnectionId, server: &str) -> DirectoryChange {
        let (server, when_lost) = (ServerId::new(server), WhenLost::DropsClients);
        DirectoryChange::ServerConnected { id, server, reconnect: Reconnect::Stateful, when_lost }
    }

    fn told(changes: impl IntoIterator<Item = (HubName, DirectoryChange)>) -> Directory {
        let directory = Directory::new(HashSeed::fixed());
        changes.into_iter().for_each(|(hub, change)| directory.apply(&hub, false, change));
        directory
    }

    /// What two gateways have told of the hub `chat`.
    fn chat() -> Directory {
        let ann = UserId::new("ann");
        let changes = [
            connected(id(1, 0, 0), "a"),
            connected(id(2, 1, 0), "b"),
            DirectoryChange::ServerDrains(id(1, 0, 0)),
            connected(id(1, 1, 7), "a"),
            DirectoryChange::ClientsRouted { to: id(1, 1, 7), by: at(1, 0), clients: 5 },
            DirectoryChange::ClientsRouted { to: id(1, 1, 7), by: at(1, 0), clients: 2 },
            DirectoryChange::ClientsRouted { to: id(1, 1, 7), by: at(2, 0), clients: 1 },
            DirectoryChange::ClientsRouted { to: id(2, 1, 0), by: at(1, 0), clients: 2 },
            DirectoryChange::ServerCongested { id: id(2, 1, 0), is_congested: true },
            DirectoryChange::SenderConnected { id: id(2, 0, 3), server: ServerId::new("weak") },
            DirectoryChange::ClientsEntered(4),
            DirectoryChange::ClientsLeft(1),
            DirectoryChange::UserEntered { user: ann.clone(), shard: at(1, 0) },
            DirectoryChange::UserEntered { user: ann.clone(), shard: at(2, 1) },
            DirectoryChange::UserEntered { user: ann.clone(), shard: at(2, 0) },
            DirectoryChange::UserLeft { user: ann, shard: at(2, 0) },
            DirectoryChange::HubUsed(at(1, 0)),
            DirectoryChange::HubUsed(at(2, 1)),
        ];
        told(changes.map(|change| (hub("chat"), change)))
    }

    #[test]
    fn what_is_told_of_a_hub_is_known_on_all_shards_and_to_those_that_are_given_the_snapshot() {
        let original = chat();
        let latecomer = told(original.snapshot());
        for directory in [original, latecomer] {
            let chat = directory.hub(&hub("chat"), false);
            assert_eq!((chat.clients(), directory.clients_of(&hub("other"))), (3, 0));
            let mut shards = chat.users().shards_of(&UserId::new("ann"));
            shards.sort();
            assert_eq!(shards, [at(1, 0), at(2, 1)]);
            let servers = chat.servers();
            assert_eq!(servers.names(), ["a", "b"].map(ServerId::new));
            assert_eq!((servers.clients_of(id(1, 1, 7)), servers.clients_of(id(2, 1, 0))), (3, 2));
            assert_eq!(chat.uses().nodes(), [NodeId(1), NodeId(2)]);
            assert_eq!(servers.connection_of(id(9, 9, 9), &ServerId::new("weak")), Some(id(2, 0, 3)));
            let route = servers.route(at(0, 0), ServerAffinity::Any).expect("a server");
            assert_eq!((route.connection, route.is_congested), (id(1, 1, 7), false), "the other one is congested");
            let route = servers.route(at(0, 0), ServerAffinity::Required("b")).expect("a server");
            assert_eq!((route.connection, route.is_congested), (id(2, 1, 0), true));
            for left in [id(1, 1, 7), id(2, 1, 0)] {
                chat.apply(DirectoryChange::ServerLeft(left));
            }
            assert_eq!(servers.route(at(0, 0), ServerAffinity::Any), Err(NoRoute::NoServer), "one of 'a' drains");
        }
    }

    #[test]
    fn the_snapshot_of_a_node_is_what_it_has_announced_itself_however_often_that_is_applied() {
        let original = chat();
        let expected = [
            DirectoryChange::HubUsed(at(1, 0)),
            connected(id(1, 0, 0), "a"),
            DirectoryChange::ServerDrains(id(1, 0, 0)),
            connected(id(1, 1, 7), "a"),
            DirectoryChange::ClientsRouted { to: id(1, 1, 7), by: at(1, 0), clients: 2 },
            DirectoryChange::ClientsRouted { to: id(2, 1, 0), by: at(1, 0), clients: 2 },
        ];
        let of_first = original.snapshot_of(NodeId(1));
        assert_eq!(of_first, expected.map(|change| (hub("chat"), change)));
        let twice = told([of_first.clone(), of_first.clone()].concat());
        assert_eq!((twice.snapshot(), twice.snapshot_of(NodeId(2))), (of_first, Vec::new()));
    }

    #[test]
    fn a_hub_of_which_only_a_lost_node_told_is_forgotten() {
        let [first, second] = [NodeId(1), NodeId(2)];
        let directory = told([chat().snapshot_of(first), chat().snapshot_of(second)].concat());
        directory.node_lost(first);
        let of_second = directory.snapshot_of(second);
        assert!(!of_second.is_empty() && directory.snapshot_of(first).is_empty());
        assert_eq!(directory.snapshot(), of_second);
        directory.tick(IDLE_TIME, |_| false);
        assert_eq!(directory.forgotten(), 0);
        directory.node_lost(second);
        directory.tick(IDLE_TIME + IDLE_TIME, |_| false);
        assert_eq!((directory.forgotten(), directory.snapshot()), (1, Vec::new()));
    }

    #[test]
    fn a_hub_that_no_shard_uses_is_known_for_as_long_as_something_is_told_of_it() {
        let directory = told([(hub("chat"), connected(id(1, 0, 0), "a"))]);
        directory.tick(IDLE_TIME, |_| false);
        directory.tick(IDLE_TIME + IDLE_TIME, |_| false);
        assert_eq!((directory.forgotten(), directory.snapshot().len()), (0, 1));
        directory.apply(&hub("chat"), false, DirectoryChange::ServerLeft(id(1, 0, 0)));
        directory.tick(IDLE_TIME + IDLE_TIME + IDLE_TIME, |_| false);
        assert_eq!((directory.forgotten(), directory.snapshot()), (1, Vec::new()));
    }
}
