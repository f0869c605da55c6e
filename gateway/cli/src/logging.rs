//! Log lines on standard error.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::anyhow;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::Failure;
use crate::log_lines::Lines;
use crate::one_line::OneLine;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// The compiler's own lines, which would bury those of the gateway at level debug.
const QUIET: &str = "cranelift_codegen=warn,wasmtime=warn,wasmtime_internal_cranelift=warn,regalloc2=warn";

/// What is logged where nobody says.
const DEFAULT: &str = "info";

/// How long the last lines may take to leave.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The lines that wait, once anything is logged.
static LINES: OnceLock<Lines> = OnceLock::new();

/// What is logged, and how to change that.
pub(crate) struct Logging {
    /// The command line's word is the last one.
    is_fixed: bool,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Logging {
    /// Logs what `fixed` lets through from here on, or if it is `None`, what [`Logging::set`] says.
    pub(crate) fn start(format: Format, fixed: Option<&str>) -> Result<Logging, Failure> {
        let filter = filter(fixed.unwrap_or(DEFAULT)).map_err(|error| Failure::Usage(anyhow!("--log: {error}")))?;
        let (filter, handle) = reload::Layer::new(filter);
        let waiting = lines().map_err(|error| anyhow!(error).context("the log cannot be written to standard error"))?;
        let waiting = LINES.get_or_init(|| waiting).clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || waiting.clone());
        let lines = match format {
            Format::Text => {
                lines.fmt_fields(OneLine::default()).with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed()
            }
            Format::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Logging { is_fixed: fixed.is_some(), handle })
    }

    /// Goes on with the configuration's filter, or the default, unless the command line has one.
    pub(crate) fn set(&self, configured: Option<&str>) {
        if self.is_fixed {
            return;
        }
        let set = match filter(configured.unwrap_or(DEFAULT)) {
            Ok(filter) => self.handle.reload(filter).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = set {
            tracing::error!(error, "server.log has no effect");
        }
    }
}

fn lines() -> io::Result<Lines> {
    // Not the standard library's handle: its lock would hold up everybody else who writes there.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let tell = |lines| tracing::error!(lines, "lines of the log are lost: they were not read as fast as they came");
    Lines::write_to(stderr, tell)
}

/// Says something on standard error after all that was logged.
pub(crate) fn say(text: &str) {
    match LINES.get() {
        Some(lines) => lines.push(format!("{text}\n").as_bytes()),
        None => eprintln!("{text}"),
    }
}

/// Waits for the last lines to leave, but not for ever.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

/// Whether a text is a filter.
pub(crate) fn check(text: &str) -> Result<(), InvalidFilter> {
    filter(text).map(drop)
}

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidFilter {
    #[error("\"{0}\" is not a level: there are off, error, warn, info, debug and trace")]
    NoLevel(String),
    #[error(transparent)]
    Syntax(#[from] ParseError),
}

fn filter(text: &str) -> Result<EnvFilter, InvalidFilter> {
    // A word alone would be taken for a module's name, and nothing but that module would be logged.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_module = |word: &str| word.starts_with("hubgate") || word.contains([':', '=', '[']);
    let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    if let Some(word) = words.find(|word| !is_level(word) && !is_module(word)) {
        return Err(InvalidFilter::NoLevel(word.to_owned()));
    }
    Ok(EnvFilter::try_new(format!("{QUIET},{text}"))?)
}
