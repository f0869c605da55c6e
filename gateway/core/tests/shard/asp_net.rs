//! Hub servers and clients of ASP.NET SignalR.

use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::mode::Mode;
use hubgate_core::settings::{HubSettings, Settings};
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Family, Identity, Input, Return, ReturningClient};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::service::{
    self, BroadcastData, CloseConnection, GroupBroadcastData, HandshakeRequest, JoinGroupWithAck, LeaveGroupWithAck,
    ServiceMessage, UserData,
};

use crate::rig::{Client, Rig, Server, at, default_mode, hub, identity, settings};

const APP: &str = "aspnet:app_app";
const CHAT: &str = "aspnet:app_chat";
const NEWS: &str = "aspnet:app_news";
const INIT: &str = r#"{"C":"0","S":1,"M":[]}"#;
const OFFLINE: &str = r#"{"E":"Server offline"}"#;

/// A client with what opens its transports.
#[derive(Debug, Clone, Copy)]
struct Older {
    client: Client,
    token: ConnectionId,
}

fn rig(shards: u16) -> Rig {
    Rig::new(shards, default_mode())
}

/// A connection of the server `name` in a hub, let in.
fn server(rig: &mut Rig, shard: usize, of: &str, name: &str) -> Server {
    let server = rig.open_server_of(shard, of, name);
    rig.says(server, &ServiceMessage::HandshakeRequest(HandshakeRequest { version: 1, ..HandshakeRequest::default() }));
    assert_eq!(rig.told(server), ["welcome"]);
    server
}

/// A client of the application whose transport is open, and which has named these hubs.
fn open(rig: &mut Rig, shard: usize, user: Option<&str>, hubs: &[&str]) -> Older {
    open_as(rig, shard, identity(user), hubs)
}

fn open_as(rig: &mut Rig, shard: usize, identity: Identity, hubs: &[&str]) -> Older {
    rig.family = Family::AspNet { also_in: hubs.iter().map(|name| hub(name)).collect() };
    let number = rig.shards[shard].next_transport();
    let mut random = [0x11; 12];
    let text = format!("{number:?}");
    text.bytes().zip(&mut random).for_each(|(byte, place)| *place = byte);
    let id = ConnectionId::new(at(shard), random);
    random[11] = 0xff;
    let token = ConnectionId::new(at(shard), random);
    let client = rig.open_by_token(shard, APP, (id, Some(token)), identity);
    Older { client, token }
}

fn start(rig: &mut Rig, client: Older) {
    let query = "connectionToken=t&user=ann".into();
    rig.feed(client.client.shard, Input::ClientStarted { token: client.token, query });
}

/// A client that is let in, with the init message taken off, and the server connection of these that was told of it.
fn connect(rig: &mut Rig, shard: usize, user: Option<&str>, hubs: &[&str], servers: &[Server]) -> (Older, Server) {
    let client = open(rig, shard, user, hubs);
    start(rig, client);
    assert_eq!(rig.received(client.client), [INIT]);
    let told: Vec<_> = servers.iter().filter(|server| !rig.told(**server).is_empty()).copied().collect();
    let [server] = told[..] else { panic!("one server is told: {told:?}") };
    (client, server)
}

/// A message as hub servers wrap it for clients.
fn wrapped(text: &str) -> Vec<u8> {
    let mut body = vec![0x94, 0x06, 0xa0, 0xc5];
    body.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_be_bytes());
    body.extend_from_slice(text.as_bytes());
    body.push(0x80);
    let mut message = Vec::new();
    hubgate_wire::signalr::framing::write_binary_message(&mut message, |out| out.extend_from_slice(&body));
    message
}

