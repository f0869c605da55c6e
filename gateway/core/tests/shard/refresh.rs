//! Refreshed tokens: a connection goes on with other claims and another end.

use std::sync::Arc;

use hubgate_core::event::{ConnectionFacts, UpstreamEvent};
use hubgate_core::filter::{Subject, Targets, Verdict};
use hubgate_core::id::{ConnectionId, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{Answered, CallerQuery, Reply};
use hubgate_core::refresh::{NewEnd, NewUser, Refresh, RefreshRefusal, Refreshed};
use hubgate_core::settings::Settings;
use hubgate_core::time::Millis;
use hubgate_core::{ClientTimes, CloseCause, Family, Identity, Input, NewClient, Reconnect};
use hubgate_wire::messagepack::Reader;
use hubgate_wire::negotiate::Transport;
use hubgate_wire::service::{self, Ack, GetConnectionClaims, RefreshAuth, ServiceMessage, Timestamp};

use crate::proxied::HANDSHAKE;
use crate::rig::{Client, PATIENCE, Rig, Server, at, default_mode, filtered, hub, identity, settings};

const NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";
/// Of .NET: no end is known.
const NEVER: Timestamp = Timestamp { seconds: 253_402_300_799, nanoseconds: 999_999_900 };
/// When the clock of the gateway began, in milliseconds since 1970.
const EPOCH: u64 = 1_800_000_000_000;

/// So long after the clock of the gateway began.
fn after(milliseconds: u64) -> Timestamp {
    let time = EPOCH + milliseconds;
    Timestamp { seconds: (time / 1_000) as i64, nanoseconds: (time % 1_000) as u32 * 1_000_000 }
}

/// A client of ann's, level 1, and the token that opens its transports.
struct Tokened {
    client: Client,
    token: ConnectionId,
}

fn gateway(shards: u16, settings: Settings) -> Rig {
    let mut rig = Rig::new(shards, settings);
    (0..usize::from(shards)).for_each(|shard| rig.feed(shard, Input::TimeOfDay(EPOCH)));
    rig
}

/// Opens it; it ends at `expiry`.
fn open(rig: &mut Rig, shard: usize, expiry: Option<u64>) -> Tokened {
    let number = rig.shards[shard].clients() as u8 + 1;
    let (id, token) = (ConnectionId::new(at(shard), [number; 12]), ConnectionId::new(at(shard), [100 + number; 12]));
    let claims = [("nameid", "ann"), ("level", "1"), ("exp", "9"), ("asrs.s.aut", "Bearer")];
    let identity = Identity { claims: claims.into_iter().collect(), ..identity(Some("ann")) };
    let times = ClientTimes { handshake: None, expiry: expiry.map(Millis) };
    let reconnect = Reconnect::No;
    let client = NewClient {
        hub: hub("chat"),
        id,
        token: Some(token),
        transport: Transport::WebSockets,
        identity,
        times,
        reconnect,
        family: Family::Core,
    };
    let transport = rig.shards[shard].next_transport();
    rig.feed(shard, Input::ClientOpened { transport, client: Box::new(client) });
    Tokened { client: Client { shard, transport, id }, token }
}

/// A client that a hub server answers.
fn proxied(rig: &mut Rig, shard: usize, expiry: Option<u64>, server: Server) -> Tokened {
    let tokened = open(rig, shard, expiry);
    rig.data(tokened.client, HANDSHAKE);
    rig.answers(server, tokened.client, "{}\x1e");
    assert_eq!(rig.received(tokened.client), ["{}"]);
    rig.told(server);
    tokened
}

/// A client that upstream answers.
fn serverless(rig: &mut Rig, shard: usize) -> Tokened {
    let tokened = open(rig, shard, None);
    rig.data(tokened.client, HANDSHAKE);
    rig.answer_last(Ok(None), Vec::new());
    rig.received(tokened.client);
    tokened
}

fn refresh(rig: &mut Rig, server: Server, token: &str, claims: &[(&str, &str)], expiry: Option<Timestamp>) {
    let refresh =
        RefreshAuth { connection_token: token, claims: claims.to_vec(), expiry, ack_id: 1, ..RefreshAuth::default() };
    rig.says(server, &ServiceMessage::RefreshAuth(refresh));
}

fn get_claims(rig: &mut Rig, server: Server, token: &str) {
    let get = GetConnectionClaims { connection_token: token, ack_id: 1, ..GetConnectionClaims::default() };
    rig.says(server, &ServiceMessage::GetConnectionClaims(get));
}

/// The status of the only ack, and the claims that it carries.
fn acked(rig: &mut Rig, server: Server) -> (i64, Option<Vec<(String, String)>>) {
    let told = rig.told_raw(server);
    let acks = told.iter().filter_map(|body| match service::parse(body) {
        Ok(ServiceMessage::Ack(Ack { ack_id: 1, status, payload, .. })) => Some((status, payload.map(claims_in))),
        _ => None,
    });
    let [ack] = <[_; 1]>::try_from(acks.collect::<Vec<_>>()).expect("one ack");
    ack
}

fn claims_in(payload: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::new(payload);
    let count = reader.map().expect("a map");
    (0..count).map(|_| (reader.text().expect("a name").into(), reader.text().expect("a value").into())).collect()
}

fn has(claims: &Option<Vec<(String, String)>>, name: &str, value: &str) -> bool {
    claims.as_ref().is_some_and(|claims| claims.iter().any(|(each, of)| each == name && of == value))
}

fn by_claims(token: ConnectionId, claims: Pairs, end: NewEnd) -> Refresh {
    Refresh { token, claims, user: NewUser::InClaims, end }
}

/// Refreshes for a caller on `shard`.
fn refresh_for_caller(rig: &mut Rig, shard: usize, refresh: Refresh) -> Refreshed {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(shard, Input::Refresh { hub: hub("chat"), refresh: Box::new(refresh), deadline, ticket });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Refreshed(Reply { answer, .. })) => answer.expect("all answer"),
        other => panic!("{other:?}"),
    }
}

