//! Verdicts.

use serde_json::json;

use crate::rig::Rig;

pub(crate) async fn decides_in_both_directions(rig: &Rig) {
    let connect = async || rig.gateway.client("filtered").connect().await;
    let mut client = connect().await;
    assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")));
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
    let dropped = "Failed to invoke 'echo': a filter of the hub dropped it.";
    assert_eq!(client.call("echo", json!(["in:drop"])).await, Err(dropped.to_owned()));
    // The mark is the text that `tell` needs.
    let mut marked = rig.gateway.client("filtered").user("in:mark").connect().await;
    assert_eq!(client.call("tell", json!(["in:mark"])).await, Ok(json!(null)));
    assert_eq!(marked.event("said").await, json!(["marked"]));
    marked.leave().await;
    let error = client.call("echo", json!(["in:crash"])).await.expect_err("a filter that breaks off is closed");
    assert!(error.starts_with("Failed to invoke 'echo': a filter of the hub "), "{error}");

    assert_eq!(client.call("say", json!(["out:mark"])).await, Ok(json!(null)));
    assert_eq!(client.event("said").await, json!(["out:mark", "marked"]));
    for verdict in ["out:drop", "out:reject", "out:crash"] {
        assert_eq!(client.call("say", json!([verdict])).await, Ok(json!(null)));
        client.call("echo", json!([verdict])).await.expect_err("the result cannot be passed on");
    }
    assert!(client.everything_so_far().await.is_empty(), "nobody was told");
    assert_eq!(client.call("say", json!(["ä 😀"])).await, Ok(json!(null)));
    assert_eq!(client.event("said").await, json!(["ä 😀"]));

    let mut other = connect().await;
    let id = client.call("whoami", json!([])).await.expect("it answers")["connectionId"].clone();
    other.notify("sayToConnection", json!([id, "out:close"])).await;
    other.notify("sayToConnection", json!([id, "out:close"])).await;
    client.end().await;
    other.notify("echo", json!(["in:close"])).await;
    assert_eq!(other.end().await.error(), "The filter has had enough.");
}
