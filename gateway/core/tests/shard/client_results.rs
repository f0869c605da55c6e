//! Plugins that ask clients and wait for what they answer.

use hubgate_core::filter::{FilterMessage, MessageKind, Origin, Refusal, Subject, Targets, Verdict};
use hubgate_core::id::{ConnectionId, PluginName};
use hubgate_core::mode::Mode;
use hubgate_core::question::{Answered, AskError, ClientAnswer, ClientQuestion, Ticket};
use hubgate_core::settings::Settings;
use hubgate_core::time::Millis;
use hubgate_core::{Addressees, CloseCause, Input, Order, Reconnect};

use crate::invocations::in_mode;
use crate::rig::{Client, PATIENCE, Rig, Waiting, at, default_mode, filtered, hub, json, settings};

type Asked = Ticket<ClientAnswer>;

/// A plugin on `shard` asks a connection of a hub for `arguments` back.
fn ask_in(rig: &mut Rig, shard: usize, name: &str, connection: ConnectionId) -> Asked {
    ask_for(rig, None, (shard, name, connection))
}

/// The same in an event of `caller`.
fn ask_for(rig: &mut Rig, caller: Option<Client>, (shard, name, connection): (usize, &str, ConnectionId)) -> Asked {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    let (caller, origin) = (caller.map(|caller| caller.id), Origin::Plugin(PluginName::new("plugin")));
    let (method, arguments) = ("add".to_owned(), json("[1.0]"));
    let question = ClientQuestion { connection, caller, origin, method, arguments };
    rig.feed(shard, Input::AskClient { hub: hub(name), question, deadline, ticket });
    ticket
}

fn ask(rig: &mut Rig, shard: usize, client: Client) -> Asked {
    ask_in(rig, shard, "chat", client.id)
}

/// What whoever asked was told, if it was.
fn told(rig: &mut Rig, asked: Asked) -> Option<ClientAnswer> {
    match rig.answers.remove(&asked.number())? {
        Answered::Client(reply) => Some(reply.answer.expect("the core answers every question")),
        other => panic!("another answer was asked for: {other:?}"),
    }
}

