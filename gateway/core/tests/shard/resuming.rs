//! Clients that outlive their transports: what waits for them, what they get when they are back, and what ends them meanwhile.

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::UpstreamEvent;
use hubgate_core::filter::{Targets, Verdict};
use hubgate_core::id::{GroupName, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::settings::{HubSettings, Settings};
use hubgate_core::time::Millis;
use hubgate_core::{ClientTimes, CloseCause, Input, Outgoing, Reconnect, ResumeOutcome, ResumeRefusal};
use hubgate_wire::service::{BroadcastData, ServiceMessage};

use crate::proxied::fin;
use crate::rig::{Client, Rig, Server, default_mode, filtered, hub, json, settings};

const PING: &str = "data {\"type\":6}\x1e";
const CLOSED: &str = r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;
/// With what it costs to keep it, a third of what may be kept in these tests.
const LARGE: usize = 1_400;

fn rig_of(settings: Settings) -> Rig {
    let mut rig = Rig::new(2, settings);
    rig.reconnect = Reconnect::Stateful;
    rig
}

/// A client of a serverless hub, and its rig.
fn serverless() -> (Rig, Client) {
    let mut rig = rig_of(settings());
    let client = rig.connect(1, Some("ann"));
    (rig, client)
}

/// A client of a hub server in this mode.
fn proxied(mode: Mode) -> (Rig, Server, Client) {
    let other_hubs = HubSettings { mode, filters: Vec::new(), messages_per_second: 0 };
    let mut rig = rig_of(Settings { other_hubs, ..settings() });
    let server = rig.server(0, "a", 1);
    let (client, _) = rig.connect_proxied(1, Some("ann"), &[server]);
    (rig, server, client)
}

fn send(rig: &mut Rig, to: Target, text: &str) {
    let message = Outgoing::call("said".to_owned(), json(&format!("[\"{text}\"]")));
    rig.run(0, vec![Action::Send { to, message, except: Default::default() }]);
}

fn said(text: &str) -> String {
    format!(r#"{{"type":1,"target":"said","arguments":["{text}"]}}"#)
}

fn sequence(number: u64) -> String {
    format!(r#"{{"type":9,"sequenceId":{number}}}"#)
}

fn says(rig: &mut Rig, client: Client, message: &str) {
    rig.data(client, &format!("{message}\x1e"));
}

fn acknowledges(rig: &mut Rig, client: Client, number: u64) {
    says(rig, client, &format!(r#"{{"type":8,"sequenceId":{number}}}"#));
}

/// The client comes back, and goes on with this message. Gives what it gets.
fn comes_back(rig: &mut Rig, client: &mut Client, with: u64) -> Vec<String> {
    rig.resume(client);
    let got = rig.received(*client);
    says(rig, *client, &sequence(with));
    got
}

fn may_resume(rig: &Rig, client: Client, user: &str) -> Result<(), ResumeRefusal> {
    rig.shards[client.shard].may_resume(client.id, &hub("chat"), Some(&UserId::new(user)), rig.now)
}

fn outcomes(rig: &Rig, shard: usize, outcome: ResumeOutcome) -> u64 {
    rig.shards[shard].status().hubs.iter().map(|hub| hub.counters.resumes[outcome as usize]).sum()
}

fn waiting(rig: &Rig, shard: usize) -> usize {
    rig.shards[shard].status().hubs.iter().map(|hub| hub.waiting_clients).sum()
}

#[test]
fn what_is_sent_to_a_client_while_it_is_away_comes_in_order_and_once_when_it_is_back() {
    let (mut rig, mut client) = serverless();
    let join = Action::Join {
        member: Member::Connection(client.id),
        group: GroupName::new("g"),
        ttl_seconds: None,
        plugin: None,
    };
    rig.run(0, vec![join]);
    rig.invoke(client, "1", "m");
    rig.cut(client);
    assert_eq!((waiting(&rig, 1), rig.calls.len()), (1, 1), "its call goes on, and nobody hears of the cut");
    send(&mut rig, Target::All, "all");
    rig.answer(Ok(Some(json("7"))), Vec::new());
    for (to, text) in [
        (Target::Group(GroupName::new("g")), "group"),
        (Target::User(UserId::new("ann")), "user"),
        (Target::Connection(client.id), "one"),
    ] {
        send(&mut rig, to, text);
    }
    let answer = r#"{"type":3,"invocationId":"1","result":7}"#.to_owned();
    let all = [sequence(1), said("all"), answer, said("group"), said("user"), said("one")];
    assert_eq!(comes_back(&mut rig, &mut client, 1), all);
    assert_eq!((waiting(&rig, 1), outcomes(&rig, 1, ResumeOutcome::Resumed)), (0, 1));
    assert_eq!(rig.received(client), [r#"{"type":8,"sequenceId":1}"#], "it may not know that its call has come");
    send(&mut rig, Target::All, "live");
    assert_eq!(rig.received(client), [said("live")]);
    acknowledges(&mut rig, client, 6);
    send(&mut rig, Target::All, "last");
    rig.received(client);
    rig.cut(client);
    assert_eq!(comes_back(&mut rig, &mut client, 1), [sequence(7), said("last")]);
}

#[test]
fn what_a_client_says_again_is_done_once_and_the_half_of_a_message_that_came_is_forgotten() {
    let (mut rig, mut client) = serverless();
    rig.invoke(client, "1", "m");
    rig.answer(Ok(None), Vec::new());
    rig.data(client, r#"{"type":1,"invocationId":"2","tar"#);
    rig.cut(client);
    comes_back(&mut rig, &mut client, 1);
    rig.invoke(client, "1", "m");
    assert!(rig.calls.is_empty());
    rig.invoke(client, "2", "m");
    assert_eq!(rig.calls.len(), 1);
    rig.received(client);
    rig.pass(Millis(1_000));
    assert_eq!(rig.received(client), [r#"{"type":8,"sequenceId":2}"#]);
}

#[test]
fn disconnected_is_told_when_the_grace_ends_and_not_at_the_cut() {
    let (mut rig, client) = serverless();
    rig.cut(client);
    rig.pass(Millis(29_750));
    assert!(rig.calls.is_empty() && rig.ended_waiting.is_empty());
    rig.pass(Millis(500));
    assert_eq!(rig.ended_waiting, [(client.id, CloseCause::TransportLost)]);
    let event = rig.answer(Ok(None), Vec::new());
    assert!(matches!(&event, UpstreamEvent::Disconnected { .. }), "{event:?}");
    assert_eq!((&rig.forgotten[..], waiting(&rig, 1)), (&[(1, client.id)][..], 0));
    assert_eq!(may_resume(&rig, client, "ann"), Err(ResumeRefusal::Unknown));
    assert_eq!(outcomes(&rig, 1, ResumeOutcome::GraceEnded), 1);
}

#[test]
fn only_a_transport_that_broke_is_outlived() {
    for cause in [CloseCause::Normal, CloseCause::BadRequest, CloseCause::SlowClient, CloseCause::InternalError] {
        let (mut rig, client) = serverless();
        rig.gone(client, cause);
        assert_eq!((waiting(&rig, 1), rig.calls.len()), (0, 1), "{cause:?}: disconnected is told");
    }
    let (mut rig, client) = serverless();
    says(&mut rig, client, r#"{"type":7}"#);
    rig.cut(client);
    assert_eq!((waiting(&rig, 1), rig.calls.len()), (0, 1), "it has said goodbye");
    let mut rig = Rig::new(2, settings());
    rig.reconnect = Reconnect::Stateful;
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    rig.answer(Ok(None), Vec::new());
    rig.invoke(client, "1", "m");
    rig.answer(Ok(None), Vec::new());
    rig.pass(Millis(2_000));
    assert!(!rig.received(client).iter().any(|message| message.contains("sequenceId")), "version 1 knows no Ack");
    rig.cut(client);
    assert_eq!((waiting(&rig, 0), rig.calls.len()), (0, 1));
}

#[test]
fn a_silent_client_is_cut_off_and_may_come_back() {
    let (mut rig, mut client) = serverless();
    for _ in 0..4 {
        rig.pass(Millis(10_000));
    }
    assert_eq!((&rig.severed[..], waiting(&rig, 1)), (&[(1, client.transport)][..], 1));
    assert!(rig.finished.is_empty());
    rig.received(client);
    assert_eq!(comes_back(&mut rig, &mut client, 1), [sequence(1)]);
}

#[test]
fn a_half_open_transport_is_replaced_at_once_and_what_comes_late_of_it_is_ignored() {
    let (mut rig, client) = serverless();
    let mut later = client;
    send(&mut rig, Target::All, "a");
    rig.received(client);
    assert_eq!(comes_back(&mut rig, &mut later, 1), [sequence(1), said("a")]);
    assert_eq!(rig.severed, [(1, client.transport)]);
    rig.invoke(client, "1", "m");
    rig.cut(client);
    assert!(rig.calls.is_empty() && waiting(&rig, 1) == 0);
    rig.invoke(later, "1", "m");
    assert_eq!(rig.calls.len(), 1);
}

#[test]
fn who_may_resume_is_told_by_name() {
    let (mut rig, client) = serverless();
    assert_eq!(may_resume(&rig, client, "ann"), Ok(()));
    assert_eq!(may_resume(&rig, client, "bob"), Err(ResumeRefusal::OtherUser));
    let other = rig.shards[1].may_resume(client.id, &hub("other"), Some(&UserId::new("ann")), rig.now);
    assert_eq!(other, Err(ResumeRefusal::Unknown));
    let mut later = client;
    for _ in 0..50 {
        rig.resume(&mut later);
    }
    assert_eq!(may_resume(&rig, client, "ann"), Err(ResumeRefusal::TooOften));
    rig.reconnect = Reconnect::No;
    let plain = rig.connect(1, Some("ann"));
    assert_eq!(may_resume(&rig, plain, "ann"), Err(ResumeRefusal::NotStateful));
}

#[test]
fn a_client_that_is_waited_for_ends_at_once_by_whatever_ends_others() {
    type Deed = fn(&mut Rig, Client);
    let deeds: [(CloseCause, Deed); 4] = [
        (CloseCause::ServiceReload, |rig, client| rig.drain(client.shard)),
        (CloseCause::Unauthorized, |rig, _| rig.pass(Millis(10_250))),
        (CloseCause::ClosedByRequest, |rig, client| {
            let to = Target::Connection(client.id);
            rig.run(
                0,
                vec![Action::Close { target: to, reason: None, allow_reconnect: true, except: Default::default() }],
            );
        }),
        (CloseCause::ServiceModeSwitched, |rig, _| {
            rig.configure(default_mode());
            rig.pass(Millis(250));
        }),
    ];
    for (cause, deed) in deeds {
        let mut rig = rig_of(settings());
        rig.times = ClientTimes { handshake: None, expiry: Some(Millis(10_000)) };
        let client = rig.connect(1, Some("ann"));
        rig.cut(client);
        deed(&mut rig, client);
        assert_eq!(rig.ended_waiting, [(client.id, cause)]);
        assert_eq!((rig.calls.len(), waiting(&rig, 1)), (1, 0), "{cause:?}: disconnected is told");
        assert_eq!(may_resume(&rig, client, "ann"), Err(ResumeRefusal::Unknown));
        assert_eq!(rig.shards[1].kept_for_resumes(), 0);
    }
}

#[test]
fn what_is_kept_for_a_client_is_bounded_strictly_while_it_is_away_and_with_patience_while_it_is_there() {
    let text = "x".repeat(LARGE);
    let (mut rig, client) = serverless();
    rig.cut(client);
    (0..2).for_each(|_| send(&mut rig, Target::All, &text));
    assert!(rig.ended_waiting.is_empty());
    send(&mut rig, Target::All, &text);
    assert_eq!(rig.ended_waiting, [(client.id, CloseCause::SlowClient)]);

    let (mut rig, client) = serverless();
    (0..5).for_each(|_| send(&mut rig, Target::All, &text));
    assert!(rig.finished.is_empty(), "it has some seconds");
    acknowledges(&mut rig, client, 1);
    rig.pass(Millis(3_000));
    send(&mut rig, Target::All, &text);
    assert!(rig.finished.is_empty(), "it acknowledges");
    rig.pass(Millis(3_000));
    send(&mut rig, Target::All, &text);
    assert_eq!(rig.finished[&(1, client.transport)], CloseCause::SlowClient);
    assert_eq!(rig.received(client).last().map(String::as_str), Some(CLOSED));
}

#[test]
fn what_cannot_be_ends_a_connection_by_name() {
    for message in [r#"{"type":8,"sequenceId":1}"#, r#"{"type":9,"sequenceId":1}"#] {
        let (mut rig, client) = serverless();
        says(&mut rig, client, message);
        assert_eq!(rig.finished[&(1, client.transport)], CloseCause::BadRequest, "{message}");
    }
    for number in [0, 2] {
        let (mut rig, mut client) = serverless();
        rig.cut(client);
        comes_back(&mut rig, &mut client, number);
        assert_eq!(rig.finished[&(1, client.transport)], CloseCause::BadRequest, "{number}");
    }
}

#[test]
fn a_message_to_many_is_kept_once_for_all_of_them() {
    let (mut rig, _) = serverless();
    send(&mut rig, Target::All, &"x".repeat(LARGE));
    let of_one = rig.shards[1].kept_for_resumes();
    for _ in 0..9 {
        rig.connect(1, None);
    }
    send(&mut rig, Target::All, &"y".repeat(LARGE));
    let of_ten = rig.shards[1].kept_for_resumes() - of_one;
    assert!(of_ten < of_one + of_one / 4, "{of_ten} and {of_one}");
    let most = rig.shards[1].most_kept_for_resumes().expect("something is kept");
    assert!(most.kept > 2 * LARGE && most.part < most.kept, "{most:?}");
}

#[test]
fn a_hub_server_sees_nothing_of_a_cut_but_pings_and_that_the_client_is_back() {
    for mode in [Mode::Default, Mode::Classic] {
        let (mut rig, server, mut client) = proxied(mode);
        says(&mut rig, client, &said("before"));
        assert_eq!(rig.told(server), [format!("data {}\x1e", said("before"))]);
        rig.cut(client);
        assert!(rig.told(server).is_empty());
        for _ in 0..3 {
            rig.pass_with_pings(Millis(7_500), &[server]);
            let told: Vec<_> = rig.told(server).into_iter().filter(|message| message.starts_with("data")).collect();
            assert_eq!(told, [PING], "it would miss the client otherwise");
        }
        rig.answers(server, client, &format!("{}\x1e{{\"type\":6}}\x1e{}\x1e", said("a"), said("b")));
        assert_eq!(comes_back(&mut rig, &mut client, 1), [sequence(1), said("a"), said("b")], "{mode:?}");
        says(&mut rig, client, &said("before"));
        says(&mut rig, client, &said("after"));
        let told = rig.told(server);
        assert_eq!(told, [format!("back {}", client.id), format!("data {}\x1e", said("after"))]);
    }
}

#[test]
fn several_messages_of_a_hub_server_in_one_are_counted_as_several() {
    let (mut rig, server, mut client) = proxied(Mode::Default);
    let two = format!("{}\x1e{{\"type\":6}}\x1e{}\x1e", said("a"), said("b"));
    let payloads = vec![("json", two.as_bytes())];
    rig.says(server, &ServiceMessage::BroadcastData(BroadcastData { payloads, ..BroadcastData::default() }));
    rig.answers(server, client, &format!("{}\x1e", said("c")));
    acknowledges(&mut rig, client, 2);
    rig.received(client);
    rig.cut(client);
    assert_eq!(comes_back(&mut rig, &mut client, 1), [sequence(3), said("c")]);
}

#[test]
fn a_hub_server_that_leaves_ends_who_is_waited_for_and_one_that_hands_over_its_clients_does_not() {
    let (mut rig, server, client) = proxied(Mode::Default);
    rig.cut(client);
    fin(&mut rig, server, "fin:0");
    assert_eq!(rig.ended_waiting, [(client.id, CloseCause::ServerConnectionClosed)]);

    let (mut rig, old, mut client) = proxied(Mode::Default);
    rig.cut(client);
    let new = rig.server(1, "b", 1);
    fin(&mut rig, old, "fin:1");
    rig.pass(Millis(250));
    assert_eq!(rig.told(new)[0], format!("open {} from a", client.id));
    rig.answers(new, client, &format!("{}\x1e", said("new")));
    assert_eq!(comes_back(&mut rig, &mut client, 1), [sequence(1), said("new")]);
    says(&mut rig, client, &said("up"));
    assert_eq!(rig.told(new).last(), Some(&format!("data {}\x1e", said("up"))));
}

#[test]
fn the_hub_server_is_told_of_the_end_when_the_grace_is_over() {
    let (mut rig, server, client) = proxied(Mode::Default);
    rig.cut(client);
    rig.pass_with_pings(Millis(29_500), &[server]);
    assert!(!rig.told(server).contains(&format!("close {}", client.id)));
    rig.pass(Millis(1_000));
    assert!(rig.told(server).contains(&format!("close {}", client.id)));
    assert_eq!(rig.ended_waiting, [(client.id, CloseCause::TransportLost)]);
}

#[test]
fn filters_see_each_message_once_whatever_is_sent_again() {
    let mut rig = rig_of(filtered(Mode::Serverless, Targets::All));
    let mut client = rig.connect(1, Some("ann"));
    rig.invoke(client, "1", "m");
    rig.judge(Verdict::Pass);
    send(&mut rig, Target::All, "a");
    rig.judge(Verdict::Pass);
    rig.received(client);
    rig.cut(client);
    assert_eq!(comes_back(&mut rig, &mut client, 1), [sequence(1), said("a")]);
    rig.invoke(client, "1", "m");
    assert!(rig.inspections.is_empty());
    // One that filters look at when the cut comes is neither lost nor seen twice.
    rig.invoke(client, "2", "m");
    rig.cut(client);
    rig.judge(Verdict::Pass);
    comes_back(&mut rig, &mut client, 2);
    rig.invoke(client, "2", "m");
    assert!(rig.inspections.is_empty());
    rig.answer(Ok(None), Vec::new());
    rig.judge(Verdict::Pass);
    rig.answer(Ok(None), Vec::new());
    assert!(rig.calls.is_empty(), "each was called once");
}

#[test]
fn a_client_that_is_not_read_is_not_read_by_its_next_transport_either() {
    let (mut rig, mut client) = serverless();
    (0..6).for_each(|id| rig.invoke(client, &id.to_string(), "m"));
    assert_eq!(rig.paused, [(1, client.transport)], "too many of its calls wait");
    rig.cut(client);
    rig.paused.clear();
    comes_back(&mut rig, &mut client, 1);
    assert_eq!(rig.paused, [(1, client.transport)]);
    while !rig.calls.is_empty() {
        rig.answer(Ok(None), Vec::new());
    }
    assert!(rig.paused.is_empty());
}

#[test]
fn who_has_ended_meanwhile_is_not_gone_on_with() {
    let (mut rig, mut client) = serverless();
    rig.cut(client);
    rig.feed(1, Input::DrainNow);
    rig.resume(&mut client);
    assert_eq!(rig.severed, [(1, client.transport)]);
    rig.connect(1, None);
}
