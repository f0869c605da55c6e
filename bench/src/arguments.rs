//! The command line of `hubgate bench`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::dialect::Dialect;

/// The longest that one measurement may be asked to take.
const LONGEST_TIME: Duration = Duration::from_secs(600);

/// Arguments of `hubgate bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Each client calls a method and waits for its answer, again and again.
    Echo(ScenarioArguments),
    /// One client sends to all.
    Broadcast(ScenarioArguments),
    /// One client sends to a group that all are in.
    Group(ScenarioArguments),
    /// An application sends to each client by the REST API; needs --connection-string.
    Rest(ScenarioArguments),
    /// Clients come and go: upgrade, token, hub handshake.
    Connect(ScenarioArguments),
    /// Clients are there, in a group, and do nothing but ping.
    Idle(ScenarioArguments),
    /// Runs a floor server and prints where it listens.
    #[command(hide = true)]
    FloorServer(FloorArguments),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FloorArguments {
    pub(crate) kind: FloorKind,
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// What clients receive when one of them sends.
    #[arg(long, default_value = "said")]
    pub(crate) says: String,
    /// Ends when standard input does: with the process that started it.
    #[arg(long)]
    pub(crate) attached: bool,
}

/// How a floor server writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FloorKind {
    /// One send per message and receiver.
    Plain,
    /// All that is pending for a receiver leaves in one write.
    Coalescing,
}

/// When clients negotiate before they connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Negotiation {
    /// Clients connect straight to the endpoint.
    Never,
    /// One negotiation with the application says where to connect, and with which token, for all clients.
    Once,
    /// Each client negotiates, follows the redirect, negotiates there and connects with its id, as official ones do.
    Each,
}

