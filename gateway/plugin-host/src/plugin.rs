//! A configured plugin: the version that serves, if one does, and what is known of it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use hubgate_core::filter::Halves;
use hubgate_core::id::PluginName;

use crate::component::{Digest, Loaded, Version};
use crate::host::Surroundings;
use crate::kept_components::{KeptComponents, Record};
use crate::metrics::{CallCounters, CallTotals, SwapCounters};

/// A plugin and its serving version.
pub(crate) struct Plugin {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) swaps: Arc<SwapCounters>,
    /// Of the version that serves; both, as long as none does: what passes through a filter that cannot serve is up to its
    /// `on-error`.
    pub(crate) halves: Arc<Halves>,
    version: ArcSwapOption<Version>,
    /// Of what the file had at the start and that does not serve.
    pub(crate) bad_at_start: Option<Digest>,
    history: Mutex<History>,
    kept: Arc<KeptComponents>,
    counters: Mutex<Vec<Arc<CallCounters>>>,
}

/// What became of the plugin's versions.
#[derive(Debug, Clone, Default)]
struct History {
    /// Of the version that was there last; 0 before the first one.
    generation: u64,
    last_error: Option<PluginError>,
}

/// What a plugin begins with.
pub(crate) enum Beginning {
    /// A component, with its bytes.
    Component(Loaded, Vec<u8>),
    /// One that never changes.
    Embedded(Loaded),
    /// The component that served before, because the plugin's file does not serve.
    LastGood(Loaded, BadFile),
    /// None, for the same reason.
    Refused(BadFile),
}

/// Why a plugin's file does not serve at the start.
pub(crate) struct BadFile {
    pub(crate) reason: String,
    /// Of a content that will not serve whenever it is tried.
    pub(crate) digest: Option<Digest>,
}

/// What is known of a plugin now.
#[derive(Debug, Clone)]
pub struct PluginStatus {
    pub name: PluginName,
    /// Which version serves: 1 from the start, and 1 more with each swap; 0 if none has served.
    pub generation: u64,
    /// Of the component that serves, if one does: `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
    pub state: PluginState,
    /// When the component that serves took over.
    pub loaded_at: Option<SystemTime>,
    /// Calls that ended, whatever came of them.
    pub calls: u64,
    /// Calls that cost an instance: traps, time-outs and refused memory.
    pub traps: u64,
    /// What its instances hold, in bytes.
    pub memory_bytes: usize,
    /// Why the plugin's file as it is now does not serve; `None` when it does.
    pub last_error: Option<PluginError>,
}

/// Whether a plugin answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginState {
    /// A version answers calls, be it the newest or the last good one.
    Serving,
    /// Its file cannot serve, and no earlier version is there.
    Refused,
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PluginState::Serving => f.write_str("serving"),
            PluginState::Refused => f.write_str("refused"),
        }
    }
}

/// Why a plugin's file does not serve, and since when.
#[derive(Debug, Clone)]
pub struct PluginError {
    pub reason: String,
    pub at: SystemTime,
}

impl PluginError {
    fn now(reason: String) -> PluginError {
        PluginError { reason, at: SystemTime::now() }
    }
}

