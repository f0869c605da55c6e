//! Who joins and leaves the groups that plugins watch, and how plugins are told.

use std::collections::{BTreeMap, BTreeSet};

use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::event::{HubCall, HubEvent, PresentMember};
use hubgate_core::id::{ConnectionId, GroupName, PluginName, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::question::{Answered, Watched};
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, DirectoryChange, Input, WatchRefusal};

use crate::rig::{Client, Rig, at, default_mode, hub, identity, settings};

/// From the first change until it is told.
const BATCH: Millis = Millis(250);

/// Whom plugins take for present, after all that they were told.
#[derive(Debug, Default)]
pub(crate) struct Attendance {
    present: BTreeMap<(PluginName, GroupName), BTreeSet<ConnectionId>>,
    pub(crate) calls: usize,
    pub(crate) members: usize,
}

impl Attendance {
    /// A plugin is told. What it is told must be news to it, and no more than fits into a call.
    fn hear(&mut self, call: &HubCall) {
        let (group, joined, left) = changes(call);
        let present = self.present.entry((call.plugin.clone(), group.clone())).or_default();
        for member in left {
            assert!(present.remove(&member.connection), "{member:?} leaves {group} without being there");
        }
        for member in joined {
            assert!(present.insert(member.connection), "{member:?} joins {group} twice");
        }
        let members = joined.len() + left.len();
        assert!((1..=1_000).contains(&members), "{members} members in one call");
        self.calls += 1;
        self.members += members;
    }

    /// A call of each shard that has one under way ends.
    pub(crate) fn hear_some(&mut self, rig: &mut Rig) {
        for (shard, call) in std::mem::take(&mut rig.tellings) {
            self.hear(&call);
            rig.feed(shard, Input::PresenceTold { hub: call.hub, plugin: call.plugin });
        }
    }

    /// All is told that has happened.
    pub(crate) fn hear_all(&mut self, rig: &mut Rig) {
        rig.pass(BATCH);
        while !rig.tellings.is_empty() {
            self.hear_some(rig);
            rig.pass(Millis(1));
        }
        rig.pass(BATCH);
        assert!(rig.tellings.is_empty(), "nothing is told twice: {:?}", rig.tellings);
    }

    pub(crate) fn of(&self, plugin: &str, group: &str) -> BTreeSet<ConnectionId> {
        self.present.get(&(PluginName::new(plugin), GroupName::new(group))).cloned().unwrap_or_default()
    }
}

fn changes(call: &HubCall) -> (&GroupName, &[PresentMember], &[PresentMember]) {
    match &call.event {
        HubEvent::PresenceChanged { group, joined, left } => (group, joined, left),
        other => panic!("a plugin is told of presence: {other:?}"),
    }
}

/// Lets a plugin watch a group.
pub(crate) fn watch(rig: &mut Rig, shard: usize, name: &str, (plugin, group): (&str, &str)) -> Watched {
    let ticket = rig.next_ticket();
    let (plugin, group) = (PluginName::new(plugin), GroupName::new(group));
    rig.feed(shard, Input::Watch { hub: hub(name), plugin, group, ticket });
    match rig.answers.remove(&ticket.number()) {
        Some(Answered::Watched(reply)) => reply.answer.expect("it is answered at once"),
        other => panic!("a watch was asked for: {other:?}"),
    }
}

fn unwatch(rig: &mut Rig, shard: usize, (plugin, group): (&str, &str)) {
    let (plugin, group) = (PluginName::new(plugin), GroupName::new(group));
    rig.feed(shard, Input::Unwatch { hub: hub("chat"), plugin, group });
}

fn join(rig: &mut Rig, client: Client, group: &str) {
    let join = Action::Join {
        member: Member::Connection(client.id),
        group: GroupName::new(group),
        ttl_seconds: None,
        plugin: None,
    };
    rig.run(client.shard, vec![join]);
}

fn leave(rig: &mut Rig, client: Client, group: &str) {
    rig.run(client.shard, vec![Action::Leave { member: Member::Connection(client.id), group: GroupName::new(group) }]);
}

/// Shards whose group `g` the plugin watches, with clients of `ann`, one for each number of a shard.
fn watched(shards: u16, clients: &[usize]) -> (Rig, Vec<Client>) {
    let mut settings = settings();
    settings.upstream.clear();
    let mut rig = Rig::new(shards, settings);
    assert_eq!(watch(&mut rig, 0, "chat", ("plugin", "g")), Ok(()));
    let clients = clients.iter().map(|shard| rig.connect(*shard, Some("ann"))).collect();
    (rig, clients)
}

