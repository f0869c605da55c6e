//! The unmodified SignalR client for Java, whose MessagePack protocol is another package that is not tried.

use hubgate_tests::Gateway;
use hubgate_tests::matrix::did;
use hubgate_tests::script::Script;

const NAME: &str = "`com.microsoft.signalr` 9.0.3, Java";

async fn run(transport: &str, scenarios: &[&str]) {
    run_on(&Gateway::probe().start().await, transport, scenarios).await;
}

async fn run_on(gateway: &Gateway, transport: &str, scenarios: &[&str]) {
    let token = gateway.token("probe").user("ann").sign();
    for scenario in scenarios {
        Script::java(&[scenario, &gateway.url(), transport, &token]).succeeds().await;
        did(NAME, transport, "json", scenario);
    }
}

const SCENARIOS: [&str; 7] = [
    "connect and disconnect",
    "a call with a result",
    "a call with an error",
    "receiving from another client",
    "groups",
    "close with a reason",
    "a token that is refused",
];

#[tokio::test]
async fn it_talks_on_websockets() {
    run("WebSockets", &SCENARIOS).await;
    run("WebSockets", &["order"]).await;
}

#[tokio::test]
async fn it_talks_by_long_polling() {
    // Its posts run side by side, so that they come in no order.
    run("LongPolling", &SCENARIOS).await;
}

#[tokio::test]
async fn it_streams_both_ways_with_a_component() {
    run_on(&Gateway::probe_hub().start().await, "WebSockets", &["streams both ways"]).await;
}

#[tokio::test]
async fn it_answers_what_the_hub_asks_it() {
    let gateway = Gateway::probe_hub().start().await;
    for transport in ["WebSockets", "LongPolling"] {
        run_on(&gateway, transport, &["client results"]).await;
    }
}
