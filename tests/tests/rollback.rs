//! A version that breaks off call after call gives way to the one before it, by itself or because an operator wants it.

use std::fs;

use http::Method;
use hubgate_tests::command::hubgate;
use hubgate_tests::http::Request;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// Waits until this version answers.
async fn answers(client: &mut Client, version: &str) {
    until(&format!("version {version}"), async || {
        (client.call("version", json!([])).await == Ok(json!(version))).then_some(())
    })
    .await;
}

/// A gateway whose probe has been swapped once, and a client of it.
async fn swapped(config: &str) -> (Gateway, Client) {
    let gateway = Gateway::probe().with(config).start().await;
    let mut client = gateway.client("probe").connect().await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    answers(&mut client, "2").await;
    (gateway, client)
}

async fn call_often(client: &mut Client, method: &str, count: usize) {
    for _ in 0..count {
        client.call(method, json!([])).await.expect_err("it fails");
    }
}

fn reason(status: &Value) -> &str {
    status["lastError"]["reason"].as_str().unwrap_or_default()
}

fn post(gateway: &Gateway, path: &str) -> Request {
    Request::new(Method::POST, gateway.ready().admin, path)
}

#[tokio::test]
async fn a_version_that_traps_is_rolled_back_by_itself_and_refused_until_the_file_changes() {
    let (mut gateway, mut client) = swapped("").await;
    let bad = gateway.plugin_status("probe").await["digest"].clone();
    call_often(&mut client, "trap", 20).await;
    answers(&mut client, "1").await;
    let status = gateway.plugin_status("probe").await;
    assert_eq!((&status["generation"], &status["rolledBackFrom"]), (&json!(3), &bad), "{status}");
    let is_told = reason(&status).contains("probe.wasm") && reason(&status).contains("was rolled back");
    assert!(is_told && reason(&status).contains("calls broke off"), "{status}");
    let labels = [("plugin", "probe"), ("outcome", "rolled-back")];
    assert_eq!(gateway.metric("hubgate_plugin_swaps_total", labels).await, 1.0);
    gateway.logs(&["probe", "the plugin was rolled back"]).await;

    // The one that is back has nothing before it: it goes on, whatever its calls do.
    call_often(&mut client, "trap", 30).await;
    assert_eq!(gateway.plugin_status("probe").await["generation"], 3);

    until("the rollback to be written down", async || {
        let kept = fs::read_dir(gateway.folder().join("data/components")).ok()?;
        let texts = kept.flatten().filter_map(|file| fs::read_to_string(file.path()).ok());
        texts.into_iter().any(|text| text.contains("rolled-back sha256:")).then_some(())
    })
    .await;
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    answers(&mut client, "1").await;
    let status = gateway.plugin_status("probe").await;
    assert!(status["rolledBackFrom"] == bad && reason(&status).contains("rolled back"), "{status}");

    let file = gateway.plugin_file("probe");
    fs::remove_file(&file).and_then(|()| fs::create_dir(&file)).expect("the folder is ours");
    let said = async |text: &str| {
        until(text, async || reason(&gateway.plugin_status("probe").await).contains(text).then_some(())).await;
    };
    said("not a regular file").await;
    fs::remove_dir(&file).expect("the folder is ours");
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    said("it was rolled back").await;
    answers(&mut client, "1").await;

    gateway.replace_plugin("probe", b"something else");
    said("not a WebAssembly component").await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    answers(&mut client, "2").await;
    let status = gateway.plugin_status("probe").await;
    assert!(status["rolledBackFrom"].is_null() && status["lastError"].is_null(), "{status}");
}

#[tokio::test]
async fn a_version_whose_calls_hang_or_eat_memory_is_rolled_back_within_its_own_bound() {
    let config = "plugins.probe = { call-time = '200ms', rollback = { errors = 0.3, calls = 5 } }";
    for method in ["spin", "grow"] {
        let (gateway, mut client) = swapped(config).await;
        call_often(&mut client, method, 5).await;
        answers(&mut client, "1").await;
        assert!(reason(&gateway.plugin_status("probe").await).contains("was rolled back"));
    }
}

#[tokio::test]
async fn calls_that_are_rejected_roll_nothing_back_and_neither_does_anything_where_that_is_off() {
    let (gateway, mut client) = swapped("").await;
    for _ in 0..50 {
        assert_eq!(client.call("fail", json!(["no"])).await, Err("no".to_owned()));
    }
    assert_eq!(gateway.plugin_status("probe").await["generation"], 2);

    let (gateway, mut client) = swapped("plugins.probe.rollback = false").await;
    call_often(&mut client, "trap", 50).await;
    assert_eq!(gateway.plugin_status("probe").await["generation"], 2);
    answers(&mut client, "2").await;
}

/// Long enough for any machine.
const WINDOW: &str = "plugins.probe.rollback = { window = '1h' }";

#[tokio::test]
async fn one_user_whose_calls_trap_rolls_nothing_back_that_serves_others() {
    let (gateway, mut client) = swapped(WINDOW).await;
    let mut other = gateway.client("probe").connect().await;
    answers(&mut other, "2").await;
    for _ in 0..5 {
        let mut attacker = gateway.client("probe").user("mallory").connect().await;
        call_often(&mut attacker, "trap", 20).await;
    }
    answers(&mut client, "2").await;
    assert_eq!(gateway.plugin_status("probe").await["generation"], 2);

    call_often(&mut client, "trap", 1).await;
    answers(&mut other, "1").await;
    assert_eq!(gateway.plugin_status("probe").await["generation"], 3, "it traps for two of three");
}