#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["url", "connection_string"]))]
pub(crate) struct ScenarioArguments {
    /// The URL that a SignalR client would be given.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Signs its own tokens, a user for each client, and connects straight to the endpoint; needs --hub.
    #[arg(long, requires = "hub")]
    pub(crate) connection_string: Option<String>,
    /// The hub that is measured by --connection-string.
    #[arg(long, value_name = "NAME")]
    pub(crate) hub: Option<String>,
    /// When clients negotiate: by default once for all with --url, never with --connection-string.
    #[arg(long, num_args = 0..=1, default_missing_value = "each")]
    pub(crate) negotiate: Option<Negotiation>,
    /// The process to look at, if it is not the one that listens on the target's port.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    #[arg(long, default_value_t = 100, value_parser = count(1..=100_000))]
    pub(crate) clients: usize,
    /// Characters of text in each message.
    #[arg(long, default_value_t = 100, value_parser = count(0..=1 << 20))]
    pub(crate) size: usize,
    /// How long each measurement takes: 2s, or in `idle` 30s, if not said.
    #[arg(long, visible_alias = "seconds", value_parser = duration)]
    time: Option<Duration>,
    /// Measurements of floor and target, in turn: 5, or in `idle` 1, if not said. A process keeps memory that it once
    /// had, so that only the first measurement of a freshly started target tells what connections take.
    #[arg(long, value_parser = count(1..=100))]
    rounds: Option<usize>,
    /// Messages a second, instead of one after the other as fast as they come back.
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Messages that a sender writes at once.
    #[arg(long, default_value_t = 1, value_parser = count(1..=1000))]
    pub(crate) burst: usize,
    /// Groups that each client is in, in `group` and `idle`; one of them is sent to.
    #[arg(long, visible_alias = "groups-per-client", default_value_t = 1, value_parser = count(0..=1000))]
    pub(crate) groups: usize,
    /// Every second receiver speaks MessagePack, in `broadcast`.
    #[arg(long)]
    pub(crate) mixed: bool,
    /// Receivers, among the clients, that stop reading.
    #[arg(long, default_value_t = 0, value_parser = count(0..=100_000))]
    pub(crate) stalled: usize,
    /// Connections of a hub server that the load plays itself and that answers the calls, in `echo`; needs
    /// --connection-string, and a hub in default mode.
    #[arg(long, default_value_t = 0, value_parser = count(0..=100), requires = "connection_string")]
    pub(crate) hub_servers: usize,
    /// Clients send no pings, in `idle`: what is left are the target's own.
    #[arg(long)]
    pub(crate) silent: bool,
    /// The hub method that is called: echo, say or sayTo if not said.
    #[arg(long)]
    pub(crate) method: Option<String>,
    #[arg(long, value_enum, default_value_t = Dialect::Signalr)]
    pub(crate) dialect: Dialect,
    /// The hub method that joins a group.
    #[arg(long, default_value = "join")]
    pub(crate) join: String,
    /// The client method that messages to all or to a group arrive at.
    #[arg(long, default_value = "said")]
    pub(crate) receive: String,
    /// How long nothing of what is awaited may arrive; the rest counts as lost then.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) patience: Duration,
    /// Leaves the floor out.
    #[arg(long)]
    no_floor: bool,
    /// Lets the load leave this machine, to a host that is yours to test.
    #[arg(long)]
    pub(crate) remote: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ScenarioArguments {
    pub(crate) fn time(&self, scenario: Scenario) -> Duration {
        self.time.unwrap_or(Duration::from_secs(if scenario == Scenario::Idle { 30 } else { 2 }))
    }

    pub(crate) fn rounds(&self, scenario: Scenario) -> usize {
        self.rounds.unwrap_or(if scenario == Scenario::Idle { 1 } else { 5 })
    }

    /// The floors that say something about this work: without bursts nothing can be coalesced.
    pub(crate) fn floors(&self, scenario: Scenario) -> Vec<FloorKind> {
        let coalesces = match scenario {
            Scenario::Echo | Scenario::Broadcast | Scenario::Group | Scenario::Rest => {
                self.burst > 1 || self.rate.is_some()
            }
            Scenario::Connect | Scenario::Idle => false,
        };
        match (self.no_floor, coalesces) {
            (true, _) => Vec::new(),
            (false, false) => vec![FloorKind::Plain],
            (false, true) => vec![FloorKind::Plain, FloorKind::Coalescing],
        }
    }

    pub(crate) fn without_stalled(&self) -> ScenarioArguments {
        ScenarioArguments { stalled: 0, clients: self.clients - self.stalled, ..self.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Echo,
    Broadcast,
    Group,
    Rest,
    Connect,
    Idle,
}

impl Scenario {
    /// Whether what a sender sends is for the client of the same number, and not for all.
    pub(crate) fn is_to_one(self) -> bool {
        match self {
            Scenario::Echo | Scenario::Rest => true,
            Scenario::Broadcast | Scenario::Group | Scenario::Connect | Scenario::Idle => false,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Echo => "echo",
            Scenario::Broadcast => "broadcast",
            Scenario::Group => "group",
            Scenario::Rest => "rest",
            Scenario::Connect => "connect",
            Scenario::Idle => "idle",
        }
    }
}

fn count(range: std::ops::RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("a number from {} to {}", range.start(), range.end())),
    }
}

/// "2s", "500ms", or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let parsed = seconds.map_or_else(|| humantime::parse_duration(text).map_err(|error| error.to_string()), Ok)?;
    match (Duration::from_millis(1)..=LONGEST_TIME).contains(&parsed) {
        true => Ok(parsed),
        false => Err(format!("a time from 1ms to {}", humantime::format_duration(LONGEST_TIME))),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("messages a second, from 0.1 to 10000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_of_seconds_or_has_units() {
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "x", "0", "-1", "NaN", "1h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_and_counts_have_bounds() {
        assert_eq!(rate("1000"), Ok(1000.0));
        assert!(["0", "-1", "inf", "NaN", "x"].into_iter().all(|bad| rate(bad).is_err()));
        assert_eq!(count(1..=10)("10"), Ok(10));
        assert!(["0", "11", "-1", "x"].into_iter().all(|bad| count(1..=10)(bad).is_err()));
    }
}
