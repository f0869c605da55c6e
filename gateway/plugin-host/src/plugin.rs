//! A configured plugin: the version that serves, and what is known of it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use hubgate_core::filter::Halves;
use hubgate_core::id::PluginName;

use crate::component::{Exports, Loaded, Version};
use crate::host::Surroundings;
use crate::metrics::{CallCounters, CallTotals, SwapCounters};

/// A plugin and its serving version.
pub(crate) struct Plugin {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) swaps: Arc<SwapCounters>,
    /// Of the version that serves.
    pub(crate) halves: Arc<Halves>,
    version: ArcSwap<Version>,
    last_error: Mutex<Option<PluginError>>,
    counters: Mutex<Vec<Arc<CallCounters>>>,
}

/// What is known of a plugin now.
#[derive(Debug, Clone)]
pub struct PluginStatus {
    pub name: PluginName,
    /// Which version serves: 1 from the start, and 1 more with each swap.
    pub generation: u64,
    /// Of the component that serves: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    pub state: PluginState,
    /// When the component that serves took over.
    pub loaded_at: SystemTime,
    /// Calls that ended, whatever came of them.
    pub calls: u64,
    /// Calls that cost an instance: traps, time-outs and refused memory.
    pub traps: u64,
    /// Why the plugin's file as it is now does not serve; `None` when it does.
    pub last_error: Option<PluginError>,
}

/// Whether a plugin answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginState {
    /// A version answers calls, be it the newest or the last good one.
    Serving,
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PluginState::Serving => f.write_str("serving"),
        }
    }
}

/// Why a plugin's file does not serve, and since when.
#[derive(Debug, Clone)]
pub struct PluginError {
    pub reason: String,
    pub at: SystemTime,
}

impl Plugin {
    pub(crate) fn new(surroundings: Arc<Surroundings>, loaded: Loaded) -> Plugin {
        let halves = Arc::default();
        tell_halves(&halves, &loaded.exports);
        Plugin {
            surroundings,
            swaps: Arc::default(),
            halves,
            version: ArcSwap::from_pointee(loaded.into_version(1)),
            last_error: Mutex::default(),
            counters: Mutex::default(),
        }
    }

    /// Takes the place of `before`, whose settings have changed.
    pub(crate) fn behind(before: &Plugin, surroundings: Arc<Surroundings>, loaded: Loaded) -> Plugin {
        // Its own: until the shards have followed, `before` serves.
        let halves = Arc::default();
        tell_halves(&halves, &loaded.exports);
        Plugin {
            surroundings,
            swaps: before.swaps.clone(),
            halves,
            version: ArcSwap::from_pointee(loaded.into_version(before.version().generation + 1)),
            last_error: Mutex::default(),
            counters: Mutex::new(before.counters().clone()),
        }
    }

    pub(crate) fn name(&self) -> &PluginName {
        self.surroundings.name()
    }

    /// The version that serves. Calls keep the one they began with.
    pub(crate) fn version(&self) -> arc_swap::Guard<Arc<Version>> {
        self.version.load()
    }

    /// Lets a new version serve from the next call on. Only the watcher's thread swaps.
    pub(crate) fn swap(&self, loaded: Loaded) {
        let version = loaded.into_version(self.version().generation + 1);
        tracing::info!(
            plugin = %self.name(),
            generation = version.generation,
            digest = %version.digest,
            "the plugin was swapped"
        );
        // Before the version is seen: who sees it sees no error of the file before.
        self.clear_error();
        let version = Arc::new(version);
        self.version.store(version.clone());
        tell_halves(&self.halves, &version.exports);
        self.swaps.swapped.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers why the plugin's file does not serve; the version that serves goes on.
    pub(crate) fn keep_last_good(&self, reason: String) {
        tracing::error!(
            plugin = %self.name(),
            generation = self.version().generation,
            reason,
            "the plugin's file does not serve; the last good version goes on"
        );
        self.swaps.failed.fetch_add(1, Ordering::Relaxed);
        *self.last_error() = Some(PluginError { reason, at: SystemTime::now() });
    }

    /// The plugin's file is again what serves.
    pub(crate) fn clear_error(&self) {
        *self.last_error() = None;
    }

    /// Counters for one more shard.
    pub(crate) fn shard_counters(&self) -> Arc<CallCounters> {
        let counters = Arc::default();
        self.counters().push(Arc::clone(&counters));
        counters
    }

    pub(crate) fn totals(&self) -> CallTotals {
        let mut totals = CallTotals::default();
        self.counters().iter().for_each(|counters| totals.add(counters));
        totals
    }

    pub(crate) fn status(&self) -> PluginStatus {
        let (version, totals) = (self.version(), self.totals());
        PluginStatus {
            name: self.name().clone(),
            generation: version.generation,
            digest: version.digest.to_string(),
            state: PluginState::Serving,
            loaded_at: version.loaded_at,
            calls: totals.calls(),
            traps: totals.traps(),
            last_error: self.last_error().clone(),
        }
    }

    fn last_error(&self) -> MutexGuard<'_, Option<PluginError>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> MutexGuard<'_, Vec<Arc<CallCounters>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_halves(halves: &Halves, exports: &Exports) {
    halves.set(exports.inbound_filter.is_some(), exports.outbound_filter.is_some());
}
