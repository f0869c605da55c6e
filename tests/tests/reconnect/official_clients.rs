//! `@microsoft/signalr` whose WebSockets are cut in the middle of what passes by them.

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::cutting_proxy::CuttingProxy;
use hubgate_tests::fuzz::Random;
use hubgate_tests::matrix::did;
use hubgate_tests::script::Script;
use serde_json::json;

/// In number: a few, or as many as `scripts/reconnect.sh` asks for.
fn cuts() -> usize {
    std::env::var("HUBGATE_CUTS").map_or(12, |cuts| cuts.parse().expect("HUBGATE_CUTS is a number"))
}

/// One client whose WebSockets are cut, and one whose are not, say numbers to a group and call.
async fn endures_cuts(protocol: &str, seed: u64) {
    let gateway = Gateway::probe().with("server.shards = 2").start().await;
    let proxy = CuttingProxy::before(gateway.address()).await;
    let [cut, other] = [proxy.url(), gateway.url()].map(|url| format!("{url}/client/?hub=probe"));
    let token = gateway.token("probe").user("ann").sign();
    let mut script = Script::start("reconnect.mjs", &["probe", protocol, &cut, &other, &token]);
    script.says("connected").await;
    proxy.cut_again_and_again(1, cuts(), &mut Random::new(seed)).await;
    let enough = json!({ "target": "enough", "arguments": [] });
    let sent = gateway.rest(Method::POST, "/api/v1/hubs/probe").json(&enough).send().await;
    assert_eq!(sent.status, 202);
    script.succeeds().await;
    let resumed = gateway.metric("hubgate_client_resumes_total", [("hub", "probe"), ("outcome", "resumed")]).await;
    assert_eq!(resumed, cuts() as f64);
    did("`@microsoft/signalr` 10.0.11, Node.js", "WebSockets", protocol, "stateful reconnect");
}

#[tokio::test]
async fn javascript_clients_miss_and_double_nothing_in_json() {
    endures_cuts("json", 1).await;
}

#[tokio::test]
async fn javascript_clients_miss_and_double_nothing_in_messagepack() {
    endures_cuts("messagepack", 2).await;
}
