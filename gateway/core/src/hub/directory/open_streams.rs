//! How many calls with streams each plugin has, on all shards together.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::PluginName;

#[derive(Debug, Default)]
pub(crate) struct OpenStreams(Mutex<BTreeMap<PluginName, usize>>);

impl OpenStreams {
    /// One more, if a plugin has less than `most`; gives whether it has.
    pub(crate) fn begin(&self, plugin: &PluginName, most: usize) -> bool {
        let mut open = self.lock();
        let count = open.get(plugin).copied().unwrap_or_default();
        if count < most {
            open.insert(plugin.clone(), count + 1);
        }
        count < most
    }

    /// One of those that have begun is over.
    pub(crate) fn end(&self, plugin: &PluginName) {
        let mut open = self.lock();
        match open.get_mut(plugin) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(open.remove(plugin)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PluginName, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_no_more_than_it_may_and_one_that_ends_makes_room() {
        let (open, plugin) = (OpenStreams::default(), PluginName::new("p"));
        assert!(open.begin(&plugin, 2) && open.begin(&plugin, 2) && !open.begin(&plugin, 2));
        assert!(open.begin(&PluginName::new("another"), 1));
        open.end(&plugin);
        assert!(open.begin(&plugin, 2) && !open.begin(&plugin, 2));
    }
}
