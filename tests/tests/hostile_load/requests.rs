//! Requests that wait for their turn, and requests whose sender is gone before they are answered.

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::wait::{soon, until};
use hubgate_tests::webhook::Webhook;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ALLOWED_GROWTH;

/// The id of a connection that was negotiated.
async fn negotiated(gateway: &Gateway, hub: &str) -> String {
    let answer = gateway.client(hub).negotiate("&negotiateVersion=1").await.json();
    answer["connectionToken"].as_str().expect("version 1 has a token").to_owned()
}

/// A client on long polling.
struct Poller<'g> {
    gateway: &'g Gateway,
    path: String,
    token: String,
}

impl<'g> Poller<'g> {
    async fn connected(gateway: &'g Gateway, hub: &str) -> Poller<'g> {
        let path = format!("/client/?hub={hub}&id={}", negotiated(gateway, hub).await);
        let poller = Poller { gateway, path, token: gateway.token(hub).sign() };
        assert_eq!(poller.poll().await, 200);
        assert_eq!(poller.post(HANDSHAKE.to_owned()).await, 200);
        assert_eq!(poller.poll().await, 200);
        poller
    }

    async fn poll(&self) -> u16 {
        self.gateway.request(Method::GET, &self.path).bearer(&self.token).send().await.status
    }

    async fn post(&self, text: String) -> u16 {
        let request = self.gateway.request(Method::POST, &self.path).bearer(&self.token);
        request.body("text/plain;charset=UTF-8", text).send().await.status
    }

    /// A post that is sent whole, whatever is answered meanwhile; then the head of the answer.
    async fn post_by_hand(&self, text: &str) -> impl Future<Output = String> + Send + 'static {
        let mut stream = TcpStream::connect(self.gateway.address()).await.expect("the gateway accepts connections");
        let (path, token, address) = (&self.path, &self.token, self.gateway.address());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{text}",
            text.len()
        );
        async move {
            stream.write_all(request.as_bytes()).await.expect("the gateway reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("the gateway answers");
            answer
        }
    }
}

fn notification(text: &str) -> String {
    format!("{}\u{1e}", json!({ "type": 1, "target": "m", "arguments": [text] }))
}

/// Before posts had turns, this held all of their bodies.
#[tokio::test]
async fn posts_of_a_client_that_is_not_read_hold_no_memory_and_those_that_wait_are_taken_in_the_end() {
    const POSTS: usize = 320;
    /// So many wait for their turn; the post before them still has its own, as not all of it is read.
    const WAITING: usize = 256;
    let webhook = Webhook::silent().await;
    let config = format!(
        "upstream = [{{ hubs = ['hub'], categories = ['messages'], url = '{}' }}]\nhubs.hub.mode = 'serverless'",
        webhook.url()
    );
    let gateway = Gateway::serve().with(&config).start().await;
    let poller = Poller::connected(&gateway, "hub").await;
    // More than the calls that may wait: the client is not read after them.
    const CALLS: usize = 300;
    assert_eq!(poller.post(notification("x").repeat(CALLS)).await, 200);
    let poll = gateway.request(Method::GET, &poller.path).bearer(&poller.token);
    let poll = tokio::spawn(poll.send());
    let before = gateway.resident_bytes();
    let body = notification(&"x".repeat(900_000));
    let mut posts = Vec::new();
    for _ in 0..POSTS {
        posts.push(tokio::spawn(poller.post_by_hand(&body).await));
    }
    let refused = async || gateway.metric("hubgate_requests_refused_total", [("reason", "posts")]).await;
    until("all but those that may wait to be refused", async || {
        (refused().await == (POSTS - WAITING) as f64).then_some(())
    })
    .await;
    let growth = gateway.resident_bytes().saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "{growth} bytes more are held");
    webhook.answer();
    let mut taken = 0;
    for post in posts {
        let answer = soon("an answer", post).await.expect("it does not panic");
        match answer.starts_with("HTTP/1.1 200") {
            true => taken += 1,
            false => assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "), "{answer}"),
        }
    }
    assert_eq!(taken, WAITING);
    poll.abort();
    until("all that was taken to be told", async || (webhook.count("/messages/m") == CALLS + WAITING).then_some(()))
        .await;
}

#[tokio::test]
async fn connections_whose_upgrades_are_reset_are_not_in_use_for_ever() {
    const UPGRADES: usize = 200;
    let gateway = Gateway::serve().with("hubs.bare.mode = 'serverless'").start().await;
    let token = gateway.token("bare").sign();
    let mut ids = Vec::new();
    for _ in 0..UPGRADES {
        let id = negotiated(&gateway, "bare").await;
        let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
        let request = format!(
            "GET /client/?hub=bare&id={id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the gateway reads");
        stream.set_zero_linger().expect("a TCP socket has the option");
        drop(stream);
        ids.push(id);
    }
    for id in ids {
        let connecting = gateway.client("bare").id(&id);
        until("the connection's token to be free", async || match connecting.try_open().await {
            Ok(_) => Some(()),
            Err(answer) => (answer.status != 409).then_some(()),
        })
        .await;
    }
}
