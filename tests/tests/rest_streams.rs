//! Streams to clients over the REST API: an application answers a client's call for a stream, item by item.

use http::Method;
use hubgate_tests::http::{Answer, Request};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// A gateway with hubs `bare` and `app_bare`, whose clients get nothing but what is sent to them.
async fn gateway(shards: usize) -> Gateway {
    let hubs = "hubs.bare.mode = 'serverless'\nhubs.app_bare.mode = 'serverless'";
    Gateway::serve().with(&format!("server.shards = {shards}\n{hubs}")).start().await
}

/// A client of `bare` and its connection id.
async fn client(gateway: &Gateway) -> (Client, String) {
    let connecting = gateway.client("bare");
    let (connecting, id) = negotiated(connecting).await;
    (connecting.connect().await, id)
}

async fn negotiated(connecting: hubgate_tests::client::Connecting) -> (hubgate_tests::client::Connecting, String) {
    let answer = connecting.negotiate("&negotiateVersion=1").await.json();
    let text = |name: &str| answer[name].as_str().expect("negotiate gives ids").to_owned();
    (connecting.id(&text("connectionToken")), text("connectionId"))
}

fn request(gateway: &Gateway, id: &str, rest: &str) -> Request {
    gateway.rest(Method::POST, &format!("/api/hubs/bare/connections/{id}/streams/{rest}"))
}

async fn item(gateway: &Gateway, id: &str, query: &str, item: Value) -> u16 {
    request(gateway, id, &format!("s%2F1/:send{query}")).json(&item).send().await.status
}

async fn complete(gateway: &Gateway, id: &str, query: &str) -> Answer {
    request(gateway, id, &format!("s%2F1/:complete{query}")).send().await
}

fn told(item: Value) -> Value {
    json!({ "type": 2, "invocationId": "s/1", "item": item })
}

#[tokio::test]
async fn items_and_the_end_reach_the_client_in_order_whatever_thread_it_is_on() {
    let gateway = gateway(4).await;
    for _ in 0..8 {
        let (mut client, id) = client(&gateway).await;
        let items = [json!(1), json!(null), json!("text"), json!({ "target": "no call", "arguments": [] }), json!([])];
        for each in &items {
            assert_eq!(item(&gateway, &id, "?api-version=2024-12-01", each.clone()).await, 202);
        }
        assert_eq!(complete(&gateway, &id, "?api-version=2024-12-01").await.status, 202);
        for each in items {
            assert_eq!(client.message().await, told(each));
        }
        assert_eq!(client.message().await, json!({ "type": 3, "invocationId": "s/1" }));
    }
    let counted = |operation| [("operation", operation), ("status", "202")];
    assert_eq!(gateway.metric("hubgate_rest_requests_total", counted("sendStreamItem")).await, 40.0);
    assert_eq!(gateway.metric("hubgate_rest_requests_total", counted("completeStream")).await, 8.0);
}

#[tokio::test]
async fn a_stream_ends_with_its_last_item_or_with_an_error_under_either_name() {
    let gateway = gateway(2).await;
    let (mut client, id) = client(&gateway).await;
    for query in ["?completed", "?completed=true", "?Completed=True"] {
        assert_eq!(item(&gateway, &id, query, json!(1)).await, 202);
        assert_eq!(client.message().await, told(json!(1)), "{query}");
        assert_eq!(client.message().await, json!({ "type": 3, "invocationId": "s/1" }), "{query}");
    }
    assert_eq!(item(&gateway, &id, "?completed=false", json!(1)).await, 202);
    assert_eq!(client.message().await, told(json!(1)));
    for query in
        ["?error=I%20cannot", "?reason=I%20cannot", "?reason=I%20cannot&error=other", "?reason=&error=I+cannot"]
    {
        assert_eq!(complete(&gateway, &id, query).await.status, 202);
        let end = json!({ "type": 3, "invocationId": "s/1", "error": "I cannot" });
        assert_eq!(client.message().await, end, "{query}");
    }
    assert_eq!(complete(&gateway, &id, "?error=").await.status, 202);
    assert_eq!(client.message().await, json!({ "type": 3, "invocationId": "s/1" }));
}

