//! Bytes that wait for a client: WebSocket control frames, polls and event streams whose reader does not read.

use futures_util::{SinkExt, StreamExt};
use hubgate_tests::client::Received;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::socket::{Dialing, SMALL_BUFFER};
use hubgate_tests::wait::{settled, soon, until};
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::ALLOWED_GROWTH;

/// A ping without a payload, masked with zeros.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const PINGS: usize = 3_000_000;
const PINGS_PER_WRITE: usize = 10_000;

/// A call of `echo` that has a text of so many bytes as its argument.
fn echo(number: usize, length: usize) -> String {
    let call =
        json!({ "type": 1, "invocationId": number.to_string(), "target": "echo", "arguments": ["x".repeat(length)] });
    format!("{call}\u{1e}")
}

/// What a hub message of a WebSocket frame says.
fn messages(frame: &str) -> impl Iterator<Item = Value> {
    frame.split_terminator('\u{1e}').map(|message| serde_json::from_str(message).expect("hub messages are JSON"))
}

async fn slow_peers(gateway: &Gateway, limit: &str) -> f64 {
    gateway.metric("hubgate_slow_peers_total", [("limit", limit)]).await
}

async fn messages_in(gateway: &Gateway, hub: &str) -> f64 {
    gateway.metric("hubgate_messages_total", [("hub", hub), ("direction", "in")]).await
}

/// Sends texts of 10,000 bytes to all clients of the probe's hub.
async fn broadcast(speaker: &mut Client, texts: usize) {
    let text = "x".repeat(10_000);
    for _ in 0..texts {
        speaker.call("say", json!([text])).await.expect("the probe answers");
    }
}

