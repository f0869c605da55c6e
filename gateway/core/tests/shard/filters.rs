//! Filters in the message path: who waits for them, and what their verdicts do.

use hubgate_core::CloseCause;
use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{FilterMessage, MessageKind, Origin, Refusal, Subject, Targets, Verdict};
use hubgate_core::id::{PluginName, ServerId};
use hubgate_core::mode::Mode;
use hubgate_core::time::Millis;
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::service::{
    BroadcastData, ClientInvocation, CloseConnection, HandshakeRequest, MultiConnectionData, ServiceMessage,
};
use proptest::prelude::*;

use crate::rig::{Client, Rig, Server, default_mode, filtered, json, settings};

const CALL: &str = "{\"type\":1, \"invocationId\":\"1\",\"target\":\"send\",\"arguments\":[ 1.0 ]}\x1e";
const PING: &str = "{\"type\":6}\x1e";

fn serverless() -> (Rig, Client) {
    let mut rig = Rig::new(1, filtered(Mode::Serverless, Targets::All));
    let client = rig.connect(0, Some("ann"));
    (rig, client)
}

fn proxied(shards: u16) -> (Rig, Client, Server) {
    let mut rig = Rig::new(shards, filtered(Mode::Default, Targets::All));
    let server = rig.server(0, "s", 0);
    let (client, _) = rig.connect_proxied(usize::from(shards) - 1, Some("ann"), &[server]);
    (rig, client, server)
}

fn call(target: &str, arguments: &str) -> FilterMessage {
    FilterMessage {
        kind: MessageKind::Invocation,
        target: Some(target.to_owned()),
        content: Some(Payload::Json(JsonText::parse_array(arguments.to_owned()).expect("an array"))),
        error: None,
    }
}

fn completion(result: &str) -> FilterMessage {
    FilterMessage { kind: MessageKind::Completion, target: None, content: Some(json(result)), error: None }
}

fn send(to: Target, text: &str) -> Action {
    let arguments = Payload::Json(JsonText::parse_array(format!("[\"{text}\"]")).expect("an array"));
    Action::Send { to, message: Outgoing::call("said".to_owned(), arguments), except: Default::default() }
}

fn broadcast(text: &str) -> String {
    format!("{{\"type\":1,\"target\":\"said\",\"arguments\":[\"{text}\"]}}\x1e")
}

fn says_to_all(rig: &mut Rig, server: Server, text: &str) {
    let message = broadcast(text);
    let payloads = vec![("json", message.as_bytes())];
    rig.says(server, &ServiceMessage::BroadcastData(BroadcastData { payloads, ..BroadcastData::default() }));
}

#[test]
fn what_passes_reaches_the_hub_server_byte_for_byte() {
    let (mut rig, client, server) = proxied(2);
    rig.data(client, CALL);
    assert_eq!(rig.told(server), Vec::<String>::new());
    assert_eq!(rig.inspected().message, call("send", "[ 1.0 ]"));
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(server), [format!("data {CALL}")]);
}

#[test]
fn nothing_of_a_client_overtakes_what_filters_look_at() {
    let (mut rig, client, server) = proxied(1);
    let text = [CALL, PING, CALL].concat();
    let (first, second) = text.split_at(CALL.len() + 4);
    rig.data(client, first);
    rig.data(client, second);
    assert_eq!(rig.inspections.len(), 1);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(server), [format!("data {CALL}"), format!("data {PING}")]);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(server), [format!("data {CALL}")]);
}

#[test]
fn a_client_is_not_read_while_its_filters_take_their_time() {
    let (mut rig, client, _) = proxied(1);
    rig.data(client, CALL);
    assert!(rig.paused.is_empty());
    rig.let_wait();
    assert_eq!(rig.paused, [(client.shard, client.transport)]);
    rig.judge(Verdict::Pass);
    assert!(rig.paused.is_empty());
}

#[test]
fn a_client_may_be_silent_while_its_filters_take_their_time() {
    let (mut rig, client) = serverless();
    rig.data(client, CALL);
    rig.let_wait();
    rig.pass(Millis(40_000));
    assert!(rig.finished.is_empty());
    rig.judge(Verdict::Pass);
    rig.pass(Millis(20_000));
    assert!(rig.finished.is_empty(), "its time begins anew");
    assert!(matches!(rig.answer(Ok(None), Vec::new()), UpstreamEvent::Invocation { .. }));
}

