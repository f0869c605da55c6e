//! The rules of serverless hubs, on shards without a network.

use std::sync::Arc;

use crate::rig::{Client, Rig, at, identity, json, settings};
use hubgate_core::delivery::{Action, Except, Member, Target};
use hubgate_core::event::{UpstreamEvent, UpstreamFailure};
use hubgate_core::id::{ConnectionId, GroupName, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::settings::{
    ClaimNames, ConnectFailure, Handler, Pattern, Settings, StreamCalls, UpstreamItem, Webhook,
};
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Identity, Outgoing};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::webhook::UrlTemplate;

fn send(to: Target, text: &str) -> Action {
    let message = Outgoing::call("said".into(), json(&format!("[\"{text}\"]")));
    Action::Send { to, message, except: Default::default() }
}

fn said(text: &str) -> String {
    format!(r#"{{"type":1,"target":"said","arguments":["{text}"]}}"#)
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).expect("a name")
}

fn join(client: Client, name: &str) -> Action {
    Action::Join { member: Member::Connection(client.id), group: group(name), ttl_seconds: None, plugin: None }
}

fn methods(events: &[UpstreamEvent]) -> Vec<&str> {
    let name = |event: &'_ UpstreamEvent| match event {
        UpstreamEvent::Connected => "connected".to_owned(),
        UpstreamEvent::Disconnected { .. } => "disconnected".to_owned(),
        UpstreamEvent::Invocation { target, .. } => target.to_string(),
        UpstreamEvent::StreamCall(call) => format!("stream {}", call.target),
        UpstreamEvent::Stream(event) => panic!("a stream: {event:?}"),
    };
    events.iter().map(|event| &*name(event).leak()).collect()
}

#[test]
fn upstream_is_told_one_event_of_a_client_at_a_time_whatever_an_answer_sets_off() {
    let mut rig = Rig::new(1, settings());
    let client = rig.open(0, "chat", None);
    let call = |id: &str| format!("{{\"type\":1,\"invocationId\":\"{id}\",\"target\":\"m\",\"arguments\":[]}}\x1e");
    rig.data(client, &["{\"protocol\":\"json\",\"version\":1}\x1e", &call("1"), &call("2")].concat());
    assert!(matches!(rig.answer(Ok(None), Vec::new()), UpstreamEvent::Connected));
    assert_eq!(rig.calls.len(), 1);
    rig.answer(Ok(Some(json("\"one\""))), Vec::new());
    // The answer to the second closes the client, with a third one waiting.
    rig.data(client, &call("3"));
    assert_eq!(rig.calls.len(), 1);
    let target = Target::Connection(client.id);
    let close = Action::Close { target, except: Vec::new(), reason: None, allow_reconnect: false };
    rig.answer(Ok(Some(json("\"two\""))), vec![close]);
    assert_eq!(rig.calls.len(), 1);
    let UpstreamEvent::Invocation { invocation_id, .. } = rig.answer(Ok(None), Vec::new()) else {
        panic!("what the client said comes before its end");
    };
    assert_eq!(invocation_id.as_deref(), Some("3"));
    assert!(matches!(rig.answer(Ok(None), Vec::new()), UpstreamEvent::Disconnected { .. }));
    assert!(rig.calls.is_empty());
    let one = "{\"type\":3,\"invocationId\":\"1\",\"result\":\"one\"}";
    assert_eq!(rig.received(client), ["{}", one, "{\"type\":7}"]);
}

#[test]
fn the_handshake_answer_comes_first_and_what_was_sent_before_follows_it() {
    let mut rig = Rig::new(1, settings());
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":6}\x1e");
    rig.run(0, vec![send(Target::All, "early")]);
    assert!(rig.received(client).is_empty());
    rig.answer(Ok(None), vec![send(Target::Connection(client.id), "welcome")]);
    assert_eq!(rig.received(client), ["{}", &said("early"), &said("welcome")]);
}

#[test]
fn calls_that_come_with_the_handshake_wait_until_it_is_answered() {
    let mut rig = Rig::new(1, settings());
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":1,\"target\":\"a\",\"arguments\":[]}\x1e");
    assert_eq!(methods(&[rig.answer(Ok(None), Vec::new()), rig.answer(Ok(None), Vec::new())]), ["connected", "a"]);
}

