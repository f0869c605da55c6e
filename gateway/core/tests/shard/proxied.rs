//! Clients that hub servers answer, and the servers.

use hubgate_core::delivery::{Action, Target};
use hubgate_core::filter::Targets;
use hubgate_core::id::{ConnectionId, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Identity, Outgoing};
use hubgate_wire::service::{
    self, AnyText, BroadcastData, CheckConnectionExistenceWithAck, CheckGroupExistenceWithAck,
    CheckUserExistenceWithAck, CheckUserInGroupWithAck, ClientCompletion, ClientInvocation, CloseConnection,
    CloseConnectionWithAck, CloseGroupConnectionsWithAck, CloseUserConnectionsWithAck, ConnectionData, Extensions,
    GroupBroadcastData, GroupMemberQuery, HandshakeRequest, JoinGroupWithAck, LeaveGroupWithAck, MultiConnectionData,
    MultiGroupBroadcastData, MultiUserData, ServiceMessage, UserData, UserJoinGroupWithAck, UserLeaveGroupWithAck,
};

use proptest::prelude::*;

use crate::addresses::of_another_gateway;
use crate::rig::{Client, Rig, Server, at, default_mode, filtered, identity, json, settings};

pub(crate) const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\x1e";
pub(crate) const DROPPED: &str = r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;

/// A rig of one shard with one hub server and one client.
pub(crate) fn one_of_each() -> (Rig, Server, Client) {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(0, Some("ann"), &[server]);
    (rig, server, client)
}

/// A text in the payloads of both protocols.
pub(crate) fn both(text: &str) -> Vec<(&'static str, &[u8])> {
    vec![("json", text.as_bytes()), ("messagepack", b"\x00")]
}

fn broadcast<'a>(text: &'a str, excluded: &[Client], ids: &'a mut Vec<String>) -> ServiceMessage<'a> {
    ids.extend(excluded.iter().map(|client| client.id.to_string()));
    let excluded = ids.iter().map(String::as_str).collect();
    ServiceMessage::BroadcastData(BroadcastData { excluded, payloads: both(text), ..BroadcastData::default() })
}

fn to_all(rig: &mut Rig, server: Server, text: &str) {
    rig.says(server, &broadcast(text, &[], &mut Vec::new()));
}

pub(crate) fn join(rig: &mut Rig, server: Server, client: Client, group: &str, ack_id: i64) {
    let id = client.id;
    let join = JoinGroupWithAck { connection_id: id.as_str(), group, ack_id, ..JoinGroupWithAck::default() };
    rig.says(server, &ServiceMessage::JoinGroupWithAck(join));
}

pub(crate) fn closing(client: Client, error: Option<&str>) -> CloseConnection<'_> {
    // The id's text lives as long as the client does.
    CloseConnection { connection_id: Box::leak(client.id.to_string().into()), error, ..CloseConnection::default() }
}

pub(crate) fn fin(rig: &mut Rig, server: Server, kind: &str) {
    rig.says(server, &ServiceMessage::Ping(vec!["shutdown", kind]));
}

#[test]
fn a_hub_server_is_let_in_by_its_first_message_or_not_at_all() {
    let handshake = |version, connection_type| {
        let request = HandshakeRequest { version, connection_type, ..HandshakeRequest::default() };
        ServiceMessage::HandshakeRequest(request)
    };
    for (mode, message, answer) in [
        (default_mode(), handshake(1, 0), "welcome"),
        (default_mode(), handshake(1, 1), "welcome"),
        (default_mode(), handshake(1, 2), "welcome"),
        (settings(), handshake(1, 2), "welcome"),
        (settings(), handshake(1, 0), "refused: Hub 'chat' is in serverless mode: it does not accept hub servers."),
        (default_mode(), handshake(2, 0), "refused: Version mismatch: version 1 is spoken here, not 2."),
        (default_mode(), handshake(1, 3), "refused: Server connections of type 3 are not known."),
        (default_mode(), ServiceMessage::Ping(Vec::new()), "refused: The first message must be a handshake request."),
    ] {
        let mut rig = Rig::new(1, mode);
        let server = rig.open_server(0, "a");
        rig.says(server, &message);
        assert_eq!(rig.told(server), [answer]);
        assert_eq!(rig.finished_servers.is_empty(), answer == "welcome", "{answer}");
    }
}

#[test]
fn without_a_hub_server_a_client_is_told_so_and_one_that_only_sends_is_none() {
    let mut rig = Rig::new(1, default_mode());
    rig.weak(0, "weak");
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    let [answer] = &rig.received(client)[..] else { panic!("one answer") };
    assert!(answer.contains("app servers are not connected"), "{answer}");
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::NoAvailableServerConnection);
}

