//! Clients that negotiate with one node and whose WebSockets come to another.

use hubgate_core::delivery::{Action, Except, Member, Target};
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, GroupName, PluginName};
use hubgate_core::question::{Answered, CallerQuery, ClientQuestion, Sought, Ticket, Unanswered};
use hubgate_core::settings::Settings;
use hubgate_core::time::Millis;
use hubgate_core::{
    ClaimAnswer, Claimed, CloseCause, Input, Negotiated, Outgoing, Reconnect, ResumeRefusal, TokenClaim, TokenRefusal,
    TooManyTokens,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::service::{
    CheckConnectionExistenceWithAck, ClientInvocation, CloseConnectionWithAck, ServiceMessage,
};

use crate::proxied::HANDSHAKE;
use crate::rig::{Client, PATIENCE, Rig, default_mode, hub, identity, json, settings};

/// The shards of a rig of three nodes: where clients negotiate, where their requests come to, and where they live then.
const HOME: usize = 0;
const CLAIMS: usize = 2;
const HOLDER: usize = 3;
const ALL: std::ops::Range<usize> = 0..6;

fn unserved() -> Settings {
    Settings { upstream: Vec::new(), ..settings() }
}

fn rig() -> Rig {
    Rig::of_nodes(3, 2, unserved())
}

/// A client negotiates. `number` is of its own.
fn negotiated(rig: &mut Rig, shard: usize, number: u8) -> Negotiated {
    let [id, token] =
        [number, number + 100].map(|byte| ConnectionId::new(rig.between_nodes.address(shard), [byte; 12]));
    Negotiated { id, token, reconnect: rig.reconnect }
}

fn negotiate(rig: &mut Rig, shard: usize, number: u8) -> Negotiated {
    let negotiated = negotiated(rig, shard, number);
    assert_eq!(keep(rig, shard, negotiated), Ok(()));
    negotiated
}

fn keep(rig: &mut Rig, shard: usize, negotiated: Negotiated) -> Result<(), TooManyTokens> {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(shard, Input::Negotiated { hub: hub("chat"), negotiated, deadline, ticket });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Kept(reply)) => reply.answer.expect("it is answered at once"),
        other => panic!("{other:?}"),
    }
}

/// Claims a token on one shard for another of the same node.
fn ask_for(rig: &mut Rig, shard: usize, token: ConnectionId, holder: usize) -> Ticket<ClaimAnswer> {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    let holder = rig.between_nodes.address(holder);
    let claim = TokenClaim { token, transport: Transport::WebSockets, holder, has_room: true };
    rig.feed(shard, Input::ClaimToken { hub: hub("chat"), claim, deadline, ticket });
    ticket
}

fn claimed(rig: &mut Rig, ticket: Ticket<ClaimAnswer>) -> Option<Result<ClaimAnswer, Unanswered>> {
    match rig.answers.remove(&ticket.number())? {
        Answered::Claimed { reply, .. } => Some(reply.answer),
        other => panic!("another answer was asked for: {other:?}"),
    }
}

fn claim(rig: &mut Rig, shard: usize, token: ConnectionId, holder: usize) -> ClaimAnswer {
    let ticket = ask_for(rig, shard, token, holder);
    claimed(rig, ticket).expect("it is answered").expect("in time")
}

fn open(rig: &mut Rig, shard: usize, Negotiated { id, token, .. }: Negotiated, user: Option<&str>) -> Client {
    rig.open_by_token(shard, "chat", (id, Some(token)), identity(user))
}

/// A client that has negotiated at `HOME` lives at `HOLDER`, and is let in.
fn connect_moved(rig: &mut Rig, number: u8) -> (Client, Negotiated) {
    let negotiated = negotiate(rig, HOME, number);
    let first = claim(rig, CLAIMS, negotiated.token, HOLDER);
    assert!(matches!(first, Ok(Claimed::First { id, .. }) if id == negotiated.id), "{first:?}");
    let client = open(rig, HOLDER, negotiated, Some("ann"));
    rig.data(
        client,
        if rig.reconnect == Reconnect::No { HANDSHAKE } else { "{\"protocol\":\"json\",\"version\":2}\x1e" },
    );
    assert_eq!(rig.received(client), ["{}"]);
    (client, negotiated)
}

