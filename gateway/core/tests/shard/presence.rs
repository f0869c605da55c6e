//! Who is there, on all shards.

use hubgate_core::delivery::Target;
use hubgate_core::id::{ConnectionId, GroupName, UserId};
use hubgate_core::question::{Answered, CallerQuery, Members};
use hubgate_core::{CloseCause, Input};

use crate::rig::{Client, PATIENCE, Rig, hub, settings};

fn group(name: &str) -> Target {
    Target::Group(GroupName::new(name))
}

fn user(name: &str) -> Target {
    Target::User(UserId::new(name))
}

/// How many connections a target has, as a shard tells whoever asks it.
fn count(rig: &mut Rig, shard: usize, target: Target) -> u64 {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    rig.feed(shard, Input::Ask { hub: hub("chat"), query: CallerQuery::Count(target, ticket), deadline });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Count(reply)) => reply.answer.expect("all shards answer"),
        other => panic!("a number was asked for: {other:?}"),
    }
}

fn members(rig: &mut Rig, shard: usize, of: Target, after: Option<ConnectionId>, most: usize) -> Members {
    let (ticket, deadline) = (rig.next_ticket(), rig.now + PATIENCE);
    let query = CallerQuery::Members { of, after, most, ticket };
    rig.feed(shard, Input::Ask { hub: hub("chat"), query, deadline });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Members(reply)) => reply.answer.expect("all shards answer"),
        other => panic!("members were asked for: {other:?}"),
    }
}

/// Nine clients of `ann` and `bob` on three shards; those of the first two are in the group `g`, `bob`'s by a membership of his own.
fn nine() -> (Rig, Vec<Client>) {
    let mut rig = Rig::new(3, settings());
    rig.join_user(2, "chat", (UserId::new("bob"), GroupName::new("g")), None).expect("he joins");
    let names = ["ann", "bob", "cat"];
    let clients: Vec<Client> = (0..9).map(|number| rig.connect(number / 3, Some(names[number % 3]))).collect();
    rig.join_user(0, "chat", (UserId::new("ann"), GroupName::new("g")), Some(0)).expect("she joins");
    (rig, clients)
}

#[test]
fn connections_are_counted_on_all_shards() {
    let (mut rig, clients) = nine();
    for shard in 0..3 {
        let is = |rig: &mut Rig, target, expected| assert_eq!(count(rig, shard, target), expected, "by shard {shard}");
        is(&mut rig, Target::All, 9);
        is(&mut rig, group("g"), 6);
        is(&mut rig, group("nobody's"), 0);
        is(&mut rig, user("cat"), 3);
        is(&mut rig, user("dan"), 0);
        is(&mut rig, Target::Connection(clients[4].id), 1);
    }
    rig.gone(clients[1], CloseCause::Normal);
    assert_eq!(count(&mut rig, 2, group("g")), 5);
    assert_eq!(count(&mut rig, 2, Target::Connection(clients[1].id)), 0);
}

#[test]
fn the_pages_of_a_group_have_each_member_once_by_id_whatever_their_length() {
    let (mut rig, clients) = nine();
    let names = ["ann", "bob", "cat"];
    let all = clients.iter().enumerate().map(|(number, client)| (client.id, Some(UserId::new(names[number % 3]))));
    let mut expected: Members = all.filter(|(_, user)| *user != Some(UserId::new("cat"))).collect();
    expected.sort_by_key(|(id, _)| *id);
    for most in 1..=7 {
        let (mut read, mut after) = (Members::new(), None);
        loop {
            let page = members(&mut rig, most % 3, group("g"), after, most);
            assert!(page.len() <= most, "{} of {most}", page.len());
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            read.extend(page);
        }
        assert_eq!(read, expected, "in pages of {most}");
    }
}

#[test]
fn a_users_connections_are_told_by_id_after_any_that_was_there() {
    let (mut rig, clients) = nine();
    let mut of_bob = [clients[1].id, clients[4].id, clients[7].id];
    of_bob.sort();
    let ids = |members: Members| members.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(members(&mut rig, 0, user("bob"), None, 10)), of_bob);
    let first = *clients.iter().find(|client| client.id == of_bob[0]).expect("one of them");
    rig.gone(first, CloseCause::Normal);
    assert_eq!(ids(members(&mut rig, 1, user("bob"), Some(of_bob[0]), 1)), of_bob[1..2]);
    assert_eq!(ids(members(&mut rig, 1, user("bob"), Some(of_bob[2]), 1)), []);
}
