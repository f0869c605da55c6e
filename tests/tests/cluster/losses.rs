//! A node that is killed.

use std::fs::{self, DirEntry};
use std::time::{Duration, Instant};

use http::Method;
use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::gateway::signal;
use hubgate_tests::http::escaped;
use hubgate_tests::management::{Change, Management, Question, Thrown};
use hubgate_tests::wait::until;
use serde_json::json;

use crate::load::Load;
use crate::{Peer, asked, default_mode, join, knows, may_come_back, serverless, tell};

const HUB: &str = "chat";
/// Of the clusters here.
const NODE_TIMEOUT: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(7);

#[tokio::test]
async fn a_node_that_is_killed_under_load_is_noticed_and_forgotten_and_its_users_with_it() {
    let mut cluster = serverless().with("node-timeout = '3s'").start(3).await;
    // One user is lost with the node, the other has a client elsewhere.
    let lost = Peer::connect(&cluster[2], HUB, "lost").await;
    let _half = Peer::connect(&cluster[2], HUB, "half").await;
    let mut kept = Peer::connect(&cluster[1], HUB, "half").await;
    join(&cluster[0], HUB, &lost.id, "lost").await;
    let lost_connection = format!("/connections/{}", lost.id);
    let of_the_lost = ["/users/lost", "/groups/lost", &lost_connection];
    for node in 0..2 {
        for path in of_the_lost {
            assert_eq!(asked(&cluster[node], Method::HEAD, HUB, path).await, 200, "{path}");
        }
    }
    // Those that go on have somebody at the third node to send to.
    let _listening = Peer::connect(&cluster[2], crate::load::HUB, "listening").await;
    let load = Load::start(&cluster, &[0, 1]).await;
    load.goes_on(1_000).await;
    cluster.crash(2);
    let killed = Instant::now();
    cluster.is_whole().await;
    assert!(killed.elapsed() < NODE_TIMEOUT + SLACK, "it took {:?}", killed.elapsed());
    load.goes_on(1_000).await;
    load.ends().await;
    for node in 0..2 {
        for path in of_the_lost {
            assert_eq!(asked(&cluster[node], Method::HEAD, HUB, path).await, 404, "{path}");
        }
        tell(&cluster[node], HUB, "/users/half", "still").await;
        assert_eq!(kept.told().await, "still");
    }
}

#[tokio::test]
async fn a_node_that_was_killed_comes_back_and_serves_with_the_others() {
    let mut cluster = serverless().with("node-timeout = '3s'").start(3).await;
    let mut here = Peer::connect(&cluster[0], HUB, "ann").await;
    let mut lost = Peer::connect(&cluster[2], HUB, "bob").await;
    cluster.crash(2);
    assert_eq!(lost.client.end().await.code, None, "it hears nothing of a crash");
    cluster.start_again(2).await;
    cluster.is_whole().await;
    let mut back = Peer::connect(&cluster[2], HUB, "bob").await;
    for node in 0..3 {
        tell(&cluster[node], HUB, "", "welcome").await;
        assert_eq!((here.told().await, back.told().await), ("welcome".to_owned(), "welcome".to_owned()));
    }
}

#[tokio::test]
#[ignore = "a minute: scripts/cluster-tests.sh"]
async fn a_node_is_killed_and_comes_back_again_and_again_under_load_of_the_others() {
    let mut cluster = serverless().with("node-timeout = '3s'").start(3).await;
    let load = Load::start(&cluster, &[0, 1]).await;
    for time in 0..10 {
        let user = format!("user {time}");
        let mut lost = Peer::connect(&cluster[2], crate::load::HUB, &user).await;
        tell(&cluster[time % 2], crate::load::HUB, &format!("/users/{}", escaped(&user)), "hello").await;
        assert_eq!(lost.told().await, "hello");
        load.goes_on(1_000).await;
        cluster.crash(2);
        load.goes_on(1_000).await;
        // Every other time it is back before the others have noticed.
        if time % 2 == 0 {
            cluster.is_whole().await;
        }
        cluster.start_again(2).await;
        cluster.is_whole().await;
    }
    load.ends().await;
}

