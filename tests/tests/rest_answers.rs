//! The REST API's answers: results of clients, tokens for them, and the codes of errors.

use http::Method;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// A gateway with hubs `bare` and `app_bare`, whose clients get nothing but what is sent to them.
async fn gateway(shards: usize) -> Gateway {
    let hubs = "hubs.bare.mode = 'serverless'\nhubs.app_bare.mode = 'serverless'";
    Gateway::serve().with(&format!("server.shards = {shards}\n{hubs}")).start().await
}

/// A client and its connection id.
async fn client(gateway: &Gateway) -> (Client, String) {
    let connecting = gateway.client("bare");
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let text = |name: &str| negotiated[name].as_str().expect("negotiate gives ids").to_owned();
    (connecting.id(&text("connectionToken")).connect().await, text("connectionId"))
}

/// What an error says.
fn error(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect("errors are JSON")
}

fn invocation(gateway: &Gateway, id: &str) -> Request {
    gateway.rest(Method::POST, &format!("/api/hubs/bare/connections/{id}/:invoke?api-version=2024-12-01"))
}

/// What a client is asked: the id of the invocation, and the arguments.
async fn asked(client: &mut Client) -> (String, Value) {
    let message = client.message().await;
    assert_eq!((&message["type"], &message["target"]), (&json!(1), &json!("add")), "{message}");
    (message["invocationId"].as_str().expect("it is to be answered").to_owned(), message["arguments"].clone())
}

/// The answer to an invocation of `add`, to which the client says `completion`.
async fn invoked(gateway: &Gateway, client: &mut Client, id: &str, completion: Value) -> Answer {
    let request = invocation(gateway, id).json(&json!({ "target": "add", "arguments": [1.50, "ä"] }));
    let answers = async {
        let (invocation, arguments) = asked(client).await;
        assert_eq!(arguments, json!([1.50, "ä"]));
        let mut message = json!({ "type": 3, "invocationId": invocation });
        message.as_object_mut().expect("an object").extend(completion.as_object().expect("an object").clone());
        client.send(message).await;
    };
    tokio::join!(request.send(), answers).0
}

#[tokio::test]
async fn a_client_is_invoked_and_its_result_is_the_answer_whatever_thread_it_is_on() {
    let gateway = gateway(4).await;
    for _ in 0..6 {
        let (mut client, id) = client(&gateway).await;
        let answer = invoked(&gateway, &mut client, &id, json!({ "result": { "sum": [42, null] } })).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "result": { "sum": [42, null] } })));
        let answer = invoked(&gateway, &mut client, &id, json!({ "result": null })).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "result": null })));
        let answer = invoked(&gateway, &mut client, &id, json!({})).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})), "it has no result");
    }
    let counted = [("operation", "invokeConnection"), ("status", "200")];
    assert_eq!(gateway.metric("hubgate_rest_requests_total", counted).await, 18.0);
}

#[tokio::test]
async fn a_client_without_a_result_is_told_as_a_failed_invocation() {
    let gateway = gateway(2).await;
    let (mut client, id) = client(&gateway).await;
    let answer = invoked(&gateway, &mut client, &id, json!({ "error": "I cannot \"add\"." })).await;
    assert_eq!(answer.status, 400);
    assert_eq!(error(&answer), json!({ "code": "InvocationFailed", "message": "I cannot \"add\"." }));
    assert_eq!(answer.header("x-ms-error-code"), "InvocationFailed");

    let request = invocation(&gateway, &id).json(&json!({ "target": "add" }));
    let leaves = async {
        asked(&mut client).await;
        client.leave().await;
    };
    let (answer, ()) = tokio::join!(request.send(), leaves);
    assert_eq!(answer.status, 400);
    assert_eq!(error(&answer)["message"], "The client left before it answered.");

    for absent in [id.as_str(), "nobody"] {
        let answer = invocation(&gateway, absent).json(&json!({ "target": "add" })).send().await;
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (404, "Warning.Connection.NotExisted"));
    }
    let counted = |status| [("operation", "invokeConnection"), ("status", status)];
    assert_eq!(gateway.metric("hubgate_rest_requests_total", counted("400")).await, 2.0);
    assert_eq!(gateway.metric("hubgate_rest_requests_total", counted("404")).await, 2.0);
}