#[test]
fn what_a_filter_puts_in_its_place_goes_on_for_a_message() {
    let (mut rig, client, server) = proxied(1);
    rig.data(client, CALL);
    rig.judge(Verdict::Replace(call("sent", "[2]")));
    let replaced = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"sent\",\"arguments\":[2]}\x1e";
    assert_eq!(rig.told(server), [format!("data {replaced}")]);

    let (mut rig, client) = serverless();
    rig.data(client, CALL);
    rig.judge(Verdict::Replace(call("sent", "[2]")));
    let UpstreamEvent::Invocation { target, arguments, .. } = rig.answer(Ok(None), Vec::new()) else {
        panic!("upstream is called");
    };
    assert_eq!((&*target, &*arguments.borrow().to_json()), ("sent", "[2]"));
}

#[test]
fn who_waits_for_an_answer_gets_an_error_for_what_does_not_pass() {
    let check = |verdict: Verdict, error: &str| {
        let completion = format!("{{\"type\":3,\"invocationId\":\"1\",\"error\":\"{error}\"}}");
        let (mut rig, client, server) = proxied(2);
        rig.data(client, CALL);
        rig.judge(verdict.clone());
        assert_eq!(rig.received(client), std::slice::from_ref(&completion));
        assert_eq!(rig.told(server), Vec::<String>::new());
        let (mut rig, client) = serverless();
        rig.data(client, CALL);
        rig.judge(verdict);
        assert_eq!(rig.received(client), [completion]);
        assert!(rig.calls.is_empty());
    };
    check(Verdict::Refuse(Refusal::Rejected("No.".to_owned())), "No.");
    check(Verdict::Refuse(Refusal::Dropped), "Failed to invoke 'send': a filter of the hub dropped it.");
    check(
        Verdict::Refuse(Refusal::Failed(UpstreamFailure::TimedOut)),
        "Failed to invoke 'send': a filter of the hub took too long and was stopped.",
    );
}

#[test]
fn a_hub_server_that_waits_for_a_result_gets_an_error_for_one_that_does_not_pass() {
    let (mut rig, client, server) = proxied(1);
    rig.data(client, "{\"type\":3,\"invocationId\":\"7\",\"result\":1}\x1e");
    assert_eq!(rig.inspected().message, completion("1"));
    rig.judge(Verdict::Refuse(Refusal::Rejected("No.".to_owned())));
    assert_eq!(rig.told(server), ["data {\"type\":3,\"invocationId\":\"7\",\"error\":\"No.\"}\x1e"]);
}

#[test]
fn a_filter_can_close_the_sender() {
    let (mut rig, client) = serverless();
    rig.data(client, CALL);
    rig.judge(Verdict::Close("Go away.".to_owned()));
    assert_eq!(rig.received(client), ["{\"type\":7,\"error\":\"Go away.\"}"]);
    assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::ClosedByRequest);
}

#[test]
fn a_filter_sees_the_methods_that_it_wants_alone() {
    let mut rig = Rig::new(1, filtered(Mode::Default, Targets::OneOf(vec!["Send".to_owned()])));
    let server = rig.server(0, "s", 0);
    let (client, _) = rig.connect_proxied(0, None, &[server]);
    let other = CALL.replace("send", "other");
    rig.data(client, &other);
    assert_eq!(rig.told(server), [format!("data {other}")]);
    rig.data(client, CALL);
    assert_eq!(rig.inspections.len(), 1);
}

#[test]
fn what_is_malformed_never_reaches_the_hub_server_past_a_filter() {
    let (mut rig, client, server) = proxied(1);
    rig.data(client, "{\"type\":1,\"target\":1}\x1e");
    assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::BadRequest);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
}

#[test]
fn a_message_whose_beginning_was_passed_on_is_passed_on_to_its_end_when_filters_come() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "s", 0);
    let (client, _) = rig.connect_proxied(0, None, &[server]);
    let (begin, end) = CALL.split_at(20);
    rig.data(client, begin);
    rig.configure(filtered(Mode::Default, Targets::All));
    rig.data(client, &[end, &CALL[..20]].concat());
    assert_eq!(rig.told(server), [format!("data {begin}"), format!("data {end}")]);
    rig.configure(default_mode());
    rig.data(client, &CALL[20..]);
    assert_eq!(rig.told(server), [format!("data {CALL}")]);
}

