//! Bytes that wait for a client on long polling or Server-Sent Events: all of them are on its account until it has read them.

use std::sync::Arc;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::socket::{Dialing, SMALL_BUFFER};
use hubgate_tests::wait::{soon, until};
use hubgate_tests::{Gateway, tls};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// A client of a hub that was negotiated, and its requests.
pub(crate) struct Connection<'g> {
    gateway: &'g Gateway,
    token: String,
    path: String,
}

impl<'g> Connection<'g> {
    async fn negotiated(gateway: &'g Gateway, hub: &str) -> Connection<'g> {
        let token = gateway.token(hub).sign();
        let negotiate = gateway.request(Method::POST, &format!("/client/negotiate?hub={hub}&negotiateVersion=1"));
        let answer = negotiate.bearer(&token).send().await.json();
        let id = answer["connectionToken"].as_str().expect("version 1 has a token");
        let path = format!("/client/?hub={hub}&id={id}");
        Connection { gateway, token, path }
    }

    /// Polls until the handshake is answered.
    pub(crate) async fn polling(gateway: &'g Gateway, hub: &str) -> Connection<'g> {
        let connection = Connection::negotiated(gateway, hub).await;
        assert_eq!(connection.poll().await, 200);
        assert_eq!(connection.post(HANDSHAKE.to_owned()).await, 200);
        assert_eq!(connection.poll().await, 200);
        connection
    }

    pub(crate) async fn poll(&self) -> u16 {
        self.gateway.request(Method::GET, &self.path).bearer(&self.token).send().await.status
    }

    async fn post(&self, text: String) -> u16 {
        let request = self.gateway.request(Method::POST, &self.path).bearer(&self.token);
        request.body("text/plain;charset=UTF-8", text).send().await.status
    }

    /// A request whose answer is read as far as its status, by a peer with a small buffer.
    async fn get_and_read_no_body(&self, accept: &str) -> TcpStream {
        let mut stream = dial(self.gateway).await;
        let (path, token) = (&self.path, &self.token);
        let head = format!("GET {path}&access_token={token} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("the gateway reads");
        let mut status = [0; 12];
        soon("an answer", stream.read_exact(&mut status)).await.expect("the gateway writes");
        assert_eq!(&status, b"HTTP/1.1 200");
        stream
    }
}

async fn dial(gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket.set_recv_buffer_size(SMALL_BUFFER).expect("a TCP socket has the option");
    socket.connect(gateway.address()).await.expect("the gateway accepts connections")
}

/// Sends texts of 10,000 bytes to all clients of the probe's hub.
async fn broadcast(gateway: &Gateway, texts: usize) {
    let text = "x".repeat(10_000);
    let mut speaker = gateway.client("probe").connect().await;
    for _ in 0..texts {
        speaker.call("say", json!([text])).await.expect("the probe answers");
    }
}

/// Waits until the only client of the probe's hub on a slow transport was given up by `limit`.
async fn is_given_up_by(gateway: &Gateway, limit: &str) {
    let metric = async || gateway.metric("hubgate_slow_peers_total", [("limit", limit)]).await;
    until("the client to be given up", async || (metric().await == 1.0).then_some(())).await;
    gateway.logs(&["a client's connection ended", "SlowClient", limit]).await;
}

/// Reads until the gateway hangs up; gives how many bytes came.
async fn drained(mut stream: TcpStream) -> usize {
    let mut rest = Vec::new();
    // A reset is one way to hang up.
    let _ = soon("the connection's end", stream.read_to_end(&mut rest)).await;
    rest.len()
}

#[tokio::test]
async fn a_client_that_polls_is_not_read_while_it_does_not_take_the_answers_to_what_it_said() {
    // As many as one post may have.
    const CALLS: usize = 90;
    let (gateway, text) = (Gateway::probe().start().await, "x".repeat(10_000));
    let connection = Connection::polling(&gateway, "probe").await;
    let call = |id: usize| json!({"type": 1, "invocationId": id.to_string(), "target": "echo", "arguments": [text]});
    assert_eq!(connection.post((0..CALLS).map(|id| format!("{}\u{1e}", call(id))).collect()).await, 200);
    // Some on each shard: what is to be done for the client is done meanwhile.
    for _ in 0..4 {
        let mut other = gateway.client("probe").connect().await;
        for number in 0..20 {
            assert_eq!(other.call("echo", json!([number])).await, Ok(json!(number)));
        }
    }
    let waiting = gateway.metric("hubgate_outbox_bytes", []).await;
    assert!((64_000.0..256_000.0).contains(&waiting), "{waiting} bytes wait");
    let mut answered = 0;
    while answered < CALLS {
        let poll = gateway.request(Method::GET, &connection.path).bearer(&connection.token).send().await;
        assert_eq!(poll.status, 200);
        answered += poll.body.matches("\"type\":3").count();
    }
    assert_eq!(answered, CALLS);
}

#[tokio::test]
async fn an_answer_to_a_poll_is_on_the_clients_account_until_it_is_read() {
    let config = "server.limits.outbox = '8MiB'\nserver.timeouts = { write = '60s', outbox = '120s' }";
    let gateway = Gateway::probe().with(config).start().await;
    let connection = Connection::polling(&gateway, "probe").await;
    // More than the kernel takes, less than the outbox does.
    broadcast(&gateway, 700).await;
    let unread = connection.get_and_read_no_body("*/*").await;
    // Nothing but this is in the outbox, but the client has not taken what it was answered.
    broadcast(&gateway, 400).await;
    is_given_up_by(&gateway, "server.limits.outbox").await;
    assert!(drained(unread).await < 7_000_000, "the rest of the answer is dropped");
}

#[tokio::test]
async fn each_message_for_a_client_that_does_not_poll_counts_with_its_overhead() {
    let config = "server.limits.outbox = '64KiB'\nserver.timeouts.client = '60s'";
    let gateway = Gateway::probe().with(config).start().await;
    let connection = Connection::polling(&gateway, "probe").await;
    let mut speaker = gateway.client("probe").connect().await;
    // Their bytes alone would fit three times.
    for _ in 0..300 {
        speaker.call("say", json!(["x"])).await.expect("the probe answers");
    }
    is_given_up_by(&gateway, "server.limits.outbox").await;
    assert_eq!(connection.poll().await, 404, "it is over");
}

#[tokio::test]
async fn a_poll_whose_answer_makes_no_progress_is_ended() {
    let gateway = Gateway::probe().with("server.timeouts.write = '1s'").start().await;
    let connection = Connection::polling(&gateway, "probe").await;
    broadcast(&gateway, 700).await;
    let unread = connection.get_and_read_no_body("*/*").await;
    is_given_up_by(&gateway, "server.timeouts.write").await;
    assert!(drained(unread).await < 7_000_000, "the rest of the answer is dropped");
}

#[tokio::test]
async fn an_event_stream_that_makes_no_progress_is_ended() {
    let gateway = Gateway::probe().with("server.timeouts.write = '1s'").start().await;
    let connection = Connection::negotiated(&gateway, "probe").await;
    let unread = connection.get_and_read_no_body("text/event-stream").await;
    assert_eq!(connection.post(HANDSHAKE.to_owned()).await, 200);
    broadcast(&gateway, 700).await;
    is_given_up_by(&gateway, "server.timeouts.write").await;
    assert!(drained(unread).await < 7_000_000, "the rest of the stream is dropped");
}

/// A connection of HTTP/2 on which so many bytes of each body may come before they are read, and its end.
async fn http_2(gateway: &Gateway, window: u32) -> (http2::SendRequest<Full<Bytes>>, JoinHandle<()>) {
    let mut dialing = Dialing::secure(gateway);
    let config = dialing.tls.as_mut().map(Arc::make_mut).expect("it is secure");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TokioIo::new(dialing.dial(gateway.address()).await);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let handshake = builder.initial_stream_window_size(window).handshake(stream).await;
    let (sender, connection) = handshake.expect("the gateway speaks HTTP/2");
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

#[tokio::test]
async fn a_poll_over_http_2_whose_window_is_closed_is_ended_and_its_connection_after_it() {
    let config = "server.timeouts = { write = '1s', http-header = '1s' }";
    let gateway = tls::secure(Gateway::probe().with(config)).start().await;
    let (mut open, _) = http_2(&gateway, 65_535).await;
    let (mut closed, ended) = http_2(&gateway, 0).await;
    let token = gateway.token("probe").audience(&format!("https://{}/client/?hub=probe", gateway.address())).sign();
    let request = |method: Method, path: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(format!("https://{}{path}", gateway.address()));
        let request = request.header("authorization", format!("Bearer {token}"));
        request.body(Full::new(Bytes::from_static(body.as_bytes()))).expect("a valid request")
    };
    let negotiate = request(Method::POST, "/client/negotiate?hub=probe&negotiateVersion=1", "");
    let negotiated = open.send_request(negotiate).await.expect("an answer").into_body().collect().await;
    let negotiated: serde_json::Value = serde_json::from_slice(&negotiated.expect("a body").to_bytes()).expect("JSON");
    let path = format!("/client/?hub=probe&id={}", negotiated["connectionToken"].as_str().expect("a token"));
    for (method, body) in [(Method::GET, ""), (Method::POST, HANDSHAKE), (Method::GET, "")] {
        let answer = open.send_request(request(method, &path, body)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("a body");
    }
    let called = open.send_request(request(Method::POST, &path, CALL)).await.expect("an answer");
    assert_eq!(called.status(), 200);
    let unread = closed.send_request(request(Method::GET, &path, "")).await.expect("an answer");
    assert_eq!(unread.status(), 200);
    is_given_up_by(&gateway, "server.timeouts.write").await;
    soon("the connection's end", ended).await.expect("it does not panic");
}

/// A call whose answer waits for a poll.
const CALL: &str = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"echo\",\"arguments\":[\"x\"]}\u{1e}";
