//! Unmodified SignalR clients for Python.

use hubgate_tests::Gateway;
use hubgate_tests::matrix::did;
use hubgate_tests::script::Script;

const SCENARIOS: [&str; 7] = [
    "connect and disconnect",
    "a call with a result",
    "a call with an error",
    "receiving from another client",
    "groups",
    "order",
    "close with a reason",
];

/// Runs scenarios of `scenarios.py` to their end. With a token a client goes to the hub itself, else the gateway's
/// negotiation sends it there.
async fn run(client: &str, name: &str, scenarios: &[&str], ways: &[(&str, &str)], has_token: bool) {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").user("ann").sign();
    for scenario in scenarios {
        for (transport, protocol) in ways {
            let url = gateway.url();
            let mut arguments = vec![client, scenario, &url, transport, protocol];
            arguments.extend(has_token.then_some(token.as_str()));
            Script::python("scenarios.py", &arguments).succeeds().await;
            did(name, transport, protocol, scenario);
        }
    }
}

#[tokio::test]
async fn pysignalr_is_sent_to_the_hub() {
    let ways = [("WebSockets", "json"), ("WebSockets", "messagepack")];
    run("pysignalr", "`pysignalr` 1.3.3", &SCENARIOS, &ways, false).await;
}

#[tokio::test]
async fn signalrcore_is_sent_to_the_hub() {
    // Behind a redirect it speaks MessagePack, whatever it is told, and on WebSockets alone.
    run("signalrcore", "`signalrcore` 1.0.2", &SCENARIOS, &[("WebSockets", "messagepack")], false).await;
}

#[tokio::test]
async fn signalrcore_brings_a_token() {
    // Its polls bring no token, so that they open nothing.
    let ways = [("WebSockets", "json"), ("ServerSentEvents", "json")];
    run("signalrcore", "`signalrcore` 1.0.2", &SCENARIOS, &ways, true).await;
    run("signalrcore", "`signalrcore` 1.0.2", &["a token that is refused"], &ways[..1], true).await;
}