#[test]
fn a_delivery_is_seen_once_whomever_it_is_for() {
    let (mut rig, client, server) = proxied(2);
    let (other, _) = rig.connect_proxied(0, None, &[server]);
    rig.run(0, vec![send(Target::All, "a")]);
    let Subject::Delivery { to, origin, .. } = &rig.inspected().subject else { panic!("a delivery") };
    assert_eq!((to.as_slice(), origin), (&[Target::All][..], &Origin::Rest));
    assert!(rig.answers.is_empty());
    rig.judge(Verdict::Replace(call("said", "[\"b\"]")));
    for client in [client, other] {
        assert_eq!(rig.received(client), ["{\"type\":1,\"target\":\"said\",\"arguments\":[\"b\"]}"]);
    }
    assert_eq!(rig.answers.len(), 1);

    let message = broadcast("c");
    let ids = [client.id, other.id];
    let connection_ids = ids.iter().map(|id| id.as_str()).collect();
    let payloads = vec![("json", message.as_bytes())];
    let many = MultiConnectionData { connection_ids, payloads, ..MultiConnectionData::default() };
    rig.says(server, &ServiceMessage::MultiConnectionData(many));
    assert_eq!(rig.inspections.len(), 1);
    let Subject::Delivery { to, origin, .. } = &rig.inspected().subject else { panic!("a delivery") };
    assert_eq!(to.as_slice(), ids.map(Target::Connection));
    assert_eq!(*origin, Origin::HubServer(ServerId::new("s")));
    rig.judge(Verdict::Close("Enough.".to_owned()));
    assert_eq!(rig.finished.len(), 2);
}

#[test]
fn what_a_hub_server_says_next_waits_behind_what_filters_look_at() {
    let (mut rig, client, server) = proxied(2);
    says_to_all(&mut rig, server, "a");
    rig.let_wait();
    assert_eq!(rig.paused_servers, [server.id]);
    rig.answers(server, client, PING);
    says_to_all(&mut rig, server, "b");
    assert_eq!(rig.received(client), Vec::<String>::new());
    rig.judge(Verdict::Pass);
    assert!(rig.paused_servers.is_empty());
    assert_eq!(rig.received(client), [broadcast("a").trim_end_matches('\x1e'), "{\"type\":6}"]);
    rig.judge(Verdict::Refuse(Refusal::Dropped));
    assert_eq!(rig.received(client), Vec::<String>::new());
    assert!(rig.inspections.is_empty());
}

#[test]
fn what_a_client_gets_next_waits_behind_what_filters_look_at() {
    let (mut rig, client, server) = proxied(2);
    rig.answers(server, client, "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e");
    assert_eq!(rig.inspected().message, completion("1"));
    says_to_all(&mut rig, server, "a");
    // The broadcast's own inspection is on the server's shard.
    let second = rig.inspections.pop_back().expect("the broadcast is looked at");
    rig.inspections.push_front(second);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), Vec::<String>::new());
    rig.judge(Verdict::Replace(completion("2")));
    assert_eq!(
        rig.received(client),
        ["{\"type\":3,\"invocationId\":\"1\",\"result\":2}", broadcast("a").trim_end_matches('\x1e')]
    );
}

#[test]
fn a_hub_server_ends_its_client_behind_what_it_said_before() {
    let (mut rig, client, server) = proxied(1);
    rig.answers(server, client, "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e");
    let close = CloseConnection { connection_id: client.id.as_str(), ..CloseConnection::default() };
    rig.says(server, &ServiceMessage::CloseConnection(close));
    assert!(rig.finished.is_empty());
    rig.judge(Verdict::Pass);
    let received = rig.received(client);
    assert_eq!(received, ["{\"type\":3,\"invocationId\":\"1\",\"result\":1}", "{\"type\":7}"]);
    assert_eq!(rig.finished.len(), 1);
}

#[test]
fn more_than_may_be_held_for_a_client_while_filters_take_their_time_closes_it_as_slow() {
    let (mut rig, client, server) = proxied(1);
    rig.answers(server, client, "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e");
    for _ in 0..10 {
        rig.answers(server, client, &PING.repeat(20));
    }
    rig.judge(Verdict::Pass);
    assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::SlowClient);
}

const ANSWER: &str = "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e";

