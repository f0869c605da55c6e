//! `hubgate config`: looks at a configuration file without running it.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::findings::{Finding, Findings};
use super::{azure, deep_check, emulator};
use crate::config::{self, Addresses, Config};
use crate::{Failure, logging, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Says whether `serve` would take the file; exit code 2 and the key's path if not.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Also tries whether everything would be served: plugins, addresses, the data folder. Nothing stays of that.
        #[arg(long)]
        deep: bool,
    },
    /// Prints all keys with their values, defaults included, as TOML. Secrets are not told.
    Show {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Prints a JSON Schema of the configuration file, for editors that complete and check TOML.
    Schema,
    /// Prints the upstream settings of Azure SignalR's local emulator (`settings.json`) as TOML for Hubgate.
    ImportEmulator {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Prints the configuration of an Azure SignalR resource as TOML for Hubgate, and names what has no equal.
    ImportAzure(azure::Arguments),
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Check { config, deep } => check(&config, deep),
        Command::Show { config } => print(Config::load(&config, Addresses::default())?.show().trim_end()),
        Command::Schema => print(format_args!("{:#}", config::json_schema())),
        Command::ImportEmulator { file } => print(emulator::import(&file)?.trim_end()),
        Command::ImportAzure(arguments) => azure::run(&arguments),
    }
}

fn check(file: &Path, deep: bool) -> Result<(), Failure> {
    let config = Config::load(file, Addresses::default())?;
    let mut findings = Findings::default();
    findings.extend(config.warnings.iter().map(|warning| Finding::warning(&warning.key, &warning.text)));
    let verdict = match deep {
        true => {
            deep_check::look_at(&config, &mut findings);
            "everything would be served"
        }
        false => {
            findings.extend(deep_check::missing_files(&config));
            "valid"
        }
    };
    for finding in findings.worst_first() {
        logging::say(&finding.line(&config.origins));
    }
    match findings.has_errors() {
        true => Err(Failure::Usage(anyhow!("{}: not everything would be served", file.display()))),
        false => print(format_args!("{}: {verdict}", file.display())),
    }
}
