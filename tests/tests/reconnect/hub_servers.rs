//! Clients that hub servers answer, and these when they leave.

use http::Method;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::{Gateway, StatefulClient};
use hubgate_wire::service::{self, ServiceMessage};
use serde_json::json;

use super::{until_all_have_left_from, until_one_waits_in};

async fn gateway() -> Gateway {
    Gateway::serve().with("hubs = { chat = { mode = 'default' }, mixed = { mode = 'classic' } }").start().await
}

fn event(name: &str) -> String {
    format!("{}\u{1e}", json!({ "type": 1, "target": name, "arguments": [] }))
}

#[tokio::test]
async fn a_client_whose_hub_server_is_lost_is_over_whether_it_is_away_or_not() {
    let gateway = gateway().await;
    let mut server = HubServer::connect_allowing_stateful_reconnect(&gateway, "chat", "a").await;
    let mut here = StatefulClient::connect_to(&mut server, gateway.client("chat")).await;
    let mut away = StatefulClient::connect_to(&mut server, gateway.client("chat")).await;
    away.cut();
    until_one_waits_in(&gateway, "chat").await;
    drop(server);
    assert!(here.end().await.allows_reconnect());
    until_all_have_left_from(&gateway, "chat").await;
    assert_eq!(away.open().await.expect_err("it is over").status, 404);
}

#[tokio::test]
async fn a_client_whose_hub_server_closes_it_while_it_is_away_is_over() {
    let gateway = gateway().await;
    let mut server = HubServer::connect_allowing_stateful_reconnect(&gateway, "chat", "a").await;
    let mut client = StatefulClient::connect_to(&mut server, gateway.client("chat")).await;
    client.cut();
    until_one_waits_in(&gateway, "chat").await;
    let close = service::CloseConnection { connection_id: client.id(), ..Default::default() };
    server.send(&ServiceMessage::CloseConnection(close)).await;
    until_all_have_left_from(&gateway, "chat").await;
    assert_eq!(client.open().await.expect_err("it is over").status, 404);
}

#[tokio::test]
async fn a_client_that_is_away_goes_to_another_hub_server_with_the_others_when_its_own_leaves() {
    let gateway = gateway().await;
    let mut first = HubServer::connect_allowing_stateful_reconnect(&gateway, "chat", "first").await;
    let mut client = StatefulClient::connect_to(&mut first, gateway.client("chat")).await;
    let mut second = HubServer::connect_allowing_stateful_reconnect(&gateway, "chat", "second").await;
    client.cut();
    until_one_waits_in(&gateway, "chat").await;
    first.tell_client(client.id(), &event("first")).await;
    first.hand_its_clients_over().await;
    assert_eq!(second.told_of_client().await, client.id());
    assert!(second.client_says().await.contains("version"), "what it has opened with");
    match service::parse(&first.next().await).expect("a message") {
        ServiceMessage::CloseConnection(close) => assert_eq!(close.connection_id, client.id()),
        other => panic!("its client is at the other one: {other:?}"),
    }
    drop(first);
    second.tell_client(client.id(), &event("second")).await;
    client.resume().await;
    assert_eq!((client.event("first").await, client.event("second").await), (json!([]), json!([])));
    match service::parse(&second.next().await).expect("a message") {
        ServiceMessage::ConnectionReconnect(reconnect) => assert_eq!(reconnect.connection_id, client.id()),
        other => panic!("it hears that its client is back: {other:?}"),
    }
    client.start_call("greet", json!([])).await;
    assert!(second.client_says().await.contains("greet"));
}

#[tokio::test]
async fn a_hub_server_gets_once_what_its_client_says_again() {
    let gateway = gateway().await;
    let mut server = HubServer::connect_allowing_stateful_reconnect(&gateway, "mixed", "a").await;
    let mut client = StatefulClient::connect_to(&mut server, gateway.client("mixed")).await;
    for method in ["one", "two"] {
        client.start_call(method, json!([])).await;
        assert!(server.client_says().await.contains(method));
    }
    client.cut();
    until_one_waits_in(&gateway, "mixed").await;
    // It says both again.
    client.resume().await;
    client.start_call("three", json!([])).await;
    assert!(matches!(service::parse(&server.next().await), Ok(ServiceMessage::ConnectionReconnect(_))));
    assert!(server.client_says().await.contains("three"));
}

#[tokio::test]
async fn a_client_of_a_classic_hub_without_servers_is_kept_what_callers_of_rest_send() {
    let gateway = gateway().await;
    let mut client = StatefulClient::connect(gateway.client("mixed")).await;
    client.cut();
    until_one_waits_in(&gateway, "mixed").await;
    for text in ["a", "b"] {
        let message = json!({ "target": "said", "arguments": [text] });
        let sent = gateway.rest(Method::POST, "/api/v1/hubs/mixed").json(&message).send().await;
        assert_eq!(sent.status, 202, "{}", sent.body);
    }
    client.resume().await;
    assert_eq!((client.event("said").await, client.event("said").await), (json!(["a"]), json!(["b"])));
}