#[tokio::test]
async fn pings_whose_answers_are_not_read_hold_no_memory() {
    let gateway = Gateway::probe().with("hubs.chat.mode = 'default'").start().await;
    let mut bystander = gateway.client("probe").connect().await;
    let before = gateway.resident_bytes();
    let pings = PING.repeat(PINGS_PER_WRITE);
    let dialing = Dialing { receive_buffer: Some(SMALL_BUFFER), ..Dialing::default() };

    let mut not_shaken_hands = gateway.client("probe").with_small_buffer().open().await;
    let mut server = HubServer::dial(&dialing, &gateway, "chat", "a").await;
    for _ in 0..PINGS / PINGS_PER_WRITE {
        not_shaken_hands.send_bytes(&pings).await;
        server.send_raw(&pings).await;
    }
    let growth = gateway.resident_bytes().saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "{growth} bytes more are held");
    assert_eq!(bystander.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn of_pings_that_could_not_be_answered_the_latest_is() {
    let gateway = Gateway::probe().with("server.timeouts = { write = '60s', outbox = '120s' }").start().await;
    let mut client = gateway.client("probe").with_small_buffer().connect().await;
    let mut speaker = gateway.client("probe").connect().await;
    // More than the kernel takes, less than the outbox does.
    broadcast(&mut speaker, 700).await;
    let before = messages_in(&gateway, "probe").await;
    for number in 0..500 {
        client.send_websocket_ping(number.to_string().as_bytes()).await;
    }
    let id = client.start_call("echo", json!([1])).await;
    until("all of it to be read", async || (messages_in(&gateway, "probe").await > before).then_some(())).await;
    let mut pongs = Vec::new();
    loop {
        match client.next("the answer").await {
            Received::Pong(payload) => pongs.push(String::from_utf8_lossy(&payload).into_owned()),
            Received::Message(message) if message["invocationId"] == id => break,
            Received::Message(_) => {}
            Received::End(code) => panic!("the connection ended: {code:?}"),
        }
    }
    client.send_websocket_ping(b"and now").await;
    while pongs.last().is_none_or(|pong| pong != "and now") {
        if let Received::Pong(payload) = client.next("a pong").await {
            pongs.push(String::from_utf8_lossy(&payload).into_owned());
        }
    }
    assert_eq!(pongs, ["499", "and now"]);
}

#[tokio::test]
async fn a_reader_gets_an_answer_to_each_of_its_pings() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let ping = |number: u32| [0x89, 0x84, 0, 0, 0, 0].into_iter().chain(number.to_be_bytes());
    let pings: Vec<u8> = (0..5_000).flat_map(ping).collect();
    client.send_bytes(&pings).await;
    for number in 0..5_000_u32 {
        match client.next("a pong").await {
            Received::Pong(payload) => assert_eq!(payload[..], number.to_be_bytes()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_until_it_does() {
    const CALLS: usize = 3_000;
    let config = "server.limits.outbox = '2MiB'\nserver.timeouts = { write = '60s', outbox = '120s' }";
    let gateway = Gateway::probe().with(config).start().await;
    let client = gateway.client("probe").with_small_buffer().connect().await;
    let (mut sink, mut stream) = client.into_stream().split();
    let writing = tokio::spawn(async move {
        for number in 0..CALLS {
            sink.send(Message::text(echo(number, 10_000))).await.expect("the connection stays open");
        }
    });
    let read = settled("what is read of the client", async || messages_in(&gateway, "probe").await).await;
    assert!(read < CALLS as f64, "it is not read any more");
    let mut answered = 0;
    while answered < CALLS {
        let Some(Ok(Message::Text(frame))) = soon("an answer", stream.next()).await else {
            panic!("the connection ended after {answered} answers");
        };
        for message in messages(&frame).filter(|message| message["type"] == 3) {
            assert_eq!(message["invocationId"], answered.to_string());
            answered += 1;
        }
    }
    soon("the calls to be sent", writing).await.expect("it does not panic");
}

#[tokio::test]
async fn a_client_that_takes_no_byte_for_too_long_is_let_go() {
    let config = "server.limits.outbox = '64MiB'\nserver.timeouts.write = '1s'";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").with_small_buffer().connect().await;
    let mut speaker = gateway.client("probe").connect().await;
    broadcast(&mut speaker, 1_500).await;
    let given_up = async || (slow_peers(&gateway, "server.timeouts.write").await == 1.0).then_some(());
    until("the client to be given up", given_up).await;
    assert_eq!(gateway.metric("hubgate_slow_clients_closed_total", [("hub", "probe")]).await, 1.0);
    gateway.logs(&["a client's connection ended", "SlowClient", "server.timeouts.write"]).await;
    client.end().await;
    assert_eq!(speaker.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_client_that_takes_too_long_for_a_message_is_let_go() {
    let config = "server.limits.outbox = '64MiB'\nserver.timeouts.outbox = '1s'";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").with_small_buffer().connect().await;
    let mut speaker = gateway.client("probe").connect().await;
    broadcast(&mut speaker, 1_500).await;
    let given_up = async || (slow_peers(&gateway, "server.timeouts.outbox").await == 1.0).then_some(());
    until("the client to be given up", given_up).await;
    client.end().await;
}

#[tokio::test]
async fn a_hub_server_that_takes_no_byte_for_too_long_is_let_go() {
    let config = "hubs.chat.mode = 'default'\nserver.timeouts.write = '1s'";
    let gateway = Gateway::serve().with(config).start().await;
    let dialing = Dialing { receive_buffer: Some(SMALL_BUFFER), ..Dialing::default() };
    let mut server = HubServer::dial(&dialing, &gateway, "chat", "a").await;
    server.shake_hands(0).await;
    let (mut client, _) = server.let_in(gateway.client("chat").open().await).await;
    let flood = tokio::spawn(async move {
        let text = echo(0, 100_000);
        for _ in 0..200 {
            client.send_text(&text).await;
        }
        client
    });
    let given_up = async || (slow_peers(&gateway, "server.timeouts.write").await == 1.0).then_some(());
    until("the hub server to be given up", given_up).await;
    gateway.logs(&["a hub server's connection ended", "server.timeouts.write"]).await;
    server.end().await;
    let mut client = soon("the flood to end", flood).await.expect("it does not panic");
    client.end().await;
}
