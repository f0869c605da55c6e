//! The live trace: operators watch the way that messages take, and nobody pays for it while nobody does.

use http::Method;
use hubgate_tests::gateway::Setup;
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::live_trace::{LiveTrace, Tail};
use hubgate_tests::{Gateway, guests};
use hubgate_wire::service::{BroadcastData, ServiceMessage};
use serde_json::{Value, json};

const READ_TOKEN: &str = "a-token-that-may-only-read";

/// The hub `probe` with a filter and two shards.
fn filtered() -> Setup {
    let filters =
        "server.shards = 2\nhubs.probe.filters = ['filter']\nplugins.filter = { allow-http = ['http://127.0.0.1:1'] }";
    Gateway::probe().plugin("filter", &guests::filter()).with(filters)
}

fn named<'t>(trace: &'t [Value], name: &str) -> Vec<&'t Value> {
    trace.iter().filter(|span| span["name"] == name).collect()
}

#[tokio::test]
async fn a_call_is_seen_through_filter_handler_group_and_deliveries() {
    let gateway = filtered().start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.client("probe").user("ann").connect().await;
        client.call("join", json!(["lobby"])).await.expect("a group");
        clients.push(client);
    }
    let mut watched = LiveTrace::open(&gateway, "hub=probe&user=ann&method=SAYTO").await;
    clients[0].call("sayTo", json!(["lobby", "hello"])).await.expect("it is said");
    let trace = watched.trace("probe/sayTo").await;
    let root = named(&trace, "probe/sayTo")[0];
    let about = &root["attributes"];
    assert_eq!((&about["hub"], &about["user"], &about["method"]), (&json!("probe"), &json!("ann"), &json!("sayTo")));
    assert_eq!((&root["parent"], &root["failed"], &about["arguments"]), (&Value::Null, &Value::Null, &Value::Null));
    let handled = named(&trace, "handle")[0];
    assert_eq!((&handled["parent"], &handled["attributes"]["plugin"]), (&root["span"], &json!("probe")));
    assert_eq!(handled["attributes"]["generation"], "1");
    let inbound = |span: &&Value| span["attributes"]["direction"] == "inbound";
    let filter = named(&trace, "filter").into_iter().find(inbound).expect("filters look at it");
    assert_eq!((&filter["attributes"]["verdict"], &filter["parent"]), (&json!("pass"), &root["span"]));
    let sent = named(&trace, "send group")[0];
    let about = &sent["attributes"];
    assert_eq!((&about["name"], &about["recipients"], &sent["parent"]), (&json!("lobby"), &json!(4), &handled["span"]));
    let delivered: u64 =
        named(&trace, "deliver").iter().filter_map(|span| span["attributes"]["recipients"].as_u64()).sum();
    assert_eq!(delivered, 4);
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_told() {
    let gateway = Gateway::probe().start().await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    let mut bob = gateway.client("probe").user("bob").connect().await;
    for (query, is_of_bob) in [("user=bob", true), ("method=last", false), ("hub=probe&user=bob&method=echo", true)] {
        let mut watched = LiveTrace::open(&gateway, query).await;
        ann.call("echo", json!([1])).await.expect("an echo");
        bob.call("echo", json!([2])).await.expect("an echo");
        if is_of_bob {
            let first = watched.root().await;
            assert_eq!(
                (&first["name"], &first["attributes"]["user"]),
                (&json!("probe/echo"), &json!("bob")),
                "{query}"
            );
        } else {
            // What is told in the end is the first that is told.
            let answer = ann.call("last", json!([])).await;
            assert!(answer.is_err(), "the probe has no such method");
            let first = watched.root().await;
            assert_eq!(
                (&first["name"], &first["attributes"]["user"]),
                (&json!("probe/last"), &json!("ann")),
                "{query}"
            );
        }
    }
}

#[tokio::test]
async fn what_hub_servers_and_rest_callers_send_is_told_too() {
    let gateway = Gateway::probe().start().await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    let mut by_user = LiveTrace::open(&gateway, "user=ann").await;
    let mut by_hub = LiveTrace::open(&gateway, "hub=probe").await;
    let body = json!({ "target": "said", "arguments": ["hello"] });
    let sent = gateway.rest(Method::POST, "/api/hubs/probe/users/ann/:send?api-version=2024-01-01").json(&body);
    assert_eq!(sent.send().await.status, 202);
    assert_eq!(ann.event("said").await, json!(["hello"]));
    let root = by_user.root().await;
    assert_eq!((&root["name"], &root["attributes"]["name"]), (&json!("send user"), &json!("ann")));
    let root = by_hub.root().await;
    assert_eq!((&root["attributes"]["hub"], &root["attributes"]["status"]), (&json!("probe"), &json!(202)));
}

