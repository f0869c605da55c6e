//! Clients that go to another hub server because theirs leaves.

use hubgate_core::CloseCause;
use hubgate_core::filter::{Targets, Verdict};
use hubgate_core::mode::Mode;
use hubgate_core::time::Millis;
use hubgate_wire::service::{AnyText, ConnectionData, Extensions, GroupBroadcastData, ServiceMessage};

use crate::proxied::{DROPPED, HANDSHAKE, both, closing, fin, join};
use crate::rig::{Client, Rig, Server, default_mode, filtered};

/// A hub server has so long for what it was handed last; with that, deadlines are looked at.
const SETTLING: Millis = Millis(250);
const CALL: &str = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"m\",\"arguments\":[]}\x1e";
const NEXT: &str = "{\"type\":1,\"target\":\"next\",\"arguments\":[]}\x1e";
const ANSWER: &str = "{\"type\":3,\"invocationId\":\"1\",\"result\":2}";

/// The servers `old` and `new` on two shards, and a client of the old one.
fn about_to_move() -> (Rig, Server, Server, Client) {
    let mut rig = Rig::new(2, default_mode());
    let old = rig.server(0, "old", 1);
    let (client, _) = rig.connect_proxied(1, None, &[old]);
    let new = rig.server(1, "new", 1);
    (rig, old, new, client)
}

fn leaves(rig: &mut Rig, server: Server) {
    fin(rig, server, "fin:1");
    assert_eq!(rig.told(server).last().map(String::as_str), Some("ping shutdown finack"));
}

/// That the old server has no more of the client, and what the new one is told first.
#[track_caller]
fn assert_moved(rig: &mut Rig, old: Server, new: Server, client: Client, held: &[&str]) {
    assert_eq!(rig.told(old), [format!("close {} to new", client.id)]);
    let mut expected = vec![format!("open {} from old", client.id), format!("data {HANDSHAKE}")];
    expected.extend(held.iter().map(|text| format!("data {text}")));
    assert_eq!(rig.told(new), expected);
    assert!(rig.paused.is_empty(), "it is read again");
}

#[track_caller]
fn assert_waits(rig: &mut Rig, old: Server, new: Server, client: Client) {
    assert!(rig.told(old).is_empty() && rig.told(new).is_empty());
    assert_eq!(rig.paused, [(client.shard, client.transport)]);
}

#[test]
fn clients_move_to_another_server_between_two_messages_and_do_not_notice() {
    let mut rig = Rig::new(2, default_mode());
    let old = rig.server(0, "old", 1);
    let (client, _) = rig.connect_proxied(1, Some("ann"), &[old]);
    join(&mut rig, old, client, "g", 1);
    rig.data(client, "{\"half\":");
    rig.told(old);
    let new = rig.server(1, "new", 1);
    fin(&mut rig, old, "fin:1");
    assert_eq!(rig.told(old), ["ping shutdown finack"]);
    assert!(rig.told(new).is_empty(), "not in the middle of a message");
    rig.data(client, "1}\x1e{\"whole\":1}\x1e");
    assert_eq!(rig.told(old), ["data 1}\x1e"]);
    assert!(rig.told(new).is_empty(), "the old server needs a moment for it");
    rig.pass(SETTLING);
    assert_eq!(rig.told(old), [format!("close {} to new", client.id)]);
    let expected =
        [format!("open {} from old", client.id), format!("data {HANDSHAKE}"), "data {\"whole\":1}\x1e".to_owned()];
    assert_eq!(rig.told(new), expected);
    assert!(rig.paused.is_empty());

    rig.answers(old, client, "{\"type\":7}\x1e");
    rig.says(old, &ServiceMessage::CloseConnection(closing(client, None)));
    let answer = Extensions { data_type: Some(1), ..Extensions::default() };
    let id = client.id;
    let again = ConnectionData { connection_id: AnyText(id.as_bytes()), payload: b"{}\x1e", extensions: answer };
    rig.says(new, &ServiceMessage::ConnectionData(again));
    assert!(rig.received(client).is_empty(), "it hears neither the old server's Close nor a second answer");
    rig.answers(new, client, "{\"type\":6}\x1e");
    rig.says(
        new,
        &ServiceMessage::GroupBroadcastData(GroupBroadcastData {
            group: "g",
            payloads: both("kept\x1e"),
            ..GroupBroadcastData::default()
        }),
    );
    assert_eq!(rig.received(client), ["{\"type\":6}", "kept"]);
    rig.server_gone(old);
    assert!(rig.received(client).is_empty());
    rig.server_gone(new);
    assert_eq!(rig.received(client), [DROPPED]);
}

