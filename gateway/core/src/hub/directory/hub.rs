//! What all shards know of one hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::users::Users;
use super::uses::Uses;
use super::watches::{WatchCounts, Watches};
use crate::directory_change::DirectoryChange;
use crate::hash::HashSeed;
use crate::hub::routing::HubServers;
use crate::id::{NodeId, ShardAddress};
use crate::message_rate::HeardOfHub;
use crate::order::Addressees;
use crate::time::Millis;
use crate::turn::Turn;

/// What all shards know of one hub.
#[derive(Debug)]
pub(crate) struct HubDirectory {
    /// Shards that use the hub, in number. Changes under the lock of the [directory](super::Directory).
    shards: AtomicUsize,
    /// When it was last noted that nobody uses it, in [`Millis`].
    idle_since: AtomicU64,
    /// A shard that meets the name again begins anew.
    is_forgotten: AtomicBool,
    /// Whether it counts against those that may have labels of their own.
    has_own_label: bool,
    clients: AtomicUsize,
    users: Users,
    uses: Uses,
    servers: HubServers,
    /// For the rate at which its clients are read.
    heard: HeardOfHub,
    watches: Watches,
}

impl HubDirectory {
    pub(super) fn new(has_own_label: bool, watch_counts: Arc<WatchCounts>, seed: &HashSeed) -> HubDirectory {
        HubDirectory {
            shards: AtomicUsize::default(),
            idle_since: AtomicU64::default(),
            is_forgotten: AtomicBool::default(),
            has_own_label,
            clients: AtomicUsize::default(),
            users: Users::new(seed),
            uses: Uses::default(),
            servers: HubServers::default(),
            heard: HeardOfHub::default(),
            watches: Watches::new(watch_counts),
        }
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Ordering::Relaxed)
    }

    /// Whether the metrics count it under its own name although the configuration does not name it.
    pub(crate) fn has_own_label(&self) -> bool {
        self.has_own_label
    }

    pub(super) fn set_forgotten(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }

    /// One more shard uses the hub; gives whether it is the first one.
    pub(super) fn occupy(&self) -> bool {
        self.shards.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// One shard less uses the hub; gives whether it was the last one.
    pub(super) fn vacate(&self) -> bool {
        self.shards.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub(super) fn is_occupied(&self) -> bool {
        self.shards.load(Ordering::Relaxed) > 0
    }

    pub(super) fn idle_since(&self) -> Millis {
        Millis(self.idle_since.load(Ordering::Relaxed))
    }

    pub(super) fn set_idle_since(&self, since: Millis) {
        self.idle_since.store(since.0, Ordering::Relaxed);
    }

    /// Clients that others see, on all shards of this node.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    #[cfg(test)]
    pub(super) fn uses(&self) -> &Uses {
        &self.uses
    }

    pub(crate) fn servers(&self) -> &HubServers {
        &self.servers
    }

    pub(crate) fn heard(&self) -> &HeardOfHub {
        &self.heard
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// The other nodes that have clients of the hub, if there are any.
    #[inline]
    pub(crate) fn other_nodes(&self, turn: &Turn<'_>) -> Option<Addressees> {
        match turn.neighbours.nodes().is_empty() {
            true => None,
            false => self.others_that_use_it(turn),
        }
    }

    #[inline(never)]
    fn others_that_use_it(&self, turn: &Turn<'_>) -> Option<Addressees> {
        let nodes = self.uses.nodes().into_iter();
        let there: Vec<NodeId> = nodes.filter(|node| turn.neighbours.nodes().find(*node).is_some()).collect();
        (!there.is_empty()).then(|| Addressees::Nodes(Arc::new(there)))
    }

    /// Whether no client and no hub server is known, and no plugin watches a group.
    pub(super) fn is_empty(&self) -> bool {
        self.clients() == 0
            && self.users.is_empty()
            && self.uses.is_empty()
            && self.servers.is_empty()
            && self.watches.is_empty()
    }

    /// Changes what is known.
    pub(crate) fn apply(&self, change: DirectoryChange) {
        match change {
            DirectoryChange::ClientsEntered(clients) => drop(self.clients.fetch_add(clients, Ordering::Relaxed)),
            DirectoryChange::ClientsLeft(clients) => drop(self.clients.fetch_sub(clients, Ordering::Relaxed)),
            DirectoryChange::UserEntered { user, shard } => self.users.entered(user, shard),
            DirectoryChange::UserLeft { user, shard } => self.users.left(&user, shard),
            DirectoryChange::HubUsed(shard) => self.uses.begin(shard),
            DirectoryChange::HubUnused(shard) => self.uses.end(shard),
            DirectoryChange::ServerConnected { id, server, reconnect, when_lost } => {
                self.servers.connected(id, server, reconnect, when_lost);
            }
            DirectoryChange::SenderConnected { id, server } => self.servers.sender_connected(id, server),
            DirectoryChange::ServerLeft(id) => self.servers.disconnected(id),
            DirectoryChange::ServerDrains(id) => self.servers.drains(id),
            DirectoryChange::ServerCongested { id, is_congested } => self.servers.congested(id, is_congested),
            DirectoryChange::ClientsRouted { to, by, clients } => self.servers.routed(to, by, clients),
            // Whoever lets a plugin watch has looked at the bound.
            DirectoryChange::GroupWatched { plugin, group } => drop(self.watches.begin(plugin, group, usize::MAX)),
            DirectoryChange::GroupUnwatched { plugin, group } => self.watches.end(&plugin, &group),
            DirectoryChange::MembershipBegins { .. }
            | DirectoryChange::MembershipEnds { .. }
            | DirectoryChange::ConnectionMoved { .. }
            | DirectoryChange::ConnectionOver { .. } => {
                unreachable!("the directory has them in tables of all hubs")
            }
        }
    }

    /// Nothing is known of a node any longer. Watches are of plugins, which serve on all nodes.
    pub(super) fn node_lost(&self, node: NodeId) {
        self.uses.forget(node);
        self.servers.node_lost(node);
    }

    /// The changes that lead from nothing to what is known.
    pub(super) fn snapshot(&self) -> Vec<DirectoryChange> {
        let clients = Some(self.clients()).filter(|clients| *clients > 0).map(DirectoryChange::ClientsEntered);
        clients.into_iter().chain(self.users.snapshot()).chain(self.announced(|_| true)).collect()
    }

    /// The same of what a node has announced, or would have if it were not alone.
    pub(super) fn snapshot_of(&self, node: NodeId) -> Vec<DirectoryChange> {
        self.announced(|of: ShardAddress| of.node == node)
    }

    fn announced(&self, is_of: impl Fn(ShardAddress) -> bool) -> Vec<DirectoryChange> {
        let uses = self.uses.snapshot(&is_of);
        uses.into_iter().chain(self.servers.snapshot(is_of)).chain(self.watches.snapshot()).collect()
    }
}
