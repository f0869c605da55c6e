//! The rig of ASP.NET SignalR: the real hub engine and the real .NET client of the older protocol, and a suite of checks. `HUBGATE_ASPNET_RIG`
//! names its program; where it is not at hand, its tests say so and pass.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::dotnet::event;
use crate::gateway::Gateway;
use crate::http::Request;

/// The rig's checks wait for time-outs, by design.
const LONGEST: Duration = Duration::from_secs(1200);

/// Those of the rig's application: its own, and one for each hub.
const CONTAINERS: usize = 6;

/// Whether the rig is at hand.
pub fn is_at_hand() -> bool {
    let is_set = std::env::var_os("HUBGATE_ASPNET_RIG").is_some();
    if !is_set {
        println!("HUBGATE_ASPNET_RIG is not set: nothing is tested with ASP.NET SignalR here");
    }
    is_set
}

/// Runs checks of its suite for gateways: all of them must pass. Gives how many did.
pub async fn suite(gateway: &Gateway, arguments: &[&str]) -> Option<usize> {
    if !is_at_hand() {
        return None;
    }
    let connection = ["--connection-string", &gateway.ready().connection_string];
    let mut command = command();
    command.args(["suite", "service"]).args(connection).args(arguments).stderr(Stdio::inherit());
    let finished = tokio::time::timeout(LONGEST, command.output()).await;
    let output = finished.expect("the rig comes to its end").expect("the rig can be run");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    let last = printed.lines().last().unwrap_or_default();
    let passed = last.split_once(" passed, 0 failed").and_then(|(count, _)| count.rsplit(' ').next()?.parse().ok());
    Some(passed.unwrap_or_else(|| panic!("no count: {printed}")))
}

/// An application with the rig's hubs, which the gateway serves to its clients. Dropped, it is killed.
#[derive(Debug)]
pub struct HubServer {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl HubServer {
    /// Starts one, which is about to connect to the gateway.
    pub async fn start(gateway: &Gateway, arguments: &[&str]) -> HubServer {
        let mut command = command();
        command.args(["hub-server", "--connection-string", &gateway.ready().connection_string, "--quiet"]);
        command.args(arguments);
        let mut process = command.stderr(Stdio::inherit()).spawn().expect("the rig can be run");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut server = HubServer { _process: process, lines, url: String::new() };
        let ready = server.event("ready").await;
        ready["sideDoor"].as_str().expect("it listens").clone_into(&mut server.url);
        server
    }

    /// Waits until the containers of the application and of all of its hubs are connected.
    pub async fn connected(&mut self) {
        let mut links = std::collections::BTreeSet::new();
        while links.len() < CONTAINERS {
            let event = self.event("link-up").await;
            let container = event["link"].as_str().and_then(|link| link.split_once('#'));
            links.insert(container.expect("a container's connection").0.to_owned());
        }
    }

    /// Where the application sends a client on to that names these hubs, and its token.
    pub async fn negotiate(&self, connection_data: &str) -> Value {
        let path = format!("/signalr/negotiate?clientProtocol=2.1&{connection_data}");
        let answer = Request::new(Method::GET, self.address(), &path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Sends a text to all clients of its hub `Chat`, from outside of a call.
    pub async fn push(&self, text: &str) {
        let body = json!({ "target": "all", "hub": "Chat", "text": text });
        let answer = Request::new(Method::POST, self.address(), "/push").json(&body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    fn address(&self) -> SocketAddr {
        let address = self.url.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
        address.and_then(|address| address.parse().ok()).expect("an address")
    }

    async fn event(&mut self, name: &str) -> Value {
        event(&mut self.lines, name).await
    }
}

fn command() -> Command {
    let mut command = Command::new(std::env::var_os("HUBGATE_ASPNET_RIG").expect("it is at hand"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}
