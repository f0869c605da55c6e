//! Secrets stay where they are: in no log line, no answer and no page of metrics, whatever goes wrong.

use std::fs;

use http::Method;
use hubgate_tests::gateway::{KEY, SECOND_KEY};
use hubgate_tests::{Gateway, Token};
use serde_json::json;

const ADMIN_TOKEN: &str = "canary-admin-token";
const PLUGIN_CONFIG: &str = "canary-plugin-config";
const CLAIM: &str = "canary-claim";
const PAYLOAD: &str = "canary-payload";

#[tokio::test]
async fn no_secret_leaves_the_gateway_at_level_debug() {
    let config = format!(
        "server.log = 'debug'\nadmin.token-file = 'token'\nplugins.probe.config.secret = '{PLUGIN_CONFIG}'\n\
         server.limits.message = '2KiB'"
    );
    let mut gateway = Gateway::probe().with(&config).file("token", ADMIN_TOKEN).start().await;
    let mut seen = Vec::new();

    let token = gateway.token("probe").claim("secret", CLAIM);
    let bad = [token.forge("none", ""), token.tamper("secret", PAYLOAD), token.clone().expires_in(-9).sign()];
    let good = token.sign();
    for token in bad.iter().chain([&good]) {
        for path in ["/client/negotiate?hub=probe", "/client/negotiate?hub=other%0d%0a", "/api/hubs/probe/:send"] {
            let request = gateway.request(Method::POST, path).bearer(token).json(&json!({"x": PAYLOAD}));
            seen.push(request.send().await.body);
            let separator = if path.contains('?') { '&' } else { '?' };
            let in_query = format!("{path}{separator}access_token={token}");
            seen.push(gateway.request(Method::POST, &in_query).send().await.body);
        }
    }
    for method in ["echo", "fail", "trap", "gone", "say"] {
        let mut client = gateway.client("probe").with_claim("secret", CLAIM).connect().await;
        let _ = client.call(method, json!([PAYLOAD])).await;
        client.send_text(&format!("{{\"type\":1,\"target\":\"echo\",\"arguments\":[\"{PAYLOAD}\"}}\u{1e}")).await;
        client.end().await;
    }
    let mut client = gateway.client("probe").connect().await;
    client.send_text(&format!("\"{PAYLOAD}{}", "x".repeat(4096))).await;
    client.end().await;
    let rest =
        gateway.rest(Method::POST, "/api/hubs/probe/:send").body("application/json", format!("{{\"{PAYLOAD}")).send();
    seen.push(rest.await.body);

    gateway.reconfigure(&format!(
        "server.access-keys = ['{SECOND_KEY}', '{KEY}', 'canary-third-key-of-enough-bytes-for-HS256']"
    ));
    gateway.hang_up();
    gateway.logs(&["the configuration stays as it was"]).await;
    fs::write(gateway.config_file(), format!("[server]\naccess-keys = [\"{KEY}\"\n")).expect("it can be written");
    gateway.hang_up();
    gateway.logs(&["the configuration stays as it was", "line"]).await;

    for path in ["/admin/plugins", "/admin/hubs", "/metrics", "/nothing"] {
        seen.push(gateway.admin_request(path).bearer(ADMIN_TOKEN).send().await.body);
        seen.push(gateway.admin_request(path).bearer("wrong").send().await.body);
    }
    seen.push(gateway.log());
    seen.push(gateway.printed());

    let signature =
        |token: &String| token.rsplit('.').next().map(str::to_owned).filter(|signature| !signature.is_empty());
    let mut secrets: Vec<String> = bad.iter().chain([&good]).filter_map(signature).collect();
    secrets.extend(
        [KEY, SECOND_KEY, "canary-third-key-of-enough-bytes-for-HS256", ADMIN_TOKEN, PLUGIN_CONFIG, CLAIM]
            .map(str::to_owned),
    );
    for (secret, text) in secrets.iter().flat_map(|secret| seen.iter().map(move |text| (secret, text))) {
        assert!(!text.contains(secret.as_str()), "{secret} in {text}");
    }
    let log = gateway.log();
    assert!(log.contains("DEBUG") && !log.contains(PAYLOAD), "what clients say to each other is not for logs: {log}");
    assert_eq!(Token::new("a", KEY).sign().split('.').count(), 3, "tokens have signatures to look for");
}
