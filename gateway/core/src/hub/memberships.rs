//! What groups users are in beyond the connections that they have: connections that they make later join, too.
//!
//! One table for all hubs and shards, because a membership is the same everywhere and its bound is one number. It is looked
//! at when a client connects and changed by whichever shard an action starts on; messages never touch it. Each node has such a table,
//! and tells the others what it changes: of two changes the later one holds, and all tables come to be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ended_memberships::EndedMemberships;
use crate::directory_change::{DirectoryChange, Stamp};
use crate::id::{GroupName, HubName, NodeId, PluginName, UserId};
use crate::refusal::MembershipRefusal;
use crate::time::Millis;

/// Memberships without an end that are kept per user; the oldest goes when one more comes.
const MAX_WITHOUT_END: usize = 100;
/// Names of so many bytes are part of what one membership may hold; longer ones count as several memberships.
const NAME_BYTES: usize = 256;
/// Expired memberships that one sweep removes, so that it is short.
const MAX_SWEPT: usize = 1_000;

/// The memberships of all hubs.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    table: Mutex<Table>,
    /// Hubs that have any, in number, so that nobody takes the lock where there are none.
    total: AtomicUsize,
    /// When the clock of the gateway began, in milliseconds since 1970.
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    hubs: BTreeMap<HubName, HubMemberships>,
    by_plugin: BTreeMap<PluginName, Share>,
    /// Those with an end, by their end.
    expiring: BTreeSet<(Millis, HubName, UserId, GroupName)>,
    /// Hubs that have lost their last one, until somebody asks.
    emptied: Vec<HubName>,
    /// Those of which other nodes may not know yet that they have ended.
    ended: EndedMemberships,
    /// The time of the last change, of whatever node.
    last_change: u64,
    /// When somebody last looked.
    now: Millis,
}

#[derive(Debug, Default)]
struct HubMemberships {
    users: BTreeMap<UserId, Vec<Membership>>,
    share: Share,
}

/// What a hub or a plugin has of its bound.
#[derive(Debug, Default)]
struct Share {
    /// Memberships; those with long names count several times.
    count: usize,
    /// Whether one was refused since there was last room.
    is_refusing: bool,
}

#[derive(Debug)]
struct Membership {
    group: GroupName,
    /// Connections made from then on do not join.
    ends: Option<Millis>,
    /// On whose account it is. None: of a caller with an access key.
    plugin: Option<PluginName>,
    began: Stamp,
}

/// Who changes memberships, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author {
    pub(crate) node: NodeId,
    pub(crate) now: Millis,
    /// Whether there are other nodes, which hear of it.
    pub(crate) is_alone: bool,
}

/// A membership that somebody asks for.
#[derive(Debug)]
pub(crate) struct NewMembership<'a> {
    pub(crate) hub: &'a HubName,
    pub(crate) user: &'a UserId,
    pub(crate) group: &'a GroupName,
    pub(crate) ends: Option<Millis>,
    /// The plugin that asks for it. None: a caller with an access key.
    pub(crate) plugin: Option<&'a PluginName>,
}

/// How many memberships there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In one hub, and of one plugin half of it in all hubs.
    pub(crate) per_hub: usize,
    /// Of one user, with an end.
    pub(crate) per_user: usize,
}

/// A refusal, and whether it is the first one since there was room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: MembershipRefusal,
    pub(crate) is_first: bool,
}

