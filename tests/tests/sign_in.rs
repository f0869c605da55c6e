//! Clients that bring the tokens of an identity provider: `hubs.NAME.jwt`.

use std::fs;

use http::Method;
use hubgate_tests::Gateway;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::provider::{ISSUER, ProviderKey, Publisher, key_set};
use hubgate_tests::script::Script;
use hubgate_tests::token::now;
use hubgate_tests::wait::until;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

const MODES: [&str; 3] = ["default", "serverless", "classic"];

/// The probe, open to whoever brings a token of the provider.
fn gateway(keys: &str) -> Setup {
    Gateway::probe().with(&format!(
        "hubs.probe.negotiate = {{ anonymous = false }}\n\
         hubs.probe.jwt = {{ {keys}, issuer = '{ISSUER}', audience = 'chat', claims = {{ role = 'roles', team = 'org.team' }} }}"
    ))
}

fn by_file(keys: &[&ProviderKey]) -> Setup {
    gateway("jwks-file = 'keys.json'").file("keys.json", &key_set(keys))
}

fn by_url(publisher: &Publisher) -> Setup {
    gateway(&format!("jwks-url = '{}'", publisher.url()))
}

fn negotiate(gateway: &Gateway) -> Request {
    gateway.request(Method::POST, "/hubs/probe/negotiate?negotiateVersion=1")
}

async fn with(gateway: &Gateway, token: &str) -> Answer {
    negotiate(gateway).bearer(token).send().await
}

async fn status(gateway: &Gateway, key: &ProviderKey) -> u16 {
    with(gateway, &key.token("ann", json!({}))).await.status
}

fn ours(answer: &Answer) -> String {
    answer.json()["accessToken"].as_str().expect("it is let in").to_owned()
}

async fn whoami(gateway: &Gateway, answer: &Answer) -> Value {
    let mut client = gateway.client("probe").token(&ours(answer)).connect().await;
    client.call("whoami", json!([])).await.expect("it answers")
}

#[tokio::test]
async fn a_token_of_the_provider_becomes_one_of_ours_with_its_user_and_the_claims_that_are_mapped() {
    let keys = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
        .map(|algorithm| ProviderKey::new(&format!("{algorithm:?}"), algorithm));
    let gateway = by_file(&keys.each_ref()).start().await;
    for key in &keys {
        let token = key.token("ann", json!({ "roles": ["admin", "chief"], "org": { "team": 7 }, "secret": "x" }));
        let me = whoami(&gateway, &with(&gateway, &token).await).await;
        assert_eq!(me["userId"], "ann", "{key:?}");
        let mut claims = me["claims"].as_object().expect("a map").clone();
        claims.retain(|name, _| !["aud", "exp", "iat", "asrs.s.uid"].contains(&name.as_str()));
        assert_eq!(Value::from(claims), json!({ "role": ["admin", "chief"], "team": "7" }));
    }
    assert_eq!(gateway.metric("hubgate_sign_ins_total", [("by", "jwt"), ("outcome", "granted")]).await, 3.0);
}

#[tokio::test]
async fn every_mode_takes_the_token_from_the_header_and_from_the_query() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    for mode in MODES {
        let gateway = by_file(&[&key]).with(&format!("hubs.probe.mode = '{mode}'")).start().await;
        let token = key.token("ann", json!({}));
        let by_query = gateway.request(Method::POST, &format!("/hubs/probe/negotiate?room=1&access_token={token}"));
        for answer in [with(&gateway, &token).await, by_query.send().await] {
            let url = answer.json()["url"].as_str().expect("a URL").to_owned();
            assert!(url.starts_with(&format!("{}/client/?hub=probe", gateway.url())) && !url.contains(&token), "{url}");
            let negotiated = gateway.client("probe").token(&ours(&answer)).negotiate("&negotiateVersion=1").await;
            assert_eq!(negotiated.status, 200, "{mode}: {}", negotiated.body);
        }
    }
}