/// A call of a client by the hub server `s`.
fn asks(rig: &mut Rig, server: Server, client: Client) {
    let call = b"{\"type\":1,\"invocationId\":\"7\",\"target\":\"ask\",\"arguments\":[]}\x1e";
    rig.says(
        server,
        &ServiceMessage::ClientInvocation(ClientInvocation {
            invocation_id: "7",
            connection_id: client.id.as_str(),
            caller_server_id: "s",
            payloads: vec![("json", call)],
            ..ClientInvocation::default()
        }),
    );
}

#[test]
fn a_client_learns_why_its_completion_did_not_come_and_a_hub_server_why_its_call_did_not_go() {
    let check = |refusal: Refusal, to_client: &str, to_server: &str| {
        let (mut rig, client, server) = proxied(2);
        rig.answers(server, client, ANSWER);
        rig.judge(Verdict::Refuse(refusal.clone()));
        let completion = format!("{{\"type\":3,\"invocationId\":\"1\",\"error\":\"{to_client}\"}}");
        assert_eq!(rig.received(client), [completion]);
        asks(&mut rig, server, client);
        rig.judge(Verdict::Refuse(refusal));
        assert_eq!(rig.told(server), [format!("failed 7: {to_server}")]);
        assert_eq!(rig.received(client), Vec::<String>::new());
    };
    check(Refusal::Rejected("No.".to_owned()), "No.", "No.");
    check(
        Refusal::Dropped,
        "The result cannot be passed on: a filter of the hub dropped it.",
        "Failed to invoke 'ask': a filter of the hub dropped it.",
    );
    check(
        Refusal::Failed(UpstreamFailure::Busy),
        "The result cannot be passed on: a filter of the hub is busy; try again later.",
        "Failed to invoke 'ask': a filter of the hub is busy; try again later.",
    );
}

#[test]
fn a_filter_may_change_what_a_hub_server_asks_a_client() {
    let (mut rig, client, server) = proxied(1);
    asks(&mut rig, server, client);
    rig.judge(Verdict::Replace(call("ask", "[1]")));
    let replaced = "{\"type\":1,\"invocationId\":\"7\",\"target\":\"ask\",\"arguments\":[1]}";
    assert_eq!(rig.received(client), [replaced]);
}

#[test]
fn a_hub_server_that_asks_a_client_is_answered_whatever_becomes_of_the_client_and_its_filters() {
    let ended = "failed 7: The connection ended before it answered.".to_owned();
    let check = |what: &str, happens: &dyn Fn(&mut Rig, Client, Server)| {
        let (mut rig, client, server) = proxied(2);
        happens(&mut rig, client, server);
        assert!(rig.told(server).contains(&ended), "{what}");
        while !rig.inspections.is_empty() {
            rig.judge(Verdict::Pass);
        }
        assert_eq!(rig.told(server), Vec::<String>::new(), "{what}");
    };
    check("the filter closes the client", &|rig, client, server| {
        asks(rig, server, client);
        rig.judge(Verdict::Close("Enough.".to_owned()));
    });
    check("the client leaves while the filter looks at the call", &|rig, client, server| {
        asks(rig, server, client);
        rig.gone(client, CloseCause::Normal);
    });
    check("the client leaves while the call is held back", &|rig, client, server| {
        rig.answers(server, client, ANSWER);
        asks(rig, server, client);
        rig.gone(client, CloseCause::Normal);
    });
    check("more is held back than may be", &|rig, client, server| {
        rig.answers(server, client, ANSWER);
        asks(rig, server, client);
        (0..10).for_each(|_| rig.answers(server, client, &PING.repeat(20)));
        rig.judge(Verdict::Pass);
        assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::SlowClient);
    });
    check("many small messages are held back", &|rig, client, server| {
        rig.answers(server, client, ANSWER);
        asks(rig, server, client);
        (0..10).for_each(|_| rig.answers(server, client, PING));
        rig.judge(Verdict::Pass);
        assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::SlowClient);
    });
    check("the filter asks for the client's end and lets the call pass", &|rig, client, server| {
        asks(rig, server, client);
        rig.judge_and_ask(Verdict::Pass, vec![close(client)]);
    });
}

