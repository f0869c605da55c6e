//! A node that joins others is ready when it knows what they know.

use http::Method;
use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::cluster::is_ready;
use hubgate_tests::http::escaped;

use crate::load::Load;
use crate::{Peer, asked, default_mode, knows, serverless, tell};

const HUB: &str = "chat";
/// So many that they do not fit into one frame.
const USERS: usize = 2_000;

async fn add_user(cluster: &hubgate_tests::Cluster, node: usize, user: &str, group: &str) {
    let path = format!("/users/{}/groups/{}", escaped(user), escaped(group));
    assert_eq!(asked(&cluster[node], Method::PUT, HUB, &path).await, 200);
}

/// A group's name that is long, so that what all nodes hold alike is large.
fn long_group(number: usize) -> String {
    format!("{number:0>900}")
}

#[tokio::test]
async fn a_node_that_joins_under_load_knows_the_groups_of_users_and_reaches_their_clients_at_once() {
    let mut cluster = serverless().start(3).await;
    let mut peers = Vec::new();
    for node in 0..3 {
        add_user(&cluster, (node + 1) % 3, &format!("user-{node}"), "team").await;
        peers.push(Peer::connect(&cluster[node], HUB, &format!("user-{node}")).await);
    }
    for number in 0..USERS {
        add_user(&cluster, number % 3, &format!("absent {number}"), &long_group(number)).await;
    }
    add_user(&cluster, 0, "late", "team").await;
    let load = Load::start(&cluster, &[0, 1, 2]).await;
    load.goes_on(1_000).await;

    let fourth = cluster.add().await;
    is_ready(&cluster[fourth]).await;
    tell(&cluster[fourth], HUB, "/groups/team", "from the fourth").await;
    for number in [0, USERS - 1] {
        let path = format!("/users/{}/groups/{}", escaped(&format!("absent {number}")), long_group(number));
        assert_eq!(asked(&cluster[fourth], Method::HEAD, HUB, &path).await, 200, "user {number}");
    }
    for peer in &mut peers {
        assert_eq!(peer.told().await, "from the fourth");
    }
    // A client of the new node is in the groups of its user, for senders at the others.
    let mut late = Peer::connect(&cluster[fourth], HUB, "late").await;
    tell(&cluster[1], HUB, "/groups/team", "to the fourth").await;
    assert_eq!(late.told().await, "to the fourth");
    load.goes_on(1_000).await;
    load.ends().await;
    cluster.is_whole().await;
}

#[tokio::test]
async fn a_node_that_is_ready_knows_the_hub_servers_of_the_others() {
    let mut cluster = default_mode().start(2).await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let third = cluster.add().await;
    is_ready(&cluster[third]).await;
    // A client that finds no server is refused.
    let mut peer = Peer::connect(&cluster[third], HUB, "ann").await;
    assert_eq!(peer.client.call("who", serde_json::json!([])).await, Ok(serde_json::json!("a")));
}
