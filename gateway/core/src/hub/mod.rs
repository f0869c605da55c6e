//! Who is in a hub on this shard, by user and by group.

pub(crate) mod directory;
mod ended_memberships;
pub(crate) mod hubs;
pub(crate) mod memberships;
mod pace;
pub(crate) mod presence;
pub(crate) mod routing;
pub(crate) mod status;

use std::sync::Arc;

use hubgate_wire::negotiate::Transport;
use indexmap::IndexSet;

use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::filter::Filters;
use crate::hash::{HashSeed, SeededMap};
use crate::id::{GroupName, HubName, Slot, UserId};
use crate::target::Target;
use crate::time::Millis;
use crate::turn::Turn;

use directory::HubDirectory;
use status::HubCounters;

/// A set of clients that is walked fast and changed in constant time.
pub(crate) type Slots = IndexSet<Slot, foldhash::fast::FixedState>;

/// The clients of one hub on this shard.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) name: HubName,
    /// What all shards know of it together.
    pub(crate) directory: Arc<HubDirectory>,
    pub(crate) filters: Filters,
    /// As in the settings.
    pub(crate) messages_per_second: u32,
    /// Whether the log has heard of a message that filters could not look at.
    has_unreadable: bool,
    /// When the log heard last of a method that no upstream item matches.
    unmatched_logged: Option<Millis>,
    /// Clients of this shard that are not closed, those among them that others do not see yet.
    pub(crate) open_clients: usize,
    clients: Slots,
    /// By the index of [`Transport`].
    by_transport: [usize; Transport::COUNT],
    users: SeededMap<UserId, Slots>,
    groups: SeededMap<GroupName, Slots>,
    /// Connections of hub servers that are open, and of others that only send.
    pub(crate) server_connections: usize,
    /// Clients that wait for another transport.
    pub(crate) waiting_clients: usize,
    /// Slots, connections of hub servers, and senders that wait: the hub is forgotten only without them.
    pub(crate) occupants: usize,
    /// Whether metrics count it under its own name.
    pub(crate) has_own_label: bool,
    pub(crate) counters: HubCounters,
}

impl Hub {
    /// Changes what all shards know of it, those of other nodes, too.
    pub(crate) fn announce(&self, turn: &mut Turn<'_>, change: DirectoryChange) {
        turn.tell_nodes(&self.name, || change.clone());
        self.directory.apply(change);
    }

    pub(crate) fn new(
        name: HubName,
        directory: Arc<HubDirectory>,
        filters: Filters,
        messages_per_second: u32,
        has_own_label: bool,
        seed: HashSeed,
    ) -> Hub {
        Hub {
            name,
            directory,
            filters,
            messages_per_second,
            has_unreadable: false,
            unmatched_logged: None,
            open_clients: 0,
            clients: Slots::default(),
            by_transport: [0; Transport::COUNT],
            users: SeededMap::with_hasher(seed.clone()),
            groups: SeededMap::with_hasher(seed),
            server_connections: 0,
            waiting_clients: 0,
            occupants: 0,
            has_own_label,
            counters: HubCounters::default(),
        }
    }

    /// How many clients are here, by the index of [`Transport`].
    pub(crate) fn clients_by_transport(&self) -> [usize; Transport::COUNT] {
        self.by_transport
    }

