//! The .NET client and management calls of the .NET test rig, where `HUBGATE_DOTNET_RIG` names its program.

use std::process::Stdio;
use std::time::Duration;

use hubgate_tests::Gateway;
use hubgate_tests::matrix::did;
use serde_json::Value;
use tokio::process::Command;

/// Its checks wait for time-outs, by design.
const LONGEST: Duration = Duration::from_secs(300);

#[tokio::test]
async fn it_calls_and_is_answered_on_all_transports() {
    let gateway = Gateway::probe().start().await;
    for (transport, name, protocol) in [
        ("ws", "WebSockets", "json"),
        ("ws", "WebSockets", "messagepack"),
        ("sse", "ServerSentEvents", "json"),
        ("lp", "LongPolling", "json"),
        ("lp", "LongPolling", "messagepack"),
    ] {
        let arguments = [
            &["client", "--connection-string", &gateway.ready().connection_string, "--hub", "probe", "--user", "ann"][..],
            &["--transport", transport, "--protocol", protocol, "--invoke", "echo", "--args", "[\"hi\"]"],
        ];
        let Some((succeeded, printed)) = rig(&arguments.concat()).await else { return };
        assert!(succeeded, "{transport} {protocol}: {printed}");
        let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let result = events.filter(|event| event.to_string().contains("\"hi\"")).count();
        assert!(result > 0, "{transport} {protocol}: {printed}");
        did(".NET `HubConnection` 10.0.12", name, protocol, "a call with a result");
    }
}

#[tokio::test]
async fn the_checks_of_serverless_mode_pass() {
    let gateway = Gateway::serve().with("hubs.'*'.mode = 'serverless'").start().await;
    let arguments = ["suite", "serverless", "--connection-string"];
    let arguments = [&arguments[..], &[gateway.ready().connection_string.as_str()]].concat();
    let Some((succeeded, printed)) = rig(&arguments).await else { return };
    assert!(succeeded, "{printed}");
    assert!(printed.contains("30 passed, 0 failed"), "{printed}");
}

/// Runs the rig to its end: whether it succeeded, and what it printed. None where it is not at hand.
async fn rig(arguments: &[&str]) -> Option<(bool, String)> {
    let Some(program) = std::env::var_os("HUBGATE_DOTNET_RIG") else {
        println!("HUBGATE_DOTNET_RIG is not set: the .NET client is not tested");
        return None;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let finished = tokio::time::timeout(LONGEST, command.output()).await;
    let output = finished.expect("the rig comes to its end").expect("the rig can be run");
    Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
