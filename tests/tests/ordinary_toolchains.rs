//! Components of toolchains that know nothing of the gateway, and expect a system around them.

use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_tests::{Gateway, guests};
use serde_json::json;

#[tokio::test]
async fn clocks_and_chance_are_real_and_what_is_printed_is_logged() {
    let config = "hubs.js.mode = 'serverless'\nupstream = [{ plugin = 'ordinary' }]";
    let gateway = Gateway::serve().plugin("ordinary", &guests::ordinary_js()).with(config).start().await;
    let mut client = gateway.client("js").connect().await;

    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis() as u64;
    let before = now();
    let time = client.call("time", json!([])).await.expect("it answers");
    let told = time[0].as_u64().expect("milliseconds");
    assert!((before..=now()).contains(&told), "{before} {told}");

    let chances = [client.call("chance", json!([])).await, client.call("chance", json!([])).await];
    assert_ne!(chances[0], chances[1], "no two are alike");
    assert_ne!(chances[0].as_ref().expect("it answers")[0], chances[0].as_ref().expect("it answers")[1]);

    client.call("print", json!(["to be or not to be"])).await.expect_err("it breaks off");
    gateway.logs(&["plugin=ordinary", "to be or not to be"]).await;
}
