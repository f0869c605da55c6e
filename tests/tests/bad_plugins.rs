//! A plugin's file that cannot serve hurts that plugin at most, also when the gateway starts.

use std::fs;
use std::process::Command;

use hubgate_tests::command::{Finished, binary};
use hubgate_tests::gateway::Setup;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::{Value, json};

const BAD: &[u8] = b"This is no WebAssembly.";

/// What the status of a plugin says of its serving version.
async fn serving(gateway: &Gateway, plugin: &str) -> (Value, f64) {
    let status = gateway.plugin_status(plugin).await;
    let version = match (status["state"].as_str(), status["lastError"].is_object()) {
        (Some("serving"), true) => "last-good",
        (Some("refused"), true) => "none",
        _ => "file",
    };
    let labels = [("plugin", plugin), ("version", version)];
    let metric = gateway.metric("hubgate_plugin_serving", labels).await;
    (status, metric)
}

#[tokio::test]
async fn a_start_with_a_bad_file_serves_the_last_good_version_until_the_file_is_good() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let answers = async |client: &mut hubgate_tests::Client, version: &str| {
        until(&format!("version {version}"), async || {
            (client.call("version", json!([])).await == Ok(json!(version))).then_some(())
        })
        .await;
    };
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    answers(&mut client, "2").await;
    gateway.replace_plugin("probe", BAD);
    for _ in 0..2 {
        gateway.restart().await;
        let mut client = gateway.client("probe").connect().await;
        assert_eq!(client.call("version", json!([])).await, Ok(json!("2")));
        let (status, metric) = serving(&gateway, "probe").await;
        let reason = status["lastError"]["reason"].as_str().expect("it is told");
        assert!(reason.contains("probe.wasm") && reason.contains("not a WebAssembly component"), "{reason}");
        assert_eq!((&status["state"], metric), (&json!("serving"), 1.0));
        gateway.logs(&["probe", "the last good version does"]).await;
    }
    fs::remove_file(gateway.plugin_file("probe")).expect("the folder is ours");
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")), "a file that is away is a bad one");
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe()));
    answers(&mut client, "1").await;
    let (status, metric) = serving(&gateway, "probe").await;
    assert!(status["lastError"].is_null() && metric == 1.0, "{status}");
}

/// A hub whose handler is good, and others with a handler or a filter that never was.
fn with_bad_plugins() -> Setup {
    let config = r#"
        [hubs.handled]
        mode = "serverless"
        [hubs.closed]
        mode = "serverless"
        filters = ["closed"]
        [hubs.open]
        mode = "serverless"
        filters = ["open"]
        [plugins.open]
        on-error = "open"
    "#;
    let items = "upstream = [{ hubs = ['handled'], plugin = 'handler' }, { plugin = 'probe' }]";
    let setup = ["handler", "closed", "open"].into_iter().fold(Gateway::probe(), |setup, name| {
        let setup = setup.plugin(name, &guests::probe());
        fs::write(setup.plugin_file(name), BAD).expect("the folder is ours");
        setup
    });
    setup.with(config).with(items)
}

#[tokio::test]
async fn plugins_that_never_served_are_refused_and_fail_closed_while_the_rest_serves() {
    let gateway = with_bad_plugins().start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)), "what needs none of them serves");

    let refused = gateway.client("handled").refused().await;
    assert!(refused.ends_with("The handler is not available: its component cannot serve."), "{refused}");
    let mut client = gateway.client("closed").connect().await;
    let error = client.call("echo", json!([1])).await.expect_err("the filter cannot look at it");
    assert!(error.contains("is not available: its component cannot serve."), "{error}");
    let mut client = gateway.client("open").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)), "its filter lets pass what it cannot look at");

    for plugin in ["handler", "closed", "open"] {
        let (status, metric) = serving(&gateway, plugin).await;
        assert_eq!((&status["state"], &status["generation"], metric), (&json!("refused"), &json!(0), 1.0));
        assert!(status["digest"].is_null() && status["loadedAt"].is_null(), "{status}");
        assert!(status["lastError"]["reason"].is_string(), "{status}");
        gateway.logs(&[plugin, "no earlier version is there"]).await;
    }

    gateway.replace_plugin("handler", &guests::bytes(&guests::probe()));
    until("the plugin to serve", async || (gateway.plugin_status("handler").await["state"] == "serving").then_some(()))
        .await;
    let mut client = gateway.client("handled").connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_reload_with_a_bad_plugin_changes_nothing_and_refused_ones_do_not_stand_in_the_way_of_others() {
    let mut gateway = with_bad_plugins().start().await;
    gateway.reconfigure("plugins.handler.memory = '32MiB'");
    gateway.logs(&["the configuration stays as it was", "handler"]).await;
    gateway.reconfigure("plugins = { handler = { memory = '64MiB' }, probe = { memory = '32MiB' } }");
    gateway.logs(&["the configuration was reloaded", "plugins.probe.memory"]).await;
}

#[test]
fn a_strict_start_with_a_bad_plugin_is_exit_code_2() {
    let (_folder, config) = with_bad_plugins().written();
    let mut command = Command::new("timeout");
    command.arg("20").arg(binary()).args(["serve", "--strict", "--listen", "127.0.0.1:0", "--config"]).arg(&config);
    let finished = Finished::of(&mut command);
    let is_said = finished.stderr.contains("plugin closed") && finished.stderr.contains("closed.wasm");
    assert!(finished.code == Some(2) && is_said, "{finished:?}");
}
