//! The unmodified `@microsoft/signalr` in Node.js, its present version and an old one, on all transports and in both hub
//! protocols; the other versions that people use, in what all of them can do.

use futures_util::future::join_all;
use hubgate_tests::javascript::{Play, Way, clients_in_all_ways};
use hubgate_tests::matrix::{WAYS, did};
use hubgate_tests::script::Script;
use hubgate_tests::{Gateway, guests};

/// Versions that are tried with `older.mjs`: the packages of the client and of its MessagePack, and what they are.
const OLDER: [(&str, &str, &str); 5] = [
    ("aspnet-signalr-1.1", "aspnet-msgpack-1.1", "`@aspnet/signalr` 1.1.4, Node.js"),
    ("signalr-3", "msgpack-3", "`@microsoft/signalr` 3.1.31, Node.js"),
    ("signalr-6", "msgpack-6", "`@microsoft/signalr` 6.0.25, Node.js"),
    ("signalr-8", "msgpack-8", "`@microsoft/signalr` 8.0.29, Node.js"),
    ("signalr-9", "msgpack-9", "`@microsoft/signalr` 9.0.19, Node.js"),
];

/// Those of them that run in browsers only: 1.0 has no HTTP client for Node.js, 5.0 none for versions of Node.js with `fetch`.
const OLDER_IN_BROWSERS: [(&str, &str, &str); 2] = [
    ("aspnet-signalr-1.0", "aspnet-msgpack-1.0", "`@aspnet/signalr` 1.0.27, Chromium"),
    ("signalr-5", "msgpack-5", "`@microsoft/signalr` 5.0.17, Chromium"),
];

/// Where the pages of browsers are.
const ORIGIN: &str = "http://localhost:3999";

/// Runs a scenario of `scenarios.mjs` to its end with every client in every way.
async fn run(scenario: &str) {
    let gateway = Gateway::probe().start().await;
    run_on(&gateway, scenario, "ann", &WAYS).await;
}

async fn run_on(gateway: &Gateway, scenario: &str, user: &str, ways: &[Way]) {
    let hub = if scenario == "no server connected" { "unnamed" } else { "probe" };
    let token = gateway.token(hub).user(user).sign();
    for (package, client, way) in clients_in_all_ways().filter(|(.., way)| ways.contains(way)) {
        start(gateway, package, scenario, way, &token).succeeds().await;
        did(client, way.0, way.1, scenario);
    }
}

fn start(gateway: &Gateway, package: &str, scenario: &str, way: Way, token: &str) -> Script {
    Play { url: &gateway.url(), package, way, token }.start(scenario)
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
    const SCENARIO: &str = "pings keep a quiet connection";
    let config = "server.timeouts = { client = '6s', keep-alive = '1s' }";
    let gateway = &Gateway::probe().with(config).start().await;
    let token = &gateway.token("probe").user("ann").sign();
    // At the same time: each waits for longer than that.
    let all = clients_in_all_ways().filter(|(.., way)| WAYS[..3].contains(way));
    join_all(all.map(|(package, client, way)| async move {
        start(gateway, package, SCENARIO, way, token).succeeds().await;
        did(client, way.0, way.1, SCENARIO);
    }))
    .await;
}

#[tokio::test]
async fn it_reconnects_by_itself_after_the_gateway_was_restarted() {
    for (package, client, way) in clients_in_all_ways() {
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

/// Has a hub of the probe, and one of the probe of a whole hub.
async fn gateway_of_older_clients() -> Gateway {
    let hub = format!("{{ mode = 'serverless', negotiate = {{ anonymous = true }}, cors-origins = ['{ORIGIN}'] }}");
    let items = "[{ hubs = ['probe'], plugin = 'probe' }, { hubs = ['streams'], plugin = 'streams' }]";
    let config = format!("hubs.probe = {hub}\nhubs.streams = {hub}\nupstream = {items}");
    Gateway::probe().plugin("streams", &guests::probe_hub()).with(&config).start().await
}

/// Notes what a script says that it did, as `TRANSPORT | PROTOCOL | FEATURE`.
fn note(client: &str, said: &str) {
    let facts: Vec<_> = said.split(" | ").collect();
    let [transport, protocol, feature] = facts[..] else { panic!("it does not say what was done: {said}") };
    did(client, transport, protocol, feature);
}

#[tokio::test]
async fn older_versions_do_what_they_always_did() {
    let gateway = gateway_of_older_clients().await;
    let token = gateway.token("probe").user("ann").sign();
    for (package, protocol, client) in OLDER {
        let script = Script::start("older.mjs", &[package, protocol, &gateway.url(), &token]);
        script.account().await.for_each(|said| note(client, &said));
    }
}

#[tokio::test]
async fn versions_that_run_in_browsers_only_do_what_they_always_did() {
    let gateway = gateway_of_older_clients().await;
    let (url, token) = (gateway.url(), gateway.token("probe").user("ann").sign());
    let packages = OLDER_IN_BROWSERS.iter().flat_map(|(package, protocol, _)| [*package, *protocol]);
    let arguments: Vec<_> = [url.as_str(), &token, ORIGIN].into_iter().chain(packages).collect();
    for said in Script::start("older_in_browser.mjs", &arguments).account().await {
        let (package, what) = said.split_once(" | ").unwrap_or_else(|| panic!("no client: {said}"));
        let (_, _, client) = OLDER_IN_BROWSERS.iter().find(|(name, ..)| *name == package).expect("it was asked for");
        note(client, what);
    }
}
