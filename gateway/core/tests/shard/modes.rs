//! The table of modes: one test a row, each walking all three modes.
//!
//! Source: Azure SignalR Service, "Service mode in Azure SignalR Service".

use hubgate_core::CloseCause;
use hubgate_core::mode::Mode;
use hubgate_core::settings::{HubSettings, Settings};
use hubgate_core::time::Millis;
use hubgate_wire::service::{HandshakeRequest, ServiceMessage};

use crate::rig::{Client, Rig, Server, at, settings};

const ALL: [Mode; 3] = [Mode::Default, Mode::Serverless, Mode::Classic];
const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\x1e";
const CLOSED: &str = r#"{"type":7,"error":"Connection closed with an error.","allowReconnect":true}"#;

fn in_mode(mode: Mode) -> Settings {
    Settings { other_hubs: HubSettings { mode, filters: Vec::new(), messages_per_second: 0 }, ..settings() }
}

fn rig(mode: Mode) -> Rig {
    // Clients, servers and senders of these tests are on different shards.
    Rig::new(4, in_mode(mode))
}

/// Whether a connection of this type is let in.
fn lets_in(rig: &mut Rig, shard: usize, connection_type: i64) -> bool {
    let server = rig.open_server(shard, "s");
    let request = HandshakeRequest { version: 1, connection_type, ..HandshakeRequest::default() };
    rig.says(server, &ServiceMessage::HandshakeRequest(request));
    rig.told(server) == ["welcome"]
}

/// What a new client's handshake is answered with, by whomever; a hub server's answer is `{"by":"server"}`.
fn answer(rig: &mut Rig, shard: usize, servers: &[Server]) -> (Client, String) {
    let client = rig.open(shard, "chat", Some("ann"));
    rig.data(client, HANDSHAKE);
    if !rig.calls.is_empty() {
        rig.answer(Ok(None), Vec::new());
    }
    for server in servers {
        if !rig.told(*server).is_empty() {
            rig.answers(*server, client, "{\"by\":\"server\"}\x1e");
        }
    }
    let mut received = rig.received(client);
    assert_eq!(received.len(), 1, "{received:?}");
    (client, received.remove(0))
}

#[test]
fn hub_servers_are_let_in_by_default_and_classic_mode() {
    assert_eq!(ALL.map(|mode| lets_in(&mut rig(mode), 3, 0)), [true, false, true]);
    assert_eq!(ALL.map(|mode| lets_in(&mut rig(mode), 3, 1)), [true, false, true]);
}

#[test]
fn connections_that_only_send_are_let_in_by_all_modes() {
    assert_eq!(ALL.map(|mode| lets_in(&mut rig(mode), 3, 2)), [true, true, true]);
}

#[test]
fn with_a_hub_server_it_answers_the_client_except_in_serverless_mode() {
    for (mode, expected) in ALL.into_iter().zip(["{\"by\":\"server\"}", "{}", "{\"by\":\"server\"}"]) {
        let mut rig = rig(mode);
        let servers = match mode {
            Mode::Serverless => Vec::new(),
            Mode::Default | Mode::Classic => vec![rig.server(2, "s", 0)],
        };
        assert_eq!(answer(&mut rig, 1, &servers).1, expected, "{mode:?}");
    }
}

#[test]
fn without_a_hub_server_the_gateway_answers_the_client_except_in_default_mode() {
    for (mode, expected) in ALL.into_iter().zip(["app servers are not connected", "{}", "{}"]) {
        let mut rig = rig(mode);
        // One that only sends is no hub server.
        assert!(lets_in(&mut rig, 0, 2));
        assert!(answer(&mut rig, 1, &[]).1.contains(expected), "{mode:?}");
    }
}

