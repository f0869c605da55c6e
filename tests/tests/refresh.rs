//! Clients that go on with a newer token: by `POST /hubs/{hub}/refresh`, by the REST API, and by their hub servers.

use std::time::{Duration, Instant};

use http::Method;
use hubgate_tests::gateway::Setup;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::provider::{ISSUER, ProviderKey, key_set};
use hubgate_tests::stateful::StatefulClient;
use hubgate_tests::token::now;
use hubgate_tests::wait::{let_pass, soon};
use hubgate_tests::{Client, Gateway, guests};
use hubgate_wire::service::{self, Ack, GetConnectionClaims, RefreshAuth, ServiceMessage, Timestamp};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A time that is not met in any test.
const LONG: &str = "600";
/// A time that tests wait for, in seconds: long enough for what is to happen before, on a machine where much else runs.
const SHORT: u64 = 10;
const SHORT_TEXT: &str = "10";

/// The probe, which the door decides about.
fn guarded() -> Setup {
    let open = "hubs.probe.negotiate = { anonymous = false, plugin = 'door' }";
    Gateway::probe().plugin("door", &guests::door()).with(open)
}

/// The same, where connections end with their tokens.
fn closing() -> Setup {
    guarded().with("hubs.probe.close-on-expiry = true")
}

/// With headers for the door.
fn asked(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(gateway.request(Method::POST, path), |request, (name, value)| request.header(name, value))
}

async fn negotiate(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    asked(gateway, "/hubs/probe/negotiate?negotiateVersion=1", headers).send().await
}

/// The token of an answer, and how long it lasts.
fn given(answer: &Answer) -> (String, u64) {
    let json = answer.json();
    let token = json["accessToken"].as_str().unwrap_or_else(|| panic!("no token: {json}")).to_owned();
    (token, json["tokenLifetimeSeconds"].as_u64().unwrap_or_else(|| panic!("no lifetime: {json}")))
}

/// A client that the gateway has let in itself.
struct LetIn {
    client: Client,
    /// What names its connection to whoever may refresh it.
    connection: String,
    id: String,
}

async fn let_in(gateway: &Gateway, access_token: &str) -> LetIn {
    let connecting = gateway.client("probe").token(access_token);
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let [connection, id] =
        ["connectionToken", "connectionId"].map(|name| negotiated[name].as_str().expect("an id").to_owned());
    LetIn { client: connecting.id(&connection).connect().await, connection, id }
}

async fn connect(gateway: &Gateway, headers: &[(&str, &str)]) -> LetIn {
    let_in(gateway, &given(&negotiate(gateway, headers).await).0).await
}

fn refresh(gateway: &Gateway, connection: &str, headers: &[(&str, &str)]) -> Request {
    asked(gateway, "/hubs/probe/refresh", headers).header("x-signalr-connection-token", connection)
}

/// The status of a refusal, and its name.
fn refused(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
    assert!(!body["message"].as_str().expect("a text").is_empty(), "{answer:?}");
    (answer.status, body["error"].as_str().expect("a name").to_owned())
}

async fn claim(client: &mut Client, name: &str) -> Value {
    client.call("whoami", json!([])).await.expect("it answers")["claims"][name].clone()
}

async fn count(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric("hubgate_client_refreshes_total", [("hub", "probe"), ("outcome", outcome)]).await
}

#[tokio::test]
async fn negotiation_says_how_long_a_token_lasts() {
    let gateway = guarded().start().await;
    assert_eq!(given(&negotiate(&gateway, &[("x-user", "ann")]).await).1, 3600);
    assert_eq!(given(&negotiate(&gateway, &[("x-user", "ann"), ("x-lifetime", "30")]).await).1, 30);
    let open = Gateway::probe().start().await;
    assert_eq!(given(&negotiate(&open, &[]).await).1, 3600);
}

