//! A configured plugin: its versions, and what is known of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use hubgate_core::filter::Halves;
use hubgate_core::id::PluginName;

use crate::breakers::{Breakers, Caller, Opened, Passages};
use crate::budgets::Budgets;
use crate::component::Loader;
use crate::digest::Digest;
use crate::health::{Health, ShardHealth, Tally};
use crate::host::Surroundings;
use crate::kept_components::KeptComponents;
use crate::metrics::{CallCounters, CallTotals, Outcome, SwapCounters};
use crate::settings::PluginSource;
use crate::version::{Loaded, Version};
use crate::versions::{Admission, PluginError, Previous, RollbackError, SwapPoint, Versions};

/// The plugins as they are now; replaced as a whole.
pub(crate) type PluginList = ArcSwap<Vec<Arc<Plugin>>>;

/// A plugin and its versions.
pub(crate) struct Plugin {
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) swaps: Arc<SwapCounters>,
    versions: SwapPoint,
    health: Health,
    /// Of what the file had at the start and that does not serve.
    pub(crate) bad_at_start: Option<Digest>,
    /// Whether the file could not even be read then.
    pub(crate) was_unreadable_at_start: bool,
    kept: Arc<KeptComponents>,
    /// Whether the record of the versions is to be written.
    is_unrecorded: AtomicBool,
    /// Wakes the thread that writes it.
    watcher: OnceLock<SyncSender<()>>,
    counters: Mutex<Vec<Arc<CallCounters>>>,
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
    /// Whether it has served, and was rolled back.
    pub(crate) is_rolled_back: bool,
    /// Whether there is no content, because it cannot be read.
    pub(crate) is_unreadable: bool,
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
    /// A time that at least half of these kept to, the wait for an instance included.
    pub half_within: Option<Duration>,
    /// Calls that cost an instance: traps, time-outs and refused memory.
    pub traps: u64,
    /// What its instances hold, in bytes.
    pub memory_bytes: usize,
    /// Why the plugin's file as it is now does not serve; `None` when it does.
    pub last_error: Option<PluginError>,
    /// Of the component that the file has, and that was rolled back.
    pub rolled_back_from: Option<String>,
    /// Of the version that a rollback would bring back, if one is kept.
    pub previous: Option<String>,
    pub budgets: Budgets,
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

