//! `hubgate ps` and `hubgate kick`: the clients of a running gateway.

use std::fmt;

use serde_json::Value;

use super::admin_client::{AdminClient, AdminOptions, percent_encode};
use super::plugin_test::shown;
use crate::{Failure, one_line, print};

/// Clients that are asked for at once, in number.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct PsArguments {
    /// Those of this hub.
    #[arg(long, value_name = "HUB")]
    hub: Option<String>,
    /// Those of this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Those in this group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The one with this id.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    gateway: AdminOptions,
    /// Prints each client as a JSON object on a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KickArguments {
    /// The connection's id, as `hubgate ps` lists it.
    id: String,
    /// What the client is told of why its connection ends.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    gateway: AdminOptions,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Lists all of them, page by page.
pub(crate) fn list(arguments: &PsArguments) -> Result<(), Failure> {
    let PsArguments { hub, user, group, id, gateway, json } = arguments;
    let client = AdminClient::new(gateway)?;
    let asked = [("hub", hub), ("user", user), ("group", group), ("id", id)];
    let asked: Vec<(&str, &str)> =
        asked.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let mut after: Option<String> = None;
    if !json {
        print(heading())?;
    }
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&asked).append_pair("limit", &PAGE.to_string());
        if let Some(after) = &after {
            query.append_pair("after", after);
        }
        let page = client.get(&format!("/admin/connections?{}", query.finish()))?;
        for connection in page["connections"].as_array().into_iter().flatten() {
            match json {
                true => print(one_line::json(connection))?,
                false => print(Row(connection))?,
            }
        }
        let next = page["next"].as_str().map(str::to_owned);
        if next.is_none() || next == after {
            return Ok(());
        }
        after = next;
    }
}

pub(crate) fn kick(KickArguments { id, reason, gateway, json }: &KickArguments) -> Result<(), Failure> {
    let mut path = format!("/admin/connections/{}", percent_encode(id));
    if let Some(reason) = reason {
        let mut query = form_urlencoded::Serializer::new(String::new());
        path = format!("{path}?{}", query.append_pair("reason", reason).finish());
    }
    let closed = AdminClient::new(gateway)?.delete(&path)?;
    match json {
        true => print(closed),
        false => {
            let hub = shown(closed["hub"].as_str().unwrap_or("?"));
            print(format_args!("{}: its connection to hub {hub} is closed", shown(id)))
        }
    }
}

fn heading() -> String {
    format!(
        "{:<24}  {:<16}  {:<11}  {:<24}  {:>10}  {}",
        "ID", "TRANSPORT", "PROTOCOL", "CONNECTED", "QUEUED", "HUB AND USER"
    )
}

/// A client in a line.
struct Row<'a>(&'a Value);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |field: &str| self.0[field].as_str().map_or("-".to_owned(), shown);
        let queued = self.0["queuedBytes"].as_u64().unwrap_or_default();
        write!(
            f,
            "{:<24}  {:<16}  {:<11}  {:<24}  {queued:>10}  {} {}",
            text("id"),
            text("transport"),
            text("protocol"),
            text("connectedAt"),
            text("hub"),
            text("user")
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_is_a_line_whatever_its_user_is_called() {
        let connection = json!({
            "id": "AAAAAAAAAAAAAAAAAAAAAAAA", "hub": "chat", "user": "ann\u{1b}[2J\n\u{9b}1m\u{202e}root", "transport": "WebSockets", "protocol": "json",
            "connectedAt": "2026-01-01T00:00:00.000Z", "queuedBytes": 12, "node": null,
        });
        let line = Row(&connection).to_string();
        assert!(!line.contains(one_line::is_active), "{line}");
        let at = |text: &str, part: &str| text.find(part).expect("it is there");
        assert_eq!(at(&line, "WebSockets"), at(&heading(), "TRANSPORT"));
        assert_eq!(at(&line, "chat"), at(&heading(), "HUB"));
        assert!(Row(&json!({ "id": "x", "hub": "chat", "user": null })).to_string().ends_with("chat -"));
    }
}
