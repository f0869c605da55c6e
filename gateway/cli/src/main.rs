//! `hubgate`: a self-hosted realtime gateway, wire-compatible with Azure SignalR Service.

mod allocator;
mod commands;
mod config;
mod demo;
mod log_lines;
mod logging;
mod one_line;
mod process;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{CommandFactory, Parser, Subcommand};
use hubgate_bench::Verdict;

use crate::commands::{
    cluster, completions, config as config_command, connections, dev, doctor, health, hub, keys, manual, plugin, send,
    serve, state, tail, token,
};
use crate::logging::Logging;

/// A self-hosted realtime gateway, wire-compatible with Azure SignalR Service, with handlers as WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "hubgate", version, long_version = LONG_VERSION, max_term_width = 100)]
struct Arguments {
    /// How log lines look; they go to standard error.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = logging::Format::Text)]
    log_format: logging::Format,
    /// What is logged: a level, or levels by module, as in "info,hubgate_net=debug". If not said, `server.log` of the
    /// configuration, or "info".
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs with embedded defaults on this machine: a chat to try, or your own plugin.
    Dev(dev::Arguments),
    /// Runs with a configuration file.
    Serve(serve::Arguments),
    /// Checks a configuration file, or shows what it comes to.
    #[command(subcommand)]
    Config(config_command::Command),
    /// Tells why a token, an origin, an endpoint, a key, a webhook or a plugin does not work.
    Doctor(doctor::Arguments),
    /// Lists the clients of a running gateway.
    Ps(connections::PsArguments),
    /// Closes the connection of a client of a running gateway.
    Kick(connections::KickArguments),
    /// Calls a method of clients of a running gateway.
    Send(send::Arguments),
    /// Shows the way that messages take through a running gateway, as they come.
    Tail(tail::Arguments),
    /// Changes a hub of a running gateway.
    #[command(subcommand)]
    Hub(hub::Command),
    /// Tells whether a running gateway is ready; exit code 1 if it is not, or if it cannot be reached.
    Health(health::Arguments),
    /// Prints the connection strings of a running gateway, one for each access key, or makes a key anew.
    Keys(keys::Arguments),
    /// Tells how a running gateway and the others of its cluster stand to each other.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Writes what plugins keep into a file, or reads it from one.
    #[command(subcommand)]
    State(state::Command),
    /// Makes a token and prints it.
    #[command(subcommand)]
    Token(token::Command),
    /// Makes and checks plugins.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Measures a SignalR endpoint beside a built-in floor.
    Bench(hubgate_bench::BenchArguments),
    /// Prints a script by which a shell completes commands and options.
    Completions(completions::Arguments),
    /// Prints the manual page, or writes one for each command.
    Man(manual::Arguments),
}

/// The heading of the options that all commands have.
const GLOBAL: &str = "Options of all commands";

/// What `--version` prints; `-V` has its first line alone.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit    ",
    env!("HUBGATE_COMMIT"),
    "\ndate      ",
    env!("HUBGATE_COMMIT_DATE"),
    "\ncontract  ",
    env!("HUBGATE_CONTRACT"),
    "\nwasmtime  ",
    env!("HUBGATE_WASMTIME"),
);

/// The command that the gateway starts itself with, to compile a component from standard input to standard output. The parser of
/// arguments does not know it, so that nothing suggests it.
pub(crate) const COMPILE_COMMAND: &str = "compile-component";

/// Why a command ends with an exit code other than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1: what was asked for did not work.
    Failed(anyhow::Error),
    /// Exit code 2: the command line or the configuration is wrong.
    Usage(anyhow::Error),
    /// The same, with each mistake of the configuration.
    Configuration(config::ConfigError),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(error)
    }
}

impl From<config::ConfigError> for Failure {
    fn from(error: config::ConfigError) -> Failure {
        Failure::Configuration(error)
    }
}

/// Prints a result. A reader that has heard enough, as `head` has, is no failure.
pub(crate) fn print(text: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow!(error).context("cannot write to standard output")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The same for whoever is told what goes on, and may have stopped to read.
pub(crate) fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
}

fn main() -> ExitCode {
    let mut own = std::env::args_os().skip(1);
    if own.next().is_some_and(|command| command == COMPILE_COMMAND) {
        let allocation = own.next().unwrap_or_default();
        return ExitCode::from(hubgate_plugin_host::compile_here(&allocation.to_string_lossy()));
    }
    let arguments = Arguments::parse();
    let (code, lines) = match run(arguments) {
        Ok(()) => (0, Vec::new()),
        Err(Failure::Failed(error)) => (1, vec![with_causes(&error)]),
        Err(Failure::Usage(error)) => (2, vec![with_causes(&error)]),
        Err(Failure::Configuration(error)) => (2, error.lines()),
    };
    for line in lines {
        logging::say(&format!("hubgate: {line}"));
    }
    logging::flush();
    ExitCode::from(code)
}

/// An error with all of its causes, each once: some texts have that of their cause in them.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let logging = Logging::start(arguments.log_format, arguments.log.as_deref())?;
    if let Err(error) = process::hide_memory() {
        tracing::warn!(%error, "the memory of this process, which holds keys, may come into core files");
    }
    match arguments.command {
        Command::Dev(arguments) => dev::run(arguments, &logging),
        Command::Serve(arguments) => serve::run(arguments, logging),
        Command::Config(command) => config_command::run(command),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Ps(arguments) => connections::list(&arguments),
        Command::Kick(arguments) => connections::kick(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Hub(command) => hub::run(command),
        Command::Health(arguments) => health::run(&arguments),
        Command::Keys(arguments) => keys::run(arguments),
        Command::Cluster(command) => cluster::run(command),
        Command::State(command) => state::run(command),
        Command::Token(command) => token::run(command),
        Command::Plugin(command) => plugin::run(command),
        Command::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::run(&arguments, Arguments::command()),
        Command::Bench(arguments) => match hubgate_bench::run(arguments)? {
            Verdict::Complete => Ok(()),
            Verdict::Incomplete => Err(Failure::Failed(anyhow!("messages were lost, doubled or out of order"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a: {source}")]
    struct Telling {
        source: io::Error,
    }

    #[test]
    fn each_cause_is_told_once() {
        let source = || io::Error::other("the disk is gone");
        let telling = anyhow!(Telling { source: source() });
        assert_eq!(with_causes(&telling), "cannot read a: the disk is gone");
        assert_eq!(with_causes(&telling.context("--config")), "--config: cannot read a: the disk is gone");
        assert_eq!(with_causes(&anyhow!(source()).context("cannot read b")), "cannot read b: the disk is gone");
    }
}
