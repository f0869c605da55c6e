//! All plugins of a gateway.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use hubgate_core::id::{HubName, PluginName};
use prometheus_client::registry::Registry;

use crate::clock::Clock;
use crate::collector::PluginCollector;
use crate::compiler::Compilation;
use crate::component::Loader;
use crate::digest::Digest;
use crate::engine::{self, Allocation};
use crate::host::{Machine, Source, Surroundings};
use crate::kept::Kept;
use crate::kept_components::KeptComponents;
use crate::limits::MAX_COMPONENT_BYTES;
use crate::load_error::LoadError;
use crate::log::PluginLogLine;
use crate::memory::MemoryAccount;
use crate::plugin::{BadFile, Beginning, Plugin, PluginList, PluginStatus};
use crate::private_folder;
use crate::regular_file::{FileError, RegularFile};
use crate::settings::{HostSettings, PluginSettings, PluginSource, StateScope, Uses};
use crate::shared::{SharedStates, SharedStore, SharedValues};
use crate::store::Store;
use crate::ticker::{Caller, Ticker};
use crate::timers::Timers;
use crate::version::Loaded;
use crate::versions::RollbackError;
use crate::watch::Watcher;
use crate::worker::VitalSign;

/// All plugins of a gateway, with the threads that serve them: one makes the epochs, one watches and swaps files, one changes
/// what plugins keep. The first two end with [`PluginHost::stop`], all of them when the last clone and the last
/// [`ShardPlugins`] are dropped.
#[derive(Clone)]
pub struct PluginHost(Arc<Inner>);

struct Inner {
    plugins: Arc<PluginList>,
    loader: Arc<Loader>,
    kept: Arc<KeptComponents>,
    state_folder: Option<PathBuf>,
    shared: Option<SharedStates>,
    memory: Arc<MemoryAccount>,
    source: Arc<dyn Source>,
    timers: Arc<Timers>,
    /// Opened when there is a first plugin.
    store: Mutex<Option<Arc<Store>>>,
    /// Started when a first plugin has a file.
    watcher: Mutex<Option<Watcher>>,
    /// Whether an operator's component is on its way into a plugin's file.
    swapping: Arc<AtomicBool>,
    ticker: Ticker,
}

/// How long what is shared is waited for before plugins serve without it.
const SHARED_PATIENCE: Duration = Duration::from_secs(5);

/// Where plugins keep what lasts; without a folder it ends with the host.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// Of the `state` import.
    pub state: Option<PathBuf>,
    /// Of components that serve, for a start at which a plugin's file does not.
    pub components: Option<PathBuf>,
}

/// Where plugins keep things.
#[derive(Debug, Clone, Default)]
pub struct Keeping {
    /// For this gateway alone.
    pub folders: Folders,
    /// Together with other gateways.
    pub shared: Option<Arc<dyn SharedStore>>,
}

impl From<Folders> for Keeping {
    /// Nothing is shared.
    fn from(folders: Folders) -> Keeping {
        Keeping { folders, shared: None }
    }
}

/// What becomes of a plugin whose file cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPlugins {
    /// The configuration is refused.
    Fail,
    /// Its last good version serves; without one, calls of the plugin fail until its file can serve.
    Refuse,
}

/// Why the plugins of a configuration cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("plugin {plugin}: {} cannot be read: {source}", file.display())]
    Read { plugin: PluginName, file: PathBuf, source: FileError },
    #[error("plugin {plugin}: {} cannot serve: {source}", file.display())]
    Load { plugin: PluginName, file: PathBuf, source: LoadError },
    #[error(
        "plugin {plugin}: {} has a component that was rolled back: put the one that serves in its place, or a new one",
        file.display()
    )]
    RolledBack { plugin: PluginName, file: PathBuf },
    #[error("plugin {plugin}: the embedded component cannot serve: {source}")]
    LoadEmbedded { plugin: PluginName, source: LoadError },
    #[error("the state of plugins cannot be used: {0}")]
    State(String),
    #[error("plugin {plugin} cannot keep what it keeps in the cluster: {reason}")]
    SharedState { plugin: PluginName, reason: String },
    #[error("plugin {plugin} is configured twice")]
    Twice { plugin: PluginName },
    #[error("plugins cannot run here: {0}")]
    Engine(String),
}