impl Plugin {
    /// A plugin that begins so; it goes on counting where `before` ends, whose settings have changed.
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        kept: Arc<KeptComponents>,
        beginning: Beginning,
        before: Option<&Plugin>,
    ) -> Plugin {
        let (loaded, bad_file, component) = match beginning {
            Beginning::Component(loaded, component) => (Some(loaded), None, Some(component)),
            Beginning::Embedded(loaded) => (Some(loaded), None, None),
            Beginning::LastGood(loaded, bad_file) => (Some(loaded), Some(bad_file), None),
            Beginning::Refused(bad_file) => (None, Some(bad_file), None),
        };
        let last_error = bad_file.as_ref().map(|bad_file| PluginError::now(bad_file.reason.clone()));
        let history = before.map(|before| before.history().clone()).unwrap_or_default();
        let generation = history.generation + u64::from(loaded.is_some());
        let plugin = Plugin {
            surroundings,
            swaps: before.map(|before| before.swaps.clone()).unwrap_or_default(),
            // Its own: until the shards have followed, `before` serves.
            halves: Arc::default(),
            version: ArcSwapOption::from_pointee(loaded.map(|loaded| loaded.into_version(generation))),
            bad_at_start: bad_file.as_ref().and_then(|bad_file| bad_file.digest),
            history: Mutex::new(History { generation, last_error }),
            kept,
            counters: Mutex::new(before.map(|before| before.counters().clone()).unwrap_or_default()),
        };
        plugin.tell_halves();
        if let Some(component) = component {
            plugin.keep(&component);
        }
        if let Some(bad_file) = bad_file {
            plugin.log_beginning(&bad_file.reason);
        }
        plugin
    }

    pub(crate) fn name(&self) -> &PluginName {
        self.surroundings.name()
    }

    /// The version that serves. Calls keep the one they began with.
    pub(crate) fn version(&self) -> arc_swap::Guard<Option<Arc<Version>>> {
        self.version.load()
    }

    /// Whether this component serves.
    pub(crate) fn serves(&self, digest: Digest) -> bool {
        self.version().as_ref().is_some_and(|version| version.digest == digest)
    }

    /// Lets a new version, made of `component`, serve from the next call on. Only the watcher's thread swaps.
    pub(crate) fn swap(&self, loaded: Loaded, component: &[u8]) {
        let mut history = self.history();
        history.generation += 1;
        // Before the version is seen: whoever sees it sees no error of the file before.
        history.last_error = None;
        let version = Arc::new(loaded.into_version(history.generation));
        tracing::info!(
            plugin = %self.name(),
            generation = version.generation,
            digest = %version.digest,
            "the plugin was swapped"
        );
        self.version.store(Some(version));
        drop(history);
        self.tell_halves();
        self.swaps.swapped.fetch_add(1, Ordering::Relaxed);
        self.keep(component);
    }

    /// Remembers why the plugin's file does not serve; the version that serves goes on.
    pub(crate) fn keep_last_good(&self, reason: String) {
        let mut history = self.history();
        let (plugin, generation) = (self.name(), history.generation);
        match self.version().is_some() {
            true => tracing::error!(
                %plugin, generation, reason,
                "the plugin's file does not serve; the last good version goes on"
            ),
            false => tracing::error!(%plugin, reason, "the plugin's file does not serve; the plugin stays refused"),
        }
        self.swaps.failed.fetch_add(1, Ordering::Relaxed);
        history.last_error = Some(PluginError::now(reason));
    }

    /// The plugin's file is again what serves.
    pub(crate) fn clear_error(&self) {
        self.history().last_error = None;
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
        let history = self.history();
        let (version, totals) = (self.version(), self.totals());
        PluginStatus {
            name: self.name().clone(),
            generation: history.generation,
            digest: version.as_ref().map(|version| version.digest.to_string()),
            state: match version.is_some() {
                true => PluginState::Serving,
                false => PluginState::Refused,
            },
            loaded_at: version.as_ref().map(|version| version.loaded_at),
            calls: totals.calls(),
            traps: totals.traps(),
            memory_bytes: self.surroundings.memory.held(),
            last_error: history.last_error.clone(),
        }
    }

    /// Keeps the version that serves for the next start.
    fn keep(&self, component: &[u8]) {
        let record = Record { serving: Some(Digest::of(component)), rolled_back: None };
        self.kept.keep(self.name(), record, Some(component));
    }

    fn log_beginning(&self, reason: &str) {
        let (plugin, version) = (self.name(), self.version());
        match version.as_ref() {
            Some(version) => tracing::error!(
                %plugin, digest = %version.digest, reason,
                "the plugin's file does not serve; the last good version does"
            ),
            None => tracing::error!(
                %plugin, reason,
                "the plugin's file does not serve, and no earlier version is there: what needs the plugin is refused"
            ),
        }
    }

    fn tell_halves(&self) {
        match self.version().as_ref() {
            Some(version) => {
                let exports = &version.exports;
                self.halves.set(exports.inbound_filter.is_some(), exports.outbound_filter.is_some());
            }
            None => self.halves.set(true, true),
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> MutexGuard<'_, Vec<Arc<CallCounters>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
