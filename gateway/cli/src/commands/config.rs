//! `hubgate config`: looks at a configuration file without running it.

use std::path::PathBuf;

use super::emulator;
use crate::config::Config;
use crate::{Failure, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Says whether `serve` would take the file; exit code 2 and the key's path if not.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Prints all keys with their values, defaults included, as TOML. Secrets are not told.
    Show {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Prints the upstream settings of Azure SignalR's local emulator (`settings.json`) as TOML for Hubgate.
    ImportEmulator {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check { config } => {
            for warning in &Config::load(&config)?.warnings {
                eprintln!("warning: {}: {}", warning.key, warning.text);
            }
            print(format_args!("{}: valid", config.display()))
        }
        Command::Show { config } => print(Config::load(&config)?.show().trim_end()),
        Command::ImportEmulator { file } => print(emulator::import(&file)?.trim_end()),
    }
}
