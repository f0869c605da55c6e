//! What comes over the wire, well-formed and not.

use hubgate_tests::Gateway;
use hubgate_tests::client::{HANDSHAKE, Received, SEPARATOR};
use serde_json::json;

const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";

#[tokio::test]
async fn one_frame_may_hold_several_messages() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let calls: String = (0..20).map(echo).collect();
    client.send_text(&calls).await;
    for number in 0..20 {
        assert_eq!(client.completion(&number.to_string()).await["result"], number);
    }
}

#[tokio::test]
async fn one_message_may_come_in_several_frames() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let two = format!("{}{}", echo(1), echo(2));
    for byte in two.split_inclusive(|_| true) {
        client.send_text(byte).await;
    }
    assert_eq!(client.completion("1").await["result"], 1);
    assert_eq!(client.completion("2").await["result"], 2);
}

#[tokio::test]
async fn a_websocket_message_may_be_fragmented_with_control_frames_between() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let message = echo(1);
    let (first, rest) = message.split_at(10);
    let (second, third) = rest.split_at(1);
    client.send_fragmented(&[first, second, "", third]).await;
    assert_eq!(client.completion("1").await["result"], 1);
}

#[tokio::test]
async fn the_kind_of_a_frame_does_not_matter() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.send_binary(echo(1).as_bytes()).await;
    assert_eq!(client.completion("1").await["result"], 1);
}

#[tokio::test]
async fn a_websocket_ping_is_answered_with_its_payload() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    client.send_websocket_ping(b"are you there?").await;
    match client.next("the pong").await {
        Received::Pong(payload) => assert_eq!(&payload[..], b"are you there?"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn properties_may_come_in_any_order_and_with_unknown_ones_among_them() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let text = r#" { "arguments" : [ "a" ] , "extra": {"type": 7}, "invocationId":"\u0031", "target":"e\u0063ho" , "type" : 1 } "#;
    client.send_text(&format!("{text}{SEPARATOR}")).await;
    assert_eq!(client.completion("1").await["result"], "a");
}

#[tokio::test]
async fn numbers_pass_as_they_are_written() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for number in ["1.0", "9007199254740993", "18446744073709551615", "-0.5"] {
        let call = format!(r#"{{"type":1,"invocationId":"n","target":"echo","arguments":[{number}]}}"#);
        client.send_text(&format!("{call}{SEPARATOR}")).await;
        assert_eq!(client.completion("n").await["result"].to_string(), number);
    }
}

#[tokio::test]
async fn text_of_every_kind_passes() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for text in ["", "\u{1e}", "\"\\/\u{8}\n\t\0", "Zażółć gęślą jaźń", "👋🏽 𝄞", "</script>", "\u{2028}"]
    {
        assert_eq!(client.call("echo", json!([text])).await, Ok(json!(text)));
    }
    let long = "long ".repeat(100_000);
    assert_eq!(client.call("echo", json!([long])).await, Ok(json!(long)));
}

#[tokio::test]
async fn messages_that_mean_nothing_here_are_ignored() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for message in [
        json!({ "type": 0 }),
        json!({ "type": 6 }),
        json!({ "type": 99, "target": 1 }),
        json!({ "type": 2, "invocationId": "unknown", "item": 1 }),
        json!({ "type": 3, "invocationId": "unknown", "result": 1 }),
        json!({ "type": 3, "invocationId": "unknown", "error": "no" }),
        json!({ "type": 5, "invocationId": "unknown" }),
        json!({ "type": 8, "sequenceId": 1 }),
    ] {
        client.send(message).await;
    }
    assert_eq!(client.everything_so_far().await, [] as [serde_json::Value; 0]);
}

