//! Components that were built before the contract grew serve as they did.

use std::path::PathBuf;

use hubgate_tests::Gateway;
use hubgate_tests::command::{hubgate, repository};
use serde_json::{Value, json};

fn of_the_first_contract(name: &str) -> PathBuf {
    repository().join("tests/guests/contract-0.1.0").join(name)
}

#[tokio::test]
async fn a_handler_of_the_first_contract_serves_events_state_and_sends() {
    let probe = of_the_first_contract("handler.wasm");
    let gateway = Gateway::probe().plugin("probe", &probe).start().await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    let mut bob = gateway.client("probe").user("bob").connect().await;
    assert_eq!(ann.call("echo", json!([1.50])).await, Ok(json!(1.50)));
    assert_eq!(ann.call("count", json!(["visits"])).await, Ok(json!(1)));
    assert_eq!(bob.call("count", json!(["visits"])).await, Ok(json!(2)));
    ann.call("join", json!(["tea"])).await.expect("groups are open");
    bob.call("sayTo", json!(["tea", "hello"])).await.expect("groups can be sent to");
    assert_eq!(ann.event("said").await, json!(["hello"]));
    let me = ann.call("whoami", json!([])).await.expect("facts are there");
    assert_eq!(me["userId"], "ann");
    assert_eq!(ann.call("fail", json!(["No."])).await, Err("No.".to_owned()));
    let refused = gateway.client("probe").user("refuse-me").refused().await;
    assert_eq!(refused, "You are not welcome.");
}

#[tokio::test]
async fn a_filter_of_the_first_contract_looks_at_messages_both_ways() {
    let gateway = Gateway::probe()
        .plugin("filter", &of_the_first_contract("filter.wasm"))
        .with("hubs.probe.filters = ['filter']\nplugins.filter.allow-http = ['http://127.0.0.1:1']")
        .start()
        .await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")));
    assert_eq!(client.call("echo", json!(["in:reject"])).await, Err("The filter says no.".to_owned()));
    let dropped = "The result cannot be passed on: a filter of the hub dropped it.";
    assert_eq!(client.call("echo", json!(["out:drop"])).await, Err(dropped.to_owned()));
}

#[test]
fn they_are_described_as_what_they_are() {
    for (name, world) in [("handler.wasm", "handler"), ("filter.wasm", "filter")] {
        let file = of_the_first_contract(name).display().to_string();
        let checked = hubgate(["plugin", "check", &file, "--json"]).success();
        let described: Value = serde_json::from_str(&checked).expect("it is JSON");
        assert_eq!(described["worlds"], json!([world]), "{described}");
    }
}
