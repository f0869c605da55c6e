//! Messages of hub servers that are longer than is allowed, which is 1,000 bytes here.

use hubgate_core::CloseCause;
use hubgate_core::time::Millis;
use hubgate_wire::service::{
    self, BroadcastData, ClientCompletion, ClientInvocation, CloseConnectionsWithAck, ConnectionData, GroupMemberQuery,
    RefreshAuth, ServiceMessage, UserJoinGroupWithAck,
};

use crate::proxied::{DROPPED, both, one_of_each};
use crate::rig::{Client, Rig, Server, default_mode};

fn written(message: &ServiceMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    service::write(message, &mut bytes);
    bytes
}

fn to_all(text: &str) -> Vec<u8> {
    written(&ServiceMessage::BroadcastData(BroadcastData { payloads: both(text), ..BroadcastData::default() }))
}

/// A message, which is too long, and all that its sender is told after the event that says so.
fn says_too_much(rig: &mut Rig, server: Server, message: &ServiceMessage<'_>) -> Vec<String> {
    rig.says(server, message);
    let mut told = rig.told(server);
    let framed = written(message);
    let length = service::split_message(&mut &framed[..]).expect("a length").expect("a whole message").len();
    let event = format!(
        "event 4 3: A message of {length} bytes has no effect: `server.limits.server-message` of the gateway allows 1000."
    );
    assert_eq!(told.remove(0), event, "{message:?}");
    told
}

fn call<'a>(client: &'a Client, payload: &'a str) -> ServiceMessage<'a> {
    ServiceMessage::ClientInvocation(ClientInvocation {
        invocation_id: "i",
        connection_id: client.id.as_str(),
        caller_server_id: "a",
        payloads: both(payload),
        ..ClientInvocation::default()
    })
}

#[test]
fn one_is_passed_over_wherever_it_is_cut_and_the_connection_goes_on() {
    let long = format!("{}\x1e", "x".repeat(2_000));
    let bytes = [to_all("one\x1e"), to_all(&long), to_all("two\x1e"), to_all(&long), to_all("three\x1e")].concat();
    for size in [1, 2, 100, 1_999, bytes.len()] {
        let (mut rig, server, client) = one_of_each();
        for piece in bytes.chunks(size) {
            rig.server_data(server, piece);
        }
        assert_eq!(rig.received(client), ["one", "two", "three"], "{size}");
        let told = rig.told(server);
        assert!(told.len() == 2 && told.iter().all(|told| told.starts_with("event 4 3: ")), "{told:?}");
        assert_eq!(rig.skipped.len(), 1, "the log hears of it once for each connection: {:?}", rig.skipped);
        let status = rig.shards[0].status().hubs.remove(0);
        assert_eq!((status.counters.server_messages_skipped, status.server_connections), (2, 1));
    }
}

#[test]
fn one_whose_end_does_not_come_takes_no_memory_and_ends_with_its_connection() {
    let (mut rig, server, client) = one_of_each();
    let long = to_all(&"x".repeat(100_000));
    rig.server_data(server, &long[..60_000]);
    rig.pass(Millis(1_000));
    assert!(rig.told(server).is_empty());
    rig.server_gone(server);
    assert_eq!(rig.received(client), [DROPPED]);
    let server = rig.server(0, "a", 0);
    rig.server_data(server, &to_all(&"x".repeat(2_000)));
    assert_eq!(rig.told(server).len(), 1, "the next connection begins at the beginning");
}

