//! Control bytes, nesting and size: whatever a text from outside holds, it stays a text.

use http::Method;
use hubgate_tests::Gateway;
use serde_json::json;

const HOSTILE: &str = "a\r\nX-Injected: 1\r\n\0\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}b";

#[tokio::test]
async fn control_bytes_in_users_claims_and_groups_are_texts_like_others() {
    let gateway = Gateway::probe().with("server.log = 'debug'").start().await;
    let mut client = gateway.client("probe").user(HOSTILE).with_claim("c", HOSTILE).connect().await;
    let who = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(who["userId"], HOSTILE);
    client.call("join", json!([HOSTILE])).await.expect("a group may have any name");
    client.call("sayTo", json!([HOSTILE, "x"])).await.expect("it answers");
    assert_eq!(client.event("said").await, json!(["x"]));
    let escaped: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for whom in ["users", "groups"] {
        let path = format!("/api/hubs/probe/{whom}/{escaped}");
        assert_eq!(gateway.rest(Method::HEAD, &path).send().await.status, 200, "{whom}");
        let sent = gateway.rest(Method::POST, &path).json(&json!({"target": "said", "arguments": [whom]})).send().await;
        assert_eq!(sent.status, 202);
        assert_eq!(client.event("said").await, json!([whom]));
    }
    client.call("fail", json!([HOSTILE])).await.expect_err("it fails");
    client.leave().await;
    let log = gateway.log();
    assert!(!log.contains(['\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{202e}', '\r']), "{log:?}");
    assert!(log.lines().all(|line| line.starts_with("20")), "no line is forged: {log}");
}

#[tokio::test]
async fn control_bytes_in_hubs_and_requests_are_refused_and_split_nothing() {
    let gateway = Gateway::probe().with("server.log = 'debug'").start().await;
    let token = gateway.token("probe").sign();
    for path in [
        "/client/negotiate?hub=probe%0d%0aX-Injected:%201",
        "/client/negotiate?hub=probe%00",
        "/hubs/probe%0d%0aX-Injected:%201/negotiate",
        "/api/hubs/probe%0d%0a/:send",
        "/api/hubs/probe/users/%ff%fe/:send",
        "/%0d%0aX-Injected:%201",
    ] {
        let answer = gateway.request(Method::POST, path).bearer(&token).send().await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.headers.get("x-injected").is_none(), "{path}");
    }
    let redirect = gateway.post("/hubs/probe/negotiate?room=a%0d%0aX-Injected:%201").await;
    assert!(redirect.headers.get("x-injected").is_none() && !redirect.body.contains('\r'), "{}", redirect.body);
    let log = gateway.log();
    assert!(log.lines().all(|line| line.starts_with("20")), "no line is forged: {log}");
}

#[tokio::test]
async fn a_message_that_nests_or_grows_without_end_costs_its_sender_alone() {
    let gateway = Gateway::probe().with("server.limits.message = '1MiB'\nserver.detailed-errors = true").start().await;
    let mut beside = gateway.client("probe").connect().await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let call = |arguments: &str| format!("{{\"type\":1,\"target\":\"echo\",\"arguments\":{arguments}}}\u{1e}");
    for (bomb, why) in [
        (call(&deep(100)), "nests deeper"),
        (call(&deep(100_000)), "nests deeper"),
        ("[".repeat(500_000) + "\u{1e}", "nests deeper"),
        ("{\"a\":".repeat(100_000) + "\u{1e}", "nests deeper"),
        (call(&format!("[\"{}\"]", "x".repeat(2 << 20))), "maximum message size"),
        ("x".repeat(2 << 20), "maximum message size"),
    ] {
        let mut client = gateway.client("probe").connect().await;
        client.send_text(&bomb).await;
        let end = client.end().await;
        assert!(end.error().contains(why), "{why}: {end:?}");
        assert_eq!(beside.call("echo", json!([why])).await, Ok(json!(why)));
    }
    let number = "9".repeat(100_000);
    let mut client = gateway.client("probe").connect().await;
    client
        .send_text(&format!("{{\"type\":1,\"invocationId\":\"n\",\"target\":\"echo\",\"arguments\":[{number}]}}\u{1e}"))
        .await;
    assert!(client.next_text().await.contains(&number), "a number is a text as well");
    let body = format!("{{\"target\":\"said\",\"arguments\":{}}}", deep(50_000));
    let sent = gateway.rest(Method::POST, "/api/hubs/probe/:send").body("application/json", body).send().await;
    assert_eq!(sent.status, 400, "{}", sent.body);
    assert!(sent.body.contains("nests deeper"), "{}", sent.body);
}