impl Memberships {
    /// Notes that connections that a user makes until the membership ends join its group. Gives what other nodes are told.
    pub(crate) fn add(
        &self,
        new: &NewMembership<'_>,
        bounds: Bounds,
        by: Author,
    ) -> Result<Vec<DirectoryChange>, Refused> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let mut table = self.table();
        let stamp = table.next_stamp(epoch, by);
        let mut added = table.add(new, bounds, by, stamp);
        if added.is_err() && table.sweep(by.now) {
            added = table.add(new, bounds, by, stamp);
        }
        self.total.store(table.hubs.len(), Ordering::Relaxed);
        let made_room = added?;
        let user = || new.user.clone();
        let ends = |group| DirectoryChange::MembershipEnds { user: user(), group: Some(group), stamp };
        let begins = DirectoryChange::MembershipBegins {
            user: user(),
            group: new.group.clone(),
            ends: new.ends.map(|ends| epoch + ends.0),
            plugin: new.plugin.cloned(),
            stamp,
        };
        Ok(made_room.into_iter().map(ends).chain([begins]).collect())
    }

    /// The time of day is so much later than the clock of the gateway, in milliseconds.
    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Another node has added a membership, and looked at its bounds.
    pub(crate) fn begin_elsewhere(
        &self,
        hub: &HubName,
        user: &UserId,
        group: &GroupName,
        (ends, plugin): (Option<u64>, Option<&PluginName>),
        stamp: Stamp,
    ) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let ends = ends.map(|ends| Millis(ends.saturating_sub(epoch)));
        let mut table = self.table();
        table.last_change = table.last_change.max(stamp.time);
        let is_known = table.of_user(hub, user).iter().any(|each| each.group == *group && each.began >= stamp);
        if !is_known && !table.ended.has_ended_since((hub, user, group), stamp) {
            table.end(hub, user, Some(group), stamp);
            table.insert(&NewMembership { hub, user, group, ends, plugin }, cost(user, group), None, stamp);
        }
        self.total.store(table.hubs.len(), Ordering::Relaxed);
    }

    /// Another node has ended a user's membership of a group, or of all groups.
    pub(crate) fn end_elsewhere(&self, hub: &HubName, user: &UserId, group: Option<&GroupName>, stamp: Stamp) {
        let mut table = self.table();
        table.last_change = table.last_change.max(stamp.time);
        table.end(hub, user, group, stamp);
        let now = table.now;
        table.ended.add((hub.clone(), user.clone(), group.cloned()), stamp, now);
        self.total.store(table.hubs.len(), Ordering::Relaxed);
    }

    /// The changes that lead to these memberships.
    pub(crate) fn snapshot(&self) -> Vec<(HubName, DirectoryChange)> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let table = self.table();
        let mut changes: Vec<(HubName, DirectoryChange)> = table.ended.snapshot().collect();
        for (name, hub) in &table.hubs {
            for (user, memberships) in &hub.users {
                changes.extend(memberships.iter().map(|each| (name.clone(), each.change(user, epoch))));
            }
        }
        changes
    }

    /// The groups that connections of the user join now.
    pub(crate) fn groups_of(&self, hub: &HubName, user: &UserId, now: Millis) -> Vec<GroupName> {
        if self.total.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let table = self.table();
        let memberships = table.of_user(hub, user);
        memberships.iter().filter(|each| each.lasts(now)).map(|each| each.group.clone()).collect()
    }

    /// Whether connections that the user makes now join the group.
    pub(crate) fn has(&self, hub: &HubName, user: &UserId, group: &GroupName, now: Millis) -> bool {
        let table = self.table();
        table.of_user(hub, user).iter().any(|each| each.group == *group && each.lasts(now))
    }

    /// Ends the user's membership of a group, or of all groups. Gives what other nodes are told.
    pub(crate) fn end(
        &self,
        hub: &HubName,
        user: &UserId,
        group: Option<&GroupName>,
        by: Author,
    ) -> Option<DirectoryChange> {
        if by.is_alone && self.total.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut table = self.table();
        let stamp = table.next_stamp(self.epoch.load(Ordering::Relaxed), by);
        table.end(hub, user, group, stamp);
        if !by.is_alone {
            table.ended.add((hub.clone(), user.clone(), group.cloned()), stamp, by.now);
        }
        self.total.store(table.hubs.len(), Ordering::Relaxed);
        Some(DirectoryChange::MembershipEnds { user: user.clone(), group: group.cloned(), stamp })
    }

    /// Removes memberships that have ended, up to a number. Gives hubs that have lost their last one since this was asked.
    pub(crate) fn sweep(&self, now: Millis) -> Vec<HubName> {
        let mut table = self.table();
        table.now = now;
        table.ended.sweep(now);
        table.sweep(now);
        self.total.store(table.hubs.len(), Ordering::Relaxed);
        std::mem::take(&mut table.emptied)
    }

    /// How many a hub has.
    pub(crate) fn of_hub(&self, hub: &HubName) -> usize {
        self.table().hubs.get(hub).map_or(0, |hub| hub.share.count)
    }

    /// How many each plugin has, in all hubs.
    pub(crate) fn of_plugins(&self) -> Vec<(PluginName, usize)> {
        let table = self.table();
        table.by_plugin.iter().map(|(plugin, share)| (plugin.clone(), share.count)).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn of_user(&self, hub: &HubName, user: &UserId) -> &[Membership] {
        self.hubs.get(hub).and_then(|hub| hub.users.get(user)).map_or(&[], Vec::as_slice)
    }

    fn next_stamp(&mut self, epoch: u64, by: Author) -> Stamp {
        self.last_change = (epoch + by.now.0).max(self.last_change + 1);
        Stamp { time: self.last_change, node: by.node }
    }

    /// Gives the groups of which the user's memberships have made room.
    fn add(
        &mut self,
        new: &NewMembership<'_>,
        bounds: Bounds,
        by: Author,
        stamp: Stamp,
    ) -> Result<Vec<GroupName>, Refused> {
        let now = by.now;
        let memberships = self.of_user(new.hub, new.user);
        let replaced = self.replaced_by(memberships, new);
        let is_new = replaced.iter().all(|each| each.group != *new.group);
        let with_end = memberships.iter().filter(|each| each.ends.is_some() && each.lasts(now)).count();
        if is_new && new.ends.is_some() && with_end >= bounds.per_user {
            return Err(Refused { refusal: MembershipRefusal::UserFull, is_first: false });
        }
        let freed = |plugin: Option<&PluginName>| -> usize {
            let of_account = replaced.iter().filter(|each| plugin.is_none() || each.plugin.as_ref() == plugin);
            of_account.map(|each| cost(new.user, &each.group)).sum()
        };
        let (cost, hub_freed, plugin_freed) = (cost(new.user, new.group), freed(None), freed(new.plugin));
        let replaced: Vec<GroupName> = replaced.iter().map(|each| each.group.clone()).collect();
        if let Some(plugin) = new.plugin
            && let Some(share) = self.by_plugin.get_mut(plugin)
            && share.count - plugin_freed + cost > bounds.per_hub / 2
        {
            return Err(share.refuse(MembershipRefusal::PluginFull(plugin.clone())));
        }
        if let Some(hub) = self.hubs.get_mut(new.hub)
            && hub.share.count - hub_freed + cost > bounds.per_hub
        {
            return Err(hub.share.refuse(MembershipRefusal::HubFull));
        }
        replaced.iter().for_each(|group| self.end(new.hub, new.user, Some(group), stamp));
        self.insert(new, cost, Some(bounds), stamp);
        let made_room: Vec<GroupName> = replaced.into_iter().filter(|group| group != new.group).collect();
        if !by.is_alone {
            for group in &made_room {
                self.ended.add((new.hub.clone(), new.user.clone(), Some(group.clone())), stamp, now);
            }
        }
        Ok(made_room)
    }

    /// What of a user's memberships makes room for a new one: the same, and the oldest of too many without an end.
    fn replaced_by<'a>(&self, memberships: &'a [Membership], new: &NewMembership<'_>) -> Vec<&'a Membership> {
        let (mut replaced, others): (Vec<_>, Vec<_>) = memberships.iter().partition(|each| each.group == *new.group);
        let mut endless = others.into_iter().filter(|each| each.ends.is_none());
        if new.ends.is_none()
            && let Some(oldest) = endless.next()
            && 1 + endless.count() >= MAX_WITHOUT_END
        {
            replaced.push(oldest);
        }
        replaced
    }

    /// `bounds`: none of what another node has looked at.
    fn insert(&mut self, new: &NewMembership<'_>, cost: usize, bounds: Option<Bounds>, began: Stamp) {
        let per_hub = bounds.map_or(0, |bounds| bounds.per_hub);
        let hub = self.hubs.entry(new.hub.clone()).or_default();
        hub.share.take(cost, per_hub);
        let (group, plugin) = (new.group.clone(), new.plugin.cloned());
        let membership = Membership { group, ends: new.ends, plugin, began };
        // As a rule a user is in few groups.
        hub.users.entry(new.user.clone()).or_insert_with(|| Vec::with_capacity(1)).push(membership);
        if let Some(plugin) = new.plugin {
            self.by_plugin.entry(plugin.clone()).or_default().take(cost, per_hub / 2);
        }
        if let Some(ends) = new.ends {
            self.expiring.insert((ends, new.hub.clone(), new.user.clone(), new.group.clone()));
        }
    }

    /// Ends what has begun until then.
    fn end(&mut self, name: &HubName, user: &UserId, group: Option<&GroupName>, until: Stamp) {
        let Some(hub) = self.hubs.get_mut(name) else {
            return;
        };
        let Some(memberships) = hub.users.get_mut(user) else {
            return;
        };
        let ends = |each: &Membership| each.began <= until && group.is_none_or(|group| each.group == *group);
        for ended in memberships.extract_if(.., |each| ends(each)) {
            let cost = cost(user, &ended.group);
            hub.share.count -= cost;
            if let Some(plugin) = &ended.plugin
                && let Some(share) = self.by_plugin.get_mut(plugin)
            {
                share.count -= cost;
                if share.count == 0 {
                    self.by_plugin.remove(plugin);
                }
            }
            if let Some(ends) = ended.ends {
                self.expiring.remove(&(ends, name.clone(), user.clone(), ended.group));
            }
        }
        if memberships.is_empty() {
            hub.users.remove(user);
        }
        if hub.users.is_empty() {
            self.hubs.remove(name);
            self.emptied.push(name.clone());
        }
    }

    /// Removes memberships that have ended, up to a number. Gives whether there were any.
    fn sweep(&mut self, now: Millis) -> bool {
        for count in 0..MAX_SWEPT {
            match self.expiring.first() {
                Some((ends, hub, user, group)) if *ends <= now => {
                    let (hub, user, group) = (hub.clone(), user.clone(), group.clone());
                    let until = Stamp { time: u64::MAX, node: NodeId(u32::MAX) };
                    self.end(&hub, &user, Some(&group), until);
                }
                Some(_) | None => return count > 0,
            }
        }
        true
    }
}

impl Share {
    fn take(&mut self, cost: usize, limit: usize) {
        self.count += cost;
        // Full and not full in turn is one episode for the log.
        self.is_refusing &= self.count > limit / 10 * 9;
    }

    fn refuse(&mut self, refusal: MembershipRefusal) -> Refused {
        Refused { refusal, is_first: !std::mem::replace(&mut self.is_refusing, true) }
    }
}

impl Membership {
    fn lasts(&self, now: Millis) -> bool {
        self.ends.is_none_or(|ends| ends > now)
    }

    /// What other nodes are told of it.
    fn change(&self, user: &UserId, epoch: u64) -> DirectoryChange {
        DirectoryChange::MembershipBegins {
            user: user.clone(),
            group: self.group.clone(),
            ends: self.ends.map(|ends| epoch + ends.0),
            plugin: self.plugin.clone(),
            stamp: self.began,
        }
    }
}

/// What a membership counts for.
fn cost(user: &UserId, group: &GroupName) -> usize {
    1 + (user.as_str().len() + group.as_str().len()) / NAME_BYTES
}

#[cfg(test)]
mod tests;
