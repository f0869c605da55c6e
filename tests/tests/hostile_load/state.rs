//! State of hubs: clients that have left, memberships, hub names, ids and names of any length.

use hubgate_tests::wait::until;
use hubgate_tests::webhook::Webhook;
use hubgate_tests::{Client, Gateway};
use serde_json::json;

/// A gateway whose clients' calls wait at a webhook, which hears of their ends, too.
async fn with_webhook(webhook: &Webhook, config: &str) -> Gateway {
    Gateway::serve()
        .with(&format!(
            "upstream = [
                {{ hubs = ['hub'], categories = ['messages'], url = '{url}' }},
                {{ hubs = ['hub'], events = ['disconnected'], url = '{url}' }},
            ]
            hubs.hub.mode = 'serverless'",
            url = webhook.url()
        ))
        .with(config)
        .start()
        .await
}

async fn has_client(gateway: &Gateway) -> bool {
    gateway.clients_of("hub").await > 0
}

/// Makes calls of so many bytes in all, one of which upstream is busy with while the others wait.
async fn queue_calls(client: &mut Client, bytes: usize) {
    const CALL: usize = 16 * 1024;
    let text = "x".repeat(CALL);
    for _ in 0..bytes / CALL {
        client.notify("call", json!([text])).await;
    }
}

#[tokio::test]
async fn a_client_that_left_keeps_its_place_until_upstream_has_heard_its_calls() {
    let webhook = Webhook::silent().await;
    let gateway = with_webhook(&webhook, "server.limits.connections = 1").await;
    let connecting = gateway.client("hub");
    let mut client = connecting.connect().await;
    client.notify("first", json!([])).await;
    client.notify("second", json!([])).await;
    client.leave().await;
    until("the client to be gone", async || (!has_client(&gateway).await).then_some(())).await;
    let answer = connecting.try_open().await.expect_err("its calls wait for upstream");
    assert_eq!(answer.status, 503);
    webhook.answer();
    until("the place to be free", async || connecting.try_open().await.ok()).await;
    for path in ["/messages/first", "/messages/second", "/connections/disconnected"] {
        assert_eq!(webhook.count(path), 1, "{path}");
    }
}

/// Before there was a bound, this held 100 MiB and more.
#[tokio::test]
async fn calls_of_clients_that_left_are_bounded_over_all_and_their_ends_are_still_told() {
    const CLIENTS: usize = 100;
    let webhook = Webhook::silent().await;
    let gateway = with_webhook(&webhook, "").await;
    let before = gateway.resident_bytes();
    for _ in 0..CLIENTS {
        let mut client = gateway.client("hub").connect().await;
        queue_calls(&mut client, 1 << 20).await;
        client.leave().await;
    }
    until("all clients to be gone", async || (!has_client(&gateway).await).then_some(())).await;
    let held = (gateway.resident_bytes() - before) >> 20;
    assert!(held < 80, "{held} MiB are held for clients that left");
    let dropped = gateway.metric("hubgate_calls_dropped_total", [("hub", "hub")]).await;
    assert!(dropped > 1_000.0, "{dropped} calls were dropped");
    gateway.logs(&["calls of clients that have left are dropped", "hub"]).await;
    webhook.answer();
    let ends = async || (webhook.count("/connections/disconnected") == CLIENTS).then_some(());
    until("all ends to be told", ends).await;
}
