//! The probe of a whole hub, by itself: what its abilities do has tests of its own.

use hubgate_tests::Gateway;
use serde_json::json;

#[tokio::test]
async fn the_probe_of_a_whole_hub_serves() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
    assert_eq!(client.call("join", json!(["room"])).await, Ok(json!(null)));
    let error = client.call("no-such-method", json!([])).await;
    assert_eq!(error, Err("The probe has no method 'no-such-method'.".to_owned()));
}