#[test]
fn a_client_whose_handshake_is_not_answered_begins_anew_at_another_server() {
    let mut rig = Rig::new(1, default_mode());
    let old = rig.server(0, "old", 1);
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    rig.told(old);
    let new = rig.server(0, "new", 0);
    fin(&mut rig, old, "fin:1");
    assert_eq!(rig.told(old), ["ping shutdown finack".to_owned(), format!("close {}", client.id)]);
    assert_eq!(rig.told(new), [format!("open {}", client.id), format!("data {HANDSHAKE}")]);
    rig.answers(new, client, "{}\x1e");
    assert_eq!(rig.received(client), ["{}"]);
}

#[test]
fn clients_of_a_lost_server_move_where_it_has_allowed_that() {
    let mut rig = Rig::new(2, default_mode());
    let old = rig.server(0, "old", 2);
    let whole = rig.connect_proxied(1, None, &[old]).0;
    let half = rig.connect_proxied(0, None, &[old]).0;
    rig.data(half, "{");
    rig.told(old);
    let waiting = rig.connect_proxied(1, None, &[old]).0;
    rig.data(waiting, CALL);
    let new = rig.server(0, "new", 0);
    rig.server_gone(old);
    assert_eq!(rig.received(half), [DROPPED], "the beginning of its message is lost");
    assert_eq!(rig.received(waiting), [DROPPED], "nobody would answer its call");
    assert!(rig.received(whole).is_empty());
    assert_eq!(rig.told(new), [format!("open {} from old", whole.id), format!("data {HANDSHAKE}")]);
}

#[test]
fn a_client_that_moves_away_from_a_congested_server_is_read_again() {
    let mut rig = Rig::new(1, default_mode());
    let old = rig.server(0, "old", 1);
    let (client, _) = rig.connect_proxied(0, None, &[old]);
    rig.congested(old, true);
    assert_eq!(rig.paused, [(0, client.transport)]);
    rig.server(0, "new", 0);
    fin(&mut rig, old, "fin:1");
    assert!(rig.paused.is_empty());
}

#[test]
fn a_client_that_waits_for_nothing_moves_at_once() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    rig.answers(old, client, &format!("{ANSWER}\x1e"));
    rig.told(old);
    rig.pass(SETTLING);
    fin(&mut rig, old, "fin:1");
    let told = rig.told(old);
    assert_eq!(told, ["ping shutdown finack".to_owned(), format!("close {} to new", client.id)]);
    assert_eq!(rig.told(new)[0], format!("open {} from old", client.id));
    assert!(rig.paused.is_empty());
}

#[test]
fn the_old_server_has_a_moment_for_what_it_was_handed_last() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, NEXT);
    rig.told(old);
    leaves(&mut rig, old);
    rig.pass(Millis(99));
    assert_waits(&mut rig, old, new, client);
    rig.pass(SETTLING);
    assert_moved(&mut rig, old, new, client, &[]);
}

#[test]
fn a_call_is_answered_by_the_old_server_and_what_the_client_says_meanwhile_goes_to_the_new_one() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    rig.told(old);
    leaves(&mut rig, old);
    rig.pass(SETTLING);
    assert_waits(&mut rig, old, new, client);
    // It had been read before the transport was asked for no more.
    rig.data(client, &NEXT[..9]);
    rig.data(client, &NEXT[9..]);
    rig.answers(old, client, &ANSWER[..20]);
    assert_waits(&mut rig, old, new, client);
    rig.answers(old, client, &format!("{}\x1e{{\"type\":1", &ANSWER[20..]));
    assert_waits(&mut rig, old, new, client);
    rig.answers(old, client, "}\x1e");
    assert_eq!(rig.received(client), [ANSWER, "{\"type\":1}"]);
    assert_moved(&mut rig, old, new, client, &[NEXT]);
    rig.data(client, CALL);
    assert_eq!(rig.told(new), [format!("data {CALL}")]);
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_no_longer_than_a_second() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    rig.told(old);
    leaves(&mut rig, old);
    rig.pass(Millis(749));
    assert_waits(&mut rig, old, new, client);
    rig.pass(SETTLING);
    assert_moved(&mut rig, old, new, client, &[]);
    // The new server owes it nothing.
    let third = rig.server(0, "third", 0);
    rig.pass(SETTLING);
    fin(&mut rig, new, "fin:1");
    assert_eq!(rig.told(third)[0], format!("open {} from new", client.id));
}

