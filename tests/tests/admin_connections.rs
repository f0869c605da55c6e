//! Operators see who is connected, in pages, and end connections.

use std::collections::BTreeSet;
use std::time::SystemTime;

use http::Method;
use hubgate_tests::http::{Answer, escaped};
use hubgate_tests::hub_server::HubServer;
use hubgate_tests::wait::until;
use hubgate_tests::{Client, Gateway};
use serde_json::{Value, json};

/// What the listener answers to a list with this query.
async fn ask(gateway: &Gateway, query: &str) -> Answer {
    gateway.operate(Method::GET, &format!("/admin/connections{query}")).send().await
}

async fn listed(gateway: &Gateway, query: &str) -> Vec<Value> {
    ask(gateway, query).await.json()["connections"].as_array().expect("it is a list").clone()
}

async fn close(gateway: &Gateway, id: &str) -> Answer {
    gateway.operate(Method::DELETE, &format!("/admin/connections/{}", escaped(id))).send().await
}

async fn id(client: &mut Client) -> String {
    let me = client.call("whoami", json!([])).await.expect("it answers");
    me["connectionId"].as_str().expect("it is text").to_owned()
}

fn ids(connections: &[Value]) -> Vec<String> {
    connections.iter().map(|each| each["id"].as_str().expect("it is text").to_owned()).collect()
}

/// Names that no query, no line and no terminal may take for something else.
const HOSTILE: [&str; 4] = ["a&hub=other", "ann\u{1b}[2J\r\nroot", "Ünïcode 😀 %41+", "'\"><script>"];

#[tokio::test]
async fn a_client_is_shown_with_its_hub_user_transport_protocol_and_time() {
    let gateway = Gateway::probe().start().await;
    let before = SystemTime::now();
    let mut ann = gateway.client("probe").user("ann").connect().await;
    let mut nobody = gateway.client("probe").connect().await;
    let all = listed(&gateway, "").await;
    assert_eq!(all.len(), 2, "{all:?}");
    let found = listed(&gateway, &format!("?id={}", id(&mut ann).await)).await;
    let [shown] = &found[..] else { panic!("one has this id: {found:?}") };
    for (field, value) in [
        ("hub", json!("probe")),
        ("user", json!("ann")),
        ("transport", json!("WebSockets")),
        ("protocol", json!("json")),
        ("queuedBytes", json!(0)),
        ("node", Value::Null),
    ] {
        assert_eq!(shown[field], value, "{field} of {shown}");
    }
    let connected = humantime::parse_rfc3339(shown["connectedAt"].as_str().expect("it is text")).expect("a time");
    let slack = std::time::Duration::from_secs(1);
    assert!(connected + slack > before && connected < SystemTime::now() + slack, "{shown}");
    assert_eq!(listed(&gateway, &format!("?id={}", id(&mut nobody).await)).await[0]["user"], Value::Null);
    for none in ["AAAAAAAAAAAAAAAAAAAAAAAA", "nonsense", ""] {
        assert!(listed(&gateway, &format!("?id={none}")).await.is_empty(), "{none}");
    }
}

#[tokio::test]
async fn a_list_is_of_a_hub_a_user_a_group_or_all_of_it_whatever_they_are_called() {
    let gateway =
        Gateway::probe().with("hubs.other.mode = 'serverless'\nupstream = [{ plugin = 'probe' }]").start().await;
    let mut expected = Vec::new();
    for name in HOSTILE {
        let mut client = gateway.client("probe").user(name).connect().await;
        client.call("join", json!([name])).await.expect("it joins");
        expected.push((name, id(&mut client).await, client));
    }
    let mut elsewhere = gateway.client("other").user(HOSTILE[0]).connect().await;
    let elsewhere_id = id(&mut elsewhere).await;
    for (name, id, _) in &expected {
        let name = escaped(name);
        for query in [format!("?hub=probe&user={name}"), format!("?hub=PROBE&group={name}"), format!("?group={name}")] {
            assert_eq!(ids(&listed(&gateway, &query).await), std::slice::from_ref(id), "{query}");
        }
    }
    assert_eq!(listed(&gateway, &format!("?user={}", escaped(HOSTILE[0]))).await.len(), 2, "of both hubs");
    assert_eq!(ids(&listed(&gateway, "?hub=other").await), [elsewhere_id]);
    let (name, other) = (escaped(HOSTILE[1]), escaped(HOSTILE[2]));
    assert!(listed(&gateway, &format!("?user={name}&group={other}")).await.is_empty(), "all of it counts");
    assert!(listed(&gateway, "?hub=unused").await.is_empty());
    let shown = listed(&gateway, &format!("?user={name}")).await;
    assert_eq!(shown[0]["user"], HOSTILE[1], "as it is");
}