/// What the oldest call that is under way tells: who has joined, and who has left.
fn told(rig: &Rig) -> (Vec<ConnectionId>, Vec<ConnectionId>) {
    let (_, call) = rig.tellings.front().expect("a plugin is told");
    let (_, joined, left) = changes(call);
    let ids = |members: &[PresentMember]| members.iter().map(|member| member.connection).collect();
    (ids(joined), ids(left))
}

/// The oldest call ends.
fn end_call(rig: &mut Rig) {
    let (shard, call) = rig.tellings.pop_front().expect("a call is under way");
    rig.feed(shard, Input::PresenceTold { hub: call.hub, plugin: call.plugin });
}

#[test]
fn what_changes_within_a_batch_is_told_together_once_its_time_is_over() {
    let (mut rig, clients) = watched(1, &[0, 0, 0]);
    join(&mut rig, clients[0], "g");
    rig.pass(Millis(100));
    join(&mut rig, clients[1], "g");
    join(&mut rig, clients[2], "other");
    rig.pass(Millis(149));
    assert!(rig.tellings.is_empty(), "it is too early");
    assert_eq!(rig.wakes, [(0, BATCH)], "one batch wakes the shard once");
    rig.pass(Millis(1));
    assert_eq!(told(&rig), (vec![clients[0].id, clients[1].id], vec![]));
    let (_, call) = &rig.tellings[0];
    let (group, joined, _) = changes(call);
    assert_eq!((call.hub.as_str(), call.plugin.as_str(), group.as_str()), ("chat", "plugin", "g"));
    assert_eq!(joined[0].user_id, Some(UserId::new("ann")));
}

#[test]
fn of_a_connection_a_batch_tells_only_what_it_has_changed() {
    let (mut rig, clients) = watched(1, &[0, 0, 0]);
    let [come_and_gone, gone_and_back, stays] = clients[..] else { panic!("three") };
    join(&mut rig, gone_and_back, "g");
    let mut attendance = Attendance::default();
    attendance.hear_all(&mut rig);
    join(&mut rig, come_and_gone, "g");
    leave(&mut rig, gone_and_back, "g");
    rig.gone(come_and_gone, CloseCause::Normal);
    join(&mut rig, gone_and_back, "g");
    rig.pass(BATCH);
    assert!(rig.tellings.is_empty(), "nothing has changed: {:?}", rig.tellings);
    join(&mut rig, stays, "g");
    rig.pass(BATCH);
    assert_eq!(told(&rig), (vec![stays.id], vec![]));
}

#[test]
fn one_call_runs_at_a_time_and_what_changes_meanwhile_is_told_next() {
    let (mut rig, clients) = watched(1, &[0, 0]);
    join(&mut rig, clients[0], "g");
    rig.pass(BATCH);
    leave(&mut rig, clients[0], "g");
    join(&mut rig, clients[1], "g");
    rig.pass(Millis(1_000));
    assert_eq!(rig.tellings.len(), 1, "the first call takes its time");
    end_call(&mut rig);
    assert_eq!(told(&rig), (vec![clients[1].id], vec![clients[0].id]));
    leave(&mut rig, clients[1], "g");
    end_call(&mut rig);
    assert!(rig.tellings.is_empty(), "the next batch has its time as well");
    rig.pass(BATCH);
    assert_eq!(told(&rig), (vec![], vec![clients[1].id]));
}

#[test]
fn every_way_into_a_group_and_out_of_it_is_told() {
    let (mut rig, _) = watched(2, &[]);
    let (ann, group) = (UserId::new("ann"), GroupName::new("g"));
    let mut attendance = Attendance::default();
    let expect = |rig: &mut Rig, attendance: &mut Attendance, clients: &[Client], what: &str| {
        attendance.hear_all(rig);
        assert_eq!(attendance.of("plugin", "g"), clients.iter().map(|client| client.id).collect(), "{what}");
    };
    let first = rig.connect(0, Some("ann"));
    rig.join_user(1, "chat", (ann.clone(), group.clone()), None).expect("she joins");
    expect(&mut rig, &mut attendance, &[first], "a user joins");
    let second = rig.connect(1, Some("ann"));
    expect(&mut rig, &mut attendance, &[first, second], "a user's next connection joins by itself");
    rig.run(0, vec![Action::Leave { member: Member::Connection(second.id), group: group.clone() }]);
    expect(&mut rig, &mut attendance, &[first], "a connection leaves, on another shard");
    rig.run(0, vec![Action::LeaveAll(Member::User(ann))]);
    expect(&mut rig, &mut attendance, &[], "a user leaves all groups");
    let clients: Vec<Client> = (0..4).map(|number| rig.connect(number % 2, None)).collect();
    clients.iter().for_each(|client| join(&mut rig, *client, "g"));
    rig.run(0, vec![Action::LeaveAll(Member::Connection(clients[0].id))]);
    expect(&mut rig, &mut attendance, &clients[1..], "a connection leaves all groups");
    rig.gone(clients[1], CloseCause::TransportLost);
    expect(&mut rig, &mut attendance, &clients[2..], "a client is gone");
    let (target, except) = (Target::Connection(clients[2].id), Vec::new());
    rig.run(1, vec![Action::Close { target, except, reason: None, allow_reconnect: false }]);
    expect(&mut rig, &mut attendance, &clients[3..], "a client is closed");
    (0..2).for_each(|shard| rig.drain(shard));
    rig.said_all(clients[3]);
    expect(&mut rig, &mut attendance, &[], "the gateway stops");
}