/// The id of the invocation that a client got last.
fn invocation(rig: &mut Rig, client: Client) -> String {
    let received = rig.received(client);
    let last = received.last().expect("it is asked");
    let (_, rest) = last.split_once(r#""invocationId":""#).expect("it is to answer");
    let (id, rest) = rest.split_once('"').expect("an id");
    assert_eq!(rest, r#","target":"add","arguments":[1.0]}"#);
    id.to_owned()
}

/// A client completes what it was asked: `content` is what the completion has beside its id.
fn complete(rig: &mut Rig, client: Client, id: &str, content: &str) {
    rig.data(client, &format!("{{\"type\":3,\"invocationId\":\"{id}\"{content}}}\x1e"));
}

fn failed(text: &str) -> Option<ClientAnswer> {
    Some(Err(AskError::Failed(text.to_owned())))
}

const LEFT: Option<ClientAnswer> = Some(Err(AskError::Left));
const TIMED_OUT: Option<ClientAnswer> = Some(Err(AskError::TimedOut));
const NO_SUCH_CONNECTION: Option<ClientAnswer> = Some(Err(AskError::NoSuchConnection));

#[test]
fn a_client_answers_with_a_value_with_none_or_with_its_error_on_its_own_shard_and_on_others() {
    let mut rig = Rig::new(2, settings());
    let client = rig.connect(1, None);
    for shard in [0, 1] {
        let [value, nothing, error] = [(); 3].map(|()| {
            let asked = ask(&mut rig, shard, client);
            (asked, invocation(&mut rig, client))
        });
        // In an order of its own.
        complete(&mut rig, client, &error.1, r#","error":"it cannot""#);
        complete(&mut rig, client, &nothing.1, "");
        complete(&mut rig, client, &value.1, r#","result":3.50"#);
        assert_eq!(told(&mut rig, value.0), Some(Ok(Some(json("3.50")))));
        assert_eq!(told(&mut rig, nothing.0), Some(Ok(None)));
        assert_eq!(told(&mut rig, error.0), failed("it cannot"));
    }
}

#[test]
fn only_a_client_of_the_hub_that_is_let_in_can_be_asked() {
    let mut rig = Rig::new(2, settings());
    let client = rig.connect(1, None);
    let connecting = rig.open(1, "chat", None);
    rig.data(connecting, "{\"protocol\":\"json\",\"version\":1}\x1e");
    for shard in [0, 1] {
        let nobody = ConnectionId::new(client.id.owner(), [99; 12]);
        for (name, connection) in [("other", client.id), ("chat", nobody), ("chat", connecting.id)] {
            let asked = ask_in(&mut rig, shard, name, connection);
            assert_eq!(told(&mut rig, asked), NO_SUCH_CONNECTION, "{name} {connection:?}");
        }
    }
    assert_eq!(rig.received(client), Vec::<String>::new());
}

#[test]
fn a_client_that_a_hub_server_answers_is_asked_by_it_alone() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(0, None, &[server]);
    let asked = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, asked), failed("the connection is answered by a hub server, which asks it"));
    assert_eq!(rig.received(client), Vec::<String>::new());
}

#[test]
fn a_client_of_classic_mode_that_no_hub_server_answers_is_asked_as_one_without_any() {
    let mut rig = Rig::new(1, in_mode(Mode::Classic));
    let client = rig.connect(0, None);
    let asked = ask(&mut rig, 0, client);
    let id = invocation(&mut rig, client);
    complete(&mut rig, client, &id, r#","result":2"#);
    assert_eq!(told(&mut rig, asked), Some(Ok(Some(json("2")))));
    let asked = ask(&mut rig, 0, client);
    rig.gone(client, CloseCause::Normal);
    assert_eq!(told(&mut rig, asked), Some(Err(AskError::Left)));
}

#[test]
fn another_clients_completion_is_no_answer_and_neither_is_a_second_or_a_late_one() {
    let mut rig = Rig::new(1, settings());
    let (client, other) = (rig.connect(0, None), rig.connect(0, None));
    let asked = ask(&mut rig, 0, client);
    let id = invocation(&mut rig, client);
    complete(&mut rig, other, &id, r#","result":1"#);
    complete(&mut rig, client, "hubgate-7", r#","result":1"#);
    complete(&mut rig, client, "1", r#","result":1"#);
    assert_eq!(told(&mut rig, asked), None);
    complete(&mut rig, client, &id, r#","result":2"#);
    assert_eq!(told(&mut rig, asked), Some(Ok(Some(json("2")))));
    complete(&mut rig, client, &id, r#","result":3"#);
    let late = ask(&mut rig, 0, client);
    let id = invocation(&mut rig, client);
    rig.pass(PATIENCE);
    assert_eq!(told(&mut rig, late), TIMED_OUT);
    complete(&mut rig, client, &id, r#","result":4"#);
    assert_eq!(rig.answers.len(), 0);
}

#[test]
fn who_asks_a_client_of_a_shard_that_says_nothing_is_told_when_the_time_is_over() {
    let mut rig = Rig::new(2, settings());
    let client = rig.connect(1, None);
    rig.is_alone = true;
    let asked = ask(&mut rig, 0, client);
    rig.pass(PATIENCE - Millis(1));
    assert_eq!(told(&mut rig, asked), None);
    rig.pass(Millis(1));
    assert_eq!(told(&mut rig, asked), TIMED_OUT);
    // What the other shard makes of it reaches nobody.
    rig.reunite();
    let id = invocation(&mut rig, client);
    complete(&mut rig, client, &id, "");
    assert_eq!(rig.answers.len(), 0);
}

#[test]
fn who_asks_a_client_of_a_shard_that_has_ended_is_told_at_once() {
    let mut rig = Rig::new(2, settings());
    let client = rig.connect(1, None);
    rig.is_alone = true;
    let asked = ask(&mut rig, 0, client);
    let Waiting { to, order, .. } = rig.unanswered.pop().expect("it is ordered");
    assert!(matches!(order, Order::AskClient(_)));
    rig.feed(0, Input::Undelivered { to: Addressees::One(at(to)), order });
    assert_eq!(told(&mut rig, asked), NO_SUCH_CONNECTION);
}

#[test]
fn who_asks_a_client_that_leaves_is_told() {
    let mut rig = Rig::new(2, settings());
    let client = rig.connect(1, None);
    let asked = [0, 1].map(|shard| ask(&mut rig, shard, client));
    rig.gone(client, CloseCause::TransportLost);
    for asked in asked {
        assert_eq!(told(&mut rig, asked), LEFT);
    }
    let asked = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, asked), NO_SUCH_CONNECTION);
}

#[test]
fn nobody_is_asked_for_a_client_that_has_left() {
    let mut rig = Rig::new(2, settings());
    let (caller, client) = (rig.connect(0, None), rig.connect(1, None));
    let before = ask_for(&mut rig, Some(caller), (0, "chat", client.id));
    let id = invocation(&mut rig, client);
    rig.gone(caller, CloseCause::TransportLost);
    let after = ask_for(&mut rig, Some(caller), (0, "chat", client.id));
    assert_eq!(
        told(&mut rig, after),
        failed("the client whose event this is has left: nobody is asked for it any more")
    );
    assert_eq!(rig.received(client), Vec::<String>::new());
    complete(&mut rig, client, &id, r#","result":1"#);
    assert_eq!(told(&mut rig, before), Some(Ok(Some(json("1")))), "it was asked before");
}

#[test]
fn who_asks_a_client_when_the_gateway_stops_is_told() {
    let mut rig = Rig::new(1, settings());
    let (client, other) = (rig.connect(0, None), rig.connect(0, None));
    rig.invoke(client, "1", "m");
    let asked = [client, other].map(|client| ask(&mut rig, 0, client));
    rig.drain(0);
    let id = invocation(&mut rig, client);
    complete(&mut rig, client, &id, r#","result":1"#);
    rig.said_all(client);
    rig.said_all(other);
    assert_eq!(told(&mut rig, asked[0]), Some(Ok(Some(json("1")))), "it is in the client's last words");
    assert_eq!(told(&mut rig, asked[1]), LEFT);
    // Nobody listens to it any more, although it is still there.
    let late = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, late), LEFT);
}

#[test]
fn who_asks_a_client_when_the_gateway_stops_at_once_is_told() {
    let mut rig = Rig::new(2, settings());
    let client = rig.connect(1, None);
    let asked = ask(&mut rig, 0, client);
    rig.feed(1, Input::DrainNow);
    assert_eq!(told(&mut rig, asked), LEFT);
}

#[test]
fn who_asks_a_client_that_its_hubs_new_mode_does_not_allow_is_told() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    let asked = ask(&mut rig, 0, client);
    rig.configure(default_mode());
    rig.pass(Millis(250));
    assert_eq!(told(&mut rig, asked), LEFT);
    assert_eq!(rig.finished.len(), 1);
}

/// A client of whose calls as many wait as make it read no more, of shards that allow 4 of them.
fn full(rig: &mut Rig) -> Client {
    let client = rig.connect(0, None);
    for id in 0..5 {
        rig.invoke(client, &id.to_string(), "m");
    }
    assert_eq!(rig.paused.len(), 1);
    client
}

#[test]
fn a_client_that_is_asked_is_read_although_its_calls_wait_until_it_has_answered() {
    let mut rig = Rig::new(1, settings());
    let client = full(&mut rig);
    let asked = ask(&mut rig, 0, client);
    assert_eq!(rig.paused.len(), 0);
    let id = invocation(&mut rig, client);
    rig.invoke(client, "5", "m");
    complete(&mut rig, client, &id, r#","result":1"#);
    assert_eq!(told(&mut rig, asked), Some(Ok(Some(json("1")))), "its calls have not had their turn");
    assert_eq!((rig.calls.len(), rig.paused.len()), (1, 1), "it is read no more");
}

#[test]
fn a_client_of_which_twice_as_many_calls_wait_is_asked_for_nothing_more_and_is_read_no_more() {
    let mut rig = Rig::new(1, settings());
    let client = full(&mut rig);
    let asked = [(); 2].map(|()| ask(&mut rig, 0, client));
    for id in 5..8 {
        rig.invoke(client, &id.to_string(), "m");
    }
    assert_eq!((told(&mut rig, asked[0]), rig.paused.len()), (None, 0));
    rig.invoke(client, "8", "m");
    assert_eq!(asked.map(|asked| told(&mut rig, asked)), [TIMED_OUT, TIMED_OUT]);
    assert_eq!(rig.paused.len(), 1);
    let again = ask(&mut rig, 0, client);
    assert_eq!((told(&mut rig, again), rig.paused.len()), (TIMED_OUT, 1));
    // Once fewer wait it is read, as ever.
    for _ in 0..9 {
        rig.answer(Ok(None), Vec::new());
    }
    assert_eq!(rig.paused.len(), 0);
}

#[test]
fn a_client_that_has_not_answered_a_thousand_questions_is_busy() {
    let mut rig = Rig::new(1, settings());
    let (client, other) = (rig.connect(0, None), rig.connect(0, None));
    let asked: Vec<Asked> = (0..1_000).map(|_| ask(&mut rig, 0, client)).collect();
    let more = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, more), Some(Err(AskError::Busy)));
    assert!(asked.iter().all(|asked| told(&mut rig, *asked).is_none()));
    let of_other = ask(&mut rig, 0, other);
    assert_eq!(told(&mut rig, of_other), None);
    let id = invocation(&mut rig, client);
    complete(&mut rig, client, &id, "");
    assert_eq!(told(&mut rig, asked[999]), Some(Ok(None)));
    let again = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, again), None);
}

fn filters() -> Settings {
    filtered(Mode::Serverless, Targets::All)
}

fn rejected(text: &str) -> Verdict {
    Verdict::Refuse(Refusal::Rejected(text.to_owned()))
}

#[test]
fn filters_look_at_what_a_client_is_asked_and_at_its_answer() {
    let mut rig = Rig::new(2, filters());
    let client = rig.connect(1, None);
    let asked = ask(&mut rig, 0, client);
    assert_eq!(rig.received(client), Vec::<String>::new(), "they have not said a word");
    let Subject::Delivery { origin: Origin::Plugin(plugin), .. } = &rig.inspected().subject else {
        panic!("it is sent by a plugin")
    };
    assert_eq!(plugin.as_str(), "plugin");
    let question = FilterMessage {
        kind: MessageKind::Invocation,
        target: Some("add".to_owned()),
        content: Some(json("[1.0]")),
        error: None,
    };
    assert_eq!(rig.inspected().message, question);
    rig.judge(Verdict::Replace(FilterMessage { target: Some("subtract".to_owned()), ..question }));
    let received = rig.received(client);
    assert!(received[0].contains(r#""target":"subtract""#), "{received:?}");
    let (_, id) = received[0].split_once(r#""invocationId":""#).expect("it is to answer");
    complete(&mut rig, client, &id[..id.find('"').unwrap()], r#","result":"secret""#);
    assert_eq!(told(&mut rig, asked), None, "they have not said a word of the answer");
    let answer =
        FilterMessage { kind: MessageKind::Completion, target: None, content: Some(json(r#""******""#)), error: None };
    rig.judge(Verdict::Replace(answer));
    assert_eq!(told(&mut rig, asked), Some(Ok(Some(json(r#""******""#)))));
}

#[test]
fn what_a_filter_says_no_to_fails_with_its_text() {
    let mut rig = Rig::new(1, filters());
    let client = rig.connect(0, None);
    let asked = ask(&mut rig, 0, client);
    rig.judge(rejected("not that"));
    assert_eq!(told(&mut rig, asked), failed("not that"));
    assert_eq!(rig.received(client), Vec::<String>::new());
    let asked = ask(&mut rig, 0, client);
    rig.judge(Verdict::Pass);
    let id = invocation(&mut rig, client);
    complete(&mut rig, client, &id, r#","result":1"#);
    rig.judge(rejected("not this"));
    assert_eq!(told(&mut rig, asked), failed("not this"));
    let asked = ask(&mut rig, 0, client);
    rig.judge(Verdict::Close("go".to_owned()));
    assert_eq!(told(&mut rig, asked), LEFT);
}

#[test]
fn a_client_that_leaves_while_filters_look_at_what_it_is_asked_is_asked_nothing() {
    let mut rig = Rig::new(1, filters());
    let client = rig.connect(0, None);
    let asked = ask(&mut rig, 0, client);
    rig.gone(client, CloseCause::TransportLost);
    assert_eq!(told(&mut rig, asked), LEFT);
    rig.answer(Ok(None), Vec::new());
    assert_eq!(rig.forgotten.len(), 1);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(client), Vec::<String>::new());
    let late = rig.connect(0, None);
    let asked = ask(&mut rig, 0, late);
    rig.pass(PATIENCE);
    assert_eq!(told(&mut rig, asked), TIMED_OUT);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.received(late), Vec::<String>::new(), "nobody waits for its answer");
}

#[test]
fn a_question_to_a_client_that_is_away_waits_for_it_and_its_answer_counts_once() {
    let mut rig = Rig::new(2, settings());
    rig.reconnect = Reconnect::Stateful;
    let mut client = rig.connect(1, None);
    rig.cut(client);
    let asked = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, asked), None);
    rig.resume(&mut client);
    let id = invocation(&mut rig, client);
    rig.data(client, "{\"type\":9,\"sequenceId\":1}\x1e");
    complete(&mut rig, client, &id, r#","result":3.50"#);
    assert_eq!(told(&mut rig, asked), Some(Ok(Some(json("3.50")))));
    let late = ask(&mut rig, 0, client);
    rig.cut(client);
    rig.pass(PATIENCE);
    assert_eq!(told(&mut rig, late), TIMED_OUT);
}
