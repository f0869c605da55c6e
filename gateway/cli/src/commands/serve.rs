//! `hubgate serve`: the gateway with a configuration file.

use std::path::PathBuf;
use std::sync::Arc;

use hubgate_core::settings::{Handler, Pattern, UpstreamItem};
use hubgate_plugin_host::{BadPlugins, PluginStatus};

use super::reload::Reload;
use super::run_gateway::{self, Follows, RunOptions, Started};
use crate::Failure;
use crate::config::Config;
use crate::logging::Logging;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Ends the start if a plugin's file cannot serve. Otherwise its last good version serves, or what needs it is refused.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(arguments: Arguments, logging: Logging) -> Result<(), Failure> {
    let Arguments { config, strict, options } = arguments;
    let addresses = options.addresses();
    let load = move || Config::load(&config, addresses);
    let config = load()?;
    logging.set(Some(&config.log));
    config.log_warnings();
    let reload = Reload { load: Arc::new(load), logging };
    let bad_plugins = if strict { BadPlugins::Fail } else { BadPlugins::Refuse };
    run_gateway::run(config, &options, bad_plugins, Follows::Configuration(reload), announce)
}

/// Logs where it listens and what it serves, a line for each thing.
fn announce(started: &Started<'_>) {
    let core = &started.config.net.core;
    let mut hubs: Vec<_> = core.hubs.iter().map(|(name, hub)| (name.as_str(), hub)).collect();
    hubs.sort_by_key(|(name, _)| *name);
    for (name, hub) in hubs.into_iter().chain([("*", &core.other_hubs)]) {
        let filters: Vec<&str> = hub.filters.iter().map(|filter| filter.plugin.as_str()).collect();
        let filters = Some(filters.join(", ")).filter(|filters| !filters.is_empty());
        tracing::info!(hub = name, mode = hub.mode.name(), filters, "serving a hub");
    }
    for (index, item) in core.upstream.iter().enumerate() {
        let UpstreamItem { hubs, categories, events, handler } = item;
        let (plugin, url) = match handler {
            Handler::Plugin(plugin) => (Some(plugin.as_str()), None),
            Handler::Webhook(webhook) => (None, Some(webhook.url.shown())),
        };
        let [hubs, categories, events] = [hubs, categories, events].map(names);
        tracing::info!(item = index, hubs, categories, events, plugin, url, "asking upstream");
    }
    for PluginStatus { name, state, generation, digest, .. } in &started.plugins {
        tracing::info!(plugin = %name, %state, generation, digest, "using a plugin");
    }
    let listen = started.listen_address();
    tracing::info!(%listen, endpoint = started.url(), admin = started.admin_url(), "listening");
}

fn names(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Any => "*".to_owned(),
        Pattern::OneOf(names) => names.join(", "),
    }
}
