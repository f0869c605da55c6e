//! `hubgate serve`: the gateway with a configuration file.

use std::path::PathBuf;
use std::sync::Arc;

use hubgate_plugin_host::BadPlugins;

use super::reload::Reload;
use super::run_gateway::{self, RunOptions};
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
    let (listen, admin_listen) = (options.listen(), options.admin_listen());
    let load = move || {
        let mut config = Config::load(&config)?;
        config.net.listen = listen.unwrap_or(config.net.listen);
        config.net.admin.listen = admin_listen.unwrap_or(config.net.admin.listen);
        Ok(config)
    };
    let config = load()?;
    logging.set(config.log.as_deref());
    config.log_warnings();
    let reload = Reload { load: Arc::new(load), logging };
    let bad_plugins = if strict { BadPlugins::Fail } else { BadPlugins::Refuse };
    run_gateway::run(config, &options, bad_plugins, Some(reload), |started| {
        tracing::info!(endpoint = started.url(), admin = started.admin_url(), "listening");
    })
}
