//! WebSockets on streams of HTTP/2 (RFC 8441), as .NET's clients and browsers open them where the gateway has TLS.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hubgate_tests::client::HANDSHAKE;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http_2::{Connection, Window};
use hubgate_tests::script::Script;
use hubgate_tests::wait::{let_pass, soon, until};
use hubgate_tests::{Gateway, tls};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const CLIENT: &str = "/client/?hub=probe";

fn secure() -> Setup {
    tls::secure(Gateway::probe())
}

/// A client of the probe's hub whose handshake is answered.
struct Client(WebSocketStream<TokioIo<Upgraded>>);

impl Client {
    async fn connect(connection: &mut Connection, gateway: &Gateway) -> Client {
        let token = gateway.token("probe").sign();
        let opened = soon("a WebSocket", connection.websocket(CLIENT, &token)).await;
        let stream = opened.expect("the gateway opens it");
        let mut client = Client(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await);
        client.say(HANDSHAKE.to_owned()).await;
        assert_eq!(client.hear().await, json!({}));
        client
    }

    async fn say(&mut self, text: String) {
        soon("the message to leave", self.0.send(Message::text(text))).await.expect("the stream is open");
    }

    /// The next hub message that is no ping.
    async fn hear(&mut self) -> Value {
        loop {
            match soon("a message", self.0.next()).await {
                Some(Ok(Message::Text(text))) if text.contains("\"type\":6") => {}
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(text.trim_end_matches('\u{1e}')).expect("one message");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a message should come: {other:?}"),
            }
        }
    }

    async fn echo(&mut self, text: &str) {
        let call = json!({ "type": 1, "invocationId": "1", "target": "echo", "arguments": [text] });
        self.say(format!("{call}\u{1e}")).await;
        let answer = self.hear().await;
        assert_eq!((&answer["type"], answer["result"].as_str()), (&json!(3), Some(text)));
    }

    /// Reads to the end of the stream; gives the last message, and the code of the WebSocket's close.
    async fn end(mut self) -> (Option<Value>, Option<u16>) {
        let (mut last, mut code) = (None, None);
        while let Some(Ok(message)) = soon("the end", self.0.next()).await {
            match message {
                Message::Text(text) => last = serde_json::from_str(text.trim_end_matches('\u{1e}')).ok(),
                Message::Close(close) => code = close.map(|close| close.code.into()),
                _ => {}
            }
        }
        (last, code)
    }
}

async fn clients_are(gateway: &Gateway, count: u64) {
    until("so many clients", async || (gateway.clients_of("probe").await == count).then_some(())).await;
}

#[tokio::test]
async fn messages_of_any_length_pass_both_ways_and_the_end_is_a_clean_one() {
    let gateway = secure().start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let mut client = Client::connect(&mut connection, &gateway).await;
    for length in [1, 125, 126, 8_191, 8_192, 8_193, 65_535, 65_536, 300_000, 2_000_000, 3] {
        client.echo(&"x".repeat(length)).await;
    }
    client.0.close(None).await.expect("the stream is open");
    assert_eq!(client.end().await.1, Some(1000));
    clients_are(&gateway, 0).await;
    gateway.logs(&["a client's connection ended", "cause=\"Normal\""]).await;
    let answer = connection.request(Method::GET, "/healthz", "", "").await.expect("the connection goes on");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn clients_on_one_connection_are_dealt_out_to_all_threads_and_hear_each_other() {
    let gateway = secure().start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::connect(&mut connection, &gateway).await);
    }
    let whoami = json!({ "type": 1, "invocationId": "1", "target": "whoami", "arguments": [] });
    let mut places = Vec::new();
    for client in &mut clients {
        client.say(format!("{whoami}\u{1e}")).await;
        let id = client.hear().await["result"]["connectionId"].as_str().expect("it is text").to_owned();
        places.push(id[22..].to_owned());
    }
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 2, "{places:?}");
    let say = json!({ "type": 1, "target": "say", "arguments": ["to all"] });
    clients[0].say(format!("{say}\u{1e}")).await;
    for client in &mut clients {
        assert_eq!(client.hear().await["arguments"], json!(["to all"]));
    }
    // Some vanish without a word.
    clients.truncate(3);
    clients_are(&gateway, 3).await;
    drop((clients, connection));
    clients_are(&gateway, 0).await;
}

