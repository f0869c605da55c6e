//! The hubs of `plugins/`, ready made, beside an application's own handler, on two shards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::future::join_all;
use http::Method;
use hubgate_tests::command::{hubgate, repository};
use hubgate_tests::gateway::Setup;
use hubgate_tests::wait::soon;
use hubgate_tests::{Client, Gateway, guests};
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::signalr::framing::split_binary_message;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, HubProtocol, Invocation};
use serde_json::{Value, json};

/// The hub `probe`, whose methods `join`, `leave` and `send` are those of `history`, and all others the probe's.
fn history() -> Setup {
    Gateway::probe().plugin("history", &guests::ready_made("history")).with(
        r#"
        server.shards = 2
        hubs.probe.filters = ["history"]
        upstream = [
            { hubs = ["probe"], events = ["join", "leave", "send"], plugin = "history" },
            { hubs = ["probe"], plugin = "probe" },
        ]
        plugins.history.config = { groups = "room-", ids = "append" }
        "#,
    )
}

/// Sends a call to a group by the REST API.
async fn push(gateway: &Gateway, group: &str, text: &str) {
    let path = format!("/api/hubs/probe/groups/{group}/:send?api-version=2022-06-01");
    let sent = gateway.rest(Method::POST, &path).json(&json!({ "target": "said", "arguments": [text] })).send().await;
    assert_eq!(sent.status, 202);
}

/// What `join` answers with, and what it tells of missed messages.
fn told(joined: Result<Value, String>) -> (Vec<Value>, bool) {
    let joined = joined.expect("everybody may join");
    let messages = joined["messages"].as_array().expect("it has messages").clone();
    (messages, joined["missed"].as_bool().expect("it says so"))
}

fn id(message: &Value) -> u64 {
    message["id"].as_u64().expect("each message has an id")
}

/// Who called what with which arguments, without what differs from run to run.
fn calls(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|message| json!([message["method"], message["arguments"]])).collect()
}

