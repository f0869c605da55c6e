//! Requests that come to one node, for a connection that lives on another.

use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::http_2::{self, Window};
use hubgate_tests::nats::NatsServer;
use hubgate_tests::socket::Dialing;
use hubgate_tests::wait::{let_pass, soon, until};
use hubgate_tests::{Cluster, Gateway, tls};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::moving::{Polls, negotiated, token};
use crate::{serverless, tell};

const HUB: &str = "chat";

/// An event stream of a connection that was negotiated at the first node, as it comes from another.
struct Events {
    body: Incoming,
    /// What has come and was not looked at.
    text: String,
}

impl Events {
    /// After the answer to the handshake. Gives the connection's id, too.
    async fn open(cluster: &Cluster, node: usize) -> (String, Events) {
        let token = token(cluster, "ann");
        let (id, opens) = negotiated(&cluster[0], &token).await;
        let stream = TcpStream::connect(cluster[node].address()).await.expect("the gateway accepts connections");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it sends nothing");
        // How it ends shows in the stream.
        tokio::spawn(async move { drop(connection.await) });
        let path = format!("/client/?hub={HUB}&id={opens}");
        let request = Request::get(&path).header("host", cluster[node].address().to_string());
        let request = request.header("accept", "text/event-stream").header("authorization", format!("Bearer {token}"));
        let request = request.body(String::new()).expect("a request");
        let answer = soon("the stream", sender.send_request(request)).await.expect("the gateway answers");
        assert_eq!(answer.status(), 200);
        let mut events = Events { body: answer.into_body(), text: String::new() };
        let shake_hands = cluster[0].request(Method::POST, &path).bearer(&token);
        assert_eq!(shake_hands.body("text/plain;charset=UTF-8", HANDSHAKE).send().await.status, 200);
        assert_eq!(events.message().await, Some(json!({})));
        (id, events)
    }

    /// The next line; nothing at the end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let line = line.trim_end().to_owned();
                self.text = rest.to_owned();
                return Some(line);
            }
            let frame = soon("more of the stream", self.body.frame()).await?;
            let data = frame.expect("the stream does not break off").into_data().expect("it has data alone");
            self.text.push_str(std::str::from_utf8(&data).expect("events are ASCII here"));
        }
    }

    /// The next message that is no ping; nothing at the end.
    async fn message(&mut self) -> Option<Value> {
        loop {
            let line = self.line().await?;
            if let Some(data) = line.strip_prefix("data: ") {
                let message: Value = serde_json::from_str(data.trim_end_matches('\u{1e}')).expect("messages are JSON");
                if message["type"] != 6 {
                    return Some(message);
                }
            }
        }
    }

    /// The arguments of the next message.
    async fn arguments(&mut self) -> Value {
        self.message().await.expect("the stream goes on")["arguments"].clone()
    }
}

