//! Who meets at one nats-server.

use hubgate_tests::Cluster;
use hubgate_tests::cluster::View;
use hubgate_tests::gateway::Gateway;

use crate::{Peer, serverless, tell};

const HUB: &str = "chat";

/// A node of a cluster of this name, at the nats-server of another cluster.
async fn node_of(name: &str, at: &Cluster) -> Gateway {
    serverless().with(&format!("name = '{name}'")).setup(&at.nats).start().await
}

#[tokio::test]
async fn clusters_of_different_names_do_not_hear_each_other() {
    let first = serverless().with("name = 'first'").start(2).await;
    let second = [node_of("second", &first).await, node_of("second", &first).await];
    for node in &second {
        hubgate_tests::cluster::is_ready(node).await;
    }
    let whole = async || (View::of(&second[0]).await.nodes.len() == 2).then_some(());
    hubgate_tests::wait::until("the second cluster to be whole", whole).await;
    first.is_whole().await;
    let mut of_first = Peer::connect(&first[1], HUB, "ann").await;
    let mut of_second = Peer::connect(&second[1], HUB, "ann").await;
    tell(&first[0], HUB, "/users/ann", "first").await;
    tell(&second[0], HUB, "/users/ann", "second").await;
    assert_eq!((of_first.told().await, of_second.told().await), ("first".to_owned(), "second".to_owned()));
    let ids = [View::of(&first[0]).await, View::of(&second[0]).await].map(|view| view.nodes);
    assert!(ids[0].is_disjoint(&ids[1]), "{ids:?}");
}
