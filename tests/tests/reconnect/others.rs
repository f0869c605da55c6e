//! Who else has to do with messages that are said twice: filters, and clients that speak MessagePack.

use hubgate_tests::{Gateway, StatefulClient, guests};
use serde_json::json;

use super::until_one_waits;

#[tokio::test]
async fn a_filter_sees_each_message_once() {
    let config = "hubs.probe.filters = ['filter']\nplugins.filter = { allow-http = ['http://127.0.0.1:1'] }";
    let gateway = Gateway::probe().plugin("filter", &guests::filter()).with(config).start().await;
    let seen =
        async || gateway.metric("hubgate_filter_verdicts_total", [("plugin", "filter"), ("verdict", "pass")]).await;
    let mut client = StatefulClient::connect(gateway.client("probe")).await;
    for text in ["a", "b"] {
        assert_eq!(client.call("echo", json!([text])).await, Ok(json!(text)));
    }
    let before = seen().await;
    assert!(before >= 2.0, "{before}");
    client.cut();
    until_one_waits(&gateway).await;
    // Neither side has acknowledged anything: both say everything again.
    client.resume().await;
    assert_eq!(client.call("echo", json!(["c"])).await, Ok(json!("c")));
    assert_eq!(seen().await, before + before / 2.0);
    let rejected = client.call("echo", json!(["in:reject"])).await;
    assert_eq!(rejected, Err("The filter says no.".to_owned()));
}

#[tokio::test]
async fn clients_speak_messagepack_too() {
    // Each with its length: calls of `echo`, their answers, and a Sequence.
    fn call(id: u8) -> Vec<u8> {
        [&[14, 0x96, 1, 0x80, 0xa1, id, 0xa4], &b"echo"[..], &[0x91, 0xa1, id, 0x90]].concat()
    }
    fn answer(id: u8) -> Vec<u8> {
        vec![8, 0x95, 3, 0x80, 0xa1, id, 3, 0xa1, id]
    }
    const FIRST: [u8; 4] = [3, 0x92, 9, 1];
    let gateway = Gateway::probe().start().await;
    let client = StatefulClient::negotiate(gateway.client("probe")).await;
    let mut link = client.open().await.expect("it opens");
    link.send_text("{\"protocol\":\"messagepack\",\"version\":2}\u{1e}").await;
    assert_eq!(link.next_bytes().await, b"{}\x1e");
    link.send_binary(&call(b'1')).await;
    assert_eq!(link.next_bytes().await, answer(b'1'));
    link.vanish();
    until_one_waits(&gateway).await;

    let mut link = client.open().await.expect("it comes back");
    link.send_binary(&[&FIRST[..], &call(b'1'), &call(b'2')].concat()).await;
    let expected = [&FIRST[..], &answer(b'1'), &answer(b'2')].concat();
    let mut came = Vec::new();
    while came.len() < expected.len() {
        let bytes = link.next_bytes().await;
        // An acknowledgement may come in between.
        if !bytes.starts_with(&[3, 0x92, 8]) {
            came.extend(bytes);
        }
    }
    assert_eq!(came, expected);
}
