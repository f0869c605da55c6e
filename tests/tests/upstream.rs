//! A client's events and the component that handles them.

use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

#[tokio::test]
async fn a_call_is_answered_with_the_components_result() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for value in [json!("text"), json!(null), json!({ "a": [1, true, null] }), json!([[], {}])] {
        let completion = client.call_raw("echo", json!([value])).await;
        assert_eq!(completion["result"], value);
        assert_eq!(completion.get("error"), None);
    }
}

#[tokio::test]
async fn a_call_without_result_is_completed_without_an_error() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let completion = client.call_raw("join", json!(["tea"])).await;
    assert_eq!(completion.get("error"), None);
    assert!(completion.get("result").is_none_or(Value::is_null), "{completion}");
}

#[tokio::test]
async fn the_text_of_a_rejection_reaches_the_caller_word_by_word() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for text in ["No.", "\"quoted\" \u{1e} and ünïcode 👋"] {
        assert_eq!(client.call("fail", json!([text])).await, Err(text.to_owned()));
    }
}

#[tokio::test]
async fn a_method_that_the_component_does_not_know_is_an_error() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let error = client.call("no such method", json!([])).await.expect_err("nobody knows it");
    assert!(error.contains("no such method"), "{error}");
}

#[tokio::test]
async fn who_asks_for_no_answer_gets_none() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for (method, arguments) in
        [("echo", json!([1])), ("fail", json!(["no"])), ("trap", json!([])), ("nonsense", json!([]))]
    {
        client.notify(method, arguments).await;
    }
    client.send(json!({ "type": 4, "target": "echo", "arguments": [], "invocationId": "s" })).await;
    let error = client.completion("s").await;
    assert!(error["error"].is_string(), "{error}");
    assert_eq!(client.everything_so_far().await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_id_of_a_call_is_the_clients_own() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for id in ["0", "a-b-c", "👋 \"quoted\"", &"long".repeat(100)] {
        client.send(json!({ "type": 1, "invocationId": id, "target": "echo", "arguments": [1] })).await;
        assert_eq!(client.message().await, json!({ "type": 3, "invocationId": id, "result": 1 }));
    }
}

#[tokio::test]
async fn calls_of_one_client_run_one_at_a_time_and_in_order() {
    const CALLS: i64 = 500;
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for _ in 0..CALLS {
        client.start_call("count", json!(["turns"])).await;
    }
    for number in 1..=CALLS {
        let completion = client.message().await;
        assert_eq!((&completion["invocationId"], &completion["result"]), (&json!(number.to_string()), &json!(number)));
    }
}

#[tokio::test]
async fn a_slow_call_holds_up_its_own_client_only() {
    let config = "plugins.probe.call-time = '2s'\nserver.shards = 1";
    let gateway = Gateway::probe().with(config).start().await;
    let mut slow = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    let spinning = slow.start_call("spin", json!([])).await;
    slow.start_call("say", json!(["after"])).await;
    for number in 0..20 {
        assert_eq!(other.call("echo", json!([number])).await, Ok(json!(number)));
    }
    assert_eq!(other.everything_so_far().await, [] as [Value; 0], "the slow client's second call waits for its first");
    assert!(slow.completion(&spinning).await["error"].is_string());
    assert_eq!(other.event("said").await, json!(["after"]));
}

#[tokio::test]
async fn a_method_that_no_item_matches_is_in_the_log() {
    let config = "upstream = [{ hubs = ['probe'], events = ['connected', 'ecoh'], plugin = 'probe' }]";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    client.send(json!({ "type": 1, "target": "echo", "arguments": [1] })).await;
    gateway.logs(&["no item of `[[upstream]]` matches a method", "hub=probe", "method=\"echo\""]).await;
}

#[tokio::test]
async fn state_is_common_to_all_clients_and_all_shards() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    for number in 1..=12 {
        let mut client = gateway.client("probe").connect().await;
        assert_eq!(client.call("count", json!(["visits"])).await, Ok(json!(number)));
    }
}

#[tokio::test]
async fn actions_of_a_call_that_fails_are_thrown_away() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    assert_eq!(client.call("sayAndFail", json!(["never"])).await, Err("never".to_owned()));
    let error = client.call("sayAndTrap", json!(["never"])).await.expect_err("it traps");
    assert!(error.starts_with("An unexpected error occurred invoking 'sayAndTrap'"), "{error}");
    client.call("say", json!(["at last"])).await.expect("it answers");
    for client in [&mut client, &mut other] {
        assert_eq!(client.message().await["arguments"], json!(["at last"]));
    }
}

#[tokio::test]
async fn a_component_may_close_its_caller_with_a_reason() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.notify("quit", json!(["Enough for today."])).await;
    let end = client.end().await;
    assert_eq!(end.error(), "Enough for today.");
    assert!(!end.allows_reconnect(), "who is sent away must not come back by itself");
    assert_eq!(end.code, Some(1000));
}

