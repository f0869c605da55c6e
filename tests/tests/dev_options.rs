//! `hubgate dev` with a handler that is being made: its options, and a configuration that they win over.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use http::Method;
use hubgate_tests::command::{Finished, binary, hubgate};
use hubgate_tests::http::Request;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

async fn enter(gateway: &Gateway, hub: &str) -> Client {
    let answer = gateway.post(&format!("/hubs/{hub}/negotiate?negotiateVersion=1")).await.json();
    let token = answer["accessToken"].as_str().expect("anybody is let in");
    gateway.client(hub).token(token).connect().await
}

#[tokio::test]
async fn clients_without_a_token_are_whom_they_are_signed_in_as() {
    let probe = guests::probe().display().to_string();
    let gateway = Gateway::dev(["--plugin", &probe, "--hub", "probe", "--as", "ann"]).start().await;
    let me = enter(&gateway, "probe").await.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(me["userId"], json!("ann"));
    assert!(gateway.printed().contains("signed in as      ann"), "{}", gateway.printed());
    let long = "x".repeat(1025);
    let refused = hubgate(["dev", "--as", &long]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--as: Invalid user id"), "{refused:?}");
}

#[tokio::test]
async fn a_configuration_is_served_and_options_win() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("hubgate.toml");
    fs::copy(guests::probe(), folder.path().join("probe.wasm")).expect("the folder can be written");
    let config = "
        hubs.probe = { mode = 'serverless', negotiate = { anonymous = true } }
        hubs.other.mode = 'serverless'
        upstream = [{ hubs = ['probe', 'other'], plugin = 'probe' }]
        plugins.probe.path = 'probe.wasm'";
    fs::write(&file, config).expect("the folder can be written");
    let file = file.display().to_string();
    let gateway = Gateway::dev(["--config", &file]).start().await;
    assert_eq!(enter(&gateway, "probe").await.call("version", json!([])).await, Ok(json!("1")));
    assert_eq!(gateway.post("/hubs/other/negotiate").await.status, 403, "as it is configured");
    assert_eq!(gateway.post("/hubs/chat/negotiate").await.status, 403, "the chat is for nobody's configuration");
    assert!(gateway.printed().contains(&file), "{}", gateway.printed());

    let newer = guests::probe_2().display().to_string();
    let gateway = Gateway::dev(["--config", &file, "--plugin", &newer, "--hub", "other"]).start().await;
    assert_eq!(enter(&gateway, "other").await.call("version", json!([])).await, Ok(json!("2")));
    assert_eq!(enter(&gateway, "probe").await.call("version", json!([])).await, Ok(json!("1")));
}

#[test]
fn wrong_options_are_told_with_what_they_should_be() {
    let plugin = guests::probe().display().to_string();
    for (option, value, why) in [
        ("--set", "greeting", "must be KEY=VALUE"),
        ("--allow-http", "api.example.com", "\"api.example.com\" is not scheme, host and port"),
        ("--allow-http", "10.0.0.0/8", "--allow-http: lists networks, but no URL in them that may be requested"),
        ("--listen", "192.0.2.1:8888", "--listen = \"192.0.2.1:8888\": cannot listen there"),
        ("--config", "/nowhere/hubgate.toml", "cannot read the configuration /nowhere/hubgate.toml"),
    ] {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let data = folder.path().join("data").display().to_string();
        let refused = hubgate(["dev", "--data-dir", &data, "--plugin", &plugin, "--hub", "probe", option, value]);
        assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
        assert!(refused.stderr.contains(why) && !refused.stderr.contains("plugins.probe"), "{refused:?}");
    }
    assert_eq!(hubgate(["dev", "--set", "a=b"]).code, Some(2), "of which plugin?");
}

#[test]
fn what_a_component_lacks_is_told_by_the_option_that_gives_it() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [data, filter] = [folder.path().join("data"), guests::filter()].map(|path| path.display().to_string());
    let dev = |more: &[&str]| {
        let own = ["dev", "--data-dir", &data, "--plugin", &filter, "--hub", "f", "--listen", "127.0.0.1:0"];
        Finished::of(Command::new(binary()).args(own).args(["--admin-listen", "127.0.0.1:0"]).args(more))
    };
    // Even one that imports `http`: no permission would make it a handler.
    let filter = dev(&[]);
    assert_eq!(filter.code, Some(2), "{filter:?}");
    assert!(filter.stderr.contains("it is a filter, and `--plugin` names it as a handler"), "{filter:?}");
}

#[tokio::test]
async fn a_component_that_is_put_in_the_place_of_another_is_told_what_it_lacks_in_the_same_words() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let plugin = folder.path().join("plugin.wasm");
    fs::copy(guests::probe(), &plugin).expect("there is room");
    let gateway = Gateway::dev(["--plugin", &plugin.display().to_string(), "--hub", "probe"]).start().await;
    fs::copy(guests::filter(), folder.path().join("new.wasm")).expect("there is room");
    fs::rename(folder.path().join("new.wasm"), &plugin).expect("the folder is ours");
    gateway.logs(&["it is a filter, and `--plugin` names it as a handler"]).await;
}

/// Is killed when the test is over.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn on_all_addresses_it_prints_one_that_others_can_use_and_says_that_it_is_open() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [ready, printed] = ["ready.json", "printed"].map(|name| folder.path().join(name));
    let mut command = Command::new(binary());
    command.args(["dev", "--listen", "0.0.0.0:0", "--ready-file"]).arg(&ready).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(File::create(&printed).expect("it is empty")).stderr(Stdio::null());
    let _process = Process(command.spawn().expect("the binary is there"));
    let ready: Value =
        until("the gateway to listen", async || serde_json::from_str(&fs::read_to_string(&ready).ok()?).ok()).await;
    let connection = ready["connectionString"].as_str().expect("a text");
    let printed = fs::read_to_string(printed).expect("it has printed");
    assert!(!connection.contains("0.0.0.0") && printed.contains(connection), "{printed}");
    assert!(!printed.contains("//0.0.0.0") && printed.contains("OPEN "), "{printed}");
    let listen: SocketAddr = ready["listen"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    let here = SocketAddr::from(([127, 0, 0, 1], listen.port()));
    let answer = Request::new(Method::POST, here, "/hubs/chat/negotiate").send().await.json();
    let url = answer["url"].as_str().expect("anybody is let in");
    assert!(url.starts_with(&format!("http://{here}/client/")), "who asks here goes on here: {url}");
}
