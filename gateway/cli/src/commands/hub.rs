//! `hubgate hub`: the hubs of a running gateway.

use std::time::Duration;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use hubgate_core::mode::Mode;
use serde::Deserialize;
use serde_json::json;

use super::admin_client::{AdminClient, AdminOptions, NoAnswer, percent_encode};
use super::plugin_test::shown;
use crate::{Failure, print};

/// How long a change may take: the gateway reads its configuration again for it, and may have to compile plugins.
const PATIENCE: Duration = Duration::from_secs(120);

const MODES: [Mode; 3] = [Mode::Default, Mode::Serverless, Mode::Classic];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Writes a hub's mode into the configuration of a running gateway, which goes by it at once; clients that do not fit it are closed gradually.
    SetMode {
        /// The hub.
        hub: String,
        /// Its mode from now on.
        #[arg(value_parser = mode())]
        mode: Mode,
        /// Shows how many clients would be closed, and checks that the file looks writable; changes nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        gateway: AdminOptions,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

fn mode() -> impl TypedValueParser<Value = Mode> {
    let mode = |name: String| MODES.into_iter().find(|mode| mode.name() == name);
    PossibleValuesParser::new(MODES.map(Mode::name)).map(move |name| mode(name).expect("no other name is possible"))
}

/// What a change does to clients.
#[derive(Debug, Deserialize)]
struct Consequences {
    closes: u64,
    seconds: u64,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::SetMode { hub, mode, dry_run, gateway, json } = command;
    let query = if dry_run { "?dry-run" } else { "" };
    let path = format!("/admin/hubs/{}{query}", percent_encode(&hub));
    let asked = AdminClient::new(&gateway)?.with_patience(PATIENCE).put_json(&path, &json!({ "mode": mode.name() }));
    let answer = asked.map_err(|error| match error.is::<NoAnswer>() {
        true => error.context("it is not known whether the mode was changed: GET /admin/hubs/HUB tells the hub's mode"),
        false => error,
    })?;
    if json {
        return print(answer);
    }
    let Consequences { closes, seconds } =
        Consequences::deserialize(&answer).context("the gateway's answer is none about a hub")?;
    let (is, are) = if dry_run { ("could be", "would be") } else { ("is", "are") };
    let closed = match closes {
        0 => format!("no clients {are} closed"),
        1 => format!("1 client that does not fit {}", if dry_run { "would be closed" } else { "is closed" }),
        _ => format!("{closes} clients that do not fit {are} closed, within about {seconds} s"),
    };
    print(format_args!("{} {is} in {} mode; {closed}", shown(&hub), mode.name()))
}