#[tokio::test]
async fn a_connection_that_is_refreshed_outlives_the_token_that_it_came_with_and_no_other_does() {
    let gateway = closing().start().await;
    let ann = [("x-user", "ann"), ("x-lifetime", SHORT_TEXT)];
    let mut refreshed = connect(&gateway, &ann).await;
    let mut refused_one = connect(&gateway, &ann).await;
    let mut left_alone = connect(&gateway, &ann).await;
    let longer = [("x-user", "ann"), ("x-lifetime", LONG)];
    let answer = refresh(&gateway, &refreshed.connection, &longer).send().await;
    assert_eq!((answer.status, given(&answer).1), (200, 600));
    let eve = [("x-user", "eve"), ("x-lifetime", LONG)];
    let answer = refresh(&gateway, &refused_one.connection, &eve).send().await;
    assert_eq!(refused(&answer), (403, "permission_change_rejected".to_owned()));
    for ended in [&mut refused_one, &mut left_alone] {
        assert!(ended.client.end().await.allows_reconnect());
    }
    assert_eq!(refreshed.client.call("echo", json!(["still here"])).await, Ok(json!("still here")));
    assert_eq!((count(&gateway, "refreshed").await, count(&gateway, "other_user").await), (1.0, 1.0));
    let closed = [("hub", "probe"), ("reason", "Unauthorized")];
    assert_eq!(gateway.metric("hubgate_client_connections_closed_total", closed).await, 2.0);
}

#[tokio::test]
async fn websockets_outlive_their_tokens_where_the_hub_does_not_say_otherwise() {
    let gateway =
        guarded().with("hubs.other = { close-on-expiry = true, negotiate = { plugin = 'door' } }").start().await;
    let end = |answer: Answer| {
        let claims = hubgate_wire::token::Claims::check_without_key(&given(&answer).0, 0).expect("a token");
        (claims.connection_end(), claims.expiry())
    };
    assert_eq!(end(negotiate(&gateway, &[("x-user", "ann")]).await).0, None);
    let (closes, expires) = end(asked(&gateway, "/hubs/other/negotiate", &[("x-user", "ann")]).send().await);
    assert_eq!(closes, Some(expires));
}

