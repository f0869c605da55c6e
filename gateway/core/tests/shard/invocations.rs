//! Calls of clients by hub servers, and by connections that only send.

use hubgate_core::CloseCause;
use hubgate_core::id::ConnectionId;
use hubgate_core::mode::Mode;
use hubgate_core::settings::{HubSettings, Settings};
use hubgate_core::time::Millis;
use hubgate_wire::service::{ClientCompletion, ClientInvocation, ErrorCompletion, ServiceMessage};

use crate::addresses::of_another_gateway;
use crate::proxied::{both, fin, one_of_each};
use crate::rig::{Client, Rig, Server, at, default_mode, settings};

fn invoke(rig: &mut Rig, server: Server, caller: &str, client: ConnectionId, invocation: &str) {
    invoke_any(rig, server, caller, client.as_str(), invocation);
}

/// The same of whatever has this id.
fn invoke_any(rig: &mut Rig, server: Server, caller: &str, client: &str, invocation: &str) {
    let call = ClientInvocation {
        invocation_id: invocation,
        connection_id: client,
        caller_server_id: caller,
        payloads: both("ask\x1e"),
        ..ClientInvocation::default()
    };
    rig.says(server, &ServiceMessage::ClientInvocation(call));
}

fn complete(rig: &mut Rig, server: Server, client: ConnectionId, invocation: &str, completing: &str) {
    let completion = ClientCompletion {
        invocation_id: invocation,
        connection_id: client.as_str(),
        caller_server_id: completing,
        protocol: "json",
        payload: b"result",
        ..ClientCompletion::default()
    };
    rig.says(server, &ServiceMessage::ClientCompletion(completion));
}

/// Servers `a` and `b` on two shards, and a client of `b` on a third.
fn client_of_b() -> (Rig, Server, Server, Client) {
    let mut rig = Rig::new(3, default_mode());
    let b = rig.server(1, "b", 1);
    let (client, _) = rig.connect_proxied(2, None, &[b]);
    let a = rig.server(0, "a", 0);
    (rig, a, b, client)
}

#[test]
fn a_servers_call_of_its_own_client_is_between_them() {
    let (mut rig, server, client) = one_of_each();
    invoke(&mut rig, server, "a", client.id, "i");
    assert_eq!(rig.received(client), ["ask"]);
    assert!(rig.told(server).is_empty());
    complete(&mut rig, server, client.id, "i", "a");
    rig.gone(client, CloseCause::Normal);
    assert_eq!(rig.told(server), [format!("close {}", client.id)], "nothing is left to fail");
}

#[test]
fn a_call_of_another_servers_client_is_announced_there_and_its_answer_comes_back() {
    let (mut rig, a, b, client) = client_of_b();
    invoke(&mut rig, a, "a", client.id, "i");
    assert_eq!(rig.told(b), ["call i"], "before the client can have answered");
    assert_eq!(rig.told(a), ["mapping i"]);
    assert_eq!(rig.received(client), ["ask"]);
    complete(&mut rig, b, client.id, "i", "b");
    complete(&mut rig, b, client.id, "i", "b");
    assert_eq!(rig.told(a), ["done i result"], "once");
}

#[test]
fn the_answer_finds_another_connection_of_a_caller_whose_own_is_lost() {
    let (mut rig, a, b, client) = client_of_b();
    let other = rig.server(2, "a", 0);
    invoke(&mut rig, a, "a", client.id, "i");
    rig.server_gone(a);
    complete(&mut rig, b, client.id, "i", "b");
    assert_eq!(rig.told(other), ["done i result"]);
}

#[test]
fn a_call_that_cannot_be_answered_fails_at_once() {
    let (mut rig, a, b, client) = client_of_b();
    let absent = ConnectionId::new(at(1), [99; 12]);
    invoke(&mut rig, a, "a", absent, "i");
    assert_eq!(rig.told(a), ["failed i: The connection does not exist."]);
    for server_goes in [false, true] {
        let (mut rig, a, b, client) = client_of_b();
        invoke(&mut rig, a, "a", client.id, "i");
        assert_eq!(rig.told(a), ["mapping i"]);
        match server_goes {
            false => rig.gone(client, CloseCause::TransportLost),
            true => rig.server_gone(b),
        }
        assert_eq!(rig.told(a), ["failed i: The connection ended before it answered."]);
    }
    invoke(&mut rig, a, "a", client.id, "late");
    rig.told(a);
    rig.pass_with_pings(Millis(600_500), &[a, b]);
    assert!(rig.told(a).contains(&"failed late: The connection did not answer in time.".to_owned()));
}

