//! Shards of several nodes that serve as one.

use hubgate_core::delivery::{Action, Except, Member, Target};
use hubgate_core::filter::Origin;
use hubgate_core::id::{GroupName, PluginName, UserId};
use hubgate_core::question::{
    Answered, AskError, ClientAnswer, ClientQuestion, Joined, Sought, Ticket, Unanswered, Watched,
};
use hubgate_core::settings::Settings;
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Input, Outgoing};
use hubgate_wire::service::{CheckGroupExistenceWithAck, ClientCompletion, ClientInvocation, ServiceMessage};

use crate::proxied::{DROPPED, HANDSHAKE, fin};
use crate::rig::{Client, PATIENCE, Rig, Server, default_mode, hub, json, settings};

/// What a client is asked and has not answered, in number.
const MAX_QUESTIONS: usize = 1_000;

/// Serverless hubs that nobody answers.
fn unserved() -> Settings {
    Settings { upstream: Vec::new(), ..settings() }
}

fn send(to: Target, except: Except) -> Action {
    Action::Send { to, message: Outgoing::call("m".into(), json("[]")), except }
}

/// Has a sender on `shard` send something to all of the hub `chat`.
fn send_to_all(rig: &mut Rig, shard: usize) {
    rig.run(shard, vec![send(Target::All, Except::default())]);
}

/// Which of the clients have got anything since the last look.
fn receivers(rig: &mut Rig, clients: &[Client]) -> Vec<usize> {
    let got = clients.iter().map(|client| rig.received(*client).len()).collect::<Vec<_>>();
    assert!(got.iter().all(|messages| *messages <= 1), "nobody gets anything twice: {got:?}");
    (0..clients.len()).filter(|index| got[*index] > 0).collect()
}

fn join(rig: &mut Rig, shard: usize, client: Client, group: &str) -> Ticket<Joined> {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    let (connection, group) = (client.id, GroupName::new(group));
    rig.feed(shard, Input::Join { hub: hub("chat"), connection, group, deadline, ticket });
    ticket
}

fn joined(rig: &mut Rig, ticket: Ticket<Joined>) -> Option<Result<Joined, Unanswered>> {
    match rig.answers.remove(&ticket.number())? {
        Answered::Joined(reply) => Some(reply.answer),
        other => panic!("another answer was asked for: {other:?}"),
    }
}

fn barrier(rig: &mut Rig, shard: usize) -> Ticket<()> {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(shard, Input::Barrier { hub: hub("chat"), deadline, ticket });
    ticket
}

fn in_effect(rig: &mut Rig, ticket: Ticket<()>) -> Option<Result<(), Unanswered>> {
    match rig.answers.remove(&ticket.number())? {
        Answered::InEffect(reply) => Some(reply.answer),
        other => panic!("another answer was asked for: {other:?}"),
    }
}

fn ask(rig: &mut Rig, shard: usize, client: Client) -> Ticket<ClientAnswer> {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    let (origin, method, arguments) = (Origin::Plugin(PluginName::new("plugin")), "add".to_owned(), json("[]"));
    let question = ClientQuestion { connection: client.id, caller: None, origin, method, arguments };
    rig.feed(shard, Input::AskClient { hub: hub("chat"), question, deadline, ticket });
    ticket
}

fn told(rig: &mut Rig, asked: Ticket<ClientAnswer>) -> Option<ClientAnswer> {
    match rig.answers.remove(&asked.number())? {
        Answered::Client(reply) => Some(reply.answer.expect("the core answers every question")),
        other => panic!("another answer was asked for: {other:?}"),
    }
}

