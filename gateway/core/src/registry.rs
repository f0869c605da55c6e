//! Who is in a hub on this shard, by user and by group.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexSet;

use crate::Slot;
use crate::delivery::Target;
use crate::filter::Filters;
use crate::id::{GroupName, HubName, UserId};
use crate::presence::HubPresence;
use crate::time::Millis;

/// A set of clients that is walked fast and changed in constant time.
pub(crate) type Clients = IndexSet<Slot, foldhash::fast::RandomState>;

/// Memberships without an end that are kept per user; the oldest goes when one more comes.
const MEMBERSHIPS_WITHOUT_END: usize = 100;

/// The clients of one hub on this shard and the memberships of its users, which every shard holds alike.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) name: HubName,
    /// What all shards know of it together.
    pub(crate) presence: Arc<HubPresence>,
    pub(crate) filters: Filters,
    /// Whether the log has heard of a message that filters could not look at.
    pub(crate) has_unreadable: bool,
    clients: Clients,
    users: HashMap<UserId, Clients>,
    groups: HashMap<GroupName, Clients>,
    memberships: HashMap<UserId, Vec<Membership>>,
    pub(crate) counters: HubCounters,
}

/// What happened in a hub on this shard since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HubCounters {
    pub messages_in: u64,
    pub messages_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Groups that a connection did not get into because it is in too many.
    pub joins_refused: u64,
    /// Calls that were dropped because their clients had left and too much was waiting.
    pub calls_dropped: u64,
    /// Messages of hub servers that were not understood.
    pub server_messages_skipped: u64,
    /// By the index of [`crate::CloseCause`].
    pub closed: [u64; crate::CloseCause::COUNT],
}

/// A user is in a group, whatever connections it has.
#[derive(Debug)]
struct Membership {
    group: GroupName,
    /// Connections made from then on do not join.
    ends: Option<Millis>,
}

impl Hub {
    pub(crate) fn new(name: HubName, presence: Arc<HubPresence>, filters: Filters) -> Hub {
        Hub {
            name,
            presence,
            filters,
            has_unreadable: false,
            clients: Clients::default(),
            users: HashMap::new(),
            groups: HashMap::new(),
            memberships: HashMap::new(),
            counters: HubCounters::default(),
        }
    }

    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Whether a client of the user is here.
    pub(crate) fn has_user(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Adds a client and gives the groups that its user's memberships put it in.
    pub(crate) fn add(&mut self, slot: Slot, user: Option<&UserId>, now: Millis) -> Vec<GroupName> {
        self.clients.insert(slot);
        let Some(user) = user else {
            return Vec::new();
        };
        self.users.entry(user.clone()).or_default().insert(slot);
        let Some(memberships) = self.memberships.get_mut(user) else {
            return Vec::new();
        };
        memberships.retain(|membership| membership.ends.is_none_or(|ends| ends > now));
        let groups = memberships.iter().map(|membership| membership.group.clone()).collect();
        if memberships.is_empty() {
            self.memberships.remove(user);
        }
        groups
    }

    pub(crate) fn remove(&mut self, slot: Slot, user: Option<&UserId>, groups: &[GroupName]) {
        self.clients.swap_remove(&slot);
        if let Some(user) = user {
            remove_from(&mut self.users, user, slot);
        }
        for group in groups {
            remove_from(&mut self.groups, group, slot);
        }
    }

    pub(crate) fn join(&mut self, slot: Slot, group: GroupName) {
        self.groups.entry(group).or_default().insert(slot);
    }

    pub(crate) fn leave(&mut self, slot: Slot, group: &GroupName) {
        remove_from(&mut self.groups, group, slot);
    }

    /// Notes that connections that `user` makes until `ends` join `group`.
    pub(crate) fn add_membership(&mut self, user: &UserId, group: &GroupName, ends: Option<Millis>, now: Millis) {
        let memberships = self.memberships.entry(user.clone()).or_default();
        memberships.retain(|each| each.group != *group && each.ends.is_none_or(|ends| ends > now));
        memberships.push(Membership { group: group.clone(), ends });
        if memberships.iter().filter(|each| each.ends.is_none()).count() > MEMBERSHIPS_WITHOUT_END
            && let Some(oldest) = memberships.iter().position(|each| each.ends.is_none())
        {
            memberships.remove(oldest);
        }
    }

    /// Whether connections that `user` makes now join `group`.
    pub(crate) fn has_membership(&self, user: &UserId, group: &GroupName, now: Millis) -> bool {
        let mut memberships = self.memberships.get(user).into_iter().flatten();
        memberships.any(|each| each.group == *group && each.ends.is_none_or(|ends| ends > now))
    }

    /// Ends the membership of `user` in `group`, or in all groups.
    pub(crate) fn end_memberships(&mut self, user: &UserId, group: Option<&GroupName>) {
        let Some(memberships) = self.memberships.get_mut(user) else {
            return;
        };
        memberships.retain(|each| group.is_some_and(|group| each.group != *group));
        if memberships.is_empty() {
            self.memberships.remove(user);
        }
    }

    /// The clients of a group or user, or all; in no order.
    pub(crate) fn clients_of(&self, target: &LocalTarget<'_>) -> impl Iterator<Item = Slot> {
        let (clients, one) = match target {
            LocalTarget::All => (Some(&self.clients), None),
            LocalTarget::Group(group) => (self.groups.get(*group), None),
            LocalTarget::User(user) => (self.users.get(*user), None),
            LocalTarget::One(slot) => (None, Some(*slot)),
            LocalTarget::Nobody => (None, None),
        };
        clients.into_iter().flatten().copied().chain(one)
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Clients>, key: &K, slot: Slot) {
    if let Some(clients) = index.get_mut(key) {
        clients.swap_remove(&slot);
        if clients.is_empty() {
            index.remove(key);
        }
    }
}

/// A [`Target`] with its connection looked up on this shard.
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