fn is_open(rig: &Rig, Tokened { client, .. }: &Tokened) -> bool {
    !rig.finished.contains_key(&(client.shard, client.transport))
}

#[test]
fn a_refreshed_end_takes_the_place_of_the_one_before_on_whatever_shard() {
    for (of_server, of_client) in [(0, 0), (0, 1), (1, 0)] {
        let mut rig = gateway(2, default_mode());
        let server = rig.server(of_server, "a", 0);
        let tokened = proxied(&mut rig, of_client, Some(10_000), server);
        refresh(&mut rig, server, tokened.token.as_str(), &[], Some(after(20_500)));
        let (status, claims) = acked(&mut rig, server);
        assert_eq!(status, 1);
        assert!(has(&claims, NAME, "ann") && has(&claims, "level", "1"), "{claims:?}");
        rig.pass(Millis(20_250));
        assert!(is_open(&rig, &tokened));
        rig.pass(Millis(500));
        assert_eq!(rig.finished[&(of_client, tokened.client.transport)], CloseCause::Unauthorized);
    }
}

#[test]
fn an_end_may_come_earlier_too_and_one_that_has_passed_is_now() {
    for (expiry, lasts) in [(after(5_000), 5_000), (after(0), 0), (Timestamp { seconds: -1, nanoseconds: 0 }, 0)] {
        let mut rig = gateway(1, default_mode());
        let server = rig.server(0, "a", 0);
        let tokened = proxied(&mut rig, 0, Some(100_000), server);
        refresh(&mut rig, server, tokened.token.as_str(), &[], Some(expiry));
        assert_eq!(acked(&mut rig, server).0, 1);
        assert_eq!(is_open(&rig, &tokened), lasts > 0);
        rig.pass(Millis(lasts + 500));
        assert!(!is_open(&rig, &tokened), "{expiry:?}");
    }
}