#[test]
fn whom_upstream_refuses_gets_its_text_and_never_was() {
    let mut rig = Rig::new(1, settings());
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    let failure = UpstreamFailure::Rejected("not you".into());
    rig.answer(Err(failure), Vec::new());
    assert_eq!(rig.received(client), [r#"{"error":"not you"}"#]);
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::InvokeUpstreamFailed);
    rig.gone(client, CloseCause::Normal);
    assert!(rig.calls.is_empty() && rig.shards[0].is_empty());
}

#[test]
fn a_client_that_leaves_before_connected_is_answered_is_told_of_only_if_it_was_let_in() {
    for (result, rest) in [(Ok(None), 1), (Err(UpstreamFailure::Rejected("no".into())), 0)] {
        let mut rig = Rig::new(1, settings());
        let client = rig.open(0, "chat", None);
        rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
        rig.gone(client, CloseCause::TransportLost);
        rig.answer(result, Vec::new());
        assert_eq!(rig.calls.len(), rest);
    }
}

#[test]
fn the_events_of_a_client_go_up_in_order_one_at_a_time_and_its_end_last() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    for method in ["a", "b", "c"] {
        rig.invoke(client, method, method);
    }
    rig.gone(client, CloseCause::TransportLost);
    let mut events = Vec::new();
    while !rig.calls.is_empty() {
        assert_eq!(rig.calls.len(), 1, "one at a time");
        events.push(rig.answer(Ok(None), Vec::new()));
    }
    assert_eq!(methods(&events), ["a", "b", "c", "disconnected"]);
    assert!(rig.shards[0].is_empty());
}

