//! What plugins keep with `state`: one for all nodes, in JetStream of NATS.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hubgate_tests::cluster::Making;
use hubgate_tests::command::{Finished, hubgate};
use hubgate_tests::nats::NatsServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Cluster, Gateway};
use serde_json::{Value, json};

const HUB: &str = "probe";

fn probes() -> Making {
    Cluster::of(Gateway::probe)
}

/// A client of each node.
async fn clients(cluster: &Cluster) -> Vec<Client> {
    join_all(cluster.nodes().iter().map(|node| async { node.client(HUB).connect().await })).await
}

/// What a call is answered; None: with an error.
async fn ask(client: &mut Client, method: &str, arguments: Value) -> Option<Value> {
    client.call(method, arguments).await.ok()
}

async fn kept(client: &mut Client, key: &str) -> Option<Value> {
    ask(client, "kept", json!([key])).await
}

/// Waits until a node has heard of a value.
async fn hears(client: &mut Client, key: &str, value: Value) {
    until("a node to hear of a value", async || (kept(client, key).await.as_ref() == Some(&value)).then_some(())).await;
}

/// So many calls of `count`, one after the other; gives the sums that were answered.
async fn counts(client: &mut Client, key: &str, times: usize) -> Vec<u64> {
    let mut sums = Vec::new();
    for _ in 0..times {
        let sum = ask(client, "count", json!([key])).await;
        sums.extend(sum.map(|sum| sum.as_u64().expect("it is a number")));
    }
    sums
}

#[tokio::test]
async fn three_nodes_that_count_to_a_thousand_each_have_counted_to_three_thousand() {
    let cluster = probes().start(3).await;
    let clients = [clients(&cluster).await, clients(&cluster).await];
    let counting = clients.into_iter().flatten().map(|mut client| async move { counts(&mut client, "n", 500).await });
    let mut sums: Vec<u64> = join_all(counting).await.into_iter().flatten().collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=3_000).collect::<Vec<u64>>(), "each number is given to one caller");
}

#[tokio::test]
async fn of_three_nodes_that_claim_the_same_one_gets_it() {
    let cluster = probes().start(3).await;
    let mut clients = clients(&cluster).await;
    for round in 0..50 {
        let key = format!("round {round}");
        let claims = clients.iter_mut().enumerate().map(|(node, client)| {
            let claim = json!([key, null, format!("node {node}")]);
            async move { ask(client, "swap", claim).await == Some(json!(true)) }
        });
        let claimed = join_all(claims).await;
        let owners: Vec<usize> = (0..3).filter(|node| claimed[*node]).collect();
        assert_eq!(owners.len(), 1, "{claimed:?}");
        let owner = format!("node {}", owners[0]);
        for client in &mut clients {
            hears(client, &key, json!(owner)).await;
        }
        // Whoever does it, wherever.
        assert_eq!(ask(&mut clients[round % 3], "swap", json!([key, owner, null])).await, Some(json!(true)));
    }
    for client in &mut clients {
        until("all to be given up", async || (ask(client, "keptKeys", json!([""])).await? == json!([])).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn without_nats_values_are_read_and_not_changed_until_it_is_back() {
    let mut cluster = probes().start(2).await;
    let mut clients = clients(&cluster).await;
    assert!(ask(&mut clients[0], "keep", json!(["k", "before"])).await.is_some());
    assert_eq!(kept(&mut clients[0], "k").await, Some(json!("before")), "its own writes are there at once");
    hears(&mut clients[1], "k", json!("before")).await;
    cluster.nats.stop().await;
    for client in &mut clients {
        until("changes to be refused", async || {
            ask(client, "keep", json!(["k", "lost"])).await.is_none().then_some(())
        })
        .await;
        assert_eq!(kept(client, "k").await, Some(json!("before")));
        assert_eq!(ask(client, "keptKeys", json!([""])).await, Some(json!(["k"])));
    }
    cluster.nats.start_again().await;
    until("changes to be made", async || ask(&mut clients[0], "keep", json!(["k", "after"])).await.map(drop)).await;
    hears(&mut clients[1], "k", json!("after")).await;
    // A node that starts has all that there is before it is ready.
    cluster.crash(1);
    cluster.start_again(1).await;
    cluster.is_whole().await;
    let mut client = cluster[1].client(HUB).connect().await;
    assert_eq!(kept(&mut client, "k").await, Some(json!("after")));
}

#[tokio::test]
async fn nothing_is_counted_twice_or_lost_when_nats_is_killed_over_it() {
    let mut cluster = probes().start(3).await;
    let mut sums = Vec::new();
    let mut calls = 0;
    for _ in 0..5 {
        let clients = clients(&cluster).await;
        let counting = clients.into_iter().map(|mut client| async move { counts(&mut client, "n", 150).await });
        let counting = tokio::spawn(join_all(counting));
        calls += 450;
        cluster.nats.kill();
        cluster.nats.start_again().await;
        sums.extend(counting.await.expect("no panic").into_iter().flatten());
        cluster.is_whole().await;
    }
    let mut client = cluster[0].client(HUB).connect().await;
    let last = async || ask(&mut client, "count", json!(["n"])).await.and_then(|sum| sum.as_u64());
    let mut last = last;
    let last = until("NATS to be there again", async || last().await).await;
    let distinct: BTreeSet<u64> = sums.iter().copied().collect();
    assert_eq!(distinct.len(), sums.len(), "two callers were given the same number");
    assert!(distinct.iter().all(|sum| *sum < last), "a number that was answered is lost");
    // Some that were not answered may have been counted, and no more.
    assert!(((sums.len() + 1) as u64..=calls + 1).contains(&last), "{last}, and {} were answered", sums.len());
}

#[tokio::test]
async fn with_state_scope_node_each_node_keeps_its_own_and_needs_no_jetstream() {
    let nats = NatsServer::with("jetstream: disabled", &[]).await;
    let alone = Cluster::of(|| Gateway::probe().with("plugins.probe.state-scope = 'node'"));
    let cluster = alone.start_on(nats, 2).await;
    for mut client in clients(&cluster).await {
        assert_eq!(counts(&mut client, "n", 3).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn without_jetstream_the_start_ends_with_the_plugins_name_and_what_to_do() {
    let nats = NatsServer::with("jetstream: disabled", &[]).await;
    let (_folder, config) = probes().setup(&nats).written();
    let ran = hubgate(["serve", "--config", config.to_str().expect("it is text")]);
    ends_with_what_to_do(&ran);
}

fn ends_with_what_to_do(ran: &Finished) {
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for part in ["plugin probe", "no JetStream", "state-scope = \"node\""] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}
