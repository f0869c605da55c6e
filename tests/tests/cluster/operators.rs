//! What operators do at one node, and what they are told of the others.

use std::fs;

use http::Method;
use hubgate_tests::cluster::View;
use hubgate_tests::{Cluster, Gateway, guests};
use serde_json::{Value, json};

use super::{Peer, serverless};

#[tokio::test]
async fn a_change_of_one_nodes_configuration_alone_is_refused_and_says_what_to_change_on_each() {
    let setup = || Gateway::probe().with("plugins.probe.state-scope = 'node'");
    let cluster = Cluster::of(setup).start(2).await;
    let node = &cluster[0];
    let files = || [node.config_file(), node.plugin_file("probe")].map(|file| fs::read(file).expect("it is there"));
    let before = files();
    let mode = node.operate(Method::PUT, "/admin/hubs/probe").json(&json!({ "mode": "classic" }));
    let dry = node.operate(Method::PUT, "/admin/hubs/probe?dry-run").json(&json!({ "mode": "classic" }));
    let key = node.operate(Method::POST, "/admin/keys/secondary:regenerate");
    let component = guests::bytes(&guests::probe_2());
    let swap = node.operate(Method::POST, "/admin/plugins/probe/swap").body("application/wasm", component);
    for (request, place) in [
        (mode, "`hubs.probe.mode` in "),
        (dry, "`hubs.probe.mode` in "),
        (key, "`server.access-keys` in "),
        (swap, "probe.wasm"),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.status, 409, "{}", answer.body);
        assert!(answer.body.contains("one of a cluster") && answer.body.contains("on each node"), "{}", answer.body);
        assert!(answer.body.contains(place), "{}", answer.body);
    }
    assert_eq!(files(), before);
    assert!(!View::of(node).await.is_degraded);
}

#[tokio::test]
async fn each_node_lists_its_own_clients_and_says_where_another_one_is() {
    let cluster = serverless().start(2).await;
    let mut ann = Peer::connect(&cluster[0], "chat", "ann").await;
    let own = View::of(&cluster[0]).await.node;
    let listed = cluster[0].admin("/admin/connections").await;
    assert_eq!((&listed["connections"][0]["id"], &listed["connections"][0]["node"]), (&json!(ann.id), &json!(own)));
    assert_eq!(cluster[1].admin("/admin/connections").await, json!({ "connections": [], "next": Value::Null }));
    let path = format!("/admin/connections/{}", ann.id);
    let elsewhere = cluster[1].operate(Method::DELETE, &path).send().await;
    assert!(elsewhere.status == 404 && elsewhere.body.contains(&format!("node {own}")), "{elsewhere:?}");
    let body = json!({ "to": { "user": "ann" }, "method": "said", "arguments": ["hello"] });
    let sent = cluster[1].operate(Method::POST, "/admin/hubs/chat/send").json(&body).send().await;
    assert_eq!(sent.json(), json!({ "recipients": 0 }), "counted on this node");
    assert_eq!(ann.told().await, "hello");
    assert_eq!(cluster[0].operate(Method::DELETE, &path).send().await.status, 200);
    ann.client.end().await;
}
