//! Requests of one client come to any node, as a load balancer sends them.

use http::Method;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::http::{Answer, escaped};
use hubgate_tests::token::Token;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Cluster, Gateway};

use crate::{Peer, asked, join, serverless, tell};

const HUB: &str = "chat";

/// A token that opens the hub at every node: behind a load balancer all have one URL.
pub(crate) fn token(cluster: &Cluster, user: &str) -> String {
    let urls: Vec<String> = cluster.nodes().iter().map(|node| format!("{}/client/?hub={HUB}", node.url())).collect();
    Token::new("", cluster[0].key()).claim("aud", urls).claim("asrs.s.uid", user).claim("asrs.s.ttl", 60).sign()
}

/// What negotiation at a node gives: the connection's id, and what opens it.
pub(crate) async fn negotiated(gateway: &Gateway, token: &str) -> (String, String) {
    let path = format!("/client/negotiate?hub={HUB}&negotiateVersion=1");
    let answer = gateway.request(Method::POST, &path).bearer(token).send().await.json();
    let text = |name: &str| answer[name].as_str().expect("negotiate gives ids").to_owned();
    (text("connectionId"), text("connectionToken"))
}

/// A client of `user` whose WebSocket comes to another node than its negotiation.
async fn connected(cluster: &Cluster, (home, holder): (usize, usize), user: &str) -> Peer {
    let token = token(cluster, user);
    let (id, opens) = negotiated(&cluster[home], &token).await;
    let client: Client = cluster[holder].client(HUB).token(&token).id(&opens).connect().await;
    Peer { client, id }
}

#[tokio::test]
async fn a_client_keeps_the_id_that_it_has_negotiated_at_another_node_and_all_nodes_reach_it_by_that() {
    let cluster = serverless().start(3).await;
    let mut moved = connected(&cluster, (0, 1), "ann").await;
    let mut stays = connected(&cluster, (1, 1), "bob").await;
    let to = format!("/connections/{}", moved.id);
    for node in 0..3 {
        assert_eq!(asked(&cluster[node], Method::HEAD, HUB, &to).await, 200, "node {node}");
        tell(&cluster[node], HUB, &to, "to one").await;
        assert_eq!(moved.told().await, "to one", "node {node}");
        join(&cluster[node], HUB, &moved.id, &format!("group {node}")).await;
    }
    for node in 0..3 {
        tell(&cluster[node], HUB, &format!("/groups/{}", escaped(&format!("group {}", (node + 1) % 3))), "to a group")
            .await;
        assert_eq!(moved.told().await, "to a group", "node {node}");
        tell(&cluster[node], HUB, "/users/ann", "to a user").await;
        assert_eq!(moved.told().await, "to a user", "node {node}");
        tell(&cluster[node], HUB, "", "to all").await;
        assert_eq!((moved.told().await, stays.told().await), ("to all".to_owned(), "to all".to_owned()), "node {node}");
    }
    // What opened it opens nothing more, wherever it is tried.
    let (_, opens) = negotiated(&cluster[0], &token(&cluster, "eve")).await;
    let first = cluster[2].client(HUB).token(&token(&cluster, "eve")).id(&opens).connect().await;
    for node in 0..3 {
        let again = cluster[node].client(HUB).token(&token(&cluster, "eve")).id(&opens).try_open().await;
        assert!(again.is_err(), "node {node}");
    }
    first.leave().await;
    // It is closed by whichever node is asked.
    assert_eq!(asked(&cluster[2], Method::DELETE, HUB, &to).await, 200);
    moved.client.end().await;
    let is_gone = async || (asked(&cluster[2], Method::HEAD, HUB, &to).await == 404).then_some(());
    until("the connection to be gone", is_gone).await;
}

#[tokio::test]
async fn a_client_whose_connection_was_negotiated_at_a_node_that_is_killed_goes_on_and_is_reached_by_its_id() {
    let mut cluster = serverless().with("node-timeout = '3s'").start(3).await;
    let mut moved = connected(&cluster, (0, 1), "ann").await;
    cluster.crash(0);
    let to = format!("/connections/{}", moved.id);
    let is_found = async || (asked(&cluster[2], Method::HEAD, HUB, &to).await == 200).then_some(());
    until("the connection to be found without its home", is_found).await;
    tell(&cluster[2], HUB, &to, "still there").await;
    assert_eq!(moved.told().await, "still there");
}

