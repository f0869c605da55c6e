//! A component asks clients, and waits for what they answer.

use std::fs;
use std::time::Duration;

use hubgate_tests::wait::{let_pass, until};
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// The id of the invocation by which a client is asked, and what for.
async fn asked(client: &mut Client) -> (String, Value) {
    loop {
        let message = client.message().await;
        if message["type"] == 1
            && let Some(id) = message["invocationId"].as_str()
        {
            return (id.to_owned(), message["arguments"][0].clone());
        }
    }
}

async fn answer(client: &mut Client, id: &str, result: Value) {
    client.send(json!({ "type": 3, "invocationId": id, "result": result })).await;
}

/// Begins a call whose handler asks its own caller; gives the ids of both.
async fn ask_me(client: &mut Client, x: Value) -> (String, String) {
    let call = client.start_call("askMe", json!(["add", x])).await;
    let (question, _) = asked(client).await;
    (call, question)
}

/// The id of a connection of the probe's hub.
async fn connection_id(client: &mut Client) -> String {
    let id = client.call("connectionId", json!([])).await.expect("it has one");
    id.as_str().expect("an id is text").to_owned()
}

#[tokio::test]
async fn a_handler_asks_its_own_caller_and_has_a_value_none_or_an_error() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let call = client.start_call("askMe", json!(["add", 41.50])).await;
    let (question, x) = asked(&mut client).await;
    assert_eq!(x, json!(41.50));
    answer(&mut client, &question, json!({ "sum": 42 })).await;
    assert_eq!(client.completion(&call).await["result"], json!({ "sum": 42 }));
    let (call, question) = ask_me(&mut client, json!(1)).await;
    client.send(json!({ "type": 3, "invocationId": question })).await;
    assert_eq!(client.completion(&call).await, json!({ "type": 3, "invocationId": call }));
    let (call, question) = ask_me(&mut client, json!(1)).await;
    client.send(json!({ "type": 3, "invocationId": question, "error": "I cannot add." })).await;
    assert_eq!(client.completion(&call).await["error"], "I cannot add.");
}

#[tokio::test]
async fn an_answer_overtakes_the_clients_own_calls_that_wait() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let (call, question) = ask_me(&mut client, json!(1)).await;
    // More than wait while a client is read that is not asked.
    let mut waiting = Vec::new();
    for _ in 0..300 {
        waiting.push(client.start_call("version", json!([])).await);
    }
    answer(&mut client, &question, json!(2)).await;
    let ids = waiting.iter().map(|id| json!(id));
    for id in [json!(call)].into_iter().chain(ids) {
        assert_eq!(client.message().await["invocationId"], id);
    }
}

#[tokio::test]
async fn what_was_flushed_comes_before_the_question_and_what_was_not_after_it() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let call = client.start_call("askBetween", json!(["ready"])).await;
    let before = client.message().await;
    assert_eq!((&before["target"], &before["arguments"]), (&json!("said"), &json!(["before"])));
    let (question, _) = asked(&mut client).await;
    client.send(json!({ "type": 3, "invocationId": question })).await;
    assert_eq!(client.message().await["arguments"], json!(["after"]));
    assert_eq!(client.message().await, json!({ "type": 3, "invocationId": call, "result": "1" }));
}

#[tokio::test]
async fn two_callers_ask_a_third_client_at_once_on_whatever_threads() {
    let gateway = Gateway::probe_hub().with("server.shards = 4").start().await;
    let mut third = gateway.client("probe").connect().await;
    let id = connection_id(&mut third).await;
    let mut callers = Vec::new();
    for x in 0..4 {
        let mut caller = gateway.client("probe").connect().await;
        let call = caller.start_call("askOther", json!([id, "add", x, 10_000])).await;
        callers.push((caller, call, asked(&mut third).await));
    }
    for (x, (mut caller, call, (question, value))) in callers.into_iter().enumerate().rev() {
        assert_eq!(value, json!(x));
        answer(&mut third, &question, json!(x + 10)).await;
        assert_eq!(caller.completion(&call).await["result"], json!(x + 10));
    }
}

