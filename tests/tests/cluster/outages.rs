//! NATS is away: it was killed, it stands still, or it was never there.

use std::time::{Duration, Instant};

use http::Method;
use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::cluster::is_ready;
use hubgate_tests::gateway::signal;
use hubgate_tests::nats::NatsServer;
use hubgate_tests::wait::{let_pass, until};
use hubgate_tests::{Cluster, Gateway};
use serde_json::json;

use crate::load::Load;
use crate::{Peer, asked, default_mode, knows, may_come_back, serverless, tell};

const HUB: &str = "chat";

/// What `GET /readyz` answers.
async fn readiness(gateway: &Gateway) -> (u16, bool) {
    let answer = gateway.get("/readyz").await;
    (answer.status, answer.body.contains("degraded"))
}

pub(crate) async fn is_degraded(gateway: &Gateway) {
    let says_so = async || (readiness(gateway).await == (200, true)).then_some(());
    until("a node to serve, degraded", says_so).await;
}

pub(crate) async fn of_all(cluster: &Cluster, metric: &str) -> f64 {
    let mut sum = 0.0;
    for node in cluster.nodes() {
        sum += node.metric(metric, []).await;
    }
    sum
}

#[tokio::test]
async fn nothing_is_lost_when_nats_is_killed_under_load_and_comes_back() {
    nats_is_killed_under_load(3).await;
}

#[tokio::test]
#[ignore = "half a minute: scripts/cluster-tests.sh"]
async fn nothing_is_lost_when_nats_is_killed_again_and_again() {
    nats_is_killed_under_load(30).await;
}

async fn nats_is_killed_under_load(times: usize) {
    let mut cluster = serverless().start(3).await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    for time in 0..times {
        load.goes_on(2_000).await;
        cluster.nats.kill();
        load.goes_on(500).await;
        // Each third time it is away for so long that it is noticed.
        if time % 3 == 1 {
            for node in 0..3 {
                is_degraded(&cluster[node]).await;
            }
        }
        cluster.nats.start_again().await;
        cluster.is_whole().await;
        load.goes_on(2_000).await;
    }
    load.ends().await;
    assert!(of_all(&cluster, "hubgate_cluster_resent_total").await > 0.0, "what was under way was sent again");
    assert_eq!(of_all(&cluster, "hubgate_cluster_lost_total").await, 0.0);
}

#[tokio::test]
async fn nothing_is_lost_when_nats_stands_still_for_a_while_under_load() {
    let cluster = serverless().start(3).await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.goes_on(2_000).await;
    cluster.nats.freeze();
    let_pass(Duration::from_secs(3)).await;
    cluster.nats.thaw();
    load.goes_on(4_000).await;
    load.ends().await;
    cluster.is_whole().await;
    assert_eq!(of_all(&cluster, "hubgate_cluster_lost_total").await, 0.0);
}

#[tokio::test]
async fn nothing_is_lost_when_nats_cuts_off_a_node_that_does_not_read() {
    const MESSAGES: usize = 40;
    let nats = NatsServer::with("max_payload: 1MB\nmax_pending: 1MB\nwrite_deadline: '1s'", &[]).await;
    let nodes = Cluster::of(|| Gateway::serve().with("hubs.'*'.mode = 'serverless'\nserver.limits.outbox = '64MiB'"));
    let cluster = nodes.with("resend-buffer = '64MiB'\nnode-timeout = '30s'").start_on(nats, 2).await;
    let mut far = Peer::connect(&cluster[1], HUB, "ann").await;
    assert!(signal(cluster[1].process_id(), "STOP"), "it runs");
    // More than the kernel keeps for it.
    let text = "x".repeat(500_000);
    for number in 0..MESSAGES {
        tell(&cluster[0], HUB, "", &format!("{number} {text}")).await;
    }
    let is_cut_off = async || cluster.nats.log().contains("Slow Consumer").then_some(());
    until("NATS to cut the node off", is_cut_off).await;
    assert!(signal(cluster[1].process_id(), "CONT"), "it runs");
    for number in 0..MESSAGES {
        assert_eq!(far.told().await, format!("{number} {text}"));
    }
    assert_eq!(of_all(&cluster, "hubgate_cluster_lost_total").await, 0.0);
}

#[tokio::test]
async fn what_exceeds_the_resend_buffer_is_counted_and_logged_once_and_then_all_goes_on() {
    let mut cluster = serverless().with("resend-buffer = '1MiB'").start(2).await;
    let mut far = Peer::connect(&cluster[1], HUB, "ann").await;
    let mut near = Peer::connect(&cluster[0], HUB, "bob").await;
    cluster.nats.kill();
    is_degraded(&cluster[0]).await;
    let text = "x".repeat(100_000);
    for _ in 0..20 {
        tell(&cluster[0], HUB, "", &text).await;
        assert_eq!(near.told().await, text, "clients of the same node get all of it");
    }
    cluster.nats.start_again().await;
    cluster.is_whole().await;
    tell(&cluster[0], HUB, "", "after").await;
    // Of what was sent meanwhile it may have got some.
    let mut got = 0;
    while far.told().await != "after" {
        got += 1;
    }
    let lost = cluster[0].metric("hubgate_cluster_lost_total", []).await;
    assert!(lost >= 1.0 && got as f64 + lost >= 20.0, "{got} of 20 came, {lost} were counted");
    let log = cluster[0].log();
    let told = log.lines().filter(|line| line.contains("messages for a node may be lost")).count();
    assert_eq!(told, 1, "{log}");
}