#[tokio::test]
async fn what_anybody_sends_to_a_group_is_kept_for_who_joins_it() {
    let gateway = history().start().await;
    let mut ann = gateway.client("probe").user("ann").connect().await;
    assert_eq!(told(ann.call("join", json!(["room-1"])).await), (vec![], false));
    push(&gateway, "room-1", "by REST").await;
    push(&gateway, "other", "to another group").await;
    assert_eq!(ann.call("send", json!(["room-1", "by a client", 1.50])).await, Ok(json!(null)));
    assert_eq!(ann.call("sayTo", json!(["room-1", "by the application"])).await, Ok(json!(null)));

    let expected = json!([
        ["said", ["by REST"]],
        ["message", ["room-1", "ann", "by a client", 1.5]],
        ["said", ["by the application"]],
    ]);
    let mut bob = gateway.client("probe").user("bob").connect().await;
    let (messages, missed) = told(bob.call("join", json!(["room-1"])).await);
    assert_eq!((json!(calls(&messages)), missed), (expected.clone(), false));
    assert!(messages.iter().all(|message| message["at"].as_u64().is_some_and(|at| at > 1_700_000_000_000)));
    let ids: Vec<u64> = messages.iter().map(id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(ann.event("said").await, json!(["by REST", ids[0]]), "the id that it is kept with");
    assert_eq!(ann.event("message").await, json!(["room-1", "ann", "by a client", 1.5, ids[1]]));

    let mut packed = Packed::connect(&gateway).await;
    let joined = packed.call("join", json!(["room-1"])).await;
    assert_eq!(json!(calls(&told(joined).0)), expected, "in MessagePack");
    assert_eq!(packed.call("send", json!(["room-1", "packed"])).await, Ok(json!(null)));
    assert_eq!(
        bob.event("message").await.as_array().expect("arguments")[..3],
        [json!("room-1"), json!(null), json!("packed")]
    );
    assert_eq!(bob.call("leave", json!(["room-1"])).await, Ok(json!(null)));
    push(&gateway, "room-1", "after bob").await;
    assert!(bob.everything_so_far().await.is_empty(), "who has left gets no more");
    assert_eq!(bob.call("join", json!(["other"])).await, Err("The group 'other' is not open to you.".to_owned()));
}

#[test]
fn its_script_is_as_it_says() {
    let component = guests::ready_made("history").display().to_string();
    let script = repository().join("plugins/history/tests/history.toml").display().to_string();
    hubgate(["plugin", "test", &component, "--script", &script]).success();
}

/// What a client of a group has seen, by the messages' ids.
#[derive(Default)]
struct Seen {
    messages: BTreeMap<u64, Value>,
}

impl Seen {
    fn has_come(&mut self, id: u64, text: &Value) {
        if let Some(before) = self.messages.insert(id, text.clone()) {
            assert_eq!(before, *text, "an id is of one message");
        }
    }

    /// Joins, knowing all up to `after`.
    async fn join(&mut self, client: &mut Client, after: Option<u64>) {
        let (messages, missed) = told(client.call("join", json!(["room-1", after])).await);
        assert!(!missed, "all is kept");
        messages.iter().for_each(|message| self.has_come(id(message), &message["arguments"][2]));
    }

    /// Reads what comes by itself until there are so many messages.
    async fn until_all(&mut self, client: &mut Client, count: usize) {
        while self.messages.len() < count {
            let arguments = soon("a message", client.event("message")).await;
            self.has_come(arguments[3].as_u64().expect("the id is the last argument"), &arguments[2]);
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_between_what_is_kept_and_what_comes_and_doubles_have_the_same_id() {
    const SENDERS: usize = 6;
    const EACH: usize = 30;
    const JOINERS: usize = 8;
    let gateway = history().with("plugins.history.config.keep = '1000'").start().await;
    let gateway = &gateway;
    let senders = (0..SENDERS).map(|sender| async move {
        let mut client = gateway.client("probe").connect().await;
        for number in 0..EACH {
            let text = format!("{sender}/{number}");
            assert_eq!(client.call("send", json!(["room-1", text])).await, Ok(json!(null)));
        }
    });
    // Each joins when a part of all is sent: the first at once, the last at the end.
    let joiners = (0..JOINERS).map(|joiner| async move {
        let mut client = gateway.client("probe").connect().await;
        for _ in 0..joiner * 4 {
            client.call("echo", json!([""])).await.expect("the probe answers");
        }
        let mut seen = Seen::default();
        seen.join(&mut client, None).await;
        // Half of them go, and come back when others have spoken.
        if joiner % 2 == 0 {
            let first = seen.messages.keys().next().copied();
            client.leave().await;
            client = gateway.client("probe").connect().await;
            let contiguous = (first.unwrap_or(0)..).take_while(|id| seen.messages.contains_key(id)).last();
            seen.join(&mut client, contiguous).await;
        }
        seen.until_all(&mut client, SENDERS * EACH).await;
        seen
    });
    let (_, all) = tokio::join!(join_all(senders), join_all(joiners));
    let expected: BTreeSet<String> =
        (0..SENDERS).flat_map(|sender| (0..EACH).map(move |number| format!("{sender}/{number}"))).collect();
    for seen in &all {
        let texts: BTreeSet<String> =
            seen.messages.values().map(|text| text.as_str().expect("a text").to_owned()).collect();
        assert_eq!(texts, expected, "each once, by its id");
        assert_eq!(seen.messages, all[0].messages, "everybody knows them by the same ids");
        for sender in 0..SENDERS {
            let of = format!("{sender}/");
            let numbers =
                seen.messages.values().filter_map(|text| text.as_str()?.strip_prefix(&of)?.parse::<usize>().ok());
            assert!(numbers.eq(0..EACH), "ids are in the order of each sender");
        }
    }
}

#[tokio::test]
async fn who_comes_back_gets_what_came_since_and_is_told_if_some_of_it_is_gone() {
    let gateway = history().with("plugins.history.config.keep = '3'").start().await;
    let mut client = gateway.client("probe").connect().await;
    for number in 1..=5 {
        assert_eq!(client.call("send", json!(["room-1", number])).await, Ok(json!(null)));
    }
    let (messages, _) = told(client.call("join", json!(["room-1"])).await);
    let last = id(&messages[2]);
    assert_eq!(calls(&messages).iter().map(|call| &call[1][2]).collect::<Vec<_>>(), [3, 4, 5], "the last three");
    for (after, count, missed) in [(last, 0, false), (last - 1, 1, false), (last - 3, 3, false), (last - 4, 3, true)] {
        let (messages, told) = told(client.call("join", json!(["room-1", after])).await);
        assert_eq!((messages.len(), told), (count, missed), "after {after}, the last being {last}");
    }
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_ids_go_on_growing() {
    let mut gateway = history().start().await;
    push(&gateway, "room-1", "before").await;
    gateway.restart().await;
    push(&gateway, "room-1", "after").await;
    let mut client = gateway.client("probe").connect().await;
    let (messages, _) = told(client.call("join", json!(["room-1"])).await);
    assert_eq!(json!(calls(&messages)), json!([["said", ["before"]], ["said", ["after"]]]));
    assert_eq!(id(&messages[1]), id(&messages[0]) + 1);
}

#[tokio::test]
async fn what_is_kept_may_come_as_the_calls_that_it_was() {
    let gateway = history().with("plugins.history.config = { replay = 'calls', ids = 'none' }").start().await;
    push(&gateway, "room-1", "one").await;
    push(&gateway, "room-1", "two").await;
    let mut client = gateway.client("probe").connect().await;
    let call = client.start_call("join", json!(["room-1"])).await;
    for text in ["one", "two"] {
        let message = client.message().await;
        assert_eq!((&message["target"], &message["arguments"]), (&json!("said"), &json!([text])), "before the answer");
    }
    assert_eq!(client.completion(&call).await["result"], json!({ "messages": [], "missed": false }));
    push(&gateway, "room-1", "three").await;
    assert_eq!(client.event("said").await, json!(["three"]), "as it was sent");
}

#[tokio::test]
async fn a_claim_says_which_groups_a_client_may_use() {
    let gateway = history().with("plugins.history.config.claim = 'room'").start().await;
    let mut client = gateway.client("probe").with_claim("room", json!(["room-1", "room-2"])).connect().await;
    for group in ["room-1", "room-2"] {
        assert_eq!(told(client.call("join", json!([group])).await), (vec![], false));
        assert_eq!(client.call("send", json!([group, "hello"])).await, Ok(json!(null)));
    }
    for (method, arguments) in [("join", json!(["room-3"])), ("send", json!(["room-3", "hello"]))] {
        let refused = client.call(method, arguments).await;
        assert_eq!(refused, Err("The group 'room-3' is not open to you.".to_owned()), "{method}");
    }
}

/// A client that speaks MessagePack.
struct Packed {
    client: Client,
    unread: VecDeque<Value>,
}

impl Packed {
    async fn connect(gateway: &Gateway) -> Packed {
        let mut client = gateway.client("probe").open().await;
        client.send_text("{\"protocol\":\"messagepack\",\"version\":1}\u{1e}").await;
        assert_eq!(client.next_bytes().await, b"{}\x1e");
        Packed { client, unread: VecDeque::new() }
    }

    /// Calls a method, and gives its result; the error is the completion's.
    async fn call(&mut self, method: &str, arguments: Value) -> Result<Value, String> {
        let arguments = Payload::Json(JsonText::parse_array(arguments.to_string()).expect("they are an array"));
        let call = HubMessage::Invocation(Invocation {
            headers: Vec::new(),
            invocation_id: Some("1".into()),
            target: method.into(),
            arguments: arguments.borrow(),
            stream_ids: Vec::new(),
        });
        let mut framed = Vec::new();
        HubProtocol::MessagePack.write(&call, &mut framed);
        self.client.send_binary(&framed).await;
        let completion = self.matching("result").await;
        match completion.get("error") {
            Some(error) => Err(error.as_str().expect("an error is text").to_owned()),
            None => Ok(completion["result"].clone()),
        }
    }

    /// The next message with this member; others stay unread.
    async fn matching(&mut self, member: &str) -> Value {
        loop {
            if let Some(found) = self.unread.iter().position(|message| message.get(member).is_some()) {
                return self.unread.remove(found).expect("the position is inside");
            }
            let frame = self.client.next_bytes().await;
            let mut rest = &frame[..];
            while let Some(message) = split_binary_message(&mut rest).expect("messages are short") {
                let message = HubProtocol::MessagePack.parse(message).expect("the gateway speaks it");
                self.unread.extend(seen(&message));
            }
        }
    }
}

/// Calls and completions, as JSON.
fn seen(message: &HubMessage<'_>) -> Option<Value> {
    let json = |payload: hubgate_wire::payload::PayloadRef<'_>| -> Value {
        serde_json::from_str(&payload.to_json()).expect("it is JSON")
    };
    match message {
        HubMessage::Invocation(call) => Some(json!({ "target": call.target, "arguments": json(call.arguments) })),
        HubMessage::Completion { outcome, .. } => Some(match outcome {
            CompletionOutcome::Void => json!({ "result": null }),
            CompletionOutcome::Result(result) => json!({ "result": json(*result) }),
            CompletionOutcome::Error(error) => json!({ "result": null, "error": error }),
        }),
        _ => None,
    }
}
