//! What a component is told later: its timers, and that one of its versions begins to serve a hub.

use std::collections::BTreeMap;

use ::http::Method;
use hubgate_tests::http::Request;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

const DETAILS: &str = "server.detailed-errors = true";

/// How often this has happened to timers of the probe.
async fn events(gateway: &Gateway, event: &str) -> f64 {
    gateway.metric("hubgate_plugin_timer_events_total", [("plugin", "probe"), ("event", event)]).await
}

/// The next tick of a timer: how often it has fired.
async fn tick(client: &mut Client, timer: &str) -> u64 {
    loop {
        let ticked = client.event("ticked").await;
        if ticked[0] == timer {
            return ticked[1].as_u64().expect("a number");
        }
    }
}

async fn replace(gateway: &Gateway, component: &std::path::Path) {
    let before = gateway.plugin_status("probe").await;
    gateway.replace_plugin("probe", &guests::bytes(component));
    let is_swapped = async || (gateway.plugin_status("probe").await["digest"] != before["digest"]).then_some(());
    until("the swap", is_swapped).await;
}

async fn started_count_is(client: &mut Client, expected: u64) {
    let counted = async || (client.call("startedCount", json!([])).await == Ok(json!(expected))).then_some(());
    until(&format!("{expected} starts"), counted).await;
}

#[tokio::test]
async fn a_timer_fires_once_and_one_with_a_period_until_it_is_stopped() {
    let gateway = Gateway::probe_hub().start().await;
    let mut setting = gateway.client("probe").connect().await;
    let mut other = gateway.client("probe").connect().await;
    setting.call("later", json!(["once", 20, "now it is later"])).await.expect("it is set");
    for client in [&mut setting, &mut other] {
        assert_eq!(client.event("said").await, json!(["now it is later"]));
    }
    until("the timer to be over", async || (setting.call("timers", json!([])).await == Ok(json!([]))).then_some(()))
        .await;
    setting.call("every", json!(["tick", 20])).await.expect("it is set");
    for count in 1..=4 {
        assert_eq!(tick(&mut other, "tick").await, count);
    }
    assert_eq!(setting.call("stop", json!(["tick"])).await, Ok(json!(true)));
    assert_eq!(setting.call("stop", json!(["tick"])).await, Ok(json!(false)));
    let fired = events(&gateway, "fired").await;
    assert!(fired >= 5.0, "{fired}");
    assert_eq!(gateway.metric("hubgate_plugin_timers", [("plugin", "probe")]).await, 0.0);
}

#[tokio::test]
async fn a_durable_timer_is_there_after_a_crash_and_another_is_not() {
    let mut gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("every", json!(["kept", 20])).await.expect("it is set");
    client.call("every", json!(["far", 3_600_000])).await.expect("it is set");
    client.call("everyFast", json!(["gone", 20])).await.expect("it is set");
    client.call("every", json!(["stopped", 20])).await.expect("it is set");
    client.call("stop", json!(["stopped"])).await.expect("it is stopped");
    let before = tick(&mut client, "kept").await;
    gateway.crash_and_restart().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("timers", json!([])).await, Ok(json!(["far", "kept"])));
    assert!(tick(&mut client, "kept").await > before);
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("timers", json!([])).await, Ok(json!(["far", "kept"])));
}

