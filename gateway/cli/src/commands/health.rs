//! `hubgate health`: whether a running gateway is ready, by an exit code that container runtimes understand.

use anyhow::{Context, anyhow};
use serde_json::json;

use super::admin_client::{AdminClient, GatewayOptions};
use super::plugin_test::shown;
use crate::{Failure, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    gateway: GatewayOptions,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(Arguments { gateway, json }: &Arguments) -> Result<(), Failure> {
    let (status, told) = AdminClient::without_token(gateway)?.get_text("/readyz").context("it is not healthy")?;
    let (told, is_ready) = (told.trim(), status == 200);
    match (json, is_ready) {
        (true, _) => print(json!({ "ready": is_ready, "status": told }))?,
        (false, true) => print(shown(told))?,
        (false, false) => {}
    }
    match is_ready {
        true => Ok(()),
        false => Err(Failure::Failed(anyhow!("it is not ready ({status}): {}", shown(told)))),
    }
}