#[test]
fn a_large_change_takes_several_calls_one_after_the_other() {
    let (mut rig, _) = watched(1, &[]);
    let mut attendance = Attendance::default();
    crowd(&mut rig, 2_500);
    rig.pass(BATCH);
    let mut sizes = Vec::new();
    while let Some((_, call)) = rig.tellings.front() {
        assert_eq!(rig.tellings.len(), 1, "one at a time");
        sizes.push(changes(call).1.len());
        attendance.hear(call);
        end_call(&mut rig);
    }
    assert_eq!(sizes, [1_000, 1_000, 500]);
    assert_eq!(attendance.of("plugin", "g").len(), 2_500);
}

#[test]
fn each_plugin_that_watches_a_group_is_told_by_itself() {
    let (mut rig, clients) = watched(2, &[0, 1]);
    assert_eq!(watch(&mut rig, 1, "chat", ("other", "g")), Ok(()));
    clients.iter().for_each(|client| join(&mut rig, *client, "g"));
    rig.pass(BATCH);
    let told: BTreeSet<(usize, &str)> =
        rig.tellings.iter().map(|(shard, call)| (*shard, call.plugin.as_str())).collect();
    assert_eq!(told, BTreeSet::from([(0, "other"), (0, "plugin"), (1, "other"), (1, "plugin")]));
    let mut attendance = Attendance::default();
    attendance.hear_all(&mut rig);
    assert_eq!(attendance.of("plugin", "g"), attendance.of("other", "g"));
    assert_eq!(attendance.of("other", "g").len(), 2);
}

#[test]
fn a_watch_is_in_effect_on_all_shards_at_once_and_until_its_end() {
    let (mut rig, clients) = watched(2, &[0, 1]);
    unwatch(&mut rig, 1, ("plugin", "g"));
    join(&mut rig, clients[0], "g");
    rig.pass(BATCH);
    assert!(rig.tellings.is_empty() && rig.wakes.is_empty(), "nobody watches");
    assert_eq!(watch(&mut rig, 0, "chat", ("plugin", "g")), Ok(()));
    join(&mut rig, clients[1], "g");
    unwatch(&mut rig, 0, ("plugin", "g"));
    rig.pass(BATCH);
    assert!(rig.tellings.is_empty(), "what was not told yet is not told any more");
    assert_eq!(watch(&mut rig, 1, "chat", ("plugin", "g")), Ok(()));
    leave(&mut rig, clients[1], "g");
    unwatch(&mut rig, 1, ("plugin", "g"));
    assert_eq!(watch(&mut rig, 1, "chat", ("plugin", "g")), Ok(()));
    leave(&mut rig, clients[0], "g");
    rig.pass(BATCH);
    assert_eq!(told(&rig), (vec![], vec![clients[0].id]), "what an earlier watch has seen is over");
}

#[test]
fn a_plugin_watches_so_many_groups_of_all_hubs() {
    let (mut rig, _) = watched(1, &[]);
    assert_eq!(watch(&mut rig, 0, "chat", ("plugin", "g")), Ok(()), "the same again is no other");
    assert_eq!(watch(&mut rig, 0, "chat", ("plugin", "2")), Ok(()));
    assert_eq!(watch(&mut rig, 0, "lobby", ("plugin", "g")), Ok(()));
    assert_eq!(watch(&mut rig, 0, "lobby", ("plugin", "4")), Err(WatchRefusal::TooMany));
    assert_eq!(watch(&mut rig, 0, "lobby", ("other", "4")), Ok(()), "another plugin has its own");
    assert_eq!(rig.directory.watched_groups(), [(PluginName::new("other"), 1), (PluginName::new("plugin"), 3)]);
    unwatch(&mut rig, 0, ("plugin", "2"));
    assert_eq!(watch(&mut rig, 0, "lobby", ("plugin", "4")), Ok(()), "there is room again");
    assert_eq!(watch(&mut rig, 0, "chat", ("stranger", "g")), Err(WatchRefusal::TooMany), "it is not configured");
}

