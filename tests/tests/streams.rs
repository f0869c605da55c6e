//! Streams of clients that a component answers: to them, from them, and under way while versions change.

use std::fs;

use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// Opens a stream; gives its id.
async fn open(client: &mut Client, method: &str, arguments: Value) -> String {
    let id = client.next_id();
    client.send(json!({ "type": 4, "invocationId": id, "target": method, "arguments": arguments })).await;
    id
}

/// Calls a method that waits for these streams.
async fn call_with(client: &mut Client, method: &str, uploads: &[&str]) -> String {
    let id = client.next_id();
    let call = json!({ "type": 1, "invocationId": id, "target": method, "arguments": [], "streamIds": uploads });
    client.send(call).await;
    id
}

async fn upload(client: &mut Client, id: &str, item: Value) {
    client.send(json!({ "type": 2, "invocationId": id, "item": item })).await;
}

async fn complete(client: &mut Client, id: &str) {
    client.send(json!({ "type": 3, "invocationId": id })).await;
}

/// Reads a stream of numbers from 0 on to its end; gives how many there were, and the completion.
async fn numbers(client: &mut Client, id: &str) -> (u64, Value) {
    let mut next = 0;
    loop {
        let message = client.message().await;
        if message["invocationId"] != id {
            continue;
        }
        match message["type"].as_u64() {
            Some(2) => {
                assert_eq!(message["item"], next, "none is lost, doubled or out of order");
                next += 1;
            }
            _ => return (next, message),
        }
    }
}

/// How often the probe wanted more than a bound of its streams.
async fn exceeded(gateway: &Gateway, budget: &str) -> f64 {
    gateway.metric("hubgate_plugin_budget_exceeded_total", [("plugin", "probe"), ("budget", budget)]).await
}

#[tokio::test]
async fn a_stream_brings_all_of_its_items_in_order_and_then_its_end_however_many_they_are() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    for count in [0, 1, 5_000] {
        let id = open(&mut client, "numbers", json!([count, 0])).await;
        assert_eq!(numbers(&mut client, &id).await, (count, json!({ "type": 3, "invocationId": id })));
    }
    let id = open(&mut client, "failAfter", json!([3])).await;
    let (count, end) = numbers(&mut client, &id).await;
    assert_eq!((count, &end["error"]), (3, &json!("enough")));
    let id = open(&mut client, "noSuchStream", json!([])).await;
    let (count, end) = numbers(&mut client, &id).await;
    assert_eq!((count, &end["error"]), (0, &json!("The probe has no method 'noSuchStream' with streams.")));
}

/// `scripts/streams.sh` asks for more of them.
fn asked(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |number| number.parse().expect(variable))
}