#[tokio::test]
async fn a_malformed_message_closes_its_sender_and_nobody_else() {
    let gateway = Gateway::probe().start().await;
    let mut bystander = gateway.client("probe").connect().await;
    for malformed in [
        "",
        "x",
        "{",
        "42",
        "null",
        "[]",
        "\"text\"",
        "{}",
        r#"{"type":"1"}"#,
        r#"{"type":1}"#,
        r#"{"type":1,"target":"echo"}"#,
        r#"{"type":1,"target":"echo","arguments":{}}"#,
        r#"{"type":1,"target":"echo","arguments":[[}]}"#,
        r#"{"type":1,"target":42,"arguments":[]}"#,
        r#"{"type":1,"target":"echo","invocationId":42,"arguments":[]}"#,
        r#"{"type":1,"target":"echo","headers":{"a":1},"arguments":[]}"#,
        r#"{"type":3}"#,
        r#"{"type":3,"invocationId":"1","result":1,"error":"both"}"#,
        r#"{"type":6"#,
        "{\"type\":6}{\"type\":6}",
    ] {
        let mut client = gateway.client("probe").connect().await;
        client.send_text(&format!("{malformed}{SEPARATOR}")).await;
        let end = client.end().await;
        assert_eq!(end.error(), CLOSED_WITH_ERROR, "{malformed}");
        assert!(end.allows_reconnect(), "{malformed}: what the client says next may be well formed");
    }
    assert_eq!(bystander.call("echo", json!(["fine"])).await, Ok(json!("fine")));
}

#[tokio::test]
async fn what_precedes_a_malformed_message_still_counts() {
    let gateway = Gateway::probe().start().await;
    let mut other = gateway.client("probe").connect().await;
    let mut client = gateway.client("probe").connect().await;
    let say = json!({ "type": 1, "target": "say", "arguments": ["last words"] });
    client.send_text(&format!("{say}{SEPARATOR}nonsense{SEPARATOR}")).await;
    assert_eq!(client.end().await.error(), CLOSED_WITH_ERROR);
    assert_eq!(other.event("said").await, json!(["last words"]));
}

#[tokio::test]
async fn a_message_over_the_limit_closes_its_sender_whole_or_not() {
    let gateway = Gateway::probe().with("server.limits.message = '64KiB'").start().await;
    let mut bystander = gateway.client("probe").connect().await;
    let fits = "x".repeat(60 << 10);
    assert_eq!(bystander.call("echo", json!([fits])).await, Ok(json!(fits)));

    let too_long = "x".repeat(65 << 10);
    let whole = json!({ "type": 1, "invocationId": "1", "target": "echo", "arguments": [too_long] });
    let mut client = gateway.client("probe").connect().await;
    client.send(whole).await;
    assert_eq!(client.end().await.error(), CLOSED_WITH_ERROR);

    let mut client = gateway.client("probe").connect().await;
    for _ in 0..65 {
        client.send_text(&"x".repeat(1 << 10)).await;
    }
    assert_eq!(client.end().await.error(), CLOSED_WITH_ERROR);

    let mut client = gateway.client("probe").connect().await;
    client.send_fragmented(&vec!["x".repeat(1 << 10).as_str(); 66]).await;
    client.end().await;
    assert_eq!(bystander.call("echo", json!(["fine"])).await, Ok(json!("fine")));
}

#[tokio::test]
async fn several_messages_in_one_frame_count_one_by_one_towards_the_limit() {
    let gateway = Gateway::probe().with("server.limits.message = '64KiB'").start().await;
    let mut client = gateway.client("probe").connect().await;
    let text = "x".repeat(40 << 10);
    let calls: String = (0..3)
        .map(|id| json!({ "type": 1, "invocationId": id.to_string(), "target": "echo", "arguments": [text] }))
        .map(|call| format!("{call}{SEPARATOR}"))
        .collect();
    client.send_text(&calls).await;
    for id in 0..3 {
        assert_eq!(client.completion(&id.to_string()).await["result"], text);
    }
}

