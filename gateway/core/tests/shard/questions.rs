//! What plugins and REST callers ask of all shards.

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::id::{ConnectionId, GroupName, UserId};
use hubgate_core::question::{Answer, Answered, CallerQuery, Joined, Question, Sought, Ticket, Unanswered};
use hubgate_core::time::Millis;
use hubgate_core::{Addressees, Input, Order};

use crate::proxied::join;
use crate::rig::{Client, PATIENCE, Rig, Waiting, at, default_mode, hub, settings};
use hubgate_wire::service::{CheckGroupExistenceWithAck, ServiceMessage};

/// More of a shard's callers than this do not wait for other shards.
const MAX_CALLERS: usize = 16_384;

/// Shards that do what others order when the test says so, with a client of `ann` on the last.
fn apart(shards: u16) -> (Rig, Client) {
    let mut rig = Rig::new(shards, settings());
    let client = rig.connect(usize::from(shards) - 1, Some("ann"));
    rig.is_alone = true;
    (rig, client)
}

fn user(name: &str) -> Sought {
    Sought::ConnectionOf(Target::User(UserId::new(name)))
}

/// Lets one shard do what it was ordered.
fn obey(rig: &mut Rig, shard: usize) {
    let (own, others) = std::mem::take(&mut rig.unanswered).into_iter().partition(|waiting| waiting.to == shard);
    rig.unanswered = others;
    for Waiting { from, to, hub, order } in own {
        rig.feed(to, Input::Order { from: at(from), hub, order });
    }
}

/// The shards for which orders wait.
fn ordered(rig: &Rig) -> Vec<usize> {
    rig.unanswered.iter().map(|waiting| waiting.to).collect()
}

fn barrier(rig: &mut Rig, shard: usize) -> Ticket<()> {
    let ticket = rig.next_ticket();
    let deadline = rig.now + PATIENCE;
    rig.feed(shard, Input::Barrier { hub: hub("chat"), deadline, ticket });
    ticket
}

fn in_effect(rig: &mut Rig, ticket: Ticket<()>) -> Option<Result<(), Unanswered>> {
    match rig.answers.remove(&ticket.number())? {
        Answered::InEffect(reply) => Some(reply.answer),
        other => panic!("another answer was asked for: {other:?}"),
    }
}

#[test]
fn all_shards_are_asked_at_once_and_one_that_finds_it_is_enough() {
    let (mut rig, _client) = apart(3);
    let asked = rig.seek(0, "chat", Sought::ConnectionOf(Target::All));
    assert_eq!(ordered(&rig), [1, 2]);
    obey(&mut rig, 2);
    obey(&mut rig, 0);
    assert_eq!(rig.found(asked), Some(Ok(true)), "shard 1 has not answered");
    // Its answer comes too late to be one.
    obey(&mut rig, 1);
    obey(&mut rig, 0);
    assert_eq!(rig.found(asked), None);
}

#[test]
fn a_hub_server_is_told_at_once_of_what_one_shard_has_found() {
    let mut rig = Rig::new(3, default_mode());
    let server = rig.server(0, "a", 0);
    let (client, _) = rig.connect_proxied(1, None, &[server]);
    join(&mut rig, server, client, "g", 1);
    rig.told(server);
    rig.is_alone = true;
    let check = CheckGroupExistenceWithAck { group: "g", ack_id: 7, ..CheckGroupExistenceWithAck::default() };
    rig.says(server, &ServiceMessage::CheckGroupExistenceWithAck(check));
    assert_eq!(ordered(&rig), [1, 2]);
    obey(&mut rig, 1);
    obey(&mut rig, 0);
    assert_eq!(rig.told(server), ["ack 7 1"], "shard 2 has not answered");
}

#[test]
fn nothing_is_found_once_all_shards_have_answered() {
    let (mut rig, _client) = apart(3);
    let asked = rig.seek(0, "chat", Sought::ConnectionOf(Target::Group(GroupName::new("nobody's"))));
    for shard in [1, 2] {
        assert_eq!(rig.found(asked), None);
        obey(&mut rig, shard);
        obey(&mut rig, 0);
    }
    assert_eq!(rig.found(asked), Some(Ok(false)));
}

#[test]
fn a_shard_that_finds_it_itself_asks_no_other() {
    let (mut rig, _client) = apart(3);
    let asked = rig.seek(2, "chat", user("ann"));
    assert_eq!((rig.found(asked), ordered(&rig)), (Some(Ok(true)), vec![]));
}

#[test]
fn what_is_about_one_connection_is_asked_of_its_shard_alone() {
    let (mut rig, client) = apart(3);
    let exists = rig.seek(0, "chat", Sought::ConnectionOf(Target::Connection(client.id)));
    let (facts, join) = (rig.next_ticket(), rig.next_ticket());
    let (deadline, connection, group) = (rig.now + PATIENCE, client.id, GroupName::new("g"));
    rig.feed(0, Input::Ask { hub: hub("chat"), query: CallerQuery::Facts(connection, facts), deadline });
    rig.feed(0, Input::Join { hub: hub("chat"), connection, group, deadline, ticket: join });
    assert_eq!(ordered(&rig), [2, 2, 2]);
    obey(&mut rig, 2);
    obey(&mut rig, 0);
    assert_eq!(rig.found(exists), Some(Ok(true)));
    let Some(Answered::Facts(facts)) = rig.answers.remove(&facts.number()) else { panic!("its facts") };
    let facts = facts.answer.expect("in time").expect("it is there");
    assert_eq!(facts.user_id, Some(UserId::new("ann")));
    let Some(Answered::Joined(joined)) = rig.answers.remove(&join.number()) else { panic!("it joins") };
    assert_eq!(joined.answer, Ok(Joined::Yes));
}