impl Plugin {
    /// A plugin that begins so; it goes on counting where `before` ends, whose settings have changed.
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        kept: Arc<KeptComponents>,
        beginning: Beginning,
        before: Option<&Plugin>,
    ) -> Plugin {
        let mut versions =
            Versions { generation: before.map_or(0, |before| before.versions().generation), ..Versions::default() };
        let error = |bad_file: &BadFile| PluginError::now(bad_file.reason.clone());
        let (admission, bad_file, component) = match beginning {
            Beginning::Component(loaded, component) => (Some(Admission::New(loaded)), None, Some(component)),
            Beginning::Embedded(loaded) => (Some(Admission::New(loaded)), None, None),
            Beginning::LastGood(loaded, bad_file) => {
                (Some(Admission::LastGood(loaded, error(&bad_file))), Some(bad_file), None)
            }
            Beginning::Refused(bad_file) => {
                versions.last_error = Some(error(&bad_file));
                (None, Some(bad_file), None)
            }
        };
        // What is new, or was good, is admitted whatever came before.
        let admitted = admission.and_then(|admission| versions.admit(admission).ok());
        match &bad_file {
            Some(bad_file) if bad_file.is_rolled_back => versions.rolled_back = bad_file.digest,
            Some(_) | None => {
                let record = kept.record(surroundings.name());
                let present = admitted.map(|version| version.digest);
                let served = [record.serving, record.before].into_iter().flatten();
                versions.previous = served.map(Previous::Kept).find(|served| Some(served.digest()) != present);
            }
        }
        let plugin = Plugin {
            swaps: before.map(|before| before.swaps.clone()).unwrap_or_default(),
            // With halves of its own: until the shards have followed, `before` serves.
            versions: SwapPoint::new(versions),
            health: Health::new(surroundings.settings.rollback.clone()),
            surroundings,
            bad_at_start: bad_file.as_ref().and_then(|bad_file| bad_file.digest),
            was_unreadable_at_start: bad_file.as_ref().is_some_and(|bad_file| bad_file.is_unreadable),
            kept,
            is_unrecorded: AtomicBool::new(false),
            watcher: OnceLock::new(),
            counters: Mutex::new(before.map(|before| before.counters().clone()).unwrap_or_default()),
        };
        if let Some(component) = component {
            plugin.keep(Some(&component));
        }
        if let Some(bad_file) = bad_file {
            plugin.log_beginning(&bad_file.reason);
        }
        plugin
    }

    pub(crate) fn name(&self) -> &PluginName {
        self.surroundings.name()
    }

    /// The versions as they are now. Calls keep the one they began with.
    pub(crate) fn versions(&self) -> arc_swap::Guard<Arc<Versions>> {
        self.versions.present()
    }

    /// Which halves of a filter the plugin has, now and after each swap.
    pub(crate) fn halves(&self) -> &Arc<Halves> {
        self.versions.halves()
    }

    /// Lets a new version, made of `component`, serve from the next call on. Only the watcher's thread swaps.
    pub(crate) fn swap(&self, loaded: Loaded, component: &[u8]) {
        let was_bad = self.health.is_bad(self.versions().generation, Instant::now()).is_some();
        // What is new is admitted whatever came before.
        let Ok(version) = self.admit(Admission::New(loaded)) else { return };
        if was_bad {
            self.health.spare(version.generation);
        }
        let (plugin, generation) = (self.name(), version.generation);
        tracing::info!(%plugin, generation, digest = %version.digest, "the plugin was swapped");
        self.count_swap();
        self.keep(Some(component));
    }

    /// Counts that something else serves: a new version, or the plugin with other settings.
    pub(crate) fn count_swap(&self) {
        self.swaps.swapped.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has broken off: brings the version before back when too many of this one's have.
    pub(crate) fn judge(&self, generation: u64, now: Instant) {
        let is_spared = self.health.is_spared(generation);
        if !is_spared && let Some(Tally { calls, broken_off }) = self.health.is_bad(generation, now) {
            let why = format!("{broken_off} of its last {calls} calls broke off");
            // Without a version before it goes on; another shard may have been faster.
            let _ = self.bring_back(&why, Some(generation));
        }
    }

    /// A call of this version has ended by the guest's own doing: is it worth a try to make further ones?
    pub(crate) fn weigh(
        &self,
        generation: u64,
        outcome: Outcome,
        (caller, passages): (Caller<'_>, Passages),
        now: Instant,
    ) {
        if self.versions().serving.as_ref().is_none_or(|version| version.generation != generation) {
            return;
        }
        let (plugin, breakers, hub) = (self.name(), self.breakers(), caller.hub);
        let whose = |opened| match opened {
            Opened::Hub => "the hub",
            Opened::Peer => "one client or user",
        };
        match outcome.is_in_vain() {
            true => {
                if let Some(opened) = breakers.in_vain(caller, passages, now) {
                    tracing::error!(
                        %plugin, %hub, generation, whose = whose(opened),
                        "nearly all calls of the plugin run into their budget: it is busy for all but one now and then"
                    );
                }
            }
            false => {
                if let Some(closed) = breakers.ended(caller, passages, now) {
                    tracing::info!(%plugin, %hub, whose = whose(closed), "calls of the plugin end again");
                }
            }
        }
    }

    pub(crate) fn breakers(&self) -> &Arc<Breakers> {
        self.health.breakers()
    }

    /// Brings the version before back because somebody wants it.
    pub(crate) fn roll_back(&self, loader: &Loader) -> Result<(), RollbackError> {
        self.prepare_version_before(loader);
        self.bring_back("an operator asked for it", None)?;
        self.record();
        Ok(())
    }

    /// Lets a version serve from the next call on: all calls are tried again.
    fn admit(&self, admission: Admission) -> Result<Arc<Version>, RollbackError> {
        let version = self.versions.change(|versions| versions.admit(admission))?;
        self.breakers().close();
        self.begin();
        Ok(version)
    }

    /// Lets the version that serves know of its hubs, if it wants to and has not been told.
    pub(crate) fn begin(&self) {
        if let Some(version) = &self.versions().serving
            && version.exports.hub_lifetime.is_some()
        {
            self.surroundings.timers.begin(version.generation);
        }
    }

    fn bring_back(&self, why: &str, of_generation: Option<u64>) -> Result<(), RollbackError> {
        let Some(digest) = self.versions().serving.as_ref().map(|version| version.digest) else {
            return Err(RollbackError::NoVersionBefore);
        };
        let reason = format!("{}{digest} was rolled back: {why}; it is refused until the file changes", self.file());
        let error = PluginError::now(reason.clone());
        let version = self.admit(Admission::Previous { of_generation, error })?;
        let (plugin, generation) = (self.name(), version.generation);
        tracing::error!(%plugin, generation, digest = %version.digest, reason, "the plugin was rolled back");
        self.swaps.rolled_back.fetch_add(1, Ordering::Relaxed);
        self.is_unrecorded.store(true, Ordering::SeqCst);
        if let Some(watcher) = self.watcher.get() {
            // A full channel wakes the thread as well.
            let _ = watcher.try_send(());
        }
        Ok(())
    }

    /// Loads the version before, if it is only kept: so that it can be brought back at once.
    pub(crate) fn prepare_version_before(&self, loader: &Loader) {
        let Some(Previous::Kept(digest)) = self.versions().previous else { return };
        let component = self.kept.component(digest);
        let loaded = component.map(|component| loader.link(&component, &self.surroundings, &|| false));
        let ready = match loaded {
            Some(Ok(loaded)) => Some(Previous::Ready(digest, Arc::new(loaded.exports))),
            Some(Err(error)) => {
                tracing::warn!(plugin = %self.name(), %digest, %error, "the version before cannot be brought back");
                None
            }
            None => None,
        };
        self.versions.change(|versions| {
            if matches!(versions.previous, Some(Previous::Kept(_))) {
                versions.previous = ready;
            }
        });
    }

    /// The plugin's file has this content now.
    pub(crate) fn file_has(&self, digest: Digest) {
        if self.versions().rolled_back.is_some_and(|rolled_back| rolled_back != digest) {
            self.versions.change(|versions| versions.rolled_back = None);
            self.keep(None);
        }
    }

    /// Remembers why the plugin's file does not serve; the version that serves goes on.
    pub(crate) fn keep_last_good(&self, reason: String) {
        let (plugin, generation) = (self.name(), self.versions().generation);
        match self.versions().serving.is_some() {
            true => tracing::error!(
                %plugin, generation, reason,
                "the plugin's file does not serve; the last good version goes on"
            ),
            false => tracing::error!(%plugin, reason, "the plugin's file does not serve; the plugin stays refused"),
        }
        self.swaps.failed.fetch_add(1, Ordering::Relaxed);
        self.versions.change(|versions| versions.last_error = Some(PluginError::now(reason)));
    }

    /// The plugin's file is again what serves.
    pub(crate) fn clear_error(&self) {
        if self.versions().last_error.is_some() {
            self.versions.change(|versions| versions.last_error = None);
        }
    }

    /// Is watched by the thread that this wakes.
    pub(crate) fn is_watched(&self, wake: SyncSender<()>) {
        let _ = self.watcher.set(wake);
    }

    /// Writes down what became of the versions, if that is not done yet.
    pub(crate) fn record(&self) {
        if self.is_unrecorded.swap(false, Ordering::SeqCst) {
            self.keep(None);
        }
    }

    /// Counters for one more shard.
    pub(crate) fn shard_counters(&self) -> Arc<CallCounters> {
        let counters = Arc::default();
        self.counters().push(Arc::clone(&counters));
        counters
    }

    /// The health of calls on one more shard.
    pub(crate) fn shard_health(&self) -> Arc<ShardHealth> {
        self.health.shard()
    }

    pub(crate) fn totals(&self) -> CallTotals {
        let mut totals = CallTotals::default();
        self.counters().iter().for_each(|counters| totals.add(counters));
        totals
    }

    pub(crate) fn status(&self) -> PluginStatus {
        let (versions, totals) = (self.versions(), self.totals());
        let version = versions.serving.as_ref();
        PluginStatus {
            name: self.name().clone(),
            generation: versions.generation,
            digest: version.map(|version| version.digest.to_string()),
            state: match version.is_some() {
                true => PluginState::Serving,
                false => PluginState::Refused,
            },
            loaded_at: version.map(|version| version.loaded_at),
            calls: totals.calls(),
            half_within: totals.half_within(),
            traps: totals.traps(),
            memory_bytes: self.surroundings.memory.held(),
            last_error: versions.last_error.clone(),
            rolled_back_from: versions.rolled_back.map(|digest| digest.to_string()),
            previous: versions.previous.as_ref().map(|previous| previous.digest().to_string()),
            budgets: self.surroundings.settings.budgets.clone(),
        }
    }

    /// Keeps what is to be known of the versions at the next start, and the component that is new.
    fn keep(&self, component: Option<&[u8]>) {
        self.kept.keep(self.name(), || self.versions().record(), component);
    }

    /// How an error about the plugin's file begins.
    fn file(&self) -> String {
        match &self.surroundings.settings.source {
            PluginSource::File(path) => format!("{}: ", path.display()),
            PluginSource::Embedded(_) => String::new(),
        }
    }

    fn log_beginning(&self, reason: &str) {
        let (plugin, versions) = (self.name(), self.versions());
        match &versions.serving {
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

    fn counters(&self) -> MutexGuard<'_, Vec<Arc<CallCounters>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
