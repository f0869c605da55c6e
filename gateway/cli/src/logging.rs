//! Log lines on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
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

/// Lines of libraries: the compiler's would bury those of the gateway at level debug, and of what the client for NATS says, the gateway says
/// itself what matters.
const QUIET: &str =
    "async_nats=off,cranelift_codegen=warn,wasmtime=warn,wasmtime_internal_cranelift=warn,regalloc2=warn";

/// What is logged where nobody says.
const DEFAULT: &str = "info";

/// What is logged whatever the filter says: that lines are lost, and panics.
const ALWAYS: &str = "hubgate::lost_lines=error,hubgate::panic=error";

/// How long each of the last lines may take to leave, and how long all of them.
const LAST_LINE: Duration = Duration::from_secs(1);
const LAST_LINES: Duration = Duration::from_secs(5);

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
        std::panic::set_hook(Box::new(log_panic));
        Ok(Logging { is_fixed: fixed.is_some(), handle })
    }

    /// Logs nothing, whatever is set.
    #[cfg(test)]
    pub(crate) fn unchanging() -> Logging {
        Logging { is_fixed: true, handle: reload::Layer::new(EnvFilter::default()).1 }
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
    Lines::write_to(stderr, tell_lost)
}

fn tell_lost(lines: u64) {
    tracing::error!(
        target: "hubgate::lost_lines",
        lines,
        "lines of the log are lost: they were not read as fast as they came, or could not be written"
    );
}

/// Logs a panic like everything else: the thread that panics must not wait for whoever reads the log.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let (thread, what) = (thread.name().unwrap_or("?"), panic.payload_as_str().unwrap_or("?"));
    let location = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(target: "hubgate::panic", thread, location, what, backtrace, "the gateway panicked");
    if thread == "main" {
        // The process may end with it.
        flush();
    }
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
        lines.flush(LAST_LINE, LAST_LINES);
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
    Ok(EnvFilter::try_new(format!("{QUIET},{text},{ALWAYS}"))?)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::Context;

    use super::*;

    /// Counts the events that a filter lets through.
    struct Count(std::sync::mpsc::Sender<()>);

    impl<S: tracing::Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.send(()).expect("the test counts");
        }
    }

    #[test]
    fn that_lines_are_lost_is_logged_whatever_the_filter_says() {
        for text in ["info", "off", "hubgate_net=debug", "hubgate_net::shard[client]=trace", "hubgate=off"] {
            let (count, counted) = std::sync::mpsc::channel();
            let subscriber = Registry::default().with(filter(text).expect("a filter")).with(Count(count));
            tracing::subscriber::with_default(subscriber, || {
                tell_lost(7);
                tracing::error!(target: "hubgate::elsewhere", "what only some filters let through");
            });
            let expected = if text == "info" { 2 } else { 1 };
            assert_eq!(counted.iter().count(), expected, "{text}");
        }
    }
}