fn message(text: &str) -> String {
    format!(r#"{{"C":"0","M":["{text}"]}}"#)
}

fn broadcast(rig: &mut Rig, server: Server, text: &str, excluded: &[&str]) {
    let payload = wrapped(&message(text));
    let payloads = vec![("json", &payload[..])];
    rig.says(
        server,
        &ServiceMessage::BroadcastData(BroadcastData {
            excluded: excluded.to_vec(),
            payloads,
            ..BroadcastData::default()
        }),
    );
}

fn to_one(rig: &mut Rig, server: Server, client: Older, text: &str) {
    rig.answers_with(server, client.client, &wrapped(text));
}

/// What a client got, without the cursors; each message that has one has its own.
fn got(rig: &mut Rig, client: Older) -> Vec<String> {
    rig.received(client.client).iter().map(|text| without_cursor(text)).collect()
}

fn without_cursor(text: &str) -> String {
    match cursor(text) {
        Some(cursor) => {
            text.replacen(&format!(r#""C":"{cursor}","#), "", 1).replace(r#"{"M":[""#, "").replace(r#""]}"#, "")
        }
        None => text.to_owned(),
    }
}

fn cursor(text: &str) -> Option<&str> {
    text.strip_prefix(r#"{"C":""#)?.split('"').next()
}

fn returns(rig: &mut Rig, client: &mut Older, why: Return, by: Transport) {
    let shard = client.client.shard;
    let transport = rig.shards[shard].next_transport();
    client.client.transport = transport;
    let returning = ReturningClient { token: client.token, transport: by, why };
    rig.feed(shard, Input::ClientReturned { transport, client: returning });
}

fn may_return(rig: &Rig, client: Older) -> bool {
    rig.shards[client.client.shard].may_return(client.token, &hub(APP), rig.now)
}

#[test]
fn a_hub_and_one_of_asp_net_core_of_the_same_name_are_two() {
    let of_core = HubName::parse("app_chat").expect("a name");
    let older = HubName::asp_net("App_Chat").expect("a name");
    assert_eq!((older.as_str(), older.configured(), older.is_asp_net()), (CHAT, "app_chat", true));
    assert!(of_core != older && !of_core.is_asp_net() && of_core.configured() == "app_chat");
    assert!(HubName::parse(CHAT).is_err(), "nobody reaches it as a hub of ASP.NET Core");
    assert_eq!(HubName::read(CHAT).expect("its text"), older);
    for wrong in ["app", "", "a_\u{1f}", "a_b\"", &format!("a_{}", "b".repeat(300))] {
        assert!(HubName::asp_net(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_client_is_greeted_first_and_its_application_hears_of_it_once_it_has_started() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let claims = [("aud", "x"), ("exp", "9"), ("nameid", "ann"), ("asrs.s.apn", "App")].into_iter().collect();
    let identity = Identity { query: "of=connect".into(), claims, ..identity(Some("ann")) };
    let client = open_as(&mut rig, 0, identity, &[CHAT]);
    assert_eq!((rig.received(client.client), rig.told(app).len()), (vec![INIT.to_owned()], 0));
    start(&mut rig, client);
    let told = rig.told_raw(app);
    assert_eq!(told.len(), 1, "nothing but that it opens");
    let ServiceMessage::OpenConnection(open) = service::parse(&told[0]).expect("a message") else {
        panic!("not a client");
    };
    assert_eq!((open.connection_id, open.query), (client.client.id.as_str(), "?connectionToken=t&user=ann"));
    assert_eq!(open.extensions, Default::default());
    let names: Vec<&str> = open.claims.iter().map(|(name, _)| *name).collect();
    let name = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
    assert_eq!(names, [name, "asrs.s.apn"], "none that only its token is about");
    start(&mut rig, client);
    assert!(rig.told(app).is_empty(), "it starts once");
}

#[test]
fn what_a_client_says_reaches_its_server_message_by_message_and_bare() {
    let mut rig = rig(2);
    let app = server(&mut rig, 0, APP, "a");
    let early = open(&mut rig, 1, None, &[CHAT]);
    rig.data(early.client, "{\"early\":1}\x1e");
    assert!(rig.told(app).is_empty(), "nothing is read before it has started");
    start(&mut rig, early);
    rig.data(early.client, "{\"I\":0}\x1e{\"I\"");
    rig.data(early.client, ":1}\x1eno JSON\x1e");
    let opened = format!("open {}", early.client.id);
    assert_eq!(
        rig.told(app),
        [opened.as_str(), "data {\"early\":1}", "data {\"I\":0}", "data {\"I\":1}", "data no JSON"]
    );
}

#[test]
fn a_broadcast_reaches_those_who_have_named_the_hub_each_message_with_a_cursor_of_its_own() {
    let mut rig = rig(2);
    let (app, chat) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 1, CHAT, "a"));
    let (both, _) = connect(&mut rig, 0, None, &[CHAT, NEWS], &[app]);
    let (other, _) = connect(&mut rig, 1, None, &[NEWS], &[app]);
    let (third, _) = connect(&mut rig, 1, None, &[CHAT], &[app]);
    broadcast(&mut rig, chat, "one", &[]);
    broadcast(&mut rig, chat, "two", &[third.client.id.as_str(), "nobody"]);
    let received = rig.received(both.client);
    let cursors: Vec<_> = received.iter().map(|text| cursor(text).expect("a cursor").to_owned()).collect();
    assert!(cursors[0] != cursors[1] && !cursors.contains(&"0".to_owned()), "{cursors:?}");
    assert_eq!(received.iter().map(|text| without_cursor(text)).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((got(&mut rig, other), got(&mut rig, third)), (vec![], vec!["one".to_owned()]));
}

#[test]
fn a_client_is_one_connection_whatever_hubs_it_has_named_and_is_gone_from_all_of_them() {
    let mut rig = rig(1);
    let (app, chat) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 0, CHAT, "a"));
    let (client, _) = connect(&mut rig, 0, Some("ann"), &[CHAT, NEWS, CHAT, APP], &[app]);
    let count = |rig: &Rig| rig.shards[0].status().hubs.iter().map(|hub| hub.client_count()).sum::<usize>();
    assert_eq!(count(&rig), 1);
    rig.says(chat, &ServiceMessage::Ping(vec!["status", "1"]));
    assert_eq!(rig.told(chat), ["ping status 1 clientcount 1"]);
    rig.feed(0, Input::ClientAborted { token: client.token });
    assert_eq!(rig.told(app), [format!("close {}", client.client.id)]);
    assert_eq!((rig.finished[&(0, client.client.transport)], count(&rig)), (CloseCause::Normal, 0));
    rig.says(chat, &ServiceMessage::Ping(vec!["status", "1"]));
    assert_eq!(rig.told(chat), ["ping status 0 clientcount 0"]);
    rig.gone(client.client, CloseCause::Normal);
    assert!(rig.shards[0].is_empty() && rig.received(client.client).is_empty());
}

#[test]
fn a_user_is_reached_in_the_hub_that_sends_and_in_no_other() {
    let mut rig = rig(2);
    let (app, chat) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 0, CHAT, "a"));
    let (in_chat, _) = connect(&mut rig, 1, Some("a.n"), &[CHAT], &[app]);
    let (in_news, _) = connect(&mut rig, 1, Some("a.n"), &[NEWS], &[app]);
    let payload = wrapped(&message("hi"));
    let payloads = vec![("json", &payload[..])];
    rig.says(chat, &ServiceMessage::UserData(UserData { user_id: "a.n", payloads, ..UserData::default() }));
    assert_eq!((got(&mut rig, in_chat), got(&mut rig, in_news)), (vec!["hi".to_owned()], vec![]));
}

#[test]
fn groups_are_the_applications_and_any_of_its_connections_changes_them() {
    let mut rig = rig(2);
    let (app, second) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 1, APP, "b"));
    let (client, _) = connect(&mut rig, 1, None, &[CHAT], &[app, second]);
    let (group, id) = ("hg-Chat.G.1", client.client.id.to_string());
    for server in [app, second] {
        let join = JoinGroupWithAck { connection_id: &id, group, ack_id: 7, ..JoinGroupWithAck::default() };
        rig.says(server, &ServiceMessage::JoinGroupWithAck(join));
        assert_eq!(rig.told(server), ["ack 7 1"]);
    }
    let payload = wrapped(&message("in"));
    let send = |rig: &mut Rig, server| {
        let payloads = vec![("json", &payload[..])];
        let send = GroupBroadcastData { group, payloads, ..GroupBroadcastData::default() };
        rig.says(server, &ServiceMessage::GroupBroadcastData(send));
    };
    send(&mut rig, app);
    assert_eq!(got(&mut rig, client), ["in"]);
    let leave = LeaveGroupWithAck { connection_id: &id, group: Some(group), ack_id: 8, ..LeaveGroupWithAck::default() };
    rig.says(second, &ServiceMessage::LeaveGroupWithAck(leave));
    send(&mut rig, second);
    assert_eq!((rig.told(second), got(&mut rig, client)), (vec!["ack 8 1".to_owned()], vec![]));
    let nobody = ConnectionId::new(at(0), [9; 12]).to_string();
    let join = JoinGroupWithAck { connection_id: &nobody, group, ack_id: 9, ..JoinGroupWithAck::default() };
    rig.says(app, &ServiceMessage::JoinGroupWithAck(join));
    assert_eq!(rig.told(app), ["ack 9 2"]);
}