#[tokio::test]
async fn our_token_lasts_no_longer_than_theirs_and_an_hour_at_most() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    let gateway = by_file(&[&key]).start().await;
    for (theirs, most) in [(30, 30), (86_400, 3_600)] {
        let end = now() + theirs;
        let answer = with(&gateway, &key.token("ann", json!({ "exp": end }))).await;
        let claims = hubgate_wire::token::Claims::check_without_key(&ours(&answer), 0).expect("a token");
        assert!(claims.expiry() <= end as u64 && claims.expiry() <= (now() + most) as u64, "{theirs}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_and_nothing_of_it() {
    let (key, stranger) = (ProviderKey::new("k", Algorithm::ES256), ProviderKey::new("k", Algorithm::ES256));
    let other = ProviderKey::new("other", Algorithm::ES256);
    let gateway = by_file(&[&key]).with("server.log = 'trace'").start().await;
    let good = key.token("ann", json!({}));
    let ours = gateway.token("probe").user("ann").sign();
    for (token, why) in [
        (key.token("ann", json!({ "exp": now() - 1 })), "has expired"),
        (key.token("ann", json!({ "nbf": now() + 600 })), "is not valid yet"),
        (key.token("ann", json!({ "iss": "https://evil.example.com" })), "is from another issuer"),
        (key.token("ann", json!({ "aud": ["other"] })), "is for another audience"),
        (key.token("ann", json!({ "sub": null })), "claim `sub` names no user"),
        (stranger.token("ann", json!({})), "is not signed with a key of its issuer"),
        (other.token("ann", json!({})), "with a key that its issuer has not published"),
        (gateway.token("other").user("ann").sign(), "with an algorithm that is not taken"),
        (gateway.token("probe").claim("aud", "chat").forge("none", ""), "with an algorithm that is not taken"),
        (good.replacen('.', ".e", 1), "is not signed with a key of its issuer"),
        ("nonsense".to_owned(), "is not a signed JSON Web Token"),
    ] {
        let answer = with(&gateway, &token).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, "Bearer error=\"invalid_token\""),
            "{token}"
        );
        assert!(answer.body.contains(why) && !answer.body.contains("evil"), "{}: {why}", answer.body);
        assert!(!gateway.log().contains(&token), "a token is in the log");
    }
    // Without a token, or with one of the gateway's own: that would never end.
    for request in [negotiate(&gateway), negotiate(&gateway).bearer(&ours)] {
        let answer = request.send().await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{}", answer.body);
    }
    assert_eq!(status(&gateway, &key).await, 200);
    assert!(!gateway.log().contains(&good), "a token is in the log");
}

#[tokio::test]
async fn with_anonymous_a_request_without_a_token_is_anonymous_and_one_with_a_bad_one_is_refused() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    let gateway = by_file(&[&key]).with("hubs.probe.negotiate = { anonymous = true }").start().await;
    let anonymous = negotiate(&gateway).send().await;
    assert_eq!(whoami(&gateway, &anonymous).await["userId"], Value::Null);
    // It brings what it was given when it connects again.
    let again = with(&gateway, &ours(&anonymous)).await;
    assert_eq!(whoami(&gateway, &again).await["userId"], Value::Null);
    let token = key.token("ann", json!({}));
    let identified = with(&gateway, &token).await;
    assert_eq!(whoami(&gateway, &identified).await["userId"], "ann");
    // Who was somebody is not nobody by mistake.
    assert_eq!(with(&gateway, &ours(&identified)).await.status, 401);
    let both = gateway.request(Method::POST, &format!("/hubs/probe/negotiate?access_token={token}"));
    let both = both.bearer(&ours(&identified)).send().await;
    assert_eq!(whoami(&gateway, &both).await["userId"], "ann");
    assert_eq!(with(&gateway, "nonsense").await.status, 401);
}

#[tokio::test]
async fn keys_in_a_file_are_followed_while_they_change() {
    let (first, second) = (ProviderKey::new("first", Algorithm::ES256), ProviderKey::new("second", Algorithm::EdDSA));
    let gateway = by_file(&[&first]).start().await;
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 401));
    let file = gateway.folder().join("keys.json");
    fs::write(&file, key_set(&[&second])).expect("the folder can be written");
    until("the second key", async || (status(&gateway, &second).await == 200).then_some(())).await;
    assert_eq!(status(&gateway, &first).await, 401, "the first one is gone");
    gateway.logs(&["changed", "hubs.probe.jwt.jwks-file"]).await;
    fs::write(&file, "{}").expect("the folder can be written");
    gateway.logs(&["hubs.probe.jwt.jwks-file", "is not a JSON Web Key Set"]).await;
    assert_eq!(status(&gateway, &second).await, 200, "such a file changes nothing");
}