#[test]
fn an_end_that_is_never_or_is_not_said_is_the_one_before() {
    for expiry in [Some(NEVER), None] {
        let mut rig = gateway(1, default_mode());
        let server = rig.server(0, "a", 0);
        let tokened = proxied(&mut rig, 0, Some(10_000), server);
        refresh(&mut rig, server, tokened.token.as_str(), &[("nameid", "ann"), ("level", "2")], expiry);
        assert_eq!(acked(&mut rig, server).0, 1);
        rig.pass(Millis(9_500));
        assert!(is_open(&rig, &tokened));
        rig.pass(Millis(1_000));
        assert!(!is_open(&rig, &tokened));
    }
}

#[test]
fn a_connection_that_outlives_its_token_goes_on_doing_so() {
    let mut rig = gateway(1, default_mode());
    let server = rig.server(0, "a", 0);
    let tokened = proxied(&mut rig, 0, None, server);
    refresh(&mut rig, server, tokened.token.as_str(), &[], Some(after(1_000)));
    assert_eq!(acked(&mut rig, server).0, 1);
    rig.pass(Millis(5_000));
    assert!(is_open(&rig, &tokened));
}

#[test]
fn the_claims_of_another_user_change_nothing_and_neither_do_too_many() {
    let long = "x".repeat(9_000);
    for (claims, status) in [(("nameid", "eve"), 5), ((NAME, "eve"), 5), (("level", &*long), 6)] {
        let mut settings = default_mode();
        settings.limits.server_message = 10_000;
        let mut rig = gateway(2, settings);
        let server = rig.server(0, "a", 0);
        let tokened = proxied(&mut rig, 1, Some(10_000), server);
        refresh(&mut rig, server, tokened.token.as_str(), &[claims, ("nameid", "ann")][..1], Some(after(90_000)));
        assert_eq!(acked(&mut rig, server), (status, None));
        get_claims(&mut rig, server, tokened.token.as_str());
        assert!(has(&acked(&mut rig, server).1, "level", "1"));
        rig.pass(Millis(10_500));
        assert!(!is_open(&rig, &tokened), "its end is the one before");
    }
}

#[test]
fn only_its_connection_token_names_a_client_and_only_while_it_is_there() {
    let mut rig = gateway(2, default_mode());
    let server = rig.server(0, "a", 0);
    let tokened = proxied(&mut rig, 1, Some(10_000), server);
    let (id, nobodys) = (tokened.client.id, ConnectionId::new(at(1), [77; 12]));
    let nowhere = ConnectionId::new(at(9), [77; 12]);
    let unopened = open(&mut rig, 1, None).token;
    for token in ["", "no-such-token", id.as_str(), nobodys.as_str(), nowhere.as_str(), unopened.as_str()] {
        refresh(&mut rig, server, token, &[], Some(after(90_000)));
        assert_eq!(acked(&mut rig, server), (2, None), "{token}");
        get_claims(&mut rig, server, token);
        assert_eq!(acked(&mut rig, server), (2, None), "{token}");
    }
    rig.gone(tokened.client, CloseCause::Normal);
    rig.told(server);
    get_claims(&mut rig, server, tokened.token.as_str());
    assert_eq!(acked(&mut rig, server), (2, None));
}