/// A connection on long polling.
pub(crate) struct Polls<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) token: String,
    pub(crate) path: String,
}

impl Polls<'_> {
    pub(crate) async fn ask(&self, node: usize, method: Method) -> Answer {
        self.cluster[node].request(method, &self.path).bearer(&self.token).send().await
    }

    pub(crate) async fn post(&self, node: usize, text: &str) -> Answer {
        let request = self.cluster[node].request(Method::POST, &self.path).bearer(&self.token);
        request.body("text/plain;charset=UTF-8", text.to_owned()).send().await
    }
}

#[tokio::test]
async fn polls_and_posts_of_a_connection_may_each_come_to_another_node() {
    let cluster = serverless().start(3).await;
    let token = token(&cluster, "ann");
    let (id, opens) = negotiated(&cluster[0], &token).await;
    let polls = Polls { cluster: &cluster, token, path: format!("/client/?hub={HUB}&id={opens}") };
    let seen = |answer: Answer| (answer.status, answer.body);
    assert_eq!(seen(polls.ask(1, Method::GET).await), (200, String::new()));
    assert_eq!(polls.post(2, HANDSHAKE).await.status, 200);
    assert_eq!(seen(polls.ask(0, Method::GET).await), (200, "{}\u{1e}".to_owned()));
    for node in 0..3 {
        // Longer than what is on its way at once.
        let long = "x".repeat(200_000);
        tell(&cluster[node], HUB, &format!("/connections/{id}"), &long).await;
        let answer = polls.ask((node + 1) % 3, Method::GET).await;
        assert!(answer.status == 200 && answer.body.contains(&long), "node {node}: {} bytes", answer.body.len());
        let ping = format!("{}\u{1e}", serde_json::json!({ "type": 6, "x": "y".repeat(20_000) }));
        assert_eq!(polls.post((node + 2) % 3, &ping).await.status, 200, "node {node}");
    }
    let foreign = cluster[1].request(Method::GET, &polls.path).bearer("foreign").send().await;
    assert_eq!(foreign.status, 401);
    assert_eq!(polls.ask(2, Method::DELETE).await.status, 202);
    let is_over = async || (polls.ask(1, Method::GET).await.status == 404).then_some(());
    until("the connection to be over", is_over).await;
}

#[tokio::test]
async fn a_node_with_an_endpoint_of_its_own_sends_clients_there_once() {
    let cluster = serverless().with("node-endpoint = 'https://node.example/base'").start(1).await;
    let token = token(&cluster, "ann");
    let path = format!("/client/negotiate?hub={HUB}&negotiateVersion=1&x=y");
    let answer = cluster[0].request(Method::POST, &path).bearer(&token).send().await.json();
    let url = answer["url"].as_str().expect("it is sent on");
    let (start, rest) = url.split_once("hubgate_node=").expect("it says where it was sent");
    assert_eq!(start, format!("https://node.example/base/client/?hub={HUB}&"));
    assert!(rest.ends_with("&x=y"), "{url}");
    assert_eq!(answer["accessToken"], token);
    let path = format!("{path}&hubgate_node={}", &rest[..8]);
    let answer = cluster[0].request(Method::POST, &path).bearer(&token).send().await.json();
    assert!(answer["connectionToken"].is_string() && answer.get("url").is_none(), "{answer}");
}

#[tokio::test]
async fn what_all_nodes_know_outlives_a_restart_of_each_in_turn() {
    let mut cluster = serverless().start(3).await;
    let add = format!("/users/{}/groups/team", escaped("ann"));
    assert_eq!(asked(&cluster[0], Method::PUT, HUB, &add).await, 200);
    for node in 0..3 {
        cluster.stop(node).await;
        // The others serve meanwhile.
        let mut peer = Peer::connect(&cluster[(node + 1) % 3], HUB, "ann").await;
        tell(&cluster[(node + 2) % 3], HUB, "/groups/team", "meanwhile").await;
        assert_eq!(peer.told().await, "meanwhile", "node {node}");
        peer.client.leave().await;
        cluster.start_again(node).await;
        cluster.is_whole().await;
    }
    let mut peer = Peer::connect(&cluster[2], HUB, "ann").await;
    tell(&cluster[1], HUB, "/groups/team", "afterwards").await;
    assert_eq!(peer.told().await, "afterwards");
}
