//! Negotiation: what a client is given before its transport opens, and what that opens.

use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt, Empty};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::{let_pass, until};
use hubgate_tests::{Client, Gateway};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

#[tokio::test]
async fn version_1_keeps_the_token_that_opens_the_transport_apart_from_the_public_id() {
    let gateway = Gateway::probe().start().await;
    let answer = gateway.client("probe").negotiate("&negotiateVersion=1").await;
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let answer = answer.json();
    assert_eq!(answer["negotiateVersion"], 1);
    let [id, token] = ["connectionId", "connectionToken"].map(|name| answer[name].as_str().expect("it is text"));
    assert_ne!(id, token);

    let mut client = gateway.client("probe").id(token).connect().await;
    assert_eq!(client.call("whoami", json!([])).await.expect("it answers")["connectionId"], id);
}

#[tokio::test]
async fn version_0_opens_the_transport_with_the_public_id() {
    let gateway = Gateway::probe().start().await;
    for query in ["", "&negotiateVersion=0"] {
        let answer = gateway.client("probe").negotiate(query).await.json();
        assert_eq!(answer["negotiateVersion"], 0);
        assert_eq!(answer.get("connectionToken"), None);
        let id = answer["connectionId"].as_str().expect("it is text");
        let mut client = gateway.client("probe").id(id).connect().await;
        assert_eq!(client.call("whoami", json!([])).await.expect("it answers")["connectionId"], id);
    }
}

#[tokio::test]
async fn version_0_leads_to_hub_servers_too() {
    for mode in ["default", "classic"] {
        let gateway = Gateway::serve().with(&format!("hubs.chat.mode = '{mode}'")).start().await;
        let mut server = HubServer::connect(&gateway, "chat", "server").await;
        let answer = gateway.client("chat").negotiate("").await.json();
        let id = answer["connectionId"].as_str().expect("it is text");
        let (mut client, announced) = server.let_in(gateway.client("chat").id(id).open().await).await;
        assert_eq!(announced, id);
        server.tell_client(id, "{\"type\":1,\"target\":\"told\",\"arguments\":[]}\u{1e}").await;
        assert_eq!(client.event("told").await, json!([]));
    }
}

#[tokio::test]
async fn a_later_version_is_answered_with_the_highest_one_known() {
    let gateway = Gateway::probe().start().await;
    assert_eq!(gateway.client("probe").negotiate("&negotiateVersion=2").await.json()["negotiateVersion"], 1);
}

#[tokio::test]
async fn a_version_that_is_no_integer_is_an_error_in_a_successful_answer() {
    let gateway = Gateway::probe().start().await;
    let answer = gateway.client("probe").negotiate("&negotiateVersion=one").await.json();
    assert_eq!(answer, json!({ "error": "The client requested a non-integer protocol version." }));
}

#[tokio::test]
async fn names_in_the_query_are_read_without_case() {
    let gateway = Gateway::probe().start().await;
    assert_eq!(gateway.client("probe").negotiate("&NegotiateVersion=1").await.json()["negotiateVersion"], 1);
}

