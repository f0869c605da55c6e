//! Stateful reconnect: a client goes on by another WebSocket.

mod ends;
mod hostile;
mod offering;
mod official_clients;
mod resuming;

use http::Method;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, StatefulClient};
use serde_json::json;

/// A client of the probe that was offered it.
async fn client(gateway: &Gateway) -> StatefulClient {
    StatefulClient::connect(gateway.client("probe")).await
}

async fn waiting_clients(gateway: &Gateway) -> u64 {
    gateway.admin("/admin/hubs/probe").await["waitingClients"].as_u64().expect("a number")
}

/// The gateway has noticed a cut.
async fn until_one_waits(gateway: &Gateway) {
    until("a client to be waited for", async || (waiting_clients(gateway).await == 1).then_some(())).await;
}

async fn until_all_have_left(gateway: &Gateway) {
    until("the client to have left", async || (gateway.clients_of("probe").await == 0).then_some(())).await;
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