#[test]
fn calls_of_a_client_that_moves_fail() {
    let (mut rig, a, b, client) = client_of_b();
    invoke(&mut rig, a, "a", client.id, "i");
    rig.told(a);
    fin(&mut rig, b, "fin:1");
    assert_eq!(rig.told(a)[0], "failed i: The connection has moved to another server.");
}

pub(crate) fn in_mode(mode: Mode) -> Settings {
    Settings { other_hubs: HubSettings { mode, filters: Vec::new(), messages_per_second: 0 }, ..settings() }
}

#[test]
fn a_connection_that_only_sends_gets_the_answer_to_its_call_on_whatever_shard() {
    for (mode, shard) in [Mode::Default, Mode::Classic].into_iter().zip([0, 1]) {
        for of_client in 0..3 {
            let mut rig = Rig::new(3, in_mode(mode));
            let server = rig.server(2, "b", 0);
            let weak = rig.weak(shard, "weak");
            let (client, _) = rig.connect_proxied(of_client, None, &[server]);
            invoke(&mut rig, weak, "weak", client.id, "i");
            assert_eq!(rig.told(server), ["call i"], "{mode:?}");
            assert_eq!(rig.told(weak), ["mapping i"], "{mode:?}");
            assert_eq!(rig.received(client), ["ask"], "{mode:?}");
            complete(&mut rig, server, client.id, "i", "b");
            assert_eq!(rig.told(weak), ["done i result"], "{mode:?}");
            invoke(&mut rig, weak, "weak", client.id, "j");
            rig.told(weak);
            rig.gone(client, CloseCause::Normal);
            assert_eq!(rig.told(weak), ["failed j: The connection ended before it answered."], "{mode:?}");
        }
    }
}

#[test]
fn it_is_told_on_whatever_shard_that_nobody_can_answer() {
    for mode in [Mode::Serverless, Mode::Classic] {
        for of_client in 0..2 {
            let mut rig = Rig::new(2, in_mode(mode));
            let weak = rig.weak(0, "weak");
            let client = rig.connect(of_client, None);
            invoke(&mut rig, weak, "weak", client.id, "i");
            assert_eq!(rig.told(weak), ["failed i: The connection is not served by a hub server."], "{mode:?}");
            assert!(rig.received(client).is_empty(), "{mode:?}");
        }
    }
}

#[test]
fn the_answer_finds_another_connection_of_one_that_only_sends() {
    for other in 0..3 {
        let (mut rig, _, b, client) = client_of_b();
        let weak = rig.weak(0, "weak");
        let another = rig.weak(other, "weak");
        invoke(&mut rig, weak, "weak", client.id, "i");
        rig.server_gone(weak);
        complete(&mut rig, b, client.id, "i", "b");
        assert_eq!(rig.told(another), ["done i result"]);
    }
}

#[test]
fn a_call_of_what_can_be_no_connection_fails_at_once() {
    let mut settings = default_mode();
    settings.limits.server_message = 10_000;
    let mut rig = Rig::new(2, settings);
    let (server, weak) = (rig.server(0, "a", 0), rig.weak(1, "weak"));
    let nowhere = ConnectionId::new(at(9), [99; 12]);
    let long = "x".repeat(1_025);
    let elsewhere = of_another_gateway(ConnectionId::new(at(0), [1; 12]));
    for id in ["absent", "", "????????????????????????", "größe", nowhere.as_str(), elsewhere.as_str(), &long] {
        for (asker, name) in [(server, "a"), (weak, "weak")] {
            invoke_any(&mut rig, asker, name, id, "i");
            let told = rig.told_raw(asker);
            let [answer] = &told[..] else { panic!("one answer for '{id}': {told:?}") };
            let expected = ErrorCompletion {
                invocation_id: "i",
                connection_id: id,
                caller_server_id: name,
                error: "The connection does not exist.",
                ..ErrorCompletion::default()
            };
            let answer = hubgate_wire::service::parse(answer);
            assert_eq!(answer, Ok(ServiceMessage::ErrorCompletion(expected)), "{id}");
        }
    }
    invoke_any(&mut rig, server, "a", "absent", &long);
    let error = "An id of the call, or of its server, has more than 1024 characters.";
    assert_eq!(rig.told(server), [format!("failed {long}: {error}")]);
    assert!(rig.skipped.is_empty());
}