#[test]
fn a_call_whose_time_is_over_is_not_made_when_its_turn_comes() {
    let (mut rig, client, server) = proxied(1);
    rig.answers(server, client, ANSWER);
    asks(&mut rig, server, client);
    rig.pass_with_pings(Millis(600_001), &[server]);
    assert!(rig.told(server).contains(&"failed 7: The connection did not answer in time.".to_owned()));
    rig.received(client);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), [ANSWER.trim_end_matches('\x1e')]);
    assert!(rig.inspections.is_empty());
}

fn close(client: Client) -> Action {
    let target = Target::Connection(client.id);
    Action::Close { target, except: Vec::new(), reason: None, allow_reconnect: false }
}

#[test]
fn a_message_of_a_client_that_its_filter_has_closed_goes_nowhere() {
    let (mut rig, client, server) = proxied(1);
    rig.data(client, CALL);
    rig.judge_and_ask(Verdict::Pass, vec![close(client)]);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
    assert!(rig.calls.is_empty());

    let (mut rig, client) = serverless();
    rig.data(client, CALL);
    rig.judge_and_ask(Verdict::Pass, vec![close(client)]);
    assert!(matches!(rig.answer(Ok(None), Vec::new()), UpstreamEvent::Disconnected { .. }));
    assert!(rig.calls.is_empty());
}

#[test]
fn what_was_sent_to_a_client_reaches_it_before_another_sender_closes_it() {
    let (mut rig, client, server) = proxied(1);
    rig.answers(server, client, ANSWER);
    rig.run(0, vec![send(Target::All, "a")]);
    let last = rig.inspections.pop_back().expect("the send is looked at");
    rig.inspections.push_front(last);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), Vec::<String>::new());
    rig.run(0, vec![close(client)]);
    assert_eq!(rig.received(client), [broadcast("a").trim_end_matches('\x1e'), "{\"type\":7}"]);
}

#[test]
fn a_client_whose_end_is_held_back_moves_to_no_other_server() {
    let mut rig = Rig::new(1, filtered(Mode::Default, Targets::All));
    let servers = [rig.server(0, "a", 2), rig.server(0, "b", 2)];
    let (client, server) = rig.connect_proxied(0, None, &servers);
    rig.answers(server, client, ANSWER);
    let end = CloseConnection { connection_id: client.id.as_str(), ..CloseConnection::default() };
    rig.says(server, &ServiceMessage::CloseConnection(end));
    rig.server_gone(server);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), [ANSWER.trim_end_matches('\x1e'), "{\"type\":7}"]);
    for other in servers.into_iter().filter(|each| *each != server) {
        assert_eq!(rig.told(other), Vec::<String>::new());
    }
}

#[test]
fn what_a_client_said_reaches_the_server_that_it_moves_to_message_by_message() {
    let mut rig = Rig::new(1, filtered(Mode::Default, Targets::All));
    let servers = [rig.server(0, "a", 2), rig.server(0, "b", 2)];
    let (client, server) = rig.connect_proxied(0, None, &servers);
    let other = servers.into_iter().find(|each| *each != server).expect("there are two");
    let numbered = |number: u32| CALL.replace("1.0", &number.to_string());
    rig.data(client, &[numbered(1), numbered(2)].concat());
    rig.congested(server, true);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(server), [format!("data {}", numbered(1))]);
    rig.answers(server, client, ANSWER);
    rig.judge(Verdict::Pass);
    rig.server_gone(server);
    rig.data(client, &numbered(3));
    rig.judge(Verdict::Pass);
    rig.judge(Verdict::Pass);
    let told = rig.told(other);
    assert_eq!(told[told.len() - 2..], [format!("data {}", numbered(2)), format!("data {}", numbered(3))]);
    assert!(rig.paused.is_empty());
}

#[test]
fn arguments_that_filters_cannot_read_do_not_pass_them_by() {
    let mut rig = Rig::new(1, filtered(Mode::Default, Targets::All));
    rig.takes_garbage = true;
    let server = rig.server(0, "s", 0);
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"messagepack\",\"version\":1}\x1e");
    rig.told(server);
    rig.answers(server, client, "{}\x1e");
    // A call of `m` whose only argument is an array in an array, 70 deep.
    let call = |depth: usize| {
        let body = [&[0x95, 1, 0x80, 0xa1, b'1', 0xa1, b'm', 0x91][..], &vec![0x91; depth], &[0x90]].concat();
        [&[body.len() as u8][..], &body].concat()
    };
    rig.bytes(client, &call(70));
    assert_eq!((rig.told(server), rig.inspections.len()), (Vec::new(), 0));
    rig.bytes(client, &call(7));
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(server).len(), 1, "the connection goes on");
}