#[tokio::test]
async fn keys_at_a_url_are_fetched_again_for_a_key_that_is_not_known_and_not_for_every_such_token() {
    let (first, second) = (ProviderKey::new("first", Algorithm::ES256), ProviderKey::new("second", Algorithm::ES256));
    let never = ProviderKey::new("never", Algorithm::ES256);
    let publisher = Publisher::new(&key_set(&[&first])).await;
    let gateway = by_url(&publisher).start().await;
    assert_eq!(status(&gateway, &first).await, 200);
    assert_eq!(publisher.fetches(), 1);
    publisher.publish(Some(&key_set(&[&first, &second])));
    assert_eq!(status(&gateway, &second).await, 200, "the key is fetched for its first token");
    for _ in 0..20 {
        assert_eq!(status(&gateway, &never).await, 401);
    }
    assert_eq!((status(&gateway, &first).await, status(&gateway, &second).await), (200, 200));
    assert_eq!(publisher.fetches(), 2, "once for all of these");
}

#[tokio::test]
async fn a_provider_that_is_slow_or_away_holds_the_start_up_in_nothing() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    let publisher = Publisher::silent().await;
    publisher.publish(Some(&key_set(&[&key])));
    let gateway = by_url(&publisher).start().await;
    until("the gateway to ask", async || (publisher.fetches() == 1).then_some(())).await;
    let waiting = status(&gateway, &key);
    let (status_of_first, ()) = tokio::join!(waiting, async {
        // Whoever waits is in nobody's way.
        gateway.client("probe").connect().await;
        publisher.answer();
    });
    assert_eq!(status_of_first, 200, "a request waits for the first keys");

    let away = Publisher::new("").await;
    away.publish(None);
    let gateway = by_url(&away).start().await;
    gateway.logs(&["the keys of an identity provider cannot be fetched", &away.url(), "500"]).await;
    let answer = until("a fetch that has failed", async || {
        let answer = with(&gateway, &key.token("ann", json!({}))).await;
        (answer.status == 503).then_some(answer)
    });
    let answer = answer.await;
    assert!(answer.body.contains("have not come yet") && !answer.header("retry-after").is_empty(), "{}", answer.body);
    away.publish(Some(&key_set(&[&key])));
    until("the keys", async || (status(&gateway, &key).await == 200).then_some(())).await;
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_leave_those_that_were() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    let never = ProviderKey::new("never", Algorithm::ES256);
    let publisher = Publisher::new(&key_set(&[&key])).await;
    let gateway = by_url(&publisher).start().await;
    assert_eq!(status(&gateway, &key).await, 200);
    let longer = " ".repeat(hubgate_wire::token::identity::LONGEST_KEY_SET);
    publisher.publish(Some(&format!("{longer}{}", key_set(&[&never]))));
    assert_eq!(status(&gateway, &never).await, 401);
    gateway.logs(&["the keys of an identity provider cannot be fetched", "keeps=true"]).await;
    assert_eq!(status(&gateway, &key).await, 200);
}

#[tokio::test]
async fn the_provider_changes_while_the_gateway_runs() {
    let (first, second) = (ProviderKey::new("k", Algorithm::ES256), ProviderKey::new("k", Algorithm::ES256));
    let (one, other) = (Publisher::new(&key_set(&[&first])).await, Publisher::new(&key_set(&[&second])).await);
    let mut gateway = by_url(&one).start().await;
    assert_eq!(status(&gateway, &first).await, 200);
    gateway.reconfigure(&format!("hubs.probe.jwt.jwks-url = '{}'", other.url()));
    gateway.hang_up();
    until("the other provider", async || (status(&gateway, &second).await == 200).then_some(())).await;
    assert_eq!(status(&gateway, &first).await, 401);
}