impl StartError {
    /// The key of the configuration that it is about.
    pub fn key(&self) -> String {
        let (plugin, key) = match self {
            StartError::Load { plugin, source: LoadError::NeedsHttp(_), .. } => (plugin, "allow-http"),
            StartError::Load { plugin, source: LoadError::NotReady(_), .. } => (plugin, "config"),
            StartError::Read { plugin, .. }
            | StartError::Load { plugin, .. }
            | StartError::RolledBack { plugin, .. }
            | StartError::LoadEmbedded { plugin, .. } => (plugin, "path"),
            StartError::SharedState { plugin, .. } => (plugin, "state-scope"),
            StartError::Twice { plugin } => return format!("plugins.{plugin}"),
            StartError::State(_) => return "server.data-dir".to_owned(),
            StartError::Engine(_) => return "plugins".to_owned(),
        };
        format!("plugins.{plugin}.{key}")
    }
}

impl Folders {
    /// Says why plugins could not keep there what lasts, without changing anything but for a moment.
    pub fn check(&self) -> Result<(), StartError> {
        let state = |error: &dyn fmt::Display| StartError::State(error.to_string());
        if let Some(folder) = &self.state {
            Store::check(folder).map_err(|error| state(&error))?;
        }
        match &self.components {
            Some(folder) => {
                private_folder::check(folder).map_err(|error| state(&format_args!("{}: {error}", folder.display())))
            }
            None => Ok(()),
        }
    }
}

/// A file that no plugin can be served from: for a start that it ends, and for a plugin that goes on without it.
struct Unusable {
    error: StartError,
    bad_file: BadFile,
}

