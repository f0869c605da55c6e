//! The modes of a hub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::dotnet::{self, HubServer};
use hubgate_tests::http::Request;
use hubgate_tests::script::Script;
use hubgate_tests::wait::{pause, until};
use serde_json::json;

/// The service's own text.
const NO_SERVER: &str = "SignalR Service is now in 'Default' service mode. Current mode works as a proxy that routes \
                         client traffic to the connected app servers. However app servers are not connected.";

#[tokio::test]
async fn a_client_of_a_hub_in_default_mode_is_told_that_no_server_is_connected() {
    let gateway = Gateway::probe().with("hubs.proxied = { mode = 'default' }").start().await;
    let client = gateway.client("proxied");
    assert_eq!(client.negotiate("&negotiateVersion=1").await.status, 200, "its negotiation succeeds");
    assert_eq!(client.refused().await, NO_SERVER);
}

#[tokio::test]
async fn hubs_that_are_not_named_are_in_default_mode_unless_said_otherwise() {
    let gateway = Gateway::probe().start().await;
    assert_eq!(gateway.client("unnamed").refused().await, NO_SERVER);

    let gateway = Gateway::probe().with("hubs.\"*\" = { mode = 'serverless' }\nhubs.named = {}").start().await;
    gateway.client("unnamed").connect().await;
    gateway.client("named").connect().await;
}

#[tokio::test]
async fn a_named_hub_inherits_what_it_does_not_set() {
    let config = r#"
        hubs."*" = { mode = "serverless", cors-origins = ["https://app.example.com"] }
        hubs.named = { negotiate = { anonymous = true } }
    "#;
    let gateway = Gateway::probe().with(config).start().await;
    gateway.client("named").connect().await;
    let request = gateway.request(Method::POST, "/hubs/named/negotiate").header("origin", "https://app.example.com");
    assert_eq!(request.send().await.header("access-control-allow-origin"), "https://app.example.com");
}

#[tokio::test]
async fn a_hub_changes_its_mode_while_it_runs() {
    let mut gateway = Gateway::probe().with("hubs.probe = { mode = 'serverless' }").start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    gateway.reconfigure("hubs.probe.mode = 'classic'");
    gateway.hang_up();
    until("the hub to be in classic mode", async || mode_of(&gateway).await.eq("classic").then_some(())).await;
    let error = client.call("echo", json!([1])).await.expect_err("no upstream in classic mode");
    assert!(error.contains("no hub server was connected"), "{error}");
    gateway.reconfigure("hubs.probe.mode = 'default'");
    gateway.hang_up();
    let end = client.end().await;
    assert_eq!((end.error(), end.allows_reconnect()), ("Connection closed with an error.", true));
    let closed = [("hub", "probe"), ("reason", "ServiceModeSwitched")];
    assert_eq!(gateway.metric("hubgate_client_connections_closed_total", closed).await, 1.0);
    gateway.logs(&["changed=", "hubs.probe.mode"]).await;
    assert_eq!(gateway.client("probe").refused().await, NO_SERVER);
}

async fn mode_of(gateway: &Gateway) -> String {
    gateway.admin("/admin/hubs/probe").await["mode"].as_str().expect("a mode").to_owned()
}

/// Default, serverless, classic, default: under load, with a real hub server coming and going.
#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_on_a_tour_through_the_modes() {
    if !dotnet::is_at_hand() {
        return;
    }
    let mut gateway = Gateway::probe().with("hubs.chat.mode = 'default'\nserver.shards = 4").start().await;
    gateway.reconfigure("upstream = [{ hubs = ['probe', 'chat'], plugin = 'probe' }]");
    gateway.hang_up();
    gateway.logs(&["the configuration was reloaded"]).await;
    let one = HubServer::start(&gateway, "one", &[]).await;
    let mut clients = Script::start("mode_tour.mjs", &[&gateway.url(), &gateway.token("chat").user("ann").sign()]);
    clients.says("all: server").await;
    let news = Arc::new(AtomicBool::new(true));
    let token = gateway.token("chat").audience(&format!("{}/api/v1/hubs/chat", gateway.url())).sign();
    let sending = tokio::spawn(tell_numbers(gateway.address(), token, news.clone()));

    switch(&mut gateway, "serverless");
    clients.says("all: upstream").await;
    one.crash().await;
    switch(&mut gateway, "classic");
    clients.says("all: nobody").await;
    let _two = HubServer::start(&gateway, "two", &[]).await;
    switch(&mut gateway, "default");
    clients.says("all: server").await;

    news.store(false, Ordering::Relaxed);
    let sent = sending.await.expect("every send was answered by 202");
    assert!(sent > 20, "{sent}");
    let end = json!({ "target": "end", "arguments": [] });
    assert_eq!(gateway.rest(Method::POST, "/api/v1/hubs/chat").json(&end).send().await.status, 202);
    clients.succeeds().await;
}

fn switch(gateway: &mut Gateway, mode: &str) {
    gateway.reconfigure(&format!("hubs.chat.mode = '{mode}'"));
    gateway.hang_up();
}

/// Sends one number after the other to all clients; gives how many.
async fn tell_numbers(address: SocketAddr, token: String, goes_on: Arc<AtomicBool>) -> u64 {
    let mut sent = 0;
    while goes_on.load(Ordering::Relaxed) {
        let send = json!({ "target": "number", "arguments": [sent] });
        let request = Request::new(Method::POST, address, "/api/v1/hubs/chat").bearer(&token);
        assert_eq!(request.json(&send).send().await.status, 202);
        sent += 1;
        pause().await;
    }
    sent
}
