//! Plays hostile clients, callers and plugins against a gateway and measures what each attack makes it hold: memory and
//! descriptors at rest, at the peak and after the attackers have left, and how a good client fares meanwhile.
//!
//! `scripts/attacks.sh` builds and runs it. Arguments are names of attacks; without any, all are played. `HUBGATE_BIN` is
//! the gateway that is attacked, `HUBGATE_GUESTS` the folder of the plugins. The result is a Markdown table.

mod bystander;
mod catalogue;
mod meter;
mod peer;
mod places;
mod plugins;
mod report;
mod state;
mod transports;
mod trial;
mod upstream;

use std::process::ExitCode;

use catalogue::{ATTACKS, Attack};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| ATTACKS.iter().all(|attack| attack.name != **name)) {
        eprintln!("attacks: there is no attack '{unknown}'. There are:");
        for attack in ATTACKS {
            eprintln!("  {:24} {}", attack.name, attack.what);
        }
        return ExitCode::FAILURE;
    }
    let is_wanted = |attack: &&Attack| names.is_empty() || names.iter().any(|name| name == attack.name);
    println!("{}", report::HEAD);
    for attack in ATTACKS.iter().filter(is_wanted) {
        eprintln!("attacks: {}", attack.name);
        println!("{}", report::row(attack, &trial::run(attack)));
    }
    ExitCode::SUCCESS
}