#[test]
fn whoever_waits_for_an_ack_gets_one() {
    let (mut rig, server, _) = one_of_each();
    let long = "x".repeat(5_000);
    let claims = vec![("name", &*long); 3];
    let messages = [
        ServiceMessage::UserJoinGroupWithAck(UserJoinGroupWithAck {
            user_id: "ann",
            group: &long,
            ack_id: 7,
            ..Default::default()
        }),
        ServiceMessage::CloseConnectionsWithAck(CloseConnectionsWithAck {
            reason: Some(&long),
            ack_id: 7,
            excluded: vec!["client"; 500],
            ..Default::default()
        }),
        ServiceMessage::RefreshAuth(RefreshAuth { connection_token: "t", claims, ack_id: 7, ..Default::default() }),
    ];
    for message in messages {
        assert_eq!(says_too_much(&mut rig, server, &message), ["ack 7 6"], "{message:?}");
    }
    let query = GroupMemberQuery { group: &long, ack_id: 7, ..GroupMemberQuery::default() };
    assert_eq!(says_too_much(&mut rig, server, &ServiceMessage::GroupMemberQuery(query)), ["ack 7 6 [92, 90, c0]"]);
}

#[test]
fn a_call_that_is_too_long_and_one_whose_answer_is_fail_at_once() {
    let (mut rig, server, client) = one_of_each();
    let long = "x".repeat(5_000);
    let told = says_too_much(&mut rig, server, &call(&client, &long));
    let [failed] = &told[..] else { panic!("one answer: {told:?}") };
    assert!(failed.starts_with("failed i: A message of "), "{failed}");
    assert!(rig.received(client).is_empty());

    // The answer is read by the client's own hub server; another one has called.
    let caller = rig.server(0, "b", 0);
    rig.says(
        caller,
        &ServiceMessage::ClientInvocation(ClientInvocation {
            invocation_id: "j",
            connection_id: client.id.as_str(),
            caller_server_id: "b",
            payloads: both("ask\x1e"),
            ..ClientInvocation::default()
        }),
    );
    assert_eq!(rig.received(client), ["ask"]);
    rig.told(server);
    rig.told(caller);
    let answer = ClientCompletion {
        invocation_id: "j",
        connection_id: client.id.as_str(),
        caller_server_id: "a",
        protocol: "json",
        payload: long.as_bytes(),
        ..ClientCompletion::default()
    };
    assert!(says_too_much(&mut rig, server, &ServiceMessage::ClientCompletion(answer)).is_empty());
    let told = rig.told(caller);
    let [failed] = &told[..] else { panic!("one answer: {told:?}") };
    assert!(failed.starts_with("failed j: A message of "), "{failed}");
}

#[test]
fn a_client_whose_own_message_is_too_long_is_closed_and_may_come_back_and_its_server_hears_of_it() {
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    let clients = [0, 1].map(|shard| rig.connect_proxied(shard, None, &[server]).0);
    let long = "x".repeat(5_000);
    for client in clients {
        let data = ConnectionData {
            connection_id: service::AnyText(client.id.as_str().as_bytes()),
            payload: long.as_bytes(),
            ..ConnectionData::default()
        };
        let told = says_too_much(&mut rig, server, &ServiceMessage::ConnectionData(data));
        assert_eq!(told, [format!("close {}", client.id)]);
        assert_eq!(rig.received(client), [DROPPED]);
        assert_eq!(rig.finished[&(client.shard, client.transport)], CloseCause::ClosedByAppServer);
    }
}

#[test]
fn a_connection_whose_messages_have_no_length_or_no_beginning_is_told_why_it_ends() {
    let (mut rig, server, _) = one_of_each();
    rig.server_data(server, &[0xff; 5]);
    assert_eq!(rig.told(server), ["error The length before a message is none that a message can have."]);
    assert_eq!(rig.finished_servers.len(), 1);

    for (bytes, why) in [
        (&[0xff; 5][..], "The length before a message is none that a message can have."),
        (
            &to_all(&"x".repeat(2_000))[..10],
            "has no effect: `server.limits.server-message` of the gateway allows 1000.",
        ),
    ] {
        let mut rig = Rig::new(1, default_mode());
        let server = rig.open_server(0, "a");
        rig.server_data(server, bytes);
        let told = rig.told(server);
        let [refused] = &told[..] else { panic!("one answer: {told:?}") };
        assert!(refused.starts_with("refused: ") && refused.ends_with(why), "{refused}");
        assert_eq!(rig.finished_servers.len(), 1);
    }
}
