//! Links that are cut for real: each node, and NATS, is on a machine of its own.

use std::time::Duration;

use http::Method;
use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::cluster::{Making, View};
use hubgate_tests::nats::NatsServer;
use hubgate_tests::network::Network;
use hubgate_tests::wait::{let_pass, until};
use hubgate_tests::{Client, Cluster, Gateway};
use serde_json::json;

use crate::load::Load;
use crate::outages::{is_degraded, of_all};
use crate::{Peer, finds, knows, may_come_back, tell};

const HUB: &str = "chat";
/// Of serverless clients.
const BARE: &str = "bare";
/// What the log of a node says of another one that it gives up.
const LOST: &str = "a node is lost";
const OUTAGE_BEGINS: &str = "no other node is heard";
const OUTAGE_ENDS: &str = "other nodes are heard again";
const DISCONNECTED: &str = "the connection to NATS is lost";

fn in_both_modes() -> Making {
    Cluster::of(|| {
        Gateway::serve().with(
            r#"
            hubs."*".mode = "default"
            hubs.bare.mode = "serverless"
            hubs.load.mode = "serverless"
            "#,
        )
    })
}

/// Three nodes and a nats-server, each on a machine of its own.
async fn apart(network: &mut Network, settings: &str) -> Cluster {
    let nats = NatsServer::on(network.machine(), "").await;
    in_both_modes().with(settings).start_apart(network, nats, 3).await
}

/// A client of the hub server of this name.
async fn with_server(gateway: &Gateway, name: &str) -> Client {
    gateway.client(HUB).with_claim("asrs.s.ssticky", "Required").with_claim("asrs.s.sn", name).connect().await
}

fn told(gateway: &Gateway, text: &str) -> usize {
    gateway.log().lines().filter(|line| line.contains(text)).count()
}

/// Nobody gave anybody up, and nothing that was for others.
async fn nothing_was_given_up(cluster: &Cluster) {
    for node in cluster.nodes() {
        assert_eq!(told(node, LOST), 0, "{}", node.log());
    }
    assert_eq!(of_all(cluster, "hubgate_cluster_lost_total").await, 0.0);
}

