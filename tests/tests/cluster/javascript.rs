//! The unmodified `@microsoft/signalr` in Node.js, on all transports and in both hub protocols, with three nodes behind nginx: each of its requests comes to
//! another node.

use futures_util::future::join_all;
use hubgate_tests::dotnet::{self, HubServer};
use hubgate_tests::gateway::Setup;
use hubgate_tests::javascript::{Play, clients_in_all_ways};
use hubgate_tests::matrix::WAYS;
use hubgate_tests::script::Script;
use hubgate_tests::wait::until;
use hubgate_tests::{Cluster, Gateway, ProxiedCluster};

/// Everything that clients do with the probe, but for what takes its time.
const SCENARIOS: [&str; 11] = [
    "connect and disconnect",
    "a token of the application",
    "a token that is refused",
    "a call with a result",
    "order",
    "a call with an error",
    "a stream is an error",
    "receiving from another client",
    "groups",
    "close with a reason",
    "no server connected",
];
/// And with the probe of a whole hub.
const OF_WHOLE_HUBS: [&str; 2] = ["streams both ways", "client results"];
/// Those in which most meets between nodes.
const QUICK: [&str; 3] = ["order", "receiving from another client", "groups"];

async fn behind_nginx(setup: fn() -> Setup) -> ProxiedCluster {
    ProxiedCluster::start(Cluster::of(setup), 3).await
}

/// A client of `user` plays scenarios, each to its end.
async fn plays(proxied: &ProxiedCluster, user: &str, client: (&str, (&'static str, &'static str)), scenarios: &[&str]) {
    for scenario in scenarios {
        let hub = if *scenario == "no server connected" { "unnamed" } else { "probe" };
        let (url, token) = (proxied.entry().url(), proxied.entry().token(hub).user(user).sign());
        let (package, way) = client;
        Play { url: &url, package, way, token: &token }.start(scenario).succeeds().await;
    }
}

#[tokio::test]
async fn clients_hear_and_answer_each_other_on_all_transports_wherever_their_requests_come_to() {
    let (handlers, whole_hubs) = (behind_nginx(Gateway::probe).await, behind_nginx(Gateway::probe_hub).await);
    for way in WAYS {
        plays(&handlers, "ann", ("@microsoft/signalr", way), &QUICK).await;
    }
    plays(&whole_hubs, "ann", ("@microsoft/signalr", WAYS[0]), &OF_WHOLE_HUBS).await;
    plays(&whole_hubs, "ann", ("@microsoft/signalr", WAYS[4]), &OF_WHOLE_HUBS).await;
}

#[tokio::test]
#[ignore = "two minutes: scripts/cluster-tests.sh"]
async fn clients_do_all_that_they_do_with_one_gateway() {
    let (handlers, whole_hubs) = (behind_nginx(Gateway::probe).await, behind_nginx(Gateway::probe_hub).await);
    for (package, _, way) in clients_in_all_ways() {
        plays(&handlers, "ann", (package, way), &SCENARIOS).await;
        plays(&handlers, "refuse-me", (package, way), &["a refusal"]).await;
        if way.0 == "WebSockets" {
            plays(&handlers, "ann", (package, way), &["straight to the websocket"]).await;
        }
        plays(&whole_hubs, "ann", (package, way), &OF_WHOLE_HUBS).await;
    }
}

#[tokio::test]
#[ignore = "half a minute: scripts/cluster-tests.sh"]
async fn quiet_clients_are_kept() {
    let setup = || Gateway::probe().with("server.timeouts = { client = '6s', keep-alive = '1s' }");
    let proxied = &behind_nginx(setup).await;
    // At the same time: each waits for longer than that.
    let all = clients_in_all_ways().filter(|(.., way)| WAYS[..3].contains(way));
    join_all(all.map(|(package, _, way)| plays(proxied, "ann", (package, way), &["pings keep a quiet connection"])))
        .await;
}

#[tokio::test]
#[ignore = "two minutes: scripts/cluster-tests.sh"]
async fn clients_come_back_by_themselves_when_their_node_stops_or_is_killed() {
    let mut proxied = ProxiedCluster::start(Cluster::of(Gateway::probe).with("node-timeout = '3s'"), 3).await;
    let url = proxied.entry().url();
    for (package, _, way) in clients_in_all_ways() {
        let mut script = Play { url: &url, package, way, token: "" }.start("automatic reconnect");
        script.says("connected 1").await;
        let node = node_of_the_only_client(&proxied).await;
        proxied.cluster.stop(node).await;
        script.says("connected 2").await;
        proxied.cluster.start_again(node).await;
        proxied.cluster.is_whole().await;
        let node = node_of_the_only_client(&proxied).await;
        proxied.cluster.crash(node);
        script.succeeds().await;
        proxied.cluster.start_again(node).await;
        proxied.cluster.is_whole().await;
    }
}

/// Where the one client of the probe lives.
async fn node_of_the_only_client(proxied: &ProxiedCluster) -> usize {
    until("one client to be somewhere", async || {
        let mut with_clients = Vec::new();
        for node in proxied.cluster.running() {
            let clients = proxied.cluster[node].clients_of("probe").await;
            with_clients.extend((0..clients).map(|_| node));
        }
        (with_clients.len() == 1).then(|| with_clients[0])
    })
    .await
}

#[tokio::test]
#[ignore = "a minute: scripts/cluster-tests.sh"]
async fn clients_of_hub_servers_do_all_that_a_hub_offers() {
    if !dotnet::is_at_hand() {
        return;
    }
    let proxied = behind_nginx(Gateway::serve).await;
    // What a node prints as its connection string is the proxy's.
    let server = HubServer::start(&proxied.cluster[0], "one", &[]).await;
    for (package, _, (transport, protocol)) in clients_in_all_ways() {
        for scenario in ["calls and errors", "streams both ways", "groups", "client results"] {
            let arguments = [package, scenario, server.url(), transport, protocol];
            Script::start("hub_server.mjs", &arguments).succeeds().await;
        }
    }
}
