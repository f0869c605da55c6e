//! What a component that misbehaves costs: its caller an error, and nobody else anything.

use std::time::{Duration, Instant};

use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway};
use serde_json::json;

/// One shard, so that whoever holds it up holds everybody up.
const CONFIG: &str = "server.shards = 1\nplugins.probe = { call-time = '1s', memory = '16MiB' }";

#[tokio::test]
async fn a_trap_is_its_callers_error_only() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let error = error_while_another_is_answered(&gateway, "trap").await;
    assert!(error.starts_with("An unexpected error occurred invoking 'trap' on the server."), "{error}");
    assert!(!error.contains("unreachable") && !error.contains("wasm"), "what happened inside is for the log: {error}");
    gateway.logs(&["probe", "trap"]).await;
    assert_eq!(gateway.plugin_status("probe").await["traps"], 1);
}

#[tokio::test]
async fn a_call_that_never_ends_is_broken_off_in_time() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let started = Instant::now();
    let error = error_while_another_is_answered(&gateway, "spin").await;
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?} is too early", started.elapsed());
    assert!(error.starts_with("An unexpected error occurred invoking 'spin' on the server."), "{error}");
    assert!(error.contains("too long"), "the caller learns why: {error}");
    gateway.logs(&["probe", "spin"]).await;
}

#[tokio::test]
async fn a_call_that_eats_memory_is_broken_off() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let error = error_while_another_is_answered(&gateway, "grow").await;
    assert!(error.starts_with("An unexpected error occurred invoking 'grow' on the server."), "{error}");
    assert!(error.contains("memory"), "the caller learns why: {error}");
    gateway.logs(&["probe", "memory"]).await;
}

#[tokio::test]
async fn a_rejection_is_its_callers_error_only() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let mut caller = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    assert_eq!(caller.call("fail", json!(["boom"])).await, Err("boom".to_owned()));
    assert_eq!(other.call("echo", json!(["fine"])).await, Ok(json!("fine")));
    assert_eq!(gateway.plugin_status("probe").await["traps"], 0, "a rejection is an answer");
}

#[tokio::test]
async fn details_are_for_those_who_ask_for_them() {
    let gateway = Gateway::probe().with(CONFIG).with("server.detailed-errors = true").start().await;
    let mut client = gateway.client("probe").connect().await;
    let error = client.call("trap", json!([])).await.expect_err("it traps");
    assert!(error.contains("unreachable"), "{error}");
}

#[tokio::test]
async fn many_callers_that_never_end_at_once_leave_others_their_answers() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let mut other = gateway.client("probe").connect().await;
    let mut callers = Vec::new();
    for _ in 0..8 {
        let mut caller = gateway.client("probe").connect().await;
        caller.start_call("spin", json!([])).await;
        callers.push(caller);
    }
    for number in 0..10 {
        assert_eq!(other.call("echo", json!([number])).await, Ok(json!(number)));
    }
    for mut caller in callers {
        assert!(caller.completion("1").await["error"].is_string());
        assert_eq!(caller.call("echo", json!(["fine"])).await, Ok(json!("fine")));
    }
}

#[tokio::test]
async fn calls_that_all_hang_are_answered_as_busy_at_once_until_one_of_those_let_through_ends() {
    let config = "server.shards = 1\nplugins.probe = { call-time = '100ms', rollback = { calls = 5, window = '1s' } }";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    let is_busy = |outcome: &Result<serde_json::Value, String>| {
        outcome.as_ref().is_err_and(|error| error.contains("busy; try again later"))
    };
    until("hanging calls to be given up", async || is_busy(&client.call("spin", json!([])).await).then_some(())).await;
    gateway.logs(&["probe", "nearly all calls of the plugin run into their budget"]).await;
    assert_eq!(gateway.metric("hubgate_plugin_breaker_open", [("plugin", "probe")]).await, 1.0);

    let mut busy = 0;
    for _ in 0..100 {
        busy += usize::from(is_busy(&client.call("spin", json!([])).await));
    }
    // One is let through after each pause, and takes as long as the shortest of them.
    assert!(busy >= 90, "only {busy} calls were answered at once");

    until("a call to be let through", async || (client.call("echo", json!([1])).await == Ok(json!(1))).then_some(()))
        .await;
    assert_eq!(gateway.metric("hubgate_plugin_breaker_open", [("plugin", "probe")]).await, 0.0);
    for number in 0..20 {
        assert_eq!(client.call("echo", json!([number])).await, Ok(json!(number)));
    }
    gateway.logs(&["probe", "calls of the plugin end again"]).await;
}

