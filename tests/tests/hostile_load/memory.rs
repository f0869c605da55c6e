//! The memory that components can make the gateway hold, all together.

use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::json;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn plugins_that_eat_memory_stay_within_the_bound_of_all_and_leave_others_their_part() {
    const BOUND: u64 = 48 * MIB;
    const CALLERS: usize = 40;
    let config = r#"
        server.limits.plugin-memory = "48MiB"
        hubs.greedy.mode = "serverless"
        upstream = [{ hubs = ["greedy"], plugin = "greedy" }, { hubs = ["probe"], plugin = "probe" }]
        plugins.greedy = { memory = "256MiB", call-time = "20s" }
    "#;
    let gateway = Gateway::probe().plugin("greedy", &guests::probe()).with(config).start().await;
    let mut other = gateway.client("probe").connect().await;
    let before = gateway.peak_resident_bytes();

    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(gateway.client("greedy").connect().await);
    }
    for caller in &mut callers {
        caller.start_call("grow", json!([])).await;
    }
    for number in 0..20 {
        assert_eq!(other.call("echo", json!([number])).await, Ok(json!(number)));
    }
    for caller in &mut callers {
        let completion = caller.completion("1").await;
        let error = completion["error"].as_str().expect("it is refused memory");
        assert!(error.contains("memory"), "{error}");
    }
    for caller in &mut callers {
        assert_eq!(caller.call("echo", json!(["fine"])).await, Ok(json!("fine")), "there is memory again");
    }

    let grown = gateway.peak_resident_bytes() - before;
    assert!(grown < BOUND + 48 * MIB, "{} MiB more were held at once", grown / MIB);
    let exceeded = [("plugin", "greedy"), ("budget", "plugin-memory")];
    assert!(gateway.metric("hubgate_plugin_budget_exceeded_total", exceeded).await > 0.0);
    let exceeded = [("plugin", "probe"), ("budget", "plugin-memory")];
    assert_eq!(gateway.metric("hubgate_plugin_budget_exceeded_total", exceeded).await, 0.0);
    gateway.logs(&["greedy", "server.limits.plugin-memory"]).await;
}

#[tokio::test]
async fn the_memory_of_each_plugin_can_be_seen() {
    let mut gateway = Gateway::probe().start().await;
    assert_eq!(gateway.plugin_status("probe").await["memoryBytes"], 0);
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("it answers");
    let shown = gateway.plugin_status("probe").await["memoryBytes"].as_u64().expect("it is a number");
    assert!(shown > MIB / 2, "{shown}");
    assert_eq!(gateway.metric("hubgate_plugin_memory_bytes", [("plugin", "probe")]).await, shown as f64);

    gateway.reconfigure("server.limits.plugin-memory = '16MiB'");
    gateway.logs(&["the configuration was reloaded", "server.limits.plugin-memory"]).await;
    client.call("grow", json!([])).await.expect_err("it gets less than its own limit");
    let labels = [("plugin", "probe"), ("outcome", "out-of-plugin-memory")];
    until("the call to be counted", async || {
        (gateway.metric("hubgate_plugin_calls_total", labels).await == 1.0).then_some(())
    })
    .await;
}