#[tokio::test]
async fn handlers_see_the_claims_of_the_newer_token_from_the_next_call_on() {
    let gateway = guarded().start().await;
    let mut ann = connect(&gateway, &[("x-user", "ann"), ("x-claim", "level=1")]).await;
    assert_eq!(claim(&mut ann.client, "level").await, "1");
    let newer = [("x-user", "ann"), ("x-claim", "level=2"), ("x-claim", "role=chief")];
    assert_eq!(refresh(&gateway, &ann.connection, &newer).send().await.status, 200);
    assert_eq!(claim(&mut ann.client, "level").await, "2");
    assert_eq!(claim(&mut ann.client, "role").await, "chief");
    assert_eq!(ann.client.call("whoami", json!([])).await.expect("it answers")["userId"], "ann");
    // What it came with is gone with its token.
    assert_eq!(refresh(&gateway, &ann.connection, &[("x-user", "ann")]).send().await.status, 200);
    assert_eq!(claim(&mut ann.client, "level").await, Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_a_refresh_has_a_name_and_changes_nothing() {
    let gateway = guarded().start().await;
    let mut ann = connect(&gateway, &[("x-user", "ann"), ("x-claim", "level=1")]).await;
    let newer = [("x-user", "ann"), ("x-claim", "level=2")];
    let nobodys = ann.connection.replace(|c: char| c.is_ascii_lowercase(), "b");
    for (connection, headers, expected) in [
        ("", &newer[..], (400, "missing_connection_token")),
        (&*ann.id, &newer, (404, "connection_not_found")),
        (&*nobodys, &newer, (404, "connection_not_found")),
        ("nonsense", &newer, (404, "connection_not_found")),
        (&*ann.connection, &[], (401, "invalid_token")),
        (&*ann.connection, &[("x-user", "nobody")], (403, "permission_change_rejected")),
        (&*ann.connection, &[("x-user", "Ann")], (403, "permission_change_rejected")),
        (&*ann.connection, &[("x-do", "fail")], (500, "internal_server_error")),
        (&*ann.connection, &[("x-do", "trap")], (503, "internal_server_error")),
    ] {
        let (status, name) = refused(&refresh(&gateway, connection, headers).send().await);
        assert_eq!((status, &*name), expected, "{connection} {headers:?}");
    }
    let without = asked(&gateway, "/hubs/probe/refresh", &newer).send().await;
    assert_eq!(refused(&without), (400, "missing_connection_token".to_owned()));
    let shut = gateway.request(Method::POST, "/hubs/shut/refresh?id=x").send().await;
    assert_eq!(refused(&shut), (403, "refresh_disabled".to_owned()));
    let other_hub = "/hubs/probe/refresh".replace("probe", "other");
    assert_eq!(gateway.request(Method::GET, &other_hub).send().await.status, 405);
    assert_eq!(claim(&mut ann.client, "level").await, "1");
    assert_eq!(count(&gateway, "unknown").await, 2.0, "those that may be of a connection");
}

#[tokio::test]
async fn the_connection_may_be_named_in_the_query_and_pages_of_the_hub_may_ask() {
    let origin = "https://app.example.com";
    let gateway = guarded().with(&format!("hubs.probe.cors-origins = ['{origin}']")).start().await;
    let mut ann = connect(&gateway, &[("x-user", "ann")]).await;
    let path = format!("/hubs/Probe/Refresh?id={}", ann.connection);
    let preflight = gateway.request(Method::OPTIONS, &path).header("origin", origin);
    let preflight = preflight.header("access-control-request-headers", "x-signalr-connection-token").send().await;
    assert_eq!(preflight.header("access-control-allow-headers"), "x-signalr-connection-token");
    let newer = [("x-user", "ann"), ("x-claim", "level=2"), ("origin", origin)];
    let answer = asked(&gateway, &path, &newer).send().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin));
    assert_eq!(answer.header("cache-control"), "no-cache, no-store");
    assert_eq!(claim(&mut ann.client, "level").await, "2");
    let answer = asked(&gateway, &path, &[("origin", origin)]).send().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, origin));
}

#[tokio::test]
async fn the_authorizer_is_not_told_what_opens_the_connection() {
    let gateway = guarded().start().await;
    let ann = connect(&gateway, &[("x-user", "ann")]).await;
    for path in ["/hubs/probe/refresh".to_owned(), format!("/hubs/probe/refresh?id={}&room=1", ann.connection)] {
        let request = asked(&gateway, &path, &[("x-do", "show")]);
        let answer = request.header("x-signalr-connection-token", &ann.connection).send().await;
        assert_eq!(answer.status, 403);
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        let message = body["message"].as_str().expect("a text");
        let told: Value = serde_json::from_str(message).expect("it shows JSON");
        assert!(!message.contains(&ann.connection), "{told}");
        assert!(path.contains("id=") != (told["query"] == json!([])), "{told}");
    }
    assert!(!gateway.log().contains(&ann.connection));
}

