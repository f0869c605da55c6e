//! Log lines on standard error.

use std::io;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::Failure;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// The compiler's own lines, which would bury those of the gateway at level debug.
const QUIET: &str = "cranelift_codegen=warn,wasmtime=warn,wasmtime_internal_cranelift=warn,regalloc2=warn";

/// Logs what `filter` lets through from here on.
pub(crate) fn start(format: Format, filter: &str) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| Failure::Usage(anyhow!("--log: {error}")))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        Format::Text => subscriber.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        Format::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
