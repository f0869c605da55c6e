//! Clients that leave while their calls wait for upstream.

use crate::rig::{Client, Rig, settings};
use hubgate_core::CloseCause;
use hubgate_core::event::UpstreamEvent;
use hubgate_core::settings::Settings;

/// A shard with one client for each list of calls: the first call of each runs, the others wait, and all clients have left.
fn departed(settings: Settings, calls: &[&[&str]]) -> (Rig, Vec<Client>) {
    let mut rig = Rig::new(1, settings);
    let clients: Vec<Client> = calls.iter().map(|_| rig.connect(0, None)).collect();
    for (client, calls) in clients.iter().zip(calls) {
        calls.iter().for_each(|method| rig.invoke(*client, "1", method));
    }
    clients.iter().for_each(|client| rig.gone(*client, CloseCause::TransportLost));
    (rig, clients)
}

/// Bounds that only the clients that have left can meet.
fn bounds(departed_bytes: usize, departed_calls: usize) -> Settings {
    let mut settings = settings();
    settings.limits.message = 10_000;
    settings.limits.queued_calls = 100;
    settings.limits.queued_bytes = 1 << 20;
    settings.limits.departed_bytes = departed_bytes;
    settings.limits.departed_calls = departed_calls;
    settings
}

fn name(event: &UpstreamEvent) -> String {
    match event {
        UpstreamEvent::Connected => "connected".to_owned(),
        UpstreamEvent::Disconnected { .. } => "disconnected".to_owned(),
        UpstreamEvent::Invocation { target, .. } => target.to_string(),
        UpstreamEvent::StreamCall(call) => call.target.to_string(),
        UpstreamEvent::Stream(event) => panic!("a stream: {event:?}"),
    }
}

fn running(rig: &Rig) -> Vec<String> {
    rig.calls.iter().map(|(_, _, event)| name(event)).collect()
}

/// Answers everything, oldest first; gives what upstream heard.
fn answer_all(rig: &mut Rig) -> Vec<String> {
    let mut heard = Vec::new();
    while !rig.calls.is_empty() {
        heard.push(name(&rig.answer(Ok(None), Vec::new())));
    }
    heard
}

fn dropped(rig: &Rig) -> u64 {
    rig.shards[0].status().hubs[0].counters.calls_dropped
}

#[test]
fn a_client_is_forgotten_once_upstream_has_heard_its_end_and_not_when_its_socket_closes() {
    let (mut rig, clients) = departed(bounds(1 << 20, 8), &[&["a", "b"]]);
    for event in ["a", "b", "disconnected"] {
        assert!(rig.forgotten.is_empty(), "before {event} was answered");
        assert_eq!(name(&rig.answer(Ok(None), Vec::new())), event);
    }
    assert_eq!(rig.forgotten, [(0, clients[0].id)]);
    assert!(rig.shards[0].is_empty());
}

#[test]
fn a_client_without_events_is_forgotten_when_its_transport_is_gone() {
    let mut settings = settings();
    settings.upstream.clear();
    let mut rig = Rig::new(1, settings);
    let client = rig.connect(0, None);
    rig.data(client, "{\"type\":7}\x1e");
    assert!(rig.finished.contains_key(&(0, client.transport)) && rig.forgotten.is_empty());
    rig.gone(client, CloseCause::Normal);
    assert_eq!(rig.forgotten, [(0, client.id)]);
}

#[test]
fn the_waiting_calls_of_all_clients_that_left_share_one_bound_and_the_greediest_loses_its_newest() {
    let big = "x".repeat(1_024);
    let (mut rig, _) = departed(bounds(2_700, 8), &[&["a", "small"], &["b", "1", "2", &big, "3"]]);
    // What the greedy client has waiting is more than half of the bound, and each further one makes it worse.
    assert_eq!((dropped(&rig), rig.told_of_drops), (0, 0));
    let other = rig.connect(0, None);
    for method in ["c", &big] {
        rig.invoke(other, "1", method);
    }
    rig.gone(other, CloseCause::TransportLost);
    assert_eq!((dropped(&rig), rig.told_of_drops), (2, 1));
    let heard = answer_all(&mut rig);
    let expected = ["a", "b", "c", "1", "2", "small", "disconnected"];
    for method in expected {
        assert!(heard.iter().any(|each| each == method), "{method}: {heard:?}");
    }
    assert!(!heard.iter().any(|each| each == "3"), "the newest call of the greedy client: {heard:?}");
    assert_eq!(heard.iter().filter(|each| **each == "disconnected").count(), 3);
    assert!(rig.shards[0].is_empty());
}

#[test]
fn the_log_hears_of_dropped_calls_once_until_there_is_room_again() {
    let mut rig = Rig::new(1, bounds(1_000, 8));
    for episode in 1..=2 {
        for _ in 0..2 {
            let client = rig.connect(0, None);
            ["a", "b", "c", "d", "e", "f"].iter().for_each(|method| rig.invoke(client, "1", method));
            rig.gone(client, CloseCause::TransportLost);
        }
        assert_eq!(rig.told_of_drops, episode);
        answer_all(&mut rig);
    }
    assert!(rig.shards[0].is_empty());
}

#[test]
fn few_calls_of_clients_that_left_run_at_once_and_their_clients_take_turns() {
    let (mut rig, _) = departed(bounds(1 << 20, 2), &[&["a1", "a2", "a3"], &["b1", "b2", "b3"], &["c1", "c2", "c3"]]);
    assert_eq!(running(&rig), ["a1", "b1", "c1"], "those that had begun");
    let mut heard = Vec::new();
    while !rig.calls.is_empty() {
        heard.push(name(&rig.answer(Ok(None), Vec::new())));
        let later =
            rig.calls.iter().filter(|(_, _, event)| !name(event).ends_with('1') && name(event) != "disconnected");
        assert!(later.count() <= 2, "{:?}", running(&rig));
    }
    let calls: Vec<&str> = heard.iter().map(String::as_str).filter(|each| *each != "disconnected").collect();
    assert_eq!(calls, ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"]);
    assert_eq!(heard.iter().filter(|each| **each == "disconnected").count(), 3);
    assert!(rig.shards[0].is_empty());
}

#[test]
fn a_client_that_is_there_does_not_wait_for_those_that_left() {
    let mut rig = Rig::new(1, bounds(1 << 20, 1));
    let (gone, here) = (rig.connect(0, None), rig.connect(0, None));
    ["a1", "a2", "a3"].iter().for_each(|method| rig.invoke(gone, "1", method));
    rig.gone(gone, CloseCause::TransportLost);
    rig.answer(Ok(None), Vec::new());
    rig.invoke(here, "1", "mine");
    assert_eq!(running(&rig), ["a2", "mine"]);
}

#[test]
fn nothing_is_left_of_a_client_that_leaves_before_upstream_refuses_it() {
    let mut rig = Rig::new(1, bounds(1 << 20, 1));
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    rig.gone(client, CloseCause::TransportLost);
    rig.answer(Err(hubgate_core::event::UpstreamFailure::Rejected("no".into())), Vec::new());
    assert_eq!(rig.forgotten, [(0, client.id)]);
    assert!(rig.calls.is_empty());
}
