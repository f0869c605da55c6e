//! What a hostile component, or somebody who may write a plugin's file, can make the gateway hold or wait for.

use std::fs;

use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::json;

/// The processes that a process has started and that have not ended.
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let children = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let all: String = threads.flatten().map(children).collect();
    all.split_whitespace().map(|id| id.parse().expect("Linux lists numbers")).collect()
}

#[tokio::test]
async fn a_component_that_makes_the_compiler_explode_is_refused_within_the_compilers_bound() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    gateway.replace_plugin("probe", &guests::compiler_bomb());
    until("the compiler to run within its bounds", async || {
        let compiler = *children(gateway.process_id()).first()?;
        let limits = fs::read_to_string(format!("/proc/{compiler}/limits")).ok()?;
        let has = |limit: &str, value: &str| {
            let line = limits.lines().find(|line| line.starts_with(limit));
            line.is_some_and(|line| line.split_whitespace().any(|word| word == value))
        };
        let goes_first = fs::read_to_string(format!("/proc/{compiler}/oom_score_adj")).ok()?.trim() == "1000";
        let two_gib = (2u64 << 30).to_string();
        (goes_first && has("Max address space", &two_gib) && has("Max cpu time", "120")).then_some(())
    })
    .await;
    let status = until("the component to be refused", async || {
        let status = gateway.plugin_status("probe").await;
        status["lastError"].is_object().then_some(status)
    })
    .await;
    let reason = status["lastError"]["reason"].as_str().expect("it is text");
    assert!(reason.contains("probe.wasm") && reason.contains("more than 2048 MiB of memory"), "{reason}");
    gateway.logs(&["probe", "2048 MiB of memory"]).await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)), "the version before goes on");
}
