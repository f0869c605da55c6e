//! Access tokens: whom they let in, and as whom.

use hubgate_tests::client::Connecting;
use hubgate_tests::gateway::SECOND_KEY;
use hubgate_tests::{Gateway, Token};
use jsonwebtoken::Algorithm;
use serde_json::json;

/// A key that no gateway has.
const FOREIGN_KEY: &str = "YW5vdGhlci1rZXktdGhhdC1uby1nYXRld2F5LWhhcy0wMTIzNDU2Nzg5";

#[tokio::test]
async fn either_key_and_either_algorithm_sign() {
    let gateway = Gateway::probe().start().await;
    for key in [gateway.key(), SECOND_KEY] {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            accepted(&gateway, &gateway.token("probe").key(key).algorithm(algorithm).sign()).await;
        }
    }
}

#[tokio::test]
async fn an_audience_may_lack_the_port_the_hub_and_the_last_slash_and_be_one_of_several() {
    let gateway = Gateway::probe().start().await;
    let port = gateway.address().port();
    for audience in [
        format!("http://127.0.0.1:{port}/client/?hub=probe"),
        format!("http://127.0.0.1:{port}/client/?hub=PROBE"),
        format!("http://127.0.0.1:{port}/client?hub=probe"),
        format!("http://127.0.0.1:{port}/client"),
        "http://127.0.0.1/client/?hub=probe".to_owned(),
        format!("http://localhost:{port}/client/?hub=probe"),
        "http://[::1]/client/".to_owned(),
        "HTTP://LOCALHOST/client/?hub=probe".to_owned(),
    ] {
        accepted(&gateway, &gateway.token("probe").audience(&audience).sign()).await;
    }
    let several = json!(["http://example.com/", format!("{}/client/?hub=probe", gateway.url())]);
    accepted(&gateway, &gateway.token("probe").claim("aud", several).sign()).await;
}

#[tokio::test]
async fn any_public_endpoint_is_an_audience() {
    let config = "server.endpoints = ['https://realtime.example.com', 'https://other.example.com:8443/base']";
    let gateway = Gateway::probe().with(config).start().await;
    for audience in [
        "https://realtime.example.com/client/?hub=probe",
        "https://other.example.com:8443/base/client/?hub=probe",
        "https://other.example.com/base/client/?hub=probe",
        "https://other.example.com:8443/Base/Client/?hub=probe",
        "https://other.example.com/client/?hub=probe",
    ] {
        accepted(&gateway, &gateway.token("probe").audience(audience).sign()).await;
    }
    for audience in [
        "http://realtime.example.com/client/?hub=probe",
        "https://other.example.com:8443/bas/client/?hub=probe",
        "https://realtime.example.com/base/client/?hub=probe",
        "https://other.example.com:8444/base/client/?hub=probe",
    ] {
        refused(&gateway, audience, &gateway.token("probe").audience(audience).sign()).await;
    }
}

#[tokio::test]
async fn a_token_is_read_from_the_header_and_from_the_query() {
    let gateway = Gateway::probe().start().await;
    gateway.client("probe").connect().await;
    gateway.client("probe").token_in_query().connect().await;

    let token = gateway.token("probe").sign();
    let path = format!("/client/negotiate?hub=probe&access_token={token}");
    assert_eq!(gateway.post(&path).await.status, 200);
    let lower_case = gateway.request(http::Method::POST, "/client/negotiate?hub=probe");
    assert_eq!(lower_case.header("authorization", &format!("bearer {token}")).send().await.status, 200);
}

#[tokio::test]
async fn a_token_may_be_used_again() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    accepted(&gateway, &token).await;
    accepted(&gateway, &token).await;
}

#[tokio::test]
async fn a_token_without_signature_is_refused() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe");
    let signed = token.sign();
    let signature = signed.rsplit('.').next().expect("a token has three parts");
    for alg in ["none", "None", "NONE", ""] {
        refused(&gateway, alg, &token.forge(alg, "")).await;
        refused(&gateway, alg, &token.forge(alg, signature)).await;
    }
    refused(&gateway, "no signature", &token.forge("HS256", "")).await;
    refused(&gateway, "two parts", signed.rsplit_once('.').expect("a token has three parts").0).await;
}

#[tokio::test]
async fn other_algorithms_are_refused() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe");
    refused(&gateway, "HS384", &token.clone().algorithm(Algorithm::HS384).sign()).await;
    let signed = token.sign();
    let signature = signed.rsplit('.').next().expect("a token has three parts");
    for alg in ["HS512", "RS256", "ES256", "hs256"] {
        refused(&gateway, alg, &token.forge(alg, signature)).await;
    }
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe");
    refused(&gateway, "foreign key", &token.clone().key(FOREIGN_KEY).sign()).await;
    refused(&gateway, "empty key", &token.key("").sign()).await;
}