#[test]
fn sends_reach_their_receivers_on_all_nodes_and_nobody_else() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let users = ["ann", "bob", "ann", "bob", "ann", "eve"];
    let clients: Vec<Client> = (0..6).map(|shard| rig.connect(shard, Some(users[shard]))).collect();
    for index in [0, 3, 4] {
        let joining = join(&mut rig, 1, clients[index], "g");
        assert_eq!(joined(&mut rig, joining), Some(Ok(Joined::Yes)));
    }
    let without = |connections: &[usize], users: &[&str]| Except {
        connections: connections.iter().map(|index| clients[*index].id).collect(),
        users: users.iter().map(|user| UserId::new(*user)).collect(),
    };
    let group = || Target::Group(GroupName::new("g"));
    let user = |name: &str| Target::User(UserId::new(name));
    for sender in 0..6 {
        for (to, except, expected) in [
            (Target::All, Except::default(), &[0, 1, 2, 3, 4, 5][..]),
            (Target::All, without(&[1, 4], &["eve"]), &[0, 2, 3]),
            (group(), Except::default(), &[0, 3, 4]),
            (group(), without(&[3], &[]), &[0, 4]),
            (user("ann"), Except::default(), &[0, 2, 4]),
            (user("eve"), Except::default(), &[5]),
            (user("nobody"), Except::default(), &[]),
            (Target::Connection(clients[4].id), Except::default(), &[4]),
        ] {
            rig.run(sender, vec![send(to.clone(), except)]);
            assert_eq!(receivers(&mut rig, &clients), expected, "{to:?} from {sender}");
        }
    }
}

#[test]
fn nodes_without_clients_of_a_hub_hear_nothing_of_what_is_sent_there() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let client = rig.connect(2, Some("ann"));
    let orders = |rig: &Rig, node| rig.between_nodes.orders_for.get(&node).copied().unwrap_or_default();
    let before = (orders(&rig, 1), orders(&rig, 2));
    for to in [Target::All, Target::Group(GroupName::new("g")), Target::User(UserId::new("ann"))] {
        rig.run(0, vec![send(to, Except::default())]);
    }
    assert_eq!((orders(&rig, 1), orders(&rig, 2)), (before.0 + 3, before.1));
    rig.gone(client, CloseCause::Normal);
    send_to_all(&mut rig, 0);
    assert_eq!((orders(&rig, 1), orders(&rig, 2)), (before.0 + 3, before.1));
}

#[test]
fn a_first_client_of_a_hub_is_let_in_when_all_other_nodes_know_that_the_hub_has_clients_there_and_later_ones_at_once() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    rig.between_nodes.is_held = true;
    let first: Vec<Client> = [0, 0, 1].map(|shard| rig.open(shard, "chat", None)).into();
    first.iter().for_each(|client| rig.data(*client, HANDSHAKE));
    rig.pass_on(0, 1);
    assert_eq!(receivers(&mut rig, &first), [0; 0]);
    rig.pass_on(0, 2);
    assert_eq!(receivers(&mut rig, &first), [0, 1, 2]);
    let later = [rig.connect(0, None), rig.connect(1, None)];
    assert!(rig.between_nodes.is_nothing_for(1) && rig.between_nodes.is_nothing_for(2));
    send_to_all(&mut rig, 2);
    rig.pass_on(1, 0);
    assert_eq!((receivers(&mut rig, &first), receivers(&mut rig, &later)), (vec![0, 1, 2], vec![0, 1]));
}

#[test]
fn a_client_waits_for_its_own_announcement_and_not_for_that_of_one_that_has_left() {
    let mut rig = Rig::of_nodes(2, 1, unserved());
    rig.between_nodes.is_held = true;
    let left = rig.open(0, "chat", None);
    rig.gone(left, CloseCause::Normal);
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    // That the hub is used, that it is not, and that it is.
    for _ in 0..2 {
        rig.pass_some_on(0, 1, 1);
        assert_eq!(receivers(&mut rig, &[client]), [0; 0]);
    }
    rig.pass_some_on(0, 1, 1);
    assert_eq!(receivers(&mut rig, &[client]), [0]);
    send_to_all(&mut rig, 1);
    rig.pass_all_on();
    assert_eq!(receivers(&mut rig, &[client]), [0]);
}

#[test]
fn nobody_waits_for_a_node_that_is_lost() {
    let mut rig = Rig::of_nodes(3, 1, unserved());
    rig.between_nodes.is_held = true;
    let client = rig.open(0, "chat", None);
    rig.data(client, HANDSHAKE);
    rig.pass_on(0, 2);
    rig.lose(1);
    assert_eq!(receivers(&mut rig, &[client]), [0]);
}