#[tokio::test]
async fn an_item_has_the_form_that_its_type_names_and_reaches_clients_of_each_protocol() {
    let gateway = gateway(2).await;
    let (mut json, json_id) = client(&gateway).await;
    let (connecting, packed_id) = negotiated(gateway.client("bare")).await;
    let mut packed = connecting.open().await;
    packed.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    packed.next_bytes().await;

    // [2, {}, "7", [1]]
    let packed_item = b"\x07\x94\x02\x80\xa17\x91\x01";
    let text = b"{\"type\":2,\"invocationId\":\"7\",\"item\":[1]}\x1e";
    let whole = [b"\x82\xa4json\xc4", &[text.len() as u8][..], text, b"\xabmessagepack\xc4\x08", packed_item].concat();
    for (content_type, body) in [
        ("application/json; charset=utf-8", &b" [1]"[..]),
        ("application/x-msgpack", b"\x91\x01"),
        ("application/octet-stream", &whole),
    ] {
        for id in [&json_id, &packed_id] {
            // Whole messages of another stream, or of none, are not sent.
            if content_type == "application/octet-stream" {
                let sent = request(&gateway, id, "8/:send").body(content_type, body.to_vec()).send().await;
                assert_eq!(sent.status, 400, "{sent:?}");
                assert!(sent.body.contains("StreamItem"), "{sent:?}");
            }
            let sent = request(&gateway, id, "7/:send").body(content_type, body.to_vec()).send().await;
            assert_eq!(sent.status, 202, "{content_type}: {sent:?}");
        }
        let expected = json!({ "type": 2, "invocationId": "7", "item": [1] });
        assert_eq!(json.message().await, expected, "{content_type}");
        assert_eq!(packed.next_bytes().await, packed_item, "{content_type}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_item_is_said_and_a_connection_that_is_not_there_is_as_a_send_to_nobody() {
    let gateway = gateway(2).await;
    let (client, id) = client(&gateway).await;
    let long = "x".repeat(1025);
    for (rest, content_type, body, status, text) in [
        ("s/:send", "application/json", "", 400, "is required"),
        ("s/:send", "application/json", "1 2", 400, "not valid JSON"),
        ("s/:send", "application/x-msgpack", "", 400, "is required"),
        ("s/:send", "application/octet-stream", "x", 400, "not a MessagePack map"),
        ("s/:send", "text/plain", "x", 415, "application/json"),
        ("s/:send?completed=maybe", "application/json", "1", 400, "'completed'"),
        ("/:send", "application/json", "1", 400, "stream id"),
        (&format!("{long}/:send"), "application/json", "1", 400, "stream id"),
        ("s/send", "application/json", "1", 404, "`:send`"),
        ("s/complete", "application/json", "1", 404, "`:complete`"),
    ] {
        let answer = request(&gateway, &id, rest).body(content_type, body).send().await;
        assert_eq!(answer.status, status, "{rest}: {answer:?}");
        assert!(answer.body.contains(text), "{rest}: {answer:?}");
    }
    client.leave().await;
    for absent in [id.as_str(), "nobody"] {
        for rest in ["s/:send", "s/:complete"] {
            assert_eq!(request(&gateway, absent, rest).json(&json!(1)).send().await.status, 202, "{absent} {rest}");
        }
    }
    let (mut client, id) = self::client(&gateway).await;
    let elsewhere = format!("/api/hubs/bare/connections/{id}/streams/s/:send?application=app");
    assert_eq!(gateway.rest(Method::POST, &elsewhere).json(&json!(1)).send().await.status, 202);
    assert_eq!(item(&gateway, &id, "", json!(2)).await, 202);
    assert_eq!(client.message().await, told(json!(2)), "it gets nothing that another hub is sent");
}

#[tokio::test]
async fn items_for_a_client_that_reads_nothing_are_bounded_as_all_that_it_is_sent() {
    let config = "server.limits.outbox = '256KiB'\nhubs.bare.mode = 'serverless'";
    let gateway = Gateway::serve().with(config).start().await;
    let (connecting, id) = negotiated(gateway.client("bare").with_small_buffer()).await;
    let mut slow = connecting.connect().await;
    let text = json!("x".repeat(128 << 10));
    until("the slow client to be given up", async || {
        assert_eq!(item(&gateway, &id, "", text.clone()).await, 202, "as a send to nobody is");
        (gateway.metric("hubgate_slow_clients_closed_total", [("hub", "bare")]).await == 1.0).then_some(())
    })
    .await;
    slow.end().await;
}

#[tokio::test]
async fn filters_look_at_items_and_one_that_does_not_pass_ends_the_stream() {
    let config =
        "hubs.bare = { mode = 'serverless', filters = ['filter'] }\nplugins.filter.allow-http = ['http://127.0.0.1:1']";
    let gateway = Gateway::serve().plugin("filter", &guests::filter()).with(config).start().await;
    let (mut client, id) = client(&gateway).await;
    assert_eq!(item(&gateway, &id, "", json!("whence")).await, 202);
    assert_eq!(client.message().await, told(json!(["rest", 1])));
    for (verdict, error) in [
        ("out:reject", "The filter says no."),
        ("out:drop", "The result cannot be passed on: a filter of the hub dropped it."),
    ] {
        assert_eq!(item(&gateway, &id, "", json!(verdict)).await, 202);
        assert_eq!(client.message().await, json!({ "type": 3, "invocationId": "s/1", "error": error }));
    }
    let text = b"{\"type\":2,\"invocationId\":\"s/1\",\"item\":\"whence\"}\x1e";
    let whole = [b"\x81\xa4json\xc4", &[text.len() as u8][..], text].concat();
    let sent = request(&gateway, &id, "s%2F1/:send").body("application/octet-stream", whole).send().await;
    assert_eq!(sent.status, 202);
    assert_eq!(client.message().await, told(json!(["rest", 1])));
    assert_eq!(item(&gateway, &id, "", json!("out:close")).await, 202);
    assert_eq!(client.end().await.error(), "The filter has had enough.");
}

#[tokio::test]
async fn a_client_of_a_hub_server_gets_items_beside_what_its_server_says() {
    let gateway = Gateway::serve().with("server.shards = 4").start().await;
    let mut server = HubServer::connect(&gateway, "bare", "one").await;
    let (mut client, id) = server.let_in(gateway.client("bare").open().await).await;
    assert_eq!(item(&gateway, &id, "", json!(1)).await, 202);
    assert_eq!(client.message().await, told(json!(1)));
    server.tell_client(&id, "{\"type\":2,\"invocationId\":\"s/1\",\"item\":2}\u{1e}").await;
    assert_eq!(client.message().await, told(json!(2)));
    assert_eq!(complete(&gateway, &id, "").await.status, 202);
    assert_eq!(client.message().await, json!({ "type": 3, "invocationId": "s/1" }));
}
