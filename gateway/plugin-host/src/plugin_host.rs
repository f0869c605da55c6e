//! All plugins of a gateway.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use hubgate_core::id::PluginName;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use crate::component::{LoadError, Loader};
use crate::engine;
use crate::host::{ShardQuestion, Surroundings};
use crate::limits::INSTANCES_PER_POOL;
use crate::metrics::PluginCollector;
use crate::plugin::{Plugin, PluginStatus};
use crate::pool::ShardPlugins;
use crate::settings::{PluginSettings, PluginSource};
use crate::ticker::Ticker;
use crate::watch::{self, ReadError, WatchedFile, Watcher};

/// All plugins of a gateway, with the threads that serve them: one makes the epochs, one watches and swaps files. They
/// end with [`PluginHost::stop`], or when the last clone and the last [`ShardPlugins`] are dropped.
#[derive(Clone)]
pub struct PluginHost(Arc<Inner>);

struct Inner {
    plugins: Arc<[Arc<Plugin>]>,
    watcher: Option<Watcher>,
    ticker: Ticker,
}

/// Why the plugins of a configuration cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("plugin {plugin}: {} cannot be read: {source}", file.display())]
    Read { plugin: PluginName, file: PathBuf, source: std::io::Error },
    #[error("plugin {plugin}: {} cannot serve: {source}", file.display())]
    Load { plugin: PluginName, file: PathBuf, source: LoadError },
    #[error("plugin {plugin}: the embedded component cannot serve: {source}")]
    LoadEmbedded { plugin: PluginName, source: LoadError },
    #[error("plugin {plugin} is configured twice")]
    Twice { plugin: PluginName },
    #[error("plugins cannot run here: {0}")]
    Engine(String),
}

impl PluginHost {
    /// Compiles, checks and tries out every plugin, then starts to watch their files. Blocks meanwhile: seconds for
    /// components with an interpreter inside.
    pub fn start(plugins: Vec<PluginSettings>) -> Result<PluginHost, StartError> {
        let shards = thread::available_parallelism().map_or(1, usize::from);
        let environment = |error: &dyn fmt::Display| StartError::Engine(error.to_string());
        // For all pools, and for the new versions that are tried out beside them.
        let engine = engine::pooling(plugins.len() * (shards * INSTANCES_PER_POOL + 1))
            .map_err(|error| StartError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| environment(&error))?;
        let loader = Loader::new(&engine, &ticker).map_err(StartError::Engine)?;
        let mut loaded: Vec<Arc<Plugin>> = Vec::new();
        let mut files = Vec::new();
        for settings in plugins {
            if loaded.iter().any(|plugin| *plugin.name() == settings.name) {
                return Err(StartError::Twice { plugin: settings.name });
            }
            let (plugin, file) = load(&loader, settings)?;
            files.extend(file);
            loaded.push(plugin);
        }
        let watcher = match files.is_empty() {
            true => None,
            false => Some(Watcher::start(loader, files).map_err(|error| environment(&error))?),
        };
        Ok(PluginHost(Arc::new(Inner { plugins: loaded.into(), watcher, ticker })))
    }

    /// The pools of one shard. Its plugins ask `questions` about hubs, which the shard must answer; the bound of the
    /// channel bounds how many ask at a time.
    pub fn shard(&self, questions: mpsc::Sender<ShardQuestion>) -> ShardPlugins {
        ShardPlugins::new(self.clone(), &self.0.plugins, &self.0.ticker.caller(), &questions)
    }

    /// What is known of every plugin now, in the order they were given.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        self.0.plugins.iter().map(|plugin| plugin.status()).collect()
    }

    /// Adds `hubgate_plugin_calls_total`, `hubgate_plugin_call_seconds`, `hubgate_plugin_generation` and
    /// `hubgate_plugin_swaps_total` to a registry without a prefix.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(PluginCollector(Arc::clone(&self.0.plugins))));
    }

    /// Ends the host's threads and waits for them, for a compilation under way too. To be called when no call runs any
    /// more: without epochs a guest that loops is not broken off.
    pub fn stop(&self) {
        if let Some(watcher) = &self.0.watcher {
            watcher.stop();
        }
        self.0.ticker.stop();
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.plugins.iter().map(|plugin| plugin.name())).finish()
    }
}

fn load(loader: &Loader, settings: PluginSettings) -> Result<(Arc<Plugin>, Option<WatchedFile>), StartError> {
    let (plugin, source) = (settings.name.clone(), settings.source.clone());
    let surroundings = Arc::new(Surroundings::new(settings));
    match source {
        PluginSource::Embedded(bytes) => match loader.load(bytes, &surroundings) {
            Ok(loaded) => Ok((Arc::new(Plugin::new(surroundings, loaded)), None)),
            Err(source) => Err(StartError::LoadEmbedded { plugin, source }),
        },
        PluginSource::File(file) => {
            let loaded = match watch::read(&file) {
                Ok(content) => loader.load(&content.bytes, &surroundings),
                Err(ReadError::TooLarge) => Err(LoadError::TooLarge),
                Err(ReadError::Unreadable(source)) => return Err(StartError::Read { plugin, file, source }),
            };
            match loaded {
                Ok(loaded) => {
                    let plugin = Arc::new(Plugin::new(surroundings, loaded));
                    Ok((Arc::clone(&plugin), Some(WatchedFile::new(file, plugin))))
                }
                Err(source) => Err(StartError::Load { plugin, file, source }),
            }
        }
    }
}