#[tokio::test]
async fn payloads_need_the_admin_token_and_what_looks_like_a_secret_is_left_out() {
    let gateway =
        Gateway::probe().file("read-token", READ_TOKEN).with("admin.read-token-file = 'read-token'").start().await;
    let mut client = gateway.client("probe").connect().await;
    let refused = gateway.admin_request("/admin/trace?payloads=true").bearer(READ_TOKEN).send().await;
    assert!(refused.status == 403 && refused.body.contains("payloads"), "{refused:?}");
    let mut by_reader = LiveTrace::open_with(&gateway, "hub=probe", READ_TOKEN).await;
    let mut watched = LiveTrace::open(&gateway, "payloads=true").await;
    let arguments = json!([{ "name": "ann", "password": "hunter2" }]);
    assert_eq!(client.call("echo", arguments.clone()).await, Ok(arguments[0].clone()), "it passes as it is");
    assert_eq!(by_reader.root().await["attributes"]["arguments"], Value::Null);
    let shown = watched.root().await["attributes"]["arguments"].as_str().map(str::to_owned).expect("they are told");
    assert_eq!(
        serde_json::from_str::<Value>(&shown).expect("JSON"),
        json!([{ "name": "ann", "password": "[redacted]" }])
    );
    gateway.logs(&["watches messages with what they carry"]).await;
    assert!(!gateway.log().contains("hunter2"));
}

#[tokio::test]
async fn so_many_may_watch_and_whoever_ends_makes_room() {
    let gateway = Gateway::probe().start().await;
    let mut watching = Vec::new();
    for _ in 0..8 {
        watching.push(LiveTrace::open(&gateway, "").await);
    }
    let refused = gateway.admin_request("/admin/trace").bearer(&gateway.ready().admin_token).send().await;
    assert!(refused.status == 429 && refused.body.contains("8 watch"), "{refused:?}");
    watching.pop();
    let again = async {
        while LiveTrace::try_open(&gateway, "").await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    hubgate_tests::wait::soon("a place", again).await;
}

#[tokio::test]
async fn a_wrong_query_is_refused_by_name() {
    let gateway = Gateway::probe().start().await;
    for (query, name) in [
        ("hub=a%20b", "`hub`"),
        ("connection=x", "`connection`"),
        ("method=", "`method`"),
        ("payloads=maybe", "`payloads`"),
        ("hubs=chat", "hubs"),
    ] {
        let path = format!("/admin/trace?{query}");
        let refused = gateway.admin_request(&path).bearer(&gateway.ready().admin_token).send().await;
        assert!(refused.status == 400 && refused.body.contains(name), "{query}: {refused:?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_counted_and_holds_up_nobody() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    let mut watched = LiveTrace::open(&gateway, "hub=probe").await;
    // Many more than wait for an operator, at once.
    for _ in 0..5_000 {
        client.notify("echo", json!([1])).await;
    }
    client.call("echo", json!([2])).await.expect("calls are answered");
    assert!(watched.missed().await > 0);
}

#[tokio::test]
async fn tail_shows_traces_in_a_terminal_and_as_json() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").user("ann\u{1b}[2J").connect().await;
    let mut plain = Tail::start(&gateway, &["--hub", "probe", "--method", "echo"]);
    let mut json = Tail::start(&gateway, &["--json"]);
    let line = plain.line_after(&mut client, "probe/echo").await;
    assert!(line.contains("user=ann\\u{1b}[2J") && !line.contains('\u{1b}'), "{line:?}");
    let span: Value = serde_json::from_str(&json.line_after(&mut client, "probe/echo").await).expect("it is JSON");
    assert_eq!((&span["root"], &span["attributes"]["method"]), (&json!(true), &json!("echo")));
}

#[tokio::test]
async fn a_call_that_a_hub_server_answers_and_what_that_sends_are_shown() {
    let gateway = Gateway::serve().start().await;
    let mut server = HubServer::connect(&gateway, "chat", "a").await;
    let (mut client, _) = server.let_in(gateway.client("chat").user("ann").open().await).await;
    let mut watched = LiveTrace::open(&gateway, "hub=chat").await;
    client.notify("say", json!(["hello"])).await;
    assert!(server.client_says().await.contains("hello"));
    let call = watched.root().await;
    assert_eq!((&call["name"], &call["attributes"]["handler"]), (&json!("chat/say"), &json!("hub server")));
    let said = "{\"type\":1,\"target\":\"said\",\"arguments\":[\"hello\"]}\u{1e}";
    let payloads = vec![("json", said.as_bytes())];
    server.send(&ServiceMessage::BroadcastData(BroadcastData { payloads, ..BroadcastData::default() })).await;
    assert_eq!(client.event("said").await, json!(["hello"]));
    let sent = watched.root().await;
    assert_eq!((&sent["name"], &sent["attributes"]["recipients"]), (&json!("send all"), &json!(1)));
}

#[tokio::test]
async fn a_live_trace_ends_when_its_token_opens_nothing_any_more() {
    let gateway =
        Gateway::probe().file("read-token", READ_TOKEN).with("admin.read-token-file = 'read-token'").start().await;
    let mut watched = LiveTrace::open_with(&gateway, "hub=probe", READ_TOKEN).await;
    std::fs::write(gateway.folder().join("read-token"), "another-token-that-may-read").expect("it is ours");
    gateway.logs(&["the configuration was reloaded", "admin.read-token-file"]).await;
    let mut client = gateway.client("probe").connect().await;
    client.call("echo", json!([1])).await.expect("an echo");
    watched.ends().await;
}