#[tokio::test]
async fn while_nats_is_away_clients_of_a_node_go_on_among_themselves_and_nobody_is_dropped_in_the_grace() {
    let mut cluster = default_mode().with("outage-grace = '60s'\nnode-timeout = '2s'").start(2).await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let mut near = Peer::connect(&cluster[0], HUB, "ann").await;
    let mut far = Peer::connect(&cluster[1], HUB, "bob").await;
    cluster.nats.kill();
    for node in 0..2 {
        is_degraded(&cluster[node]).await;
        assert_eq!(cluster[node].admin("/admin/cluster").await["degraded"], true);
    }
    // Longer than a node may be silent while others are heard.
    let_pass(Duration::from_secs(4)).await;
    assert_eq!(near.client.call("who", json!([])).await, Ok(json!("a")));
    tell(&cluster[0], HUB, "", "to all").await;
    assert_eq!(near.told().await, "to all");
    // What it asks meanwhile is answered afterwards.
    let call = far.client.start_call("who", json!([])).await;
    cluster.nats.start_again().await;
    assert_eq!(far.client.completion(&call).await["result"], "a");
    assert_eq!(far.told().await, "to all");
    cluster.is_whole().await;
    for node in 0..2 {
        assert_eq!(readiness(&cluster[node]).await, (200, false));
    }
    assert_eq!(server.clients().len(), 2);
}

#[tokio::test]
async fn after_the_grace_clients_whose_server_is_at_another_node_are_told_to_come_back_and_others_stay() {
    let mut cluster = default_mode().with("outage-grace = '3s'\nnode-timeout = '2s'").start(2).await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let mut near = Peer::connect(&cluster[0], HUB, "ann").await;
    let mut far = Peer::connect(&cluster[1], HUB, "bob").await;
    let killed = Instant::now();
    cluster.nats.kill();
    may_come_back(&far.client.end().await);
    assert!(killed.elapsed() > Duration::from_secs(3), "after {:?}, within the grace", killed.elapsed());
    assert_eq!(near.client.call("who", json!([])).await, Ok(json!("a")));
    for node in 0..2 {
        assert_eq!(readiness(&cluster[node]).await, (200, true));
    }
    until("the server to hear of it", async || (server.clients().len() == 1).then_some(())).await;
    cluster.nats.start_again().await;
    cluster.is_whole().await;
    knows_again(&cluster[1]).await;
    let mut back = Peer::connect(&cluster[1], HUB, "bob").await;
    assert_eq!(back.client.call("who", json!([])).await, Ok(json!("a")));
    assert_eq!(near.client.call("who", json!([])).await, Ok(json!("a")));
}

/// With the settings that a cluster has when nobody says anything.
#[tokio::test]
#[ignore = "a minute and a half: scripts/cluster-tests.sh"]
async fn nats_may_be_away_for_twenty_seconds_and_when_it_is_away_for_longer_than_the_grace_clients_of_other_nodes_come_back()
 {
    let mut cluster = default_mode().start(2).await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let mut far = Peer::connect(&cluster[1], HUB, "bob").await;
    cluster.nats.kill();
    let_pass(Duration::from_secs(20)).await;
    tell(&cluster[0], HUB, "", "kept").await;
    cluster.nats.start_again().await;
    assert_eq!(far.told().await, "kept");
    assert_eq!(far.client.call("who", json!([])).await, Ok(json!("a")));
    cluster.is_whole().await;
    cluster.nats.kill();
    may_come_back(&far.client.end().await);
    cluster.nats.start_again().await;
    cluster.is_whole().await;
    knows_again(&cluster[1]).await;
}

/// Waits until a node finds a server for its clients.
async fn knows_again(gateway: &Gateway) {
    let finds_one = async || {
        let mut client = gateway.client(HUB).open().await;
        client.send_text(hubgate_tests::client::HANDSHAKE).await;
        (client.message().await == json!({})).then_some(())
    };
    until("a server to be found", finds_one).await;
}

#[tokio::test]
async fn a_node_that_starts_without_nats_is_not_ready_until_it_has_joined() {
    let mut nats = NatsServer::start().await;
    nats.kill();
    let mut cluster = serverless().start_unready_on(nats, 2).await;
    for node in 0..2 {
        cluster[node].logs(&["NATS"]).await;
        assert_eq!(readiness(&cluster[node]).await.0, 503);
    }
    cluster.nats.start_again().await;
    cluster.is_whole().await;
    let mut peer = Peer::connect(&cluster[1], HUB, "ann").await;
    tell(&cluster[0], HUB, "/users/ann", "hello").await;
    assert_eq!(peer.told().await, "hello");
}

#[tokio::test]
async fn a_node_that_has_waited_long_enough_serves_alone_and_joins_later() {
    let mut nats = NatsServer::start().await;
    nats.kill();
    let mut cluster = serverless().with("start-alone = '5s'").start_unready_on(nats, 2).await;
    for node in 0..2 {
        is_degraded(&cluster[node]).await;
    }
    let mut peers = [Peer::connect(&cluster[0], HUB, "ann").await, Peer::connect(&cluster[1], HUB, "ann").await];
    tell(&cluster[0], HUB, "", "alone").await;
    assert_eq!(peers[0].told().await, "alone");
    assert_eq!(asked(&cluster[0], Method::HEAD, HUB, &format!("/connections/{}", peers[1].id)).await, 404);
    cluster.nats.start_again().await;
    cluster.is_whole().await;
    for node in 0..2 {
        is_ready(&cluster[node]).await;
        tell(&cluster[node], HUB, "", "together").await;
        for peer in &mut peers {
            assert_eq!(peer.told().await, "together");
        }
    }
}