#[test]
fn actions_take_effect_before_the_answer() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.invoke(client, "1", "a");
    rig.answer(Ok(Some(json("7"))), vec![join(client, "g"), send(Target::Group(group("g")), "hi")]);
    assert_eq!(rig.received(client), [said("hi"), r#"{"type":3,"invocationId":"1","result":7}"#.to_owned()]);
}

#[test]
fn a_failure_is_told_to_its_caller_alone_and_in_general_words() {
    let mut rig = Rig::new(1, settings());
    let (client, other) = (rig.connect(0, None), rig.connect(0, None));
    for (failure, words) in [
        (UpstreamFailure::Rejected("as it is".into()), "as it is"),
        (UpstreamFailure::Failed("secret".into()), "An unexpected error occurred invoking 'm' on the server."),
        (
            UpstreamFailure::TimedOut,
            "An unexpected error occurred invoking 'm' on the server. The handler took too long and was stopped.",
        ),
    ] {
        rig.invoke(client, "1", "m");
        rig.answer(Err(failure), Vec::new());
        assert_eq!(rig.received(client), [format!(r#"{{"type":3,"invocationId":"1","error":"{words}"}}"#)]);
    }
    assert!(rig.received(other).is_empty());
}

#[test]
fn sends_reach_their_targets_on_every_shard() {
    let mut rig = Rig::new(3, settings());
    let clients = [rig.connect(0, Some("ann")), rig.connect(1, Some("ben")), rig.connect(2, Some("ann"))];
    rig.run(0, vec![join(clients[1], "g"), join(clients[2], "g")]);
    for (to, expected) in [
        (Target::All, [true, true, true]),
        (Target::Group(group("g")), [false, true, true]),
        (Target::User(UserId::new("ann")), [true, false, true]),
        (Target::Connection(clients[2].id), [false, false, true]),
        (Target::Connection(ConnectionId::new(at(9), [0; 12])), [false, false, false]),
        (Target::Group(group("G")), [false, false, false]),
    ] {
        rig.run(1, vec![send(to.clone(), "x")]);
        assert_eq!(clients.map(|client| !rig.received(client).is_empty()), expected, "{to:?}");
    }
    let except = vec![clients[0].id, clients[2].id];
    rig.run(
        2,
        vec![Action::Send { to: Target::All, message: Outgoing::call("m".into(), json("[]")), except: except.into() }],
    );
    assert_eq!(clients.map(|client| rig.received(client).len()), [0, 1, 0]);
}

#[test]
fn hubs_never_meet() {
    let mut rig = Rig::new(1, settings());
    let (client, other) = (rig.connect(0, Some("ann")), rig.open(0, "other", Some("ann")));
    rig.data(other, "{\"protocol\":\"json\",\"version\":1}\x1e");
    rig.answer(Ok(None), Vec::new());
    rig.received(other);
    for to in [Target::All, Target::User(UserId::new("ann")), Target::Connection(other.id)] {
        rig.run(0, vec![send(to, "x")]);
    }
    assert_eq!((rig.received(client).len(), rig.received(other).len()), (2, 0));
}

#[test]
fn too_many_waiting_calls_stop_reading_and_the_clients_silence_is_forgiven() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    for index in 0..5 {
        rig.invoke(client, &index.to_string(), "m");
    }
    assert_eq!(rig.paused, [(0, client.transport)]);
    rig.invoke(client, "late", "late");
    rig.pass(Millis(60_000));
    assert!(!rig.finished.contains_key(&(0, client.transport)));
    let mut events = Vec::new();
    while !rig.calls.is_empty() {
        events.push(rig.answer(Ok(None), Vec::new()));
    }
    assert_eq!(methods(&events), ["m", "m", "m", "m", "m", "late"]);
    assert!(rig.paused.is_empty());
}

#[test]
fn whatever_makes_waiting_calls_large_stops_reading() {
    let big = "x".repeat(900);
    for call in [
        format!(r#"{{"type":1,"invocationId":"1","target":"m","arguments":["{big}"]}}"#),
        format!(r#"{{"type":1,"invocationId":"{big}","target":"m","arguments":[]}}"#),
        format!(r#"{{"type":1,"invocationId":"1","target":"{big}","arguments":[]}}"#),
        format!(r#"{{"type":1,"invocationId":"1","target":"m","arguments":[],"headers":{{"a":"{big}"}}}}"#),
        format!(r#"{{"type":1,"invocationId":"1","target":"m","arguments":[],"headers":{{"{big}":"a"}}}}"#),
    ] {
        let mut settings = settings();
        settings.limits.message = 2_000;
        let mut rig = Rig::new(1, settings);
        let client = rig.connect(0, None);
        for _ in 0..3 {
            rig.data(client, &format!("{call}\x1e"));
        }
        assert_eq!(rig.paused, [(0, client.transport)], "one runs and two wait, which is too much: {call}");
    }
}

#[test]
fn a_silent_client_is_closed_and_an_idle_one_is_pinged() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.pass(Millis(15_000));
    assert_eq!(rig.received(client), [r#"{"type":6}"#]);
    rig.pass(Millis(10_000));
    rig.run(0, vec![send(Target::All, "x")]);
    rig.pass(Millis(4_999));
    assert_eq!(rig.received(client), [said("x")], "what was sent makes a ping needless");
    rig.pass(Millis(251));
    assert_eq!(rig.received(client), [TIMED_OUT]);
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::PingTimeout);
}

const TIMED_OUT: &str = concat!(
    r#"{"type":7,"error":"Connection closed with an error. The connection timed out: nothing came from the client for "#,
    r#"30s.","allowReconnect":true}"#
);

#[test]
fn a_silent_web_socket_is_asked_for_a_sign_of_life_after_half_of_its_time() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    let asked = (0, client.transport);
    for _ in 0..3 {
        rig.pass(Millis(14_750));
        assert!(rig.probed.is_empty());
        rig.pass(Millis(250));
        assert_eq!(rig.probed, [asked]);
        rig.pass(Millis(10_000));
        assert_eq!(std::mem::take(&mut rig.probed), [asked], "once");
        // Its answer.
        rig.bytes(client, b"");
    }
    rig.pass(Millis(15_000));
    rig.pass(Millis(14_750));
    assert!(!rig.finished.contains_key(&asked));
    rig.pass(Millis(250));
    assert_eq!(rig.received(client).last().map(String::as_str), Some(TIMED_OUT));
}

#[test]
fn no_web_socket_is_given_up_before_it_had_time_to_answer() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    // The whole machine stood still.
    rig.pass(Millis(100_000));
    assert_eq!(rig.probed, [(0, client.transport)]);
    rig.pass(Millis(14_750));
    assert!(!rig.finished.contains_key(&(0, client.transport)));
    rig.pass(Millis(250));
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::PingTimeout);
}

#[test]
fn what_has_no_pings_of_its_own_is_not_asked() {
    for (transport, is_closed) in [(Transport::ServerSentEvents, true), (Transport::LongPolling, false)] {
        let mut rig = Rig::new(1, settings());
        rig.transport = transport;
        let client = rig.connect(0, None);
        rig.pass(Millis(15_000));
        rig.pass(Millis(15_000));
        assert!(rig.probed.is_empty(), "{transport:?}");
        assert_eq!(rig.finished.contains_key(&(0, client.transport)), is_closed, "{transport:?}");
    }
}

#[test]
fn a_handshake_that_does_not_come_is_canceled() {
    let mut rig = Rig::new(1, settings());
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\"");
    rig.pass(Millis(15_000));
    assert_eq!(rig.received(client), [r#"{"error":"Handshake was canceled."}"#]);
}

#[test]
fn a_client_of_a_hub_in_default_mode_is_told_that_no_server_is_there() {
    let mut settings = settings();
    settings.other_hubs.mode = Mode::Default;
    let mut rig = Rig::new(1, settings);
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    assert!(rig.received(client)[0].starts_with(r#"{"error":"SignalR Service is now in 'Default' service mode."#));
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::NoAvailableServerConnection);
}

#[test]
fn a_message_may_come_in_any_pieces_but_not_be_larger_than_the_limit() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    for byte in "{\"type\":1,\"target\":\"bits\",\"arguments\":[]}\x1e{\"type\":6}\x1e".chars() {
        rig.data(client, &byte.to_string());
    }
    assert_eq!(methods(&[rig.answer(Ok(None), Vec::new())]), ["bits"]);
    rig.data(client, &"x".repeat(150));
    rig.data(client, &"x".repeat(51));
    let close = r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;
    assert_eq!(rig.received(client), [close]);
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::BadRequest);
}

#[test]
fn a_malformed_message_ends_its_connection_and_the_client_may_come_back() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.data(client, "{\"type\":1}\x1e");
    let close = r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;
    assert_eq!(rig.received(client), [close], "the next message may be a good one");
}

#[test]
fn streams_and_calls_that_nobody_handles_are_answered_at_once() {
    let mut settings = settings();
    settings.upstream[0].events = hubgate_core::settings::Pattern::OneOf(vec!["known".into(), "disconnected".into()]);
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    rig.invoke(client, "1", "unknown");
    rig.data(client, "{\"type\":4,\"invocationId\":\"2\",\"target\":\"known\",\"arguments\":[]}\x1e");
    rig.data(
        client,
        "{\"type\":1,\"invocationId\":\"3\",\"target\":\"known\",\"arguments\":[],\"streamIds\":[\"s\"]}\x1e",
    );
    rig.data(client, "{\"type\":1,\"target\":\"unknown\",\"arguments\":[]}\x1e");
    let answers = rig.received(client);
    assert_eq!(answers.len(), 3);
    for (answer, id) in answers.iter().zip(["1", "2", "3"]) {
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        assert_eq!((&answer["invocationId"], answer["error"].is_string()), (&id.into(), true));
    }
    assert!(rig.calls.is_empty());
}

#[test]
fn a_closed_client_is_gone_for_everybody_else_at_once() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, Some("ann"));
    rig.run(0, vec![join(client, "g")]);
    let target = Target::Connection(client.id);
    let reason = Some("bye".to_owned());
    rig.run(0, vec![Action::Close { target, except: Vec::new(), reason, allow_reconnect: true }]);
    assert_eq!(rig.received(client), [r#"{"type":7,"error":"bye","allowReconnect":true}"#]);
    for to in [Target::All, Target::Group(group("g")), Target::User(UserId::new("ann")), Target::Connection(client.id)]
    {
        rig.run(0, vec![send(to, "x")]);
    }
    assert!(rig.received(client).is_empty());
    let event = rig.answer(Ok(None), Vec::new());
    assert!(matches!(event, UpstreamEvent::Disconnected { reason: Some(reason) } if reason == "bye"));
}

#[test]
fn a_users_membership_is_for_its_later_connections_too_until_it_ends() {
    let user = || UserId::new("ann");
    let join =
        |ttl_seconds| Action::Join { member: Member::User(user()), group: group("g"), ttl_seconds, plugin: None };
    for (ttl, joins_at_once, joins_later) in [(None, true, true), (Some(0), false, false), (Some(10), true, false)] {
        let mut rig = Rig::new(2, settings());
        let present = rig.connect(0, Some("ann"));
        rig.run(1, vec![join(ttl)]);
        let next = rig.connect(1, Some("ann"));
        rig.pass(Millis(10_000));
        let late = rig.connect(0, Some("ann"));
        rig.run(0, vec![send(Target::Group(group("g")), "x")]);
        let got = [present, next, late].map(|client| rig.received(client).contains(&said("x")));
        assert_eq!(got, [true, joins_at_once, joins_later], "{ttl:?}");
    }
}

#[test]
fn a_client_is_in_the_groups_that_it_comes_with_before_upstream_hears_of_it() {
    let mut rig = Rig::new(2, settings());
    let groups = vec![group("g"), group("h"), group("g")];
    let id = ConnectionId::new(at(0), [200; 12]);
    let client = rig.open_with(0, "chat", id, Identity { groups, ..identity(Some("ann")) });
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    for name in ["g", "h", "other"] {
        rig.run(1, vec![send(Target::Group(group(name)), name)]);
    }
    rig.answer(Ok(None), Vec::new());
    assert_eq!(rig.received(client), ["{}", &said("g"), &said("h")]);
}

/// Everything goes to a webhook.
fn by_webhook() -> Settings {
    by_webhook_with(StreamCalls::Refused)
}

fn by_webhook_with(stream_calls: StreamCalls) -> Settings {
    let url = UrlTemplate::parse("http://localhost/").expect("a URL");
    let webhook = Webhook {
        url,
        timeout: Millis(1_000),
        retries: 0,
        on_connect_failure: ConnectFailure::Close,
        claim_names: ClaimNames::Token,
        stream_calls,
    };
    let handler = Handler::Webhook(Arc::new(webhook));
    let all = UpstreamItem { hubs: Pattern::Any, categories: Pattern::Any, events: Pattern::Any, handler };
    Settings { upstream: vec![all], ..settings() }
}

#[test]
fn a_webhook_that_does_not_want_them_hears_of_no_calls_for_streams() {
    let mut rig = Rig::new(1, by_webhook());
    let client = rig.connect(0, None);
    rig.data(client, "{\"type\":4,\"invocationId\":\"1\",\"target\":\"m\",\"arguments\":[]}\x1e");
    let [completion] = &rig.received(client)[..] else { panic!("one answer") };
    assert!(
        completion.contains("\"error\":\"Failed to invoke 'm'") && completion.contains("streams = true"),
        "{completion}"
    );
    assert!(rig.calls.is_empty());
}

#[test]
fn a_webhook_that_wants_them_hears_of_calls_for_streams_and_their_client_only_of_a_failure() {
    let mut settings = by_webhook_with(StreamCalls::Told);
    settings.limits.message = 2_000;
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    let call = |id: &str| format!("{{\"type\":4,\"invocationId\":\"{id}\",\"target\":\"m\",\"arguments\":[]}}\x1e");
    rig.data(client, &call("taken"));
    rig.data(client, &call("refused"));
    rig.data(client, &call(&"x".repeat(1025)));
    assert_eq!(rig.calls.len(), 1, "one event of a client at a time");
    assert_eq!(methods(&[rig.answer(Ok(None), Vec::new())]), ["stream m"]);
    let too_long = "Failed to invoke 'm': the invocation id of a call with streams is longer than 1024 characters.";
    let error = |id: &str, text: &str| format!(r#"{{"type":3,"invocationId":"{id}","error":"{text}"}}"#);
    assert_eq!(rig.received(client), [error(&"x".repeat(1025), too_long)], "one that was taken goes on");
    assert_eq!(methods(&[rig.answer(Err(UpstreamFailure::Rejected("No.".into())), Vec::new())]), ["stream m"]);
    assert_eq!(rig.received(client), [error("refused", "No.")]);
}

#[test]
fn a_webhook_hears_of_a_client_that_is_in_already_but_has_not_been_heard() {
    let mut rig = Rig::new(1, by_webhook());
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    assert_eq!(rig.received(client), ["{}"]);
    assert_eq!(rig.paused, [(0, client.transport)]);
    rig.invoke(client, "1", "m");
    assert_eq!(rig.calls.len(), 1, "the call waits");
    rig.answer(Ok(None), Vec::new());
    assert!(rig.paused.is_empty());
    assert_eq!(methods(&[rig.answer(Ok(None), Vec::new())]), ["m"]);
}

#[test]
fn no_more_messages_are_taken_than_are_wanted_and_the_rest_follows_in_order() {
    let mut settings = settings();
    settings.limits.queued_calls = 100;
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    let calls: String = (0..7).map(|n| format!("{{\"type\":1,\"target\":\"m{n}\",\"arguments\":[]}}\x1e")).collect();
    let (mut rest, mut left) = (calls.as_bytes(), Vec::new());
    while !rest.is_empty() {
        rig.some_bytes(client, &mut rest, 3);
        left.push(rest.iter().filter(|byte| **byte == 0x1e).count());
    }
    assert_eq!(left, [4, 1, 0]);
    let heard: Vec<_> = (0..7).map(|_| rig.answer(Ok(None), Vec::new())).collect();
    assert_eq!(methods(&heard), ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
    // The beginning of a message is all that is there.
    let mut begun = &b"{\"type\":1,"[..];
    rig.some_bytes(client, &mut begun, 3);
    assert!(begun.is_empty());
}

#[test]
fn a_method_whose_name_is_too_long_is_not_called() {
    let mut settings = settings();
    settings.limits.message = 2_000;
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    rig.invoke(client, "1", &"m".repeat(1_025));
    let error = r#"{"type":3,"invocationId":"1","error":"The method's name is longer than 1024 characters."}"#;
    assert_eq!((rig.received(client), rig.calls.len()), (vec![error.to_owned()], 0));
}

#[test]
fn whom_a_webhook_refuses_is_closed_and_its_end_is_not_told() {
    for (failure, close) in [
        (
            UpstreamFailure::Rejected("403".into()),
            r#"{"type":7,"error":"Connection closed with an error. The application has refused the connection."}"#,
        ),
        (
            UpstreamFailure::Unavailable("503".into()),
            r#"{"type":7,"error":"Connection closed with an error. The application cannot be reached; try again later.","allowReconnect":true}"#,
        ),
    ] {
        let mut rig = Rig::new(1, by_webhook());
        let client = rig.open(0, "chat", None);
        rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
        rig.invoke(client, "1", "m");
        rig.answer(Err(failure), Vec::new());
        assert_eq!(rig.received(client), ["{}", close]);
        assert_eq!(rig.finished[&(0, client.transport)], CloseCause::InvokeUpstreamFailed);
        rig.gone(client, CloseCause::Normal);
        assert!(rig.calls.is_empty() && rig.shards[0].is_empty());
    }
}

#[test]
fn who_is_left_out_may_be_named_many_times() {
    let mut rig = Rig::new(1, settings());
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|user| rig.connect(0, Some(user)));
    let except = Except {
        connections: vec![cid.id; 1_000],
        users: ["nobody", "ann"].repeat(1_000).into_iter().map(UserId::new).collect(),
    };
    let message = Outgoing::call("said".into(), json("[]"));
    rig.run(0, vec![Action::Send { to: Target::All, message, except }]);
    assert_eq!([ann, bob, cid].map(|client| rig.received(client).len()), [0, 1, 0]);
}

#[test]
fn a_method_that_no_upstream_item_matches_is_logged_once_a_minute_for_each_hub() {
    let mut settings = settings();
    settings.upstream[0].events = Pattern::OneOf(vec!["send".to_owned()]);
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    for method in ["send", "sned", "sned"] {
        rig.data(client, &format!("{{\"type\":1,\"target\":\"{method}\",\"arguments\":[]}}\x1e"));
    }
    assert_eq!(rig.unmatched, ["sned"]);
    for _ in 0..6 {
        rig.pass(Millis(10_000));
        rig.data(client, "{\"type\":6}\x1e");
    }
    rig.data(client, "{\"type\":1,\"target\":\"Send\",\"arguments\":[]}\x1e");
    assert_eq!(rig.unmatched, ["sned", "Send"]);
}
