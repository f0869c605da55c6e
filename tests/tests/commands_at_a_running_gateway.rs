//! What the commands do that speak to a running gateway, and how they end.

use std::process::Command;

use hubgate_tests::command::{Finished, binary, hubgate};
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, guests};
use serde_json::{Value, json};

/// `hubgate` with these words, told of the gateway by its ready file.
fn at(gateway: &Gateway, words: &[&str]) -> Finished {
    let ready = gateway.folder().join("ready.json");
    let mut command = Command::new(binary());
    Finished::of(command.args(words).arg("--ready-file").arg(ready).env_remove("HUBGATE_ADMIN_TOKEN"))
}

fn objects(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

#[tokio::test]
async fn ps_lists_clients_and_kick_closes_one() {
    let gateway = Gateway::probe().start().await;
    let hostile = "ann\u{1b}[2J\n\u{9b}1m\u{202e}root & co";
    let mut ann = gateway.client("probe").user(hostile).connect().await;
    let mut bob = gateway.client("probe").user("bob").connect().await;
    bob.call("join", json!(["lobby"])).await.expect("it joins");

    let all = objects(&at(&gateway, &["ps", "--json"]).success());
    assert_eq!(all.len(), 2, "{all:?}");
    let of_bob =
        objects(&at(&gateway, &["ps", "--hub", "probe", "--user", "bob", "--group", "lobby", "--json"]).success());
    assert_eq!((of_bob.len(), &of_bob[0]["user"]), (1, &json!("bob")));
    let as_json = at(&gateway, &["ps", "--user", hostile, "--json"]).success();
    assert!(!as_json.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{as_json:?}");
    let of_ann = objects(&as_json);
    assert_eq!(of_ann[0]["user"], hostile);
    let id = of_ann[0]["id"].as_str().expect("it is text").to_owned();
    let printed = at(&gateway, &["ps", "--id", &id]).success();
    assert!(printed.lines().count() == 2 && printed.contains(&id), "{printed}");
    assert!(!printed.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{printed:?}");

    let kicked = at(&gateway, &["kick", &id, "--reason", "bye & good luck"]).success();
    assert_eq!(kicked, format!("{id}: its connection to hub probe is closed\n"));
    assert_eq!(ann.end().await.error(), "bye & good luck");
    assert_eq!(bob.call("echo", json!([1])).await, Ok(json!(1)));
    let again = at(&gateway, &["kick", &id]);
    assert!(again.code == Some(1) && again.stderr.contains("No connection of this gateway"), "{again:?}");
    let wrong = at(&gateway, &["ps", "--hub", "1"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("`hub`"), "{wrong:?}");
}

#[tokio::test]
async fn set_mode_tells_what_comes_of_it_before_and_after() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let before = std::fs::read_to_string(gateway.config_file()).expect("it is text");
    let dry = at(&gateway, &["hub", "set-mode", "probe", "default", "--dry-run"]).success();
    assert!(dry.contains("could be in default mode") && dry.contains("1 client"), "{dry}");
    assert_eq!(std::fs::read_to_string(gateway.config_file()).expect("it is text"), before);
    let none = objects(&at(&gateway, &["hub", "set-mode", "probe", "classic", "--dry-run", "--json"]).success());
    assert_eq!(none, [json!({ "closes": 0, "seconds": 0 })]);
    let done = at(&gateway, &["hub", "set-mode", "probe", "default"]).success();
    assert!(done.contains("is in default mode"), "{done}");
    client.end().await;
    assert_eq!(gateway.admin("/admin/hubs/probe").await["mode"], "default");
    let wrong = at(&gateway, &["hub", "set-mode", "probe", "other"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("serverless"), "{wrong:?}");
    let no_hub = at(&gateway, &["hub", "set-mode", "1", "classic"]);
    assert!(no_hub.code == Some(1) && no_hub.stderr.contains("not a hub's name"), "{no_hub:?}");
}

#[tokio::test]
async fn plugin_swap_serves_a_file_or_says_why_not() {
    let gateway = Gateway::probe().start().await;
    let two = guests::probe_2().display().to_string();
    let done = at(&gateway, &["plugin", "swap", "probe", &two]).success();
    assert!(done.starts_with("probe: sha256:") && done.contains("generation 2"), "{done}");
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")));
    let again = objects(&at(&gateway, &["plugin", "swap", "probe", &two, "--json"]).success());
    assert_eq!((&again[0]["name"], &again[0]["generation"]), (&json!("probe"), &json!(2)), "it serves already");
    let config = gateway.config_file().display().to_string();
    let refused = at(&gateway, &["plugin", "swap", "probe", &config]);
    assert!(refused.code == Some(1) && refused.stderr.contains("cannot be served"), "{refused:?}");
    let nobody = at(&gateway, &["plugin", "swap", "a/b", &two]);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("no plugin of this name"), "{nobody:?}");
    let gone = at(&gateway, &["plugin", "swap", "probe", "gone.wasm"]);
    assert!(gone.code == Some(2) && gone.stderr.contains("gone.wasm"), "{gone:?}");
}

#[tokio::test]
async fn send_calls_a_method_with_arguments_in_json_or_as_text() {
    let gateway = Gateway::probe().start().await;
    let mut ann = gateway.client("probe").user("ann & co").connect().await;
    let mut bob = gateway.client("probe").connect().await;
    let told =
        at(&gateway, &["send", "probe", "said", "hello there", "1", "{\"a\":[null]}", "--user", "ann & co"]).success();
    assert_eq!(told, "said was sent to 1 connection of hub probe\n");
    assert_eq!(ann.event("said").await, json!(["hello there", 1, { "a": [null] }]));
    let told = objects(&at(&gateway, &["send", "probe", "all", "--json"]).success());
    assert_eq!(told, [json!({ "recipients": 2 })]);
    assert_eq!((ann.event("all").await, bob.event("all").await), (json!([]), json!([])));
    let both = at(&gateway, &["send", "probe", "m", "--user", "a", "--group", "b"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[tokio::test]
async fn health_tells_by_its_exit_code_whether_the_gateway_is_ready() {
    let gateway = Gateway::probe().with("server.drain-delay = '60s'").start().await;
    assert_eq!(at(&gateway, &["health"]).success(), "ready\n");
    let address = gateway.ready().admin.to_string();
    let as_json = objects(&hubgate(["health", "--admin", &address, "--json"]).success());
    assert_eq!(as_json, [json!({ "ready": true, "status": "ready" })]);
    gateway.terminate();
    let stopping = async || Some(hubgate(["health", "--admin", &address])).filter(|ended| ended.code == Some(1));
    let stopping = until("it to stop", stopping).await;
    assert!(stopping.stderr.contains("draining"), "{stopping:?}");
    let nobody = hubgate(["health", "--admin", "127.0.0.1:1"]);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("127.0.0.1:1"), "{nobody:?}");
    let not_yet = hubgate(["health", "--ready-file", "gone.json"]);
    assert!(not_yet.code == Some(1) && not_yet.stderr.contains("gone.json"), "{not_yet:?}");
}
