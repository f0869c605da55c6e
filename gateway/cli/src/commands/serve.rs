//! `hubgate serve`: the gateway with a configuration file.

use std::path::PathBuf;

use super::run_gateway::{self, RunOptions};
use crate::Failure;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    options: RunOptions,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut config = Config::load(&arguments.config)?;
    if let Some(listen) = arguments.options.listen {
        config.net.listen = listen;
    }
    if let Some(listen) = arguments.options.admin_listen {
        config.net.admin.listen = listen;
    }
    run_gateway::run(config, &arguments.options, |started| {
        tracing::info!(endpoint = started.url(), admin = started.admin_url(), "listening");
    })
}