fn send(to: Target) -> Action {
    Action::Send { to, message: Outgoing::call("m".into(), json("[]")), except: Except::default() }
}

fn send_by_id(rig: &mut Rig, shard: usize, client: Client) {
    rig.run(shard, vec![send(Target::Connection(client.id))]);
}

/// Whether a caller at this shard finds the connection.
fn exists(rig: &mut Rig, shard: usize, id: ConnectionId) -> bool {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    let query = CallerQuery::Find(Sought::ConnectionOf(Target::Connection(id)), ticket);
    rig.feed(shard, Input::Ask { hub: hub("chat"), query, deadline });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Found(reply)) => reply.answer.expect("all shards answer"),
        other => panic!("{other:?}"),
    }
}

/// Time passes, which all shards notice.
fn pass(rig: &mut Rig, time: Millis) {
    rig.now = rig.now + time;
    (0..rig.shards.len()).for_each(|shard| rig.feed(shard, Input::Tick));
}

/// The shards that send elsewhere than where the id says.
fn knowing(rig: &Rig, id: ConnectionId) -> Vec<usize> {
    ALL.filter(|shard| rig.shards[*shard].shard_of(id) != id.owner()).collect()
}

#[test]
fn a_client_that_comes_to_another_node_is_reached_from_everywhere_by_the_id_that_it_was_given() {
    let mut rig = rig();
    let (client, _) = connect_moved(&mut rig, 1);
    assert_eq!(knowing(&rig, client.id), [0, 1, 2, 3], "the nodes that it concerns know it");
    for shard in ALL {
        send_by_id(&mut rig, shard, client);
        assert_eq!(rig.received(client).len(), 1, "from {shard}");
        assert!(exists(&mut rig, shard, client.id));
        let group = GroupName::new(format!("g{}", shard % 2));
        rig.run(
            shard,
            vec![Action::Join {
                member: Member::Connection(client.id),
                group: group.clone(),
                ttl_seconds: None,
                plugin: None,
            }],
        );
        rig.run((shard + 3) % 6, vec![send(Target::Group(group.clone()))]);
        assert_eq!(rig.received(client).len(), 1, "by a group from {shard}");
        rig.run(shard, vec![Action::Leave { member: Member::Connection(client.id), group: group.clone() }]);
        rig.run((shard + 3) % 6, vec![send(Target::Group(group))]);
        assert_eq!(rig.received(client).len(), 0);
    }
    let target = Target::Connection(client.id);
    rig.run(5, vec![Action::Close { target, except: Vec::new(), reason: None, allow_reconnect: false }]);
    assert_eq!(rig.finished.get(&(HOLDER, client.transport)), Some(&CloseCause::ClosedByRequest));
}

