//! The orderly end: SIGTERM.

use hubgate_tests::Gateway;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::{soon, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn clients_are_told_to_come_back_and_the_gateway_ends_well() {
    let mut gateway = Gateway::probe().start().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(gateway.client("probe").connect().await);
    }
    gateway.terminate();
    for client in &mut clients {
        let end = client.end().await;
        assert!(end.allows_reconnect(), "{end:?}");
        assert_eq!(end.close.as_ref().and_then(|close| close.get("error")), None, "{end:?}");
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn it_is_not_ready_any_more_and_accepts_nobody() {
    let mut gateway = Gateway::probe().start().await;
    // A client that reads nothing keeps the gateway waiting for its end.
    let _stubborn = gateway.client("probe").connect().await;
    let mut told = gateway.client("probe").connect().await;
    let mut asked_before = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
    assert_eq!(ready_on(&mut asked_before).await, Some(200));

    gateway.terminate();
    told.end().await;
    let after = ready_on(&mut asked_before).await;
    assert!(matches!(after, None | Some(503)), "{after:?}");
    let refused = async || TcpStream::connect(gateway.address()).await.is_err().then_some(());
    until("connections to be refused", refused).await;
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_does_not_leave_is_left_at_the_timeout() {
    let mut gateway = Gateway::probe().with("server.drain-timeout = '1s'").start().await;
    let mut stubborn = gateway.client("probe").connect().await;
    stubborn.notify("spin", json!([])).await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_gateway_without_clients_ends_at_once() {
    let mut gateway = Gateway::probe().with("server.drain-timeout = '1h'").start().await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_time_to_leave_may_be_longer_than_clocks_count() {
    let mut gateway = Gateway::probe().with("server.drain-timeout = '180000000000000d'").start().await;
    let mut client = gateway.client("probe").connect().await;
    gateway.terminate();
    assert!(client.end().await.allows_reconnect());
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn tokens_and_addresses_hold_across_a_restart() {
    let mut gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").user("ann").sign();
    let address = gateway.address();
    gateway.restart().await;
    assert_eq!(gateway.address(), address);
    let mut client = gateway.client("probe").token(&token).connect().await;
    assert_eq!(client.call("whoami", json!([])).await.expect("it answers")["userId"], "ann");
}

#[tokio::test]
async fn what_clients_had_said_before_the_signal_is_answered() {
    const CALLS: usize = 2_000;
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut ids = Vec::new();
    for number in 0..CALLS {
        ids.push(client.start_call("echo", json!([number])).await);
    }
    gateway.terminate();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(client.completion(id).await["result"], number);
    }
    assert!(client.end().await.allows_reconnect());
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_clients_had_asked_their_hub_server_before_the_signal_is_answered() {
    let mut gateway = Gateway::serve().with("hubs.chat.mode = 'default'\nserver.drain-timeout = '1h'").start().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let (mut idle, _) = server.let_in(gateway.client("chat").open().await).await;
    let (mut client, id) = server.let_in(gateway.client("chat").open().await).await;
    let call = client.start_call("slow", json!([])).await;
    assert!(server.client_says().await.contains("slow"));
    // A stream may have no end.
    let (mut watching, _) = server.let_in(gateway.client("chat").open().await).await;
    watching.send(json!({"type": 4, "invocationId": "1", "target": "watch", "arguments": []})).await;
    assert!(server.client_says().await.contains("watch"));

    gateway.terminate();
    for client in [&mut idle, &mut watching] {
        assert!(client.end().await.allows_reconnect());
    }
    let completion = json!({"type": 3, "invocationId": call, "result": "done"});
    server.tell_client(&id, &format!("{completion}\u{1e}")).await;
    assert_eq!(client.completion(&call).await["result"], "done");
    assert!(client.end().await.allows_reconnect());
    server.end().await;
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn until_the_delay_is_over_everything_goes_on_but_readiness() {
    let mut gateway = Gateway::probe().with("server.drain-delay = '3s'").start().await;
    let mut client = gateway.client("probe").connect().await;
    gateway.terminate();
    let is_unready = async || (gateway.get("/readyz").await.status == 503).then_some(());
    until("the gateway to be unready", is_unready).await;
    let mut late = gateway.client("probe").connect().await;
    for client in [&mut client, &mut late] {
        assert_eq!(client.call("echo", json!([1])).await.expect("it is answered"), 1);
    }
    for mut client in [client, late] {
        assert!(client.end().await.allows_reconnect());
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn whoever_has_not_had_its_turn_is_closed_when_the_time_to_leave_is_over() {
    let setup = Gateway::probe().with("server.drain-closes = 1").with("server.drain-timeout = '1s'");
    let mut gateway = setup.start().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(gateway.client("probe").connect().await);
    }
    gateway.terminate();
    for client in &mut clients {
        assert!(client.end().await.allows_reconnect());
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
    gateway.logs(&["server.drain-timeout is over before all clients are gone"]).await;
}

/// The status of `/readyz` on a connection that stays open; nothing if it is closed.
async fn ready_on(stream: &mut TcpStream) -> Option<u16> {
    let exchange = async {
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ok()?;
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.ok()?;
        let status = std::str::from_utf8(&answer[..length]).ok()?.split(' ').nth(1)?;
        status.parse().ok()
    };
    soon("the answer to /readyz", exchange).await
}
