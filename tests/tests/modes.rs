//! The modes of a hub.

use http::Method;
use hubgate_tests::Gateway;

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