/// Calls hang for as long as they run and not as they wait, so that a slow machine breaks off no other. The window is longer than any
/// machine takes, so that nothing is forgotten.
const HANGING: &str = "server.shards = 1
    plugins.probe = { call-time = '60s', cpu-time = '50ms', rollback = { calls = 5, window = '10m' } }
    hubs.quiet = { mode = 'serverless' }
    upstream = [{ hubs = ['probe', 'quiet'], plugin = 'probe' }]";

async fn is_busy(client: &mut Client, method: &str) -> bool {
    let outcome = client.call(method, json!([1])).await;
    outcome.is_err_and(|error| error.contains("busy; try again later"))
}

async fn hang_until_busy(client: &mut Client) {
    until("hanging calls to be given up", async || is_busy(client, "spin").await.then_some(())).await;
}

#[tokio::test]
async fn a_client_whose_calls_hang_finds_the_plugin_busy_and_no_other_does() {
    let gateway = Gateway::probe().with(HANGING).start().await;
    let mut other = gateway.client("probe").connect().await;
    let mut hanging = gateway.client("probe").user("mallory").connect().await;
    hang_until_busy(&mut hanging).await;
    gateway.logs(&["nearly all calls of the plugin run into their budget", "hub=probe", "one client or user"]).await;
    for _ in 0..5 {
        // A connection more is the same user.
        let refused = gateway.client("probe").user("mallory").refused().await;
        assert!(refused.contains("busy"), "{refused}");
        assert!(!is_busy(&mut other, "echo").await);
    }
    assert_eq!(gateway.metric("hubgate_plugin_breaker_open", [("plugin", "probe")]).await, 1.0);
}

#[tokio::test]
async fn a_hub_whose_calls_hang_finds_the_plugin_busy_and_no_other_hub_does() {
    let gateway = Gateway::probe().with(HANGING).start().await;
    let mut quiet = gateway.client("quiet").connect().await;
    let mut other = gateway.client("probe").connect().await;
    let mut hanging = Vec::new();
    for _ in 0..4 {
        hanging.push(gateway.client("probe").connect().await);
    }
    for client in &mut hanging {
        hang_until_busy(client).await;
    }
    gateway.logs(&["nearly all calls of the plugin run into their budget", "hub=probe", "the hub"]).await;
    assert!(is_busy(&mut other, "echo").await);
    for number in 0..20 {
        assert_eq!(quiet.call("echo", json!([number])).await, Ok(json!(number)));
    }
}

#[tokio::test]
async fn a_component_that_traps_again_and_again_goes_on_serving() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let mut client = gateway.client("probe").connect().await;
    for number in 0..100 {
        client.call("trap", json!([])).await.expect_err("it traps");
        assert_eq!(client.call("echo", json!([number])).await, Ok(json!(number)));
    }
    assert_eq!(gateway.plugin_status("probe").await["traps"], 100);
}

#[tokio::test]
async fn outcomes_of_calls_are_counted() {
    let gateway = Gateway::probe().with(CONFIG).start().await;
    let mut client = gateway.client("probe").connect().await;
    for method in ["trap", "spin", "grow"] {
        client.call(method, json!([])).await.expect_err("it fails");
    }
    client.call("fail", json!(["no"])).await.expect_err("it is rejected");
    client.call("echo", json!(["yes"])).await.expect("it answers");
    let answer = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await;
    let is_outcome = |line: &&str| line.starts_with("hubgate_plugin_calls_total{") && line.contains("plugin=\"probe\"");
    let outcomes: Vec<&str> = answer.body.lines().filter(is_outcome).filter(|line| !line.ends_with(" 0")).collect();
    assert!(outcomes.len() >= 4, "ok, rejected, trapped and stopped are told apart: {outcomes:?}");
    // With `connected`, there were six.
    assert_eq!(gateway.metric("hubgate_plugin_calls_total", [("plugin", "probe")]).await, 6.0);
    assert_eq!(gateway.metric("hubgate_plugin_call_seconds_count", [("plugin", "probe")]).await, 6.0);
}

/// Calls a method that fails, while another client's calls go on being answered; gives the error.
async fn error_while_another_is_answered(gateway: &Gateway, method: &str) -> String {
    let mut caller = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    let mut answered_during_it = 0;
    let error = {
        let mut failing = std::pin::pin!(caller.call(method, json!([])));
        loop {
            tokio::select! {
                biased;
                outcome = &mut failing => break outcome.expect_err("the call fails"),
                () = is_answered(&mut other) => answered_during_it += 1,
            }
        }
    };
    // A call that waited for the other's end would have been the only one.
    assert!(method != "spin" || answered_during_it > 1, "only {answered_during_it} calls were answered meanwhile");
    is_answered(&mut other).await;
    assert_eq!(caller.call("echo", json!(["fine"])).await, Ok(json!("fine")), "the caller is not cut off");
    error
}

async fn is_answered(client: &mut Client) {
    assert_eq!(client.call("echo", json!(["fine"])).await, Ok(json!("fine")));
}
