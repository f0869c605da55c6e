//! Stateful reconnect: a client goes on by another WebSocket.

mod ends;
mod hostile;
mod hub_servers;
mod offering;
mod official_clients;
mod others;
mod resuming;

use http::Method;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, StatefulClient};
use serde_json::json;

/// A client of the probe that was offered it.
async fn client(gateway: &Gateway) -> StatefulClient {
    StatefulClient::connect(gateway.client("probe")).await
}

async fn waiting_clients_of(gateway: &Gateway, hub: &str) -> u64 {
    gateway.admin(&format!("/admin/hubs/{hub}")).await["waitingClients"].as_u64().expect("a number")
}

async fn waiting_clients(gateway: &Gateway) -> u64 {
    waiting_clients_of(gateway, "probe").await
}

/// The gateway has noticed a cut.
async fn until_one_waits(gateway: &Gateway) {
    until_one_waits_in(gateway, "probe").await;
}

async fn until_one_waits_in(gateway: &Gateway, hub: &str) {
    let is_waited_for = async || (waiting_clients_of(gateway, hub).await == 1).then_some(());
    until("a client to be waited for", is_waited_for).await;
}

async fn until_all_have_left(gateway: &Gateway) {
    until_all_have_left_from(gateway, "probe").await;
}

async fn until_all_have_left_from(gateway: &Gateway, hub: &str) {
    until("the client to have left", async || (gateway.clients_of(hub).await == 0).then_some(())).await;
}

/// Sends by REST to whom the path names.
async fn send(gateway: &Gateway, to: &str, text: &str) {
    let path = format!("/api/v1/hubs/probe{to}");
    let message = json!({ "target": "said", "arguments": [text] });
    assert_eq!(gateway.rest(Method::POST, &path).json(&message).send().await.status, 202, "{path}");
}

async fn resumes(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric("hubgate_client_resumes_total", [("hub", "probe"), ("outcome", outcome)]).await
}
