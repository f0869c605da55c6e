//! Whoever sends, and wherever: exactly the receivers get it, wherever they are.

use std::collections::BTreeMap;

use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::management::{Management, To, sending};
use hubgate_tests::rest_operations::{Hub, Mode};
use hubgate_tests::{Cluster, Gateway};
use serde_json::json;

use crate::{Peer, join, knows, tell, text};

/// How often each operation of the REST API is tried, each time with client and caller at other nodes.
const TIMES: usize = 3;

fn in_all_modes() -> hubgate_tests::cluster::Making {
    Cluster::of(|| {
        Gateway::serve().with(
            r#"
            hubs.bare.mode = "serverless"
            hubs.proxied.mode = "default"
            hubs.mixed.mode = "classic"
            hubs.alone.mode = "classic"
            "#,
        )
    })
}

#[tokio::test]
async fn what_rest_callers_do_at_any_node_happens_to_clients_at_any_other_in_every_mode() {
    let cluster = in_all_modes().start(3).await;
    let in_mode = async |mode, name| Hub::new(cluster.nodes(), mode, name).await.tries_all(TIMES).await;
    let tried = tokio::join!(
        in_mode(Mode::Serverless, "bare"),
        in_mode(Mode::Default, "proxied"),
        in_mode(Mode::ClassicWithServer, "mixed"),
        in_mode(Mode::ClassicWithoutServer, "alone"),
    );
    assert!(tried.0 > 90 && [tried.1, tried.2, tried.3] == [tried.0; 3], "{tried:?}");
}

#[tokio::test]
async fn every_send_reaches_exactly_its_receivers_on_all_nodes_in_every_mode() {
    let cluster = in_all_modes().start(3).await;
    tokio::join!(
        every_send_reaches(&cluster, "bare", false),
        every_send_reaches(&cluster, "proxied", true),
        every_send_reaches(&cluster, "mixed", true),
        every_send_reaches(&cluster, "alone", false),
    );
}

/// Who sends.
enum Sender {
    /// By REST, or on a connection of its own.
    Management(Box<Management>),
    Server(AnsweringServer),
}

impl Sender {
    async fn send(&mut self, to: To<'_>, text: &str) {
        match self {
            Sender::Management(management) => management.send(to, "said", json!([text])).await.expect("it is sent"),
            Sender::Server(server) => server.say(sending(to, "said", &json!([text]))),
        }
    }
}

/// Two clients on each node: of six, `n` is on node `n % 3`. Their users are on two nodes each.
async fn peers(cluster: &Cluster, hub: &str) -> Vec<Peer> {
    let users = ["ann", "bob", "cid", "bob", "cid", "ann"];
    let mut peers = Vec::new();
    for (place, user) in users.iter().enumerate() {
        peers.push(Peer::connect(&cluster[place % 3], hub, user).await);
    }
    for (place, group) in [(0, "red"), (1, "red"), (2, "red"), (3, "blue"), (4, "blue")] {
        join(&cluster[(place + 1) % 3], hub, &peers[place].id, group).await;
    }
    peers
}

async fn every_send_reaches(cluster: &Cluster, hub: &str, has_server: bool) {
    let mut senders = Vec::new();
    if has_server {
        let server = AnsweringServer::start(&cluster[1], hub, "server").await;
        for node in cluster.nodes() {
            knows(node, hub, &server, "server").await;
        }
        senders.push(Sender::Server(server));
    }
    let mut peers = peers(cluster, hub).await;
    for node in cluster.nodes() {
        senders.push(Sender::Management(Box::new(Management::transient(node, None, hub))));
        senders.push(Sender::Management(Box::new(Management::persistent(node, None, hub).await)));
    }
    let ids: Vec<String> = peers.iter().map(|peer| peer.id.clone()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut expected: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (number, sender) in senders.iter_mut().enumerate() {
        for (what, to, receivers) in [
            ("all", To::All, &[0, 1, 2, 3, 4, 5][..]),
            ("all except", To::AllExcept(&[ids[0], ids[4]]), &[1, 2, 3, 5]),
            ("client", To::Client(ids[5]), &[5]),
            ("clients", To::Clients(&[ids[1], ids[2]]), &[1, 2]),
            ("group", To::Group("red"), &[0, 1, 2]),
            ("group except", To::GroupExcept("red", &[ids[1]]), &[0, 2]),
            ("groups", To::Groups(&["red", "blue"]), &[0, 1, 2, 3, 4]),
            ("group of nobody", To::Group("grey"), &[]),
            ("user", To::User("bob"), &[1, 3]),
            ("users", To::Users(&["ann", "cid"]), &[0, 2, 4, 5]),
            ("last", To::Clients(&ids), &[0, 1, 2, 3, 4, 5]),
        ] {
            let text = format!("{what}, sender {number}");
            sender.send(to, &text).await;
            for receiver in receivers {
                expected.entry(*receiver).or_default().push(text.clone());
            }
        }
    }
    for (place, mut expected) in expected {
        let mut got = Vec::new();
        for _ in 0..expected.len() {
            got.push(peers[place].told().await);
        }
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "client {place} of {hub}");
        tell(&cluster[0], hub, &format!("/connections/{}", ids[place]), "nothing else").await;
        assert_eq!(peers[place].told().await, "nothing else", "client {place} of {hub}");
    }
}

#[tokio::test]
async fn what_a_component_does_for_a_client_reaches_clients_on_all_nodes() {
    let cluster = Cluster::of(Gateway::probe).start(3).await;
    let mut peers = Vec::new();
    for (node, user) in ["ann", "bob", "ann"].iter().enumerate() {
        peers.push(Peer::connect(&cluster[node], "probe", user).await);
    }
    let ids: Vec<String> = peers.iter().map(|peer| peer.id.clone()).collect();
    for peer in &mut peers[..2] {
        peer.client.call("join", json!(["red"])).await.expect("it may join");
    }
    for caller in 0..3 {
        for (method, arguments, receivers) in [
            ("say", json!(["to all"]), &[0, 1, 2][..]),
            ("sayTo", json!(["red", "to a group"]), &[0, 1]),
            ("tell", json!(["ann", "to a user"]), &[0, 2]),
            ("sayToConnection", json!([ids[(caller + 1) % 3], "to a connection"]), &[(caller + 1) % 3]),
        ] {
            let text_sent = arguments.as_array().and_then(|all| all.last()).expect("a text").clone();
            peers[caller].client.call(method, arguments).await.expect("it is sent");
            for receiver in receivers {
                let said = peers[*receiver].client.event("said").await;
                assert_eq!(text(&said), text_sent, "{method} of client {caller} to client {receiver}");
            }
        }
    }
    for (place, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.client.everything_so_far().await, Vec::<serde_json::Value>::new(), "client {place} got more");
    }
}