#[test]
fn in_classic_mode_a_client_stays_what_it_was_when_it_connected() {
    let mut rig = rig(Mode::Classic);
    let (unserved, _) = answer(&mut rig, 0, &[]);
    let server = rig.server(1, "s", 0);
    let (proxied, by) = answer(&mut rig, 2, &[server]);
    assert_eq!(by, "{\"by\":\"server\"}");
    rig.invoke(unserved, "1", "m");
    let error = "Failed to invoke 'm': no hub server was connected when this connection began.";
    assert_eq!(rig.received(unserved), [format!(r#"{{"type":3,"invocationId":"1","error":"{error}"}}"#)]);
    assert!(rig.told(server).is_empty());
    rig.server_gone(server);
    assert_eq!(rig.received(proxied), [CLOSED]);
    assert!(rig.received(unserved).is_empty(), "it has nothing to do with the server");
    assert_eq!(answer(&mut rig, 2, &[]).1, "{}", "new ones are served by the gateway until a server is back");
}

#[test]
fn in_classic_mode_the_moment_of_the_decision_is_when_the_transport_opens() {
    let mut rig = rig(Mode::Classic);
    let early = rig.open(0, "chat", None);
    let server = rig.server(1, "s", 0);
    rig.data(early, HANDSHAKE);
    assert_eq!(rig.received(early), ["{}"]);
    let late = rig.open(0, "chat", None);
    rig.server_gone(server);
    rig.data(late, HANDSHAKE);
    assert!(rig.received(late)[0].contains("app servers are not connected"));
}

#[test]
fn upstream_hears_of_calls_and_connections_in_serverless_mode_alone() {
    for (mode, events) in ALL.into_iter().zip([0, 3, 0]) {
        let mut rig = rig(mode);
        let client = match mode {
            Mode::Default => {
                let server = rig.server(0, "s", 0);
                answer(&mut rig, 0, &[server]).0
            }
            Mode::Serverless | Mode::Classic => {
                let client = rig.open(0, "chat", None);
                rig.data(client, HANDSHAKE);
                client
            }
        };
        let mut heard = 0;
        let mut hear = |rig: &mut Rig| {
            while !rig.calls.is_empty() {
                rig.answer(Ok(None), Vec::new());
                heard += 1;
            }
        };
        hear(&mut rig);
        rig.invoke(client, "1", "m");
        hear(&mut rig);
        rig.gone(client, CloseCause::Normal);
        hear(&mut rig);
        assert_eq!(heard, events, "{mode:?}");
    }
}

#[test]
fn the_gateway_pings_and_misses_the_clients_that_it_answers() {
    for (mode, is_pinged) in ALL.into_iter().zip([false, true, true]) {
        let mut rig = rig(mode);
        let servers: Vec<_> = (mode == Mode::Default).then(|| rig.server(0, "s", 0)).into_iter().collect();
        let (client, _) = answer(&mut rig, 1, &servers);
        rig.pass_with_pings(Millis(15_000), &servers);
        assert_eq!(rig.received(client) == [r#"{"type":6}"#], is_pinged, "{mode:?}");
        rig.pass_with_pings(Millis(16_000), &servers);
        assert_eq!(rig.finished.get(&(1, client.transport)) == Some(&CloseCause::PingTimeout), is_pinged, "{mode:?}");
    }
}

#[test]
fn sticky_hints_count_where_there_are_hub_servers() {
    use hubgate_core::Identity;
    use hubgate_core::id::ConnectionId;
    let expected = ["The server which the client is sticky to is not found.", "{}", "The server which"];
    for (mode, expected) in ALL.into_iter().zip(expected) {
        let mut rig = rig(mode);
        let _servers: Vec<_> = (mode != Mode::Serverless).then(|| rig.server(0, "s", 0)).into_iter().collect();
        let claims = [("asrs.s.ssticky", "Required"), ("asrs.s.sn", "gone")].into_iter().collect();
        let identity = Identity { claims, ..crate::rig::identity(None) };
        let client = rig.open_with(1, "chat", ConnectionId::new(at(1), [9; 12]), identity);
        rig.data(client, HANDSHAKE);
        if !rig.calls.is_empty() {
            rig.answer(Ok(None), Vec::new());
        }
        assert!(rig.received(client)[0].contains(expected), "{mode:?}");
    }
}

/// Changes the mode of the hub on all shards.
fn switch(rig: &mut Rig, mode: Mode) {
    rig.configure(in_mode(mode));
}

/// A rig in this mode with a client that is proxied, where the mode has such, and one that is not.
fn clients_in(mode: Mode) -> (Rig, Option<Server>, Option<Client>, Option<Client>) {
    let mut rig = rig(mode);
    let gateways = (mode != Mode::Default).then(|| answer(&mut rig, 1, &[]).0);
    let server = (mode != Mode::Serverless).then(|| rig.server(2, "s", 0));
    let proxied = server.map(|server| answer(&mut rig, 1, &[server]).0);
    (rig, server, proxied, gateways)
}

#[test]
fn when_the_mode_changes_what_fits_stays_and_the_rest_may_come_back() {
    for (from, to, proxied_stays, gateways_stays) in [
        (Mode::Default, Mode::Classic, true, true),
        (Mode::Default, Mode::Serverless, false, true),
        (Mode::Classic, Mode::Default, true, false),
        (Mode::Classic, Mode::Serverless, false, true),
        (Mode::Serverless, Mode::Default, true, false),
        (Mode::Serverless, Mode::Classic, true, true),
    ] {
        let (mut rig, server, proxied, gateways) = clients_in(from);
        switch(&mut rig, to);
        rig.pass(Millis(250));
        for (client, stays) in [(proxied, proxied_stays), (gateways, gateways_stays)] {
            let Some(client) = client else { continue };
            let expected: &[&str] = if stays { &[] } else { &[CLOSED] };
            assert_eq!(rig.received(client), expected, "{from:?} to {to:?}");
            let cause = rig.finished.get(&(client.shard, client.transport)).copied();
            assert_eq!(cause, (!stays).then_some(CloseCause::ServiceModeSwitched), "{from:?} to {to:?}");
        }
        if let Some(server) = server {
            rig.pass(Millis(250));
            let is_ended = rig.finished_servers.iter().any(|(ended, _)| *ended == server.id);
            assert_eq!(is_ended, to == Mode::Serverless, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_client_that_stays_is_served_as_the_new_mode_says() {
    let (mut rig, _, _, client) = clients_in(Mode::Serverless);
    let client = client.expect("serverless hubs have such");
    switch(&mut rig, Mode::Classic);
    rig.invoke(client, "1", "m");
    assert!(rig.calls.is_empty(), "no upstream in classic mode");
    assert!(rig.received(client)[0].contains("no hub server was connected"));
    switch(&mut rig, Mode::Serverless);
    rig.invoke(client, "2", "m");
    assert_eq!(rig.calls.len(), 1);
}

#[test]
fn clients_that_do_not_fit_go_a_few_at_a_time_and_their_server_behind_the_last() {
    let mut rig = rig(Mode::Default);
    let server = rig.server(0, "s", 0);
    let clients: Vec<_> = (0..12).map(|_| answer(&mut rig, 1, &[server]).0).collect();
    switch(&mut rig, Mode::Serverless);
    assert!(!lets_in(&mut rig, 3, 0), "no more hub servers, at once");
    rig.finished_servers.clear();
    let gone = |rig: &Rig| clients.iter().filter(|client| rig.finished.contains_key(&(1, client.transport))).count();
    let mut steps = Vec::new();
    while rig.finished_servers.is_empty() {
        rig.pass(Millis(250));
        steps.push(gone(&rig));
        assert!(steps.len() < 20, "{steps:?}");
    }
    // Eight a second for four shards that look four times a second: one at a time.
    assert_eq!(steps[..12], (1..=12).collect::<Vec<_>>());
    let told = rig.told(server);
    assert_eq!(
        told.last().map(String::as_str),
        Some("error Hub 'chat' is in serverless mode: it does not accept hub servers.")
    );
}

#[test]
fn a_mode_that_changes_back_spares_those_that_have_not_gone_yet() {
    let mut rig = rig(Mode::Default);
    let server = rig.server(0, "s", 0);
    let clients: Vec<_> = (0..4).map(|_| answer(&mut rig, 1, &[server]).0).collect();
    switch(&mut rig, Mode::Serverless);
    rig.pass(Millis(250));
    switch(&mut rig, Mode::Default);
    rig.pass_with_pings(Millis(2_000), &[server]);
    let gone = clients.iter().filter(|client| rig.finished.contains_key(&(1, client.transport))).count();
    assert_eq!((gone, rig.finished_servers.len()), (1, 0));
}

#[test]
fn upstream_hears_of_the_end_of_serverless_clients_that_a_change_closes() {
    let (mut rig, ..) = clients_in(Mode::Serverless);
    switch(&mut rig, Mode::Default);
    rig.pass(Millis(250));
    assert_eq!(rig.calls.len(), 1);
}
