//! `hubgate bench` as its users run it. What it measures is not looked at: only that it counts right.

use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use hubgate_tests::command::{self, Finished};
use hubgate_tests::gateway::Gateway;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// Runs `hubgate` beside what else the test does.
async fn run(arguments: &[&str]) -> Finished {
    let mut command = Command::new(command::binary());
    command.args(arguments);
    let run = tokio::task::spawn_blocking(move || Finished::of(&mut command));
    run.await.expect("it does not panic")
}

/// Runs a scenario on a gateway with the probe; gives its one line of JSON.
async fn measure(options: &[&str]) -> Value {
    let gateway = Gateway::probe().start().await;
    let connection = gateway.ready().connection_string.clone();
    let mut arguments = vec!["bench"];
    arguments.extend(options);
    arguments.extend([
        "--connection-string",
        &connection,
        "--hub",
        "probe",
        "--json",
        "--rounds",
        "1",
        "--time",
        "100ms",
    ]);
    serde_json::from_str(run(&arguments).await.success().trim()).expect("one line of JSON")
}

fn assert_complete(result: &Value, scenario: &str, clients: u64) {
    assert_eq!(result["scenario"], scenario);
    assert_eq!(result["clients"], clients);
    for fault in ["lost", "doubled", "outOfOrder"] {
        assert_eq!(result[fault], 0, "{result}");
    }
    for figure in ["floorRatio", "cpuMicros", "p50Micros", "p99Micros"] {
        assert!(result[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {result}");
    }
}

#[tokio::test]
async fn an_echo_through_hub_servers_is_counted_like_any_other() {
    let gateway = Gateway::serve().start().await;
    let connection = gateway.ready().connection_string.clone();
    let arguments = ["bench", "echo", "--clients", "4", "--hub-servers", "3", "--connection-string", &connection];
    let more = ["--hub", "chat", "--json", "--rounds", "1", "--time", "100ms"];
    let printed = run(&[&arguments[..], &more].concat()).await.success();
    assert_complete(&serde_json::from_str(printed.trim()).expect("one line of JSON"), "echo", 4);
    let broadcast = ["bench", "broadcast", "--hub-servers", "1", "--connection-string", &connection, "--hub", "x"];
    let refused = run(&broadcast).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("--hub-servers is for `echo`"), "{refused:?}");
}

#[tokio::test]
async fn every_answer_and_every_delivery_is_counted() {
    assert_complete(&measure(&["echo", "--clients", "3", "--burst", "2"]).await, "echo", 3);
    assert_complete(&measure(&["broadcast", "--clients", "7", "--burst", "3"]).await, "broadcast", 7);
    assert_complete(&measure(&["group", "--clients", "5", "--groups", "4"]).await, "group", 5);
    assert_complete(&measure(&["broadcast", "--clients", "3", "--rate", "100"]).await, "broadcast", 3);
    assert_complete(&measure(&["rest", "--clients", "4"]).await, "rest", 4);
    assert_complete(&measure(&["rest", "--clients", "2", "--burst", "3"]).await, "rest", 2);
}

#[tokio::test]
async fn clients_that_come_and_go_and_clients_that_stay_are_measured() {
    assert_eq!(measure(&["connect", "--clients", "5"]).await["scenario"], "connect");
    let idle = measure(&["idle", "--clients", "20"]).await;
    assert!(idle["cpuPercent"].is_number() && idle["kilobytes"].is_number(), "{idle}");
}

/// A fake, since no real server does what it does: it answers each call twice.
async fn serve_twice(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut socket = tokio_tungstenite::accept_async(stream).await.expect("the load speaks WebSocket");
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                if text.starts_with("{\"protocol\"") {
                    drop(socket.send(Message::text("{}\x1e")).await);
                    continue;
                }
                let call: Value = serde_json::from_str(text.trim_end_matches('\x1e')).expect("one call");
                let answer = serde_json::json!({ "type": 3, "invocationId": call["invocationId"], "result": call["arguments"][0] });
                drop(socket.send(Message::text(format!("{answer}\x1e{answer}\x1e"))).await);
            }
        });
    }
}

#[tokio::test]
async fn a_server_that_answers_twice_fails_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let connection = format!("Endpoint=http://{};AccessKey=any;", listener.local_addr().expect("it is bound"));
    let server = tokio::spawn(serve_twice(listener));
    let arguments = ["bench", "echo", "--connection-string", &connection, "--hub", "x", "--clients", "2", "--no-floor"];
    let output = run(&[&arguments[..], &["--json", "--rounds", "1", "--time", "100ms"]].concat()).await;
    server.abort();
    assert_eq!(output.code, Some(1), "{output:?}");
    let result: Value = serde_json::from_str(output.stdout.trim()).expect("one line of JSON");
    assert!(result["doubled"].as_u64().is_some_and(|doubled| doubled > 0), "{result}");
}

#[tokio::test]
async fn the_load_does_not_leave_this_machine_by_itself() {
    let connection = "Endpoint=http://192.0.2.1;AccessKey=k;";
    let output = run(&["bench", "echo", "--connection-string", connection, "--hub", "x"]).await;
    assert!(output.code == Some(1) && output.stderr.contains("--remote"), "{output:?}");
}

#[test]
fn each_option_has_a_text_of_help() {
    for scenario in ["echo", "broadcast", "group", "rest", "connect", "idle"] {
        let help = command::hubgate(["bench", scenario, "--help"]).success();
        let mut lines = help.lines();
        while let Some(line) = lines.next() {
            if line.trim_start().starts_with("--") {
                // The text stands on the same line, two blanks after the option, or on the next one.
                let text =
                    line.trim_start().split_once("  ").map_or_else(|| lines.next().unwrap_or_default(), |all| all.1);
                assert!(!text.trim().is_empty(), "{scenario}: {line}");
            }
        }
    }
}
