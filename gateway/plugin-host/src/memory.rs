//! The memory of instances: each has a bound of its own, and all instances of all plugins share one account.
//!
//! A plugin is always left its part of half of the account, so that no other one takes everything. Where the account is short,
//! instances that nobody uses are given up before a guest is refused memory.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wasmtime::ResourceLimiter;

use crate::limits::{
    CORE_INSTANCES, INSTANCE_BYTES, KEPT_MEMORY, KEPT_STACK, KEPT_TABLES, MEMORIES, TABLE_ELEMENT_BYTES,
    TABLE_ELEMENTS, TABLES,
};

/// The account of all instances.
#[derive(Debug)]
pub(crate) struct MemoryAccount {
    ledger: Mutex<Ledger>,
    /// Whether slots keep a part of what their instance had.
    has_slots: bool,
}

#[derive(Debug)]
struct Ledger {
    allowed: usize,
    plugins: Vec<Weak<PluginMemory>>,
    unused: UnusedSlots,
}

/// Slots that had an instance and keep a part of its memory for the next one.
#[derive(Debug, Default)]
struct UnusedSlots {
    count: usize,
    bytes: usize,
}

/// What the instances of one plugin hold, on all shards.
#[derive(Debug)]
pub(crate) struct PluginMemory {
    account: Arc<MemoryAccount>,
    /// Changes under the ledger's lock alone.
    held: AtomicUsize,
    unused_instances: Mutex<Vec<Weak<dyn Unused>>>,
}

/// Instances that wait for their next call.
pub(crate) trait Unused: fmt::Debug + Send + Sync {
    /// Gives up the one that has waited for the longest time; says whether there was one.
    fn give_up_one(&self) -> bool;
}

impl MemoryAccount {
    /// `has_slots`: of an engine whose instances get their memory from slots.
    pub(crate) fn new(allowed: usize, has_slots: bool) -> Arc<MemoryAccount> {
        let ledger = Ledger { allowed, plugins: Vec::new(), unused: UnusedSlots::default() };
        Arc::new(MemoryAccount { ledger: Mutex::new(ledger), has_slots })
    }

    /// One more plugin, until its last owner drops it.
    pub(crate) fn plugin(self: &Arc<Self>) -> Arc<PluginMemory> {
        let (account, held) = (Arc::clone(self), AtomicUsize::new(0));
        let plugin = Arc::new(PluginMemory { account, held, unused_instances: Mutex::default() });
        self.ledger().plugins.push(Arc::downgrade(&plugin));
        plugin
    }

    /// Goes on with another bound. What is beyond it is given up as far as nobody uses it.
    pub(crate) fn allow(&self, bytes: usize) {
        self.ledger().allowed = bytes;
        while let Some(plugins) = self.beyond() {
            if !plugins.iter().any(|plugin| plugin.give_up_one()) {
                return;
            }
        }
    }