#[tokio::test]
async fn what_was_asked_of_a_node_that_is_killed_is_answered_without_it() {
    let mut cluster = serverless().with("node-timeout = '3s'").start(2).await;
    let mut peer = Peer::connect(&cluster[1], HUB, "ann").await;
    let path = format!("/api/hubs/{HUB}/connections/{}/:invoke", peer.id);
    let question = json!({ "target": "add", "arguments": [1, 2] });
    let asking = tokio::spawn(cluster[0].rest(Method::POST, &path).json(&question).send());
    assert_eq!(peer.client.message().await["target"], "add", "it is asked");
    cluster.crash(1);
    let answer = asking.await.expect("it is answered");
    assert!((400..600).contains(&answer.status), "{answer:?}");
}

/// Stops all threads of a process where they are.
async fn stand_still(process: u32) {
    assert!(signal(process, "STOP"), "it runs");
    let state = |thread: DirEntry| fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
    let stands = async || {
        let mut threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
        threads.all(|thread| state(thread).contains(") T ")).then_some(())
    };
    until("a gateway to stand still", stands).await;
}

#[tokio::test]
async fn what_hub_servers_ask_of_a_node_that_is_lost_meanwhile_is_answered_without_it() {
    let cluster = default_mode().with("node-timeout = '3s'").start(2).await;
    // It answers the client, and others call it.
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    let mut peer = Peer::connect(&cluster[1], HUB, "ann").await;
    let id = &peer.id.clone();
    let caller = async || Management::persistent(&cluster[0], None, HUB).await;
    let (mut called, mut late) = (caller().await, caller().await);
    let (mut joining, mut leaving, mut asking) = (caller().await, caller().await, caller().await);
    let is_asked = async {
        assert_eq!(peer.client.message().await["target"], "add");
        stand_still(cluster[1].process_id()).await;
        let lost = Instant::now();
        let group = "red";
        let answers = tokio::join!(
            late.invoke(id, "add", json!([3, 4])),
            joining.change(Change::AddToGroup { connection: id, group }),
            leaving.change(Change::RemoveFromGroup { connection: id, group }),
            asking.ask(Question::ConnectionExists(id)),
        );
        // An ack that comes because nobody has answered in time says so.
        assert!(matches!(answers, (Err(Thrown::Hub(_)), Ok(()), Ok(()), Ok(false))), "{answers:?}");
        assert!(lost.elapsed() < NODE_TIMEOUT + SLACK, "it took {:?}", lost.elapsed());
    };
    let (answer, ()) = tokio::join!(called.invoke(id, "add", json!([1, 2])), is_asked);
    assert!(matches!(answer, Err(Thrown::Hub(_))), "{answer:?}");
}

#[tokio::test]
async fn hub_servers_hear_that_their_clients_are_gone_with_their_node() {
    let mut cluster = default_mode().with("node-timeout = '3s'").start(3).await;
    let server = AnsweringServer::start(&cluster[0], HUB, "a").await;
    knows(&cluster[1], HUB, &server, "a").await;
    knows(&cluster[2], HUB, &server, "a").await;
    let mut kept = Peer::connect(&cluster[1], HUB, "ann").await;
    let _lost = Peer::connect(&cluster[2], HUB, "bob").await;
    assert_eq!(server.clients().len(), 2);
    cluster.crash(2);
    until("the server to hear of it", async || (server.clients().len() == 1).then_some(())).await;
    assert_eq!(kept.client.call("who", json!([])).await, Ok(json!("a")));
}

#[tokio::test]
async fn a_node_that_stops_in_order_tells_its_clients_to_come_back_and_is_missed_by_nobody() {
    let mut cluster = serverless().with("node-timeout = '25s'").start(3).await;
    let load = Load::start(&cluster, &[0, 1]).await;
    let mut leaving = Peer::connect(&cluster[2], HUB, "ann").await;
    let ((), end) = tokio::join!(cluster.stop(2), leaving.client.end());
    may_come_back(&end);
    let left = Instant::now();
    cluster.is_whole().await;
    assert!(left.elapsed() < Duration::from_secs(15), "nobody waits for a node that has taken its leave");
    load.goes_on(500).await;
    load.ends().await;
}