#[tokio::test]
async fn nothing_is_lost_and_nobody_is_dropped_when_the_link_of_a_node_is_silent_for_less_than_others_wait_for_it() {
    let Some(mut network) = Network::enter() else { return };
    let cluster = apart(&mut network, "node-timeout = '12s'").await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let mut far = with_server(&cluster[1], "a").await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.goes_on(2_000).await;
    cluster.machine(1).silence();
    // Long enough for the connection to be given up, too.
    let call = far.start_call("who", json!([])).await;
    until("the node to notice", async || (told(&cluster[1], DISCONNECTED) > 0).then_some(())).await;
    cluster.machine(1).is_heard_again();
    assert_eq!(far.completion(&call).await["result"], "a");
    load.goes_on(2_000).await;
    load.ends().await;
    cluster.is_whole().await;
    assert_eq!(server.clients().len(), 1);
    nothing_was_given_up(&cluster).await;
    assert!(of_all(&cluster, "hubgate_cluster_resent_total").await > 0.0, "what was under way was sent again");
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_given_up_goes_on_by_itself_and_serves_with_the_others_when_its_link_is_back() {
    let Some(mut network) = Network::enter() else { return };
    let cluster = apart(&mut network, "node-timeout = '3s'").await;
    let [near, cut] =
        [AnsweringServer::start(&cluster[0], HUB, "near").await, AnsweringServer::start(&cluster[2], HUB, "cut").await];
    for node in 1..3 {
        knows(&cluster[node], HUB, &near, "near").await;
        knows(&cluster[node], HUB, &cut, "cut").await;
    }
    let mut stays = with_server(&cluster[1], "near").await;
    let mut loses_its_server = with_server(&cluster[1], "cut").await;
    let mut within = with_server(&cluster[2], "cut").await;
    let mut cut_off_from_its_server = with_server(&cluster[2], "near").await;
    let mut bob = Peer::connect(&cluster[1], BARE, "bob").await;
    let mut ann = Peer::connect(&cluster[2], BARE, "ann").await;
    let question = json!({ "target": "add", "arguments": [1, 2] });
    let path = format!("/api/hubs/{BARE}/connections/{}/:invoke", ann.id);
    let asking = tokio::spawn(cluster[0].rest(Method::POST, &path).json(&question).send());
    assert_eq!(ann.client.message().await["target"], "add", "it is asked");

    cluster.machine(2).unplug();
    may_come_back(&loses_its_server.end().await);
    let answer = asking.await.expect("it is answered");
    assert!((400..600).contains(&answer.status), "{answer:?}");
    for node in 0..2 {
        let are_two = async || {
            let view = View::of(&cluster[node]).await;
            (view.nodes.len() == 2 && !view.is_degraded).then_some(())
        };
        until("the other nodes to go on without it", are_two).await;
    }
    until("the server to hear who is gone", async || (near.clients().len() == 1).then_some(())).await;
    is_degraded(&cluster[2]).await;
    assert_eq!(within.call("who", json!([])).await, Ok(json!("cut")));
    tell(&cluster[2], BARE, "", "within").await;
    assert_eq!(ann.told().await, "within");
    tell(&cluster[0], BARE, "", "without").await;
    assert_eq!(bob.told().await, "without");
    assert_eq!(cut.clients().len(), 2, "it gives nobody up, and hears of no end");

    cluster.machine(2).plug_in();
    cluster.is_whole().await;
    may_come_back(&cut_off_from_its_server.end().await);
    assert_eq!(stays.call("who", json!([])).await, Ok(json!("near")));
    assert_eq!(within.call("who", json!([])).await, Ok(json!("cut")));
    for node in 0..3 {
        let text = format!("again, from {node}");
        tell(&cluster[node], BARE, "", &text).await;
        assert_eq!([bob.told().await, ann.told().await], [text.clone(), text]);
    }
    finds(&cluster[1], HUB, "cut").await;
    finds(&cluster[2], HUB, "near").await;
    assert!(cluster[2].metric("hubgate_cluster_lost_total", []).await >= 1.0, "what it had for the others is counted");
    assert_eq!([0, 1, 2].map(|node| told(&cluster[node], LOST)), [1, 1, 0]);
    for text in [OUTAGE_BEGINS, OUTAGE_ENDS, DISCONNECTED] {
        assert_eq!([0, 1, 2].map(|node| told(&cluster[node], text)), [0, 0, 1], "{text}");
    }
}

#[tokio::test]
async fn nothing_is_lost_and_nobody_is_dropped_when_nats_cannot_be_reached_by_anybody_and_no_connection_breaks() {
    let Some(mut network) = Network::enter() else { return };
    let cluster = apart(&mut network, "node-timeout = '5s'").await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let mut far = with_server(&cluster[1], "a").await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.goes_on(2_000).await;
    cluster.nats.machine().silence();
    let call = far.start_call("who", json!([])).await;
    // Longer than a node may be silent while others are heard.
    let_pass(Duration::from_secs(7)).await;
    for node in 0..3 {
        is_degraded(&cluster[node]).await;
    }
    cluster.nats.machine().is_heard_again();
    assert_eq!(far.completion(&call).await["result"], "a");
    load.goes_on(2_000).await;
    load.ends().await;
    cluster.is_whole().await;
    assert_eq!(server.clients().len(), 1);
    nothing_was_given_up(&cluster).await;
    for text in [OUTAGE_BEGINS, OUTAGE_ENDS] {
        assert_eq!([0, 1, 2].map(|node| told(&cluster[node], text)), [1; 3], "{text}");
    }
}

#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_made_anew_before_others_give_its_node_up() {
    let Some(mut network) = Network::enter() else { return };
    let cluster = apart(&mut network, "node-timeout = '10s'").await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.goes_on(2_000).await;
    cluster.machine(1).loses_its_connections();
    until("the node to notice", async || (told(&cluster[1], DISCONNECTED) > 0).then_some(())).await;
    cluster.is_whole().await;
    load.goes_on(2_000).await;
    load.ends().await;
    nothing_was_given_up(&cluster).await;
}

#[tokio::test]
async fn nodes_whose_nats_server_is_gone_without_a_word_go_on_with_another_before_they_are_given_up() {
    let Some(mut network) = Network::enter() else { return };
    let machines = [network.machine(), network.machine()];
    let options = |name: &str| {
        let routes = machines.each_ref().map(|machine| format!("'nats://{}:6222'", machine.inner_address())).join(", ");
        format!(
            "server_name: {name}\ncluster {{ name: both, listen: '0.0.0.0:6222', no_advertise: true, routes: [{routes}] }}"
        )
    };
    let first = NatsServer::on(machines[0].clone(), &options("first")).await;
    let second = NatsServer::on(machines[1].clone(), &options("second")).await;
    let servers = format!("servers = ['{}', '{}']\nnode-timeout = '12s'", first.url(), second.url());
    let cluster = in_both_modes().with(&servers).start_apart(&mut network, first, 3).await;
    let first = &cluster.nats;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.goes_on(2_000).await;
    // A node has another connection, for what plugins keep, which may be to the other server.
    let name = format!("hubgate hubgate {}", View::of(&cluster[0]).await.node);
    let server = if first.client_names().await.contains(&name) { first } else { &second };
    assert!(server.client_names().await.contains(&name), "the first node is connected to one of them");
    server.machine().silence();
    until("the node to notice", async || (told(&cluster[0], DISCONNECTED) > 0).then_some(())).await;
    cluster.is_whole().await;
    load.goes_on(2_000).await;
    load.ends().await;
    nothing_was_given_up(&cluster).await;
}