#[tokio::test]
async fn who_is_not_there_cannot_be_asked() {
    let gateway = Gateway::probe_hub().with("hubs.other = { mode = 'serverless' }").start().await;
    let elsewhere = gateway.client("other");
    let negotiated = elsewhere.negotiate("&negotiateVersion=1").await.json();
    let _of_another_hub = elsewhere.id(negotiated["connectionToken"].as_str().expect("a token")).connect().await;
    let mut client = gateway.client("probe").connect().await;
    let gone = {
        let mut gone = gateway.client("probe").connect().await;
        let id = connection_id(&mut gone).await;
        gone.leave().await;
        id
    };
    let of_another_hub = negotiated["connectionId"].as_str().expect("an id");
    for id in [&gone, of_another_hub, "nobody", ""] {
        let error = client.call("askOther", json!([id, "add", 1, 10_000])).await;
        assert_eq!(error, Err("The connection does not exist.".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn a_client_that_is_not_let_in_yet_cannot_be_asked() {
    let gateway = Gateway::probe_hub().start().await;
    let error = gateway.client("probe").user("asked-too-early").refused().await;
    assert_eq!(error, "The connection does not exist.");
}

#[tokio::test]
async fn who_asks_a_client_that_leaves_is_told() {
    let gateway = Gateway::probe_hub().start().await;
    let (mut caller, mut other) = (gateway.client("probe").connect().await, gateway.client("probe").connect().await);
    for vanishes in [true, false] {
        let id = connection_id(&mut other).await;
        let call = caller.start_call("askOther", json!([id, "add", 1, 0])).await;
        asked(&mut other).await;
        match vanishes {
            true => other.vanish(),
            false => other.leave().await,
        }
        assert_eq!(caller.completion(&call).await["error"], "The client left before it answered.");
        other = gateway.client("probe").connect().await;
    }
}

#[tokio::test]
async fn who_asks_when_the_gateway_stops_is_told() {
    let mut gateway = Gateway::probe_hub().with("server.drain-timeout = '60s'").start().await;
    let mut client = gateway.client("probe").connect().await;
    let (call, _) = ask_me(&mut client, json!(1)).await;
    gateway.terminate();
    assert_eq!(client.completion(&call).await["error"], "The client left before it answered.");
    assert!(client.end().await.allows_reconnect());
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn an_answer_is_waited_for_as_long_as_the_handler_says_and_as_ask_time_allows() {
    let gateway = Gateway::probe_hub().with("plugins.probe.ask-time = '300ms'").start().await;
    let (mut caller, mut other) = (gateway.client("probe").connect().await, gateway.client("probe").connect().await);
    let id = connection_id(&mut other).await;
    for milliseconds in [50, 0, 60_000] {
        let error = caller.call("askOther", json!([id, "add", 1, milliseconds])).await;
        assert_eq!(error, Err("The client did not answer in time.".to_owned()), "{milliseconds}");
        // What comes after that is nobody's.
        let (question, _) = asked(&mut other).await;
        answer(&mut other, &question, json!(1)).await;
    }
    assert_eq!(caller.call("version", json!([])).await, Ok(json!("1")));
}

#[tokio::test]
async fn the_wait_for_a_client_is_no_time_of_the_call() {
    let gateway = Gateway::probe_hub().with("plugins.probe = { call-time = '200ms', rollback = false }").start().await;
    let mut client = gateway.client("probe").connect().await;
    let (call, question) = ask_me(&mut client, json!(1)).await;
    let_pass(Duration::from_millis(600)).await;
    answer(&mut client, &question, json!(2)).await;
    assert_eq!(client.completion(&call).await["result"], 2);
    assert_eq!(gateway.plugin_status("probe").await["traps"], 0);
}

#[tokio::test]
async fn calls_that_wait_for_clients_take_no_place_of_others() {
    let gateway = Gateway::probe_hub().with("server.shards = 1\nplugins.probe.concurrency = 2").start().await;
    let mut waiting = Vec::new();
    for x in 0..6 {
        let mut client = gateway.client("probe").connect().await;
        let ids = ask_me(&mut client, json!(x)).await;
        waiting.push((client, ids));
    }
    let mut other = gateway.client("probe").connect().await;
    assert_eq!(other.call("version", json!([])).await, Ok(json!("1")));
    for (client, (_, question)) in &mut waiting {
        answer(client, question, json!("sum")).await;
    }
    for (client, (call, _)) in &mut waiting {
        assert_eq!(client.completion(call).await["result"], "sum");
    }
}

#[tokio::test]
async fn so_many_calls_of_a_plugin_wait_for_clients_and_more_are_told_that_it_is_busy() {
    let gateway = Gateway::probe_hub().with("plugins.probe.asks = 2").start().await;
    let mut waiting = Vec::new();
    for x in 0..2 {
        let mut client = gateway.client("probe").connect().await;
        let ids = ask_me(&mut client, json!(x)).await;
        waiting.push((client, ids));
    }
    let mut more = gateway.client("probe").connect().await;
    let error = more.call("askMe", json!(["add", 1])).await;
    assert_eq!(error, Err("Too many wait for answers of clients; try again later.".to_owned()));
    let labels = [("plugin", "probe"), ("budget", "asks")];
    assert_eq!(gateway.metric("hubgate_plugin_budget_exceeded_total", labels).await, 1.0);
    let (client, (call, question)) = &mut waiting[0];
    answer(client, question, json!(1)).await;
    assert_eq!(client.completion(call).await["result"], 1);
    let (call, question) = ask_me(&mut more, json!(1)).await;
    answer(&mut more, &question, json!(2)).await;
    assert_eq!(more.completion(&call).await["result"], 2);
}

#[tokio::test]
async fn calls_that_wait_for_clients_end_on_the_version_that_they_began_with() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    let call = client.start_call("askBetween", json!(["ready"])).await;
    let (question, _) = asked(&mut client).await;
    let version_2 = fs::read(guests::probe_hub_2()).expect("the guests are built");
    gateway.replace_plugin("probe", &version_2);
    until("the new version to serve", async || (gateway.plugin_status("probe").await["generation"] == 2).then_some(()))
        .await;
    assert_eq!(other.call("version", json!([])).await, Ok(json!("2")));
    client.send(json!({ "type": 3, "invocationId": question })).await;
    assert_eq!(client.completion(&call).await["result"], "1");
    let call = client.start_call("askBetween", json!(["ready"])).await;
    let (question, _) = asked(&mut client).await;
    client.send(json!({ "type": 3, "invocationId": question })).await;
    assert_eq!(client.completion(&call).await["result"], "2");
}

#[tokio::test]
async fn a_thousand_calls_wait_for_clients_at_a_time() {
    let config = "server.shards = 2\nserver.limits.plugin-memory = '4GiB'";
    let gateway = Gateway::probe_hub().with(config).start().await;
    let mut waiting = Vec::new();
    for x in 0..1_000 {
        let mut client = gateway.client("probe").connect().await;
        let ids = ask_me(&mut client, json!(x)).await;
        waiting.push((client, ids));
    }
    let mut other = gateway.client("probe").connect().await;
    assert_eq!(other.call("version", json!([])).await, Ok(json!("1")));
    for (x, (client, (_, question))) in waiting.iter_mut().enumerate() {
        answer(client, question, json!(x + 1)).await;
    }
    for (x, (client, (call, _))) in waiting.iter_mut().enumerate() {
        assert_eq!(client.completion(call).await["result"], json!(x + 1));
    }
}