impl PluginHost {
    /// Compiles, checks and tries out every plugin, then starts to watch their files. Blocks meanwhile: seconds for
    /// components with an interpreter inside, and for a store of the cluster that is not reached.
    pub fn start(
        settings: HostSettings,
        compilation: Compilation,
        keeping: impl Into<Keeping>,
        bad_plugins: BadPlugins,
    ) -> Result<PluginHost, StartError> {
        let Keeping { folders, shared } = keeping.into();
        let HostSettings { plugins, hubs, shards, memory_bytes } = settings;
        let environment = |error: &dyn fmt::Display| StartError::Engine(error.to_string());
        // For all pools, and for the new versions that are tried out beside them.
        let roles = |plugin: &PluginSettings| {
            let Uses { upstream, filter, authorizer } = plugin.uses;
            // Handlers are told of events of hubs beside those of clients.
            2 * usize::from(upstream.is_some()) + usize::from(filter) + usize::from(authorizer)
        };
        // Handlers may wait for clients beside.
        let asks = |plugin: &PluginSettings| plugin.uses.upstream.map_or(0, |_| plugin.budgets.asks);
        let slots = |plugin: &PluginSettings| shards * roles(plugin) * plugin.budgets.concurrency + asks(plugin) + 1;
        let instances = plugins.iter().map(slots).fold(0, usize::saturating_add);
        let (engine, allocation) =
            engine::pooling(instances).map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| environment(&error))?;
        let loader = Arc::new(Loader::new((&engine, allocation), &ticker, compilation).map_err(StartError::Engine)?);
        let host = PluginHost(Arc::new(Inner {
            plugins: Arc::default(),
            loader,
            kept: Arc::new(KeptComponents::new(folders.components)),
            state_folder: folders.state,
            shared: shared.map(SharedStates::new),
            memory: MemoryAccount::new(memory_bytes, allocation == Allocation::Pooled),
            source: Arc::new(Machine::new()),
            timers: Arc::new(Timers::new(shards, Clock::Machine)),
            store: Mutex::default(),
            watcher: Mutex::default(),
            swapping: Arc::default(),
            ticker,
        }));
        host.replace((plugins, hubs), bad_plugins)?;
        Ok(host)
    }

    /// Goes on with these plugins: new ones are loaded, those whose settings changed are loaded anew and keep their state,
    /// the others stay as they are. If one of them cannot serve, nothing changes. Shards follow with
    /// [`ShardPlugins::refresh`]. Blocks as [`PluginHost::start`] does.
    pub fn configure(&self, settings: HostSettings) -> Result<(), StartError> {
        self.replace((settings.plugins, settings.hubs), BadPlugins::Fail)?;
        self.0.memory.allow(settings.memory_bytes);
        Ok(())
    }

    /// Timers that were read for a plugin which is not to serve after all are forgotten: nobody would fire them.
    fn replace(
        &self,
        wanted: (Vec<PluginSettings>, Vec<(PluginName, HubName)>),
        bad_plugins: BadPlugins,
    ) -> Result<(), StartError> {
        let replaced = self.replace_all(wanted, bad_plugins);
        if replaced.is_err() {
            self.0.timers.retain(self.0.plugins.load().iter().map(|plugin| plugin.name()));
        }
        replaced
    }

    fn replace_all(
        &self,
        (plugins, hubs): (Vec<PluginSettings>, Vec<(PluginName, HubName)>),
        bad_plugins: BadPlugins,
    ) -> Result<(), StartError> {
        let present = self.0.plugins.load_full();
        // What is kept elsewhere comes while plugins are compiled.
        let shared = self.open_shared(&plugins)?;
        let mut next: Vec<Arc<Plugin>> = Vec::new();
        for settings in plugins {
            if next.iter().any(|plugin| *plugin.name() == settings.name) {
                return Err(StartError::Twice { plugin: settings.name });
            }
            let before = present.iter().find(|plugin| *plugin.name() == settings.name);
            next.push(match before {
                Some(plugin) if plugin.surroundings.settings == settings => plugin.clone(),
                before => Arc::new(self.load(settings, before.map(Arc::as_ref), bad_plugins)?),
            });
        }
        wait_for(shared)?;
        for plugin in &next {
            let is_swapped = |before: &Arc<Plugin>| before.name() == plugin.name() && !Arc::ptr_eq(before, plugin);
            if present.iter().any(is_swapped) {
                plugin.count_swap();
            }
        }
        self.watch(&next)?;
        self.0.kept.retain(next.iter().map(|plugin| plugin.name()));
        self.0.timers.retain(next.iter().map(|plugin| plugin.name()));
        self.0.timers.name_hubs(hubs);
        let next = Arc::new(next);
        self.0.plugins.store(next.clone());
        next.iter().for_each(|plugin| plugin.begin());
        Ok(())
    }

    /// What plugins keep together with those of other gateways, for those that do.
    fn open_shared(&self, plugins: &[PluginSettings]) -> Result<Vec<(PluginName, Arc<SharedValues>)>, StartError> {
        let shared = plugins.iter().filter(|plugin| plugin.state_scope == StateScope::Cluster);
        shared.map(|plugin| Ok((plugin.name.clone(), self.shared(&plugin.name)?.values(&plugin.name)))).collect()
    }

    fn shared(&self, plugin: &PluginName) -> Result<&SharedStates, StartError> {
        let missing = || StartError::SharedState {
            plugin: plugin.clone(),
            reason: "this gateway is not one of a cluster".to_owned(),
        };
        self.0.shared.as_ref().ok_or_else(missing)
    }

    /// Loads a plugin; it goes on counting and remembering where `before` ends.
    fn load(
        &self,
        settings: PluginSettings,
        before: Option<&Plugin>,
        bad_plugins: BadPlugins,
    ) -> Result<Plugin, StartError> {
        let (plugin, source) = (settings.name.clone(), settings.source.clone());
        let store = self.store()?;
        let kept = match settings.state_scope {
            StateScope::Node => Kept::Here(store.clone(), store.values(&settings.name)),
            StateScope::Cluster => Kept::Shared(self.shared(&plugin)?.values(&settings.name)),
        };
        let surroundings = Arc::new(match before {
            Some(before) => before.surroundings.with_settings(settings, kept),
            None => {
                let timers = self.0.timers.of(&settings.name, &store);
                Surroundings::new(settings, (kept, timers), self.0.memory.plugin(), self.0.source.clone())
            }
        });
        let load = |component: &[u8]| {
            let began = Instant::now();
            let loaded = self.0.loader.load(component, &surroundings, &|| false)?;
            let took = format!("{:.1} ms", began.elapsed().as_secs_f64() * 1e3);
            tracing::info!(plugin = %surroundings.name(), digest = %loaded.digest, took, "a plugin was loaded");
            Ok(loaded)
        };
        let beginning = match source {
            PluginSource::Embedded(component) => match load(component) {
                Ok(loaded) => Beginning::Embedded(loaded),
                Err(source) => return Err(StartError::LoadEmbedded { plugin, source }),
            },
            PluginSource::File(file) => {
                let record = self.0.kept.record(&plugin);
                let rolled_back = before.map_or(record.rolled_back, |before| before.versions().rolled_back);
                match self.load_file(&plugin, file, rolled_back, load) {
                    Ok((loaded, component)) => Beginning::Component(loaded, component),
                    Err(unusable) => {
                        let Unusable { error, bad_file } = *unusable;
                        // A plugin that was rolled back goes on so whatever its settings are.
                        let goes_on = bad_file.is_rolled_back && before.is_some();
                        let last_good = record.serving.filter(|_| goes_on || bad_plugins == BadPlugins::Refuse);
                        match last_good.and_then(|digest| load(&self.0.kept.component(digest)?).ok()) {
                            Some(loaded) => Beginning::LastGood(loaded, bad_file),
                            None if bad_plugins == BadPlugins::Fail => return Err(error),
                            None => Beginning::Refused(bad_file),
                        }
                    }
                }
            }
        };
        Ok(Plugin::new(surroundings, self.0.kept.clone(), beginning, before))
    }

    /// Loads a plugin's file, unless it has what was rolled back.
    fn load_file(
        &self,
        plugin: &PluginName,
        file: PathBuf,
        rolled_back: Option<Digest>,
        load: impl Fn(&[u8]) -> Result<Loaded, LoadError>,
    ) -> Result<(Loaded, Vec<u8>), Box<Unusable>> {
        let plugin = plugin.clone();
        let bad = |error: StartError, digest, is_rolled_back| {
            let (reason, is_unreadable) = (error.to_string(), matches!(error, StartError::Read { .. }));
            Err(Box::new(Unusable { error, bad_file: BadFile { reason, digest, is_rolled_back, is_unreadable } }))
        };
        let component = match RegularFile::read(&file, MAX_COMPONENT_BYTES) {
            Ok(content) => content.bytes,
            Err(source) => return bad(StartError::Read { plugin, file, source }, None, false),
        };
        if let Some(digest) = rolled_back.filter(|rolled_back| *rolled_back == Digest::of(&component)) {
            return bad(StartError::RolledBack { plugin, file }, Some(digest), true);
        }
        match load(&component) {
            Ok(loaded) => Ok((loaded, component)),
            Err(source) => {
                let digest = (!source.is_transient()).then(|| Digest::of(&component));
                bad(StartError::Load { plugin, file, source }, digest, false)
            }
        }
    }

    fn watch(&self, plugins: &[Arc<Plugin>]) -> Result<(), StartError> {
        let mut watcher = self.watcher();
        let has_file = |plugin: &Arc<Plugin>| matches!(plugin.surroundings.settings.source, PluginSource::File(_));
        if watcher.is_none() && plugins.iter().any(has_file) {
            let started = Watcher::start(self.0.loader.clone());
            *watcher = Some(started.map_err(|error| StartError::Engine(error.to_string()))?);
        }
        if let Some(watcher) = &*watcher {
            watcher.watch(plugins);
        }
        Ok(())
    }

    /// For the guests of one shard.
    pub(crate) fn caller(&self) -> Caller {
        self.0.ticker.caller()
    }

    /// Brings back the version of a plugin that served before the present one, from the next call on; gives what is known of
    /// the plugin then. Blocks while that version is loaded.
    pub fn roll_back(&self, plugin: &str) -> Result<PluginStatus, RollbackError> {
        let plugins = self.plugins();
        let found = plugins.iter().find(|each| each.name().as_str() == plugin).ok_or(RollbackError::NoPlugin)?;
        found.roll_back(&self.0.loader)?;
        Ok(found.status())
    }

    /// What is known of every plugin now, in the order they were given.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        self.plugins().iter().map(|plugin| plugin.status()).collect()
    }

    /// The last lines of the log about a plugin, the oldest first; `None` if there is no such plugin.
    pub fn log_of(&self, plugin: &str) -> Option<Vec<PluginLogLine>> {
        let plugins = self.plugins();
        let found = plugins.iter().find(|each| each.name().as_str() == plugin)?;
        Some(found.surroundings.log.kept())
    }

    pub(crate) fn loader(&self) -> &Loader {
        &self.0.loader
    }

    pub(crate) fn swapping(&self) -> &Arc<AtomicBool> {
        &self.0.swapping
    }

    /// Has the files of plugins looked at now.
    pub(crate) fn look_at_files(&self) {
        if let Some(watcher) = &*self.watcher() {
            watcher.wake();
        }
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.0.timers
    }

    pub(crate) fn plugins(&self) -> Arc<Vec<Arc<Plugin>>> {
        self.0.plugins.load_full()
    }

    /// What the host's threads show of themselves, by their names. Waits for nobody.
    pub fn vital_signs(&self) -> Vec<(&'static str, VitalSign)> {
        let watcher = unless_busy(&self.0.watcher).and_then(|watcher| watcher.as_ref().map(Watcher::vital_sign));
        let store = unless_busy(&self.0.store).and_then(|store| store.as_ref().map(|store| store.vital_sign()));
        let shared = self.0.shared.as_ref().map(SharedStates::vital_sign);
        let epochs = Some(self.0.ticker.vital_sign());
        [("hubgate-epochs", epochs), ("hubgate-plugins", watcher), ("hubgate-state", store), ("cluster-state", shared)]
            .into_iter()
            .filter_map(|(name, sign)| Some((name, sign?)))
            .collect()
    }

    /// Adds `hubgate_plugin_calls_total`, `hubgate_plugin_call_seconds`, `hubgate_filter_verdicts_total`,
    /// `hubgate_plugin_presence_changes_total`, `hubgate_plugin_budget_exceeded_total`, `hubgate_plugin_memory_bytes`, `hubgate_plugin_generation`,
    /// `hubgate_plugin_serving` and `hubgate_plugin_swaps_total` to a registry without a prefix.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(PluginCollector(Arc::clone(&self.0.plugins))));
    }

    /// Ends the host's threads and a compilation under way, and waits for that within a bound. To be called when no call runs
    /// any more: without epochs a guest that loops is not broken off.
    pub fn stop(&self) {
        self.0.loader.stop();
        if let Some(watcher) = self.watcher().take() {
            watcher.stop();
        }
        self.0.ticker.stop();
    }

    fn store(&self) -> Result<Arc<Store>, StartError> {
        let mut store = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*store {
            return Ok(store.clone());
        }
        let opened =
            Store::open(self.0.state_folder.as_deref()).map_err(|error| StartError::State(error.to_string()))?;
        Ok(store.insert(Arc::new(opened)).clone())
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until all of it has come, or does not for now. An error names a plugin whose values never will.
fn wait_for(shared: Vec<(PluginName, Arc<SharedValues>)>) -> Result<(), StartError> {
    let until = Instant::now() + SHARED_PATIENCE;
    for (plugin, values) in shared {
        values.wait(until).map_err(|reason| StartError::SharedState { plugin, reason })?;
    }
    Ok(())
}

/// What is behind a lock that nobody holds for now.
fn unless_busy<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.plugins().iter().map(|plugin| plugin.name())).finish()
    }
}