#[test]
fn any_connection_of_the_application_sends_to_any_of_its_clients() {
    let mut rig = rig(2);
    let (app, second) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 1, APP, "b"));
    let (client, own) = connect(&mut rig, 1, None, &[CHAT], &[app, second]);
    let other = if own == app { second } else { app };
    to_one(&mut rig, own, client, r#"{"I":"0","R":1}"#);
    to_one(&mut rig, other, client, &message("other"));
    assert_eq!(got(&mut rig, client), [r#"{"I":"0","R":1}"#, "other"]);
    let stranger = server(&mut rig, 0, "aspnet:app2_app2", "c");
    to_one(&mut rig, stranger, client, &message("stranger"));
    assert!(got(&mut rig, client).is_empty(), "another application does not reach it");
}

#[test]
fn what_is_not_wrapped_is_not_sent_and_counted() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let (client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    rig.answers(app, client.client, "bare");
    assert_eq!((rig.skipped.len(), rig.received(client.client).len()), (1, 0));
    let twice = [wrapped(&message("one")), wrapped(&message("two"))].concat();
    rig.answers_with(app, client.client, &twice);
    assert_eq!(got(&mut rig, client), ["one", "two"], "several in order");
}

#[test]
fn a_client_without_a_server_is_told_so_also_in_classic_mode() {
    for mode in [Mode::Default, Mode::Classic] {
        let other_hubs = HubSettings { mode, filters: Vec::new(), messages_per_second: 0 };
        let mut rig = Rig::new(1, Settings { other_hubs, ..settings() });
        let chat = server(&mut rig, 0, CHAT, "a");
        let client = open(&mut rig, 0, None, &[CHAT]);
        start(&mut rig, client);
        let [init, error] = &rig.received(client.client)[..] else { panic!("two messages") };
        assert!(init == INIT && error.starts_with(r#"{"E":"#), "{error}");
        assert_eq!(rig.finished[&(0, client.client.transport)], CloseCause::NoAvailableServerConnection);
        assert!(rig.told(chat).is_empty(), "hub connections get no clients");
    }
}

#[test]
fn a_client_that_does_not_start_in_time_is_given_up() {
    let mut rig = rig(1);
    let client = open(&mut rig, 0, None, &[CHAT]);
    rig.pass(Millis(15_000));
    assert_eq!(rig.received(client.client), [INIT, r#"{"E":"Handshake was canceled."}"#]);
    assert_eq!(rig.finished[&(0, client.client.transport)], CloseCause::HandshakeError);
}

#[test]
fn a_client_whose_server_is_gone_is_told_so_and_its_end_is_an_error_first() {
    let mut rig = rig(2);
    let app = server(&mut rig, 0, APP, "a");
    let (client, _) = connect(&mut rig, 1, None, &[CHAT], &[app]);
    rig.server_gone(app);
    assert_eq!(rig.received(client.client), [OFFLINE]);
    assert_eq!(rig.finished[&(1, client.client.transport)], CloseCause::ServerConnectionClosed);
}

#[test]
fn the_text_of_a_refusal_is_for_clients_whose_application_wants_it_shown() {
    for (claim, shown) in [("true", true), ("True", true), ("false", false)] {
        let mut rig = rig(1);
        let app = server(&mut rig, 0, APP, "a");
        let claims = [("asrs.s.derror", claim)].into_iter().collect();
        let client = open_as(&mut rig, 0, Identity { claims, ..identity(None) }, &[CHAT]);
        start(&mut rig, client);
        let close = CloseConnection {
            connection_id: client.client.id.as_str(),
            error: Some("why"),
            ..CloseConnection::default()
        };
        rig.says(app, &ServiceMessage::CloseConnection(close));
        let [_, error] = &rig.received(client.client)[..] else { panic!("two messages") };
        assert_eq!((error.starts_with(r#"{"E":""#), error.contains("why")), (true, shown), "{error}");
    }
}

#[test]
fn what_was_sent_after_the_message_that_a_client_names_comes_again_in_order_and_its_server_hears_of_the_return() {
    let mut rig = rig(2);
    let (app, chat) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 0, CHAT, "a"));
    let (mut client, _) = connect(&mut rig, 1, None, &[CHAT], &[app]);
    for text in ["one", "two"] {
        broadcast(&mut rig, chat, text, &[]);
    }
    to_one(&mut rig, app, client, r#"{"I":"0","R":1}"#);
    let received = rig.received(client.client);
    let first = cursor(&received[0]).expect("a cursor").to_owned();
    for cause in [CloseCause::TransportLost, CloseCause::Normal] {
        rig.gone(client.client, cause);
        assert!(may_return(&rig, client) && rig.told(app).is_empty(), "{cause:?}");
        broadcast(&mut rig, chat, "three", &[]);
        returns(&mut rig, &mut client, Return::After(first.as_str().into()), Transport::WebSockets);
        let again = got(&mut rig, client);
        assert_eq!(again[..2], ["two", "three"], "the result of a call has no cursor: {again:?}");
        assert_eq!(rig.told(app), ["data asrs:reconnect"]);
    }
    broadcast(&mut rig, chat, "four", &[]);
    assert_eq!(got(&mut rig, client), ["four"]);
    rig.data(client.client, "{\"I\":1}\x1e");
    assert_eq!(rig.told(app), ["data {\"I\":1}"]);
}

#[test]
fn a_result_for_a_client_that_is_away_comes_once_when_it_returns() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let (mut client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    rig.cut(client.client);
    to_one(&mut rig, app, client, r#"{"I":"0","R":1}"#);
    for expected in [&[r#"{"I":"0","R":1}"#][..], &[]] {
        returns(&mut rig, &mut client, Return::After("0".into()), Transport::WebSockets);
        assert_eq!(rig.received(client.client), expected);
        rig.cut(client.client);
    }
}

#[test]
fn a_client_that_does_not_return_in_time_is_over_and_its_server_hears_so() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let (client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    rig.cut(client.client);
    rig.pass_with_pings(Millis(31_000), &[app]);
    assert!(may_return(&rig, client));
    rig.told(app);
    rig.pass_with_pings(Millis(1_500), &[app]);
    assert!(!may_return(&rig, client));
    let told = rig.told(app);
    assert!(told.contains(&format!("close {}", client.client.id)), "{told:?}");
    assert_eq!(rig.ended_waiting, [(client.client.id, CloseCause::TransportLost)]);
}

#[test]
fn a_client_that_polls_is_over_when_its_polls_end() {
    let mut rig = rig(1);
    rig.transport = Transport::LongPolling;
    let app = server(&mut rig, 0, APP, "a");
    let (client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    rig.gone(client.client, CloseCause::PingTimeout);
    assert_eq!(rig.told(app), [format!("close {}", client.client.id)]);
    assert!(!may_return(&rig, client));
}

#[test]
fn a_client_that_tries_another_transport_is_greeted_anew_and_told_of_once() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let mut client = open(&mut rig, 0, None, &[CHAT]);
    let before = client.client.transport;
    assert_eq!(rig.received(client.client), [INIT]);
    returns(&mut rig, &mut client, Return::Anew, Transport::ServerSentEvents);
    assert_eq!((rig.severed.clone(), rig.received(client.client)), (vec![(0, before)], vec![INIT.to_owned()]));
    rig.cut(client.client);
    returns(&mut rig, &mut client, Return::Anew, Transport::LongPolling);
    assert_eq!(rig.received(client.client), [INIT]);
    start(&mut rig, client);
    assert_eq!(rig.told(app), [format!("open {}", client.client.id)]);
    let clients: usize =
        rig.shards[0].status().hubs.iter().map(|hub| hub.clients[Transport::LongPolling as usize]).sum();
    assert_eq!(clients, 1, "it counts with the transport that it has");
}

#[test]
fn what_is_kept_for_a_client_that_is_there_gives_way_and_what_waits_for_one_that_is_away_does_not() {
    let mut rig = rig(1);
    let (app, chat) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 0, CHAT, "a"));
    let (mut client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    for number in 0..100 {
        broadcast(&mut rig, chat, &format!("{number:0200}"), &[]);
    }
    let received = rig.received(client.client).len();
    let kept = rig.shards[0].kept_for_resumes();
    assert!(received == 100 && (1..=5_000).contains(&kept), "{received} {kept}");
    rig.cut(client.client);
    returns(&mut rig, &mut client, Return::After("0".into()), Transport::WebSockets);
    let again = got(&mut rig, client);
    assert!((5..30).contains(&again.len()) && again.last() == Some(&format!("{:0200}", 99)), "{}", again.len());
    rig.cut(client.client);
    for number in 0..100 {
        broadcast(&mut rig, chat, &format!("{number:0200}"), &[]);
    }
    assert!(!may_return(&rig, client), "it would miss some");
    assert_eq!(rig.ended_waiting, [(client.client.id, CloseCause::SlowClient)]);
    assert_eq!(rig.shards[0].kept_for_resumes(), 0);
}

#[test]
fn what_was_sent_a_minute_ago_is_not_kept() {
    let mut rig = rig(1);
    let (app, chat) = (server(&mut rig, 0, APP, "a"), server(&mut rig, 0, CHAT, "a"));
    rig.transport = Transport::ServerSentEvents;
    let (_, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    broadcast(&mut rig, chat, "old", &[]);
    assert!(rig.shards[0].kept_for_resumes() > 0);
    rig.pass_with_pings(Millis(75_000), &[app, chat]);
    assert_eq!(rig.shards[0].kept_for_resumes(), 0);
}

#[test]
fn a_client_that_is_idle_is_kept_alive_in_half_the_time_that_it_waits() {
    for transport in [Transport::WebSockets, Transport::ServerSentEvents] {
        let mut rig = rig(1);
        rig.transport = transport;
        let app = server(&mut rig, 0, APP, "a");
        let (client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
        rig.pass_with_pings(Millis(10_000), &[app]);
        assert_eq!(rig.received(client.client), ["{}"], "{transport:?}");
    }
}

#[test]
fn a_client_whose_web_socket_is_silent_is_cut_and_may_return() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let (client, _) = connect(&mut rig, 0, None, &[CHAT], &[app]);
    rig.pass_with_pings(Millis(31_000), &[app]);
    assert_eq!((rig.severed.len(), rig.probed.is_empty()), (1, false));
    assert!(may_return(&rig, client));
}

#[test]
fn a_client_of_a_hub_that_becomes_serverless_has_to_go() {
    let mut rig = rig(1);
    let app = server(&mut rig, 0, APP, "a");
    let (stays, _) = connect(&mut rig, 0, None, &[NEWS], &[app]);
    let (goes, _) = connect(&mut rig, 0, None, &[CHAT, NEWS], &[app]);
    let serverless = HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 };
    let hubs = [(hub("app_chat"), serverless)].into();
    rig.configure(Settings { hubs, ..default_mode() });
    rig.pass(Millis(250));
    assert_eq!(rig.finished.get(&(0, goes.client.transport)), Some(&CloseCause::ServiceModeSwitched));
    assert_eq!(rig.finished.get(&(0, stays.client.transport)), None);
}
