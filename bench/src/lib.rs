//! Load scenarios for any SignalR endpoint, measured beside a floor: the least that a server could do on this machine.
//!
//! The load comes from one thread, its sockets from several addresses of the loopback network, and one target is
//! connected at a time. What a message costs is the processor time of the server's process, before and after; the ratio
//! to the floor of the same run is what can be compared between machines.

mod account;
mod arguments;
mod client;
mod crowd;
mod dialect;
mod epoll;
mod floor;
mod frame;
mod http_post;
mod hub_servers;
mod load;
mod poster;
mod process;
mod report;
mod scenario;
mod target;

use anyhow::{Context, Result, bail};

pub use crate::arguments::BenchArguments;
use crate::arguments::{Command, FloorKind, Scenario, ScenarioArguments};
use crate::floor::Floor;
use crate::hub_servers::HubServers;
use crate::report::Rounds;
use crate::target::Target;

/// Whether all messages arrived, once and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Complete,
    Incomplete,
}

/// Runs a scenario and prints what it measured. An error says why nothing could be measured.
pub fn run(arguments: BenchArguments) -> Result<Verdict> {
    let (scenario, arguments) = match arguments.command {
        Command::Echo(arguments) => (Scenario::Echo, arguments),
        Command::Broadcast(arguments) => (Scenario::Broadcast, arguments),
        Command::Group(arguments) => (Scenario::Group, arguments),
        Command::Rest(arguments) => (Scenario::Rest, arguments),
        Command::Connect(arguments) => (Scenario::Connect, arguments),
        Command::Idle(arguments) => (Scenario::Idle, arguments),
        Command::FloorServer(arguments) => return floor::server::serve(&arguments).map(|()| Verdict::Complete),
    };
    if arguments.stalled >= arguments.clients {
        bail!("--stalled {}: somebody of the {} clients must go on reading", arguments.stalled, arguments.clients);
    }
    if arguments.mixed && scenario != Scenario::Broadcast {
        bail!("--mixed is for `broadcast`: elsewhere clients have to speak for themselves");
    }
    if arguments.hub_servers > 0 && scenario != Scenario::Echo {
        bail!("--hub-servers is for `echo`: the load's own hub servers do nothing else");
    }
    crowd::raise_descriptor_limit(arguments.clients)?;
    let target = Target::find(&arguments)?;
    if target.pid.is_none() {
        eprintln!("no process of ours listens at {}: there will be no processor times (--pid)", target.address);
    }
    let hub_servers = HubServers::start(&target, arguments.hub_servers)?;
    let rounds = measure(scenario, &arguments, &target)?;
    if !hub_servers.are_there() {
        bail!("the target has closed a hub server's connection");
    }
    report::print(scenario, &arguments, &rounds);
    Ok(rounds.verdict())
}

/// Round by round: the floors, then the target, one after the other.
fn measure(scenario: Scenario, arguments: &ScenarioArguments, target: &Target) -> Result<Rounds> {
    let count = arguments.rounds(scenario);
    let mut rounds = Rounds::default();
    for number in 1..=count {
        for kind in arguments.floors(scenario) {
            let name = match kind {
                FloorKind::Plain => "floor",
                FloorKind::Coalescing => "floor+coalesce",
            };
            eprintln!("round {number} of {count}: {name}");
            let floor = Floor::start(kind, &arguments.receive)?;
            // A floor has no queues: whoever stops reading would stop it.
            let round = scenario::measure(scenario, &arguments.without_stalled(), &floor.target);
            let round = round.with_context(|| format!("{} of {name}", scenario.name()))?;
            match kind {
                FloorKind::Plain => rounds.floor.push(round),
                FloorKind::Coalescing => rounds.coalescing.push(round),
            }
        }
        eprintln!("round {number} of {count}: target");
        let round = scenario::measure(scenario, arguments, target);
        rounds.target.push(round.with_context(|| format!("{} of the target", scenario.name()))?);
    }
    Ok(rounds)
}