#[tokio::test]
async fn a_broken_websocket_frame_ends_its_connection_and_no_other() {
    /// Four zeros: the mask that changes nothing.
    const NO_MASK: [u8; 4] = [0; 4];
    let frame = |head: &[u8], payload: &[u8]| [head, &NO_MASK, payload].concat();
    let gateway = Gateway::probe().start().await;
    let mut bystander = gateway.client("probe").connect().await;
    for (what, code, bytes) in [
        ("a frame without mask", 1002, b"\x81\x03abc".to_vec()),
        ("a reserved kind of frame", 1002, frame(b"\x83\x83", b"abc")),
        ("a reserved kind of control frame", 1002, frame(b"\x8b\x80", b"")),
        ("a reserved bit", 1002, frame(b"\xc1\x83", b"abc")),
        ("a fragmented control frame", 1002, frame(b"\x09\x80", b"")),
        ("a control frame that is too long", 1002, frame(b"\x89\xfe\x00\x7e", &[b'x'; 126])),
        ("a continuation of nothing", 1002, frame(b"\x80\x83", b"abc")),
        ("a frame of 2^63 bytes", 1009, frame(b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff", b"abc")),
    ] {
        let mut client = gateway.client("probe").connect().await;
        client.send_bytes(&bytes).await;
        let end = client.end().await;
        // RFC 6455 names the status for those who send one; to drop the connection is allowed, too.
        assert!(end.code.is_none_or(|status| [code, 1002].contains(&status)), "{what}: {end:?}");
    }
    assert_eq!(bystander.call("echo", json!(["fine"])).await, Ok(json!("fine")));
}

#[tokio::test]
async fn text_that_is_no_utf_8_ends_its_connection_and_no_other() {
    let gateway = Gateway::probe().start().await;
    let mut bystander = gateway.client("probe").connect().await;
    for invalid in [&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80"] {
        let text = [b"{\"type\":1,\"target\":\"say\",\"arguments\":[\"", invalid, b"\"]}\x1e"].concat();
        let mut client = gateway.client("probe").connect().await;
        client.send_binary(&text).await;
        client.end().await;
    }
    assert_eq!(bystander.everything_so_far().await, [] as [serde_json::Value; 0], "nothing of it was said");
}

#[tokio::test]
async fn a_gateway_lives_through_noise() {
    let gateway = Gateway::probe().with("server.timeouts.handshake = '2s'").start().await;
    let mut bystander = gateway.client("probe").connect().await;
    let valid = format!("{HANDSHAKE}{}{}", echo(1), json!({ "type": 7, "error": null }));
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    for round in 0..100 {
        let mut bytes = valid.clone().into_bytes();
        for _ in 0..=noise.below(4) {
            let at = noise.below(bytes.len());
            match noise.below(3) {
                0 => bytes[at] = noise.below(256) as u8,
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, noise.below(256) as u8),
            }
        }
        let mut client = gateway.client("probe").open().await;
        if round % 2 == 0 {
            client.send_binary(&bytes).await;
        } else {
            client.send_bytes(&bytes).await;
        }
        client.vanish();
    }
    assert_eq!(bystander.call("echo", json!(["fine"])).await, Ok(json!("fine")));
}

#[tokio::test]
async fn requests_that_are_no_http_are_turned_away() {
    let gateway = Gateway::probe().start().await;
    for garbage in ["\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n\r\nx y z\r\n\r\n"]
    {
        let answer = hubgate_tests::http::raw(gateway.address(), garbage.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{garbage:?}: {answer}");
    }
    assert_eq!(gateway.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_client_that_never_asks_is_cut_off() {
    let gateway = Gateway::probe().with("server.timeouts.http-header = '1s'").start().await;
    let answer = hubgate_tests::http::raw(gateway.address(), b"GET /client/?hub=probe HTTP/1.1\r\nHost: x").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// The same numbers in every run (Marsaglia's xorshift).
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

fn echo(number: u32) -> String {
    let call = json!({ "type": 1, "invocationId": number.to_string(), "target": "echo", "arguments": [number] });
    format!("{call}{SEPARATOR}")
}
