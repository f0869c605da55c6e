//! `hubgate keys`: the access keys of a running gateway.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use hubgate_net::KeyPlace;
use serde_json::Value;

use super::admin_client::{AdminClient, AdminOptions, NoAnswer};
use super::plugin_test::shown;
use crate::{Failure, print};

/// How long a new key may take: the gateway reads its configuration again for it, and may have to compile plugins.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
struct Asked {
    #[command(flatten)]
    gateway: AdminOptions,
    /// Prints each key as a JSON object on a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a key anew and prints its connection string. The old one opens nothing any more; whoever is connected stays.
    Regenerate {
        /// The key. Where there is no secondary one yet, it is made.
        #[arg(value_parser = place())]
        key: KeyPlace,
        #[command(flatten)]
        asked: Asked,
    },
}

fn place() -> impl TypedValueParser<Value = KeyPlace> {
    let place = |name: String| KeyPlace::ALL.into_iter().find(|place| place.name() == name);
    PossibleValuesParser::new(KeyPlace::ALL.map(KeyPlace::name))
        .map(move |name| place(name).expect("no other name is possible"))
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => list(&arguments.asked),
        Some(Command::Regenerate { key, asked }) => regenerate(key, &asked),
    }
}

fn list(Asked { gateway, json }: &Asked) -> Result<(), Failure> {
    let answer = AdminClient::new(gateway)?.get("/admin/keys")?;
    for key in answer["keys"].as_array().into_iter().flatten() {
        match json {
            true => print(key)?,
            false => print(format_args!("{:<9}  {}", text(key, "key"), text(key, "connectionString")))?,
        }
    }
    Ok(())
}

fn regenerate(key: KeyPlace, Asked { gateway, json }: &Asked) -> Result<(), Failure> {
    let asked =
        AdminClient::new(gateway)?.with_patience(PATIENCE).post(&format!("/admin/keys/{}:regenerate", key.name()));
    let new = asked.map_err(|error| match error.is::<NoAnswer>() {
        true => error.context("it is not known whether a key was made: `hubgate keys` lists the keys"),
        false => error,
    })?;
    match json {
        true => print(new),
        false => print(text(&new, "connectionString")),
    }
}

fn text(key: &Value, field: &str) -> String {
    shown(key[field].as_str().unwrap_or("?"))
}
