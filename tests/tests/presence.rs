//! Who is there, and who joins and leaves groups that a component watches.

use std::collections::BTreeSet;
use std::fs;

use hubgate_tests::wait::{soon, until};
use hubgate_tests::{Client, Gateway, guests};
use serde_json::{Value, json};

/// The error of a call whose handler fails, for the log.
const GENERAL: &str = "An unexpected error occurred invoking 'join' on the server.";

/// Hears of changes in a group until so many have joined and left, and of none beyond that. Gives how many times it was told.
async fn told(client: &mut Client, group: &str, expected: (u64, u64)) -> u64 {
    let (mut joined, mut left, mut times) = (0, 0, 0);
    while (joined, left) != expected {
        let change = client.event("changed").await;
        if change[0] == *group {
            let [more, fewer] = [1, 2].map(|index: usize| change[index].as_u64().expect("a number"));
            (joined, left, times) = (joined + more, left + fewer, times + 1);
            assert!(more + fewer > 0, "nothing is no change: {change}");
        }
        assert!(joined <= expected.0 && left <= expected.1, "{joined} have joined and {left} left, not {expected:?}");
    }
    times
}

async fn call(client: &mut Client, method: &str, arguments: Value) -> Value {
    client.call(method, arguments).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// A client that speaks MessagePack.
async fn packed(gateway: &Gateway) -> Client {
    let mut client = gateway.client("probe").open().await;
    client.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
    assert_eq!(client.next_bytes().await, b"{}\x1e");
    client
}

#[tokio::test]
async fn clients_of_all_threads_and_both_protocols_are_counted_listed_and_told() {
    for shards in [2, 4] {
        let gateway = Gateway::probe_hub().with(&format!("server.shards = {shards}")).start().await;
        let mut observer = gateway.client("probe").connect().await;
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = gateway.client("probe").connect().await;
            call(&mut client, "join", json!(["room"])).await;
            clients.push(client);
        }
        let mut packed = packed(&gateway).await;
        // An invocation without an id: `join("room")`.
        packed.send_binary(b"\x0f\x95\x01\x80\xc0\xa4join\x91\xa4room").await;
        told(&mut observer, "room", (9, 0)).await;
        let hears = async { while !packed.next_bytes().await.windows(7).any(|part| part == b"changed") {} };
        soon("the client that speaks MessagePack to hear of it", hears).await;
        assert_eq!(call(&mut observer, "howMany", json!(["room"])).await, 9);
        assert_eq!(call(&mut observer, "howMany", json!(["nobody's"])).await, 0);
        let who = call(&mut observer, "who", json!(["room"])).await;
        let who: BTreeSet<&str> = who.as_array().expect("ids").iter().filter_map(Value::as_str).collect();
        assert_eq!(who.len(), 9, "{who:?}");
        let mut leaver = clients.pop().expect("one of eight");
        call(&mut leaver, "leave", json!(["room"])).await;
        clients.truncate(4);
        told(&mut observer, "room", (0, 4)).await;
        drop(packed);
        told(&mut observer, "room", (0, 1)).await;
        assert_eq!(call(&mut observer, "howMany", json!(["room"])).await, 4);
        let labels = [("plugin", "probe"), ("outcome", "told")];
        assert_eq!(gateway.metric("hubgate_plugin_presence_changes_total", labels).await, 14.0);
        assert_eq!(gateway.metric("hubgate_plugin_presence_groups", [("plugin", "probe")]).await, 1.0);
    }
}

#[tokio::test]
async fn users_are_in_their_groups_with_each_connection_that_they_have_or_make() {
    let gateway = Gateway::probe_hub().with("server.shards = 4").start().await;
    let mut observer = gateway.client("probe").connect().await;
    let ann = || gateway.client("probe").user("ann");
    let mut anns = vec![ann().connect().await, ann().connect().await, ann().connect().await];
    call(&mut observer, "joinUser", json!(["ann", "room"])).await;
    told(&mut observer, "room", (3, 0)).await;
    anns.push(ann().connect().await);
    told(&mut observer, "room", (1, 0)).await;
    let page = call(&mut observer, "whoAfter", json!(["room", null, 10])).await;
    let page = page.as_array().expect("members");
    assert!(page.len() == 4 && page.iter().all(|member| member[1] == "ann"), "{page:?}");
    let ids: Vec<Value> = page.iter().map(|member| member[0].clone()).collect();
    let (mut read, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = call(&mut observer, "connectionsOf", json!(["ann", after, 1])).await;
        let Some(last) = page[0].as_str() else { break };
        after = json!(last);
        read.push(after.clone());
    }
    assert_eq!(read, ids);
    anns.truncate(1);
    told(&mut observer, "room", (0, 3)).await;
    assert_eq!(call(&mut observer, "connectionsOf", json!(["ann", ids[3], 10])).await, json!([]));
    assert_eq!(call(&mut observer, "connectionsOf", json!(["bob", null, 10])).await, json!([]));
}

