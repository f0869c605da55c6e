//! Clients of one node whose hub servers are at others.

use std::collections::BTreeSet;

use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Cluster};
use serde_json::json;

use crate::{Peer, default_mode, knows, may_come_back};

const HUB: &str = "chat";

/// Servers `a` and `b` at nodes 0 and 1, whose clients may be moved by this level; node 2 knows both.
async fn two_servers(cluster: &Cluster, migration_level: i64) -> [AnsweringServer; 2] {
    let a = AnsweringServer::migrating(&cluster[0], HUB, "a", migration_level).await;
    let b = AnsweringServer::migrating(&cluster[1], HUB, "b", migration_level).await;
    for (server, name) in [(&a, "a"), (&b, "b")] {
        knows(&cluster[2], HUB, server, name).await;
    }
    [a, b]
}

/// The name of the server that answers.
async fn server_of(client: &mut Client) -> String {
    let name = client.call("who", json!([])).await.expect("its server answers");
    name.as_str().expect("a name").to_owned()
}

async fn clients(cluster: &Cluster, node: usize, count: usize) -> Vec<Peer> {
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(Peer::connect(&cluster[node], HUB, "ann").await);
    }
    peers
}

/// Those of the clients that server `name` has.
async fn of_server<'p>(peers: &'p mut [Peer], name: &str) -> Vec<&'p mut Peer> {
    let mut with_it = Vec::new();
    for peer in peers {
        if server_of(&mut peer.client).await == name {
            with_it.push(peer);
        }
    }
    with_it
}

fn ids<'p>(peers: impl IntoIterator<Item = &'p Peer>) -> BTreeSet<String> {
    peers.into_iter().map(|peer| peer.id.clone()).collect()
}

#[tokio::test]
async fn clients_of_a_node_without_servers_are_spread_over_those_of_other_nodes() {
    let cluster = default_mode().start(3).await;
    let [a, b] = two_servers(&cluster, 0).await;
    let mut peers = clients(&cluster, 2, 20).await;
    assert_eq!(a.clients().len(), 10, "{:?}", a.clients());
    assert_eq!(b.clients().len(), 10, "{:?}", b.clients());
    let with_a = of_server(&mut peers, "a").await;
    assert_eq!(ids(with_a.iter().map(|peer| &**peer)), a.clients(), "each stays with the server that it was routed to");
}

#[tokio::test]
async fn a_server_of_the_same_node_comes_first_when_loads_are_close() {
    let cluster = default_mode().start(3).await;
    let [a, b] = two_servers(&cluster, 0).await;
    let near = AnsweringServer::start(&cluster[2], HUB, "near").await;
    let _peers = clients(&cluster, 2, 24).await;
    let (near, far) = (near.clients().len(), a.clients().len().max(b.clients().len()));
    assert!(near > far && near < 2 * far, "{near} are near, and {far} at one of the others");
}

#[tokio::test]
async fn a_client_that_must_go_to_one_server_goes_there_wherever_both_are() {
    let cluster = default_mode().start(3).await;
    let [a, b] = two_servers(&cluster, 0).await;
    let connecting = cluster[2].client(HUB).with_claim("asrs.s.ssticky", "Required").with_claim("asrs.s.sn", "b");
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(connecting.connect().await);
    }
    assert_eq!((a.clients().len(), b.clients().len()), (0, 6));
    for client in &mut held {
        assert_eq!(server_of(client).await, "b");
    }
}

#[tokio::test]
async fn a_server_hears_of_the_end_of_a_client_at_another_node() {
    let cluster = default_mode().start(2).await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let [one, other] = [Peer::connect(&cluster[1], HUB, "ann").await, Peer::connect(&cluster[1], HUB, "bob").await];
    one.client.leave().await;
    until("one client to be left", async || (server.clients() == ids([&other])).then_some(())).await;
    other.client.vanish();
    until("no client to be left", async || server.clients().is_empty().then_some(())).await;
}

#[tokio::test]
async fn when_a_server_is_lost_its_clients_at_other_nodes_are_told_to_come_back_and_no_others() {
    let cluster = default_mode().start(3).await;
    let [a, b] = two_servers(&cluster, 0).await;
    let mut peers = clients(&cluster, 2, 6).await;
    let (with_b, with_a): (Vec<_>, Vec<_>) = peers.iter_mut().partition(|peer| b.clients().contains(&peer.id));
    assert_eq!((with_a.len(), with_b.len()), (3, 3));
    drop(a);
    for peer in with_a {
        may_come_back(&peer.client.end().await);
    }
    for peer in with_b {
        assert_eq!(server_of(&mut peer.client).await, "b");
    }
    assert_eq!(server_of(&mut Peer::connect(&cluster[2], HUB, "ann").await.client).await, "b");
}

#[tokio::test]
async fn when_the_node_of_a_server_is_lost_its_clients_at_other_nodes_are_told_to_come_back_and_no_others() {
    let mut cluster = default_mode().with("node-timeout = '3s'").start(3).await;
    let [a, b] = two_servers(&cluster, 0).await;
    let mut peers = clients(&cluster, 2, 6).await;
    let (with_b, with_a): (Vec<_>, Vec<_>) = peers.iter_mut().partition(|peer| b.clients().contains(&peer.id));
    assert_eq!((with_a.len(), with_b.len()), (3, 3));
    cluster.crash(0);
    for peer in with_a {
        may_come_back(&peer.client.end().await);
    }
    until("the server to be cut off", async || a.has_ended().then_some(())).await;
    for peer in with_b {
        assert_eq!(server_of(&mut peer.client).await, "b");
    }
    assert_eq!(server_of(&mut Peer::connect(&cluster[2], HUB, "ann").await.client).await, "b");
}

#[tokio::test]
async fn clients_of_a_server_that_hands_them_over_go_on_with_one_at_another_node() {
    let cluster = default_mode().start(3).await;
    let [a, b] = two_servers(&cluster, 1).await;
    let mut peers = clients(&cluster, 2, 6).await;
    assert_eq!((a.clients().len(), b.clients().len()), (3, 3));
    a.hand_its_clients_over();
    until("the clients to have moved", async || (b.moved_in() == 3).then_some(())).await;
    for peer in &mut peers {
        assert_eq!(server_of(&mut peer.client).await, "b");
    }
    assert_eq!(b.clients(), ids(&peers));
    until("the server to have none left", async || a.clients().is_empty().then_some(())).await;
}

#[tokio::test]
async fn clients_whose_server_is_at_a_node_that_stops_in_order_go_on_with_one_at_another() {
    let mut cluster = default_mode().start(3).await;
    let [a, b] = two_servers(&cluster, 2).await;
    let mut peers = clients(&cluster, 2, 6).await;
    assert_eq!((a.clients().len(), b.clients().len()), (3, 3));
    cluster.stop(0).await;
    for peer in &mut peers {
        let goes_on = async || (server_of(&mut peer.client).await == "b").then_some(());
        until("a client to be with the other server", goes_on).await;
    }
    assert_eq!(b.clients(), ids(&peers));
    cluster.is_whole().await;
}
