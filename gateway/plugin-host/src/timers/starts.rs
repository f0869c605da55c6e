//! Versions that begin to serve hubs: each is told once of each hub that the configuration names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use hubgate_core::id::{HubName, PluginName};

use super::{Timers, lock};

/// A version of a plugin that is to be told of a hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Start {
    pub(super) plugin: PluginName,
    pub(super) hub: HubName,
    pub(super) generation: u64,
}

/// What is known of starts.
#[derive(Default)]
pub(super) struct Starts(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The hubs that the configuration names for each plugin.
    hubs: Vec<(PluginName, HubName)>,
    /// The latest version that is told of each.
    told: HashMap<(PluginName, HubName), u64>,
}

/// Starts of one lane, each with the time at which it is to be tried.
#[derive(Default)]
pub(super) struct Queue(BTreeSet<(u64, Start)>);

impl Queue {
    pub(super) fn add(&mut self, at: u64, start: Start) {
        self.0.insert((at, start));
    }

    pub(super) fn wakes(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Removes the starts of all plugins but these.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&PluginName) -> bool) {
        self.0.retain(|(_, start)| is_kept(&start.plugin));
    }

    pub(super) fn take(&mut self, now: u64) -> Option<Start> {
        match self.wakes()? <= now {
            true => self.0.pop_first().map(|(_, start)| start),
            false => None,
        }
    }
}

impl Starts {
    /// Forgets what all plugins but these were told: one that comes back begins anew.
    pub(super) fn retain(&self, is_kept: impl Fn(&PluginName) -> bool) {
        lock(&self.0).told.retain(|(plugin, _), _| is_kept(plugin));
    }
}

impl Timers {
    /// From now on the configuration names these hubs.
    pub(crate) fn name_hubs(&self, hubs: Vec<(PluginName, HubName)>) {
        lock(&self.starts.0).hubs = hubs;
    }

    /// This version of a plugin serves, and wants to be told of its hubs: of those that it has not been told of.
    pub(crate) fn begin(&self, plugin: &PluginName, generation: u64) {
        let mut known = lock(&self.starts.0);
        let Known { hubs, told } = &mut *known;
        let now = self.now();
        for (_, hub) in hubs.iter().filter(|(each, _)| each == plugin) {
            let before = told.insert((plugin.clone(), hub.clone()), generation);
            if before != Some(generation) {
                let start = Start { plugin: plugin.clone(), hub: hub.clone(), generation };
                self.lane_of(plugin, hub).change(|waiting| waiting.starts.add(now, start));
            }
        }
    }
}