#[test]
fn watches_end_with_the_plugins_configuration_and_with_the_hubs_mode() {
    let (mut rig, clients) = watched(2, &[0, 1]);
    assert_eq!(watch(&mut rig, 1, "chat", ("other", "g")), Ok(()));
    let mut without = settings();
    without.presence.remove(&PluginName::new("plugin"));
    rig.configure(without);
    clients.iter().for_each(|client| join(&mut rig, *client, "g"));
    rig.pass(BATCH);
    assert!(rig.tellings.iter().all(|(_, call)| call.plugin.as_str() == "other"), "{:?}", rig.tellings);
    assert_eq!(rig.tellings.len(), 2);
    rig.configure(default_mode());
    assert_eq!(rig.directory.watched_groups(), []);
    assert_eq!(watch(&mut rig, 0, "chat", ("other", "g")), Err(WatchRefusal::NotServerless(Mode::Default)));
}

#[test]
fn a_hub_is_remembered_for_as_long_as_one_of_its_groups_is_watched() {
    let (mut rig, _) = watched(1, &[]);
    let watched = DirectoryChange::GroupWatched { plugin: PluginName::new("plugin"), group: GroupName::new("g") };
    rig.pass(Millis(600_000));
    rig.pass(Millis(600_000));
    assert_eq!(rig.directory.snapshot(), [(hub("chat"), watched)]);
    let client = rig.connect(0, None);
    join(&mut rig, client, "g");
    rig.pass(BATCH);
    assert_eq!(told(&rig), (vec![client.id], vec![]));
}

/// So many clients in the group `g`, on all shards.
fn crowd(rig: &mut Rig, clients: u32) -> Vec<Client> {
    let shards = rig.shards.len();
    let clients: Vec<Client> = (0..clients)
        .map(|number| {
            let (shard, mut random) = (number as usize % shards, [0; 12]);
            random[..4].copy_from_slice(&number.to_be_bytes());
            let client = rig.open_with(shard, "chat", ConnectionId::new(at(shard), random), identity(None));
            rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
            client
        })
        .collect();
    clients.iter().for_each(|client| join(rig, *client, "g"));
    clients
}

#[test]
fn fifty_thousand_clients_that_drop_at_once_are_told_of_in_a_call_for_each_thousand() {
    const CLIENTS: u32 = 50_000;
    const SHARDS: u16 = 4;
    // About what a plugin takes to look at a thousand members.
    const CALL: Millis = Millis(2);
    let (mut rig, _) = watched(SHARDS, &[]);
    let clients = crowd(&mut rig, CLIENTS);
    let mut attendance = Attendance::default();
    attendance.hear_all(&mut rig);
    assert_eq!(attendance.of("plugin", "g").len(), CLIENTS as usize);
    let before = (attendance.calls, rig.now);
    rig.wakes.clear();
    clients.iter().for_each(|client| rig.gone(*client, CloseCause::TransportLost));
    assert!(rig.tellings.is_empty(), "none is told of by itself");
    assert_eq!(rig.wakes.len(), usize::from(SHARDS), "each shard wakes once");
    rig.pass(BATCH);
    while !rig.tellings.is_empty() {
        assert!(rig.tellings.len() <= usize::from(SHARDS), "one call at a time on each shard");
        rig.now = rig.now + CALL;
        attendance.hear_some(&mut rig);
    }
    let (calls, took) = (attendance.calls - before.0, rig.now - before.1);
    println!(
        "{CLIENTS} clients drop at once: {calls} calls on {SHARDS} shards, {:.5} for each; all is told after {} ms",
        calls as f64 / f64::from(CLIENTS),
        took.0
    );
    assert_eq!(
        attendance.of("plugin", "g"),
        BTreeSet::new(),
        "each is told of, and `hear` knows that none is told of twice"
    );
    assert_eq!(attendance.members, 2 * CLIENTS as usize);
    // 12,500 on each shard.
    assert_eq!(calls, 13 * usize::from(SHARDS));
}
