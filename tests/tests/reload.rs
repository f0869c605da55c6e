//! The configuration may change while the gateway runs: what changed is logged, and a bad file changes nothing.

use std::fs;

use http::Method;
use hubgate_tests::gateway::{KEY, SECOND_KEY};
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, Token, guests};
use serde_json::json;

const THIRD_KEY: &str = "dGVzdHMtb25seS10aGlyZC1hY2Nlc3Mta2V5LTAxMjM0NTY3ODk=";

/// Waits until the log has told `count` times that a configuration was read and what came of it.
async fn reloaded(gateway: &Gateway, count: usize) {
    const ENDS: [&str; 3] = ["the configuration was", "the configuration has", "the configuration stays"];
    let is_end = |line: &&str| ENDS.iter().any(|end| line.contains(end));
    until("the configuration to be read", async || {
        (gateway.log().lines().filter(is_end).count() >= count).then_some(())
    })
    .await;
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    let token = Token::new(&format!("{}/client/?hub=probe", gateway.url()), key).sign();
    gateway.request(Method::POST, "/client/negotiate?hub=probe").bearer(&token).send().await.status
}

#[tokio::test]
async fn keys_rotate_without_dropping_anybody() {
    let mut gateway = Gateway::probe().start().await;
    let mut old = gateway.client("probe").connect().await;
    gateway.reconfigure(&format!("server.access-keys = ['{SECOND_KEY}', '{THIRD_KEY}']"));
    gateway.hang_up();
    reloaded(&gateway, 1).await;
    assert_eq!(
        [status(&gateway, KEY).await, status(&gateway, SECOND_KEY).await, status(&gateway, THIRD_KEY).await],
        [401, 200, 200]
    );
    assert_eq!(old.call("echo", json!(["still here"])).await, Ok(json!("still here")));
    gateway.logs(&["the configuration was reloaded", "server.access-keys"]).await;
    assert!([KEY, SECOND_KEY, THIRD_KEY].iter().all(|key| !gateway.log().contains(key)), "keys are secrets");
}

#[tokio::test]
async fn a_changed_file_is_read_without_being_asked() {
    let mut gateway = Gateway::probe().start().await;
    let _first = gateway.client("probe").connect().await;
    gateway.reconfigure("server.limits.connections = 1");
    reloaded(&gateway, 1).await;
    gateway.logs(&["the configuration was reloaded", "changed=\"server.limits.connections\""]).await;
    assert_eq!(gateway.client("probe").try_open().await.expect_err("no place is left").status, 503);
}

