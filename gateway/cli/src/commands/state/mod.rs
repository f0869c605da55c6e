//! `hubgate state`: what plugins keep, into a file and from one.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use hubgate_core::id::PluginName;
use hubgate_plugin_host::{Archive, ArchiveError, Keeping, PluginArchive, PluginSettings, StartError, StateScope};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::plugin_test::shown;
use super::run_gateway::{folders, shared_state};
use crate::config::{Addresses, Config};
use crate::{Failure, print};
use file::{Reader, StateFile, Value};

/// Values that are on their way at once.
const AT_ONCE: usize = 64;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Writes what all plugins keep with `state` into a file that this user alone can read.
    ///
    /// A gateway that keeps it in its data folder has to be stopped first. What is kept in a cluster can be written at any time.
    Export(Arguments),
    /// Reads such a file: its values take the place of those with the same keys, and all others stay.
    ///
    /// A gateway that keeps them in its data folder has to be stopped first. They can be brought into a cluster at any time.
    Import(Arguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file, which says where plugins keep what they keep.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Export(Arguments { config, file }) => export(&Config::load(&config, Addresses::default())?, &file),
        Command::Import(Arguments { config, file }) => import(&Config::load(&config, Addresses::default())?, &file),
    }
}

/// What a configuration's plugins keep, and where.
struct Places<'a> {
    config: &'a Config,
    archive: Archive,
}

impl<'a> Places<'a> {
    fn new(config: &'a Config, keeping: Keeping) -> Places<'a> {
        Places { config, archive: Archive::new(keeping) }
    }

    fn open(&mut self, plugin: &PluginSettings) -> Result<PluginArchive> {
        let error = match self.archive.plugin(plugin) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let is_state = matches!(error, StartError::State(_));
        let error = anyhow!(error);
        Err(if is_state { error.context("stop the gateway that has it, if one runs, and be its user") } else { error })
    }

    fn shown(&self, plugin: &PluginSettings) -> String {
        match (plugin.state_scope, &self.config.net.cluster) {
            (StateScope::Cluster, Some(cluster)) => format!("the cluster {}", shown(&cluster.name)),
            _ => self.config.data_dir.display().to_string(),
        }
    }
}

fn keeping(config: &Config) -> Result<Keeping> {
    Ok(Keeping { folders: folders(config), shared: shared_state(config)? })
}

fn export(config: &Config, to: &Path) -> Result<(), Failure> {
    let mut keeping = keeping(config)?;
    // Nothing is made where nothing is: it would be this user's, who may be another one than the gateway's.
    keeping.folders.state = keeping.folders.state.filter(|folder| folder.exists());
    let mut places = Places::new(config, keeping);
    let not_written = || format!("{}: cannot be written", to.display());
    let mut file = StateFile::create(to).with_context(not_written)?;
    let mut lines = Vec::new();
    for plugin in &config.host.plugins {
        let name = shown(plugin.name.as_str());
        let values = places.open(plugin)?.values().with_context(|| format!("plugin {name}"))?;
        lines.push(format!("{name}: {}, of {}", counted(values.len()), places.shown(plugin)));
        for value in values {
            file.write(&Value { plugin: plugin.name.clone(), kept: value }).with_context(not_written)?;
        }
    }
    file.finish().with_context(not_written)?;
    lines.into_iter().try_for_each(print)
}

fn import(config: &Config, from: &Path) -> Result<(), Failure> {
    let named = || from.display().to_string();
    // All of it is read before anything is changed.
    let counts = count(Reader::open(from).with_context(named)?).with_context(named)?;
    let plugins = plugins(config, &counts).with_context(named)?;
    let mut places = Places::new(config, keeping(config)?);
    let mut archives = BTreeMap::new();
    for plugin in &plugins {
        archives.insert(plugin.name.clone(), places.open(plugin)?);
    }
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let written = put(&runtime, &archives, Reader::open(from).with_context(named)?);
    let written =
        written.context("what was read before is there, and the file can be read again").with_context(named)?;
    for plugin in plugins {
        let (all, written) = (counts[&plugin.name], written.get(&plugin.name).copied().unwrap_or_default());
        let (name, place) = (shown(plugin.name.as_str()), places.shown(plugin));
        match all - written {
            0 => print(format_args!("{name}: {}, to {place}", counted(written)))?,
            over => print(format_args!("{name}: {}, to {place}; the time of {over} is over", counted(written)))?,
        }
    }
    Ok(())
}

/// How many values the file has of each plugin.
fn count(mut reader: Reader) -> Result<BTreeMap<PluginName, usize>> {
    let mut counts = BTreeMap::new();
    while let Some(Value { plugin, .. }) = reader.next()? {
        *counts.entry(plugin).or_default() += 1;
    }
    Ok(counts)
}

/// The plugins of which a file has values.
fn plugins<'a>(config: &'a Config, counts: &BTreeMap<PluginName, usize>) -> Result<Vec<&'a PluginSettings>> {
    let find = |name: &PluginName| config.host.plugins.iter().find(|plugin| plugin.name == *name);
    let missing = |name: &PluginName| {
        let name = shown(name.as_str());
        anyhow!("it has values of the plugin {name}, which the configuration does not have: nothing was changed")
    };
    counts.keys().map(|name| find(name).ok_or_else(|| missing(name))).collect()
}

/// Puts all values where they belong; gives how many of each plugin.
fn put(
    runtime: &Runtime,
    archives: &BTreeMap<PluginName, PluginArchive>,
    mut reader: Reader,
) -> Result<BTreeMap<PluginName, usize>> {
    let mut written: BTreeMap<PluginName, usize> = BTreeMap::new();
    let mut putting = JoinSet::new();
    runtime.block_on(async {
        loop {
            let value = reader.next()?;
            let is_over = value.is_none();
            if let Some(Value { plugin, kept }) = value {
                let archive = archives.get(&plugin).cloned().context("the file has changed meanwhile")?;
                let key = kept.key.clone();
                putting.spawn(async move {
                    let put: Result<bool, ArchiveError> = archive.put(kept).await;
                    (plugin, key, put)
                });
            }
            while putting.len() >= AT_ONCE || is_over {
                let Some(put) = putting.join_next().await else { return Ok(written) };
                let (plugin, key, put) = put?;
                let names = || format!("plugin {}, key {:?}", shown(plugin.as_str()), key);
                *written.entry(plugin.clone()).or_default() += usize::from(put.with_context(names)?);
            }
        }
    })
}

fn counted(values: usize) -> String {
    let noun = if values == 1 { "value" } else { "values" };
    format!("{values} {noun}")
}
