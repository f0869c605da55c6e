//! What groups users are in beyond the connections that they have: connections that they make later join, too.
//!
//! One table for all hubs and shards, because a membership is the same everywhere and its bound is one number. It is looked
//! at when a client connects and changed by whichever shard an action starts on; messages never touch it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::{GroupName, HubName, PluginName, UserId};
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
}

#[derive(Debug, Default)]
struct Table {
    hubs: BTreeMap<HubName, HubMemberships>,
    by_plugin: BTreeMap<PluginName, Share>,
    /// Those with an end, by their end.
    expiring: BTreeSet<(Millis, HubName, UserId, GroupName)>,
    /// Hubs that have lost their last one, until somebody asks.
    emptied: Vec<HubName>,
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
    /// Notes that connections that a user makes until the membership ends join its group.
    pub(crate) fn add(&self, new: &NewMembership<'_>, bounds: Bounds, now: Millis) -> Result<(), Refused> {
        let mut table = self.table();
        let mut added = table.add(new, bounds, now);
        if added.is_err() && table.sweep(now) {
            added = table.add(new, bounds, now);
        }
        self.total.store(table.hubs.len(), Ordering::Relaxed);
        added
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

    /// Ends the user's membership of a group, or of all groups.
    pub(crate) fn end(&self, hub: &HubName, user: &UserId, group: Option<&GroupName>) {
        if self.total.load(Ordering::Relaxed) > 0 {
            self.table().end(hub, user, group);
        }
    }

    /// Removes memberships that have ended, up to a number. Gives hubs that have lost their last one since this was asked.
    pub(crate) fn sweep(&self, now: Millis) -> Vec<HubName> {
        if self.total.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut table = self.table();
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

    fn add(&mut self, new: &NewMembership<'_>, bounds: Bounds, now: Millis) -> Result<(), Refused> {
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
        replaced.iter().for_each(|group| self.end(new.hub, new.user, Some(group)));
        self.insert(new, cost, bounds);
        Ok(())
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

    fn insert(&mut self, new: &NewMembership<'_>, cost: usize, bounds: Bounds) {
        let hub = self.hubs.entry(new.hub.clone()).or_default();
        hub.share.take(cost, bounds.per_hub);
        let membership = Membership { group: new.group.clone(), ends: new.ends, plugin: new.plugin.cloned() };
        // As a rule a user is in few groups.
        hub.users.entry(new.user.clone()).or_insert_with(|| Vec::with_capacity(1)).push(membership);
        if let Some(plugin) = new.plugin {
            self.by_plugin.entry(plugin.clone()).or_default().take(cost, bounds.per_hub / 2);
        }
        if let Some(ends) = new.ends {
            self.expiring.insert((ends, new.hub.clone(), new.user.clone(), new.group.clone()));
        }
    }

    fn end(&mut self, name: &HubName, user: &UserId, group: Option<&GroupName>) {
        let Some(hub) = self.hubs.get_mut(name) else {
            return;
        };
        let Some(memberships) = hub.users.get_mut(user) else {
            return;
        };
        for ended in memberships.extract_if(.., |each| group.is_none_or(|group| each.group == *group)) {
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
                    self.end(&hub, &user, Some(&group));
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
}

/// What a membership counts for.
fn cost(user: &UserId, group: &GroupName) -> usize {
    1 + (user.as_str().len() + group.as_str().len()) / NAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { per_hub: 10, per_user: 3 };

    fn hub(name: &str) -> HubName {
        HubName::parse(name).expect("a name")
    }

    struct Asked<'a> {
        hub: &'a str,
        user: &'a str,
        group: &'a str,
        ends: Option<u64>,
        plugin: Option<&'a str>,
    }

    const CHAT: Asked<'static> = Asked { hub: "chat", user: "ann", group: "g", ends: None, plugin: None };

    fn add(memberships: &Memberships, asked: &Asked<'_>, now: u64) -> Result<(), Refused> {
        let (hub, user, group) = (hub(asked.hub), UserId::new(asked.user), GroupName::new(asked.group));
        let (ends, plugin) = (asked.ends.map(Millis), asked.plugin.map(PluginName::new));
        let new = NewMembership { hub: &hub, user: &user, group: &group, ends, plugin: plugin.as_ref() };
        memberships.add(&new, BOUNDS, Millis(now))
    }

    fn groups(memberships: &Memberships, user: &str, now: u64) -> Vec<String> {
        let groups = memberships.groups_of(&hub("chat"), &UserId::new(user), Millis(now));
        groups.iter().map(ToString::to_string).collect()
    }

    fn assert_nothing_is_kept(memberships: &Memberships) {
        let table = memberships.table();
        assert!(table.hubs.is_empty() && table.by_plugin.is_empty() && table.expiring.is_empty(), "{table:?}");
    }

    #[test]
    fn memberships_that_ended_are_swept_and_nothing_of_them_is_kept() {
        let memberships = Memberships::default();
        for user in ["ann", "bob"] {
            add(&memberships, &Asked { user, ends: Some(1_000), plugin: Some("p"), ..CHAT }, 0).expect("there is room");
        }
        add(&memberships, &Asked { user: "bob", ends: Some(2_000), plugin: Some("q"), ..CHAT }, 0)
            .expect("the same one");
        assert_eq!(groups(&memberships, "ann", 999), ["g"]);
        assert_eq!(groups(&memberships, "ann", 1_000), [""; 0]);
        assert_eq!(memberships.of_hub(&hub("chat")), 2);
        assert_eq!(memberships.sweep(Millis(1_000)), []);
        assert_eq!((memberships.of_hub(&hub("chat")), groups(&memberships, "bob", 1_000).len()), (1, 1));
        assert_eq!(memberships.of_plugins(), [(PluginName::new("q"), 1)]);
        assert_eq!(memberships.sweep(Millis(2_000)), [hub("chat")]);
        assert_nothing_is_kept(&memberships);
    }

    #[test]
    fn a_hub_has_a_bound_and_one_plugin_may_have_half_of_it_over_all_hubs() {
        let memberships = Memberships::default();
        let refusal = |added: Result<(), Refused>| added.expect_err("it is full");
        for number in 0..5 {
            let user = number.to_string();
            let asked = Asked { hub: &format!("hub{number}"), user: &user, plugin: Some("p"), ..CHAT };
            add(&memberships, &asked, 0).expect("there is room");
        }
        let of_plugin = Asked { plugin: Some("p"), ..CHAT };
        for is_first in [true, false] {
            let full = MembershipRefusal::PluginFull(PluginName::new("p"));
            assert_eq!(refusal(add(&memberships, &of_plugin, 0)), Refused { refusal: full, is_first });
        }
        for number in 0..10 {
            add(&memberships, &Asked { user: &number.to_string(), ..CHAT }, 0).expect("there is room");
        }
        for is_first in [true, false] {
            assert_eq!(refusal(add(&memberships, &CHAT, 0)), Refused { refusal: MembershipRefusal::HubFull, is_first });
        }
        add(&memberships, &Asked { user: "3", ..CHAT }, 0).expect("it is there already");
        memberships.end(&hub("chat"), &UserId::new("3"), None);
        add(&memberships, &CHAT, 0).expect("there is room again");
    }

    #[test]
    fn a_full_hub_takes_one_more_when_another_has_ended() {
        let memberships = Memberships::default();
        for number in 0..10 {
            let user = number.to_string();
            add(&memberships, &Asked { user: &user, ends: Some(1_000), ..CHAT }, 0).expect("there is room");
        }
        assert!(add(&memberships, &CHAT, 999).is_err());
        add(&memberships, &CHAT, 1_000).expect("the others have ended");
    }

    #[test]
    fn long_names_count_as_several() {
        let memberships = Memberships::default();
        let (long, longest) = ("x".repeat(1_024), "x".repeat(4_096));
        add(&memberships, &Asked { user: &long, ..CHAT }, 0).expect("there is room");
        assert_eq!(memberships.of_hub(&hub("chat")), 5);
        assert!(add(&memberships, &Asked { user: &longest, ..CHAT }, 0).is_err());
        memberships.end(&hub("chat"), &UserId::new(&*long), Some(&GroupName::new("g")));
        assert_nothing_is_kept(&memberships);
    }

    #[test]
    fn a_user_has_as_many_with_an_end_as_a_connection_has_groups_and_a_refusal_changes_nothing() {
        let memberships = Memberships::default();
        for group in ["a", "b", "c"] {
            add(&memberships, &Asked { group, ends: Some(1_000), ..CHAT }, 0).expect("there is room");
        }
        let refused = add(&memberships, &Asked { group: "d", ends: Some(1_000), ..CHAT }, 0).expect_err("too many");
        assert_eq!(refused, Refused { refusal: MembershipRefusal::UserFull, is_first: false });
        add(&memberships, &Asked { group: "c", ends: Some(2_000), ..CHAT }, 0).expect("it is there already");
        add(&memberships, &Asked { group: "e", ..CHAT }, 0).expect("it has no end");
        assert_eq!(groups(&memberships, "ann", 0), ["a", "b", "c", "e"]);
        assert_eq!(groups(&memberships, "ann", 1_000), ["c", "e"]);
    }

    #[test]
    fn the_oldest_without_an_end_goes_when_there_are_too_many() {
        let memberships = Memberships::default();
        let (hub, user) = (hub("chat"), UserId::new("ann"));
        for number in 0..=MAX_WITHOUT_END {
            let group = GroupName::new(number.to_string());
            let new = NewMembership { hub: &hub, user: &user, group: &group, ends: None, plugin: None };
            memberships.add(&new, Bounds { per_hub: MAX_WITHOUT_END, ..BOUNDS }, Millis(0)).expect("there is room");
        }
        let groups = groups(&memberships, "ann", 0);
        assert_eq!((groups.len(), &*groups[0]), (MAX_WITHOUT_END, "1"));
    }
}