#[tokio::test]
async fn all_transports_are_offered_in_the_order_of_preference() {
    let gateway = Gateway::probe().start().await;
    let answer = gateway.client("probe").negotiate("&negotiateVersion=1").await.json();
    assert_eq!(answer.get("ProtocolVersion"), None, "it would make clients take this for classic ASP.NET SignalR");
    let transports = answer["availableTransports"].as_array().expect("it is a list");
    let offered = |transport: &Value| (transport["transport"].clone(), transport["transferFormats"].clone());
    let text_and_binary = json!(["Text", "Binary"]);
    let expected = [
        (json!("WebSockets"), text_and_binary.clone()),
        (json!("ServerSentEvents"), json!(["Text"])),
        (json!("LongPolling"), text_and_binary),
    ];
    assert_eq!(transports.iter().map(offered).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn negotiation_is_a_post() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    for path in ["/client/negotiate?hub=probe", "/hubs/probe/negotiate"] {
        assert_eq!(gateway.request(Method::GET, path).bearer(&token).send().await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn a_request_names_exactly_one_hub() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    for query in ["", "?hub=probe&hub=other", "?hub="] {
        let answer = gateway.request(Method::POST, &format!("/client/negotiate{query}")).bearer(&token).send().await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn hubs_are_the_same_in_any_case() {
    let gateway = Gateway::probe().start().await;
    let mut lower = gateway.client("probe").connect().await;
    let mut upper = gateway.client("PROBE").connect().await;
    upper.call("say", json!(["hello"])).await.expect("it answers");
    assert_eq!(lower.event("said").await, json!(["hello"]));
}

#[tokio::test]
async fn a_client_may_skip_negotiation() {
    let gateway = Gateway::probe().start().await;
    let token = gateway.token("probe").sign();
    for path in ["/client/?hub=probe", "/client?hub=probe"] {
        let client = Client::open(gateway.address(), path, Some(&token)).await;
        let mut client = client.unwrap_or_else(|answer| panic!("{path}: {answer:?}"));
        client.send_text(hubgate_tests::client::HANDSHAKE).await;
        assert_eq!(client.message().await, json!({}));
        assert_eq!(client.call("echo", json!(["here"])).await, Ok(json!("here")));
    }
}

#[tokio::test]
async fn an_unknown_id_opens_nothing() {
    let gateway = Gateway::probe().start().await;
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "nonsense", "%00"] {
        let answer = gateway.client("probe").id(id).try_open().await.expect_err("the id is unknown");
        assert_eq!((answer.status, answer.body.as_str()), (404, "No Connection with that ID"), "{id:?}");
    }
}

#[tokio::test]
async fn an_id_that_differs_anywhere_from_one_that_was_given_out_opens_nothing() {
    let gateway = Gateway::probe().start().await;
    let token = negotiated(&gateway).await;
    for other in hubgate_tests::ids_that_differ_in_one_character(&token) {
        let answer = gateway.client("probe").id(&other).try_open().await.expect_err("the id is unknown");
        assert_eq!((answer.status, answer.body.as_str()), (404, "No Connection with that ID"), "{other}");
    }
    gateway.client("probe").id(&token).connect().await;
}

#[tokio::test]
async fn an_id_opens_one_transport_while_its_connection_lives_and_none_after() {
    let gateway = Gateway::probe().start().await;
    let token = negotiated(&gateway).await;
    let connecting = gateway.client("probe").id(&token);
    let client = connecting.connect().await;
    let second = connecting.try_open().await.expect_err("the first one is open");
    assert_eq!((second.status, second.body.as_str()), (409, "Another request has this connection already."));

    client.leave().await;
    let refused = async || connecting.try_open().await.err().filter(|answer| answer.status == 404);
    until("the id to be forgotten", refused).await;
}

#[tokio::test]
async fn an_id_of_another_hub_opens_nothing() {
    let gateway = Gateway::probe().with("hubs.other = { mode = 'serverless' }").start().await;
    let token = negotiated(&gateway).await;
    let answer = gateway.client("other").id(&token).try_open().await.expect_err("the id is of hub probe");
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn an_id_that_is_not_used_in_time_expires() {
    let gateway = Gateway::probe().with("server.timeouts.negotiate = '100ms'").start().await;
    let token = negotiated(&gateway).await;
    let_pass(Duration::from_millis(1200)).await;
    let answer = gateway.client("probe").id(&token).try_open().await.expect_err("the time is over");
    assert_eq!((answer.status, answer.body.as_str()), (404, "No Connection with that ID"));
}

#[tokio::test]
async fn a_hub_without_a_host_gives_anybody_a_token_and_sends_them_on() {
    let gateway = Gateway::probe().start().await;
    let answer = gateway.post("/hubs/probe/negotiate?negotiateVersion=1&color=blue%20sky").await.json();
    let url = answer["url"].as_str().expect("it is text");
    let path = url.strip_prefix(&gateway.url()).expect("the redirect leads back to the gateway");
    assert!(path.starts_with("/client/?hub=probe"), "{path}");
    assert!(path.contains("color=blue%20sky") || path.contains("color=blue+sky"), "the client's query is kept: {path}");

    let token = answer["accessToken"].as_str().expect("it is text");
    let mut client = gateway.client("probe").token(token).connect().await;
    let me = client.call("whoami", json!([])).await.expect("it answers");
    assert_eq!(me["userId"], Value::Null, "anybody is nobody in particular");
}

#[tokio::test]
async fn the_redirect_leads_to_the_first_public_endpoint() {
    let config = "server.endpoints = ['https://realtime.example.com/base', 'http://localhost:1']";
    let gateway = Gateway::probe().with(config).start().await;
    let answer = gateway.post("/hubs/probe/negotiate").await.json();
    let url = answer["url"].as_str().expect("it is text");
    assert!(url.starts_with("https://realtime.example.com/base/client/?hub=probe"), "{url}");
}

#[tokio::test]
async fn a_hub_lets_nobody_in_without_a_token_unless_told_to() {
    let gateway = Gateway::probe().with("hubs.closed = { mode = 'serverless' }").start().await;
    for hub in ["closed", "unnamed"] {
        let answer = gateway.post(&format!("/hubs/{hub}/negotiate?negotiateVersion=1")).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        assert!(!answer.body.contains("accessToken"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_token_where_clients_come_in_without_one_is_refused_and_told_where_it_belongs() {
    let gateway = Gateway::probe().with("hubs.closed = { mode = 'serverless' }").start().await;
    for hub in ["probe", "closed"] {
        let token = gateway.token(hub).user("ann").sign();
        let path = format!("/hubs/{hub}/negotiate?negotiateVersion=1");
        let in_header = gateway.request(Method::POST, &path).bearer(&token);
        let in_query = gateway.request(Method::POST, &format!("{path}&access_token={token}"));
        for request in [in_header, in_query] {
            let answer = request.send().await;
            assert_eq!(answer.status, 400, "{}", answer.body);
            let place = format!("connect at {}/client/?hub={hub}", gateway.url());
            assert!(answer.body.contains(&place), "{}", answer.body);
        }
    }
    // What only guards the page, as proxies do, and a token that there is none of.
    let basic = gateway.request(Method::POST, "/hubs/probe/negotiate?access_token=");
    assert_eq!(basic.header("authorization", "Basic YTpi").send().await.status, 200);
}

#[tokio::test]
async fn paths_that_mean_nothing_are_not_found() {
    let gateway = Gateway::probe().start().await;
    for path in
        ["/", "/refresh", "/client/refresh", "/hubs/probe", "/hubs/probe/other", "/hubs//negotiate", "/clients/"]
    {
        let answer = gateway.post(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn health_and_readiness_need_no_token() {
    let gateway = Gateway::probe().start().await;
    assert_eq!(gateway.get("/healthz").await.status, 200);
    assert_eq!(gateway.get("/readyz").await.status, 200);
}

async fn negotiated(gateway: &Gateway) -> String {
    let answer = gateway.client("probe").negotiate("&negotiateVersion=1").await.json();
    answer["connectionToken"].as_str().expect("it is text").to_owned()
}

#[tokio::test]
async fn an_open_hub_lets_nobody_in_under_a_name_that_is_not_the_gateways() {
    let gateway = Gateway::probe().with("server.endpoints = ['https://realtime.example.com']").start().await;
    let port = gateway.address().port();
    let ask =
        async |host: &str| gateway.request(Method::POST, "/hubs/probe/negotiate").header("host", host).send().await;
    for host in ["realtime.example.com", "realtime.example.com:443", "localhost", &format!("127.0.0.1:{port}")] {
        assert_eq!(ask(host).await.status, 200, "{host}");
    }
    let refused = ask(&format!("rebound.example:{port}")).await;
    assert_eq!(refused.status, 421, "{}", refused.body);
    for part in ["server.endpoints", "rebound.example"] {
        assert!(refused.body.contains(part), "{}", refused.body);
    }
    assert_eq!(gateway.metric("hubgate_requests_refused_total", [("reason", "host")]).await, 1.0);
}

/// What of an id says where its connection lives.
fn place(id: &str) -> String {
    id[22..].to_owned()
}

/// Both of the gateway's shards have their share of twenty clients.
fn assert_dealt_out(ids: &[String]) {
    let places: Vec<String> = ids.iter().map(|id| place(id)).collect();
    let of_the_first = places.iter().filter(|place| **place == places[0]).count();
    assert!(places.len() == 20 && (8..=12).contains(&of_the_first), "{places:?}");
}

#[tokio::test]
async fn clients_that_negotiate_over_one_connection_are_dealt_out_to_all_threads() {
    let gateway = Gateway::probe().start().await;
    let stream = TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake sends nothing");
    tokio::spawn(connection);
    let (host, token) = (gateway.address().to_string(), gateway.token("probe").sign());
    let mut ids = Vec::new();
    for _ in 0..20 {
        let request = http::Request::post("/client/negotiate?hub=probe&negotiateVersion=1").header("host", &host);
        let request = request.header("authorization", format!("Bearer {token}")).body(Empty::<Bytes>::new());
        sender.ready().await.expect("the connection goes on");
        let answer = sender.send_request(request.expect("a valid request")).await.expect("it is answered");
        let answer = answer.into_body().collect().await.expect("it comes whole").to_bytes();
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let [id, token] = ["connectionId", "connectionToken"].map(|name| answer[name].as_str().expect("it is text"));
        assert_eq!(place(id), place(token));
        ids.push(token.to_owned());
    }
    assert_dealt_out(&ids);
    let mut client = gateway.client("probe").id(&ids[0]).connect().await;
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
}

#[tokio::test]
async fn clients_without_a_negotiation_are_dealt_out_wherever_their_connections_are() {
    let gateway = Gateway::probe().start().await;
    let (mut clients, mut others, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut client = gateway.client("probe").without_negotiate().connect().await;
        let whoami = client.call("whoami", json!([])).await.expect("it answers");
        ids.push(whoami["connectionId"].as_str().expect("it is text").to_owned());
        clients.push(client);
        // Connections come to the two threads in turn, so that all clients come to the same one.
        others.push(TcpStream::connect(gateway.address()).await.expect("the gateway accepts connections"));
    }
    assert_dealt_out(&ids);
}

#[tokio::test]
async fn a_token_that_negotiation_gave_out_may_be_brought_there_again() {
    let gateway = Gateway::probe().start().await;
    let negotiate = || gateway.request(Method::POST, "/hubs/probe/negotiate?negotiateVersion=1");
    let given = negotiate().send().await.json()["accessToken"].as_str().expect("a token").to_owned();
    // However old it is, and whatever key has signed it.
    let old = gateway.token("probe").expires_in(-60).sign();
    let of_another_key = gateway.token("probe").key(&"k".repeat(32)).sign();
    for token in [given, old, of_another_key] {
        let answer = negotiate().bearer(&token).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.json()["accessToken"].is_string(), "{}", answer.body);
    }
    let with_roles = gateway.token("probe").claim("role", "admin").sign();
    assert_eq!(negotiate().bearer(&with_roles).send().await.status, 400);
}