#[test]
fn who_is_called_by_hub_servers_is_answered_while_it_moves() {
    use hubgate_wire::service::ClientInvocation;
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    leaves(&mut rig, old);
    let call = ClientInvocation {
        invocation_id: "i",
        connection_id: client.id.as_str(),
        caller_server_id: "new",
        payloads: both("ask\x1e"),
        ..ClientInvocation::default()
    };
    rig.says(new, &ServiceMessage::ClientInvocation(call));
    assert_eq!(rig.told(new), ["failed i: The connection is moving to another server."]);
    assert!(rig.received(client).is_empty());
}

#[test]
fn a_client_stays_and_is_read_when_there_is_no_other_server_any_more() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    rig.told(old);
    leaves(&mut rig, old);
    rig.data(client, NEXT);
    rig.server_gone(new);
    rig.pass(Millis(1_000));
    assert_eq!(rig.told(old), [format!("data {NEXT}")]);
    assert!(rig.paused.is_empty());
    rig.data(client, NEXT);
    assert_eq!(rig.told(old), [format!("data {NEXT}")]);
}

#[test]
fn a_client_whose_server_breaks_off_meanwhile_moves_then() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    leaves(&mut rig, old);
    rig.data(client, NEXT);
    rig.server_gone(old);
    let expected = [format!("open {} from old", client.id), format!("data {HANDSHAKE}"), format!("data {NEXT}")];
    assert_eq!(rig.told(new), expected);
    assert!(rig.received(client).is_empty() && rig.paused.is_empty());
}

#[test]
fn a_client_that_goes_meanwhile_is_nobodys() {
    let (mut rig, old, new, client) = about_to_move();
    rig.data(client, CALL);
    rig.told(old);
    leaves(&mut rig, old);
    rig.gone(client, CloseCause::TransportLost);
    assert_eq!(rig.told(old), [format!("close {}", client.id)]);
    rig.pass(Millis(1_000));
    assert!(rig.told(new).is_empty() && rig.shards.iter().all(|shard| shard.is_empty()));
}

#[test]
fn what_filters_look_at_while_the_client_moves_goes_to_the_new_server_first() {
    let mut rig = Rig::new(1, filtered(Mode::Default, Targets::All));
    let old = rig.server(0, "old", 1);
    let (client, _) = rig.connect_proxied(0, None, &[old]);
    let new = rig.server(0, "new", 1);
    rig.data(client, CALL);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(old), [format!("data {CALL}")]);
    rig.data(client, NEXT);
    rig.let_wait();
    leaves(&mut rig, old);
    rig.data(client, CALL);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.paused, [(0, client.transport)]);
    rig.pass(Millis(1_000));
    assert_moved(&mut rig, old, new, client, &[NEXT]);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.told(new), [format!("data {CALL}")]);
}

#[test]
fn what_a_client_said_before_its_handshake_was_answered_is_answered_too() {
    let mut rig = Rig::new(1, default_mode());
    let old = rig.server(0, "old", 1);
    let client = rig.open(0, "chat", None);
    rig.data(client, &format!("{HANDSHAKE}{CALL}"));
    rig.told(old);
    let new = rig.server(0, "new", 1);
    leaves(&mut rig, old);
    rig.pass(SETTLING);
    assert_waits(&mut rig, old, new, client);
    rig.answers(old, client, &format!("{{}}\x1e{ANSWER}\x1e"));
    assert_eq!(rig.received(client), ["{}", ANSWER]);
    assert_moved(&mut rig, old, new, client, &[]);
}
