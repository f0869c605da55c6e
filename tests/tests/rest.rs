//! The REST API: sends, groups, questions and closes from outside.

use http::Method;
use hubgate_tests::http::{Answer, raw};
use hubgate_tests::{Client, Gateway, Token, guests};
use serde_json::{Value, json};

/// Enough that no shard is without one.
const CLIENTS: usize = 8;

/// The prefixes of both versions, and what sends have at the end of their paths.
const VERSIONS: [(&str, &str); 2] = [("/api/v1/hubs/bare", ""), ("/api/hubs/bare", "/:send")];

/// A gateway with hub `bare`, whose clients get nothing but what is sent to them.
async fn gateway() -> Gateway {
    Gateway::serve().with("hubs.bare.mode = 'serverless'").with("hubs.app_bare.mode = 'serverless'").start().await
}

async fn clients(gateway: &Gateway, user: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(gateway.client("bare").user(user).connect().await);
    }
    clients
}

/// A client and its connection id.
async fn client(gateway: &Gateway, user: &str) -> (Client, String) {
    let connecting = gateway.client("bare").user(user);
    let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
    let text = |name: &str| negotiated[name].as_str().expect("negotiate gives ids").to_owned();
    (connecting.id(&text("connectionToken")).connect().await, text("connectionId"))
}

fn message(text: &str) -> Value {
    json!({"target": "said", "arguments": [text]})
}

async fn ask(gateway: &Gateway, method: Method, path: &str) -> Answer {
    gateway.rest(method, path).send().await
}

async fn post(gateway: &Gateway, path: &str, text: &str) -> u16 {
    gateway.rest(Method::POST, path).json(&message(text)).send().await.status
}

#[tokio::test]
async fn a_send_reaches_whom_its_path_names_in_both_versions() {
    let gateway = gateway().await;
    let mut anns = clients(&gateway, "ann/of?x").await;
    let (mut bob, bob_id) = client(&gateway, "bob").await;
    for (hub, send) in VERSIONS {
        assert_eq!(ask(&gateway, Method::PUT, &format!("{hub}/groups/a%20b/connections/{bob_id}")).await.status, 200);
        let root = if send.is_empty() { hub.to_owned() } else { format!("{hub}/:send") };
        assert_eq!(post(&gateway, &root, "all").await, 202);
        assert_eq!(post(&gateway, &format!("{hub}/users/ann%2Fof%3Fx{send}"), "ann").await, 202);
        assert_eq!(post(&gateway, &format!("{hub}/connections/{bob_id}{send}"), "bob").await, 202);
        assert_eq!(post(&gateway, &format!("{hub}/groups/a%20b{send}"), "group").await, 202);
        for ann in &mut anns {
            assert_eq!(ann.event("said").await, json!(["all"]));
            assert_eq!(ann.event("said").await, json!(["ann"]));
        }
        for expected in ["all", "bob", "group"] {
            assert_eq!(bob.event("said").await, json!([expected]));
        }
    }
    assert_eq!(
        gateway.metric("hubgate_rest_requests_total", [("operation", "sendToUser"), ("status", "202")]).await,
        2.0
    );
}

#[tokio::test]
async fn excluded_connections_get_nothing() {
    let gateway = gateway().await;
    let (mut ann, ann_id) = client(&gateway, "ann").await;
    let (mut bob, bob_id) = client(&gateway, "bob").await;
    let (mut cid, _) = client(&gateway, "cid").await;
    for excluded in [
        format!("excluded={ann_id}&excluded={bob_id}&excluded=nobody"),
        format!("excluded={ann_id},%20{bob_id},"),
        format!("excluded[]={ann_id}&excluded[]={bob_id}&excluded="),
        format!("excluded%5B0%5D={ann_id}&Excluded[1]={bob_id}"),
    ] {
        assert_eq!(post(&gateway, &format!("/api/hubs/bare/:send?{excluded}"), "one").await, 202);
        assert_eq!(cid.event("said").await, json!(["one"]), "{excluded}");
    }
    for no_id in ["a%20b".to_owned(), "%C3%A9".to_owned(), "a".repeat(129)] {
        assert_eq!(post(&gateway, &format!("/api/hubs/bare/:send?excluded={no_id}"), "one").await, 400, "{no_id}");
    }
    assert_eq!(post(&gateway, "/api/hubs/bare/:send", "two").await, 202);
    for client in [&mut ann, &mut bob, &mut cid] {
        assert_eq!(client.event("said").await, json!(["two"]));
    }
}

