//! The hub handshake: the first message of either side.

use std::time::{Duration, Instant};

use hubgate_tests::Gateway;
use hubgate_tests::client::HANDSHAKE;
use serde_json::json;

const MALFORMED: &str = "An unexpected error occurred during connection handshake.";

#[tokio::test]
async fn every_version_up_to_2_is_answered_with_an_empty_object() {
    let gateway = Gateway::probe().start().await;
    for version in [0, 1, 2] {
        let mut client = gateway.client("probe").open().await;
        client.send(json!({ "protocol": "json", "version": version })).await;
        assert_eq!(client.message().await, json!({}), "version {version}");
        assert_eq!(client.call("echo", json!(["hello"])).await, Ok(json!("hello")));
    }
}

#[tokio::test]
async fn order_of_properties_and_unknown_ones_do_not_matter() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").open().await;
    client.send_text("{ \"extra\": [null, {}], \"version\": 1, \"protocol\": \"json\" }\u{1e}").await;
    assert_eq!(client.message().await, json!({}));
}

#[tokio::test]
async fn the_request_may_come_as_binary() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").open().await;
    client.send_binary(HANDSHAKE.as_bytes()).await;
    assert_eq!(client.message().await, json!({}));
}

#[tokio::test]
async fn the_request_may_come_in_pieces() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").open().await;
    for piece in HANDSHAKE.split_inclusive(['"', ':']) {
        client.send_text(piece).await;
    }
    assert_eq!(client.message().await, json!({}));
}

#[tokio::test]
async fn messages_may_follow_the_request_in_the_same_frame() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").open().await;
    let call = json!({ "type": 1, "invocationId": "7", "target": "echo", "arguments": ["behind"] });
    client.send_text(&format!("{HANDSHAKE}{call}\u{1e}")).await;
    assert_eq!(client.message().await, json!({}));
    assert_eq!(client.completion("7").await["result"], "behind");
}

#[tokio::test]
async fn another_protocol_is_refused_by_its_name() {
    let gateway = Gateway::probe().start().await;
    for protocol in ["xml", "blazorpack", ""] {
        let error = error_of(&gateway, &json!({ "protocol": protocol, "version": 1 }).to_string()).await;
        assert_eq!(error, format!("The protocol '{protocol}' is not supported."));
    }
}

#[tokio::test]
async fn a_higher_version_is_refused_by_its_number() {
    let gateway = Gateway::probe().start().await;
    let error = error_of(&gateway, r#"{"protocol":"json","version":3}"#).await;
    assert_eq!(error, "The server does not support version 3 of the 'json' protocol.");
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let gateway = Gateway::probe().start().await;
    for request in [
        "",
        "x",
        "{",
        "42",
        "null",
        "[]",
        "{}",
        r#""json""#,
        r#"{"protocol":"json"}"#,
        r#"{"version":1}"#,
        r#"{"protocol":null,"version":1}"#,
        r#"{"protocol":"json","version":"1"}"#,
        r#"{"type":1,"target":"echo","arguments":[]}"#,
    ] {
        assert_eq!(error_of(&gateway, request).await, MALFORMED, "{request}");
    }
}

#[tokio::test]
async fn a_request_of_more_than_64_kib_is_malformed_whether_it_ends_or_not() {
    let gateway = Gateway::probe().start().await;
    let long = "x".repeat(65 << 10);
    let whole = format!(r#"{{"protocol":"json","version":1,"extra":"{long}"}}"#);
    assert_eq!(error_of(&gateway, &whole).await, MALFORMED);

    let mut client = gateway.client("probe").open().await;
    client.send_text(&long).await;
    assert_eq!(client.handshake_error().await, MALFORMED);
}

#[tokio::test]
async fn the_texts_of_errors_are_for_those_who_ask_for_details() {
    let gateway = Gateway::probe().with("server.detailed-errors = true").start().await;
    let error = error_of(&gateway, r#"{"version":1}"#).await;
    assert!(error.starts_with(&format!("{MALFORMED} InvalidDataException: Missing required property")), "{error}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let gateway = Gateway::probe().with("server.timeouts.handshake = '1s'").start().await;
    let mut silent = gateway.client("probe").open().await;
    let mut slow = gateway.client("probe").open().await;
    let opened = Instant::now();
    slow.send_text("{\"protocol\"").await;
    assert_eq!(silent.handshake_error().await, "Handshake was canceled.");
    assert_eq!(slow.handshake_error().await, "Handshake was canceled.");
    assert!(opened.elapsed() >= Duration::from_millis(800), "{:?} is too early", opened.elapsed());
}

#[tokio::test]
async fn the_handshake_timeout_is_over_with_the_handshake() {
    let gateway = Gateway::probe().with("server.timeouts = { handshake = '1s', keep-alive = '1s' }").start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut silent = gateway.client("probe").open().await;
    silent.handshake_error().await;
    assert_eq!(client.call("echo", json!(["still here"])).await, Ok(json!("still here")));
}

async fn error_of(gateway: &Gateway, request: &str) -> String {
    let mut client = gateway.client("probe").open().await;
    client.send_text(&format!("{request}\u{1e}")).await;
    client.handshake_error().await
}
