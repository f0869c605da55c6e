//! The admin listener: which token opens what, what is refused whoever asks, and what the log tells of changes.

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::{Answer, Request};
use serde_json::json;

const READ_TOKEN: &str = "a-token-that-may-only-read";

/// What operators may read without secrets.
const READ: [&str; 6] =
    ["/metrics", "/admin/plugins", "/admin/hubs", "/admin/hubs/probe", "/admin/connections", "/admin/session"];

/// Whatever changes something.
fn changes() -> [(Method, &'static str); 7] {
    [
        (Method::PUT, "/admin/hubs/probe"),
        (Method::POST, "/admin/hubs/probe/send"),
        (Method::POST, "/admin/plugins/probe/swap"),
        (Method::POST, "/admin/plugins/probe/rollback"),
        (Method::DELETE, "/admin/connections/AAAAAAAAAAAAAAAAAAAAAAAA"),
        (Method::POST, "/admin/keys/primary:regenerate"),
        (Method::POST, "/admin/keys/secondary:regenerate"),
    ]
}

fn with_read_token() -> Setup {
    Gateway::probe().file("read-token", READ_TOKEN).with("admin.read-token-file = 'read-token'")
}

async fn by_reader(gateway: &Gateway, method: Method, path: &str) -> Answer {
    Request::new(method, gateway.ready().admin, path).bearer(READ_TOKEN).send().await
}

#[tokio::test]
async fn the_read_token_reads_and_neither_opens_keys_nor_changes_anything() {
    let gateway = with_read_token().start().await;
    for path in READ {
        assert_eq!(by_reader(&gateway, Method::GET, path).await.status, 200, "{path}");
    }
    let keys = by_reader(&gateway, Method::GET, "/admin/keys").await;
    assert_eq!(keys.status, 403, "{}", keys.body);
    assert!(keys.body.contains("access keys") && !keys.body.contains("AccessKey="), "{}", keys.body);
    let before = gateway.admin("/admin/keys").await;
    for (method, path) in changes() {
        let answer = by_reader(&gateway, method, path).await;
        assert!(answer.status == 403 && answer.body.contains("admin token"), "{path}: {answer:?}");
    }
    assert_eq!(gateway.admin("/admin/keys").await, before);
    assert!(!gateway.log().contains(READ_TOKEN), "it is a secret");
}

#[tokio::test]
async fn whoever_signs_in_learns_what_the_token_is_good_for() {
    let gateway = with_read_token().start().await;
    let version = env!("CARGO_PKG_VERSION");
    let session = |token: &str, read_only: bool| json!({ "token": token, "readOnly": read_only, "version": version, "node": null });
    assert_eq!(gateway.admin("/admin/session").await, session("admin", false));
    assert_eq!(by_reader(&gateway, Method::GET, "/admin/session").await.json(), session("read", false));
    let gateway = with_read_token().with("admin.read-only = true").start().await;
    assert_eq!(gateway.admin("/admin/session").await, session("admin", true));
}

#[tokio::test]
async fn a_gateway_without_a_read_token_has_only_the_admin_token() {
    let gateway = Gateway::probe().start().await;
    for path in READ {
        assert_eq!(by_reader(&gateway, Method::GET, path).await.status, 401, "{path}");
        assert_eq!(gateway.admin_request(path).bearer("").send().await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_read_token_that_changes_in_its_file_opens_nothing_any_more() {
    let gateway = with_read_token().start().await;
    std::fs::write(gateway.folder().join("read-token"), "another-token-that-may-read").expect("it is ours");
    gateway.logs(&["the configuration was reloaded", "admin.read-token-file"]).await;
    assert_eq!(by_reader(&gateway, Method::GET, "/admin/hubs").await.status, 401);
    let asked = gateway.admin_request("/admin/hubs").bearer("another-token-that-may-read");
    assert_eq!(asked.send().await.status, 200);
}

#[tokio::test]
async fn read_only_refuses_every_change_by_name_and_reading_goes_on() {
    let gateway = Gateway::probe().with("admin.read-only = true").start().await;
    let before = gateway.admin("/admin/keys").await;
    for (method, path) in changes() {
        let answer = gateway.operate(method, path).send().await;
        assert!(answer.status == 403 && answer.body.contains("`admin.read-only`"), "{path}: {answer:?}");
    }
    for path in READ {
        assert_eq!(gateway.operate(Method::GET, path).send().await.status, 200, "{path}");
    }
    assert_eq!(gateway.admin("/admin/keys").await, before);
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_even_with_the_token() {
    let gateway = Gateway::probe().start().await;
    let own = gateway.ready().admin;
    let foreign = format!("http://127.0.0.1:{}", gateway.address().port());
    for origin in ["http://evil.example", "null", &foreign] {
        for (method, path) in changes() {
            let answer = gateway.operate(method, path).header("origin", origin).send().await;
            assert!(answer.status == 403 && answer.body.contains("Origin"), "{origin} {path}: {answer:?}");
        }
    }
    let made =
        gateway.operate(Method::POST, "/admin/keys/secondary:regenerate").header("origin", &format!("http://{own}"));
    assert_eq!(made.send().await.status, 200, "its own pages may");
}

#[tokio::test]
async fn the_log_tells_of_each_change_who_wanted_what_and_what_came_of_it() {
    let gateway = with_read_token().start().await;
    let made = gateway.operate(Method::POST, "/admin/keys/secondary:regenerate").send().await;
    assert_eq!(made.status, 200);
    gateway.operate(Method::DELETE, "/admin/connections/nobody%0Ais-here").send().await;
    by_reader(&gateway, Method::POST, "/admin/keys/primary:regenerate").await;
    gateway.operate(Method::GET, "/admin/hubs").send().await;
    let log = gateway.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("an operator's change")).collect();
    let has = |line: &str, parts: &[&str]| parts.iter().all(|part| line.contains(part));
    assert_eq!(lines.len(), 3, "reading is no change: {lines:#?}");
    let first = ["regenerateSecondaryKey", "admin token", "operator=127.0.0.1", "status=200", "was made anew"];
    assert!(has(lines[0], &first), "{}", lines[0]);
    assert!(has(lines[1], &["closeConnection", "nobody%0Ais-here", "status=404", "No connection"]), "{}", lines[1]);
    assert!(has(lines[2], &["regeneratePrimaryKey", "read token", "status=403"]), "{}", lines[2]);
    let key =
        made.json()["connectionString"].as_str().and_then(|text| text.split("AccessKey=").nth(1)).map(str::to_owned);
    let key = key.expect("it has a key").split(';').next().expect("a field").to_owned();
    for secret in [key.as_str(), READ_TOKEN, &gateway.ready().admin_token] {
        assert!(!log.contains(secret), "secrets are in no log line");
    }
}

#[tokio::test]
async fn two_tokens_that_are_one_are_refused_at_the_start() {
    let (folder, file) = Gateway::probe()
        .file("token", READ_TOKEN)
        .with("admin.token-file = 'token'\nadmin.read-token-file = 'token'")
        .written();
    let config = file.to_str().expect("it is text");
    let checked = hubgate_tests::command::hubgate(["config", "check", "--config", config]);
    assert!(checked.code == Some(2) && checked.stderr.contains("admin.read-token-file"), "{checked:?}");
    assert!(checked.stderr.contains("needs another one") && !checked.stderr.contains(READ_TOKEN), "{checked:?}");
    drop(folder);
}