    /// All plugins, while they hold more than they may together.
    fn beyond(&self) -> Option<Vec<Arc<PluginMemory>>> {
        let mut ledger = self.ledger();
        let plugins = ledger.plugins();
        let held: usize = plugins.iter().map(|plugin| plugin.held()).sum();
        (held.saturating_add(ledger.unused.bytes) > ledger.allowed).then_some(plugins)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Those that are there, the one with the most first.
    fn plugins(&mut self) -> Vec<Arc<PluginMemory>> {
        let mut present = Vec::with_capacity(self.plugins.len());
        self.plugins.retain(|plugin| plugin.upgrade().map(|plugin| present.push(plugin)).is_some());
        present.sort_by_key(|plugin| std::cmp::Reverse(plugin.held()));
        present
    }

    /// Adds to what a plugin holds, if that leaves the others their parts; otherwise gives the plugins whose unused
    /// instances could make room.
    fn take(&mut self, plugin: &PluginMemory, bytes: usize) -> Result<(), Vec<Arc<PluginMemory>>> {
        let plugins = self.plugins();
        let part = self.allowed / 2 / plugins.len().max(1);
        let is_itself = |each: &Arc<PluginMemory>| std::ptr::eq(&raw const **each, plugin);
        let others = plugins.iter().filter(|each| !is_itself(each)).map(|each| each.held().max(part));
        let all = others.chain([plugin.held(), bytes, self.unused.bytes]).fold(0, usize::saturating_add);
        if all > self.allowed {
            return Err(plugins.into_iter().filter(|each| is_itself(each) || each.held() > part).collect());
        }
        plugin.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl UnusedSlots {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    /// The next instance gets one of them, if there is one; gives what it keeps.
    fn take_one(&mut self) -> Option<usize> {
        let bytes = self.bytes.checked_div(self.count)?;
        self.count -= 1;
        self.bytes -= bytes;
        Some(bytes)
    }
}

impl PluginMemory {
    /// In bytes.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Knows from now on where instances wait that can be given up.
    pub(crate) fn may_give_up(&self, unused: Weak<dyn Unused>) {
        let mut all = self.unused_instances();
        all.retain(|each| each.strong_count() > 0);
        all.push(unused);
    }

    fn give_up_one(&self) -> bool {
        // Giving one up takes the ledger's lock, and its pool's.
        let all: Vec<Arc<dyn Unused>> = self.unused_instances().iter().filter_map(Weak::upgrade).collect();
        all.iter().any(|unused| unused.give_up_one())
    }

    fn take(&self, bytes: usize) -> bool {
        loop {
            let taken = self.account.ledger().take(self, bytes);
            match taken {
                Ok(()) => return true,
                Err(plugins) if plugins.iter().any(|plugin| plugin.give_up_one()) => {}
                Err(_) => return false,
            }
        }
    }

    fn give_back(&self, bytes: usize, kept_by_slot: usize) {
        let mut ledger = self.account.ledger();
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if self.account.has_slots {
            ledger.unused.add(kept_by_slot);
        }
    }

    fn unused_instances(&self) -> MutexGuard<'_, Vec<Weak<dyn Unused>>> {
        self.unused_instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which bound was in the way of a guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// `plugins.NAME.memory`, or a fixed one.
    Instance,
    /// `server.limits.plugin-memory`.
    AllPlugins,
}

/// The memory of one instance, kept as wasmtime's limiter of its store. What it has it gives back when it is dropped.
#[derive(Debug)]
pub(crate) struct InstanceMemory {
    plugin: Arc<PluginMemory>,
    allowed: usize,
    used: usize,
    table_elements: usize,
    is_open: bool,
    refused: Option<Bound>,
}

impl InstanceMemory {
    pub(crate) fn new(plugin: Arc<PluginMemory>, allowed: usize) -> InstanceMemory {
        InstanceMemory { plugin, allowed, used: 0, table_elements: 0, is_open: false, refused: None }
    }

    /// Has room for what an instance takes up beside its memories. Without it none may be made.
    pub(crate) fn open(&mut self) -> bool {
        let slot = self.plugin.account.ledger().unused.take_one();
        self.is_open = self.plugin.take(INSTANCE_BYTES);
        if let (Some(bytes), false) = (slot, self.is_open) {
            self.plugin.account.ledger().unused.add(bytes);
        }
        self.is_open
    }

    /// What all memories of the instance hold, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// What has refused the instance memory since [`InstanceMemory::forgive`]. A guest that breaks off afterwards does so
    /// for want of memory.
    pub(crate) fn refused(&self) -> Option<Bound> {
        self.refused
    }

    pub(crate) fn forgive(&mut self) {
        self.refused = None;
    }

    /// Takes so much from the account, and remembers when it is refused.
    fn take(&mut self, bytes: usize) -> bool {
        let taken = self.plugin.take(bytes);
        if !taken {
            self.refused = Some(Bound::AllPlugins);
        }
        taken
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        if self.is_open {
            let tables = self.table_elements * TABLE_ELEMENT_BYTES;
            let kept = self.used.min(KEPT_MEMORY) + tables.min(KEPT_TABLES) + KEPT_STACK;
            self.plugin.give_back(INSTANCE_BYTES + self.used + tables, kept);
        }
    }
}

impl ResourceLimiter for InstanceMemory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own maximum. Refused here, so that the account stays true: growth allowed here happens.
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        if self.used.saturating_add(more) > self.allowed {
            self.refused = Some(Bound::Instance);
            return Ok(false);
        }
        let taken = self.take(more);
        if taken {
            self.used += more;
        }
        Ok(taken)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if self.table_elements.saturating_add(more) > TABLE_ELEMENTS {
            self.refused = Some(Bound::Instance);
            return Ok(false);
        }
        let taken = self.take(more * TABLE_ELEMENT_BYTES);
        if taken {
            self.table_elements += more;
        }
        Ok(taken)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn instance(plugin: &Arc<PluginMemory>) -> InstanceMemory {
        let mut memory = InstanceMemory::new(plugin.clone(), 64 * MIB);
        assert!(memory.open());
        memory
    }

    fn grow(memory: &mut InstanceMemory, bytes: usize) -> bool {
        memory.memory_growing(memory.used(), memory.used() + bytes, None).unwrap()
    }

    #[derive(Debug, Default)]
    struct Waiting(Mutex<Vec<InstanceMemory>>);

    impl Unused for Waiting {
        fn give_up_one(&self) -> bool {
            self.0.lock().unwrap().pop().is_some()
        }
    }

    #[test]
    fn all_memories_of_an_instance_share_its_bound() {
        let plugin = MemoryAccount::new(usize::MAX, false).plugin();
        let mut memory = InstanceMemory::new(plugin, 300);
        assert!(memory.open());
        assert!(memory.memory_growing(0, 100, None).unwrap());
        assert!(memory.memory_growing(0, 150, None).unwrap());
        assert!(!memory.memory_growing(100, 200, None).unwrap());
        assert_eq!(memory.refused(), Some(Bound::Instance));
        assert!(memory.memory_growing(100, 150, None).unwrap());
        assert_eq!(memory.used(), 300);
        memory.forgive();
        assert_eq!(memory.refused(), None);
    }

    #[test]
    fn a_modules_own_maximum_is_not_a_refusal() {
        let mut memory = instance(&MemoryAccount::new(usize::MAX, false).plugin());
        assert!(!memory.memory_growing(0, 100, Some(50)).unwrap());
        assert_eq!((memory.refused(), memory.used()), (None, 0));
    }

    #[test]
    fn memories_tables_and_instances_count_until_they_are_dropped() {
        let plugin = MemoryAccount::new(usize::MAX, false).plugin();
        let mut memory = instance(&plugin);
        assert!(grow(&mut memory, MIB) && memory.table_growing(0, 100, None).unwrap());
        assert_eq!(plugin.held(), INSTANCE_BYTES + MIB + 100 * TABLE_ELEMENT_BYTES);
        drop(memory);
        assert_eq!(plugin.held(), 0);
    }

    #[test]
    fn no_plugin_takes_the_part_of_another() {
        let account = MemoryAccount::new(16 * MIB, false);
        let [greedy, other] = [account.plugin(), account.plugin()];
        let mut eaten = instance(&greedy);
        while grow(&mut eaten, MIB) {}
        assert_eq!(eaten.refused(), Some(Bound::AllPlugins));
        assert!((11 * MIB..=12 * MIB).contains(&greedy.held()), "{}", greedy.held());
        let mut memory = instance(&other);
        assert!(grow(&mut memory, 3 * MIB));
        drop(other);
        drop(memory);
        assert!(grow(&mut eaten, 3 * MIB), "a plugin that is gone needs no part");
    }

    #[test]
    fn unused_instances_are_given_up_before_memory_is_refused_but_not_those_of_a_plugin_within_its_part() {
        let account = MemoryAccount::new(16 * MIB, false);
        let [greedy, large, small] = [account.plugin(), account.plugin(), account.plugin()];
        let [of_large, of_small] = [(&large, 4), (&small, 1)].map(|(plugin, size)| {
            let mut unused = instance(plugin);
            assert!(grow(&mut unused, size * MIB));
            let waiting = Arc::new(Waiting(Mutex::new(vec![unused])));
            let weak: Weak<dyn Unused> = Arc::<Waiting>::downgrade(&waiting);
            plugin.may_give_up(weak);
            waiting
        });
        let mut eaten = instance(&greedy);
        while grow(&mut eaten, MIB) {}
        assert_eq!((large.held(), of_large.0.lock().unwrap().len()), (0, 0));
        assert!(small.held() > MIB && of_small.0.lock().unwrap().len() == 1);
    }

    #[test]
    fn a_smaller_bound_gives_up_what_nobody_uses() {
        let account = MemoryAccount::new(16 * MIB, false);
        let plugin = account.plugin();
        let waiting = Arc::new(Waiting(Mutex::new(vec![instance(&plugin), instance(&plugin)])));
        let weak: Weak<dyn Unused> = Arc::<Waiting>::downgrade(&waiting);
        plugin.may_give_up(weak);
        account.allow(INSTANCE_BYTES);
        assert_eq!(plugin.held(), INSTANCE_BYTES);
    }

    #[test]
    fn what_slots_keep_counts_until_an_instance_takes_it_over() {
        let account = MemoryAccount::new(64 * MIB, true);
        let plugin = account.plugin();
        let mut instances = [instance(&plugin), instance(&plugin)];
        for memory in &mut instances {
            assert!(grow(memory, MIB));
        }
        drop(instances);
        assert_eq!(account.ledger().unused.bytes, 2 * (KEPT_MEMORY + KEPT_STACK));
        let one = instance(&plugin);
        assert_eq!(account.ledger().unused.bytes, KEPT_MEMORY + KEPT_STACK);
        let [two, three] = [instance(&plugin), instance(&plugin)];
        assert_eq!(account.ledger().unused.bytes, 0);
        drop([one, two, three]);
        assert_eq!(account.ledger().unused.bytes, 3 * KEPT_STACK);
    }
}
