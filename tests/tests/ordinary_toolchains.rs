//! Components of toolchains that know nothing of the gateway, and expect a system around them.

use std::time::{SystemTime, UNIX_EPOCH};

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
