//! The end of the gateway, as clients see it.

use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Input};

use crate::proxied::one_of_each;
use crate::rig::{Client, Rig, settings};

const GOODBYE: &str = r#"{"type":7,"allowReconnect":true}"#;

#[test]
fn when_the_gateway_stops_all_clients_may_come_back() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.drain(0);
    assert_eq!(rig.received(client), Vec::<String>::new(), "it may have said something");
    rig.said_all(client);
    assert_eq!(rig.received(client), [GOODBYE]);
    assert!(!rig.shards[0].is_empty(), "upstream has not heard of its end");
    rig.gone(client, CloseCause::Normal);
    rig.answer(Ok(None), Vec::new());
    assert!(rig.shards[0].is_empty());
}

#[test]
fn what_a_client_had_said_is_answered_before_it_leaves() {
    let mut rig = Rig::new(1, settings());
    let client = rig.connect(0, None);
    rig.invoke(client, "1", "m");
    rig.drain(0);
    rig.invoke(client, "2", "m");
    rig.said_all(client);
    for id in ["1", "2"] {
        rig.drain(0);
        assert!(rig.received(client).iter().all(|message| message != GOODBYE), "{id} is not answered");
        rig.answer(Ok(None), Vec::new());
        assert!(rig.received(client)[0].contains(&format!("\"invocationId\":\"{id}\"")));
    }
    rig.drain(0);
    assert_eq!(rig.received(client), [GOODBYE]);
}

#[test]
fn what_a_client_had_asked_its_hub_server_is_answered_before_it_leaves() {
    let (mut rig, server, client) = one_of_each();
    rig.invoke(client, "1", "m");
    rig.drain(0);
    rig.invoke(client, "2", "m");
    rig.said_all(client);
    for id in ["1", "2"] {
        rig.drain(0);
        assert_eq!(rig.received(client), Vec::<String>::new(), "{id} is not answered");
        let completion = format!(r#"{{"type":3,"invocationId":"{id}"}}"#);
        rig.answers(server, client, &format!("{completion}\x1e"));
        assert_eq!(rig.received(client), [completion]);
    }
    rig.drain(0);
    assert_eq!(rig.received(client), [GOODBYE]);
}

#[test]
fn whoever_is_left_is_sent_away_whatever_it_waits_for() {
    let mut rig = Rig::new(1, settings());
    let (calling, silent) = (rig.connect(0, None), rig.connect(0, None));
    rig.invoke(calling, "1", "m");
    rig.drain(0);
    rig.said_all(calling);
    rig.feed(0, Input::DrainNow);
    for client in [calling, silent] {
        assert_eq!(rig.received(client), [GOODBYE]);
    }
}

#[test]
fn a_client_that_is_just_connecting_gets_to_its_handshake() {
    let mut rig = Rig::new(1, settings());
    let [quick, slow] = [rig.open(0, "chat", None), rig.open(0, "chat", None)];
    rig.drain(0);
    assert!(rig.leaving.is_empty(), "their transports go on reading");
    rig.data(quick, "{\"protocol\":\"json\",\"version\":1}\x1e");
    rig.answer(Ok(None), Vec::new());
    rig.drain(0);
    rig.said_all(quick);
    assert_eq!(rig.received(quick), ["{}", GOODBYE]);
    assert_eq!(rig.received(slow), Vec::<String>::new());
    rig.now = rig.now + Millis(1_000);
    rig.drain(0);
    assert_eq!(rig.received(slow), [r#"{"error":"Handshake was canceled."}"#]);
}

#[test]
fn clients_leave_at_the_pace_that_is_set() {
    let mut rig = Rig::new(2, settings());
    // Whatever shards they are on.
    let clients: Vec<Client> = (0..12).map(|index| rig.connect(usize::from(index < 3), None)).collect();
    let mut left = Vec::new();
    for _ in 0..clients.len() {
        for shard in 0..2 {
            rig.feed(shard, Input::Drain { per_second: 4 });
        }
        for (shard, transport) in std::mem::take(&mut rig.leaving) {
            let client = clients.iter().find(|client| (client.shard, client.transport) == (shard, transport));
            rig.said_all(*client.expect("it is one of them"));
        }
        left.push(clients.iter().filter(|client| rig.finished.contains_key(&(client.shard, client.transport))).count());
        rig.now = rig.now + Millis(250);
    }
    assert_eq!(left, (1..=12).collect::<Vec<_>>());
}
