//! What a hostile component, or somebody who may write a plugin's file, can make the gateway hold or wait for.

use std::fs;
use std::path::Path;
use std::process::Command;

use hubgate_tests::command::{Finished, binary};
use hubgate_tests::gateway::KEY;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::json;

/// Puts a FIFO at `path`, in the place of what is there.
fn put_fifo(path: &Path) {
    let new = path.with_extension("fifo");
    assert!(Command::new("mkfifo").arg(&new).status().expect("mkfifo is there").success());
    fs::rename(&new, path).expect("the folder is ours");
}

#[tokio::test]
async fn a_component_that_makes_the_compiler_explode_is_refused_within_the_compilers_bound() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    gateway.replace_plugin("probe", &guests::compiler_bomb());
    until("the compiler to run within its bounds", async || {
        let compiler = gateway.compiler()?;
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

#[tokio::test]
async fn a_fifo_in_a_plugins_place_holds_up_neither_other_swaps_nor_the_end() {
    let mut gateway = Gateway::probe().plugin("other", &guests::probe()).start().await;
    let mut client = gateway.client("probe").connect().await;
    put_fifo(&gateway.plugin_file("other"));
    until("the FIFO to be refused", async || {
        let status = gateway.plugin_status("other").await;
        status["lastError"]["reason"].as_str()?.contains("not a regular file").then_some(())
    })
    .await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    until("the other plugin's swap", async || {
        (client.call("version", json!([])).await == Ok(json!("2"))).then_some(())
    })
    .await;
    client.leave().await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_fifo_in_a_secrets_place_holds_up_neither_later_reloads_nor_the_end() {
    let setup = Gateway::probe().file("token", "a token that nobody guesses").with("admin.token-file = 'token'");
    let mut gateway = setup.start().await;
    let token = gateway.folder().join("token");
    put_fifo(&token);
    gateway.logs(&["admin.token-file", "not a regular file"]).await;
    fs::remove_file(&token).expect("the folder is ours");
    fs::write(&token, "another token that nobody guesses").expect("the folder is ours");
    gateway.logs(&["the configuration was reloaded", "admin.token-file"]).await;
    put_fifo(&token);
    gateway.hang_up();
    gateway.terminate();
    assert!(gateway.ended().await.success());
}

#[test]
fn what_a_configuration_names_and_itself_must_be_regular_files() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    put_fifo(&folder.path().join("fifo"));
    let config = folder.path().join("hubgate.toml");
    let check = |file: &Path| {
        let mut command = Command::new("timeout");
        Finished::of(command.arg("20").arg(binary()).args(["config", "check", "--config"]).arg(file))
    };
    let key = format!("access-keys = ['{KEY}']");
    for (text, name) in [
        ("server.access-keys-file = 'fifo'".to_owned(), "server.access-keys-file"),
        (format!("server.{key}\nadmin.token-file = 'fifo'"), "admin.token-file"),
        (format!("[server]\n{key}\ntls = {{ certificate = 'fifo', key = 'fifo' }}"), "server.tls.certificate"),
    ] {
        fs::write(&config, text).expect("the folder is ours");
        let checked = check(&config);
        let is_said = checked.stderr.contains(name) && checked.stderr.contains("not a regular file");
        assert!(checked.code == Some(2) && is_said, "{checked:?}");
    }
    let checked = check(&folder.path().join("fifo"));
    assert!(checked.code == Some(2) && checked.stderr.contains("not a regular file"), "{checked:?}");
}

#[tokio::test]
async fn a_plugin_that_writes_more_than_its_budget_waits_and_loses_nothing() {
    const CALLS: usize = 120;
    let config = "plugins.probe = { state-writes = '64KiB', call-time = '20s' }";
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    let key = "k".repeat(1_000);
    for _ in 0..CALLS {
        client.start_call("count", json!([key])).await;
    }
    for call in 1..=CALLS {
        let completion = client.completion(&call.to_string()).await;
        assert_eq!(completion["result"], call, "{completion}");
    }
    let labels = [("plugin", "probe"), ("budget", "state-writes")];
    assert!(gateway.metric("hubgate_plugin_budget_exceeded_total", labels).await > 0.0);
}