#[tokio::test]
async fn what_cannot_be_configured_is_named_with_its_key() {
    let key = key_set(&[&ProviderKey::new("k", Algorithm::ES256)]);
    let all = format!("jwks-file = 'keys.json', issuer = '{ISSUER}', audience = 'chat'");
    for (jwt, expected) in [
        (
            format!("jwks-file = 'none.json', issuer = '{ISSUER}', audience = 'a'"),
            &["hubs.a.jwt.jwks-file", "cannot read"][..],
        ),
        (
            format!("jwks-file = 'hubgate.toml', issuer = '{ISSUER}', audience = 'a'"),
            &["hubs.a.jwt.jwks-file", "Key Set"],
        ),
        (format!("issuer = '{ISSUER}', audience = 'a'"), &["hubs.a.jwt", "jwks-file", "jwks-url"]),
        (format!("{all}, jwks-url = 'https://id.example.com/keys'"), &["hubs.a.jwt", "has both"]),
        ("jwks-url = 'ftp://id.example.com', issuer = 'i', audience = 'a'".to_owned(), &["hubs.a.jwt.jwks-url"]),
        ("jwks-file = 'keys.json', audience = 'a'".to_owned(), &["hubs.a.jwt.issuer"]),
        ("jwks-file = 'keys.json', issuer = 'i'".to_owned(), &["hubs.a.jwt.audience"]),
        (format!("{all}, user = ''"), &["hubs.a.jwt.user"]),
        (format!("{all}, claims = {{ 'asrs.s.uid' = 'sub' }}"), &["hubs.a.jwt.claims", "asrs.s.uid"]),
        (format!("{all}, claims = {{ role = 1 }}"), &["hubs.a.jwt.claims.role"]),
        (format!("{all}, algorithms = []"), &["hubs.a.jwt.algorithms", "unknown key"]),
    ] {
        let (_folder, file) =
            Gateway::serve().file("keys.json", &key).with(&format!("hubs.a.jwt = {{ {jwt} }}")).written();
        let checked = hubgate_tests::command::hubgate(["config", "check", "--config", file.to_str().expect("UTF-8")]);
        let text = format!("{}{}", checked.stdout, checked.stderr);
        assert_eq!(checked.code, Some(2), "{jwt}: {text}");
        assert!(expected.iter().all(|part| text.contains(part)), "{jwt}: {text}");
    }
    let both = format!("hubs.probe = {{ negotiate = {{ plugin = 'probe' }}, jwt = {{ {all} }} }}");
    let (_folder, file) = Gateway::probe().file("keys.json", &key).with(&both).written();
    let checked = hubgate_tests::command::hubgate(["config", "check", "--config", file.to_str().expect("UTF-8")]);
    let text = format!("{}{}", checked.stdout, checked.stderr);
    assert!(checked.code == Some(2) && text.contains("hubs.probe.jwt") && text.contains("negotiate.plugin"), "{text}");
}

#[tokio::test]
async fn keys_of_a_file_that_check_nothing_are_skipped_with_a_warning() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    let secret = r#"{"kty":"oct","kid":"s","k":"c2VjcmV0"},"#;
    let keys = key_set(&[&key]).replacen('{', "{ ", 1).replacen("\"keys\":[", &format!("\"keys\":[{secret}"), 1);
    let gateway = gateway("jwks-file = 'keys.json'").file("keys.json", &keys).start().await;
    gateway.logs(&["hubs.probe.jwt.jwks-file", "`s` is skipped", "is a secret and no public key"]).await;
    assert_eq!(status(&gateway, &key).await, 200);
}

#[tokio::test]
async fn the_javascript_client_brings_the_token_of_its_provider() {
    let key = ProviderKey::new("k", Algorithm::RS256);
    let gateway = by_file(&[&key]).start().await;
    let (url, token) = (format!("{}/hubs/probe", gateway.url()), key.token("ann", json!({})));
    for transport in ["WebSockets", "ServerSentEvents", "LongPolling"] {
        Script::start("sign_in.mjs", &[&url, transport, "provider", &token]).succeeds().await;
    }
}
