//! Several gateways as one, with a real nats-server: what users see of any of them is what they would see of one.

mod cuts;
mod dotnet;
mod example;
mod hub_servers;
mod javascript;
mod joining;
mod load;
mod losses;
mod meeting;
mod moving;
mod names;
mod operators;
mod order;
mod outages;
mod passing;
mod rolling_restart;
mod sends;
mod sign_in;
mod state;
mod talk;

use http::Method;
use hubgate_tests::answering_server::AnsweringServer;
use hubgate_tests::client::{End, HANDSHAKE};
use hubgate_tests::http::escaped;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Cluster, Gateway, cluster};
use serde_json::{Value, json};

/// A client with what callers may know of it.
struct Peer {
    client: Client,
    id: String,
}

impl Peer {
    /// A client of `user`, which has negotiated and connected at the same node.
    async fn connect(gateway: &Gateway, hub: &str, user: &str) -> Peer {
        let connecting = gateway.client(hub).user(user);
        let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
        let text = |name: &str| negotiated[name].as_str().expect("negotiate gives ids").to_owned();
        let client = connecting.id(&text("connectionToken")).connect().await;
        Peer { client, id: text("connectionId") }
    }

    /// The text that it is told next.
    async fn told(&mut self) -> String {
        text(&self.client.event("said").await)
    }
}

/// The one argument of an event.
fn text(arguments: &Value) -> String {
    arguments[0].as_str().unwrap_or_else(|| panic!("no text: {arguments}")).to_owned()
}

/// Clusters of serverless hubs, without components.
fn serverless() -> cluster::Making {
    Cluster::of(|| Gateway::serve().with("hubs.'*'.mode = 'serverless'"))
}

/// Clusters of hubs whose clients hub servers answer.
fn default_mode() -> cluster::Making {
    Cluster::of(|| Gateway::serve().with("hubs.'*'.mode = 'default'"))
}

/// What a REST caller is answered.
async fn asked(gateway: &Gateway, method: Method, hub: &str, path: &str) -> u16 {
    gateway.rest(method, &format!("/api/hubs/{}{path}", escaped(hub))).send().await.status
}

/// Sends by REST: `to` is what stands between the hub and `:send`.
async fn tell(gateway: &Gateway, hub: &str, to: &str, text: &str) {
    let path = format!("/api/hubs/{}{to}/:send", escaped(hub));
    let sent = gateway.rest(Method::POST, &path).json(&json!({ "target": "said", "arguments": [text] })).send().await;
    assert_eq!(sent.status, 202, "{path}: {}", sent.body);
}

async fn join(gateway: &Gateway, hub: &str, id: &str, group: &str) {
    let path = format!("/groups/{}/connections/{id}", escaped(group));
    assert_eq!(asked(gateway, Method::PUT, hub, &path).await, 200);
}

/// Waits until a node routes clients to this hub server, which has none yet.
async fn knows(gateway: &Gateway, hub: &str, server: &AnsweringServer, name: &str) {
    finds(gateway, hub, name).await;
    until("the client that tried it to be gone", async || server.clients().is_empty().then_some(())).await;
}

/// Waits until a node routes clients to the hub server of this name.
async fn finds(gateway: &Gateway, hub: &str, name: &str) {
    let connecting = gateway.client(hub).with_claim("asrs.s.ssticky", "Required").with_claim("asrs.s.sn", name);
    let is_with_it = async || {
        let mut client = connecting.open().await;
        client.send_text(HANDSHAKE).await;
        // A hub in classic mode lets clients in without any server, too.
        let is_with_it = client.message().await == json!({}) && client.call("who", json!([])).await == Ok(json!(name));
        if is_with_it {
            client.leave().await;
        }
        is_with_it.then_some(())
    };
    until(&format!("a node to know server {name}"), is_with_it).await;
}

/// A client that was told that it may come back, by whatever error.
fn may_come_back(end: &End) {
    assert!(end.allows_reconnect(), "{end:?}");
}