    /// Whether a client of the user is here.
    pub(crate) fn has_user(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Something was sent to so many clients, of so many bytes each.
    #[inline]
    pub(crate) fn count_out(&mut self, clients: usize, bytes: usize) {
        self.counters.messages_out += clients as u64;
        self.counters.bytes_out += (clients * bytes) as u64;
    }

    /// Counts what is no message that filters could look at, and so is not sent. The log has the hub's first one on this shard.
    pub(crate) fn report_unreadable(&mut self, effects: &mut Vec<Effect>) {
        self.counters.server_messages_skipped += 1;
        if !std::mem::replace(&mut self.has_unreadable, true) {
            effects.push(Effect::Unreadable { hub: self.name.clone() });
        }
    }

    /// The log hears of a method that clients call and no upstream item matches, once a minute: a client that waits for no answer hears
    /// nothing of it.
    pub(crate) fn report_unmatched(&mut self, method: &str, now: Millis, effects: &mut Vec<Effect>) {
        const PAUSE: Millis = Millis(60_000);
        if self.unmatched_logged.is_none_or(|last| now - last >= PAUSE) {
            self.unmatched_logged = Some(now);
            effects.push(Effect::Unmatched { hub: self.name.clone(), method: method.to_owned() });
        }
    }

    /// `transport`: None of a client that counts in another hub.
    pub(crate) fn add(&mut self, slot: Slot, transport: Option<Transport>, user: Option<&UserId>) {
        self.clients.insert(slot);
        if let Some(transport) = transport {
            self.by_transport[transport as usize] += 1;
        }
        if let Some(user) = user {
            self.users.entry(user.clone()).or_default().insert(slot);
        }
    }

    /// Takes a client out that is in no group.
    pub(crate) fn remove(&mut self, slot: Slot, transport: Option<Transport>, user: Option<&UserId>) {
        self.clients.swap_remove(&slot);
        if let Some(transport) = transport {
            self.by_transport[transport as usize] -= 1;
        }
        if let Some(user) = user {
            remove_from(&mut self.users, user, slot);
        }
    }

    /// One of its clients goes on by a transport of another kind.
    pub(crate) fn transport_changed(&mut self, before: Transport, after: Transport) {
        self.by_transport[before as usize] -= 1;
        self.by_transport[after as usize] += 1;
    }

    pub(crate) fn join(&mut self, slot: Slot, group: GroupName) {
        self.groups.entry(group).or_default().insert(slot);
    }

    pub(crate) fn leave(&mut self, slot: Slot, group: &GroupName) {
        remove_from(&mut self.groups, group, slot);
    }

    /// The clients of a group or user, or all; in no order.
    pub(crate) fn clients_of(&self, target: &LocalTarget<'_>) -> impl Iterator<Item = Slot> {
        let one = match target {
            LocalTarget::One(slot) => Some(*slot),
            LocalTarget::All | LocalTarget::Group(_) | LocalTarget::User(_) | LocalTarget::Nobody => None,
        };
        self.many(target).into_iter().flatten().copied().chain(one)
    }

    /// The same, of a target that may be many.
    pub(crate) fn many(&self, target: &LocalTarget<'_>) -> Option<&Slots> {
        match target {
            LocalTarget::All => Some(&self.clients),
            LocalTarget::Group(group) => self.groups.get(*group),
            LocalTarget::User(user) => self.users.get(*user),
            LocalTarget::One(_) | LocalTarget::Nobody => None,
        }
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut SeededMap<K, Slots>, key: &K, slot: Slot) {
    if let Some(clients) = index.get_mut(key) {
        clients.swap_remove(&slot);
        if clients.is_empty() {
            index.remove(key);
        }
    }
}

/// A [`Target`] with its connection looked up on this shard.
#[derive(Clone, Copy)]
pub(crate) enum LocalTarget<'a> {
    All,
    Group(&'a GroupName),
    User(&'a UserId),
    One(Slot),
    Nobody,
}

impl<'a> LocalTarget<'a> {
    /// `slot` is that of the connection, if the target is one.
    pub(crate) fn new(target: &'a Target, slot: Option<Slot>) -> LocalTarget<'a> {
        match (target, slot) {
            (Target::All, _) => LocalTarget::All,
            (Target::Group(group), _) => LocalTarget::Group(group),
            (Target::User(user), _) => LocalTarget::User(user),
            (Target::Connection(_), Some(slot)) => LocalTarget::One(slot),
            (Target::Connection(_), None) => LocalTarget::Nobody,
        }
    }
}
