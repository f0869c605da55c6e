//! `hubgate cluster`: how a running gateway and the others of its cluster stand to each other.

use std::fmt;

use anyhow::{Context, anyhow};
use serde::Deserialize;

use super::admin_client::{AdminClient, AdminOptions};
use super::plugin_test::shown;
use crate::{Failure, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Lists the nodes of a running gateway's cluster; exit code 1 if the gateway has not joined it, or the cluster is degraded.
    Status {
        #[command(flatten)]
        gateway: AdminOptions,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::Status { gateway, json } = command;
    let answer = AdminClient::new(&gateway)?.get("/admin/cluster")?;
    let status = Status::deserialize(&answer).context("the gateway's answer is none about a cluster")?;
    match json {
        true => print(answer)?,
        false => print(format_args!("{status}"))?,
    }
    status.fault().map_or(Ok(()), |fault| Err(Failure::Failed(anyhow!(fault))))
}

/// What a node knows of its cluster.
#[derive(Debug, Deserialize)]
struct Status {
    name: String,
    /// It knows all that the others know.
    joined: bool,
    degraded: bool,
    /// Itself first.
    nodes: Vec<NodeStatus>,
    messages: Messages,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    node: String,
    version: String,
    clients: u64,
    /// How long the oldest message for it has waited for its acknowledgement.
    lag_seconds: f64,
    heard_seconds_ago: Option<f64>,
    /// The digest of its configuration; none while that is not known.
    #[serde(default)]
    configuration: Option<String>,
    /// The parts of its configuration that are others than here.
    #[serde(default)]
    differs: Vec<String>,
}

/// What the node has counted since it started.
#[derive(Debug, Deserialize)]
struct Messages {
    sent: u64,
    received: u64,
    resent: u64,
    lost: u64,
    unreadable: u64,
    unknown: u64,
}

impl Status {
    /// Why the cluster is not as it should be.
    fn fault(&self) -> Option<String> {
        if !self.joined {
            return Some("this node has not joined the cluster yet: its log says what it waits for".to_owned());
        }
        let differing = self.nodes.iter().filter(|node| !node.differs.is_empty());
        let differing: Vec<String> = differing.map(|node| shown(&node.node)).collect();
        match (self.degraded, differing.is_empty()) {
            (false, _) => None,
            (true, true) => Some("the cluster is degraded: the log of this node says why".to_owned()),
            (true, false) => {
                Some(format!("the cluster is degraded: the configuration differs at {}", differing.join(", ")))
            }
        }
    }
}

impl fmt::Display for Status {
    /// A table of the nodes, and what was counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, is_joined) = (self.nodes.len(), if self.joined { "joined" } else { "not joined" });
        let is_degraded = if self.degraded { ", degraded" } else { "" };
        let nodes = if count == 1 { "node" } else { "nodes" };
        writeln!(f, "{}: {count} {nodes}, {is_joined}{is_degraded}", shown(&self.name))?;
        let heading = ["NODE", "VERSION", "CLIENTS", "HEARD", "LAG", "CONFIGURATION"].map(str::to_owned);
        let rows = self.nodes.iter().enumerate().map(|(index, node)| node.cells(index == 0));
        let rows: Vec<[String; 6]> = [heading].into_iter().chain(rows).collect();
        for row in &rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        let Messages { sent, received, resent, lost, unreadable, unknown } = &self.messages;
        write!(
            f,
            "messages since the start: {sent} sent, {received} received, {resent} sent again, {lost} lost, {unreadable} not readable, \
             {unknown} of unknown kinds"
        )
    }
}

impl NodeStatus {
    /// Of the table's row.
    fn cells(&self, is_itself: bool) -> [String; 6] {
        let (heard, lag) = match is_itself {
            true => ("itself".to_owned(), "-".to_owned()),
            false => (
                self.heard_seconds_ago.map_or("never".to_owned(), |ago| format!("{} ago", seconds(ago))),
                seconds(self.lag_seconds),
            ),
        };
        let configuration = match (&self.configuration, self.differs.is_empty()) {
            (_, false) => {
                format!("differs: {}", self.differs.iter().map(|part| shown(part)).collect::<Vec<_>>().join(", "))
            }
            (Some(_), true) => "the same".to_owned(),
            (None, true) => "not known".to_owned(),
        };
        [shown(&self.node), shown(&self.version), self.clients.to_string(), heard, lag, configuration]
    }
}

/// With a tenth, where that says something.
fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer() -> Value {
        json!({
            "node": "8f3a12c0", "name": "hubgate", "joined": true, "degraded": false, "more": "of a later version",
            "nodes": [
                { "node": "8f3a12c0", "version": "0.1.0", "clients": 41_200, "lagSeconds": 0, "heardSecondsAgo": 0.2,
                  "configuration": "5d", "differs": [] },
                { "node": "00c0ffee", "version": "0.2.0", "clients": 7, "lagSeconds": 0.04, "heardSecondsAgo": 0.25,
                  "configuration": "5d", "differs": [] },
                { "node": "beefbeef", "version": "0.1.0", "clients": 0, "lagSeconds": 61.2, "heardSecondsAgo": null,
                  "configuration": null, "differs": [] },
            ],
            "messages": { "sent": 12, "received": 34, "resent": 5, "lost": 0, "unreadable": 0, "unknown": 6 },
        })
    }

    fn status(answer: &Value) -> Status {
        Status::deserialize(answer).expect("it is one")
    }

    #[test]
    fn nodes_are_listed_in_columns() {
        let expected = "\
hubgate: 3 nodes, joined
NODE      VERSION  CLIENTS  HEARD      LAG    CONFIGURATION
8f3a12c0  0.1.0    41200    itself     -      the same
00c0ffee  0.2.0    7        0.2 s ago  0.0 s  the same
beefbeef  0.1.0    0        never      61 s   not known
messages since the start: 12 sent, 34 received, 5 sent again, 0 lost, 0 not readable, 6 of unknown kinds";
        assert_eq!(status(&answer()).to_string(), expected);
        assert_eq!(status(&answer()).fault(), None);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_a_failure_that_says_what() {
        let mut answer = answer();
        answer["degraded"] = true.into();
        let unknown = status(&answer).fault().expect("it is degraded");
        assert!(unknown.contains("the log of this node says why"), "{unknown}");
        answer["nodes"][1]["differs"] = json!(["keys", "hubs"]);
        let degraded = status(&answer);
        assert!(degraded.to_string().contains("0.0 s  differs: keys, hubs\n"), "{degraded}");
        assert!(degraded.to_string().starts_with("hubgate: 3 nodes, joined, degraded\n"), "{degraded}");
        let fault = degraded.fault().expect("it is degraded");
        assert!(fault.ends_with("the configuration differs at 00c0ffee"), "{fault}");
        answer["joined"] = false.into();
        let waiting = status(&answer);
        assert!(waiting.to_string().starts_with("hubgate: 3 nodes, not joined, degraded\n"), "{waiting}");
        assert!(waiting.fault().is_some_and(|fault| fault.contains("has not joined")));
    }

    #[test]
    fn no_node_writes_into_the_terminal() {
        let mut answer = answer();
        answer["nodes"][1]["version"] = "0.1.0\u{1b}[2J\nroot: all is well".into();
        let printed = status(&answer).to_string();
        assert!(!printed.contains('\u{1b}') && printed.lines().count() == 6, "{printed}");
    }
}