#[test]
fn a_token_of_another_hub_names_nobody() {
    let mut rig = gateway(1, default_mode());
    let server = rig.server(0, "a", 0);
    let tokened = proxied(&mut rig, 0, None, server);
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    for (name, is_there) in [("other", false), ("chat", true)] {
        let query = CallerQuery::FactsByToken(tokened.token, ticket);
        rig.feed(0, Input::Ask { hub: hub(name), query, deadline });
        match rig.answers.remove(&ticket.number()) {
            Some(Answered::Facts(Reply { answer: Ok(facts), .. })) => assert_eq!(facts.is_some(), is_there, "{name}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_whose_id_opens_its_transports_is_not_refreshed() {
    let mut rig = gateway(1, default_mode());
    let server = rig.server(0, "a", 0);
    let id = ConnectionId::new(at(0), [9; 12]);
    let client = NewClient {
        hub: hub("chat"),
        id,
        token: Some(id),
        transport: Transport::WebSockets,
        identity: identity(None),
        times: ClientTimes::default(),
        reconnect: Reconnect::No,
        family: Family::Core,
    };
    let transport = rig.shards[0].next_transport();
    rig.feed(0, Input::ClientOpened { transport, client: Box::new(client) });
    rig.data(Client { shard: 0, transport, id }, HANDSHAKE);
    rig.told(server);
    get_claims(&mut rig, server, id.as_str());
    assert_eq!(acked(&mut rig, server), (2, None));
}

#[test]
fn the_hub_server_of_a_client_is_told_of_changed_claims_once() {
    let mut rig = gateway(3, default_mode());
    let owner = rig.server(0, "a", 0);
    let tokened = proxied(&mut rig, 1, None, owner);
    let other = rig.server(2, "b", 0);
    let weak = rig.weak(2, "weak");
    let token = tokened.token.as_str();
    let role = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";
    let claims = [("level", "2"), (NAME, "ann"), ("role", "a"), ("role", "b")];
    for (asker, pushes) in [(other, 1), (other, 0), (weak, 0)] {
        refresh(&mut rig, asker, token, &claims, Some(NEVER));
        let told = rig.told(owner);
        let expected =
            format!("claims {:?}", [("level", "2"), (NAME, "ann"), (role, "a"), (role, "b"), ("asrs.s.aut", "Bearer")]);
        assert_eq!(told, vec![expected; pushes]);
        let (status, claims) = acked(&mut rig, asker);
        assert_eq!(status, 1);
        assert!(has(&claims, "level", "2") && has(&claims, role, "b") && !has(&claims, "exp", "9"), "{claims:?}");
    }
    refresh(&mut rig, weak, token, &[("level", "1"), ("nameid", "ann")], None);
    assert_eq!(rig.told(owner).len(), 1);
    assert!(rig.told(other).is_empty(), "it is nobody of its own");
}

#[test]
fn a_server_that_a_client_moves_to_hears_of_its_refreshed_claims() {
    let mut rig = gateway(1, default_mode());
    let first = rig.server(0, "a", 1);
    let tokened = proxied(&mut rig, 0, None, first);
    let second = rig.server(0, "b", 1);
    refresh(&mut rig, second, tokened.token.as_str(), &[("nameid", "ann"), ("level", "2")], None);
    rig.told(first);
    rig.told(second);
    crate::proxied::fin(&mut rig, first, "fin:1");
    rig.pass(Millis(5_000));
    let told = rig.told_raw(second);
    let opened = told.iter().find_map(|body| match service::parse(body) {
        Ok(ServiceMessage::OpenConnection(open)) => Some(open.claims.contains(&("level", "2"))),
        _ => None,
    });
    assert_eq!(opened, Some(true));
}

#[test]
fn upstream_sees_refreshed_claims_from_the_next_call_on() {
    let mut rig = gateway(2, settings());
    let tokened = serverless(&mut rig, 1);
    let level = |facts: &ConnectionFacts| facts.claims.get("level").map(str::to_owned);
    rig.invoke(tokened.client, "1", "before");
    let before = facts_by_token(&mut rig, tokened.token);
    let claims = [("nameid", "ann"), ("level", "2")].into_iter().collect();
    let refreshed = refresh_for_caller(&mut rig, 0, by_claims(tokened.token, claims, NewEnd::AsBefore));
    assert_eq!(level(&refreshed.expect("it is ann")).as_deref(), Some("2"));
    assert_eq!(level(&before).as_deref(), Some("1"), "a call under way keeps what it had");
    assert_eq!(level(&facts_by_token(&mut rig, tokened.token)).as_deref(), Some("2"));
    assert_eq!(facts_by_token(&mut rig, tokened.token).user_id, Some(UserId::new("ann")));
    assert!(matches!(rig.calls.back(), Some((1, _, UpstreamEvent::Invocation { .. }))));
}

fn facts_by_token(rig: &mut Rig, token: ConnectionId) -> Arc<ConnectionFacts> {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(0, Input::Ask { hub: hub("chat"), query: CallerQuery::FactsByToken(token, ticket), deadline });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Facts(Reply { answer: Ok(Some(facts)), .. })) => facts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_caller_is_told_why_a_connection_stays_as_it_was() {
    let mut rig = gateway(2, settings());
    let tokened = serverless(&mut rig, 1);
    let mut refused = |token, claims: &[(&str, &str)]| {
        let claims = claims.iter().copied().collect();
        refresh_for_caller(&mut rig, 0, by_claims(token, claims, NewEnd::At(EPOCH + 1_000))).err()
    };
    assert_eq!(refused(tokened.client.id, &[]), Some(RefreshRefusal::NoSuchConnection));
    assert_eq!(refused(tokened.token, &[("nameid", "eve")]), Some(RefreshRefusal::AnotherUser));
    assert_eq!(refused(tokened.token, &[("level", &"x".repeat(9_000))]), Some(RefreshRefusal::TooLarge));
    assert_eq!(refused(tokened.token, &[]), None);
}

#[test]
fn filters_see_refreshed_claims_from_the_next_message_on() {
    let mut rig = gateway(1, filtered(Mode::Default, Targets::All));
    let server = rig.server(0, "a", 0);
    let tokened = proxied(&mut rig, 0, None, server);
    for level in ["1", "2"] {
        rig.invoke(tokened.client, level, "says");
        let Subject::Client(facts) = &rig.inspected().subject else { panic!("a client has said it") };
        assert_eq!(facts.claims.get("level"), Some(level));
        rig.judge(Verdict::Pass);
        let claims = [("nameid", "ann"), ("level", "2")];
        refresh(&mut rig, server, tokened.token.as_str(), &claims, None);
    }
}

#[test]
fn a_newer_token_of_a_later_request_brings_its_claims() {
    let mut rig = gateway(1, default_mode());
    let server = rig.server(0, "a", 0);
    let tokened = proxied(&mut rig, 0, Some(10_000), server);
    let transport = tokened.client.transport;
    rig.feed(0, Input::TokenRenewed { transport, expiry: Millis(5_000), claims: None });
    assert!(rig.told(server).is_empty());
    let claims = Some([("nameid", "ann"), ("level", "3"), ("exp", "10")].into_iter().collect());
    rig.feed(0, Input::TokenRenewed { transport, expiry: Millis(20_000), claims });
    assert_eq!(rig.told(server), [format!("claims {:?}", [(NAME, "ann"), ("level", "3"), ("exp", "10")])]);
    rig.pass(Millis(19_000));
    assert!(is_open(&rig, &tokened));
    rig.pass(Millis(1_500));
    assert!(!is_open(&rig, &tokened));
}

#[test]
fn an_end_that_a_refresh_has_moved_is_not_moved_back_by_the_tokens_before_it() {
    let mut rig = gateway(1, default_mode());
    let server = rig.server(0, "a", 0);
    for (expiry, ends) in [(100_000, 5_000), (100_999, 5_000), (102_000, 102_000)] {
        let tokened = proxied(&mut rig, 0, Some(100_000), server);
        let began = rig.now.0;
        refresh(&mut rig, server, tokened.token.as_str(), &[], Some(after(began + 5_000)));
        assert_eq!(acked(&mut rig, server).0, 1);
        let transport = tokened.client.transport;
        rig.feed(0, Input::TokenRenewed { transport, expiry: Millis(expiry), claims: None });
        rig.pass(Millis(4_500));
        assert!(is_open(&rig, &tokened));
        rig.pass(Millis(1_000));
        assert_eq!(is_open(&rig, &tokened), ends > 5_000, "a token that ends at {expiry}");
    }
}
