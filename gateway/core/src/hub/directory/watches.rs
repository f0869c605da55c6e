//! Which groups plugins watch: who joins and leaves these is told to them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::directory_change::DirectoryChange;
use crate::id::{GroupName, PluginName};

/// The groups of one hub that plugins watch. A join or a leave that begins after a watch has begun is told, whatever the shard.
#[derive(Debug)]
pub(crate) struct Watches {
    /// Groups that are watched, in number, so that nobody takes the lock where there are none.
    groups: AtomicUsize,
    watchers: RwLock<BTreeMap<GroupName, Vec<Watcher>>>,
    counts: Arc<WatchCounts>,
}

#[derive(Debug)]
struct Watcher {
    plugin: PluginName,
    watch: WatchNumber,
}

/// One watch of a group, from its beginning to its end. No later one has its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchNumber(u64);

/// How many groups each plugin watches, in all hubs.
#[derive(Debug, Default)]
pub(crate) struct WatchCounts {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_plugin: BTreeMap<PluginName, usize>,
    begun: u64,
}

/// A plugin watches as many groups as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyGroups;

impl Watches {
    pub(super) fn new(counts: Arc<WatchCounts>) -> Watches {
        Watches { groups: AtomicUsize::default(), watchers: RwLock::default(), counts }
    }

    /// A plugin watches a group from now on, unless it watches `most` already.
    pub(super) fn begin(&self, plugin: PluginName, group: GroupName, most: usize) -> Result<(), TooManyGroups> {
        let mut all = self.write();
        if number_in(&all, &group, &plugin).is_some() {
            return Ok(());
        }
        let watch = self.counts.one_more(&plugin, most)?;
        all.entry(group).or_default().push(Watcher { plugin, watch });
        self.groups.store(all.len(), Ordering::Release);
        Ok(())
    }

    /// A plugin watches a group no longer.
    pub(super) fn end(&self, plugin: &PluginName, group: &GroupName) {
        self.retain(|each, of| each != plugin || of != group);
    }

    /// Plugins watch these groups alone from now on.
    pub(super) fn retain(&self, is_kept: impl Fn(&PluginName, &GroupName) -> bool) {
        if self.is_empty() {
            return;
        }
        let mut all = self.write();
        all.retain(|group, watchers| {
            for ended in watchers.extract_if(.., |watcher| !is_kept(&watcher.plugin, group)) {
                self.counts.one_less(&ended.plugin);
            }
            !watchers.is_empty()
        });
        self.groups.store(all.len(), Ordering::Release);
    }

    /// Whether no group is watched.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.load(Ordering::Acquire) == 0
    }

    /// Who watches a group.
    pub(crate) fn of(&self, group: &GroupName) -> Vec<(PluginName, WatchNumber)> {
        let all = self.read();
        let watchers = all.get(group).into_iter().flatten();
        watchers.map(|watcher| (watcher.plugin.clone(), watcher.watch)).collect()
    }

    /// Whether a watch goes on.
    pub(crate) fn goes_on(&self, plugin: &PluginName, group: &GroupName, watch: WatchNumber) -> bool {
        number_in(&self.read(), group, plugin) == Some(watch)
    }

    /// The changes that lead from nothing to these watches.
    pub(super) fn snapshot(&self) -> Vec<DirectoryChange> {
        let watched = |group: &GroupName, watcher: &Watcher| DirectoryChange::GroupWatched {
            plugin: watcher.plugin.clone(),
            group: group.clone(),
        };
        let all = self.read();
        all.iter().flat_map(|(group, watchers)| watchers.iter().map(|each| watched(group, each))).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<GroupName, Vec<Watcher>>> {
        self.watchers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<GroupName, Vec<Watcher>>> {
        self.watchers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number_in(all: &BTreeMap<GroupName, Vec<Watcher>>, group: &GroupName, plugin: &PluginName) -> Option<WatchNumber> {
    all.get(group)?.iter().find(|watcher| watcher.plugin == *plugin).map(|watcher| watcher.watch)
}

impl WatchCounts {
    /// How many groups each plugin watches.
    pub(super) fn by_plugin(&self) -> Vec<(PluginName, usize)> {
        self.lock().by_plugin.iter().map(|(plugin, count)| (plugin.clone(), *count)).collect()
    }

    fn one_more(&self, plugin: &PluginName, most: usize) -> Result<WatchNumber, TooManyGroups> {
        let mut counts = self.lock();
        if counts.by_plugin.get(plugin).copied().unwrap_or_default() >= most {
            return Err(TooManyGroups);
        }
        *counts.by_plugin.entry(plugin.clone()).or_default() += 1;
        counts.begun += 1;
        Ok(WatchNumber(counts.begun))
    }

    fn one_less(&self, plugin: &PluginName) {
        let mut counts = self.lock();
        if let Some(count) = counts.by_plugin.get_mut(plugin) {
            *count -= 1;
            if *count == 0 {
                counts.by_plugin.remove(plugin);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