#[tokio::test]
async fn a_changed_keys_file_is_read_too() {
    let by_configuration = Gateway::probe().with("server.access-keys = []\nserver.access-keys-file = 'keys'");
    let by_variable = Gateway::probe().with("server.access-keys = []").environment("HUBGATE_ACCESS_KEYS_FILE", "keys");
    for setup in [by_configuration, by_variable] {
        let gateway = setup.file("keys", KEY).start().await;
        assert_eq!([status(&gateway, KEY).await, status(&gateway, THIRD_KEY).await], [200, 401]);
        fs::write(gateway.folder().join("keys"), format!("{KEY}\n{THIRD_KEY}\n")).expect("the folder can be written");
        reloaded(&gateway, 1).await;
        assert_eq!([status(&gateway, KEY).await, status(&gateway, THIRD_KEY).await], [200, 200]);
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for (count, (content, why)) in [
        ("server.access-keys = [", "hubgate.toml"),
        ("server.acces-keys = []", "acces-keys"),
        ("server.access-keys = ['a-key-that-is-long-enough-for-HS256']\nupstream = [{ plugin = 'gone' }]", "upstream[0].plugin"),
        (
            "server = { access-keys = ['a-key-that-is-long-enough-for-HS256'], shards = 2, data-dir = 'data' }\nadmin.listen = '127.0.0.1:0'\n\
             hubs.probe.mode = 'serverless'\nplugins.probe.path = 'gone.wasm'",
            "gone.wasm",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(gateway.config_file(), content).expect("the folder can be written");
        gateway.hang_up();
        reloaded(&gateway, count + 1).await;
        gateway.logs(&["the configuration stays as it was", why]).await;
        assert_eq!(client.call("echo", json!([count])).await, Ok(json!(count)));
        assert_eq!(status(&gateway, KEY).await, 200);
    }
    gateway.reconfigure("server.limits.connections = 7");
    gateway.hang_up();
    gateway.logs(&["the configuration was reloaded", "changed=\"server.limits.connections\""]).await;
}

#[tokio::test]
async fn what_cannot_change_while_running_is_refused_by_name() {
    for (config, key) in [
        ("server.shards = 1", "server.shards"),
        ("server.listen = '127.0.0.1:1'", ""),
        ("admin.listen = '127.0.0.1:1'", "admin.listen"),
    ] {
        let mut gateway = Gateway::probe().start().await;
        gateway.reconfigure(config);
        gateway.hang_up();
        reloaded(&gateway, 1).await;
        // The address of clients is the command line's in these tests, so that of the file does not count.
        match key {
            "" => gateway.logs(&["the configuration has not changed"]).await,
            key => gateway.logs(&["the configuration stays as it was", &format!("{key} cannot change")]).await,
        }
    }
}

#[tokio::test]
async fn plugins_come_change_and_go() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    assert_eq!(client.call("count", json!(["n"])).await, Ok(json!(1)));

    let file = gateway.plugin_file("probe");
    gateway.reconfigure(&format!("plugins.second.path = '{}'\nhubs.more = {{ mode = 'default' }}", file.display()));
    gateway.hang_up();
    reloaded(&gateway, 1).await;
    assert_eq!(gateway.plugin_status("second").await["generation"], 1);
    assert_eq!(gateway.plugin_status("probe").await["generation"], 1, "the other one stays as it is");
    gateway.logs(&["changed=", "plugins.second"]).await;

    gateway.reconfigure("upstream = [{ hubs = ['probe'], plugin = 'second' }]\nplugins.probe.memory = '32MiB'");
    gateway.hang_up();
    reloaded(&gateway, 2).await;
    assert_eq!(client.call("count", json!(["n"])).await, Ok(json!(1)), "the second plugin has a state of its own");
    assert_eq!(gateway.plugin_status("probe").await["generation"], 2);

    gateway.reconfigure("upstream = [{ hubs = ['probe'], plugin = 'probe' }]");
    gateway.hang_up();
    reloaded(&gateway, 3).await;
    assert_eq!(client.call("count", json!(["n"])).await, Ok(json!(2)), "the first one has kept its state");
    let before = gateway.plugin_status("probe").await["generation"].clone();
    gateway.replace_plugin("probe", &guests::bytes(&guests::probe_2()));
    until("the swap", async || (gateway.plugin_status("probe").await["generation"] != before).then_some(())).await;
    assert_eq!(client.call("version", json!([])).await, Ok(json!("2")));
}

#[tokio::test]
async fn the_log_level_follows() {
    let mut gateway = Gateway::probe().start().await;
    gateway.client("probe").connect().await.leave().await;
    assert!(!gateway.log().contains("DEBUG"));
    gateway.reconfigure("server.log = 'info,hubgate_net=debug'");
    reloaded(&gateway, 1).await;
    gateway.client("probe").connect().await.leave().await;
    gateway.logs(&["DEBUG", "a client connected"]).await;
}

#[tokio::test]
async fn messages_flow_while_the_configuration_changes_again_and_again() {
    let mut gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for round in 0..5 {
        gateway.reconfigure(&format!(
            "server.limits.connections = {}\nplugins.probe.config.round = '{round}'",
            100 + round
        ));
        gateway.hang_up();
        for call in 0..50 {
            assert_eq!(client.call("echo", json!([call])).await, Ok(json!(call)));
        }
        reloaded(&gateway, round + 1).await;
    }
    assert_eq!(gateway.plugin_status("probe").await["generation"], 6);
}