#[tokio::test]
async fn arguments_reach_clients_as_they_were_written() {
    let gateway = gateway().await;
    let (mut ann, _) = client(&gateway, "ann").await;
    let arguments = r#"[1.0, 12345678901234567890,1e400,"\u00e9\/",{"B":null,"a":[]}]"#;
    let body = format!(r#" {{"Arguments":{arguments},"TARGET":"said","rawOnly":true}} "#);
    let sent =
        gateway.rest(Method::POST, "/api/v1/hubs/bare").body("application/json; charset=utf-8", body).send().await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let frame = ann.next_text().await;
    assert_eq!(frame, format!("{{\"type\":1,\"target\":\"said\",\"arguments\":{arguments}}}\u{1e}"));
}

#[tokio::test]
async fn a_chunked_body_is_read_as_a_whole() {
    let gateway = gateway().await;
    let (mut ann, _) = client(&gateway, "ann").await;
    let path = "/api/hubs/bare/:send";
    let token = Token::new(&format!("{}{path}", gateway.url()), gateway.key()).sign();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n");
    let body = "a\r\n{\"target\":\r\n16\r\n\"said\",\"arguments\":[7]\r\n1\r\n}\r\n0\r\n\r\n";
    let request = format!("{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let answer = raw(gateway.address(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(ann.event("said").await, json!([7]));
}

#[tokio::test]
async fn sends_to_nobody_are_accepted() {
    let gateway = gateway().await;
    for path in ["users/nobody/:send", "groups/nobody/:send", "connections/nobody/:send", ":send"] {
        assert_eq!(post(&gateway, &format!("/api/hubs/bare/{path}"), "x").await, 202, "{path}");
    }
}

#[tokio::test]
async fn an_application_is_the_first_part_of_the_hubs_name() {
    let gateway = gateway().await;
    let mut client = gateway.client("app_bare").connect().await;
    assert_eq!(post(&gateway, "/api/hubs/bare/:send?application=App&api-version=2022-06-01", "x").await, 202);
    assert_eq!(client.event("said").await, json!(["x"]));
    let bad = gateway.rest(Method::POST, "/api/hubs/bare/:send?application=1").json(&message("x")).send().await;
    assert_eq!(bad.status, 400);
    assert!(bad.body.contains("Invalid value of 'application'"), "{}", bad.body);
}

#[tokio::test]
async fn what_is_there_is_told_with_200_and_what_is_not_with_404_and_the_sdks_code() {
    let gateway = gateway().await;
    let (ann, id) = client(&gateway, "ann").await;
    ask(&gateway, Method::PUT, "/api/hubs/bare/users/ann/groups/tea").await;
    for (hub, _) in VERSIONS {
        for there in
            [format!("connections/{id}"), "users/ann".into(), "groups/tea".into(), "users/ann/groups/tea".into()]
        {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(ask(&gateway, method, &format!("{hub}/{there}")).await.status, 200, "{there}");
            }
        }
        let other = format!("AAAA{}", &id[4..]);
        for (absent, code) in [
            (format!("connections/{other}"), "Warning.Connection.NotExisted"),
            ("connections/x".to_owned(), "Warning.Connection.NotExisted"),
            ("users/bob".to_owned(), "Warning.User.NotExisted"),
            ("groups/Tea".to_owned(), "Warning.Group.NotExisted"),
            ("users/bob/groups/tea".to_owned(), "Info.User.NotInGroup"),
            ("groups/cake/users/ann".to_owned(), "Info.User.NotInGroup"),
        ] {
            let answer = ask(&gateway, Method::HEAD, &format!("{hub}/{absent}")).await;
            assert_eq!((answer.status, answer.header("x-ms-error-code")), (404, code), "{absent}");
        }
    }
    ann.leave().await;
    assert_eq!(
        ask(&gateway, Method::HEAD, "/api/hubs/bare/users/ann/groups/tea").await.status,
        200,
        "it is remembered"
    );
}

#[tokio::test]
async fn an_answer_to_a_change_of_groups_means_that_it_is_in_effect() {
    let gateway = gateway().await;
    let mut anns = clients(&gateway, "ann").await;
    for round in 0..10 {
        assert_eq!(ask(&gateway, Method::PUT, "/api/hubs/bare/users/ann/groups/tea").await.status, 200);
        assert_eq!(post(&gateway, "/api/hubs/bare/groups/tea/:send", "in").await, 202);
        assert_eq!(ask(&gateway, Method::DELETE, "/api/hubs/bare/users/ann/groups/tea").await.status, 204);
        assert_eq!(post(&gateway, "/api/hubs/bare/groups/tea/:send", "out").await, 202);
        assert_eq!(post(&gateway, "/api/hubs/bare/:send", "all").await, 202);
        for ann in &mut anns {
            assert_eq!(ann.event("said").await, json!(["in"]), "round {round}");
            assert_eq!(ann.event("said").await, json!(["all"]), "round {round}");
        }
    }
}

#[tokio::test]
async fn memberships_end_as_they_were_made() {
    let gateway = gateway().await;
    let (mut ann, id) = client(&gateway, "ann").await;
    let hub = "/api/v1/hubs/bare";
    let group = |path: &str| format!("{hub}/groups/g/{path}");
    let heard = async |ann: &mut Client, expected: &[&str]| {
        post(&gateway, &format!("{hub}/groups/g"), "group").await;
        post(&gateway, &format!("{hub}/users/ann"), "user").await;
        for text in expected {
            assert_eq!(ann.event("said").await, json!([text]));
        }
    };
    for (method, path, status) in [
        (Method::PUT, group(&format!("connections/{id}")), 200),
        (Method::DELETE, group(&format!("connections/{id}")), 200),
        (Method::PUT, format!("{hub}/connections/{id}/groups/g"), 200),
        (Method::DELETE, format!("{hub}/connections/{id}/groups"), 200),
        (Method::PUT, group("users/ann"), 202),
        (Method::DELETE, group("users/ann"), 202),
        (Method::PUT, format!("{hub}/users/ann/groups/g?ttl=0"), 202),
        (Method::DELETE, format!("{hub}/users/ann/groups"), 200),
    ] {
        let expected: &[&str] = if method == Method::PUT { &["group", "user"] } else { &["user"] };
        assert_eq!(ask(&gateway, method, &path).await.status, status, "{path}");
        heard(&mut ann, expected).await;
    }
}

#[tokio::test]
async fn a_users_membership_is_for_later_connections_unless_its_time_to_live_is_0() {
    let gateway = gateway().await;
    for (ttl, expected) in [
        ("", vec!["group", "user"]),
        ("?ttl=3600", vec!["group", "user"]),
        ("?ttl=4294967296", vec!["group", "user"]),
        ("?ttl=99999999999999999999", vec!["group", "user"]),
        ("?ttl=0", vec!["user"]),
    ] {
        assert_eq!(ask(&gateway, Method::PUT, &format!("/api/hubs/bare/users/ann/groups/g{ttl}")).await.status, 200);
        let (mut ann, _) = client(&gateway, "ann").await;
        post(&gateway, "/api/hubs/bare/groups/g/:send", "group").await;
        post(&gateway, "/api/hubs/bare/users/ann/:send", "user").await;
        for text in expected {
            assert_eq!(ann.event("said").await, json!([text]), "{ttl}");
        }
        assert_eq!(ask(&gateway, Method::DELETE, "/api/hubs/bare/users/ann/groups").await.status, 204);
    }
    assert_eq!(ask(&gateway, Method::PUT, "/api/hubs/bare/users/ann/groups/g?ttl=-1").await.status, 400);
}

#[tokio::test]
async fn an_id_that_differs_anywhere_from_that_of_a_connection_is_nobodys() {
    let gateway = gateway().await;
    let (mut ann, id) = client(&gateway, "ann").await;
    let connection = format!("/api/v1/hubs/bare/connections/{id}");
    for other in hubgate_tests::ids_that_differ_in_one_character(&id) {
        for (method, path, status) in [
            (Method::HEAD, format!("connections/{other}"), 404),
            (Method::PUT, format!("groups/g/connections/{other}"), 404),
            (Method::POST, format!("connections/{other}"), 202),
            (Method::DELETE, format!("connections/{other}"), 404),
        ] {
            let request = gateway.rest(method.clone(), &format!("/api/v1/hubs/bare/{path}"));
            assert_eq!(request.json(&message("lost")).send().await.status, status, "{method} {path}");
        }
    }
    assert_eq!(ask(&gateway, Method::HEAD, "/api/v1/hubs/bare/groups/g").await.status, 404, "nobody has joined");
    assert_eq!(post(&gateway, &connection, "found").await, 202);
    assert_eq!(ann.event("said").await, json!(["found"]));
}

#[tokio::test]
async fn whom_nobody_knows_cannot_be_added_and_need_not_be_removed() {
    let gateway = gateway().await;
    let added = ask(&gateway, Method::PUT, "/api/hubs/bare/groups/g/connections/nobody").await;
    assert_eq!((added.status, added.header("x-ms-error-code")), (404, "Error.Connection.NotExisted"));
    for (path, status) in [
        ("groups/g/connections/nobody", 200),
        ("connections/nobody/groups", 200),
        ("users/nobody/groups/g", 204),
        ("users/nobody/groups", 204),
    ] {
        assert_eq!(ask(&gateway, Method::DELETE, &format!("/api/hubs/bare/{path}")).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_connection_beyond_its_number_of_groups_is_not_added() {
    let config = "hubs.bare.mode = 'serverless'\nserver.limits.groups-per-connection = 1";
    let gateway = Gateway::serve().with(config).start().await;
    let (_ann, id) = client(&gateway, "ann").await;
    let add = async |group: &str| {
        ask(&gateway, Method::PUT, &format!("/api/hubs/bare/groups/{group}/connections/{id}")).await
    };
    assert_eq!(add("a").await.status, 200);
    assert_eq!(add("a").await.status, 200, "it is in it already");
    let second = add("b").await;
    assert_eq!(second.status, 400);
    assert!(second.body.contains("server.limits.groups-per-connection"), "{}", second.body);
    assert_eq!(gateway.metric("hubgate_group_joins_refused_total", [("hub", "bare")]).await, 1.0);
}

#[tokio::test]
async fn closed_connections_are_told_the_reason_and_are_gone_before_they_hear_it() {
    let gateway = gateway().await;
    for (version, (hub, _)) in VERSIONS.into_iter().enumerate() {
        let (mut ann, id) = client(&gateway, "ann").await;
        let path = format!("{hub}/connections/{id}");
        assert_eq!(
            ask(&gateway, Method::DELETE, &format!("{path}?reason=enough%20of%20you")).await.status,
            [202, 200][version]
        );
        let end = ann.end().await;
        assert_eq!((end.error(), end.allows_reconnect()), ("enough of you", true));
        assert_eq!(ask(&gateway, Method::HEAD, &path).await.status, 404);
        let again = ask(&gateway, Method::DELETE, &path).await;
        assert_eq!((again.status, again.header("x-ms-error-code")), (404, "Warning.Connection.NotExisted"));
    }
}

#[tokio::test]
async fn a_user_a_group_and_a_whole_hub_can_be_closed_but_for_some() {
    let gateway = gateway().await;
    let (mut ann, _) = client(&gateway, "ann").await;
    let (mut bob, _) = client(&gateway, "bob").await;
    let (mut cid, _) = client(&gateway, "cid").await;
    let (mut dan, dan_id) = client(&gateway, "dan").await;
    ask(&gateway, Method::PUT, "/api/hubs/bare/users/bob/groups/g").await;
    for path in ["users/ann/:closeConnections?reason=a", "groups/g/:closeConnections?reason=b"] {
        assert_eq!(ask(&gateway, Method::POST, &format!("/api/hubs/bare/{path}")).await.status, 204, "{path}");
    }
    assert_eq!(ann.end().await.error(), "a");
    assert_eq!(bob.end().await.error(), "b");
    let all = format!("/api/hubs/bare/:closeConnections?reason=c&excluded={dan_id}");
    assert_eq!(ask(&gateway, Method::POST, &all).await.status, 204);
    assert_eq!(cid.end().await.error(), "c");
    post(&gateway, "/api/hubs/bare/:send", "still here").await;
    assert_eq!(dan.event("said").await, json!(["still here"]));
}

#[tokio::test]
async fn a_token_opens_its_own_path_and_no_other() {
    let gateway = gateway().await;
    let path = "/api/hubs/bare/users/a%20b/:send";
    let url = format!("http://127.0.0.1{path}");
    let status = async |audience: &str| {
        let token = Token::new(audience, gateway.key()).sign();
        gateway.request(Method::POST, path).bearer(&token).json(&message("x")).send().await.status
    };
    let with_port = format!("{}{path}", gateway.url());
    let with_query = format!("{url}?application=x&api-version=2022-06-01");
    for good in [&url, &with_port, &with_query, &format!("{url}/"), &url.replace("%20", " ").replace(' ', "%20")] {
        assert_eq!(status(good).await, 202, "{good}");
    }
    let client = format!("{}/client/?hub=bare", gateway.url());
    let other = url.replace("a%20b", "c");
    let shorter = url.replace("/:send", "");
    for bad in [&client, &other, &shorter, &url.replace("127.0.0.1", "example.com"), &url.replace("http", "https")] {
        assert_eq!(status(bad).await, 401, "{bad}");
    }
    let none = gateway.request(Method::POST, path).json(&message("x")).send().await;
    assert_eq!((none.status, none.header("www-authenticate")), (401, "Bearer"));
    let in_query = format!("{path}?access_token={}", Token::new(&url, gateway.key()).sign());
    assert_eq!(gateway.request(Method::POST, &in_query).json(&message("x")).send().await.status, 401);
}

#[tokio::test]
async fn an_audience_is_split_into_segments_before_it_is_decoded() {
    let gateway = gateway().await;
    let status = async |method: Method, audience: &str, path: &str| {
        let audience = format!("{}/api/hubs/bare{audience}", gateway.url());
        let token = Token::new(&audience, gateway.key()).sign();
        let request = gateway.request(method, &format!("/api/hubs/bare{path}"));
        request.bearer(&token).json(&message("x")).send().await.status
    };
    let (member, group) = ("/groups/g/users/u", "/groups/g%2Fusers%2Fu");
    assert_eq!(status(Method::PUT, member, member).await, 200);
    assert_eq!(status(Method::GET, member, group).await, 401, "that is another group");
    assert_eq!(status(Method::GET, group, member).await, 401, "that is a user of a group");
    assert_eq!(status(Method::GET, group, group).await, 404, "this group is empty");
    for (audience, path) in [
        ("/users/ann smith/:send", "/users/ann%20smith/:send"),
        ("/users/jürgen/:send", "/users/j%C3%BCrgen/:send"),
        ("/users/50%/:send", "/users/50%25/:send"),
        ("/users/c#/:send", "/users/c%23/:send"),
        ("/users/a%2Fb/:send", "/users/a%2fb/%3asend"),
    ] {
        assert_eq!(status(Method::POST, audience, path).await, 202, "{audience} for {path}");
    }
    assert_eq!(status(Method::POST, "/users/a/b/:send", "/users/a%2Fb/:send").await, 401);
    assert_eq!(status(Method::POST, "/users/%41/:send", "/users/%2541/:send").await, 401, "decoded once");
}

#[tokio::test]
async fn a_wrong_request_is_answered_with_what_is_wrong() {
    let gateway = gateway().await;
    let long = "g".repeat(1025);
    for (method, path, status, text) in [
        (Method::POST, "/api/hubs/1/:send", 400, "Invalid hub name"),
        (Method::POST, "/api/hubs/bare/groups/%20/:send", 400, "Invalid group name"),
        (Method::POST, &format!("/api/hubs/bare/groups/{long}"), 400, "Invalid group name"),
        (Method::POST, "/api/hubs/bare/connections//:send", 400, "Invalid connection id"),
        (Method::POST, "/api/hubs/bare/users//:send", 400, "Invalid user id"),
        (Method::POST, &format!("/api/hubs/bare/users/{long}/:send"), 400, "Invalid user id"),
        (Method::POST, "/api/hubs/bare/users/%ff/:send", 400, "UTF-8"),
        (Method::POST, "/api/hubs/bare/:sned", 404, "No operation"),
        (Method::POST, "/api/v2/hubs/bare", 404, "No operation"),
        (Method::PUT, "/api/hubs/bare/:send", 405, ""),
        (Method::POST, "/api/hubs/bare/:send?filter=userId%20ne%20null", 400, "'filter'"),
        (Method::POST, "/api/v1/hubs/bare/groups/g?$filter=x", 400, "'filter'"),
        (Method::GET, "/api/hubs/bare/groups/g/connections?top=-1", 400, "'top'"),
        (Method::GET, "/api/hubs/bare/groups/g/connections?top=4294967296", 400, "'top'"),
        (Method::POST, "/api/v1-preview/hub/bare/groups/tea,,coffee", 400, "Invalid group name"),
        (Method::POST, "/api/v1-preview/hub/bare/users/ann,", 400, "Invalid user id"),
        (Method::POST, "/api/v1-preview/hub/bare/groups/tea?filter=x", 400, "'filter'"),
        (Method::GET, "/api/v1-preview/hub/bare/user/ann", 405, "POST"),
        (Method::POST, "/api/v1-preview/hub/bare/:send", 404, "No operation"),
        (Method::POST, "/api/v1-preview/hubs/bare", 404, "No operation"),
        (Method::DELETE, "/api/hubs/bare/connections/claims", 405, "POST, QUERY"),
        (Method::POST, "/api/hubs/bare/:execute", 501, "Use the operations of their own"),
        (Method::GET, "/api/auth/accessKey", 501, "knows no Entra identities"),
        (Method::POST, "/api/v1/auth/accessKey", 405, "GET, HEAD"),
        (Method::GET, "/api/hubs/bare/groups/g/connections?maxpagesize=0", 400, "'maxPageSize'"),
        (Method::GET, "/api/hubs/bare/groups/g/connections?continuationToken=x", 400, "'continuationToken'"),
    ] {
        let answer = gateway.rest(method, path).json(&message("x")).send().await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).expect("errors are JSON");
        assert!(body["message"].as_str().is_some_and(|message| message.contains(text)), "{path}: {body}");
        assert!(body["code"].as_str().is_some_and(|code| !code.is_empty()), "{path}: {body}");
    }
    let answer = gateway.rest(Method::POST, "/api/hubs/bare/:send").json(&json!({ "target": long })).send().await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(answer.body.contains("The method's name is longer than 1024 characters."), "{}", answer.body);
    for (content_type, body, status) in [
        ("application/json", "", 400),
        ("application/json", "{", 400),
        ("application/json", "{\"arguments\":[]}", 400),
        ("application/json", "{\"target\":\"x\",\"arguments\":{}}", 400),
        ("application/xml", "<x/>", 415),
    ] {
        let answer = gateway.rest(Method::POST, "/api/hubs/bare/:send").body(content_type, body).send().await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let gateway = gateway().await;
    for path in ["/api/health", "/api/v1/health", "/api/health?api-version=2022-06-01"] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(gateway.request(method, path).send().await.status, 200, "{path}");
        }
    }
    assert_eq!(gateway.request(Method::GET, "/api/health").bearer("nonsense").send().await.status, 200);
    for method in [Method::PUT, Method::POST, Method::DELETE] {
        let answer = gateway.request(method, "/api/health").send().await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{}", answer.body);
    }
}

#[tokio::test]
async fn every_operation_takes_the_newest_api_version() {
    let gateway = gateway().await;
    let (_ann, id) = client(&gateway, "ann").await;
    let version = "?api-version=2024-12-01";
    for (method, path, status) in [
        (Method::HEAD, "/api/health".to_owned(), 200),
        (Method::POST, "/api/hubs/bare/:send".to_owned(), 202),
        (Method::PUT, format!("/api/hubs/bare/groups/g/connections/{id}"), 200),
        (Method::GET, "/api/hubs/bare/groups/g/connections".to_owned(), 200),
        (Method::HEAD, "/api/hubs/bare/users/ann".to_owned(), 200),
        (Method::DELETE, format!("/api/hubs/bare/connections/{id}"), 200),
    ] {
        let answer = gateway.rest(method, &format!("{path}{version}")).json(&message("x")).send().await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_caller_without_a_token_is_told_where_it_is_looked_for() {
    let gateway = gateway().await;
    let path = "/api/hubs/bare/:send";
    let token = Token::new(&format!("{}{path}", gateway.url()), gateway.key()).sign();
    let answer = gateway.post(&format!("{path}?access_token={token}")).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    assert!(answer.body.contains("Authorization: Bearer") && !answer.body.contains("query"), "{}", answer.body);
}

#[tokio::test]
async fn null_is_a_list_without_arguments() {
    let gateway = gateway().await;
    let (mut ann, _) = client(&gateway, "ann").await;
    for body in [r#"{"target":"said","arguments":null}"#, r#"{"Target":"said"}"#] {
        let sent = gateway.rest(Method::POST, "/api/hubs/bare/:send").body("application/json", body).send().await;
        assert_eq!(sent.status, 202, "{body}: {}", sent.body);
        assert_eq!(ann.event("said").await, json!([]), "{body}");
    }
}

/// The pages from `path` on, each followed by its `nextLink` as it is.
async fn pages(gateway: &Gateway, path: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut path) = (Vec::new(), path.to_owned());
    loop {
        let page = ask(gateway, Method::GET, &path).await.json();
        pages.push(page["value"].as_array().expect("a list").clone());
        match page["nextLink"].as_str() {
            Some(link) => path = link.strip_prefix(&gateway.url()).expect("it is an absolute URL").to_owned(),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn the_connections_of_a_group_are_listed_page_by_page_on_all_shards() {
    let gateway = Gateway::serve().with("hubs.app_bare.mode = 'serverless'\nserver.shards = 4").start().await;
    let (mut clients, mut ids) = (Vec::new(), Vec::new());
    for number in 0..9 {
        let user = format!("u/{number}");
        let connecting = gateway.client("app_bare");
        let connecting = if number == 0 { connecting } else { connecting.user(&user) };
        let negotiated = connecting.negotiate("&negotiateVersion=1").await.json();
        let [id, token] =
            ["connectionId", "connectionToken"].map(|name| negotiated[name].as_str().expect("ids").to_owned());
        clients.push(connecting.id(&token).connect().await);
        let join = format!("/api/hubs/bare/groups/a%2Fb/connections/{id}?application=app");
        assert_eq!(ask(&gateway, Method::PUT, &join).await.status, 200);
        ids.push(match number {
            0 => json!({ "connectionId": id }),
            _ => json!({ "connectionId": id, "userId": user }),
        });
    }
    let list = "/api/hubs/bare/groups/a%2Fb/connections?application=app&api-version=2024-12-01";
    let sizes = |pages: &[Vec<Value>]| pages.iter().map(Vec::len).collect::<Vec<_>>();
    for (query, expected) in [
        ("", vec![9]),
        ("&maxPageSize=4", vec![4, 4, 1]),
        ("&maxpagesize=3", vec![3, 3, 3]),
        ("&top=5&maxPageSize=2", vec![2, 2, 1]),
        ("&top=4&maxPageSize=2", vec![2, 2]),
        ("&top=100&maxPageSize=1000", vec![9]),
        ("&top=0", vec![0]),
    ] {
        let pages = pages(&gateway, &format!("{list}{query}")).await;
        assert_eq!(sizes(&pages), expected, "{query}");
        let listed = pages.concat();
        assert!(listed.iter().all(|each| ids.contains(each)), "{query}: {listed:?}");
        let mut seen: Vec<String> = listed.iter().map(Value::to_string).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expected.iter().sum::<usize>(), "{query}: nobody comes twice");
    }
    let first = ask(&gateway, Method::GET, &format!("{list}&top=5&maxPageSize=2")).await.json();
    let link = first["nextLink"].as_str().expect("there are more");
    for kept in ["/groups/a%2Fb/connections?", "application=app", "api-version=2024-12-01", "top=3", "maxPageSize=2"] {
        assert!(link.contains(kept), "{link}");
    }
    assert_eq!(
        ask(&gateway, Method::GET, "/api/hubs/bare/groups/nobody/connections").await.json(),
        json!({"value": []})
    );
}

#[tokio::test]
async fn bodies_in_messagepack_reach_clients_of_both_protocols() {
    let gateway = gateway().await;
    let mut json = gateway.client("bare").connect().await;
    let mut packed = gateway.client("bare").open().await;
    packed.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    assert_eq!(packed.next_bytes().await, b"{}\x1e");

    // {"target": "said", "arguments": [1]}, and what clients get of it: [1, {}, nil, "said", [1], []]
    let message = b"\x82\xa6target\xa4said\xa9arguments\x91\x01".to_vec();
    let call = b"\x0c\x96\x01\x80\xc0\xa4said\x91\x01\x90";
    let send = gateway.rest(Method::POST, "/api/hubs/bare/:send").body("application/x-msgpack", message);
    assert_eq!(send.send().await.status, 202);
    assert_eq!(json.event("said").await, json!([1]));
    assert_eq!(packed.next_bytes().await, call);

    let text = b"{\"type\":1,\"target\":\"said\",\"arguments\":[2]}\x1e";
    let messages = [b"\x82\xa4json\xc4", &[text.len() as u8][..], text, b"\xabmessagepack\xc4\x0d", call].concat();
    let send = gateway.rest(Method::POST, "/api/hubs/bare/:send").body("application/octet-stream", messages);
    assert_eq!(send.send().await.status, 202);
    assert_eq!(json.event("said").await, json!([2]));
    assert_eq!(packed.next_bytes().await, call);
}

#[tokio::test]
async fn whatever_is_valid_json_reaches_clients_that_speak_messagepack() {
    let gateway = gateway().await;
    let mut packed = gateway.client("bare").open().await;
    packed.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    packed.next_bytes().await;
    let body = r#"{"target":"said","arguments":[1e400,"\ud800"]}"#;
    let send = gateway.rest(Method::POST, "/api/hubs/bare/:send").body("application/json", body);
    assert_eq!(send.send().await.status, 202);
    let infinite = f64::INFINITY.to_be_bytes();
    let expected = [b"\x96\x01\x80\xc0\xa4said\x92\xcb", &infinite[..], b"\xa3\xef\xbf\xbd\x90"].concat();
    assert_eq!(packed.next_bytes().await, [&[expected.len() as u8], &expected[..]].concat());
}

/// What the answer to a send says of its recipients.
async fn recipients(gateway: &Gateway, path: &str, text: &str) -> Option<String> {
    let send = gateway.rest(Method::POST, path).json(&message(text)).header("x-hubgate-count", "1");
    let answer = send.send().await;
    assert_eq!(answer.status, 202);
    answer.headers.get("x-hubgate-recipients").map(|count| count.to_str().expect("a number").to_owned())
}

#[tokio::test]
async fn a_send_that_asks_is_told_how_many_connections_it_reaches_on_all_shards() {
    let config = "server.shards = 2\nserver.log = 'info,hubgate_net=debug'\nhubs.bare.mode = 'serverless'";
    let gateway = Gateway::serve().with(config).start().await;
    let mut anns = clients(&gateway, "ann").await;
    let (_bob, bob_id) = client(&gateway, "bob").await;
    let all = CLIENTS + 1;
    for (hub, send) in VERSIONS {
        let root = if send.is_empty() { hub.to_owned() } else { format!("{hub}/:send") };
        assert_eq!(ask(&gateway, Method::PUT, &format!("{hub}/groups/tea/connections/{bob_id}")).await.status, 200);
        for (path, count) in [
            (root.clone(), all),
            (format!("{root}?excluded={bob_id}"), all - 1),
            (format!("{hub}/users/ann{send}"), CLIENTS),
            (format!("{hub}/users/nobody{send}"), 0),
            (format!("{hub}/connections/{bob_id}{send}"), 1),
            (format!("{hub}/connections/nobody{send}"), 0),
            (format!("{hub}/groups/tea{send}"), 1),
            (format!("{hub}/groups/coffee{send}"), 0),
        ] {
            assert_eq!(recipients(&gateway, &path, "x").await, Some(count.to_string()), "{path}");
        }
        let unasked = gateway.rest(Method::POST, &root).json(&message("unasked")).send().await;
        assert!(!unasked.headers.contains_key("x-hubgate-recipients"));
    }
    for (to, name, count) in [("all", "", all), ("user", "name=\"ann\"", CLIENTS), ("group", "name=\"coffee\"", 0)] {
        gateway.logs(&["sent", "hub=bare", &format!("to=\"{to}\""), name, &format!("recipients={count}")]).await;
    }
    assert_eq!(anns[0].event("said").await, json!(["x"]));
}

#[tokio::test]
async fn what_filters_drop_reaches_nobody() {
    let filtered = Gateway::serve().plugin("filter", &guests::filter());
    let config =
        "hubs.bare = { mode = 'serverless', filters = ['filter'] }\nplugins.filter.allow-http = ['http://127.0.0.1:1']";
    let gateway = filtered.with(config).start().await;
    let _clients = clients(&gateway, "ann").await;
    assert_eq!(recipients(&gateway, "/api/hubs/bare/:send", "out:drop").await.as_deref(), Some("0"));
    assert_eq!(recipients(&gateway, "/api/hubs/bare/:send", "out:mark").await, Some(CLIENTS.to_string()));
}
