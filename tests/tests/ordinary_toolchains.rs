//! Components of toolchains that know nothing of the gateway, and expect a system around them.

use std::time::{SystemTime, UNIX_EPOCH};

use hubgate_tests::command::{hubgate, repository};
use hubgate_tests::{Gateway, guests};
use serde_json::json;

#[tokio::test]
async fn clocks_and_chance_are_real_and_what_is_printed_is_logged() {
    let config = "hubs.js.mode = 'serverless'\nupstream = [{ plugin = 'ordinary' }]";
    let gateway = Gateway::serve().plugin("ordinary", &guests::ordinary_js()).with(config).start().await;
    let mut client = gateway.client("js").connect().await;

    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis() as u64;
    let before = now();
    let time = client.call("time", json!([])).await.expect("it answers");
    let told = time[0].as_u64().expect("milliseconds");
    assert!((before..=now()).contains(&told), "{before} {told}");

    let chances = [client.call("chance", json!([])).await, client.call("chance", json!([])).await];
    assert_ne!(chances[0], chances[1], "no two are alike");
    assert_ne!(chances[0].as_ref().expect("it answers")[0], chances[0].as_ref().expect("it answers")[1]);

    client.call("print", json!(["to be or not to be"])).await.expect_err("it breaks off");
    gateway.logs(&["plugin=ordinary", "to be or not to be"]).await;
}

#[tokio::test]
async fn a_component_gets_messagepack_as_it_was_sent_if_it_wants_it() {
    // An array with an application's extension, which JSON cannot carry.
    const ARGUMENTS: [u8; 6] = [0x92, 0x01, 0xd5, 0x05, 0xab, 0xcd];
    for (payload, expected) in [("native", &ARGUMENTS[..]), ("json", &[0x92, 0x01, 0xc0])] {
        let config = "hubs.js.mode = 'serverless'\nupstream = [{ plugin = 'ordinary' }]";
        let gateway = Gateway::serve().plugin("ordinary", &guests::ordinary_js()).with(config);
        let gateway = gateway.with(&format!("plugins.ordinary.payload = '{payload}'")).start().await;
        let mut client = gateway.client("js").open().await;
        client.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
        assert_eq!(client.next_bytes().await, b"{}\x1e");
        // [1, {}, "7", "raw", arguments, []]
        let call = [b"\x96\x01\x80\xa17\xa3raw", &ARGUMENTS[..], b"\x90"].concat();
        client.send_binary(&[&[call.len() as u8], &call[..]].concat()).await;
        // [3, {}, "7", 3, result]
        let completion = [b"\x95\x03\x80\xa17\x03", expected].concat();
        assert_eq!(client.next_bytes().await, [&[completion.len() as u8], &completion[..]].concat(), "{payload}");
    }
}

const HANDLER: &str = "hubs.js.mode = 'serverless'\nupstream = [{ plugin = 'ordinary' }]";

#[tokio::test]
async fn a_script_keeps_the_digits_of_large_integers_or_is_told_that_it_cannot() {
    let gateway = Gateway::serve().plugin("ordinary", &guests::ordinary_js()).with(HANDLER).start().await;
    let mut client = gateway.client("js").connect().await;

    let values = json!([9_007_199_254_740_993_u64, i64::MIN, {"deep": [u64::MAX]}, 1, "9007199254740993", 0.5]);
    assert_eq!(client.call("same", values.clone()).await, Ok(values));

    let largest = (1_u64 << 53) - 1;
    assert_eq!(client.call("add", json!(["n", largest])).await, Ok(json!(largest)));
    client.call("add", json!(["n", 1])).await.expect_err("the sum would lose digits");
    gateway.logs(&["plugin=ordinary", "increment", "2^53 - 1", "nothing was added"]).await;
    assert_eq!(client.call("add", json!(["n", -1])).await, Ok(json!(largest - 1)));
}

#[tokio::test]
async fn a_script_that_answers_with_a_promise_fails_that_call_with_the_reason() {
    let gateway = Gateway::serve().plugin("ordinary", &guests::ordinary_js()).with(HANDLER).start().await;
    let mut client = gateway.client("js").connect().await;
    client.call("later", json!([])).await.expect_err("nobody waits for a promise");
    gateway.logs(&["a call of the plugin failed", "`upstream.invoke` has answered with a promise"]).await;
    assert_eq!(client.call("same", json!([1])).await, Ok(json!([1])));
}

#[test]
fn an_async_handler_is_no_component_and_the_build_names_it() {
    let tools = repository().join("tests/guests/javascript/node_modules");
    assert!(tools.is_dir(), "{} is not there: run scripts/build-guests.sh", tools.display());
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(tools, file("node_modules")).expect("the folder can be written");
    let lifecycle = "export const lifecycle = { init() {} };";
    for (world, script, place) in [
        (
            "handler",
            "export const upstream = { connected() {}, disconnected() {}, async invoke() {} };",
            "`upstream.invoke` is async",
        ),
        (
            "filter-inbound",
            "export const inboundFilter = { inspect: async () => ({ tag: 'pass' }) };",
            "`inboundFilter.inspect`",
        ),
    ] {
        let manifest = json!({ "main": "main.js", "type": "module", "hubgate": { "world": world } });
        std::fs::write(file("package.json"), manifest.to_string()).expect("the folder can be written");
        std::fs::write(file("main.js"), format!("{lifecycle}\n{script}")).expect("the folder can be written");
        let output = file("out.wasm").display().to_string();
        let built = hubgate(["plugin", "build", &folder.path().display().to_string(), "-o", &output]);
        assert_eq!(built.code, Some(1), "{built:?}");
        assert!(built.stderr.contains(place), "{built:?}");
        let left = std::fs::read_dir(folder.path()).expect("it can be read").count();
        assert_eq!(left, 3, "the build leaves nothing behind");
    }
}