#[test]
fn a_connection_is_known_in_its_own_hub_alone() {
    let (mut rig, client) = apart(2);
    rig.reunite();
    for (shard, name, is_known) in [(0, "chat", true), (0, "other", false), (1, "chat", true), (1, "other", false)] {
        let ticket = rig.next_ticket();
        let (query, deadline) = (CallerQuery::Facts(client.id, ticket), rig.now + PATIENCE);
        rig.feed(shard, Input::Ask { hub: hub(name), query, deadline });
        let Some(Answered::Facts(facts)) = rig.answers.remove(&ticket.number()) else { panic!("an answer") };
        assert_eq!(facts.answer.expect("in time").is_some(), is_known, "{name}, asked by shard {shard}");
    }
}

#[test]
fn what_is_about_a_user_is_asked_of_the_users_shards_alone() {
    let (mut rig, _client) = apart(3);
    let group = GroupName::new("g");
    let ann_in_group = Sought::UserInGroup { user: UserId::new("ann"), group };
    let (exists, is_member) = (rig.seek(0, "chat", user("ann")), rig.seek(0, "chat", ann_in_group));
    assert_eq!(ordered(&rig), [2, 2]);
    let bob = rig.seek(0, "chat", user("bob"));
    assert_eq!((rig.found(bob), ordered(&rig)), (Some(Ok(false)), vec![2, 2]));
    obey(&mut rig, 2);
    obey(&mut rig, 0);
    assert_eq!((rig.found(exists), rig.found(is_member)), (Some(Ok(true)), Some(Ok(false))));
}

#[test]
fn a_connection_of_a_shard_that_never_was_is_nobodys() {
    let (mut rig, _client) = apart(2);
    let nobody = ConnectionId::new(at(7), [9; 12]);
    let asked = rig.seek(0, "chat", Sought::ConnectionOf(Target::Connection(nobody)));
    assert_eq!((rig.found(asked), ordered(&rig)), (Some(Ok(false)), vec![]));
}

#[test]
fn a_barrier_is_passed_when_all_shards_have_done_what_was_ordered_before() {
    let (mut rig, client) = apart(3);
    let member = Member::Connection(client.id);
    let join = Action::Join { member, group: GroupName::new("g"), ttl_seconds: None, plugin: None };
    rig.run(0, vec![join]);
    let passed = barrier(&mut rig, 0);
    obey(&mut rig, 1);
    obey(&mut rig, 0);
    assert_eq!(in_effect(&mut rig, passed), None);
    obey(&mut rig, 2);
    assert!(rig.finds(2, "chat", Sought::ConnectionOf(Target::Group(GroupName::new("g")))));
    obey(&mut rig, 0);
    assert_eq!(in_effect(&mut rig, passed), Some(Ok(())));
}

#[test]
fn a_shard_that_does_not_answer_is_not_waited_for_past_the_deadline() {
    let (mut rig, _client) = apart(2);
    let (asked, passed) = (rig.seek(0, "chat", user("ann")), barrier(&mut rig, 0));
    rig.pass(PATIENCE - Millis(1));
    assert_eq!((rig.found(asked), in_effect(&mut rig, passed)), (None, None));
    rig.pass(Millis(1));
    assert_eq!((rig.found(asked), in_effect(&mut rig, passed)), (Some(Err(Unanswered)), Some(Err(Unanswered))));
    rig.reunite();
    assert!(rig.answers.is_empty(), "nobody is told twice: {:?}", rig.answers);
}

#[test]
fn a_shard_that_has_ended_knows_nothing_and_holds_nobody_up() {
    let (mut rig, _client) = apart(3);
    let (asked, passed) = (rig.seek(0, "chat", user("ann")), barrier(&mut rig, 0));
    obey(&mut rig, 1);
    obey(&mut rig, 0);
    for Waiting { from, to, order, .. } in std::mem::take(&mut rig.unanswered) {
        assert_eq!((from, to), (0, 2));
        rig.feed(from, Input::Undelivered { to: Addressees::One(at(to)), order });
    }
    assert_eq!((rig.found(asked), in_effect(&mut rig, passed)), (Some(Ok(false)), Some(Ok(()))));
}

#[test]
fn no_more_callers_wait_for_other_shards_than_a_bound_allows() {
    let (mut rig, _client) = apart(2);
    let waiting: Vec<Ticket<bool>> = (0..MAX_CALLERS).map(|_| rig.seek(0, "chat", user("ann"))).collect();
    assert!(rig.answers.is_empty());
    let refused = rig.seek(0, "chat", user("ann"));
    assert_eq!(rig.found(refused), Some(Err(Unanswered)));
    assert_eq!(rig.unanswered.len(), MAX_CALLERS, "nobody is asked for it");
    let in_effect_now = barrier(&mut rig, 0);
    assert_eq!(in_effect(&mut rig, in_effect_now), None, "what was done already is waited for");
    rig.pass(PATIENCE);
    assert!(waiting.iter().all(|ticket| rig.found(*ticket) == Some(Err(Unanswered))));
    let next = rig.seek(0, "chat", user("ann"));
    rig.reunite();
    assert_eq!(rig.found(next), Some(Ok(true)), "there is room again");
}

#[test]
fn an_answer_to_another_question_says_nothing() {
    let (mut rig, _client) = apart(2);
    let asked = rig.seek(0, "chat", user("ann"));
    let Waiting { to, hub, order, .. } = rig.unanswered.remove(0);
    let Order::Ask { question: Question::Query(_), number, .. } = order else { panic!("shard 1 is asked: {order:?}") };
    let order = Order::Answer { number, answer: Answer::Joined(Joined::Yes) };
    rig.feed(0, Input::Order { from: at(to), hub, order });
    assert_eq!(rig.found(asked), Some(Ok(false)));
}
