//! The log: one line for the end of each connection, with its reason, as text and as JSON.

use hubgate_tests::{Gateway, wait::until};
use serde_json::{Value, json};

/// Connections that end in different ways, and their reasons.
async fn ends(gateway: &Gateway) -> [&'static str; 4] {
    gateway.client("probe").connect().await.leave().await;
    gateway.client("probe").connect().await.vanish();
    let mut client = gateway.client("probe").connect().await;
    client.notify("quit", json!(["enough"])).await;
    client.end().await;
    let mut client = gateway.client("probe").connect().await;
    client.send_text("nonsense\u{1e}").await;
    client.end().await;
    ["Normal", "TransportLost", "ClosedByRequest", "BadRequest"]
}

#[tokio::test]
async fn each_end_of_a_connection_is_a_line_of_text_with_its_reason() {
    let gateway = Gateway::probe().start().await;
    for cause in ends(&gateway).await {
        gateway
            .logs(&["INFO", "a client's connection ended", "hub=probe", "connection=", &format!("cause=\"{cause}\"")])
            .await;
    }
    assert_eq!(gateway.log().matches("a client's connection ended").count(), 4, "{}", gateway.log());
}

#[tokio::test]
async fn each_end_of_a_connection_is_an_object_with_its_reason() {
    let gateway = Gateway::probe().logging_json().start().await;
    let causes = ends(&gateway).await;
    let ended = async || {
        let log = gateway.log();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
        let ended: Vec<Value> = lines.filter(|line| line["message"] == "a client's connection ended").collect();
        (ended.len() == causes.len()).then_some(ended)
    };
    let ended = until("all lines", ended).await;
    let mut found: Vec<&str> = ended.iter().filter_map(|line| line["cause"].as_str()).collect();
    found.sort_unstable();
    let mut expected = causes.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for line in &ended {
        assert_eq!((&line["level"], &line["hub"]), (&json!("INFO"), &json!("probe")));
        assert!(
            line["timestamp"].is_string() && line["connection"].as_str().is_some_and(|id| id.len() == 24),
            "{line}"
        );
    }
}

/// The lines of warnings with this text.
fn warnings(gateway: &Gateway, text: &str) -> Vec<String> {
    let log = gateway.log();
    log.lines().filter(|line| line.contains("WARN") && line.contains(text)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_refusal_that_somebody_has_to_mend_is_a_line_once_for_each_cause() {
    const REFUSED: &str = "a request is refused";
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").key("a-key-of-somebody-elses-gateway-0123456789").sign();
    for _ in 0..5 {
        assert_eq!(gateway.client("probe").token(&token).negotiate("").await.status, 401);
    }
    gateway.logs(&["WARN", REFUSED, "hub=\"probe\"", "not signed with an access key of this gateway"]).await;
    assert_eq!(gateway.client("probe").token(&gateway.token("other").sign()).negotiate("").await.status, 401);
    gateway.logs(&["WARN", REFUSED, "hub=\"probe\"", "for another audience", "/client/?hub=probe"]).await;
    let negotiate = async |path: &str, origin: &str| {
        gateway.request(http::Method::POST, path).header("origin", origin).send().await;
    };
    let own = gateway.url();
    negotiate("/hubs/probe/negotiate", "https://app.example.com").await;
    negotiate("/hubs/probe/negotiate", "https://app.example.com").await;
    negotiate("/hubs/probe/negotiate", &own).await;
    negotiate("/hubs/closed/negotiate", &own).await;
    negotiate("/client/negotiate?hub=my-hub", &own).await;
    gateway.logs(&["WARN", "hub=\"probe\"", "origin=\"https://app.example.com\"", "cors-origins"]).await;
    gateway.logs(&["WARN", REFUSED, "not open to everybody"]).await;
    gateway.logs(&["WARN", REFUSED, "Invalid hub name."]).await;
    assert_eq!(warnings(&gateway, REFUSED).len(), 4, "{}", gateway.log());
    assert_eq!(warnings(&gateway, "pages of this origin are refused").len(), 1, "{}", gateway.log());
    assert!(!gateway.log().contains(&token) && !gateway.log().contains(token.rsplit('.').next().expect("a signature")));
}

#[tokio::test]
async fn a_count_of_nothing_is_no_part_of_a_line() {
    let failing = "hubs.chat = { mode = 'serverless', negotiate = { anonymous = true } }
                   upstream = [{ url = 'http://127.0.0.1:1/', retries = 0, on-connect-failure = 'log' }]";
    let gateway = Gateway::serve().with(failing).start().await;
    let client = gateway.client("chat").connect().await;
    gateway.logs(&["WARN", "a webhook has failed", "hub=chat"]).await;
    assert!(!gateway.log().contains("unlogged"), "{}", gateway.log());
    client.leave().await;
}