#[tokio::test]
async fn an_answer_over_http_2_that_comes_from_another_node_and_is_not_taken_is_cut_off_alone() {
    let secure = || tls::secure(Gateway::serve().with("hubs.'*'.mode = 'serverless'\nserver.timeouts.write = '1s'"));
    let cluster = Cluster::of(secure).start_unready_on(NatsServer::start().await, 2).await;
    for node in cluster.nodes() {
        let has_joined = async || {
            let view = node.admin("/admin/cluster").await;
            let others = view["nodes"].as_array().map_or(0, Vec::len);
            (view["joined"] == true && others == 2).then_some(())
        };
        until("both nodes to have joined", has_joined).await;
    }
    let token = token(&cluster, "ann");
    let negotiate = format!("/client/negotiate?hub={HUB}&negotiateVersion=1");
    let negotiate = cluster[0].request(Method::POST, &negotiate).dialing(Dialing::secure(&cluster[0])).bearer(&token);
    let negotiated = negotiate.send().await.json();
    let opens = negotiated["connectionToken"].as_str().expect("negotiate gives ids");
    let mut connection = http_2::Connection::open(&cluster[1], Window::Closed).await.expect("it speaks HTTP/2");
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    headers.insert("accept", "text/event-stream".parse().expect("a header"));
    let path = format!("/client/?hub={HUB}&id={opens}");
    let events = connection.request_with(Method::GET, &path, headers, "").await.expect("the stream begins");
    assert_eq!(events.status(), 200);
    let is_counted = async || {
        let slow = cluster[1].metric("hubgate_slow_peers_total", [("limit", "server.timeouts.write")]).await;
        (slow == 1.0).then_some(())
    };
    until("the stream to be cut off", is_counted).await;
    let is_gone = async || (cluster[0].metric("hubgate_client_connections", []).await == 0.0).then_some(());
    until("its client to be gone", is_gone).await;
    let other = connection.request(Method::GET, "/healthz", "", "").await.expect("the connection goes on");
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn an_event_stream_that_passes_through_another_node_lives_through_an_outage() {
    let serverless = || Gateway::serve().with("hubs.'*'.mode = 'serverless'\nserver.timeouts.write = '1s'");
    let mut cluster = Cluster::of(serverless).start(2).await;
    let (id, mut events) = Events::open(&cluster, 1).await;
    cluster.nats.kill();
    let says_degraded = async || cluster[0].get("/readyz").await.body.contains("degraded").then_some(());
    until("the outage to be noticed", says_degraded).await;
    // More than a tunnel takes.
    let long = "x".repeat(300_000);
    tell(&cluster[0], HUB, &format!("/connections/{id}"), &long).await;
    // Much longer than a client may take nothing.
    let_pass(Duration::from_secs(4)).await;
    cluster.nats.start_again().await;
    assert_eq!(events.arguments().await, json!([long]));
    tell(&cluster[1], HUB, &format!("/connections/{id}"), "afterwards").await;
    assert_eq!(events.arguments().await, json!(["afterwards"]));
}

#[tokio::test]
async fn what_passes_through_a_node_that_stops_comes_to_its_end() {
    let stopping = || Gateway::serve().with("hubs.'*'.mode = 'serverless'\nserver.drain-delay = '3s'");
    let mut cluster = Cluster::of(stopping).start(2).await;
    let (_, mut events) = Events::open(&cluster, 1).await;
    let token = token(&cluster, "bob");
    let (id, opens) = negotiated(&cluster[0], &token).await;
    {
        let polls = Polls { cluster: &cluster, token: token.clone(), path: format!("/client/?hub={HUB}&id={opens}") };
        assert_eq!(polls.ask(1, Method::GET).await.status, 200);
        assert_eq!(polls.post(0, HANDSHAKE).await.status, 200);
        assert_eq!(polls.ask(1, Method::GET).await.body, "{}\u{1e}");
        cluster[1].terminate();
        let polled = polls.ask(1, Method::GET).await;
        assert_eq!((polled.status, &*polled.body), (200, ""), "as a poll that nothing has come for");
    }
    let close = events.message().await.expect("its client is told");
    assert_eq!((&close["type"], &close["allowReconnect"]), (&json!(7), &json!(true)), "{close}");
    assert_eq!(events.message().await, None);
    assert_eq!(cluster[1].ended().await.code(), Some(0));
    // The connection that polls goes on by way of other nodes.
    tell(&cluster[0], HUB, &format!("/connections/{id}"), "still there").await;
    let polls = Polls { cluster: &cluster, token, path: format!("/client/?hub={HUB}&id={opens}") };
    assert!(polls.ask(0, Method::GET).await.body.contains("still there"));
}

#[tokio::test]
async fn a_request_for_a_node_for_which_nothing_is_kept_is_refused_at_once_until_that_is_reached() {
    let mut cluster = serverless().with("resend-buffer = '1MiB'").start(2).await;
    let token = token(&cluster, "ann");
    let (_, opens) = negotiated(&cluster[1], &token).await;
    let path = format!("/client/?hub={HUB}&id={opens}");
    assert_eq!(cluster[0].request(Method::GET, &path).bearer(&token).send().await.status, 200);
    cluster.nats.kill();
    let says_degraded = async || cluster[0].get("/readyz").await.body.contains("degraded").then_some(());
    until("the outage to be noticed", says_degraded).await;
    for _ in 0..20 {
        tell(&cluster[0], HUB, "", &"x".repeat(100_000)).await;
    }
    cluster[0].logs(&["messages for a node may be lost"]).await;
    let asked = Instant::now();
    let answer = cluster[0].request(Method::POST, &path).bearer(&token).body("text/plain", HANDSHAKE).send().await;
    assert_eq!((answer.status, answer.header("retry-after").is_empty()), (503, false), "{}", answer.body);
    assert!(answer.body.contains("is not reached") && asked.elapsed() < Duration::from_secs(5), "{}", answer.body);
    cluster.nats.start_again().await;
    cluster.is_whole().await;
    let again = async || {
        let answer = cluster[0].request(Method::POST, &path).bearer(&token).body("text/plain", HANDSHAKE).send().await;
        (answer.status == 200).then_some(())
    };
    until("the node to be reached", again).await;
}