#[test]
fn a_hub_server_is_told_who_the_client_is() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let identity = Identity {
        claims: [("nameid", "ann"), ("role", "admin"), ("role", "chief"), ("asrs.s.uid", "ann")].into_iter().collect(),
        query: "hub=chat&room=1".into(),
        headers: [
            ("cookie", "a=1"),
            ("asrs-migrate-from", "evil"),
            ("x-forwarded-for", "203.0.113.9"),
            ("accept", "a"),
            ("accept", "b"),
        ]
        .into_iter()
        .collect(),
        ..identity(Some("ann"))
    };
    let id = ConnectionId::new(at(0), [7; 12]);
    let client = rig.open_with(0, "chat", id, identity);
    rig.data(client, &HANDSHAKE[..10]);
    assert!(rig.told(server).is_empty(), "not before its handshake request is there as a whole");
    rig.data(client, &HANDSHAKE[10..]);
    let told = rig.told_raw(server);
    let ServiceMessage::OpenConnection(open) = service::parse(&told[0]).expect("a message") else {
        panic!("not a client");
    };
    let short = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
    let role = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
    assert_eq!(open.claims, [(short, "ann"), (role, "admin"), (role, "chief"), ("asrs.s.uid", "ann")]);
    assert_eq!(
        open.headers,
        [("cookie", vec!["a=1"]), ("accept", vec!["a", "b"]), ("X-Forwarded-For", vec!["192.0.2.1"])]
    );
    assert_eq!((open.connection_id, open.query), (id.as_str(), "?hub=chat&room=1"));
    assert_eq!(open.extensions, Extensions { protocol: Some("json"), ..Extensions::default() });
}

#[test]
fn bytes_go_through_in_order_as_they_come() {
    let (mut rig, server, client) = one_of_each();
    for text in ["{\"type\":", "6}\x1e{\"type\":6}\x1e", "garbage"] {
        rig.data(client, text);
    }
    assert_eq!(rig.told(server), ["data {\"type\":", "data 6}\x1e{\"type\":6}\x1e", "data garbage"]);
    rig.answers(server, client, "{\"type\":6}\x1e");
    rig.answers(server, client, "{\"n\":1}\x1e{\"n\":2}\x1e");
    assert_eq!(rig.received(client), [r#"{"type":6}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[test]
fn what_is_sent_before_the_handshake_is_answered_comes_behind_the_answer() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let client = rig.open(0, "chat", Some("ann"));
    rig.data(client, HANDSHAKE);
    to_all(&mut rig, server, "early\x1e");
    rig.answers(server, client, "{");
    assert!(rig.received(client).is_empty());
    rig.answers(server, client, "}\x1e{\"type\":6}\x1e");
    assert_eq!(rig.received(client), ["{}", "early", "{\"type\":6}"]);
}

#[test]
fn what_a_server_says_with_its_answer_to_the_handshake_need_not_fit_where_messages_are_held() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    let (early, late) = ("x".repeat(400), "y".repeat(450));
    for _ in 0..4 {
        to_all(&mut rig, server, &format!("{early}\x1e"));
    }
    rig.answers(server, client, &format!("{{}}\x1e{late}\x1e{late}\x1e"));
    let mut expected = vec!["{}"];
    expected.extend([&*early; 4]);
    expected.extend([&*late; 2]);
    assert_eq!(rig.received(client), expected);
    assert!(rig.finished.is_empty());
}

#[test]
fn who_gets_too_much_before_its_handshake_is_answered_is_let_go() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    for _ in 0..8 {
        to_all(&mut rig, server, &format!("{}\x1e", "x".repeat(400)));
    }
    rig.answers(server, client, "{}\x1e");
    assert_eq!(rig.received(client), ["{}", DROPPED]);
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::SlowClient);
}

