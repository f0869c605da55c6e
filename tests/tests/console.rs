//! The console: how its files are served, and that operators can use it, in Debian's Chromium. What it looks like is left in the target
//! directory's folder `screenshots`.

use std::fs;

use http::Method;
use hubgate_tests::command::leavings;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::script::Script;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::json;

const READ_TOKEN: &str = "a-token-that-may-only-read";

/// With the hub that the script uses. Its clients say nothing while the script runs, which takes minutes.
fn with_chat() -> Setup {
    let config = "
        server.timeouts.client = '20m'
        admin.read-token-file = 'read-token'
        hubs.chat.mode = 'serverless'
        upstream = [{ hubs = ['chat'], plugin = 'chat' }]
    ";
    Gateway::serve().plugin("chat", &guests::chat()).file("read-token", READ_TOKEN).with(config)
}

async fn connected(gateway: &Gateway, user: &str) -> Client {
    let mut client = gateway.client("chat").user(user).connect().await;
    client.call("join", json!(["lobby", user])).await.expect("anybody may join");
    client
}

/// Without a token.
async fn ask(gateway: &Gateway, method: Method, path: &str) -> Answer {
    Request::new(method, gateway.ready().admin, path).send().await
}

#[tokio::test]
async fn operators_use_the_console_in_a_browser() {
    let gateway = with_chat().start().await;
    let screenshots = leavings("screenshots/console");
    fs::create_dir_all(&screenshots).expect("there is room for a folder");
    let mut clients = Vec::new();
    for user in ["ann", "<b>mallory</b>", "<b>mallory</b>"] {
        clients.push(connected(&gateway, user).await);
    }
    let url = format!("http://{}/console/", gateway.ready().admin);
    let shots = screenshots.display().to_string();
    let mut script = Script::start("console.mjs", &[&url, &shots, &gateway.ready().admin_token, READ_TOKEN]);
    script.succeeds().await;
    assert!(!gateway.log().contains(READ_TOKEN) && !gateway.log().contains(&gateway.ready().admin_token));
}

#[tokio::test]
async fn its_files_need_no_token_and_lead_to_nothing_that_does() {
    let gateway = with_chat().start().await;
    let page = ask(&gateway, Method::GET, "/console/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("<title>Hubgate</title>"), "{}", page.body);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    let policy = page.header("content-security-policy");
    let endpoint = gateway.address();
    let connects = format!("connect-src 'self' http://{endpoint} ws://{endpoint};");
    for part in [&connects, "default-src 'none';", "frame-ancestors 'none';", "require-trusted-types-for 'script'"] {
        assert!(policy.contains(part), "{part} {policy}");
    }
    let head = ask(&gateway, Method::HEAD, "/console/console.js").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_ne!(head.header("content-length"), "0");
    let known =
        Request::new(Method::GET, gateway.ready().admin, "/console/").header("if-none-match", page.header("etag"));
    assert_eq!(known.send().await.status, 304);
    let root = ask(&gateway, Method::GET, "/").await;
    assert_eq!((root.status, root.header("location")), (307, "console/"));
    let posted = ask(&gateway, Method::POST, "/console/").await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
    for (path, status) in
        [("/console/nothing", 404), ("/console/../admin/keys", 404), ("/admin/keys", 401), ("/x", 401)]
    {
        let answer = ask(&gateway, Method::GET, path).await;
        assert!(answer.status == status && !answer.body.contains("AccessKey"), "{path}: {answer:?}");
    }
    let foreign = Request::new(Method::GET, gateway.ready().admin, "/console/").header("host", "evil.example");
    assert_eq!(foreign.send().await.status, 403);
}

#[tokio::test]
async fn its_playground_may_connect_to_the_endpoints_that_the_configuration_has_now() {
    let mut gateway = with_chat().start().await;
    gateway.reconfigure("server.endpoints = ['https://example.com/realtime']");
    gateway.hang_up();
    gateway.logs(&["the configuration was reloaded", "server.endpoints"]).await;
    let page = ask(&gateway, Method::GET, "/console/").await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("connect-src 'self' https://example.com wss://example.com;"), "{policy}");
}