#[tokio::test]
async fn an_invocation_needs_a_method_in_json_or_messagepack() {
    let gateway = gateway(1).await;
    let (_client, id) = client(&gateway).await;
    for (content_type, body, status, text) in [
        ("application/json", "", 400, "required"),
        ("application/json", "{\"arguments\":[]}", 400, "`target`"),
        ("application/octet-stream", "\u{0}", 400, "gives it an id"),
        ("text/plain", "x", 415, "application/json"),
    ] {
        let answer = invocation(&gateway, &id).body(content_type, body).send().await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(text), "{}", answer.body);
    }
}

#[tokio::test]
async fn filters_see_what_a_client_is_asked() {
    let config = "hubs.bare = { mode = 'serverless', filters = ['redact'] }\nplugins.redact.config.patterns = '\\d{4}'";
    let gateway = Gateway::serve().plugin("redact", &guests::ready_made("redact")).with(config).start().await;
    let (mut client, id) = client(&gateway).await;
    let request = invocation(&gateway, &id).json(&json!({ "target": "add", "arguments": ["pin 1234"] }));
    let answers = async {
        let (question, arguments) = asked(&mut client).await;
        assert!(!arguments.to_string().contains("1234"), "{arguments}");
        client.send(json!({ "type": 3, "invocationId": question })).await;
    };
    assert_eq!(tokio::join!(request.send(), answers).0.status, 200);
}

#[tokio::test]
async fn a_generated_token_lets_its_user_in() {
    let gateway = gateway(1).await;
    for (query, hub, user) in [
        ("", "bare", None),
        ("?userId=J%C3%BCrgen&minutesToExpire=5&api-version=2024-12-01", "bare", Some("J%C3%BCrgen")),
        ("?userid=ann&application=app", "app_bare", Some("ann")),
    ] {
        let answer = gateway.rest(Method::POST, &format!("/api/hubs/bare/:generateToken{query}")).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(body.as_object().expect("an object").keys().collect::<Vec<_>>(), ["token"]);
        let token = body["token"].as_str().expect("a text");
        let _client = gateway.client(hub).token(token).connect().await;
        if let Some(user) = user {
            let asked = gateway.rest(Method::HEAD, &format!("/api/hubs/{hub}/users/{user}")).send().await;
            assert_eq!(asked.status, 200, "{user} is there");
        }
    }
    let elsewhere = gateway.rest(Method::POST, "/api/hubs/bare/:generateToken").send().await.json();
    let token = elsewhere["token"].as_str().expect("a text").to_owned();
    let refused = gateway.client("app_bare").token(&token).try_open().await.expect_err("it is for another hub");
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_token_is_not_generated_without_a_lifetime_or_for_what_is_no_user() {
    let gateway = gateway(1).await;
    let long = "x".repeat(1025);
    for query in ["minutesToExpire=0", "minutesToExpire=-1", "minutesToExpire=soon", &format!("userId={long}")] {
        let answer = gateway.rest(Method::POST, &format!("/api/hubs/bare/:generateToken?{query}")).send().await;
        assert_eq!((answer.status, &error(&answer)["code"]), (400, &json!("BadRequest")), "{query}");
    }
    let without = gateway.request(Method::POST, "/api/hubs/bare/:generateToken").send().await;
    assert_eq!(without.status, 401);
}

#[tokio::test]
async fn every_error_has_its_code_in_a_header_so_that_a_head_is_told_too() {
    let gateway = gateway(1).await;
    let request = |method, path| gateway.rest(method, path);
    for (answer, status, code) in [
        (request(Method::HEAD, "/api/hubs/bare/groups/%20").send().await, 400, "BadRequest"),
        (gateway.request(Method::HEAD, "/api/hubs/bare/users/ann").send().await, 401, "Unauthorized"),
        (request(Method::HEAD, "/api/hubs/bare/users/ann").send().await, 404, "Warning.User.NotExisted"),
        (request(Method::GET, "/api/hubs/bare/dance").send().await, 404, "NotFound"),
        (request(Method::PATCH, "/api/hubs/bare/users/ann").send().await, 405, "MethodNotAllowed"),
        (
            request(Method::POST, "/api/hubs/bare/:send").body("text/plain", "x").send().await,
            415,
            "UnsupportedMediaType",
        ),
    ] {
        assert_eq!((answer.status, answer.header("x-ms-error-code")), (status, code), "{answer:?}");
    }
}