#[tokio::test]
async fn a_token_whose_claims_were_changed_is_refused() {
    let gateway = Gateway::probe().start().await;
    refused(&gateway, "changed user", &gateway.token("probe").user("ann").tamper("asrs.s.uid", "root")).await;
}

#[tokio::test]
async fn a_token_for_somewhere_else_is_refused() {
    let gateway = Gateway::probe().start().await;
    let own = gateway.url();
    let port = gateway.address().port();
    for audience in [
        "http://example.com/client/?hub=probe".to_owned(),
        format!("http://127.0.0.1:{}/client/?hub=probe", if port == 1 { 2 } else { port - 1 }),
        format!("https://127.0.0.1:{port}/client/?hub=probe"),
        format!("{own}/server/?hub=probe"),
        format!("{own}/?hub=probe"),
        format!("{own}.example.com/client/?hub=probe"),
        format!("http://127.0.0.1@example.com:{port}/client/?hub=probe"),
        own.clone(),
        String::new(),
        "probe".to_owned(),
    ] {
        refused(&gateway, &audience, &gateway.token("probe").audience(&audience).sign()).await;
    }
    refused(&gateway, "no audience", &gateway.token("probe").without_claim("aud").sign()).await;
    refused(&gateway, "a number", &gateway.token("probe").claim("aud", 1).sign()).await;
    refused(&gateway, "no audiences", &gateway.token("probe").claim("aud", json!([])).sign()).await;
}

#[tokio::test]
async fn a_token_of_another_hub_is_refused() {
    let gateway = Gateway::probe().with("hubs.other = { mode = 'serverless' }").start().await;
    refused(&gateway, "hub other", &gateway.token("other").sign()).await;
}

#[tokio::test]
async fn a_token_outside_of_its_time_is_refused() {
    let gateway = Gateway::probe().start().await;
    let token = || gateway.token("probe");
    refused(&gateway, "expired", &token().expires_in(-1).sign()).await;
    refused(&gateway, "expired long ago", &token().expires_in(-86_400).sign()).await;
    refused(&gateway, "never expires", &token().without_claim("exp").sign()).await;
    refused(&gateway, "expires some day", &token().claim("exp", "tomorrow").sign()).await;
    refused(&gateway, "tomorrow's", &token().valid_after(86_400).sign()).await;
    accepted(&gateway, &token().valid_after(-10).sign()).await;
}

#[tokio::test]
async fn no_token_and_no_such_thing_are_refused() {
    let gateway = Gateway::probe().start().await;
    let answer = gateway.post("/client/negotiate?hub=probe").await;
    assert_eq!(answer.status, 401);
    for nonsense in ["x", "..", "a.b.c", "e30.e30.e30"] {
        refused(&gateway, nonsense, nonsense).await;
    }
    let basic = gateway.request(http::Method::POST, "/client/negotiate?hub=probe");
    let token = gateway.token("probe").sign();
    assert_eq!(basic.header("authorization", &format!("Basic {token}")).send().await.status, 401);
}

#[tokio::test]
async fn a_token_of_more_than_4096_characters_is_too_large() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").claim("long", "x".repeat(4096)).sign();
    let answer = gateway.client("probe").token(&token).negotiate("").await;
    assert_eq!(answer.status, 413, "{}", answer.body);
}

#[tokio::test]
async fn the_user_is_that_of_the_service_claim_or_else_the_name_identifier() {
    let gateway = Gateway::probe().start().await;
    let named = |name: &str| gateway.token("probe").claim(name, "ann");
    let long = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
    for token in [named("asrs.s.uid"), named("nameid"), named(long), named("sub")] {
        assert_eq!(user_of(&gateway, token).await, json!("ann"));
    }
    assert_eq!(user_of(&gateway, named("asrs.s.uid").claim("nameid", "bob")).await, json!("ann"));
    assert_eq!(user_of(&gateway, gateway.token("probe")).await, json!(null));
}