#[tokio::test]
async fn many_streams_of_many_clients_run_beside_each_other_and_beside_calls() {
    const OF_A_CLIENT: usize = 10;
    let (streams, items) = (asked("HUBGATE_STREAMS", 40), asked("HUBGATE_STREAM_ITEMS", 500));
    let gateway = Gateway::probe_hub().start().await;
    let mut clients = Vec::new();
    for _ in 0..streams.div_ceil(OF_A_CLIENT) {
        let mut client = gateway.client("probe").connect().await;
        let mut ids = Vec::new();
        for _ in 0..OF_A_CLIENT {
            ids.push(open(&mut client, "numbers", json!([items, 0])).await);
        }
        let call = client.start_call("version", json!([])).await;
        clients.push((client, ids, call));
    }
    for (mut client, ids, call) in clients {
        assert_eq!(client.completion(&call).await["result"], "1");
        let (mut next, mut open) = (vec![0; ids.len()], ids.len());
        while open > 0 {
            let message = client.message().await;
            let index = ids.iter().position(|id| message["invocationId"] == id.as_str()).expect("it is of a stream");
            match message["type"].as_u64() {
                Some(2) => {
                    assert_eq!(message["item"], next[index], "none is lost, doubled or out of order");
                    next[index] += 1;
                }
                _ => {
                    assert_eq!((next[index], &message["error"]), (items, &Value::Null));
                    open -= 1;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_cancels_is_told_so_at_once_and_gets_nothing_more() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let id = open(&mut client, "numbers", json!([100_000_000, 0])).await;
    client.message().await;
    client.send(json!({ "type": 5, "invocationId": id })).await;
    let end = client.completion(&id).await;
    assert_eq!(end, json!({ "type": 3, "invocationId": id }));
    let call = client.start_call("version", json!([])).await;
    let mut after = Vec::new();
    loop {
        let message = client.message().await;
        match message["invocationId"] == call.as_str() {
            true => break,
            // What came before the end is still unread.
            false => after.push(message["item"].as_i64().expect("an item")),
        }
    }
    assert!(after.windows(2).all(|pair| pair[0] + 1 == pair[1]), "they came before the end");
}

#[tokio::test]
async fn uploads_are_heard_in_their_order_and_answered_by_a_value() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let (sum, zip) = (call_with(&mut client, "sum", &["a"]).await, call_with(&mut client, "zip", &["b", "c"]).await);
    for number in 1..=200 {
        upload(&mut client, "a", json!(number)).await;
        upload(&mut client, if number % 4 == 0 { "c" } else { "b" }, json!(number)).await;
    }
    for id in ["b", "a", "c"] {
        complete(&mut client, id).await;
    }
    assert_eq!(client.completion(&sum).await["result"], 20_100);
    assert_eq!(client.completion(&zip).await["result"], json!([150, 50]));
    let sum = call_with(&mut client, "sum", &["d"]).await;
    client.send(json!({ "type": 3, "invocationId": "d", "error": "I cannot go on." })).await;
    assert_eq!(client.completion(&sum).await["error"], "I cannot go on.");
    let sum = call_with(&mut client, "sum", &["e"]).await;
    upload(&mut client, "e", json!("one")).await;
    let error = client.completion(&sum).await["error"].clone();
    assert!(error.as_str().is_some_and(|error| error.starts_with("Wrong item: ")), "{error}");
}

#[tokio::test]
async fn a_reader_that_stalls_bounds_its_stream_and_gets_all_of_it_later() {
    const ITEMS: u64 = 100_000;
    let gateway = Gateway::probe_hub().start().await;
    let mut stalled = gateway.client("probe").with_small_buffer().connect().await;
    let id = open(&mut stalled, "numbers", json!([ITEMS, 0])).await;
    until("the stream to be full", async || (exceeded(&gateway, "stream-items").await > 0.0).then_some(())).await;
    let mut other = gateway.client("probe").connect().await;
    assert_eq!(other.call("version", json!([])).await, Ok(json!("1")), "nobody else waits for it");
    assert_eq!(numbers(&mut stalled, &id).await.0, ITEMS);
    let log = gateway.log();
    assert!(!log.contains("slow"), "{log}");
}

#[tokio::test]
async fn a_client_has_only_so_many_streams_at_a_time() {
    let gateway = Gateway::probe_hub().with("plugins.probe.streams-per-client = 2").start().await;
    let mut client = gateway.client("probe").connect().await;
    let call = call_with(&mut client, "zip", &["a", "b"]).await;
    let id = open(&mut client, "numbers", json!([1, 0])).await;
    let refused = client.completion(&id).await;
    let error = refused["error"].as_str().unwrap_or_default();
    assert!(error.contains("the connection may have 2 streams at a time"), "{refused}");
    assert_eq!(exceeded(&gateway, "streams-per-client").await, 1.0);
    complete(&mut client, "a").await;
    let id = open(&mut client, "numbers", json!([1, 0])).await;
    assert_eq!(numbers(&mut client, &id).await.0, 1);
    complete(&mut client, "b").await;
    assert_eq!(client.completion(&call).await["result"], json!([0, 0]));
}

#[tokio::test]
async fn a_component_without_streams_is_named_to_who_wants_one() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let id = open(&mut client, "numbers", json!([1, 0])).await;
    let error = client.completion(&id).await["error"].clone();
    assert_eq!(error, "Failed to invoke 'numbers': streaming is not supported by the plugin 'probe'.");
}

#[tokio::test]
async fn a_swap_amid_200_open_streams_loses_nothing() {
    const ITEMS: u64 = 3_000;
    let gateway = Gateway::probe_hub().start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.client("probe").with_small_buffer().connect().await;
        for _ in 0..50 {
            open(&mut client, "numbers", json!([ITEMS, 0])).await;
        }
        clients.push(client);
    }
    until("streams to be full", async || (exceeded(&gateway, "stream-items").await > 0.0).then_some(())).await;
    gateway.replace_plugin("probe", &fs::read(guests::probe_hub_2()).expect("it is there"));
    let swapped = async || (gateway.plugin_status("probe").await["generation"] == 2).then_some(());
    until("the swap", swapped).await;
    for mut client in clients {
        let (mut next, mut ended) = (std::collections::BTreeMap::new(), 0);
        while ended < 50 {
            let message = client.message().await;
            let count = next.entry(message["invocationId"].to_string()).or_insert(0);
            match message["type"].as_u64() {
                Some(2) => {
                    assert_eq!(message["item"], *count);
                    *count += 1;
                }
                _ => {
                    assert_eq!((*count, &message["error"]), (ITEMS, &Value::Null));
                    ended += 1;
                }
            }
        }
        assert_eq!(client.call("version", json!([])).await, Ok(json!("2")));
    }
}

#[tokio::test]
async fn a_swap_to_a_version_without_streams_ends_those_that_are_open() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let call = call_with(&mut client, "sum", &["a"]).await;
    upload(&mut client, "a", json!(1)).await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("1")));
    gateway.replace_plugin("probe", &fs::read(guests::probe()).expect("it is there"));
    let error = client.completion(&call).await["error"].clone();
    let expected =
        "The stream has ended: streaming is not supported by the version of the plugin 'probe' that serves now.";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn streams_of_a_client_that_leaves_are_cancelled() {
    let gateway = Gateway::probe_hub().with("plugins.probe.streams = 1").start().await;
    let mut client = gateway.client("probe").connect().await;
    open(&mut client, "numbers", json!([100_000_000, 0])).await;
    client.message().await;
    drop(client);
    let mut other = gateway.client("probe").connect().await;
    until("its place to be free", async || {
        let id = open(&mut other, "numbers", json!([1, 0])).await;
        let (count, _) = numbers(&mut other, &id).await;
        (count == 1).then_some(())
    })
    .await;
}
