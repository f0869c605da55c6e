//! `hubgate config`: looks at a configuration file without running it.

use std::path::PathBuf;

use crate::Failure;
use crate::config::Config;

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
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check { config } => {
            Config::load(&config)?;
            println!("{}: valid", config.display());
            Ok(())
        }
        Command::Show { config } => {
            print!("{}", Config::load(&config)?.show());
            Ok(())
        }
    }
}