#[tokio::test]
async fn a_user_of_another_json_type_is_the_text_of_its_claim() {
    let gateway = Gateway::probe().start().await;
    for claim in ["asrs.s.uid", "nameid", "sub"] {
        for (value, user) in [
            (json!(42), "42"),
            (json!([42]), "42"),
            (json!(i64::MIN), "-9223372036854775808"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(1.5), "1.5"),
            (json!(true), "true"),
            (json!([null, "ann"]), "ann"),
        ] {
            let token = gateway.token("probe").claim(claim, value.clone());
            let mut client = gateway.client("probe").token(&token.sign()).connect().await;
            let seen = client.call("whoami", json!([])).await.expect("it answers")["userId"].clone();
            assert_eq!(seen, json!(user), "{claim} {value}");
            let path = format!("/api/hubs/probe/users/{user}");
            assert_eq!(gateway.rest(http::Method::GET, &path).send().await.status, 200, "{claim} {value}");
            client.leave().await;
        }
    }
}

#[tokio::test]
async fn digits_that_no_float_holds_tell_users_apart() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign_with_json(r#""nameid":1234567890123456789012345"#);
    let mut client = gateway.client("probe").token(&token).connect().await;
    let seen = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(seen["userId"], json!("1234567890123456789012345"));
    assert!(seen["claims"].to_string().contains("\"1234567890123456789012345\""), "{seen}");
}

#[tokio::test]
async fn a_token_that_does_not_say_who_is_meant_is_refused_by_the_claims_name() {
    let gateway = Gateway::probe().start().await;
    for claim in ["asrs.s.uid", "nameid", "sub"] {
        for value in [json!({}), json!({"id": 42}), json!(["ann", "bob"]), json!([["ann"]]), json!([1, 1])] {
            let token = gateway.token("probe").claim(claim, value.clone()).sign();
            refused(&gateway, claim, &token).await;
            let negotiated = gateway.client("probe").token(&token).negotiate("").await;
            assert!(negotiated.body.contains(&format!("`{claim}`")), "{value}: {}", negotiated.body);
        }
        let decided = gateway.token("probe").claim("sub", json!({})).claim("nameid", json!([])).user("ann");
        assert_eq!(user_of(&gateway, decided).await, json!("ann"), "the first claim decides");
    }
    for nobody in [json!(null), json!([]), json!([null])] {
        assert_eq!(user_of(&gateway, gateway.token("probe").claim("nameid", nobody)).await, json!(null));
    }
}

#[tokio::test]
async fn upstream_sees_the_claims_of_the_token() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").user("ann").with_claim("role", "admin").connect().await;
    let claims = client.call("whoami", json!([])).await.expect("it answers")["claims"].to_string();
    assert!(claims.contains("role") && claims.contains("admin"), "{claims}");
}

#[tokio::test]
async fn refused_tokens_are_counted_and_neither_tokens_nor_keys_are_logged() {
    let gateway = Gateway::probe().start().await;
    let bad = gateway.token("probe").key(FOREIGN_KEY).sign();
    refused(&gateway, "foreign key", &bad).await;
    assert!(gateway.metric("hubgate_requests_refused_total", [("reason", "token")]).await >= 2.0);

    let good = gateway.token("probe").sign();
    gateway.client("probe").token(&good).token_in_query().connect().await.leave().await;
    let log = gateway.log();
    let last_part = |token: &str| token.rsplit('.').next().expect("a token has three parts").to_owned();
    for secret in [gateway.key().to_owned(), SECOND_KEY.to_owned(), last_part(&bad), last_part(&good)] {
        assert!(!log.contains(&secret), "the log has {secret}");
    }
}

/// The token opens a connection.
async fn accepted(gateway: &Gateway, token: &str) {
    let mut client = gateway.client("probe").token(token).connect().await;
    assert_eq!(client.call("echo", json!(["in"])).await, Ok(json!("in")));
}

/// The token opens nothing, neither at negotiation nor at a WebSocket without it, nor where browsers put it.
async fn refused(gateway: &Gateway, why: &str, token: &str) {
    let connecting: Connecting = gateway.client("probe").token(token);
    let negotiated = connecting.negotiate("&negotiateVersion=1").await;
    assert_eq!(negotiated.status, 401, "{why}: {}", negotiated.body);
    assert!(token.len() < 8 || !negotiated.body.contains(token), "the answer has the token: {}", negotiated.body);
    for connecting in [connecting.clone().without_negotiate(), connecting.without_negotiate().token_in_query()] {
        let opened = connecting.try_open().await;
        assert_eq!(opened.expect_err(why).status, 401, "{why}");
    }
}

async fn user_of(gateway: &Gateway, token: Token) -> serde_json::Value {
    let mut client = gateway.client("probe").token(&token.sign()).connect().await;
    client.call("whoami", json!([])).await.expect("it answers")["userId"].clone()
}