#[tokio::test]
async fn pages_have_each_client_once_in_the_order_of_the_ids() {
    let gateway = Gateway::probe().with("server.shards = 4").start().await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(gateway.client("probe").connect().await);
    }
    let (mut met, mut sizes, mut query) = (Vec::new(), Vec::new(), "?limit=7".to_owned());
    loop {
        let page = ask(&gateway, &query).await.json();
        let of_page = ids(page["connections"].as_array().expect("it is a list"));
        sizes.push(of_page.len());
        met.extend(of_page);
        let Some(after) = page["next"].as_str() else { break };
        query = format!("?limit=7&after={}", escaped(after));
    }
    assert_eq!(sizes, [7, 7, 7, 7, 2]);
    let sorted: BTreeSet<&String> = met.iter().collect();
    assert_eq!(sorted.len(), met.len(), "each once");
    assert!(met.iter().eq(sorted), "in order");
    assert_eq!(ask(&gateway, "?limit=30").await.json()["next"], Value::Null, "there is no page after the last");
}

#[tokio::test]
async fn a_list_that_is_asked_for_wrongly_is_refused_by_name() {
    let gateway = Gateway::probe().start().await;
    let too_long = format!("?user={}", "x".repeat(1_025));
    for (query, name) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=many", "limit"),
        ("?after=nonsense", "after"),
        ("?hub=1", "hub"),
        ("?group=%20", "group"),
        (too_long.as_str(), "user"),
        ("?goup=g", "goup"),
    ] {
        let answer = ask(&gateway, query).await;
        assert!(answer.status == 400 && answer.body.contains(name), "{query}: {answer:?}");
    }
    assert_eq!(ask(&gateway, "?limit=1000").await.status, 200);
}

#[tokio::test]
async fn what_waits_for_a_client_that_does_not_read_is_counted() {
    let gateway = Gateway::probe().start().await;
    let client = gateway.client("probe").user("slow").with_small_buffer().connect().await;
    let text = "x".repeat(900_000);
    // The kernel takes some megabytes before anything waits.
    let queued = async || {
        let send = gateway.rest(Method::POST, "/api/v1/hubs/probe/users/slow");
        let send = send.json(&json!({ "target": "t", "arguments": [text] }));
        assert_eq!(send.send().await.status, 202);
        let shown = listed(&gateway, "?user=slow").await;
        shown.first().and_then(|shown| shown["queuedBytes"].as_u64()).filter(|bytes| *bytes > 0)
    };
    let queued = until("something to wait", queued).await;
    assert!(queued <= 1 << 20, "what has left does not count: {queued}");
    drop(client);
}

#[tokio::test]
async fn a_client_whose_connection_an_operator_closes_is_told_and_gone() {
    let gateway = Gateway::probe().with("hubs.served.mode = 'default'").start().await;
    let mut stays = gateway.client("probe").connect().await;
    let mut goes = gateway.client("probe").connect().await;
    let id = id(&mut goes).await;
    let with_reason = format!("/admin/connections/{id}?reason=time%20to%20go");
    let closed = gateway.operate(Method::DELETE, &with_reason).send().await.json();
    assert_eq!(closed, json!({ "id": id, "hub": "probe" }));
    let end = goes.end().await;
    assert_eq!((end.error(), end.allows_reconnect()), ("time to go", false));
    assert_eq!(stays.call("echo", json!([1])).await, Ok(json!(1)));
    until("it to be gone", async || listed(&gateway, &format!("?id={id}")).await.is_empty().then_some(())).await;
    assert_eq!(close(&gateway, &id).await.status, 404);

    let mut server = HubServer::connect(&gateway, "served", "s1").await;
    let client = gateway.client("served").user("ann").open().await;
    let (mut proxied, _) = server.let_in(client).await;
    let shown = listed(&gateway, "?hub=served").await;
    assert_eq!(close(&gateway, &ids(&shown)[0]).await.status, 200, "also where a hub server answers it");
    proxied.end().await;
}

#[tokio::test]
async fn nobody_is_closed_by_an_id_that_nobody_has() {
    let gateway = Gateway::probe().start().await;
    let mut client = gateway.client("probe").connect().await;
    for nobody in ["AAAAAAAAAAAAAAAAAAAAAAAA", "nonsense", "..", "%", "a/b"] {
        let answer = close(&gateway, nobody).await;
        assert!(
            answer.status == 404 && answer.body.starts_with("No connection of this gateway"),
            "{nobody}: {answer:?}"
        );
    }
    let long = "x".repeat(1_025);
    let path = format!("/admin/connections/AAAAAAAAAAAAAAAAAAAAAAAA?reason={long}");
    assert_eq!(gateway.operate(Method::DELETE, &path).send().await.status, 400);
    let path = "/admin/connections/AAAAAAAAAAAAAAAAAAAAAAAA?why=x";
    assert_eq!(gateway.operate(Method::DELETE, path).send().await.status, 400);
    assert_eq!(client.call("echo", json!([1])).await, Ok(json!(1)));
}