#[tokio::test]
async fn a_swap_loses_no_timer_and_no_tick_and_doubles_none() {
    const TIMERS: usize = 50;
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    for timer in 0..TIMERS {
        client.call("everyFast", json!([format!("t{timer}"), 50])).await.expect("it is set");
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut follow = async |client: &mut Client, ticks: usize| {
        for _ in 0..ticks {
            let ticked = client.event("ticked").await;
            let count = counts.entry(ticked[0].as_str().expect("a name").to_owned()).or_default();
            *count += 1;
            assert_eq!(ticked[1], *count, "of {}", ticked[0]);
        }
        counts.values().copied().min().unwrap_or(0)
    };
    follow(&mut client, 3 * TIMERS).await;
    for component in [guests::probe_hub_2(), guests::probe_hub()] {
        replace(&gateway, &component).await;
        let before = follow(&mut client, 0).await;
        while follow(&mut client, TIMERS).await < before + 3 {}
    }
    assert_eq!(client.call("timers", json!([])).await.expect("a list").as_array().map(Vec::len), Some(TIMERS));
}

#[tokio::test]
async fn timers_wait_for_a_version_that_can_be_told() {
    let gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("everyFast", json!(["tick", 20])).await.expect("it is set");
    tick(&mut client, "tick").await;
    replace(&gateway, &guests::probe()).await;
    gateway.logs(&["probe", "timers of the plugin wait", "exports no `scheduled`"]).await;
    replace(&gateway, &guests::probe_hub_2()).await;
    assert_eq!(client.call("timers", json!([])).await, Ok(json!(["tick"])));
    let said = gateway.log().matches("timers of the plugin wait").count();
    assert_eq!(said, 1, "it is said once");
    let so_far = async || {
        let ticked = client.event("ticked").await;
        (ticked[1].as_u64() > Some(2)).then_some(())
    };
    until("further ticks", so_far).await;
}

#[tokio::test]
async fn a_call_that_traps_is_made_again_and_one_that_fails_is_not() {
    let gateway = Gateway::probe_hub().with("plugins.probe.rollback = false").start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("failLater", json!(["bad"])).await.expect("it is set");
    until("the failure", async || (events(&gateway, "failed").await == 1.0).then_some(())).await;
    until("its end", async || (client.call("timers", json!([])).await == Ok(json!([]))).then_some(())).await;
    client.call("trapLater", json!(["worse"])).await.expect("it is set");
    until("further calls", async || (events(&gateway, "tried-again").await >= 2.0).then_some(())).await;
    assert_eq!(client.call("timers", json!([])).await, Ok(json!(["worse"])));
    client.call("stop", json!(["worse"])).await.expect("it is stopped");
    gateway.logs(&["probe", "worse", "broke off"]).await;
}

#[tokio::test]
async fn a_timer_acts_on_its_own_hub_alone() {
    let other = r#"
        [hubs.other]
        mode = "serverless"
        [[upstream]]
        hubs = ["probe", "other"]
        plugin = "probe"
    "#;
    let gateway = Gateway::probe_hub().with(other).start().await;
    let mut here = gateway.client("probe").connect().await;
    let mut there = gateway.client("other").connect().await;
    here.call("everyFast", json!(["same", 20])).await.expect("it is set");
    assert_eq!(there.call("timers", json!([])).await, Ok(json!([])));
    assert_eq!(there.call("stop", json!(["same"])).await, Ok(json!(false)));
    there.call("later", json!(["same", 0, "of the other hub"])).await.expect("it is set");
    assert_eq!(there.event("said").await, json!(["of the other hub"]));
    for count in 1..=3 {
        assert_eq!(tick(&mut here, "same").await, count);
    }
    let heard = there.everything_so_far_by("version").await;
    assert!(heard.iter().all(|message| message["target"] != "ticked"), "{heard:?}");
    let heard = here.everything_so_far_by("version").await;
    assert!(heard.iter().all(|message| message["target"] != "said"), "{heard:?}");
}

#[tokio::test]
async fn bounds_of_timers_refuse_by_name() {
    let bounds = "plugins.probe = { timers = 2, shortest-period = '1s', state = '8KiB' }";
    let gateway = Gateway::probe_hub().with(DETAILS).with(bounds).start().await;
    let mut client = gateway.client("probe").connect().await;
    let refused = async |client: &mut Client, method: &str, arguments: Value, expected: &str| {
        let error = client.call(method, arguments).await.expect_err("it is refused");
        assert!(error.contains(expected), "{error}");
    };
    refused(&mut client, "every", json!(["fast", 999]), "`shortest-period`").await;
    client.call("every", json!(["slow", 3_600_000])).await.expect("it is set");
    client.call("later", json!(["last", 3_600_000, ""])).await.expect("it is set");
    refused(&mut client, "later", json!(["one more", 0, ""]), "`timers`").await;
    client.call("later", json!(["last", 3_600_000, "in the place of another"])).await.expect("it is set");
    refused(&mut client, "later", json!(["last", 0, "x".repeat(8 << 10)]), "`state`").await;
    refused(&mut client, "later", json!(["x".repeat(1_025), 0, ""]), "1,024 characters").await;
    for (budget, times) in [("shortest-period", 1.0), ("timers", 1.0), ("state", 1.0)] {
        let labels = [("plugin", "probe"), ("budget", budget)];
        assert_eq!(gateway.metric("hubgate_plugin_budget_exceeded_total", labels).await, times, "{budget}");
    }
    assert_eq!(client.call("timers", json!([])).await, Ok(json!(["last", "slow"])));
}

#[tokio::test]
async fn each_version_is_told_once_that_it_begins_to_serve_a_hub() {
    let mut gateway = Gateway::probe_hub().start().await;
    let mut client = gateway.client("probe").connect().await;
    started_count_is(&mut client, 1).await;
    replace(&gateway, &guests::probe_hub_2()).await;
    started_count_is(&mut client, 2).await;
    let roll_back = Request::new(Method::POST, gateway.ready().admin, "/admin/plugins/probe/rollback");
    let answer = roll_back.bearer(&gateway.ready().admin_token).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    started_count_is(&mut client, 3).await;
    gateway.reconfigure("hubs.other.mode = 'serverless'\n[[upstream]]\nhubs = ['other', 'probe']\nplugin = 'probe'");
    gateway.hang_up();
    started_count_is(&mut client, 4).await;
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    started_count_is(&mut client, 6).await;
}