#[test]
fn what_a_hub_server_says_and_filters_cannot_read_ends_the_client_so_that_it_does_not_wait() {
    let (mut rig, client, server) = proxied(1);
    let deep = format!("{{\"type\":3,\"invocationId\":\"1\",\"result\":{}{}}}\x1e", "[".repeat(70), "]".repeat(70));
    rig.answers(server, client, &deep);
    assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::ClosedByAppServer);
    assert_eq!(rig.received(client), ["{\"type\":7,\"error\":\"Connection closed with an error.\"}"]);
}

#[test]
fn a_management_connection_is_known_as_one_when_it_asks_a_client() {
    let (mut rig, client, _) = proxied(1);
    let weak = rig.open_server(0, "m");
    let handshake = HandshakeRequest { version: 1, connection_type: 2, ..HandshakeRequest::default() };
    rig.says(weak, &ServiceMessage::HandshakeRequest(handshake));
    asks(&mut rig, weak, client);
    let Subject::Delivery { origin, .. } = &rig.inspected().subject else { panic!("a delivery") };
    assert_eq!(*origin, Origin::Management);
}

#[test]
fn what_upstream_answers_is_seen_and_the_next_call_waits() {
    let (mut rig, client) = serverless();
    rig.data(client, &CALL.repeat(2));
    rig.judge(Verdict::Pass);
    rig.judge(Verdict::Pass);
    rig.answer(Ok(Some(json("1"))), vec![send(Target::All, "a")]);
    assert!(rig.calls.is_empty());
    let Subject::Delivery { origin, .. } = &rig.inspected().subject else { panic!("a delivery") };
    assert_eq!(*origin, Origin::Plugin(PluginName::new("plugin")));
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), [broadcast("a").trim_end_matches('\x1e')]);
    assert_eq!(rig.inspected().message, completion("1"));
    rig.judge(Verdict::Replace(completion("2")));
    assert_eq!(rig.received(client), ["{\"type\":3,\"invocationId\":\"1\",\"result\":2}"]);
    rig.answer(Err(UpstreamFailure::TimedOut), Vec::new());
    let error =
        "An unexpected error occurred invoking 'send' on the server. The handler took too long and was stopped.";
    assert_eq!(rig.received(client), [format!("{{\"type\":3,\"invocationId\":\"1\",\"error\":\"{error}\"}}")]);
}

#[test]
fn what_is_no_hub_message_is_not_sent_past_a_filter() {
    let (mut rig, client, server) = proxied(1);
    let payloads = vec![("json", &b"{}\x1e{}\x1e"[..])];
    rig.says(server, &ServiceMessage::BroadcastData(BroadcastData { payloads, ..BroadcastData::default() }));
    assert_eq!((rig.unreadable, rig.received(client)), (1, Vec::new()));
    let ping = vec![("json", &b"{\"type\":6}\x1e"[..])];
    let all = BroadcastData::default();
    rig.says(server, &ServiceMessage::BroadcastData(BroadcastData { payloads: ping, ..all }));
    assert_eq!((rig.unreadable, rig.received(client)), (1, Vec::new()), "the log has the first of them");
    assert_eq!(rig.shards[0].status().hubs[0].counters.server_messages_skipped, 2);
}

#[test]
fn a_verdict_about_a_client_that_has_left_does_nothing() {
    let (mut rig, client, server) = proxied(1);
    rig.data(client, CALL);
    rig.gone(client, CloseCause::Normal);
    let (next, _) = {
        rig.told(server);
        rig.connect_proxied(0, None, &[server])
    };
    assert_eq!(next.transport.index, client.transport.index, "it has taken its place");
    rig.judge(Verdict::Pass);
    assert_eq!((rig.told(server), rig.received(next)), (Vec::new(), Vec::new()));
}

