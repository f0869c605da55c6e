//! The unmodified `@microsoft/signalr` in Node.js, its present version and an old one, on all transports and in both hub
//! protocols.

use hubgate_tests::Gateway;
use hubgate_tests::matrix::{WAYS, did};
use hubgate_tests::script::Script;

/// The packages of `tests/clients/javascript`, and what they are.
const CLIENTS: [(&str, &str); 2] = [
    ("@microsoft/signalr", "`@microsoft/signalr` 10.0.11, Node.js"),
    ("signalr-7", "`@microsoft/signalr` 7.0.14, Node.js"),
];

/// Runs a scenario of `scenarios.mjs` to its end with every client in every way.
async fn run(scenario: &str) {
    let gateway = Gateway::probe().start().await;
    run_on(&gateway, scenario, "ann", &WAYS).await;
}

async fn run_on(gateway: &Gateway, scenario: &str, user: &str, ways: &[(&str, &str)]) {
    let hub = if scenario == "no server connected" { "unnamed" } else { "probe" };
    let token = gateway.token(hub).user(user).sign();
    for (package, client) in CLIENTS {
        for way in ways {
            start(gateway, package, scenario, *way, &token).succeeds().await;
            did(client, way.0, way.1, scenario);
        }
    }
}

fn start(gateway: &Gateway, client: &str, scenario: &str, (transport, protocol): (&str, &str), token: &str) -> Script {
    Script::start("scenarios.mjs", &[client, scenario, &gateway.url(), transport, protocol, token])
}

#[tokio::test]
async fn it_connects_and_disconnects() {
    run("connect and disconnect").await;
}

#[tokio::test]
async fn it_may_skip_negotiation() {
    let gateway = Gateway::probe().start().await;
    run_on(&gateway, "straight to the websocket", "ann", &WAYS[..2]).await;
}

#[tokio::test]
async fn it_may_bring_a_token_of_the_application() {
    run("a token of the application").await;
}

#[tokio::test]
async fn it_learns_that_its_token_is_refused() {
    run("a token that is refused").await;
}

#[tokio::test]
async fn its_calls_have_results() {
    run("a call with a result").await;
}

#[tokio::test]
async fn its_messages_keep_their_order() {
    run("order").await;
}

#[tokio::test]
async fn its_calls_have_errors() {
    run("a call with an error").await;
}

#[tokio::test]
async fn its_streams_are_errors() {
    run("a stream is an error").await;
}

#[tokio::test]
async fn it_streams_both_ways_with_a_component() {
    let gateway = Gateway::probe_hub().start().await;
    run_on(&gateway, "streams both ways", "ann", &WAYS).await;
}

#[tokio::test]
async fn it_receives_from_another_client() {
    run("receiving from another client").await;
}

#[tokio::test]
async fn it_hears_the_groups_that_it_is_in() {
    run("groups").await;
}

#[tokio::test]
async fn it_answers_what_the_hub_asks_it() {
    let gateway = Gateway::probe_hub().start().await;
    run_on(&gateway, "client results", "ann", &WAYS).await;
}

#[tokio::test]
async fn it_is_closed_with_a_reason_and_stays_away() {
    run("close with a reason").await;
}

#[tokio::test]
async fn it_is_refused_with_a_text() {
    let gateway = Gateway::probe().start().await;
    run_on(&gateway, "a refusal", "refuse-me", &WAYS).await;
}

#[tokio::test]
async fn it_learns_that_no_server_is_connected() {
    run("no server connected").await;
}

#[tokio::test]
async fn it_is_kept_while_it_is_quiet() {
    let config = "server.timeouts = { client = '2s', keep-alive = '1s' }";
    let gateway = Gateway::probe().with(config).start().await;
    run_on(&gateway, "pings keep a quiet connection", "ann", &WAYS[..3]).await;
}

#[tokio::test]
async fn it_reconnects_by_itself_after_the_gateway_was_restarted() {
    for ((package, client), way) in CLIENTS.into_iter().flat_map(|client| WAYS.map(|way| (client, way))) {
        let mut gateway = Gateway::probe().start().await;
        let mut script = start(&gateway, package, "automatic reconnect", way, "");
        script.says("connected 1").await;
        gateway.restart().await;
        script.says("connected 2").await;
        gateway.crash_and_restart().await;
        script.succeeds().await;
        did(client, way.0, way.1, "automatic reconnect");
    }
}
