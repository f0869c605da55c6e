//! The .NET test rig: real hub servers with the Azure SignalR SDK, real clients, and suites of checks. `HUBGATE_DOTNET_RIG`
//! names its program; where it is not at hand, its tests say so and pass.

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::client::Connecting;
use crate::gateway::Gateway;
use crate::http::Request;
use crate::token::Token;
use crate::wait::soon;

/// The rig's checks wait for time-outs, by design.
const LONGEST: Duration = Duration::from_secs(600);

/// Whether the rig is at hand.
pub fn is_at_hand() -> bool {
    let is_set = std::env::var_os("HUBGATE_DOTNET_RIG").is_some();
    if !is_set {
        println!("HUBGATE_DOTNET_RIG is not set: nothing is tested with .NET here");
    }
    is_set
}

/// Runs the rig to its end: whether it succeeded, and what it printed. None where it is not at hand.
pub async fn run(arguments: &[&str]) -> Option<(bool, String)> {
    if !is_at_hand() {
        return None;
    }
    let mut command = command();
    command.args(arguments).stderr(Stdio::inherit());
    let finished = tokio::time::timeout(LONGEST, command.output()).await;
    let output = finished.expect("the rig comes to its end").expect("the rig can be run");
    Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs a suite of checks against the gateway: all of them must pass. Gives how many did.
pub async fn suite(gateway: &Gateway, arguments: &[&str]) -> Option<usize> {
    let connection = ["--connection-string", &gateway.ready().connection_string];
    let (succeeded, printed) = run(&[&["suite"], arguments, &connection].concat()).await?;
    assert!(succeeded, "{printed}");
    let passed = printed.lines().last().and_then(|line| line.strip_suffix(" passed, 0 failed, 0 skipped"));
    Some(passed.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count: {printed}")))
}

/// An ASP.NET Core application with a hub `chat`, which the gateway serves to its clients. Dropped, it is killed.
#[derive(Debug)]
pub struct HubServer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl HubServer {
    /// Starts one that calls itself `tag`; it is connected to the gateway.
    pub async fn start(gateway: &Gateway, tag: &str, arguments: &[&str]) -> HubServer {
        HubServer::with(&gateway.ready().connection_string, tag, arguments).await
    }

    /// The same with another connection string.
    pub async fn with(connection_string: &str, tag: &str, arguments: &[&str]) -> HubServer {
        let mut command = command();
        command.args(["hub-server", "--connection-string", connection_string]);
        command.args(["--hub", "chat", "--quiet", "--tag", tag]).args(arguments);
        let mut process = command.stderr(Stdio::inherit()).spawn().expect("the rig can be run");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut server = HubServer { process, lines, url: String::new() };
        let ready = server.event("ready").await;
        ready["urls"][0].as_str().expect("it listens").clone_into(&mut server.url);
        server.event("gateway-connected").await;
        server
    }

    /// The application's own base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client that the application has let in as `user`, not connected yet.
    pub async fn client(&self, gateway: &Gateway, user: &str) -> Connecting {
        let token = self.negotiate(user).await["accessToken"].as_str().expect("it redirects with a token").to_owned();
        Connecting::to(gateway.address(), "chat", Token::new("", "")).token(&token)
    }

    /// Where the application sends a client on to as `user`, and its token.
    pub async fn negotiate(&self, user: &str) -> Value {
        let address = self.url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
        let path = format!("/chat/negotiate?negotiateVersion=1&user={user}");
        let answer = Request::new(Method::POST, address, &path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Ends it at once, as a crash does.
    pub async fn crash(mut self) {
        self.process.kill().await.expect("a child can be killed");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        let id = self.process.id().expect("it runs").to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(killed.expect("there is a kill").success());
        let ended = soon("the application to stop", self.process.wait()).await;
        assert!(ended.expect("a child can be waited for").success());
    }

    async fn event(&mut self, name: &str) -> Value {
        event(&mut self.lines, name).await
    }
}

/// Waits for an event of this name among those that a hub server of a rig prints, one on a line.
pub(crate) async fn event(lines: &mut Lines<BufReader<ChildStdout>>, name: &str) -> Value {
    let what = format!("the event {name} of a hub server");
    soon(&what, async {
        loop {
            let line = lines.next_line().await.expect("it writes text");
            let line = line.unwrap_or_else(|| panic!("it ended before {name}"));
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if event["event"] == name {
                return event;
            }
        }
    })
    .await
}

fn command() -> Command {
    let mut command = Command::new(std::env::var_os("HUBGATE_DOTNET_RIG").expect("it is at hand"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}
