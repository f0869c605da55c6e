//! Load scenarios for any SignalR endpoint, measured beside a floor: the least that a server could do on this machine.
//!
//! The load comes from one thread, its sockets from several addresses of the loopback network, and one target is
//! connected at a time. What a message costs is the processor time of the server's process, before and after; the ratio
//! to the floor of the same run is what can be compared between machines.

mod account;
mod client;
mod crowd;
mod epoll;
mod floor;
mod process;
mod report;
mod scenario;
mod target;

use std::net::SocketAddr;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::report::Round;
use crate::target::Target;

/// What clients say to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dialect {
    /// The SignalR hub protocol in JSON.
    Signalr,
    /// socket.io's protocol, for servers of that kind to compare with.
    SocketIo,
}

/// Arguments of `hubgate bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each client calls a method and waits for its answer, again and again.
    Echo(ScenarioArguments),
    /// One client sends to all.
    Broadcast(ScenarioArguments),
    /// One client sends to a group that all are in.
    Group(ScenarioArguments),
    /// Clients come and go: upgrade, token, hub handshake.
    Connect(ScenarioArguments),
    /// Clients are there and do nothing.
    Idle(ScenarioArguments),
    /// Runs a floor server.
    #[command(hide = true)]
    FloorServer {
        kind: FloorKind,
        #[arg(long)]
        listen: SocketAddr,
    },
}

/// How a floor server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FloorKind {
    /// One send per message and receiver.
    Plain,
    /// All that is pending for a receiver leaves in one write.
    Coalescing,
}

#[derive(Debug, Args)]
struct ScenarioArguments {
    /// The URL that a SignalR client would be given.
    #[arg(long, conflicts_with = "connection_string")]
    url: Option<String>,
    /// Signs its own tokens and connects straight to the endpoint; needs --hub.
    #[arg(long, requires = "hub")]
    connection_string: Option<String>,
    #[arg(long)]
    hub: Option<String>,
    /// The process to look at, if it is not the one that listens on the target's port.
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// Characters of text in each message.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How long each measurement takes.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Measurements of floor and target, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Messages a second, instead of one after the other as fast as they come back.
    #[arg(long)]
    rate: Option<f64>,
    /// Messages that the sender writes at once.
    #[arg(long, default_value_t = 1)]
    burst: usize,
    /// Groups that each client is in; one of them is sent to.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// Receivers that stop reading.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// The hub method that is called; the default is that of the probe component.
    #[arg(long)]
    method: Option<String>,
    #[arg(long, value_enum, default_value_t = Dialect::Signalr)]
    dialect: Dialect,
    /// Leaves the floor out.
    #[arg(long)]
    no_floor: bool,
    /// Lets the load leave this machine.
    #[arg(long)]
    remote: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Echo,
    Broadcast,
    Group,
    Connect,
    Idle,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::Echo => "echo",
            Scenario::Broadcast => "broadcast",
            Scenario::Group => "group",
            Scenario::Connect => "connect",
            Scenario::Idle => "idle",
        }
    }
}

/// Whether all messages arrived, once and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Complete,
    Incomplete,
}

/// Runs a scenario and prints what it measured.
pub fn run(arguments: BenchArguments) -> Result<Verdict> {
    let (scenario, arguments) = match arguments.command {
        Command::Echo(arguments) => (Scenario::Echo, arguments),
        Command::Broadcast(arguments) => (Scenario::Broadcast, arguments),
        Command::Group(arguments) => (Scenario::Group, arguments),
        Command::Connect(arguments) => (Scenario::Connect, arguments),
        Command::Idle(arguments) => (Scenario::Idle, arguments),
        Command::FloorServer { kind, listen } => return floor::serve(kind, listen).map(|()| Verdict::Complete),
    };
    crowd::raise_descriptor_limit(arguments.clients)?;
    let target = Target::find(&arguments)?;
    if !target.address.ip().is_loopback() && !arguments.remote {
        bail!("{} is not this machine: --remote lets the load leave it", target.address);
    }
    let mut rounds: [Vec<Round>; 3] = Default::default();
    for number in 0..arguments.rounds.max(1) {
        for (index, kind) in [Some(FloorKind::Plain), Some(FloorKind::Coalescing), None].into_iter().enumerate() {
            // Without bursts the floors differ in nothing.
            let is_idle = kind == Some(FloorKind::Coalescing) && arguments.burst == 1;
            if is_idle || (kind.is_some() && arguments.no_floor) {
                continue;
            }
            let name = kind.map_or("target", |kind| if kind == FloorKind::Plain { "floor" } else { "floor+coalesce" });
            eprint!("\rround {} of {}: {name}        ", number + 1, arguments.rounds);
            let round = match kind {
                Some(kind) => {
                    let floor = Floor::start(kind)?;
                    scenario::measure(scenario, &arguments, &floor.target)
                }
                None => scenario::measure(scenario, &arguments, &target),
            };
            rounds[index].push(round.with_context(|| format!("{} of {name}", scenario.name()))?);
        }
    }
    eprintln!();
    report::print(scenario, &arguments, &rounds)
}

/// A floor server in a process of its own.
struct Floor {
    process: Child,
    target: Target,
}

impl Floor {
    fn start(kind: FloorKind) -> Result<Floor> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let kind = kind.to_possible_value().context("a kind has a name")?;
        let process = std::process::Command::new(std::env::current_exe()?)
            .args(["bench", "floor-server", kind.get_name(), "--listen", &address.to_string()])
            .spawn()?;
        let target = Target::floor(address, process.id());
        let floor = Floor { process, target };
        target::wait_until_it_listens(address)?;
        Ok(floor)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
