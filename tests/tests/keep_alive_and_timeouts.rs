//! Pings and silence, each way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hubgate_tests::client::Received;
use hubgate_tests::wait::{soon, until};
use hubgate_tests::{Client, Gateway};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_client_that_nothing_was_sent_to_gets_a_ping() {
    let gateway = Gateway::probe().with("server.timeouts.keep-alive = '1s'").start().await;
    let mut client = gateway.client("probe").connect().await;
    let connected = Instant::now();
    expect_ping(&mut client).await;
    assert!(connected.elapsed() >= Duration::from_millis(500), "{:?} is too early", connected.elapsed());
    expect_ping(&mut client).await;
}

/// All that comes from the gateway until it has said this.
async fn reads_until(client: Client, text: &str) {
    // Past the library, which answers pings.
    let mut stream = client.into_stream().into_inner();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let read =
            soon(text, stream.read_buf(&mut bytes)).await.expect("the gateway writes before it ends the connection");
        assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn a_client_that_gives_no_sign_of_life_is_told_that_it_timed_out_and_one_that_pings_is_not() {
    let gateway = Gateway::probe().with("server.timeouts = { client = '6s', keep-alive = '1s' }").start().await;
    let silent = gateway.client("probe").connect().await;
    let mut alive = gateway.client("probe").connect().await;
    let silent_since = Instant::now();
    let mut pings = tokio::time::interval(Duration::from_millis(300));
    let mut end = std::pin::pin!(reads_until(silent, "timed out"));
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = pings.tick() => alive.send(json!({ "type": 6 })).await,
        }
    }
    assert!(silent_since.elapsed() >= Duration::from_secs(5), "{:?} is too early", silent_since.elapsed());
    assert_eq!(alive.call("echo", json!(["still here"])).await, Ok(json!("still here")));
}

#[tokio::test]
async fn a_client_that_answers_pings_of_its_web_socket_and_says_nothing_else_is_kept() {
    let gateway = Gateway::probe().with("server.timeouts = { client = '6s', keep-alive = '1s' }").start().await;
    let mut client = gateway.client("probe").connect().await;
    // Eight seconds; the library answers meanwhile.
    for _ in 0..8 {
        expect_ping(&mut client).await;
    }
    assert_eq!(client.call("echo", json!(["still here"])).await, Ok(json!("still here")));
}

#[tokio::test]
async fn any_message_of_a_client_counts_as_a_sign_of_life() {
    let gateway = Gateway::probe().with("server.timeouts = { client = '6s', keep-alive = '1s' }").start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut silent = gateway.client("probe").connect().await;
    let gone = async || (gateway.clients_of("probe").await == 1).then_some(());
    let mut gone = std::pin::pin!(until("the silent client to be given up", gone));
    let mut calls = tokio::time::interval(Duration::from_millis(300));
    loop {
        tokio::select! {
            () = &mut gone => break,
            _ = calls.tick() => {
                client.call("echo", json!([1])).await.expect("it answers");
            }
        }
    }
    silent.end().await;
    assert_eq!(client.call("echo", json!(["still here"])).await, Ok(json!("still here")));
}

#[tokio::test]
async fn pings_go_on_while_a_call_runs() {
    let config = "server.timeouts.keep-alive = '1s'\nplugins.probe.call-time = '5s'";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.start_call("spin", json!([])).await;
    expect_ping(&mut client).await;
}

#[tokio::test]
async fn a_client_that_pings_while_its_call_runs_is_kept() {
    let config = "server.timeouts = { client = '6s', keep-alive = '1s' }\nplugins.probe.call-time = '12s'";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    let id = client.start_call("spin", json!([])).await;
    let started = Instant::now();
    let mut pings = tokio::time::interval(Duration::from_millis(500));
    while started.elapsed() < Duration::from_secs(9) {
        pings.tick().await;
        client.send(json!({ "type": 6 })).await;
    }
    assert!(client.completion(&id).await["error"].is_string(), "the call is broken off, not the connection");
}

#[tokio::test]
async fn a_client_that_leaves_is_let_go_in_order() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.send(json!({ "type": 7 })).await;
    let end = client.end().await;
    assert_eq!(end.code, Some(1000), "a normal end");
    assert!(end.close.is_none_or(|close| close.get("error").is_none()), "without an error");
}

#[tokio::test]
async fn upstream_hears_of_every_end_however_a_client_goes() {
    let gateway = Gateway::probe().start().await;
    let mut observer = gateway.client("probe").connect().await;
    for round in 1..=3 {
        let client = gateway.client("probe").connect().await;
        match round {
            1 => client.leave().await,
            2 => client.vanish(),
            _ => {
                let mut client = client;
                client.send_text("nonsense\u{1e}").await;
                client.end().await;
            }
        }
        until("the client to be gone", async || (gateway.clients_of("probe").await == 1).then_some(())).await;
    }
    // Each look at the counter adds one itself.
    let mut looks = 0;
    let heard = async || {
        looks += 1;
        let count = observer.call("count", json!(["gone"])).await.expect("it answers").as_i64().expect("a number");
        (count - looks == 3).then_some(())
    };
    until("upstream to hear of three ends", heard).await;
}

async fn expect_ping(client: &mut Client) {
    match client.next("a ping").await {
        Received::Message(message) => assert_eq!(message, json!({ "type": 6 })),
        other => panic!("{other:?}"),
    }
}

/// The timer of the gateway's end of a connection, as Linux lists it: what it is for, and in how many hundredths of a second
/// it is due.
fn timer(gateway: &Gateway, peer: SocketAddr) -> Option<(u8, u64)> {
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux lists its connections");
    let timer = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = port(fields[1]) == Some(gateway.address().port()) && port(fields[2]) == Some(peer.port());
        is_it.then(|| fields[5].to_owned())
    })?;
    let (kind, due) = timer.split_once(':')?;
    Some((kind.parse().ok()?, u64::from_str_radix(due, 16).ok()?))
}

#[tokio::test]
async fn the_system_looks_whether_silent_peers_are_there() {
    /// A timer of keep-alive.
    const PROBES: u8 = 2;
    let gateway = Gateway::serve().with("server.timeouts = { client = '6s', keep-alive = '3s' }").start().await;
    let peer = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
    let address = peer.local_addr().expect("it is bound");
    let (kind, due) = until("the timer", async || timer(&gateway, address).filter(|(kind, _)| *kind != 0)).await;
    assert_eq!(kind, PROBES);
    assert!(due <= 300, "half of `server.timeouts.client` at most: {due}");
}