#[test]
fn what_is_in_effect_is_so_on_all_nodes_that_have_clients_of_the_hub() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let clients = [rig.connect(2, None), rig.connect(5, None)];
    rig.between_nodes.is_held = true;
    let join = Action::Join {
        member: Member::Connection(clients[0].id),
        group: GroupName::new("g"),
        ttl_seconds: None,
        plugin: None,
    };
    rig.run(0, vec![join]);
    let passed = barrier(&mut rig, 0);
    rig.pass_on(0, 1);
    rig.pass_on(1, 0);
    assert_eq!(in_effect(&mut rig, passed), None);
    rig.pass_on(0, 2);
    rig.pass_on(2, 0);
    assert_eq!(in_effect(&mut rig, passed), Some(Ok(())));
    rig.run(4, vec![send(Target::Group(GroupName::new("g")), Except::default())]);
    rig.pass_on(2, 1);
    assert_eq!(receivers(&mut rig, &clients), [0]);
}

#[test]
fn what_is_asked_is_answered_by_all_nodes() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let user = |name: &str| Sought::ConnectionOf(Target::User(UserId::new(name)));
    let client = rig.connect(3, Some("ann"));
    let joining = join(&mut rig, 4, client, "g");
    assert_eq!(joined(&mut rig, joining), Some(Ok(Joined::Yes)));
    for shard in 0..6 {
        let in_group = |group: &str| Sought::UserInGroup { user: UserId::new("ann"), group: GroupName::new(group) };
        for (sought, is_there) in [
            (user("ann"), true),
            (user("bob"), false),
            (Sought::ConnectionOf(Target::Connection(client.id)), true),
            (Sought::ConnectionOf(Target::Group(GroupName::new("g"))), true),
            (Sought::ConnectionOf(Target::All), true),
            (in_group("g"), true),
            (in_group("other"), false),
        ] {
            assert_eq!(rig.finds(shard, "chat", sought.clone()), is_there, "{sought:?} from {shard}");
        }
    }
}

#[test]
fn a_node_that_is_lost_owes_no_answer() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let clients = [rig.connect(2, Some("ann")), rig.connect(4, Some("ann"))];
    rig.between_nodes.is_held = true;
    let passed = barrier(&mut rig, 0);
    let joining = join(&mut rig, 0, clients[0], "g");
    let asked = ask(&mut rig, 0, clients[0]);
    rig.lose(1);
    assert_eq!(joined(&mut rig, joining), Some(Ok(Joined::NoSuchConnection)));
    assert_eq!(told(&mut rig, asked), Some(Err(AskError::NoSuchConnection)));
    assert_eq!(in_effect(&mut rig, passed), None, "another one owes an answer");
    rig.pass_all_on();
    assert_eq!(in_effect(&mut rig, passed), Some(Ok(())));
    let asked = ask(&mut rig, 0, clients[0]);
    assert_eq!(told(&mut rig, asked), Some(Err(AskError::NoSuchConnection)));
    rig.between_nodes.is_held = false;
    assert!(!rig.finds(0, "chat", Sought::ConnectionOf(Target::Connection(clients[0].id))));
    assert!(rig.finds(0, "chat", Sought::ConnectionOf(Target::User(UserId::new("ann")))));
    send_to_all(&mut rig, 0);
    assert_eq!(receivers(&mut rig, &clients), [1]);
}

#[test]
fn an_answer_that_comes_after_its_node_was_lost_stands_for_nobody_elses() {
    let mut rig = Rig::of_nodes(3, 1, unserved());
    let _clients = [rig.connect(1, None), rig.connect(2, None)];
    rig.between_nodes.is_held = true;
    let passed = barrier(&mut rig, 0);
    rig.pass_on(0, 1);
    // What was asked is answered by then; the answer is obeyed after the node was lost.
    let answer = hubgate_core::Order::Answer { number: 0, answer: hubgate_core::question::Answer::InEffect };
    let from = rig.between_nodes.address(1);
    rig.break_off(0, 1);
    rig.feed(0, Input::Order { from, hub: hub("chat"), order: answer });
    assert_eq!(in_effect(&mut rig, passed), None);
    rig.pass_all_on();
    assert_eq!(in_effect(&mut rig, passed), Some(Ok(())));
}

