//! Resource logs: lines of JSON about connections, messages and requests, in a file that may be moved away, and that never holds a token.

use std::fs;
use std::process::Command;

use http::Method;
use hubgate_tests::command::{Finished, binary};
use hubgate_tests::gateway::Setup;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Gateway, Token};
use serde_json::{Value, json};

const FILE: &str = "resource.log";
const LINES: &str = "hubgate_resource_log_lines_total";

fn logging() -> Setup {
    Gateway::probe().with(&format!("telemetry.resource-logs.file = '{FILE}'"))
}

fn text_of(gateway: &Gateway, file: &str) -> String {
    fs::read_to_string(gateway.folder().join(file)).unwrap_or_default()
}

/// The whole lines of a file in the gateway's folder.
fn lines_of(gateway: &Gateway, file: &str) -> Vec<Value> {
    let text = text_of(gateway, file);
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Waits for a line of this operation whose properties are these and perhaps others.
async fn line(gateway: &Gateway, operation: &str, properties: Value) -> Value {
    let expected = properties.as_object().expect("an object").clone();
    let fits = |line: &Value| {
        line["operationName"] == operation && expected.iter().all(|(name, value)| line["properties"][name] == *value)
    };
    let found = async || lines_of(gateway, FILE).into_iter().find(fits);
    until(&format!("a line of {operation} with {properties}"), found).await
}

#[tokio::test]
async fn a_client_that_comes_calls_and_leaves_is_told_in_lines_of_its_connection_and_messages() {
    let gateway = logging().start().await;
    let mut client = gateway.client("probe").user("ann").header("User-Agent", "a test").connect().await;
    client.call("join", json!(["lobby"])).await.expect("a group");
    client.call("sayTo", json!(["lobby", "a secret of theirs"])).await.expect("it answers");
    client.event("said").await;
    client.leave().await;
    let started = line(&gateway, "ConnectionStarted", json!({ "connectionType": "Client" })).await;
    let properties = &started["properties"];
    for (name, value) in [
        ("type", "ConnectivityLogs"),
        ("collection", "Connection"),
        ("transportType", "WebSockets"),
        ("hubName", "probe"),
        ("userId", "ann"),
        ("userAgent", "a test"),
    ] {
        assert_eq!(properties[name], value, "{name} of {started}");
    }
    assert_eq!(
        (&started["callerIpAddress"], &started["level"], &started["category"]),
        (&json!("127.0.0.1"), &json!("Informational"), &json!("AllLogs"))
    );
    let id = &properties["connectionId"];
    let ended = line(&gateway, "ConnectionEnded", json!({ "connectionId": id, "closeReason": "Normal" })).await;
    assert_eq!(ended["properties"]["userId"], "ann", "{ended}");
    let called = json!({ "type": "MessagingLogs", "messageType": "Invocation", "connectionId": id, "method": "sayTo" });
    line(&gateway, "MessageReceived", called).await;
    let sent = json!({ "messageType": "GroupBroadcastDataMessage", "groupName": "lobby", "recipients": 1 });
    line(&gateway, "MessageSent", sent).await;
    assert!(!text_of(&gateway, FILE).contains("a secret of theirs"), "no argument is there");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_told_as_aborted() {
    let gateway = logging().start().await;
    gateway.client("probe").user("ann").connect().await.vanish();
    let aborted = line(&gateway, "ConnectionAborted", json!({ "closeReason": "TransportLost", "userId": "ann" })).await;
    assert_eq!(aborted["level"], "Warning", "{aborted}");
}

#[tokio::test]
async fn a_hub_server_is_told_as_such() {
    let gateway = logging().with("hubs.served.mode = 'default'").start().await;
    drop(HubServer::connect(&gateway, "served", "one").await);
    let server = json!({ "connectionType": "Server", "hubName": "served", "serverId": "one" });
    line(&gateway, "ConnectionStarted", server.clone()).await;
    line(&gateway, "ConnectionAborted", server).await;
}

#[tokio::test]
async fn requests_are_told_with_their_status_and_without_queries_or_tokens() {
    let gateway = logging().start().await;
    let connecting = gateway.client("probe").user("ann");
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let token = negotiated["connectionToken"].as_str().expect("a token").to_owned();
    let _client = connecting.id(&token).token_in_query().connect().await;
    let message = json!({ "target": "said", "arguments": [1] });
    let path = "/api/v1/hubs/probe/users/ann?api-version=hidden";
    assert_eq!(gateway.rest(Method::POST, path).json(&message).send().await.status, 202);
    let foreign = Token::new(&gateway.url(), "another key that is nobody's, and long enough").sign();
    let refused = gateway.request(Method::POST, "/api/v1/hubs/probe").bearer(&foreign).json(&message).send().await;
    assert_eq!(refused.status, 401, "{refused:?}");

    let sent = json!({ "type": "HttpRequestLogs", "method": "POST", "url": "/api/v1/hubs/probe/users/ann", "statusCode": 202 });
    let sent = line(&gateway, "RestApiRequest", sent).await;
    assert!(sent["properties"]["duration"].as_f64().is_some_and(|duration| duration > 0.0), "{sent}");
    let refused = line(&gateway, "RestApiRequest", json!({ "statusCode": 401 })).await;
    assert_eq!(refused["level"], "Warning", "{refused}");
    line(&gateway, "NegotiateRequest", json!({ "url": "/client/negotiate", "statusCode": 200 })).await;
    line(&gateway, "ConnectionStarted", json!({ "userId": "ann" })).await;
    line(&gateway, "MessageSent", json!({ "messageType": "UserDataMessage", "userId": "ann", "recipients": 1 })).await;
    let text = text_of(&gateway, FILE);
    for secret in [&token, &foreign, gateway.key(), "eyJ", "hidden", "access_token", "negotiateVersion"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn only_the_categories_that_are_named_are_told_and_none_without_a_file() {
    let gateway = logging().with("telemetry.resource-logs.categories = ['messaging']").start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("say", json!(["hello"])).await.expect("it answers");
    line(&gateway, "MessageSent", json!({ "messageType": "BroadcastDataMessage" })).await;
    let all = lines_of(&gateway, FILE);
    assert!(all.iter().all(|line| line["properties"]["type"] == "MessagingLogs"), "{all:?}");
    let gateway = Gateway::probe().start().await;
    gateway.client("probe").connect().await.leave().await;
    let metrics = gateway.admin_request("/metrics").bearer(&gateway.ready().admin_token).send().await;
    assert!(!metrics.body.contains("hubgate_resource_log"), "{}", metrics.body);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_followed_by_a_new_one_and_the_last_lines_are_written_at_the_end() {
    let mut gateway = logging().start().await;
    gateway.client("probe").user("before").connect().await.leave().await;
    line(&gateway, "ConnectionEnded", json!({ "userId": "before" })).await;
    fs::rename(gateway.folder().join(FILE), gateway.folder().join("moved.log")).expect("the folder is ours");
    let _client = gateway.client("probe").user("after").connect().await;
    line(&gateway, "ConnectionStarted", json!({ "userId": "after" })).await;
    let is_of = |line: &Value, user: &str| line["properties"]["userId"] == user;
    assert!(!lines_of(&gateway, FILE).iter().any(|line| is_of(line, "before")));
    assert!(!lines_of(&gateway, "moved.log").iter().any(|line| is_of(line, "after")));
    gateway.terminate();
    gateway.ended().await;
    let ended = lines_of(&gateway, FILE).into_iter().any(|line| {
        is_of(&line, "after")
            && ["ConnectionEnded", "ConnectionAborted"].map(Value::from).contains(&line["operationName"])
    });
    assert!(ended, "{}", text_of(&gateway, FILE));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_its_lines_are_counted_and_clients_go_on() {
    let gateway = Gateway::probe().with("telemetry.resource-logs.file = '/dev/full'").start().await;
    let mut client = gateway.client("probe").connect().await;
    client.call("say", json!(["hello"])).await.expect("it answers");
    gateway.logs(&["WARN", "the file of `telemetry.resource-logs` cannot be written", "file=/dev/full"]).await;
    let counted = async || (gateway.metric(LINES, [("outcome", "lost")]).await >= 3.0).then_some(());
    until("lines that are lost", counted).await;
    assert_eq!(gateway.metric(LINES, [("outcome", "written")]).await, 0.0);
    assert_eq!(gateway.log().matches("cannot be written").count(), 1, "it is told once");
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_the_start() {
    let setup = Gateway::probe().with("telemetry.resource-logs.file = 'gone/resource.log'");
    let (_folder, file) = setup.written();
    let refused = Finished::of(Command::new(binary()).args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("telemetry.resource-logs.file = "), "{refused:?}");
    assert!(refused.stderr.contains("gone/resource.log\": cannot write there: No such file"), "{refused:?}");
}
