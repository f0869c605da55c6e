//! The OpenAPI document says what the gateway does: each operation that it lists is asked for.

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::http::Request;
use serde_json::{Value, json};

/// The document's paths, with the methods of each.
async fn paths(gateway: &Gateway) -> serde_json::Map<String, Value> {
    let answer = gateway.get("/api/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    assert_eq!(document["servers"], json!([{ "url": gateway.url() }]));
    document["paths"].as_object().expect("an object").clone()
}

fn filled_in(path: &str) -> String {
    let names = [
        ("{hub}", "bare"),
        ("{connectionId}", "nobody"),
        ("{streamId}", "7"),
        ("{group}", "tea"),
        ("{groups}", "tea,coffee"),
        ("{user}", "ann"),
        ("{users}", "ann,bob"),
    ];
    names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

fn with_body(request: Request, operation: &Value) -> Request {
    match operation["requestBody"].is_object() {
        true => request.json(&json!({ "target": "said", "arguments": [1], "connectionToken": "nobody" })),
        false => request,
    }
}

#[tokio::test]
async fn every_operation_that_it_lists_is_there_and_answers_with_a_status_that_it_lists() {
    let gateway = Gateway::serve().with("hubs.bare.mode = 'serverless'").start().await;
    let mut asked = 0;
    for (path, methods) in paths(&gateway).await {
        for (method, operation) in methods.as_object().expect("an object") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let filled = filled_in(&path);
            let statuses = operation["responses"].as_object().expect("an object");
            let answer = with_body(gateway.rest(method.clone(), &filled), operation).send().await;
            assert!(statuses.contains_key(&answer.status.to_string()), "{method} {path}: {answer:?}");
            assert!(!answer.body.contains("No operation"), "{method} {path}: {answer:?}");
            let without = with_body(gateway.request(method.clone(), &filled), operation).send().await;
            let expected = if operation["security"] == json!([]) { answer.status } else { 401 };
            assert_eq!(without.status, expected, "{method} {path} without a token");
            asked += 1;
        }
    }
    assert!(asked > 70, "{asked}");
}

#[tokio::test]
async fn a_body_that_is_no_message_is_answered_as_it_says() {
    let gateway = Gateway::serve().with("hubs.bare.mode = 'serverless'").start().await;
    for (path, methods) in paths(&gateway).await {
        for (method, operation) in methods.as_object().expect("an object") {
            let forms = &operation["requestBody"]["content"];
            if forms["application/x-msgpack"].is_null() {
                continue;
            }
            let statuses = operation["responses"].as_object().expect("an object");
            let forms = forms.as_object().expect("an object");
            let method: Method = method.to_uppercase().parse().expect("a method");
            for form in forms.keys().map(String::as_str).chain(["text/plain"]) {
                // Neither JSON nor one value in MessagePack.
                let request = gateway.rest(method.clone(), &filled_in(&path)).body(form, "\u{c1}");
                let answer = request.send().await;
                let expected = if forms.contains_key(form) { 400 } else { 415 };
                assert_eq!(answer.status, expected, "{method} {path} {form}: {answer:?}");
                assert!(statuses.contains_key(&answer.status.to_string()), "{method} {path} {form}");
            }
        }
    }
}

#[tokio::test]
async fn it_is_read_and_not_written() {
    let gateway = Gateway::serve().with("hubs.bare.mode = 'serverless'").start().await;
    let answer = gateway.post("/api/openapi.json").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
}
