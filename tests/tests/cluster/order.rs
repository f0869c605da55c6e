//! The order of what one sender sends, and that what was acknowledged is in effect everywhere.

use http::Method;
use hubgate_tests::http::escaped;
use hubgate_tests::wait::DEADLINE;

use crate::load::{HUB, Load};
use crate::{Peer, asked, join, serverless, tell};

#[tokio::test]
async fn numbered_messages_come_once_and_in_order_from_every_node_to_every_node() {
    numbers_come(30_000).await;
}

#[tokio::test]
#[ignore = "a minute: scripts/cluster-tests.sh"]
async fn a_million_numbered_messages_come_once_and_in_order() {
    numbers_come(1_000_000).await;
}

async fn numbers_come(messages: u64) {
    let cluster = serverless().start(3).await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.reaches(messages).await;
    let sent = load.ends().await;
    assert!(sent >= messages, "{sent}");
    for node in cluster.nodes() {
        assert_eq!(node.metric("hubgate_cluster_lost_total", []).await, 0.0);
    }
}

#[tokio::test]
async fn what_was_acknowledged_at_one_node_is_in_effect_for_senders_at_all() {
    joins_are_seen(200).await;
}

#[tokio::test]
#[ignore = "ten seconds: scripts/cluster-tests.sh"]
async fn a_thousand_joins_that_were_acknowledged_at_one_node_are_in_effect_for_senders_at_all() {
    joins_are_seen(1_000).await;
}

/// A client joins and leaves, asked for at one node, and each time somebody sends to the group at another.
async fn joins_are_seen(times: usize) {
    let cluster = serverless().start(3).await;
    let mut peers = Vec::new();
    for node in 0..3 {
        peers.push(Peer::connect(&cluster[node], HUB, &format!("user-{node}")).await);
    }
    for time in 0..times {
        // All places that client, caller and sender can have to each other.
        let (home, caller, sender) = (time % 3, (time / 3) % 3, (time / 9) % 3);
        let group = format!("group-{}", time % 7);
        let peer = &mut peers[home];
        join(&cluster[caller], HUB, &peer.id, &group).await;
        let to = format!("/groups/{}", escaped(&group));
        tell(&cluster[sender], HUB, &to, &format!("in {time}")).await;
        assert_eq!(peer.told().await, format!("in {time}"));
        let member = format!("/groups/{}/connections/{}", escaped(&group), peer.id);
        assert_eq!(asked(&cluster[caller], Method::DELETE, HUB, &member).await, 200);
        tell(&cluster[sender], HUB, &to, &format!("out {time}")).await;
        // Nothing that was sent before it comes after it.
        tell(&cluster[sender], HUB, &format!("/connections/{}", peer.id), &format!("last {time}")).await;
        let told = tokio::time::timeout(DEADLINE, peer.told()).await.expect("it comes");
        assert_eq!(told, format!("last {time}"));
    }
}