#[test]
fn a_client_that_has_moved_is_asked_from_everywhere() {
    let mut rig = rig();
    let (client, _) = connect_moved(&mut rig, 1);
    for shard in ALL {
        let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
        let (origin, method, arguments) = (Origin::Plugin(PluginName::new("plugin")), "add".to_owned(), json("[]"));
        let question = ClientQuestion { connection: client.id, caller: None, origin, method, arguments };
        rig.feed(shard, Input::AskClient { hub: hub("chat"), question, deadline, ticket });
        let asked = rig.received(client).pop().expect("it is asked");
        let id = asked.split("\"invocationId\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
        rig.data(client, &format!("{{\"type\":3,\"invocationId\":\"{id}\",\"result\":{shard}}}\x1e"));
        match rig.answers.remove(&ticket.number()) {
            Some(Answered::Client(reply)) => {
                let answer = reply.answer.expect("in time").expect("it answers");
                assert_eq!(answer, Some(json(&shard.to_string())));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn hub_servers_everywhere_have_clients_that_have_moved_and_speak_to_them_without_a_detour() {
    for shard in ALL {
        let mut rig = Rig::of_nodes(3, 2, default_mode());
        let server = rig.server(shard, "s", 0);
        let negotiated = negotiate(&mut rig, HOME, 1);
        assert!(claim(&mut rig, CLAIMS, negotiated.token, HOLDER).is_ok());
        let client = open(&mut rig, HOLDER, negotiated, None);
        rig.data(client, HANDSHAKE);
        assert_eq!(rig.told(server), [format!("open {}", client.id), format!("data {HANDSHAKE}")]);
        let orders = |rig: &Rig| rig.between_nodes.orders_for.get(&0).copied().unwrap_or_default();
        let before = orders(&rig);
        rig.answers(server, client, "{}\x1e");
        rig.answers(server, client, "{\"type\":6}\x1e");
        assert_eq!(rig.received(client), ["{}", "{\"type\":6}"], "from {shard}");
        assert_eq!(orders(&rig), before, "its home has no part in it");
        let check =
            CheckConnectionExistenceWithAck { connection_id: client.id.as_str(), ack_id: 7, ..Default::default() };
        rig.says(server, &ServiceMessage::CheckConnectionExistenceWithAck(check));
        assert_eq!(rig.told(server), ["ack 7 1"]);
        rig.says(
            server,
            &ServiceMessage::CloseConnectionWithAck(CloseConnectionWithAck {
                connection_id: client.id.as_str(),
                ack_id: 8,
                ..Default::default()
            }),
        );
        let told = rig.told(server);
        assert!(told.contains(&"ack 8 1".to_owned()) && told.contains(&format!("close {}", client.id)), "{told:?}");
        assert_eq!(knowing(&rig, client.id), [0; 0]);
    }
}

#[test]
fn a_hub_server_hears_the_end_of_clients_whose_node_is_lost_wherever_they_have_negotiated() {
    let mut rig = Rig::of_nodes(3, 2, default_mode());
    let server = rig.server(4, "s", 0);
    let negotiated = negotiate(&mut rig, HOME, 1);
    assert!(claim(&mut rig, CLAIMS, negotiated.token, HOLDER).is_ok());
    let client = open(&mut rig, HOLDER, negotiated, None);
    rig.data(client, HANDSHAKE);
    rig.answers(server, client, "{}\x1e");
    rig.told(server);
    rig.lose(0);
    assert_eq!(rig.told(server), [""; 0], "it lives on");
    rig.answers(server, client, "{\"type\":6}\x1e");
    assert_eq!(rig.received(client), ["{}", "{\"type\":6}"]);
    rig.lose(1);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
}

#[test]
fn a_call_of_a_client_that_has_moved_fails_with_the_node_that_it_lives_on_and_not_with_its_home() {
    let mut rig = Rig::of_nodes(3, 2, default_mode());
    let server = rig.server(4, "s", 0);
    let caller = rig.weak(5, "caller");
    let negotiated = negotiate(&mut rig, HOME, 1);
    assert!(claim(&mut rig, CLAIMS, negotiated.token, HOLDER).is_ok());
    let client = open(&mut rig, HOLDER, negotiated, None);
    rig.data(client, HANDSHAKE);
    rig.answers(server, client, "{}\x1e");
    assert_eq!(rig.shards[5].shard_of(client.id), client.id.owner(), "only its home knows where it lives");
    let call = ClientInvocation {
        invocation_id: "i",
        connection_id: client.id.as_str(),
        caller_server_id: "caller",
        payloads: vec![("json", &b"ask\x1e"[..])],
        ..Default::default()
    };
    rig.says(caller, &ServiceMessage::ClientInvocation(call));
    assert_eq!(rig.told(caller), ["mapping i"]);
    rig.lose(0);
    assert_eq!(rig.told(caller), [""; 0], "it lives on");
    rig.lose(1);
    assert_eq!(rig.told(caller), ["failed i: The connection ended before it answered."]);
}

#[test]
fn nothing_is_left_of_a_client_that_has_moved_when_it_has_ended() {
    let mut rig = rig();
    let (client, negotiated) = connect_moved(&mut rig, 1);
    rig.gone(client, CloseCause::Normal);
    assert_eq!(knowing(&rig, client.id), [0; 0]);
    for shard in ALL {
        assert!(!exists(&mut rig, shard, client.id));
        assert_eq!(claim(&mut rig, shard, negotiated.token, shard), Err(TokenRefusal::Unknown));
    }
}

#[test]
fn nothing_is_left_of_a_claim_that_was_not_used() {
    for shard in [HOME, 1, CLAIMS, HOLDER, 4] {
        let mut rig = rig();
        let negotiated = negotiate(&mut rig, HOME, 1);
        let holder = shard ^ 1;
        assert!(claim(&mut rig, shard, negotiated.token, holder).is_ok());
        rig.feed(shard, Input::TokenUnused { hub: hub("chat"), token: negotiated.token });
        assert_eq!(knowing(&rig, negotiated.id), [0; 0], "claimed on {shard}");
        assert_eq!(claim(&mut rig, HOME, negotiated.token, HOME), Err(TokenRefusal::Unknown), "as if it had been used");
    }
}

#[test]
fn nothing_is_left_of_a_claim_that_is_granted_too_late() {
    let mut rig = rig();
    let negotiated = negotiate(&mut rig, HOME, 1);
    rig.between_nodes.is_held = true;
    let late = ask_for(&mut rig, CLAIMS, negotiated.token, HOLDER);
    rig.pass_on(1, 0);
    assert_eq!(knowing(&rig, negotiated.id), [0, 1]);
    pass(&mut rig, PATIENCE);
    assert_eq!(claimed(&mut rig, late), Some(Err(Unanswered)));
    rig.pass_on(0, 1);
    rig.pass_on(1, 0);
    assert_eq!(knowing(&rig, negotiated.id), [0; 0]);
    assert_eq!(claim(&mut rig, HOME, negotiated.token, HOME), Err(TokenRefusal::Unknown));
}

#[test]
fn a_claim_whose_answer_is_lost_with_all_between_the_nodes_is_refused_and_forgotten() {
    let mut rig = rig();
    let negotiated = negotiate(&mut rig, HOME, 1);
    rig.between_nodes.is_held = true;
    let cut_off = ask_for(&mut rig, CLAIMS, negotiated.token, HOLDER);
    rig.pass_on(1, 0);
    rig.break_off(0, 1);
    assert_eq!(claimed(&mut rig, cut_off), Some(Ok(Err(TokenRefusal::Unknown))));
    assert_eq!(knowing(&rig, negotiated.id), [0; 0]);
    assert_eq!(claim(&mut rig, HOME, negotiated.token, HOME), Err(TokenRefusal::Unknown));
}

#[test]
fn when_the_node_is_lost_that_has_negotiated_with_it_all_others_learn_where_a_client_lives() {
    let mut rig = Rig::of_nodes(4, 2, unserved());
    rig.begin_without(3);
    let (client, _) = connect_moved(&mut rig, 1);
    rig.lose(0);
    for shard in 2..6 {
        send_by_id(&mut rig, shard, client);
        assert_eq!(rig.received(client).len(), 1, "from {shard}");
    }
    rig.appear(3);
    for shard in [6, 7] {
        send_by_id(&mut rig, shard, client);
        assert_eq!(rig.received(client).len(), 1, "from {shard}, which has come later");
    }
    rig.gone(client, CloseCause::Normal);
    assert_eq!((2..8).filter(|shard| rig.shards[*shard].shard_of(client.id) != client.id.owner()).count(), 0);
}

#[test]
fn a_client_whose_node_was_lost_before_its_web_socket_opened_is_reached() {
    let mut rig = rig();
    let negotiated = negotiate(&mut rig, HOME, 1);
    assert!(claim(&mut rig, CLAIMS, negotiated.token, HOLDER).is_ok());
    rig.lose(0);
    let client = open(&mut rig, HOLDER, negotiated, None);
    rig.data(client, HANDSHAKE);
    assert_eq!(rig.received(client), ["{}"]);
    send_by_id(&mut rig, 5, client);
    assert_eq!(rig.received(client).len(), 1);
}

#[test]
fn when_all_between_the_two_nodes_is_lost_a_client_that_has_moved_is_reached_as_before() {
    for nodes in [2, 3] {
        let mut rig = Rig::of_nodes(nodes, 2, unserved());
        let (client, negotiated) = connect_moved(&mut rig, 1);
        rig.break_off(0, 1);
        for shard in 0..nodes * 2 {
            send_by_id(&mut rig, shard, client);
            assert_eq!(rig.received(client).len(), 1, "from {shard} of {nodes}");
        }
        assert_eq!(claim(&mut rig, HOME, negotiated.token, HOME), Err(TokenRefusal::Unknown));
        rig.gone(client, CloseCause::Normal);
        assert_eq!(
            (0..nodes * 2).filter(|shard| rig.shards[*shard].shard_of(client.id) != client.id.owner()).count(),
            0
        );
    }
}

#[test]
fn when_the_node_is_lost_that_a_client_lives_on_nobody_looks_for_it_there() {
    let mut rig = rig();
    let (client, negotiated) = connect_moved(&mut rig, 1);
    rig.lose(1);
    assert_eq!(knowing(&rig, client.id), [2, 3], "the lost node itself");
    assert!(!exists(&mut rig, 0, client.id) && !exists(&mut rig, 5, client.id));
    assert_eq!(claim(&mut rig, HOME, negotiated.token, HOME), Err(TokenRefusal::Unknown));
}

#[test]
fn a_node_that_is_lost_with_its_claim_on_its_way_leaves_nothing_behind() {
    let mut rig = rig();
    let negotiated = negotiate(&mut rig, HOME, 1);
    rig.between_nodes.is_held = true;
    ask_for(&mut rig, CLAIMS, negotiated.token, HOLDER);
    // The directory hears of the loss before the shard does, which obeys a claim in between.
    rig.directories[0].node_lost(crate::between_nodes::node_id(1));
    rig.pass_on(1, 0);
    rig.lose(1);
    assert_eq!(rig.shards[HOME].shard_of(negotiated.id), negotiated.id.owner());
}

#[test]
fn what_was_closed_by_its_id_is_closed_when_that_is_said_to_be_in_effect() {
    let mut rig = rig();
    let (client, _) = connect_moved(&mut rig, 1);
    rig.between_nodes.is_held = true;
    let target = Target::Connection(client.id);
    rig.run(4, vec![Action::Close { target, except: Vec::new(), reason: None, allow_reconnect: false }]);
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(4, Input::Barrier { hub: hub("chat"), deadline, ticket });
    // The way by the client's node is slower than the straight one.
    for _ in 0..3 {
        rig.pass_on(2, 1);
        rig.pass_on(1, 2);
    }
    assert!(!rig.answers.contains_key(&ticket.number()));
    rig.pass_on(2, 0);
    rig.pass_on(0, 2);
    assert!(!rig.answers.contains_key(&ticket.number()) && !rig.finished.contains_key(&(HOLDER, client.transport)));
    rig.pass_on(0, 1);
    assert!(rig.finished.contains_key(&(HOLDER, client.transport)));
    rig.pass_all_on();
    assert!(rig.answers.contains_key(&ticket.number()));
    // From here on nobody waits for it.
    let before = rig.between_nodes.orders_for.get(&0).copied();
    rig.feed(4, Input::Barrier { hub: hub("chat"), deadline, ticket: Ticket::new(1_000_000) });
    rig.pass_all_on();
    assert_eq!(rig.between_nodes.orders_for.get(&0).copied(), before);
}

#[test]
fn two_nodes_that_have_handed_on_to_each_other_do_not_wait_for_each_other() {
    let mut rig = rig();
    let (first, _) = connect_moved(&mut rig, 1);
    let other = negotiate(&mut rig, HOLDER, 2);
    assert!(claim(&mut rig, 1, other.token, HOME).is_ok());
    let second = open(&mut rig, HOME, other, None);
    rig.data(second, HANDSHAKE);
    rig.received(second);
    for _ in 0..3 {
        send_by_id(&mut rig, 5, first);
        send_by_id(&mut rig, 5, second);
    }
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(5, Input::Barrier { hub: hub("chat"), deadline, ticket });
    assert!(matches!(rig.answers.remove(&ticket.number()), Some(Answered::InEffect(reply)) if reply.answer == Ok(())));
    assert_eq!((rig.received(first).len(), rig.received(second).len()), (3, 3));
}

#[test]
fn a_client_that_has_moved_resumes_where_it_lives_and_nowhere_else_whether_its_own_node_is_there_or_not() {
    for is_lost in [false, true] {
        let mut rig = rig();
        rig.reconnect = Reconnect::Stateful;
        let (mut client, negotiated) = connect_moved(&mut rig, 1);
        rig.cut(client);
        if is_lost {
            rig.lose(0);
        }
        let unknown = Err(TokenRefusal::Unknown);
        for shard in [0, 1, 4, 5].into_iter().filter(|shard| !is_lost || *shard > 1) {
            assert_eq!(claim(&mut rig, shard, negotiated.token, shard), unknown, "on {shard}");
        }
        for shard in [CLAIMS, HOLDER] {
            assert_eq!(claim(&mut rig, shard, negotiated.token, shard), Ok(Claimed::Again { id: client.id }));
        }
        let may_resume = |user: &str| {
            let user = hubgate_core::id::UserId::new(user);
            rig.shards[HOLDER].may_resume(client.id, &hub("chat"), Some(&user), rig.now)
        };
        assert_eq!((may_resume("ann"), may_resume("eve")), (Ok(()), Err(ResumeRefusal::OtherUser)));
        rig.resume(&mut client);
        send_by_id(&mut rig, 5, client);
        let got = rig.received(client);
        assert!(got.iter().any(|message| message.contains("\"target\":\"m\"")), "{got:?}");
    }
}

#[test]
fn nodes_negotiate_and_claim_for_themselves_alone() {
    let mut rig = rig();
    let elsewhere = negotiated(&mut rig, HOME, 1);
    assert_eq!(keep(&mut rig, 4, elsewhere), Err(TooManyTokens));
    negotiate(&mut rig, HOME, 1);
    // A node that claims for another one.
    let ticket = ask_for(&mut rig, CLAIMS, elsewhere.token, 4);
    assert_eq!(claimed(&mut rig, ticket), Some(Ok(Err(TokenRefusal::Unknown))));
    assert!(claim(&mut rig, CLAIMS, elsewhere.token, HOLDER).is_ok());
}

#[test]
fn a_token_that_nobody_claims_in_time_opens_nothing_on_any_node() {
    let mut rig = rig();
    let negotiated = negotiate(&mut rig, HOME, 1);
    pass(&mut rig, Millis(6_000));
    assert_eq!(rig.shards[HOME].negotiated(), 0);
    for shard in ALL {
        assert_eq!(claim(&mut rig, shard, negotiated.token, shard), Err(TokenRefusal::Unknown));
    }
}
