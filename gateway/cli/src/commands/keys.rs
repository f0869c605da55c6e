//! `hubgate keys`: the access keys of a running gateway.

use serde_json::Value;

use super::admin_client::{AdminClient, AdminOptions};
use super::plugin_test::shown;
use crate::{Failure, print};

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
        key: Key,
        #[command(flatten)]
        asked: Asked,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Key {
    Primary,
    Secondary,
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

fn regenerate(key: Key, Asked { gateway, json }: &Asked) -> Result<(), Failure> {
    let name = match key {
        Key::Primary => "primary",
        Key::Secondary => "secondary",
    };
    let new = AdminClient::new(gateway)?.post(&format!("/admin/keys/{name}:regenerate"))?;
    match json {
        true => print(new),
        false => print(text(&new, "connectionString")),
    }
}

fn text(key: &Value, field: &str) -> String {
    shown(key[field].as_str().unwrap_or("?"))
}