#[tokio::test]
async fn a_version_that_was_as_bad_itself_is_not_brought_back() {
    let gateway = Gateway::probe().with(WINDOW).start().await;
    let mut client = gateway.client("probe").connect().await;
    call_often(&mut client, "trap", 20).await;
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    // Without calls until then: those that end speak for the first version.
    until("the swap", async || (gateway.plugin_status("probe").await["generation"] == 2).then_some(())).await;
    call_often(&mut client, "trap", 40).await;
    answers(&mut client, "2").await;
    assert_eq!(gateway.plugin_status("probe").await["generation"], 2);

    // An operator may want it all the same.
    let ready = gateway.folder().join("ready.json").display().to_string();
    hubgate(["plugin", "rollback", "probe", "--ready-file", &ready]).success();
    answers(&mut client, "1").await;
}

#[tokio::test]
async fn a_change_of_settings_keeps_what_was_rolled_back_away() {
    let (mut gateway, mut client) = swapped("").await;
    call_often(&mut client, "trap", 20).await;
    answers(&mut client, "1").await;
    gateway.logs(&["the plugin was rolled back"]).await;
    let bad = gateway.plugin_status("probe").await["rolledBackFrom"].clone();
    gateway.reconfigure("plugins.probe.memory = '32MiB'");
    gateway.logs(&["the configuration was reloaded", "plugins.probe.memory"]).await;
    answers(&mut client, "1").await;
    let status = gateway.plugin_status("probe").await;
    assert!(status["rolledBackFrom"] == bad && bad.is_string(), "{status}");
}

#[tokio::test]
async fn an_operator_brings_the_version_before_back_with_the_command() {
    let (mut gateway, _) = swapped("").await;
    // The version before is there after a restart, too.
    gateway.restart().await;
    let mut client = gateway.client("probe").connect().await;
    answers(&mut client, "2").await;
    let ready = gateway.folder().join("ready.json").display().to_string();
    let before = gateway.plugin_status("probe").await;

    let listed = hubgate(["plugin", "ls", "--ready-file", &ready]).success();
    assert!(listed.starts_with("probe: serving, generation "), "{listed}");
    let listed = hubgate(["plugin", "ls", "--ready-file", &ready, "--json"]).success();
    assert_eq!(listed.lines().count(), 1, "one object a plugin: {listed}");
    let listed: Value = serde_json::from_str(&listed).expect("it is JSON");
    assert_eq!((&listed["name"], &listed["state"]), (&json!("probe"), &json!("serving")));
    let done = hubgate(["plugin", "rollback", "probe", "--ready-file", &ready, "--json"]);
    let status: Value = serde_json::from_str(&done.success()).expect("it is one object");
    assert_eq!((&status["name"], &status["rolledBackFrom"]), (&json!("probe"), &before["digest"]), "{status}");
    answers(&mut client, "1").await;
    assert!(reason(&gateway.plugin_status("probe").await).contains("an operator asked for it"));

    let again = hubgate(["plugin", "rollback", "probe", "--ready-file", &ready]);
    assert!(again.code == Some(1) && again.stderr.contains("no version before"), "{again:?}");
    let (address, token) = (gateway.ready().admin.to_string(), gateway.ready().admin_token.clone());
    let url = format!("http://{address}/");
    let other = hubgate(["plugin", "rollback", "a/b", "--admin", &url, "--admin-token", &token]);
    assert!(other.code == Some(1) && other.stderr.contains("no plugin of this name"), "{other:?}");
    let wrong = hubgate(["plugin", "rollback", "probe", "--admin", &address, "--admin-token", "wrong"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("admin token"), "{wrong:?}");
    let clients = gateway.address().to_string();
    let elsewhere = hubgate(["plugin", "rollback", "probe", "--admin", &clients, "--admin-token", &token]);
    assert!(elsewhere.code == Some(1) && elsewhere.stderr.contains("it is `admin.listen`"), "{elsewhere:?}");
    let nowhere = hubgate(["plugin", "rollback", "probe", "--admin", &address]);
    assert!(nowhere.code == Some(2) && nowhere.stderr.contains("HUBGATE_ADMIN_TOKEN"), "{nowhere:?}");
    let gone = hubgate(["plugin", "rollback", "probe", "--admin", "127.0.0.1:1", "--admin-token", "x"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("127.0.0.1:1"), "{gone:?}");
}

#[tokio::test]
async fn the_admin_listener_rolls_back_for_operators_alone() {
    let (gateway, mut client) = swapped("").await;
    let path = "/admin/plugins/probe/rollback";
    assert_eq!(post(&gateway, path).send().await.status, 401);
    let token = &gateway.ready().admin_token;
    assert_eq!(gateway.admin_request(path).bearer(token).send().await.status, 405);
    assert_eq!(post(&gateway, "/admin/plugins/gone/rollback").bearer(token).send().await.status, 404);
    let done = post(&gateway, path).bearer(token).send().await;
    assert_eq!((done.status, &done.json()["generation"]), (200, &json!(3)));
    answers(&mut client, "1").await;
    assert_eq!(post(&gateway, path).bearer(token).send().await.status, 409);
}