#[tokio::test]
async fn a_group_is_read_in_pages_and_what_is_no_connections_id_begins_none() {
    const MEMBERS: usize = 25;
    let gateway = Gateway::probe_hub().with("server.shards = 4\nserver.detailed-errors = true").start().await;
    let mut observer = gateway.client("probe").connect().await;
    let mut clients = Vec::new();
    for _ in 0..MEMBERS {
        let mut client = gateway.client("probe").connect().await;
        call(&mut client, "join", json!(["room"])).await;
        clients.push(client);
    }
    let mut ids: Vec<String> = Vec::new();
    for size in [7, 7, 7, 4, 0] {
        let page = call(&mut observer, "whoAfter", json!(["room", ids.last(), 7])).await;
        let page = page.as_array().expect("members");
        assert_eq!(page.len(), size);
        ids.extend(page.iter().map(|member| member[0].as_str().expect("an id").to_owned()));
    }
    assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == MEMBERS, "{ids:?}");
    assert_eq!(call(&mut observer, "who", json!(["room"])).await, json!(ids));
    assert_eq!(call(&mut observer, "whoAfter", json!(["room", null, 0])).await, json!([]));
    let error = observer.call("whoAfter", json!(["room", "the first", 7])).await.expect_err("it is no id");
    assert!(error.contains("`after` is not the id of a connection"), "{error}");
}

#[tokio::test]
async fn watches_go_on_with_the_next_version_and_are_dropped_by_one_that_is_not_to_be_told() {
    let gateway = Gateway::probe_hub().start().await;
    let mut observer = gateway.client("probe").connect().await;
    let mut client = gateway.client("probe").connect().await;
    call(&mut client, "join", json!(["room"])).await;
    told(&mut observer, "room", (1, 0)).await;
    let swap = async |to: &std::path::Path, version: &str, client: &mut Client| {
        gateway.replace_plugin("probe", &fs::read(to).expect("a component"));
        let serves = async || (client.call("version", json!([])).await == Ok(json!(version))).then_some(());
        until("the next version to serve", serves).await;
    };
    swap(&guests::probe_hub_2(), "2", &mut client).await;
    call(&mut client, "leave", json!(["room"])).await;
    told(&mut observer, "room", (0, 1)).await;
    let mut other = gateway.client("probe").connect().await;
    call(&mut other, "join", json!(["room"])).await;
    told(&mut observer, "room", (1, 0)).await;
    // The probe of a handler has no `presence-events`.
    swap(&guests::probe(), "1", &mut client).await;
    drop(other);
    let dropped = async || {
        let labels = [("plugin", "probe"), ("outcome", "dropped")];
        (gateway.metric("hubgate_plugin_presence_changes_total", labels).await == 1.0).then_some(())
    };
    until("the change to be dropped", dropped).await;
    swap(&guests::probe_hub_2(), "2", &mut client).await;
    call(&mut client, "join", json!(["room"])).await;
    told(&mut observer, "room", (1, 0)).await;
}

#[tokio::test]
async fn two_plugins_that_watch_a_group_are_both_told() {
    let upstream = "upstream = [{ hubs = ['probe'], events = ['join', 'leave'], plugin = 'probe' }, \
                    { hubs = ['probe'], plugin = 'second' }]";
    let gateway = Gateway::probe_hub().plugin("second", &guests::probe_hub()).with(upstream).start().await;
    let mut observer = gateway.client("probe").connect().await;
    let mut first = gateway.client("probe").connect().await;
    call(&mut first, "join", json!(["room"])).await;
    told(&mut observer, "room", (1, 0)).await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    call(&mut observer, "joinUser", json!(["ann", "room"])).await;
    // By each of both.
    assert_eq!(told(&mut observer, "room", (2, 0)).await, 2);
    call(&mut ann, "leave", json!(["room"])).await;
    assert_eq!(told(&mut observer, "room", (0, 2)).await, 2);
    call(&mut observer, "unwatch", json!(["room"])).await;
    drop(first);
    assert_eq!(told(&mut observer, "room", (0, 1)).await, 1);
    for plugin in ["probe", "second"] {
        let groups = gateway.metric("hubgate_plugin_presence_groups", [("plugin", plugin)]).await;
        assert_eq!(groups, if plugin == "probe" { 1.0 } else { 0.0 }, "{plugin}");
    }
}

#[tokio::test]
async fn a_plugin_watches_as_many_groups_as_its_budget_allows() {
    let gateway = Gateway::probe_hub().with("plugins.probe.presence-groups = 2").start().await;
    let mut client = gateway.client("probe").connect().await;
    for group in ["a", "b", "a"] {
        call(&mut client, "join", json!([group])).await;
    }
    let refused = client.call("join", json!(["c"])).await;
    assert_eq!(refused, Err(GENERAL.to_owned()));
    gateway.logs(&["probe", "presence-groups"]).await;
    let labels = [("plugin", "probe"), ("budget", "presence-groups")];
    assert_eq!(gateway.metric("hubgate_plugin_budget_exceeded_total", labels).await, 1.0);
    call(&mut client, "unwatch", json!(["a"])).await;
    call(&mut client, "join", json!(["c"])).await;
}

/// A figure rather than a rule: `cargo test --release --workspace --test presence -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "needs 20,000 file descriptors, and takes a while"]
async fn thousands_of_clients_that_drop_at_once_are_told_of_in_few_calls() {
    const CLIENTS: u64 = 9_000;
    let gateway = Gateway::probe_hub().with("server.limits.connections-per-ip = 0").start().await;
    let mut observer = gateway.client("probe").connect().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = gateway.client("probe").without_negotiate().connect().await;
        client.notify("join", json!(["room"])).await;
        clients.push(client);
    }
    told(&mut observer, "room", (CLIENTS, 0)).await;
    let began = std::time::Instant::now();
    drop(clients);
    let calls = told(&mut observer, "room", (0, CLIENTS)).await;
    let took = began.elapsed();
    println!(
        "{CLIENTS} clients drop at once: {calls} calls, {:.5} for each; all is told after {took:?}",
        calls as f64 / CLIENTS as f64
    );
    assert!(calls < CLIENTS / 100, "{calls} calls");
}