/// Something that happens to a hub whose filters take their time.
#[derive(Debug, Clone)]
enum Event {
    /// A client says the next number, cut in two after so many bytes.
    ClientSays {
        client: usize,
        cut: usize,
    },
    /// The hub server says its next number to one client.
    ServerSays {
        client: usize,
    },
    /// The hub server says its next number to all.
    Broadcast,
    /// Filters let a message pass that they look at, or make it wait.
    Judge {
        which: usize,
    },
    Wait {
        which: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3usize, 1..40usize).prop_map(|(client, cut)| Event::ClientSays { client, cut }),
        3 => (0..3usize).prop_map(|client| Event::ServerSays { client }),
        2 => Just(Event::Broadcast),
        6 => (0..8usize).prop_map(|which| Event::Judge { which }),
        1 => (0..8usize).prop_map(|which| Event::Wait { which }),
    ]
}

/// The filters that look at a message in some place of the queue come first.
fn put_first(rig: &mut Rig, which: usize) -> bool {
    let count = rig.inspections.len();
    if count > 0 {
        let chosen = rig.inspections.remove(which % count).expect("it is within bounds");
        rig.inspections.push_front(chosen);
    }
    count > 0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_filters_wait_for_nothing_is_lost_doubled_or_out_of_order(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut settings = filtered(Mode::Default, Targets::All);
        settings.limits.held = 1 << 20;
        let mut rig = Rig::new(2, settings);
        let server = rig.server(0, "s", 0);
        let clients: Vec<Client> = (0..3).map(|index| rig.connect_proxied(index % 2, None, &[server]).0).collect();
        let (mut said, mut next) = ([0u32; 3], 0u32);
        let mut expected: Vec<Vec<String>> = vec![Vec::new(); 3];
        for event in events {
            match event {
                Event::ClientSays { client, cut } => {
                    let number = said[client];
                    let call = format!("{{\"type\":1,\"target\":\"c{client}\",\"arguments\":[{number}]}}\x1e");
                    let (begin, end) = call.split_at(cut.min(call.len()));
                    rig.data(clients[client], begin);
                    rig.data(clients[client], end);
                    said[client] += 1;
                }
                Event::ServerSays { client } => {
                    rig.answers(server, clients[client], &broadcast(&next.to_string()));
                    expected[client].push(broadcast(&next.to_string()));
                    next += 1;
                }
                Event::Broadcast => {
                    says_to_all(&mut rig, server, &next.to_string());
                    expected.iter_mut().for_each(|each| each.push(broadcast(&next.to_string())));
                    next += 1;
                }
                Event::Judge { which } if put_first(&mut rig, which) => rig.judge(Verdict::Pass),
                Event::Wait { which } if put_first(&mut rig, which) => rig.let_wait(),
                Event::Judge { .. } | Event::Wait { .. } => {}
            }
        }
        while !rig.inspections.is_empty() {
            rig.judge(Verdict::Pass);
        }
        for (client, expected) in clients.iter().zip(expected) {
            let received: Vec<String> = rig.received(*client).into_iter().map(|text| text + "\x1e").collect();
            prop_assert_eq!(received, expected);
        }
        let told = rig.told(server);
        for (client, said) in said.into_iter().enumerate() {
            let own = format!("\"target\":\"c{client}\"");
            let heard: Vec<&String> = told.iter().filter(|text| text.contains(&own)).collect();
            prop_assert_eq!(heard.len(), said as usize);
            for (number, text) in heard.into_iter().enumerate() {
                let arguments = format!("[{number}]");
                prop_assert!(text.contains(&arguments), "{} is number {}", text, number);
            }
        }
        prop_assert!(rig.paused.is_empty() && rig.paused_servers.is_empty());
    }
}

#[test]
fn a_hub_without_filters_shows_nothing() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.data(client, CALL);
    rig.answer(Ok(None), vec![send(Target::All, "a")]);
    assert!(rig.inspections.is_empty());
}

#[test]
fn while_filters_look_at_a_message_nothing_more_of_its_client_is_taken() {
    let mut rig = Rig::new(1, filtered(Mode::Serverless, Targets::All));
    let client = rig.connect(0, None);
    let call = "{\"type\":1,\"target\":\"m\",\"arguments\":[]}\x1e";
    let said = call.repeat(1_000);
    let mut rest = said.as_bytes();
    for left in (990..1_000).rev() {
        rig.some_bytes(client, &mut rest, 16);
        assert_eq!(rest.len(), left * call.len());
        rig.some_bytes(client, &mut rest, 16);
        assert_eq!(rest.len(), left * call.len(), "one is looked at");
        rig.judge(Verdict::Refuse(Refusal::Dropped));
        assert!(rig.inspections.is_empty(), "what was not taken has not been read");
    }
}
