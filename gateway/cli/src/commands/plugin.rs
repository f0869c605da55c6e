//! `hubgate plugin`: makes components and says whether the gateway can serve them.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use hubgate_plugin_host::{MAX_COMPONENT_BYTES, RegularFile};

use super::plugin_build;
use super::run_gateway::compilation;
use crate::{Failure, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Builds a component from a project in Rust or JavaScript, or from a core module that another tool made.
    Build {
        /// The project's folder, or a `.wasm` file.
        source: PathBuf,
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Says what a component can be used for; exit code 1 and the reason if for nothing.
    Check { file: PathBuf },
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build { source, output } => {
            let report = plugin_build::build(&source, &output)?;
            print(format_args!("{}: {} bytes", output.display(), report.size))
        }
        Command::Check { file } => {
            let component = RegularFile::read(&file, MAX_COMPONENT_BYTES)
                .with_context(|| format!("{}: cannot be read", file.display()))?
                .bytes;
            let report = hubgate_plugin_host::inspect(&component, compilation(None))
                .map_err(|error| anyhow!(error).context(format!("{}: cannot serve", file.display())))?;
            let instance = match &report.memory_bytes {
                Ok(bytes) => format!("{bytes} bytes of memory for an instance"),
                Err(reason) => format!("no instance without configuration: {reason}"),
            };
            print(format_args!(
                "{}: can serve as {}\n  size      {} bytes, {instance}\n  digest    {}\n  imports   {}\n  exports   {}",
                file.display(),
                report.worlds.join(", "),
                report.size_bytes,
                report.digest,
                report.imports.join(", "),
                report.exports.join(", "),
            ))
        }
    }
}
