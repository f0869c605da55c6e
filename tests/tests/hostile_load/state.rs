//! State of hubs: clients that have left, memberships, hub names, ids and names of any length.

use std::collections::HashSet;

use http::Method;
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

/// The allocator of the C library kept nearly all of it.
#[tokio::test]
async fn memory_goes_back_to_the_system_after_a_burst() {
    const CLIENTS: u64 = 100;
    const EACH: u64 = 768 << 10;
    let webhook = Webhook::silent().await;
    let gateway = with_webhook(&webhook, "").await;
    let before = gateway.resident_bytes();
    let growth = || gateway.resident_bytes().saturating_sub(before);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = gateway.client("hub").connect().await;
        queue_calls(&mut client, EACH as usize).await;
        clients.push(client);
    }
    until("the burst to be held", async || (growth() > CLIENTS * EACH * 3 / 4).then_some(())).await;
    webhook.answer();
    for client in clients {
        client.leave().await;
    }
    until("memory to go back", async || (growth() < CLIENTS * EACH / 4).then_some(())).await;
}

/// Puts a user of hub `hub` into a group by REST; gives the status and the body.
async fn add_user(gateway: &Gateway, user: &str, query: &str) -> (u16, String) {
    let answer = gateway.rest(Method::PUT, &format!("/api/v1/hubs/hub/groups/g/users/{user}{query}")).send().await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn memberships_of_invented_users_are_bounded_and_the_caller_is_told() {
    let gateway = Gateway::serve().with("server.limits.user-memberships = 100").start().await;
    for number in 0..100 {
        assert_eq!(add_user(&gateway, &format!("user{number}"), "?ttl=3600").await.0, 202);
    }
    let (status, body) = add_user(&gateway, "one-too-many", "").await;
    assert_eq!(status, 429);
    assert!(body.contains("server.limits.user-memberships"), "{body}");
    assert_eq!(add_user(&gateway, "user7", "").await.0, 202, "it is in the group already");
    assert_eq!(gateway.metric("hubgate_user_memberships", [("hub", "hub")]).await, 100.0);
    assert_eq!(gateway.metric("hubgate_user_memberships_refused_total", [("hub", "hub")]).await, 1.0);
    assert_eq!(gateway.metric("hubgate_requests_refused_total", [("reason", "user-memberships")]).await, 1.0);
    gateway.logs(&["a user was not added to a group", "server.limits.user-memberships", "hub"]).await;
    let path = "/api/v1/hubs/hub/users/user7/groups";
    assert_eq!(gateway.rest(Method::DELETE, path).send().await.status, 200);
    assert_eq!(add_user(&gateway, "one-too-many", "").await.0, 202);
}

#[tokio::test]
async fn memberships_that_have_ended_are_not_kept() {
    let gateway = Gateway::serve().start().await;
    for number in 0..50 {
        assert_eq!(add_user(&gateway, &format!("user{number}"), "?ttl=1").await.0, 202);
    }
    assert_eq!(add_user(&gateway, "stays", "").await.0, 202);
    let kept = async || gateway.metric("hubgate_user_memberships", [("hub", "hub")]).await;
    until("the others to be forgotten, though nobody asks for one", async || (kept().await == 1.0).then_some(())).await;
}

#[tokio::test]
async fn invented_hub_names_are_forgotten_and_are_no_series_of_their_own_beyond_a_thousand() {
    const INVENTED: usize = 1_300;
    let gateway = Gateway::serve().with("hubs.named.mode = 'serverless'").start().await;
    let send = async |hub: &str| {
        let request = gateway.rest(Method::POST, &format!("/api/v1/hubs/{hub}"));
        assert_eq!(request.json(&json!({ "target": "said", "arguments": [] })).send().await.status, 202);
    };
    for number in 0..INVENTED {
        send(&format!("invented{number}")).await;
    }
    send("named").await;
    let hubs = async || gateway.admin("/admin/hubs").await["hubs"].as_object().map_or(0, serde_json::Map::len);
    until("the oldest to be forgotten", async || (hubs().await <= 1_001).then_some(())).await;
    assert!(hubs().await > 900, "the latest are remembered for a while");
    let metrics = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await.body;
    let label = |line: &str| Some(line.split_once("{hub=\"")?.1.split_once('"')?.0.to_owned());
    let labels: HashSet<String> = metrics.lines().filter_map(label).collect();
    assert!(labels.len() <= 1_002 && labels.contains("named"), "{} labels", labels.len());
    assert!(labels.contains("other"), "those that came while a thousand had labels");
}