#[test]
fn clients_are_asked_from_all_nodes_and_nothing_is_left_of_the_questions_of_a_node_that_is_lost() {
    let mut rig = Rig::of_nodes(2, 2, settings());
    let client = rig.connect(0, None);
    let asked = ask(&mut rig, 3, client);
    let question = rig.received(client).pop().expect("it is asked");
    let id = question.split('"').nth(5).expect("an id").to_owned();
    rig.data(client, &format!("{{\"type\":3,\"invocationId\":\"{id}\",\"result\":7}}\x1e"));
    assert_eq!(told(&mut rig, asked), Some(Ok(Some(json("7")))));
    let busy = Some(Err(AskError::Busy));
    (0..MAX_QUESTIONS).for_each(|_| {
        ask(&mut rig, 3, client);
    });
    let refused = ask(&mut rig, 0, client);
    assert_eq!(told(&mut rig, refused), busy);
    rig.lose(1);
    rig.received(client);
    ask(&mut rig, 0, client);
    assert_eq!(rig.received(client).len(), 1, "there is room again");
}

#[test]
fn a_client_is_linked_to_a_hub_server_of_another_node() {
    let mut rig = Rig::of_nodes(2, 2, default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(3, Some("ann"), &[server]);
    rig.data(client, "{\"type\":6}\x1e");
    assert_eq!(rig.told(server), ["data {\"type\":6}\x1e"]);
    rig.answers(server, client, "{\"type\":6}\x1e");
    assert_eq!(rig.received(client), ["{\"type\":6}"]);
    rig.gone(client, CloseCause::Normal);
    assert_eq!(rig.told(server), [format!("close {}", client.id)]);
    let (client, _) = rig.connect_proxied(3, Some("ann"), &[server]);
    rig.server_gone(server);
    assert_eq!(rig.received(client), [DROPPED]);
}

#[test]
fn clients_of_all_nodes_move_to_another_server_when_theirs_leaves_or_is_lost() {
    for is_lost in [false, true] {
        let mut rig = Rig::of_nodes(3, 1, default_mode());
        let leaving = rig.server(0, "a", 2);
        let (client, _) = rig.connect_proxied(1, None, &[leaving]);
        let staying = rig.server(2, "b", 2);
        match is_lost {
            false => fin(&mut rig, leaving, "fin:1"),
            true => rig.server_gone(leaving),
        }
        assert!(rig.received(client).is_empty());
        let told = rig.told(staying);
        assert_eq!(told, [format!("open {} from a", client.id), format!("data {HANDSHAKE}")], "{is_lost}");
        if !is_lost {
            assert!(rig.told(leaving).contains(&format!("close {} to b", client.id)));
            // It gets no new clients, on whatever node.
            rig.connect_proxied(1, None, &[leaving, staying]);
            rig.server_gone(leaving);
        }
        rig.answers(staying, client, "{}\x1e{\"type\":6}\x1e");
        rig.data(client, "{\"type\":6}\x1e");
        assert_eq!(rig.told(staying).pop().as_deref(), Some("data {\"type\":6}\x1e"));
    }
}

#[test]
fn clients_of_all_nodes_are_not_read_while_their_hub_server_is_congested() {
    let mut rig = Rig::of_nodes(2, 1, default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(1, None, &[server]);
    rig.congested(server, true);
    assert_eq!(rig.paused, [(1, client.transport)]);
    let other = rig.server(0, "b", 0);
    let (_, of) = rig.connect_proxied(1, None, &[server, other]);
    assert_eq!(of, other);
    rig.congested(server, false);
    assert!(rig.paused.is_empty());
}

#[test]
fn clients_of_a_lost_nodes_hub_servers_are_closed_or_move_as_the_server_has_asked_for() {
    for (level, moves) in [(0, false), (1, false), (2, true)] {
        let mut rig = Rig::of_nodes(3, 1, default_mode());
        let lost = rig.server(1, "a", level);
        let (client, _) = rig.connect_proxied(0, None, &[lost]);
        let staying = rig.server(2, "b", 0);
        rig.lose(1);
        match moves {
            true => assert_eq!(rig.told(staying)[0], format!("open {} from a", client.id)),
            false => assert_eq!((rig.received(client), rig.told(staying)), (vec![DROPPED.to_owned()], Vec::new())),
        }
        rig.connect_proxied(0, None, &[staying]);
    }
}

#[test]
fn hub_servers_are_told_that_the_clients_of_a_lost_node_are_gone() {
    let mut rig = Rig::of_nodes(3, 2, default_mode());
    let server = rig.server(1, "a", 0);
    let clients: Vec<Client> = [0, 2, 3, 4, 3].map(|shard| rig.connect_proxied(shard, None, &[server]).0).into();
    rig.gone(clients[4], CloseCause::Normal);
    rig.told(server);
    rig.lose(1);
    let mut told = rig.told(server);
    told.sort();
    let mut expected = [1, 2].map(|index| format!("close {}", clients[index].id));
    expected.sort();
    assert_eq!(told, expected);
    for index in [0, 3] {
        rig.data(clients[index], "{\"type\":6}\x1e");
        assert_eq!(rig.told(server), ["data {\"type\":6}\x1e"], "it goes on");
    }
    // They count no longer where clients are routed.
    let other = rig.server(0, "b", 0);
    let of: Vec<_> = (0..2).map(|_| rig.connect_proxied(4, None, &[server, other]).1).collect();
    assert_eq!(of, [other, other]);
}

#[test]
fn calls_of_hub_servers_to_clients_of_a_lost_node_fail_once_unless_they_were_answered() {
    let mut rig = Rig::of_nodes(3, 1, default_mode());
    let server = rig.server(0, "a", 0);
    let caller = rig.weak(0, "caller");
    let [lost, kept] = [1, 2].map(|shard| rig.connect_proxied(shard, None, &[server]).0);
    let call = |rig: &mut Rig, client: Client, invocation_id| {
        let connection_id = client.id.as_str();
        let payloads = vec![("json", &b"ask\x1e"[..])];
        let call = ClientInvocation {
            invocation_id,
            connection_id,
            caller_server_id: "caller",
            payloads,
            ..Default::default()
        };
        rig.says(caller, &ServiceMessage::ClientInvocation(call));
        assert_eq!(rig.told(caller), [format!("mapping {invocation_id}")]);
    };
    for (client, id) in [(lost, "answered"), (lost, "asked"), (kept, "elsewhere")] {
        call(&mut rig, client, id);
    }
    let connection_id = lost.id.as_str();
    let done = ClientCompletion {
        invocation_id: "answered",
        connection_id,
        caller_server_id: "a",
        payload: b"1",
        ..Default::default()
    };
    rig.says(server, &ServiceMessage::ClientCompletion(done));
    assert_eq!(rig.told(caller), ["done answered 1"]);
    rig.lose(1);
    assert_eq!(rig.told(caller), ["failed asked: The connection ended before it answered."]);
    rig.lose(2);
    assert_eq!(rig.told(caller), ["failed elsewhere: The connection ended before it answered."]);
}

#[test]
fn what_two_nodes_have_lost_for_each_other_breaks_off_their_links_and_they_go_on_with_new_ones() {
    let mut rig = Rig::of_nodes(3, 1, default_mode());
    let server = rig.server(0, "a", 0);
    let (near, far) = (rig.connect_proxied(2, None, &[server]).0, rig.connect_proxied(1, None, &[server]).0);
    rig.break_off(0, 1);
    assert_eq!((rig.received(far), rig.received(near)), (vec![DROPPED.to_owned()], Vec::new()));
    assert_eq!(rig.told(server), [format!("close {}", far.id)]);
    let again = rig.connect_proxied(1, None, &[server]).0;
    for shard in 0..3 {
        send_to_all(&mut rig, shard);
        assert_eq!(receivers(&mut rig, &[far, near, again]), [1, 2], "from {shard}");
    }
}

#[test]
fn a_node_that_comes_later_knows_what_the_others_have_and_they_know_what_it_has() {
    let mut rig = Rig::of_nodes(3, 1, default_mode());
    rig.begin_without(2);
    let server = rig.server(0, "a", 0);
    let early = rig.connect_proxied(1, None, &[server]).0;
    let alone = rig.open(2, "chat", None);
    rig.appear(2);
    // There was no server before.
    rig.data(alone, HANDSHAKE);
    assert_eq!(rig.told(server), [format!("open {}", alone.id), format!("data {HANDSHAKE}")]);
    rig.answers(server, alone, "{}\x1e");
    assert_eq!(rig.received(alone), ["{}"]);
    for shard in 0..3 {
        send_to_all(&mut rig, shard);
        assert_eq!(receivers(&mut rig, &[early, alone]), [0, 1], "from {shard}");
    }
    rig.server_gone(server);
    assert_eq!((rig.received(early), rig.received(alone)), (vec![DROPPED.to_owned()], vec![DROPPED.to_owned()]));
}

#[test]
fn an_ack_of_a_hub_server_waits_for_all_nodes_that_have_clients_of_its_hub() {
    let mut rig = Rig::of_nodes(2, 2, default_mode());
    let server = rig.server(0, "a", 0);
    rig.connect_proxied(3, None, &[server]);
    rig.between_nodes.is_held = true;
    let check = CheckGroupExistenceWithAck { group: "g", ack_id: 7, ..CheckGroupExistenceWithAck::default() };
    rig.says(server, &ServiceMessage::CheckGroupExistenceWithAck(check));
    assert!(rig.told(server).is_empty());
    rig.lose(1);
    assert_eq!(rig.told(server)[0], "ack 7 2");
}

fn watch(rig: &mut Rig, shard: usize, group: &str) -> Ticket<Watched> {
    let (ticket, plugin, group) = (rig.next_ticket(), PluginName::new("plugin"), GroupName::new(group));
    rig.feed(shard, Input::Watch { hub: hub("chat"), plugin, group, ticket });
    ticket
}

#[test]
fn a_watch_is_in_effect_on_all_nodes_when_it_is_answered_and_until_it_is_ended_on_any() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let client = rig.connect(4, None);
    rig.between_nodes.is_held = true;
    let watched = watch(&mut rig, 0, "g");
    rig.pass_on(0, 1);
    rig.pass_on(1, 0);
    assert!(!rig.answers.contains_key(&watched.number()));
    rig.pass_on(0, 2);
    rig.pass_on(2, 0);
    let answered = rig.answers.remove(&watched.number());
    assert!(matches!(answered, Some(Answered::Watched(reply)) if reply.answer == Ok(Ok(()))));
    rig.between_nodes.is_held = false;
    join(&mut rig, 0, client, "g");
    rig.pass(Millis(250));
    assert_eq!(rig.tellings.iter().map(|(shard, _)| *shard).collect::<Vec<_>>(), [4]);
    let (plugin, group) = (PluginName::new("plugin"), GroupName::new("g"));
    rig.feed(2, Input::Unwatch { hub: hub("chat"), plugin, group });
    assert!(rig.directories.iter().all(|directory| directory.watched_groups().is_empty()));
}

fn in_group() -> Sought {
    Sought::UserInGroup { user: UserId::new("ann"), group: GroupName::new("g") }
}

fn send_to_group(rig: &mut Rig, shard: usize) {
    rig.run(shard, vec![send(Target::Group(GroupName::new("g")), Except::default())]);
}

fn leave_user(rig: &mut Rig, shard: usize) {
    let member = Member::User(UserId::new("ann"));
    rig.run(shard, vec![Action::Leave { member, group: GroupName::new("g") }]);
}

#[test]
fn a_users_membership_is_for_its_connections_on_all_nodes_and_for_later_ones_until_it_ends() {
    let mut rig = Rig::of_nodes(3, 2, unserved());
    let mut clients = vec![rig.connect(2, Some("ann"))];
    let ann_in_g = (UserId::new("ann"), GroupName::new("g"));
    assert_eq!(rig.join_user(0, "chat", ann_in_g, Some(10)), Ok(()));
    clients.extend([(4, "ann"), (3, "ann"), (1, "bob")].map(|(shard, user)| rig.connect(shard, Some(user))));
    send_to_group(&mut rig, 5);
    assert_eq!(receivers(&mut rig, &clients), [0, 1, 2]);
    rig.pass(Millis(10_000));
    clients.push(rig.connect(4, Some("ann")));
    send_to_group(&mut rig, 0);
    assert_eq!(receivers(&mut rig, &clients), [0, 1, 2]);
    leave_user(&mut rig, 5);
    send_to_group(&mut rig, 0);
    assert_eq!(receivers(&mut rig, &clients), [0; 0]);
}

#[test]
fn of_two_nodes_changes_of_a_membership_at_once_the_later_one_holds_on_all() {
    let ann_in_g = || (UserId::new("ann"), GroupName::new("g"));
    for is_joined_last in [false, true] {
        let mut rig = Rig::of_nodes(3, 1, unserved());
        rig.join_user(0, "chat", ann_in_g(), None).expect("there is room");
        rig.between_nodes.is_held = true;
        if is_joined_last {
            leave_user(&mut rig, 0);
            rig.pass(Millis(100));
            rig.join_user(1, "chat", ann_in_g(), None).expect("there is room");
        } else {
            rig.join_user(1, "chat", ann_in_g(), None).expect("there is room");
            rig.pass(Millis(100));
            leave_user(&mut rig, 0);
        }
        rig.pass_all_on();
        rig.between_nodes.is_held = false;
        for shard in 0..3 {
            assert_eq!(rig.finds(shard, "chat", in_group()), is_joined_last, "on {shard}");
        }
    }
}

#[test]
fn a_node_that_comes_later_knows_which_groups_users_are_in_and_in_which_they_are_no_longer() {
    let mut rig = Rig::of_nodes(3, 1, unserved());
    rig.join_user(2, "chat", (UserId::new("ann"), GroupName::new("left")), None).expect("there is room");
    rig.begin_without(2);
    rig.join_user(0, "chat", (UserId::new("ann"), GroupName::new("g")), None).expect("there is room");
    let member = Member::User(UserId::new("ann"));
    rig.run(1, vec![Action::Leave { member, group: GroupName::new("left") }]);
    rig.appear(2);
    let clients: Vec<Client> = (0..3).map(|shard| rig.connect(shard, Some("ann"))).collect();
    for (group, expected) in [("g", &[0, 1, 2][..]), ("left", &[])] {
        rig.run(1, vec![send(Target::Group(GroupName::new(group)), Except::default())]);
        assert_eq!(receivers(&mut rig, &clients), expected, "{group}");
    }
}

const CALL: &str = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"m\",\"arguments\":[]}\x1e";
const ANSWER: &str = "{\"type\":3,\"invocationId\":\"1\",\"result\":2}";

/// Servers of two connections on node 0, whose clients may move when they are lost, and one on node 1; clients there, which the first has.
fn a_node_is_about_to_stop() -> (Rig, [Server; 3], [Client; 2]) {
    let mut rig = Rig::of_nodes(2, 2, default_mode());
    let old = rig.server(0, "old", 2);
    let clients = [(); 2].map(|()| {
        let (client, _) = rig.connect_proxied(2, None, &[old]);
        rig.told(old);
        client
    });
    let servers = [old, rig.server(1, "also stops", 2), rig.server(3, "new", 2)];
    rig.told(old);
    (rig, servers, clients)
}

fn has_ended(rig: &Rig, server: Server) -> bool {
    rig.finished_servers.iter().any(|(id, _)| *id == server.id)
}

#[test]
fn when_no_time_is_left_servers_end_at_once_and_their_clients_on_other_nodes_move_or_come_back_if_they_wait_for_answers()
 {
    let (mut rig, [old, also_stops, new], [waiting, client]) = a_node_is_about_to_stop();
    rig.data(waiting, CALL);
    rig.drain(1);
    rig.feed(0, Input::DrainNow);
    assert!(has_ended(&rig, old) && has_ended(&rig, also_stops), "no time is left");
    assert_eq!(rig.told(new), [format!("open {} from old", client.id), format!("data {HANDSHAKE}")]);
    assert_eq!(rig.received(waiting), [DROPPED]);
}

#[test]
fn calls_that_a_server_has_when_its_node_stops_are_answered_before_the_clients_of_other_nodes_move() {
    let (mut rig, [old, also_stops, new], [client, other]) = a_node_is_about_to_stop();
    rig.gone(other, CloseCause::Normal);
    rig.data(client, CALL);
    rig.told(old);
    for shard in [1, 0] {
        rig.drain(shard);
    }
    assert!(!has_ended(&rig, old) && rig.told(new).is_empty(), "the call is not answered");
    rig.answers(old, client, &format!("{ANSWER}\x1e"));
    assert_eq!(rig.received(client), [ANSWER]);
    rig.pass(Millis(250));
    rig.drain(0);
    assert_eq!(rig.told(new), [format!("open {} from old", client.id), format!("data {HANDSHAKE}")]);
    assert!(rig.told(also_stops).iter().all(|told| !told.starts_with("open")), "it stops, too");
    assert!(has_ended(&rig, old));
    assert_eq!(rig.received(client), Vec::<String>::new(), "it notices nothing");
}