#[tokio::test]
async fn the_answer_has_the_token_for_requests_that_are_checked_one_by_one() {
    let gateway = guarded().start().await;
    let (first, _) = given(&negotiate(&gateway, &[("x-user", "ann"), ("x-lifetime", SHORT_TEXT)]).await);
    let negotiated = gateway.client("probe").token(&first).negotiate("&negotiateVersion=1").await.json();
    let connection = negotiated["connectionToken"].as_str().expect("a token").to_owned();
    let path = format!("/client/?hub=probe&id={connection}");
    let poll = |token: &str| gateway.request(Method::GET, &path).bearer(token).send();
    let post = |token: &str, text: &str| {
        gateway.request(Method::POST, &path).bearer(token).body("text/plain", text.to_owned()).send()
    };
    assert_eq!(poll(&first).await.status, 200);
    assert_eq!(post(&first, hubgate_tests::client::HANDSHAKE).await.status, 200);
    assert_eq!(poll(&first).await.body, "{}\u{1e}");
    let newer = [("x-user", "ann"), ("x-claim", "level=2"), ("x-lifetime", LONG)];
    let (second, _) = given(&refresh(&gateway, &connection, &newer).send().await);
    // A poll that is held ends with its token.
    while poll(&first).await.status == 200 {}
    let call = json!({ "type": 1, "invocationId": "1", "target": "whoami", "arguments": [] });
    assert_eq!(post(&second, &format!("{call}\u{1e}")).await.status, 200);
    let body = poll(&second).await.body;
    assert!(body.contains(r#""level":"2""#), "{body}");
}

#[tokio::test]
async fn a_refreshed_end_is_not_put_off_by_requests_with_the_token_before() {
    let gateway = closing().start().await;
    let (first, _) = given(&negotiate(&gateway, &[("x-user", "ann"), ("x-lifetime", LONG)]).await);
    let negotiated = gateway.client("probe").token(&first).negotiate("&negotiateVersion=1").await.json();
    let connection = negotiated["connectionToken"].as_str().expect("a token");
    let path = format!("/client/?hub=probe&id={connection}");
    let poll = || gateway.request(Method::GET, &path).bearer(&first).send();
    assert_eq!(poll().await.status, 200);
    let handshake = gateway.request(Method::POST, &path).bearer(&first);
    let handshake = handshake.body("text/plain", hubgate_tests::client::HANDSHAKE).send().await;
    assert_eq!(handshake.status, 200);
    assert_eq!(poll().await.body, "{}\u{1e}");
    let sooner = [("x-user", "ann"), ("x-lifetime", SHORT_TEXT)];
    assert_eq!(refresh(&gateway, connection, &sooner).send().await.status, 200);
    let over = soon("the end", async { while poll().await.status == 200 {} });
    over.await;
    assert_eq!(poll().await.status, 404);
}

/// The probe, open to whoever brings a token of this key, whose connections end with their tokens.
fn with_provider(key: &ProviderKey) -> Setup {
    Gateway::probe().file("keys.json", &key_set(&[key])).with(&format!(
        "hubs.probe.close-on-expiry = true\n\
         hubs.probe.jwt = {{ jwks-file = 'keys.json', issuer = '{ISSUER}', audience = 'chat', claims = {{ role = 'roles' }} }}"
    ))
}

#[tokio::test]
async fn a_newer_token_of_the_identity_provider_moves_the_end_and_one_of_somebody_else_or_nobody_does_not() {
    let key = ProviderKey::new("k", Algorithm::ES256);
    let gateway = with_provider(&key).start().await;
    let token = |user: &str, seconds: i64| key.token(user, json!({ "exp": now() + seconds, "roles": "r" }));
    let negotiated =
        gateway.request(Method::POST, "/hubs/probe/negotiate").bearer(&token("ann", SHORT as i64)).send().await;
    let (ours, lifetime) = given(&negotiated);
    assert!((1..=SHORT).contains(&lifetime), "{lifetime}");
    let (mut refreshed, mut left_alone) = (let_in(&gateway, &ours).await, let_in(&gateway, &ours).await);
    let asked = |token: &str| refresh(&gateway, &refreshed.connection, &[]).bearer(token).send();
    assert_eq!(refused(&asked(&token("eve", 600)).await), (403, "permission_change_rejected".to_owned()));
    let expired = asked(&token("ann", -5)).await;
    assert_eq!(refused(&expired), (401, "invalid_token".to_owned()));
    assert!(expired.body.contains("has expired"), "{}", expired.body);
    assert_eq!(expired.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    // The gateway's own token proves nothing here.
    assert_eq!(refused(&asked(&ours).await), (401, "invalid_token".to_owned()));
    // Without a token, everybody is anonymous.
    assert_eq!(
        refused(&refresh(&gateway, &refreshed.connection, &[]).send().await),
        (403, "permission_change_rejected".to_owned())
    );
    assert_eq!(asked(&token("ann", 600)).await.status, 200);
    assert!(left_alone.client.end().await.allows_reconnect());
    assert_eq!(claim(&mut refreshed.client, "role").await, "r");
}

#[tokio::test]
async fn an_anonymous_client_refreshes_without_a_token_or_with_the_one_that_it_was_given() {
    let gateway = Gateway::probe().with("hubs.probe.close-on-expiry = true").start().await;
    let (ours, _) = given(&negotiate(&gateway, &[]).await);
    let mut client = let_in(&gateway, &ours).await;
    assert_eq!(refresh(&gateway, &client.connection, &[]).bearer(&ours).send().await.status, 200);
    let (newer, _) = given(&refresh(&gateway, &client.connection, &[]).send().await);
    let claims = hubgate_wire::token::Claims::check_without_key(&newer, 0).expect("a token");
    assert_eq!(claim(&mut client.client, "exp").await, claims.expiry().to_string());
    // Somebody whom an application has let in is not nobody.
    let signed_in = gateway.token("probe").user("ann").sign();
    let signed_in = let_in(&gateway, &signed_in).await;
    let answer = refresh(&gateway, &signed_in.connection, &[]).send().await;
    assert_eq!(refused(&answer), (403, "permission_change_rejected".to_owned()));
}

#[tokio::test]
async fn a_client_that_resumes_keeps_what_it_was_refreshed_with_while_it_was_away() {
    let gateway = closing().start().await;
    let (token, _) =
        given(&negotiate(&gateway, &[("x-user", "ann"), ("x-claim", "level=1"), ("x-lifetime", SHORT_TEXT)]).await);
    let mut left_alone = let_in(&gateway, &token).await;
    let mut client = StatefulClient::connect(gateway.client("probe").token(&token)).await;
    client.cut();
    let newer = [("x-user", "ann"), ("x-claim", "level=2"), ("x-lifetime", LONG)];
    assert_eq!(refresh(&gateway, client.connection_token(), &newer).send().await.status, 200);
    client.resume().await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(me["claims"]["level"], "2");
    // The older token, which it came back with, has ended meanwhile.
    left_alone.client.end().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn refreshed_claims_stay_whenever_requests_with_the_token_before_are_read() {
    let gateway = guarded().start().await;
    let (token, _) = given(&negotiate(&gateway, &[("x-user", "ann"), ("x-claim", "level=1")]).await);
    let negotiated = gateway.client("probe").token(&token).negotiate("&negotiateVersion=1").await.json();
    let connection = negotiated["connectionToken"].as_str().expect("a token").to_owned();
    let path = format!("/client/?hub=probe&id={connection}");
    let poll = || gateway.request(Method::GET, &path).bearer(&token).send();
    let post = |text: String| gateway.request(Method::POST, &path).bearer(&token).body("text/plain", text).send();
    assert_eq!(poll().await.status, 200);
    assert_eq!(post(hubgate_tests::client::HANDSHAKE.to_owned()).await.status, 200);
    assert_eq!(poll().await.body, "{}\u{1e}");
    let newer = [("x-user", "ann"), ("x-claim", "level=2")];
    assert_eq!(refresh(&gateway, &connection, &newer).send().await.status, 200);
    let call = json!({ "type": 1, "invocationId": "1", "target": "whoami", "arguments": [] });
    // At each part of a second.
    let end = Instant::now() + Duration::from_millis(1_200);
    while Instant::now() < end {
        assert_eq!(post(format!("{call}\u{1e}")).await.status, 200);
        let body = poll().await.body;
        assert!(body.contains(r#""level":"2""#), "{body}");
    }
}

#[tokio::test]
async fn a_client_that_resumes_with_an_older_token_does_not_undo_an_earlier_end() {
    let gateway = closing().start().await;
    let (token, _) = given(&negotiate(&gateway, &[("x-user", "ann"), ("x-lifetime", LONG)]).await);
    let mut client = StatefulClient::connect(gateway.client("probe").token(&token)).await;
    let sooner = [("x-user", "ann"), ("x-lifetime", SHORT_TEXT)];
    assert_eq!(refresh(&gateway, client.connection_token(), &sooner).send().await.status, 200);
    client.cut();
    client.resume().await;
    assert!(client.end().await.allows_reconnect());
}

fn rest_body(connection: &str, more: Value) -> Value {
    let mut body = json!({ "connectionToken": connection });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

const REFRESH: &str = "/api/hubs/probe/connections/:refreshAuth";
const CLAIMS: &str = "/api/hubs/probe/connections/claims";

#[tokio::test]
async fn an_application_without_a_connection_refreshes_by_rest_and_reads_claims() {
    let gateway = Gateway::probe().start().await;
    let end = now() + SHORT as i64;
    let token = gateway.token("probe").user("ann").claim("asrs.s.coae", "true").claim("asrs.s.aeo", end.to_string());
    let token = token.claim("level", "1").sign();
    let (mut ann, mut left_alone) = (let_in(&gateway, &token).await, let_in(&gateway, &token).await);
    let ask = |method: Method, path: &str, body: Value| gateway.rest(method, path).json(&body).send();
    let query = Method::from_bytes(b"QUERY").expect("a method");
    for method in [query, Method::POST] {
        let answer = ask(method, CLAIMS, rest_body(&ann.connection, json!({}))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.body);
        let claims = answer.json()["claims"].as_array().expect("a list").clone();
        assert!(claims.contains(&json!({ "type": "level", "value": "1" })), "{claims:?}");
        assert!(!claims.iter().any(|claim| claim["type"] == "exp" || claim["type"] == "aud"), "{claims:?}");
    }
    let claims = json!([{ "type": "level", "value": "2" }, { "type": "nameid", "value": "ann" }]);
    let more = json!({ "claims": claims, "expireTime": "9000-01-01T00:00:00.0000000+00:00" });
    let answer =
        ask(Method::POST, &format!("{REFRESH}?api-version=2026-07-01"), rest_body(&ann.connection, more)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains(r#"{"type":"level","value":"2"}"#), "{}", answer.body);
    assert_eq!(claim(&mut ann.client, "level").await, "2");
    assert!(left_alone.client.end().await.allows_reconnect());
    assert_eq!(claim(&mut ann.client, "level").await, "2");
    // Only the end: the claims stay.
    let more = json!({ "expireTime": "2020-01-01T00:00:00Z", "claims": null });
    assert_eq!(ask(Method::POST, REFRESH, rest_body(&ann.connection, more)).await.status, 200);
    assert!(ann.client.end().await.allows_reconnect());
}

#[tokio::test]
async fn a_refresh_by_rest_that_cannot_be_is_refused_and_changes_nothing() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").user("ann").claim("level", "1").sign();
    let mut ann = let_in(&gateway, &token).await;
    let long = "x".repeat(9_000);
    for (body, status, text) in [
        (rest_body(&ann.connection, json!({ "claims": [{ "type": "nameid", "value": "eve" }] })), 403, "another user"),
        (rest_body(&ann.connection, json!({ "claims": [{ "type": "x", "value": long }] })), 413, "8192 bytes"),
        (rest_body(&ann.id, json!({})), 404, "No connection"),
        (rest_body("nonsense", json!({})), 404, "No connection"),
        (rest_body(&ann.connection, json!({ "expireTime": "tomorrow" })), 400, "expireTime"),
        (rest_body(&ann.connection, json!({ "claims": { "level": "2" } })), 400, "The body must be JSON"),
        (json!({}), 400, "connectionToken"),
    ] {
        let answer = gateway.rest(Method::POST, REFRESH).json(&body).send().await;
        assert_eq!(answer.status, status, "{} {}", answer.body, body["connectionToken"]);
        assert!(answer.body.contains(text), "{}", answer.body);
    }
    let answer = gateway.request(Method::POST, REFRESH).json(&rest_body(&ann.connection, json!({}))).send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(gateway.rest(Method::POST, CLAIMS).json(&rest_body(&ann.id, json!({}))).send().await.status, 404);
    assert_eq!(claim(&mut ann.client, "level").await, "1");
    assert_eq!(count(&gateway, "too_large").await, 1.0);
}

/// The next ack of a hub server, with what came before it.
async fn acked(server: &mut HubServer) -> (i64, Option<Vec<u8>>, Vec<Vec<u8>>) {
    let mut before = Vec::new();
    loop {
        let body = server.next().await;
        if let Ok(ServiceMessage::Ack(Ack { status, payload, .. })) = service::parse(&body) {
            return (status, payload.map(<[u8]>::to_vec), before);
        }
        before.push(body);
    }
}

#[tokio::test]
async fn a_hub_server_refreshes_a_client_of_another_and_its_own_server_hears_of_changed_claims_alone() {
    let gateway = Gateway::serve().start().await;
    let mut owner = HubServer::connect(&gateway, "chat", "a").await;
    let end = now() + 3;
    let connecting = gateway.client("chat").user("ann").with_claim("asrs.s.coae", "true").with_claim("level", "1");
    let connecting = connecting.with_claim("asrs.s.aeo", end.to_string());
    let token = connecting.negotiate("&negotiateVersion=1").await.json()["connectionToken"]
        .as_str()
        .expect("a token")
        .to_owned();
    let (mut client, id) = owner.let_in(connecting.id(&token).open().await).await;
    let mut other = HubServer::connect(&gateway, "chat", "b").await;
    let refresh = |claims: &[(&'static str, &'static str)], seconds: i64| RefreshAuth {
        connection_token: &token,
        claims: claims.to_vec(),
        expiry: Some(Timestamp { seconds: now() + seconds, nanoseconds: 0 }),
        ack_id: 7,
        ..RefreshAuth::default()
    };
    other.send(&ServiceMessage::RefreshAuth(refresh(&[("nameid", "eve")], 600))).await;
    assert_eq!(acked(&mut other).await.0, 5);
    let by_id = GetConnectionClaims { connection_token: &id, ack_id: 7, ..GetConnectionClaims::default() };
    other.send(&ServiceMessage::GetConnectionClaims(by_id)).await;
    assert_eq!(acked(&mut other).await.0, 2);
    // Only the end, then the claims, which the client's own server is told of.
    other.send(&ServiceMessage::RefreshAuth(refresh(&[], 600))).await;
    let (status, payload, _) = acked(&mut other).await;
    assert!(status == 1 && payload.is_some_and(|claims| claims.windows(5).any(|part| part == b"level")));
    other.send(&ServiceMessage::RefreshAuth(refresh(&[("nameid", "ann"), ("level", "2")], 600))).await;
    assert_eq!(acked(&mut other).await.0, 1);
    let told = owner.next().await;
    let Ok(ServiceMessage::UpdateConnectionClaims(update)) = service::parse(&told) else { panic!("{told:?}") };
    assert!(update.connection_id == id && update.claims.contains(&("level", "2")), "{update:?}");
    // An end that has passed is now; that, and not the first one, is what the server hears of next.
    let_pass(Duration::from_secs(u64::try_from(end + 1 - now()).unwrap_or_default())).await;
    client.send_text("{\"type\":1,\"target\":\"still\",\"arguments\":[]}\u{1e}").await;
    assert!(owner.client_says().await.contains("still"));
    other.send(&ServiceMessage::RefreshAuth(refresh(&[], -1))).await;
    assert!(client.end().await.allows_reconnect());
}

#[tokio::test]
async fn the_hub_server_of_a_client_that_refreshes_itself_hears_of_changed_claims_alone() {
    let gateway = guarded().with("hubs.probe.mode = 'default'").start().await;
    let mut server = HubServer::connect(&gateway, "probe", "a").await;
    let (token, _) = given(&negotiate(&gateway, &[("x-user", "ann"), ("x-claim", "level=1")]).await);
    let connecting = gateway.client("probe").token(&token);
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let connection = negotiated["connectionToken"].as_str().expect("a token").to_owned();
    let (mut client, id) = server.let_in(connecting.id(&connection).open().await).await;
    // The same claims in a token that lasts for another time.
    let same = [("x-user", "ann"), ("x-claim", "level=1"), ("x-lifetime", LONG)];
    assert_eq!(refresh(&gateway, &connection, &same).send().await.status, 200);
    client.send_text("{\"type\":1,\"target\":\"said\",\"arguments\":[]}\u{1e}").await;
    assert!(server.client_says().await.contains("said"), "nothing came before it");
    let newer = [("x-user", "ann"), ("x-claim", "level=2")];
    assert_eq!(refresh(&gateway, &connection, &newer).send().await.status, 200);
    let told = server.next().await;
    let Ok(ServiceMessage::UpdateConnectionClaims(update)) = service::parse(&told) else { panic!("{told:?}") };
    assert!(update.connection_id == id && update.claims.contains(&("level", "2")), "{update:?}");
}

/// How long tokens last under load, in seconds.
const LIFETIME: u64 = SHORT;

fn asked_for(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Stays for as long as it is let, and asks for that in time. Every tenth client is refused once: its connection ends with the token that it
/// has, and it comes again. Gives how often it was refreshed, and refused.
async fn refresh_until(gateway: &Gateway, number: u64, end: Instant) -> (u64, u64) {
    let user = format!("user-{number}");
    let lifetime = LIFETIME.to_string();
    let own = [("x-user", &*user), ("x-lifetime", &*lifetime)];
    let (mut refreshed, mut refused_ones) = (0, 0);
    while Instant::now() < end {
        let LetIn { mut client, connection, .. } = connect(gateway, &own).await;
        let refreshes_first = number % 3 + 1;
        for turn in 0.. {
            // Not all at the same moment.
            let_pass(Duration::from_millis(LIFETIME * 400 + number * 37 % 700)).await;
            assert_eq!(client.call("echo", json!([turn])).await, Ok(json!(turn)), "client {number} is there");
            if Instant::now() >= end {
                client.leave().await;
                break;
            }
            if number.is_multiple_of(10) && turn == refreshes_first {
                let eve = [("x-user", "eve"), ("x-lifetime", LONG)];
                let answer = refresh(gateway, &connection, &eve).send().await;
                assert_eq!(answer.status, 403, "{}", answer.body);
                soon("a client to end with its token, and not with the other one", client.end()).await;
                refused_ones += 1;
                break;
            }
            let answer = refresh(gateway, &connection, &own).send().await;
            assert_eq!((answer.status, given(&answer).1), (200, LIFETIME), "client {number}");
            refreshed += 1;
        }
    }
    (refreshed, refused_ones)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_stay_for_as_long_as_they_refresh_and_nobody_outlives_a_refused_refresh() {
    let clients = asked_for("HUBGATE_REFRESH_CLIENTS", 60);
    let lasts = Duration::from_secs(asked_for("HUBGATE_REFRESH_SECONDS", 12));
    let gateway = std::sync::Arc::new(closing().descriptors(4_096).with("admin.metrics-open = true").start().await);
    let end = Instant::now() + lasts;
    let mut all = JoinSet::new();
    for number in 0..clients {
        let gateway = gateway.clone();
        all.spawn(async move { refresh_until(&gateway, number, end).await });
        // They come over a while.
        let_pass(Duration::from_millis(2)).await;
    }
    let (mut refreshed, mut refused_ones) = (0, 0);
    while let Some(done) = all.join_next().await {
        let (of_one, refused_of_one) = done.expect("a client fails");
        (refreshed, refused_ones) = (refreshed + of_one, refused_ones + refused_of_one);
    }
    println!("{clients} clients in {lasts:?}: {refreshed} refreshes, {refused_ones} refused");
    assert!(refreshed >= clients && refused_ones > 0, "{refreshed} {refused_ones}");
    assert_eq!(count(&gateway, "refreshed").await, refreshed as f64);
    assert_eq!(count(&gateway, "other_user").await, refused_ones as f64);
    let closed = [("hub", "probe"), ("reason", "Unauthorized")];
    let closed = gateway.metric("hubgate_client_connections_closed_total", closed).await;
    assert_eq!(closed, refused_ones as f64, "only those that were refused are closed");
}