#[tokio::test]
async fn a_connection_lasts_as_long_as_its_websockets() {
    let gateway = secure().with("server.timeouts.http-header = '500ms'").start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let mut client = Client::connect(&mut connection, &gateway).await;
    let_pass(Duration::from_millis(1_500)).await;
    client.echo("still here").await;
    client.0.close(None).await.expect("the stream is open");
    client.end().await;
    let is_over = async || connection.clone().request(Method::GET, "/healthz", "", "").await.is_err().then_some(());
    let_pass(Duration::from_millis(1_100)).await;
    until("the connection to end", is_over).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_its_neighbours_go_on() {
    let config = "server.timeouts.write = '1s'\nserver.limits.outbox = '10MiB'";
    let gateway = secure().with(config).start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let mut neighbour = Client::connect(&mut connection, &gateway).await;
    let stuck = Client::connect(&mut connection, &gateway).await;
    let text = "x".repeat(100_000);
    // More than windows hold, which nobody opens again for the one that does not read.
    for _ in 0..100 {
        let say = json!({ "type": 1, "target": "say", "arguments": [text] });
        neighbour.say(format!("{say}\u{1e}")).await;
        assert_eq!(neighbour.hear().await["arguments"], json!([text]));
    }
    clients_are(&gateway, 1).await;
    let slow = gateway.metric("hubgate_slow_peers_total", []).await;
    assert_eq!(slow, 1.0);
    neighbour.echo("still here").await;
    drop(stuck);
}

#[tokio::test]
async fn clients_are_sent_away_when_the_gateway_stops() {
    let mut gateway = secure().start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let client = Client::connect(&mut connection, &gateway).await;
    gateway.terminate();
    let (last, code) = client.end().await;
    assert_eq!(last, Some(json!({ "type": 7, "allowReconnect": true })));
    assert_eq!(code, Some(1000));
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn who_is_refused_gets_an_answer() {
    let gateway = secure().start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let refused = connection.websocket(CLIENT, "nonsense").await.expect_err("the token is none");
    assert!(refused.to_string().contains("401"), "{refused}");
    let token = gateway.token("probe").sign();
    let unknown = connection.websocket("/client/?hub=probe&id=unknown", &token).await.expect_err("no such connection");
    assert!(unknown.to_string().contains("404"), "{unknown}");
    assert_eq!(gateway.clients_of("probe").await, 0);
}

#[tokio::test]
async fn a_hub_server_may_come_on_a_stream_too() {
    let gateway = tls::secure(Gateway::serve()).start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let audience = format!("{}/server/?hub=chat", gateway.url());
    let token = hubgate_tests::Token::new(&audience, gateway.key()).sign();
    let _stream = connection.websocket("/server/?hub=chat", &token).await.expect("the gateway opens it");
    gateway.logs(&["a hub server's connection is open", "hub=chat"]).await;
}

#[tokio::test]
async fn a_get_with_headers_of_a_websocket_opens_nothing() {
    let gateway = secure().start().await;
    let mut connection = Connection::open(&gateway, Window::Usual).await.expect("the gateway speaks HTTP/2");
    let token = gateway.token("probe").sign();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("authorization", &format!("Bearer {token}")),
    ] {
        headers.insert(name, value.parse().expect("a value"));
    }
    let answer = connection.request_with(Method::GET, CLIENT, headers, "").await.expect("it is answered");
    assert_eq!(answer.status(), 400);
    let body = answer.into_body().collect().await.expect("it comes whole").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("RFC 8441"), "{body:?}");
}

#[tokio::test]
async fn a_get_whose_upgrade_a_proxy_has_left_out_is_told_so() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    let request = gateway.request(Method::GET, CLIENT).bearer(&token).header("sec-websocket-version", "13");
    let answer = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send().await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("a proxy may have left them out"), "{}", answer.body);
}

#[tokio::test]
async fn a_browser_opens_its_websockets_on_the_connection_that_it_has() {
    const ORIGIN: &str = "http://localhost:3999";
    let config = format!("server.log = 'debug'\nhubs.probe.cors-origins = ['{ORIGIN}']");
    let gateway = secure().with(&config).start().await;
    let mut script = Script::start("browser_transports.mjs", &[&gateway.url(), ORIGIN]);
    script.says("WebSockets json").await;
    script.says("WebSockets messagepack").await;
    gateway.logs(&["a stream of HTTP/2 becomes a WebSocket"]).await;
    script.succeeds().await;
}