#[test]
fn a_handshake_that_the_server_refuses_ends_with_the_servers_words() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    rig.answers(server, client, "{\"error\":\"not you\"}\x1e");
    assert_eq!(rig.received(client), [r#"{"error":"not you"}"#]);
    assert_eq!(rig.finished[&(0, client.transport)], CloseCause::HandshakeError);
}

#[test]
fn a_handshake_that_the_server_does_not_answer_is_canceled() {
    let mut rig = Rig::new(1, default_mode());
    let server = rig.server(0, "a", 0);
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    rig.told(server);
    rig.pass(Millis(15_250));
    assert_eq!(rig.received(client), [r#"{"error":"Handshake was canceled."}"#]);
    assert!(rig.told(server).contains(&format!("close {}", client.id)));
}

#[test]
fn pieces_of_an_older_server_become_whole_messages_and_no_send_lands_inside_one() {
    let (mut rig, server, client) = one_of_each();
    rig.answers(server, client, "{\"a\"");
    to_all(&mut rig, server, "between\x1e");
    rig.answers(server, client, ":1}\x1e{\"b\"");
    assert_eq!(rig.received(client), ["between", r#"{"a":1}"#]);
    rig.answers(server, client, ":2}\x1e");
    assert_eq!(rig.received(client), [r#"{"b":2}"#]);
}

#[test]
fn a_message_of_the_server_that_never_ends_costs_its_client_and_no_memory() {
    let (mut rig, server, client) = one_of_each();
    for _ in 0..3 {
        rig.answers(server, client, &"x".repeat(500));
    }
    assert_eq!(rig.received(client), [DROPPED]);
}

#[test]
fn the_gateway_writes_the_close_that_the_server_did_not() {
    let close = r#"{"type":7,"error":"why","allowReconnect":true}"#;
    for (said, data_type, error, expected) in [
        (format!("{close}\x1e"), Some(4), None, vec![close.to_owned()]),
        (format!("{close}\x1e"), None, None, vec![close.to_owned()]),
        ("{\"type\":6}\x1e".to_owned(), Some(3), None, vec!["{\"type\":6}".to_owned(), "{\"type\":7}".to_owned()]),
        (
            "{\"type\":6}\x1e".to_owned(),
            None,
            Some("broken"),
            vec!["{\"type\":6}".to_owned(), r#"{"type":7,"error":"broken"}"#.to_owned()],
        ),
    ] {
        let (mut rig, server, client) = one_of_each();
        let extensions = Extensions { data_type, ..Extensions::default() };
        let id = client.id;
        let data = ConnectionData { connection_id: AnyText(id.as_bytes()), payload: said.as_bytes(), extensions };
        rig.says(server, &ServiceMessage::ConnectionData(data));
        rig.says(server, &ServiceMessage::CloseConnection(closing(client, error)));
        assert_eq!(rig.received(client), expected);
        assert_eq!(rig.finished[&(0, client.transport)], CloseCause::ClosedByAppServer);
        rig.gone(client, CloseCause::Normal);
        assert!(rig.told(server).is_empty(), "it knows");
        assert!(rig.shards[0].is_empty());
    }
}

#[test]
fn a_server_hears_of_its_clients_end_and_of_no_others() {
    let (mut rig, server, client) = one_of_each();
    let other = rig.server(0, "b", 0);
    rig.gone(client, CloseCause::TransportLost);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
    assert!(rig.told(other).is_empty());
    rig.answers(server, client, "late\x1e");
    rig.says(server, &ServiceMessage::CloseConnection(closing(client, None)));
    assert!(rig.told(server).is_empty());
}

#[test]
fn only_a_clients_own_server_connection_speaks_for_the_hub() {
    let mut rig = Rig::new(1, default_mode());
    let servers = [rig.server(0, "a", 0), rig.server(0, "b", 0)];
    let (client, own) = rig.connect_proxied(0, None, &servers);
    let other = servers[usize::from(own == servers[0])];
    rig.answers(other, client, "false\x1e");
    rig.says(other, &ServiceMessage::CloseConnection(closing(client, None)));
    assert!(rig.received(client).is_empty() && !rig.finished.contains_key(&(0, client.transport)));
}

#[test]
fn a_connection_that_only_sends_closes_any_client_with_its_reason() {
    let (mut rig, server, client) = one_of_each();
    let weak = rig.weak(0, "weak");
    rig.says(weak, &ServiceMessage::CloseConnection(closing(client, Some("enough"))));
    assert_eq!(rig.received(client), [r#"{"type":7,"error":"enough"}"#]);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
}

#[test]
fn the_loss_of_a_server_connection_drops_its_clients_on_all_shards_and_no_others() {
    let mut rig = Rig::new(2, default_mode());
    let servers = [rig.server(0, "a", 0), rig.server(1, "b", 0)];
    let clients: Vec<_> = (0..8).map(|index| rig.connect_proxied(index % 2, None, &servers)).collect();
    rig.server_gone(servers[0]);
    let mut dropped = 0;
    for (client, server) in &clients {
        let is_lost = *server == servers[0];
        let expected: &[&str] = if is_lost { &[DROPPED] } else { &[] };
        assert_eq!(rig.received(*client), expected);
        dropped += usize::from(is_lost);
    }
    assert!((1..8).contains(&dropped), "both have clients: {dropped}");
    let (_, server) = rig.connect_proxied(0, None, &servers);
    assert_eq!(server, servers[1], "new clients go to the one that is left");
    assert!(rig.told(servers[1]).is_empty());
}

#[test]
fn a_client_on_one_shard_talks_with_a_server_on_another() {
    let mut rig = Rig::new(3, default_mode());
    let server = rig.server(2, "a", 0);
    let (client, _) = rig.connect_proxied(0, Some("ann"), &[server]);
    rig.data(client, "ask\x1e");
    assert_eq!(rig.told(server), ["data ask\x1e"]);
    rig.answers(server, client, "answer\x1e");
    to_all(&mut rig, server, "all\x1e");
    assert_eq!(rig.received(client), ["answer", "all"]);
    rig.says(server, &ServiceMessage::CloseConnection(closing(client, None)));
    assert_eq!(rig.received(client), [r#"{"type":7}"#]);
}

#[test]
fn sends_reach_whom_they_name_in_the_protocol_that_each_speaks() {
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    let clients =
        [("ann", 0), ("ben", 1), ("ann", 1)].map(|(user, shard)| rig.connect_proxied(shard, Some(user), &[server]).0);
    for (group, members) in [("g", &[0, 1][..]), ("h", &[1, 2])] {
        for member in members {
            join(&mut rig, server, clients[*member], group, 1);
        }
    }
    rig.told(server);
    let ids = clients.map(|client| client.id);
    let payloads = || both("x\x1e");
    let mut check = |message: ServiceMessage<'_>, expected: [usize; 3]| {
        rig.says(server, &message);
        assert_eq!(clients.map(|client| rig.received(client).len()), expected, "{message:?}");
    };
    check(
        ServiceMessage::BroadcastData(BroadcastData {
            excluded: vec![ids[1].as_str()],
            payloads: payloads(),
            ..BroadcastData::default()
        }),
        [1, 0, 1],
    );
    check(
        ServiceMessage::MultiConnectionData(MultiConnectionData {
            connection_ids: vec![ids[0].as_str(), ids[2].as_str(), "nobody"],
            payloads: payloads(),
            ..MultiConnectionData::default()
        }),
        [1, 0, 1],
    );
    check(
        ServiceMessage::UserData(UserData { user_id: "ann", payloads: payloads(), ..UserData::default() }),
        [1, 0, 1],
    );
    check(
        ServiceMessage::MultiUserData(MultiUserData {
            user_ids: vec!["ben", "nobody"],
            payloads: payloads(),
            ..MultiUserData::default()
        }),
        [0, 1, 0],
    );
    let group = |group, excluded, excluded_users| {
        ServiceMessage::GroupBroadcastData(GroupBroadcastData {
            group,
            excluded,
            excluded_users,
            payloads: both("x\x1e"),
            ..GroupBroadcastData::default()
        })
    };
    check(group("g", vec![], vec![]), [1, 1, 0]);
    check(group("g", vec![ids[0].as_str()], vec![]), [0, 1, 0]);
    check(group("g", vec![], vec!["ben"]), [1, 0, 0]);
    check(group("G", vec![], vec![]), [0, 0, 0]);
    check(
        ServiceMessage::MultiGroupBroadcastData(MultiGroupBroadcastData {
            groups: vec!["g", "h"],
            payloads: payloads(),
            ..MultiGroupBroadcastData::default()
        }),
        [1, 2, 1],
    );
    let packed = BroadcastData { payloads: vec![("messagepack", b"\x00")], ..BroadcastData::default() };
    check(ServiceMessage::BroadcastData(packed), [0, 0, 0]);
}

#[test]
fn a_send_with_a_filter_reaches_nobody_and_is_told_once() {
    let (mut rig, server, client) = one_of_each();
    for _ in 0..2 {
        let extensions = Extensions { filter: Some("userId eq 'ann'"), ..Extensions::default() };
        let send = BroadcastData { payloads: both("x\x1e"), extensions, ..BroadcastData::default() };
        rig.says(server, &ServiceMessage::BroadcastData(send));
    }
    assert!(rig.received(client).is_empty());
    assert_eq!(rig.skipped.len(), 1);
}

#[test]
fn an_ack_says_what_came_of_it_on_whatever_shard() {
    let mut rig = Rig::new(3, default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(2, Some("ann"), &[server]);
    let id = client.id;
    let absent = ConnectionId::new(at(1), [99; 12]);
    let (nowhere, elsewhere) = (ConnectionId::new(at(9), [99; 12]), of_another_gateway(id));
    let join = |connection_id, group| {
        ServiceMessage::JoinGroupWithAck(JoinGroupWithAck {
            connection_id,
            group,
            ack_id: 7,
            ..JoinGroupWithAck::default()
        })
    };
    let leave = |connection_id, group| {
        let leave = LeaveGroupWithAck { connection_id, group, ack_id: 7, ..LeaveGroupWithAck::default() };
        ServiceMessage::LeaveGroupWithAck(leave)
    };
    let connection = |connection_id| {
        let check =
            CheckConnectionExistenceWithAck { connection_id, ack_id: 7, ..CheckConnectionExistenceWithAck::default() };
        ServiceMessage::CheckConnectionExistenceWithAck(check)
    };
    let group = |group| {
        let check = CheckGroupExistenceWithAck { group, ack_id: 7, ..CheckGroupExistenceWithAck::default() };
        ServiceMessage::CheckGroupExistenceWithAck(check)
    };
    let user = |user_id| {
        let check = CheckUserExistenceWithAck { user_id, ack_id: 7, ..CheckUserExistenceWithAck::default() };
        ServiceMessage::CheckUserExistenceWithAck(check)
    };
    let user_in_group = |user_id, group| {
        let check = CheckUserInGroupWithAck { user_id, group, ack_id: 7, ..CheckUserInGroupWithAck::default() };
        ServiceMessage::CheckUserInGroupWithAck(check)
    };
    let user_joins = |user_id, ttl| {
        let extensions = Extensions { ttl, ..Extensions::default() };
        let join = UserJoinGroupWithAck { user_id, group: "u", ack_id: 7, extensions };
        ServiceMessage::UserJoinGroupWithAck(join)
    };
    let user_leaves = |user_id, group| {
        let leave = UserLeaveGroupWithAck { user_id, group, ack_id: 7, ..UserLeaveGroupWithAck::default() };
        ServiceMessage::UserLeaveGroupWithAck(leave)
    };
    let end = |connection_id| {
        let close = CloseConnectionWithAck { connection_id, ack_id: 7, ..CloseConnectionWithAck::default() };
        ServiceMessage::CloseConnectionWithAck(close)
    };
    for (message, status) in [
        (join(id.as_str(), "g"), 1),
        (join(id.as_str(), "g"), 1),
        (join(absent.as_str(), "g"), 2),
        (join(nowhere.as_str(), "g"), 2),
        (join(elsewhere.as_str(), "g"), 2),
        (join("?", "g"), 2),
        (join(id.as_str(), ""), 6),
        (join(id.as_str(), "g2"), 1),
        (join(id.as_str(), "g3"), 1),
        (join(id.as_str(), "one too many"), 6),
        (group("g"), 1),
        (group("G"), 2),
        (user_in_group("ann", "g"), 1),
        (user_in_group("ann", "x"), 2),
        (leave(id.as_str(), Some("g")), 1),
        (group("g"), 2),
        (leave(absent.as_str(), Some("g")), 2),
        (leave(elsewhere.as_str(), Some("g")), 2),
        (leave(id.as_str(), None), 1),
        (group("g2"), 2),
        (connection(id.as_str()), 1),
        (connection(absent.as_str()), 2),
        (connection(elsewhere.as_str()), 2),
        (user("ann"), 1),
        (user("bob"), 2),
        (user_joins("bob", None), 1),
        (user_in_group("bob", "u"), 1),
        (user_leaves("bob", Some("u")), 1),
        (user_in_group("bob", "u"), 2),
        (user_joins("ann", Some(0)), 1),
        (user_in_group("ann", "u"), 1),
        (user_leaves("ann", None), 1),
        (user_in_group("ann", "u"), 2),
        (end(absent.as_str()), 1),
        (end(elsewhere.as_str()), 1),
        (end(id.as_str()), 1),
        (connection(id.as_str()), 2),
    ] {
        rig.says(server, &message);
        let told: Vec<_> = rig.told(server).into_iter().filter(|told| !told.starts_with("close")).collect();
        assert_eq!(told, [format!("ack 7 {status}")], "{message:?}");
    }
    assert_eq!(rig.received(client), [r#"{"type":7,"allowReconnect":true}"#]);
}

#[test]
fn the_members_of_a_group_are_told_page_by_page() {
    let mut settings = default_mode();
    settings.limits.server_message = 2_000;
    let mut rig = Rig::new(3, settings);
    let server = rig.server(0, "a", 0);
    let mut members = Vec::new();
    for (shard, user) in [(0, Some("ann")), (1, None), (2, Some("ben")), (2, None), (1, Some("ann"))] {
        let (client, _) = rig.connect_proxied(shard, user, &[server]);
        join(&mut rig, server, client, "g", 1);
        assert_eq!(rig.told(server), ["ack 1 1"]);
        members.push((client.id.to_string(), user));
    }
    members.sort();
    let mut next: Option<String> = None;
    for (page, rest) in [(&members[..2], true), (&members[2..4], true), (&members[4..], false)] {
        let token = next.as_deref();
        let sizes = GroupMemberQuery { max_page_size: Some(2), continuation_token: token, ..Default::default() };
        assert_eq!(asked_for_members(&mut rig, server, sizes), told_members(page, rest));
        next = page.last().map(|(id, _)| id.clone());
    }
    let query = GroupMemberQuery { group: "nobody", ack_id: 6, top: Some(2), ..Default::default() };
    rig.says(server, &ServiceMessage::GroupMemberQuery(query));
    assert_eq!(rig.told(server), ["ack 6 2 [92, 90, c0]"], "an empty page is one, too");
    let long = "g".repeat(1025);
    rig.says(server, &ServiceMessage::GroupMemberQuery(GroupMemberQuery { group: &long, ..query_of(7) }));
    assert_eq!(rig.told(server), ["ack 7 6 [92, 90, c0]"], "and so is that of a group that cannot be");
    for (top, max_page_size, members, rest) in [
        // As the SDK asks by default.
        (None, None, &members[..], false),
        (Some(5), None, &members[..], false),
        (Some(9), Some(0), &members[..1], true),
        (Some(3), Some(50), &members[..3], true),
        (Some(3), Some(2), &members[..2], true),
        (Some(0), None, &[], false),
        (Some(-1), Some(-1), &[], false),
    ] {
        let sizes = GroupMemberQuery { top, max_page_size, ..Default::default() };
        assert_eq!(
            asked_for_members(&mut rig, server, sizes),
            told_members(members, rest),
            "{top:?} {max_page_size:?}"
        );
    }
}

fn query_of(ack_id: i64) -> GroupMemberQuery<'static> {
    GroupMemberQuery { group: "g", ack_id, ..GroupMemberQuery::default() }
}

/// The status and payload of the ack to a query for the members of the group `g`.
fn asked_for_members(rig: &mut Rig, server: Server, sizes: GroupMemberQuery<'_>) -> (i64, Vec<u8>) {
    let query = GroupMemberQuery { group: "g", ack_id: 5, ..sizes };
    rig.says(server, &ServiceMessage::GroupMemberQuery(query));
    let told = rig.told_raw(server);
    let Ok(ServiceMessage::Ack(ack)) = service::parse(&told[0]) else { panic!("no ack") };
    (ack.status, ack.payload.expect("a page").to_vec())
}

/// The same, for these members, where others follow and where none do.
fn told_members(page: &[(String, Option<&str>)], others_follow: bool) -> (i64, Vec<u8>) {
    let page: Vec<_> = page.iter().map(|(id, user)| (id.as_str(), *user)).collect();
    let next = page.last().map(|(id, _)| *id).filter(|_| others_follow);
    (1, service::group_members(&page, next))
}

fn ask_for_a_group(rig: &mut Rig, server: Server, ack_id: i64) {
    let check = CheckGroupExistenceWithAck { group: "g", ack_id, ..CheckGroupExistenceWithAck::default() };
    rig.says(server, &ServiceMessage::CheckGroupExistenceWithAck(check));
}

#[test]
fn a_hub_server_with_many_acks_that_wait_is_not_read_until_half_of_them_are_answered() {
    const MOST: i64 = 1_000;
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    rig.is_alone = true;
    (1..MOST).for_each(|number| ask_for_a_group(&mut rig, server, number));
    assert!(rig.paused_servers.is_empty());
    ask_for_a_group(&mut rig, server, MOST);
    assert_eq!(rig.paused_servers, [server.id]);
    // It had been sent before the transport was asked for no more.
    ask_for_a_group(&mut rig, server, MOST + 1);
    assert!(rig.told(server).is_empty());
    rig.reunite();
    assert!(rig.paused_servers.is_empty());
    assert_eq!(rig.told(server).len() as i64, MOST + 1);
}

#[test]
fn an_ack_for_which_a_shard_takes_too_long_says_so_and_is_not_kept() {
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    rig.is_alone = true;
    ask_for_a_group(&mut rig, server, 7);
    rig.pass(Millis(8_000));
    rig.told(server);
    rig.pass(Millis(1_500));
    assert!(rig.told(server).contains(&"ack 7 3".to_owned()));
    rig.reunite();
    assert!(rig.told(server).is_empty(), "it has been told once");
}

#[test]
fn a_hub_server_is_told_of_ids_and_names_that_nothing_can_have() {
    let mut settings = default_mode();
    settings.limits.server_message = 10_000;
    let mut rig = Rig::new(1, settings);
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(0, Some("ann"), &[server]);
    let long = "x".repeat(1_025);
    join(&mut rig, server, client, &long, 7);
    let check = CheckUserExistenceWithAck { user_id: &long, ack_id: 8, ..CheckUserExistenceWithAck::default() };
    rig.says(server, &ServiceMessage::CheckUserExistenceWithAck(check));
    assert_eq!(rig.told(server), ["ack 7 6", "ack 8 6"]);
    let send = MultiUserData { user_ids: vec!["ann", &long], payloads: both("x\x1e"), ..MultiUserData::default() };
    rig.says(server, &ServiceMessage::MultiUserData(send));
    assert!(rig.received(client).is_empty());
    assert_eq!(rig.skipped, ["a message with an id or a name of more than 1024 characters"]);
}

#[test]
fn closes_with_an_ack_spare_whom_they_except() {
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    let clients = [0, 1, 1].map(|shard| rig.connect_proxied(shard, Some("ann"), &[server]).0);
    join(&mut rig, server, clients[2], "g", 1);
    let (spared, ids) = (clients[0], clients.map(|client| client.id));
    rig.says(
        server,
        &ServiceMessage::CloseGroupConnectionsWithAck(CloseGroupConnectionsWithAck {
            group: "g",
            reason: Some("over"),
            ack_id: 2,
            ..CloseGroupConnectionsWithAck::default()
        }),
    );
    rig.says(
        server,
        &ServiceMessage::CloseUserConnectionsWithAck(CloseUserConnectionsWithAck {
            user_id: "ann",
            ack_id: 3,
            excluded: vec![ids[0].as_str()],
            ..CloseUserConnectionsWithAck::default()
        }),
    );
    assert_eq!(rig.received(clients[2]), [r#"{"type":7,"error":"over","allowReconnect":true}"#]);
    assert_eq!(rig.received(clients[1]), [r#"{"type":7,"allowReconnect":true}"#]);
    assert!(rig.received(spared).is_empty());
    let acks: Vec<_> = rig.told(server).into_iter().filter(|told| told.starts_with("ack")).collect();
    assert_eq!(acks, ["ack 1 1", "ack 2 1", "ack 3 1"]);
}

#[test]
fn a_server_gets_something_every_few_seconds_and_is_lost_when_it_says_nothing_for_thirty() {
    let (mut rig, server, client) = one_of_each();
    let mut pings = 0;
    for _ in 0..59 {
        rig.pass(Millis(500));
        pings += rig.told(server).iter().filter(|told| *told == "ping").count();
    }
    assert!((6..=7).contains(&pings), "{pings} pings in 29.5 seconds");
    assert!(rig.finished_servers.is_empty());
    rig.pass(Millis(500));
    assert_eq!(rig.finished_servers.len(), 1);
    assert_eq!(rig.received(client), [DROPPED]);
}

#[test]
fn a_server_that_sends_no_handshake_is_let_go() {
    let mut rig = Rig::new(1, default_mode());
    rig.open_server(0, "a");
    rig.pass(Millis(14_999));
    assert!(rig.finished_servers.is_empty());
    rig.pass(Millis(1));
    assert_eq!(rig.finished_servers.len(), 1);
}

#[test]
fn questions_in_pings_are_answered_and_an_echo_is_not() {
    let mut rig = Rig::new(2, default_mode());
    let servers = [rig.server(0, "b", 0), rig.server(1, "a", 0), rig.server(1, "b", 0)];
    let ask = |rig: &mut Rig, words: &[&str]| {
        rig.says(servers[0], &ServiceMessage::Ping(words.to_vec()));
        rig.told(servers[0])
    };
    assert_eq!(ask(&mut rig, &["status", "1"]), ["ping status 0 clientcount 0"]);
    rig.connect_proxied(1, None, &servers);
    assert_eq!(ask(&mut rig, &["status", "1"]), ["ping status 1 clientcount 1"]);
    rig.pass(Millis(1_000));
    assert_eq!(ask(&mut rig, &["servers", ""]), ["ping servers 10000000:a;b"]);
    assert!(ask(&mut rig, &["echo", "hi"]).is_empty());
    assert!(ask(&mut rig, &["#clientInHub", "1", "#client", "0"]).is_empty());
    assert!(ask(&mut rig, &[]).is_empty());
    fin(&mut rig, servers[1], "fin:2");
    assert_eq!(rig.told(servers[1]), ["ping shutdown finack"]);
    assert_eq!(ask(&mut rig, &["servers", ""]), ["ping servers 10000000:b"]);
}

#[test]
fn a_server_that_leaves_drops_its_clients_or_keeps_them_as_it_says() {
    for (kind, level, expected) in
        [("fin:0", 0, vec![DROPPED.to_owned()]), ("fin:1", 0, vec![]), ("fin:1", 1, vec![]), ("fin:2", 1, vec![])]
    {
        let mut rig = Rig::new(1, default_mode());
        let server = rig.server(0, "a", level);
        let (client, _) = rig.connect_proxied(0, None, &[server]);
        fin(&mut rig, server, kind);
        assert_eq!(rig.received(client), expected, "{kind}");
        let told = rig.told(server);
        assert_eq!(told[0], "ping shutdown finack");
        assert_eq!(told.len(), 1 + expected.len(), "a dropped client's end is told: {told:?}");
        let late = rig.open(0, "chat", None);
        rig.data(late, HANDSHAKE);
        assert!(rig.received(late)[0].contains("app servers are not connected"), "{kind}");
    }
}

#[test]
fn clients_of_a_congested_server_are_not_read_until_it_has_caught_up() {
    let mut rig = Rig::new(2, default_mode());
    let servers = [rig.server(0, "a", 0), rig.server(0, "b", 0)];
    let clients: Vec<_> = (0..4).map(|index| rig.connect_proxied(index % 2, None, &servers)).collect();
    let server = servers[0];
    rig.congested(server, true);
    let of_server = |clients: &[(Client, Server)]| {
        clients
            .iter()
            .filter(|(_, of)| *of == server)
            .map(|(client, _)| (client.shard, client.transport))
            .collect::<Vec<_>>()
    };
    let (mut paused, mut expected) = (rig.paused.clone(), of_server(&clients));
    paused.sort();
    expected.sort();
    assert_eq!(paused, expected);
    rig.congested(server, false);
    assert!(rig.paused.is_empty());
}

#[test]
fn a_client_that_is_routed_to_a_congested_server_is_not_read_until_it_has_caught_up() {
    let mut rig = Rig::new(2, default_mode());
    let server = rig.server(0, "a", 0);
    rig.congested(server, true);
    let clients = [0, 1].map(|shard| rig.connect_proxied(shard, None, &[server]).0);
    assert_eq!(
        rig.paused,
        clients.map(|client| (client.shard, client.transport)),
        "also when their handshake is answered"
    );
    rig.congested(server, false);
    assert!(rig.paused.is_empty());
}

#[test]
fn the_answer_to_a_handshake_does_not_lift_what_else_holds_the_client() {
    let mut rig = Rig::new(1, filtered(Mode::Default, Targets::All));
    let server = rig.server(0, "a", 0);
    let client = rig.open(0, "chat", None);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    rig.data(client, &"{\"type\":6}\x1e".repeat(7_000));
    assert_eq!(rig.paused, [(0, client.transport)], "it has said as much as may wait");
    rig.congested(server, true);
    rig.answers(server, client, "{}\x1e");
    assert_eq!(rig.received(client), ["{}"]);
    assert_eq!(rig.paused, [(0, client.transport)]);
    rig.congested(server, false);
    assert!(rig.paused.is_empty());
}

#[test]
fn messages_may_be_cut_anywhere_and_what_is_not_understood_is_skipped() {
    let (mut rig, server, client) = one_of_each();
    let mut bytes = Vec::new();
    service::write(&ServiceMessage::Unknown(99), &mut bytes);
    bytes.extend_from_slice(b"\x02\x91\xc0\x03\xff\xff\xff\x01\x90");
    service::write(&broadcast("one\x1e", &[], &mut Vec::new()), &mut bytes);
    service::write(&broadcast("two\x1e", &[], &mut Vec::new()), &mut bytes);
    for byte in bytes {
        rig.server_data(server, &[byte]);
    }
    assert_eq!(rig.received(client), ["one", "two"]);
    assert_eq!(rig.skipped, ["a message of the unknown type 99"]);
    let status = rig.shards[0].status().hubs.remove(0);
    assert_eq!((status.counters.server_messages_skipped, status.server_connections), (4, 1));
}

#[test]
fn no_more_of_what_a_hub_server_says_is_acted_on_at_a_time_than_is_asked_for() {
    let (mut rig, server, client) = one_of_each();
    let mut bytes = Vec::new();
    for text in ["one\x1e", "two\x1e", "three\x1e", "four\x1e"] {
        service::write(&broadcast(text, &[], &mut Vec::new()), &mut bytes);
    }
    // The beginning of the first comes alone.
    let (begun, mut rest) = bytes.split_at(5);
    rig.server_data(server, begun);
    let mut heard = Vec::new();
    while !rest.is_empty() {
        rig.some_server_data(server, &mut rest, 1);
        heard.push(rig.received(client).join(" "));
    }
    assert_eq!(heard, ["one", "two", "three", "four"]);
    let mut all = &bytes[..];
    rig.some_server_data(server, &mut all, 3);
    assert_eq!(rig.received(client), ["one", "two", "three"]);
    rig.some_server_data(server, &mut all, 3);
    assert_eq!((rig.received(client), all), (vec!["four".to_owned()], &[][..]));
}

#[test]
fn a_request_for_a_temporary_key_is_answered_with_a_clear_no() {
    let (mut rig, server, _) = one_of_each();
    rig.says(server, &ServiceMessage::AccessKeyRequest(Default::default()));
    assert_eq!(rig.told(server), ["no key: NotSupported"]);
}

#[test]
fn upstream_and_the_gateways_pings_are_not_for_clients_of_hub_servers() {
    let (mut rig, server, client) = one_of_each();
    rig.invoke(client, "1", "m");
    for _ in 0..4 {
        rig.pass(Millis(14_000));
        rig.says(server, &ServiceMessage::Ping(Vec::new()));
    }
    assert!(rig.calls.is_empty() && rig.received(client).is_empty());
    assert!(!rig.finished.contains_key(&(0, client.transport)), "its silence is the server's business");
}

#[test]
fn others_sends_and_closes_reach_clients_of_hub_servers_too() {
    let (mut rig, server, client) = one_of_each();
    let message = Outgoing::call("m".into(), json("[]"));
    let to = Target::User(UserId::new("ann"));
    rig.run(0, vec![Action::Send { to, message, except: Default::default() }]);
    assert_eq!(rig.received(client), [r#"{"type":1,"target":"m","arguments":[]}"#]);
    let target = Target::Connection(client.id);
    rig.run(0, vec![Action::Close { target, except: Vec::new(), reason: None, allow_reconnect: true }]);
    assert_eq!(rig.received(client), [r#"{"type":7,"allowReconnect":true}"#]);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
}

#[test]
fn when_the_gateway_stops_hub_servers_are_told_and_their_clients_may_come_back() {
    let (mut rig, server, client) = one_of_each();
    rig.drain(0);
    rig.said_all(client);
    rig.drain(0);
    assert_eq!(rig.received(client), [r#"{"type":7,"allowReconnect":true}"#]);
    assert_eq!(rig.told(server), ["event 4 0: The gateway stops.".to_owned(), format!("close {}", client.id)]);
    assert_eq!(rig.finished_servers.len(), 1);
}

proptest! {
    /// Whatever a hub server says: a mix of what it may say, about clients that are there, with some bytes changed.
    #[test]
    fn no_bytes_of_a_hub_server_break_a_shard(
        messages in proptest::collection::vec((0..24usize, 0..3usize, 0..3u8), 1..30),
        changes in proptest::collection::vec((0..2_000usize, any::<u8>()), 0..6),
        cut in 1..200usize,
    ) {
        let mut rig = Rig::new(2, default_mode());
        let servers = [rig.server(0, "a", 1), rig.server(1, "b", 2)];
        let clients: Vec<_> = (0..3).map(|index| rig.connect_proxied(index % 2, Some("ann"), &servers).0).collect();
        rig.takes_garbage = true;
        let mut bytes = Vec::new();
        for (kind, client, group) in messages {
            let (id, group) = (clients[client].id.to_string(), format!("g{group}"));
            service::write(&any_message(kind, &id, &group), &mut bytes);
        }
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        for piece in bytes.chunks(cut) {
            rig.server_data(servers[0], piece);
        }
        rig.pass(Millis(31_000));
        for client in clients {
            rig.gone(client, CloseCause::Normal);
        }
        prop_assert!(rig.shards.iter().all(|shard| shard.is_empty()));
        prop_assert_eq!(rig.shards[1].status().hubs[0].server_connections, 0);
    }
}

fn any_message<'a>(kind: usize, id: &'a str, group: &'a str) -> ServiceMessage<'a> {
    let payloads = || both("{}\x1e");
    match kind {
        0 => ServiceMessage::Ping(vec!["status", "1"]),
        1 => ServiceMessage::Ping(vec!["shutdown", "fin:1"]),
        2 => ServiceMessage::Ping(vec!["shutdown", "fin:0"]),
        3 => ServiceMessage::Ping(vec!["servers", ""]),
        4 => ServiceMessage::CloseConnection(CloseConnection { connection_id: id, ..Default::default() }),
        5 | 6 => ServiceMessage::ConnectionData(ConnectionData {
            connection_id: AnyText(id.as_bytes()),
            payload: b"{\"type\":7}\x1e",
            ..Default::default()
        }),
        7 => ServiceMessage::MultiConnectionData(MultiConnectionData {
            connection_ids: vec![id],
            payloads: payloads(),
            ..Default::default()
        }),
        8 => ServiceMessage::UserData(UserData { user_id: "ann", payloads: payloads(), ..Default::default() }),
        9 => {
            ServiceMessage::GroupBroadcastData(GroupBroadcastData { group, payloads: payloads(), ..Default::default() })
        }
        10 => ServiceMessage::MultiGroupBroadcastData(MultiGroupBroadcastData {
            groups: vec![group],
            payloads: payloads(),
            ..Default::default()
        }),
        11..14 => ServiceMessage::JoinGroupWithAck(JoinGroupWithAck {
            connection_id: id,
            group,
            ack_id: 1,
            ..Default::default()
        }),
        14 => ServiceMessage::LeaveGroupWithAck(LeaveGroupWithAck { connection_id: id, ..Default::default() }),
        15 => {
            ServiceMessage::UserJoinGroupWithAck(UserJoinGroupWithAck { user_id: "ann", group, ..Default::default() })
        }
        16 => ServiceMessage::UserLeaveGroupWithAck(UserLeaveGroupWithAck { user_id: "ann", ..Default::default() }),
        17 => ServiceMessage::CheckGroupExistenceWithAck(CheckGroupExistenceWithAck { group, ..Default::default() }),
        18..20 => ServiceMessage::ClientInvocation(ClientInvocation {
            invocation_id: group,
            connection_id: id,
            caller_server_id: "a",
            payloads: payloads(),
            ..Default::default()
        }),
        20 => ServiceMessage::ClientCompletion(ClientCompletion {
            invocation_id: group,
            connection_id: id,
            ..Default::default()
        }),
        21 => ServiceMessage::HandshakeRequest(HandshakeRequest { version: 1, ..Default::default() }),
        22 => {
            ServiceMessage::CloseGroupConnectionsWithAck(CloseGroupConnectionsWithAck { group, ..Default::default() })
        }
        _ => ServiceMessage::Unknown(77),
    }
}