#[tokio::test]
async fn a_component_may_refuse_a_client_with_a_text() {
    let gateway = Gateway::probe().start().await;
    let mut other = gateway.client("probe").connect().await;
    let error = gateway.client("probe").user("refuse-me").refused().await;
    assert_eq!(error, "You are not welcome.");
    until("the client to be gone", async || (gateway.clients_of("probe").await == 1).then_some(())).await;

    // What it sent behind its handshake is not heard, and its end is nobody's: it never was.
    let mut refused = gateway.client("probe").user("refuse-me").open().await;
    let say = json!({ "type": 1, "target": "say", "arguments": ["let me in"] });
    refused.send_text(&format!("{}{say}\u{1e}", hubgate_tests::client::HANDSHAKE)).await;
    refused.handshake_error().await;
    gateway.client("probe").connect().await.leave().await;
    until("upstream to hear of an end", async || (gone(&mut other).await > 0).then_some(())).await;
    assert_eq!(gone(&mut other).await, 1, "only the client that was let in has gone");
    assert_eq!(other.everything_so_far().await, [] as [Value; 0]);
}

#[tokio::test]
async fn calls_behind_the_handshake_wait_for_upstreams_welcome() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").open().await;
    let call = json!({ "type": 1, "invocationId": "1", "target": "whoami", "arguments": [] });
    client.send_text(&format!("{}{call}\u{1e}", hubgate_tests::client::HANDSHAKE)).await;
    assert_eq!(client.message().await, json!({}), "the handshake is answered first");
    assert!(client.completion("1").await["result"]["connectionId"].is_string());
}

#[tokio::test]
async fn streams_are_an_error_and_never_silence() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.send(json!({ "type": 4, "invocationId": "down", "target": "echo", "arguments": [1] })).await;
    let error = client.completion("down").await["error"].to_string();
    assert!(error.contains("stream"), "{error}");

    let up = json!({ "type": 1, "invocationId": "up", "target": "echo", "arguments": [], "streamIds": ["s"] });
    client.send(up).await;
    client.send(json!({ "type": 2, "invocationId": "s", "item": 1 })).await;
    client.send(json!({ "type": 3, "invocationId": "s" })).await;
    let error = client.completion("up").await["error"].to_string();
    assert!(error.contains("stream"), "{error}");
    client.send(json!({ "type": 5, "invocationId": "down" })).await;
    assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")));
}

#[tokio::test]
async fn the_first_item_that_matches_gets_the_event() {
    let config = r#"
        upstream = [
            { hubs = ["other"], plugin = "second" },
            { hubs = ["probe"], categories = ["messages"], events = ["version", "count"], plugin = "second" },
            { categories = ["connections"], plugin = "probe" },
            { events = ["version", "echo"], plugin = "probe" },
        ]
        hubs.other = { mode = "serverless" }
    "#;
    let gateway = Gateway::probe().plugin("second", &guests::probe_2()).with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")), "the second item names hub and event");
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)), "the fourth one names no hub");
    assert_eq!(gateway.client("probe").user("refuse-me").refused().await, "You are not welcome.");

    let mut other = gateway.client("other").connect().await;
    assert_eq!(other.call("version", json!([])).await, Ok(json!("2")), "the first item names hub other");
    assert_eq!(client.call("count", json!(["key"])).await, Ok(json!(1)));
    assert_eq!(other.call("count", json!(["key"])).await, Ok(json!(2)), "state is the plugin's, whoever calls it");
}

#[tokio::test]
async fn an_event_that_no_item_matches_is_an_error_for_who_wants_a_result_and_nothing_else() {
    let config = "upstream = [{ hubs = ['probe'], events = ['echo'], plugin = 'probe' }]";
    let gateway = Gateway::probe().with(config).start().await;
    // Nobody is asked whether this user may come.
    let mut client = gateway.client("probe").user("refuse-me").connect().await;
    client.call("version", json!([])).await.expect_err("no item is for it");
    client.notify("say", json!(["unheard"])).await;
    assert_eq!(client.everything_so_far().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_hub_without_upstream_still_lets_clients_in() {
    let gateway = Gateway::serve().with("hubs.quiet = { mode = 'serverless' }").start().await;
    let mut client = gateway.client("quiet").connect().await;
    client.call("echo", json!([1])).await.expect_err("nobody answers");
}

#[tokio::test]
async fn upstream_sees_who_calls() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").user("ann").connect().await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(me["userId"], "ann");
    let mut second = gateway.client("probe").user("ann").connect().await;
    let them = second.call("whoami", json!([])).await.expect("it answers");
    assert_ne!(me["connectionId"], them["connectionId"]);
}

/// How many ends upstream has heard of. Each look adds one to the counter itself, so that the looks are subtracted.
async fn gone(observer: &mut Client) -> i64 {
    let count = async |client: &mut Client, key: &str| -> i64 {
        client.call("count", json!([key])).await.expect("it answers").as_i64().expect("it is a number")
    };
    let looks = count(observer, "looks").await;
    count(observer, "gone").await - looks
}

#[tokio::test]
async fn without_a_disk_to_write_to_the_gateway_serves_and_what_needs_one_fails() {
    // Nothing can be made below it.
    let gateway = Gateway::probe().with("server.data-dir = '/dev/null/data'").start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
    client.call("count", json!(["key"])).await.expect_err("it cannot be written");
    assert_eq!(client.call("echo", json!([2])).await, Ok(json!(2)));
    gateway.logs(&["the state of plugins cannot be written", "changes are refused"]).await;
}
