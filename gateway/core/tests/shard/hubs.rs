//! Which hubs a gateway remembers, and for how long.

use crate::rig::{Client, PATIENCE, Rig, at, default_mode, filtered, hub, identity, json, settings};
use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::filter::{Targets, Verdict};
use hubgate_core::id::{ConnectionId, GroupName, PluginName, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::question::{Answered, CallerQuery, Joined, Sought};
use hubgate_core::settings::{HubSettings, Settings};
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, HubCounters, Input, MembershipRefusal, Outgoing};
use hubgate_wire::service::{ServiceMessage, UserJoinGroupWithAck};

/// Longer than a hub is remembered that nobody uses.
const LONG: Millis = Millis(61_000);

/// Serverless hubs without upstream.
fn quiet() -> Settings {
    let mut settings = settings();
    settings.upstream.clear();
    settings
}

fn naming(mut settings: Settings, name: &str) -> Settings {
    settings
        .hubs
        .insert(hub(name), HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 });
    settings
}

/// A client of any hub, with one of very many ids.
fn open(rig: &mut Rig, shard: u16, hub_name: &str, number: u64) -> Client {
    let mut random = [7; 12];
    random[..8].copy_from_slice(&number.to_be_bytes());
    rig.open_with(usize::from(shard), hub_name, ConnectionId::new(at(usize::from(shard)), random), identity(None))
}

fn names(rig: &Rig, shard: usize) -> Vec<String> {
    let mut names: Vec<String> = rig.shards[shard]
        .status()
        .hubs
        .iter()
        .filter(|hub| !hub.is_forgotten())
        .map(|hub| hub.hub.to_string())
        .collect();
    names.sort();
    names
}

fn total(rig: &Rig) -> HubCounters {
    let mut total = HubCounters::default();
    for shard in &rig.shards {
        let status = shard.status();
        total += &status.forgotten;
        status.hubs.iter().for_each(|hub| total += &hub.counters);
    }
    total
}

fn user_join(plugin: Option<&str>, user: &str, ttl_seconds: Option<u32>) -> Action {
    let (member, group) = (Member::User(UserId::new(user)), GroupName::new("g"));
    Action::Join { member, group, ttl_seconds, plugin: plugin.map(PluginName::new) }
}

#[test]
fn a_hub_that_nobody_uses_is_forgotten_and_what_was_counted_stays_in_the_sum() {
    let mut rig = Rig::new(2, quiet());
    let client = open(&mut rig, 1, "invented", 1);
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e{\"type\":6}\x1e");
    for _ in 0..4 {
        rig.pass(Millis(20_000));
        rig.data(client, "{\"type\":6}\x1e");
    }
    assert_eq!(names(&rig, 1), ["invented"]);
    rig.gone(client, CloseCause::Normal);
    rig.pass(Millis(30_000));
    assert_eq!(names(&rig, 1), ["invented"], "it may come back");
    let before = total(&rig);
    assert_eq!((before.messages_in, before.closed[CloseCause::Normal as usize]), (5, 1));
    rig.pass(LONG);
    assert_eq!((names(&rig, 0), names(&rig, 1)), (Vec::new(), Vec::new()));
    assert_eq!(total(&rig), before);
    assert_eq!(rig.shards[1].status().forgotten, before);
}

#[test]
fn a_hub_that_one_shard_uses_is_kept_by_all() {
    let mut rig = Rig::new(2, quiet());
    let (left, stays) = (open(&mut rig, 0, "chat", 1), open(&mut rig, 1, "chat", 2));
    rig.data(stays, "{\"protocol\":\"json\",\"version\":1}\x1e");
    rig.gone(left, CloseCause::Normal);
    for _ in 0..8 {
        rig.pass(Millis(20_000));
        rig.data(stays, "{\"type\":6}\x1e");
    }
    assert_eq!((names(&rig, 0), names(&rig, 1)), (vec!["chat".to_owned()], vec!["chat".to_owned()]));
}

#[test]
fn a_hub_that_was_forgotten_begins_anew_and_meets_no_other() {
    let mut rig = Rig::new(2, quiet());
    let old = open(&mut rig, 0, "old", 1);
    rig.gone(old, CloseCause::Normal);
    rig.pass(LONG);
    let (new, again) = (open(&mut rig, 0, "new", 2), open(&mut rig, 1, "old", 3));
    for client in [new, again] {
        rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
        assert_eq!(rig.received(client), ["{}"]);
    }
    let send = Action::Send {
        to: Target::All,
        message: Outgoing::call("said".into(), json("[]")),
        except: Default::default(),
    };
    rig.submit(0, "old", vec![send]);
    assert_eq!((rig.received(new).len(), rig.received(again).len()), (0, 1));
}

#[test]
fn a_shard_that_has_not_noticed_that_a_hub_is_forgotten_goes_on_with_the_new_one() {
    let mut rig = Rig::new(2, quiet());
    let first = open(&mut rig, 0, "chat", 1);
    rig.gone(first, CloseCause::Normal);
    rig.now = rig.now + LONG;
    // The other shard forgets it; the first one has not looked yet.
    rig.feed(1, Input::Tick);
    let before = total(&rig);
    let (here, there) = (open(&mut rig, 0, "chat", 2), open(&mut rig, 1, "chat", 3));
    for client in [here, there] {
        rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
        rig.received(client);
    }
    rig.pass(LONG);
    assert_eq!((names(&rig, 0), names(&rig, 1)), (vec!["chat".to_owned()], vec!["chat".to_owned()]));
    assert_eq!(total(&rig).closed[CloseCause::Normal as usize], before.closed[CloseCause::Normal as usize]);
}

#[test]
fn a_user_is_reached_from_a_shard_that_has_not_noticed_that_the_hub_is_forgotten() {
    let mut rig = Rig::new(2, quiet());
    let first = open(&mut rig, 0, "chat", 1);
    rig.gone(first, CloseCause::Normal);
    rig.now = rig.now + LONG;
    rig.feed(1, Input::Tick);
    let ann = rig.connect(1, Some("ann"));
    let to = Target::User(UserId::new("ann"));
    assert!(rig.finds(0, "chat", Sought::ConnectionOf(to.clone())));
    rig.run(
        0,
        vec![Action::Send { to, message: Outgoing::call("said".into(), json("[]")), except: Default::default() }],
    );
    assert_eq!(rig.received(ann).len(), 1);
}

#[test]
fn a_hub_with_servers_memberships_or_a_name_in_the_configuration_is_kept() {
    let mut rig = Rig::new(1, naming(default_mode(), "named"));
    let client = open(&mut rig, 0, "named", 1);
    rig.gone(client, CloseCause::Normal);
    let server = rig.server(0, "s", 0);
    for (name, ttl) in [("forever", None), ("for_a_while", Some(100))] {
        assert_eq!(rig.join_user(0, name, (UserId::new("ann"), GroupName::new("g")), ttl), Ok(()));
    }
    rig.pass_with_pings(LONG, &[server]);
    assert_eq!(names(&rig, 0), ["chat", "for_a_while", "forever", "named"]);
    rig.server_gone(server);
    rig.pass(LONG);
    rig.pass(LONG);
    assert_eq!(names(&rig, 0), ["forever", "named"]);
    rig.configure(default_mode());
    rig.pass(LONG);
    assert_eq!(names(&rig, 0), ["forever"]);
    let leave = Action::LeaveAll(Member::User(UserId::new("ann")));
    rig.feed(0, Input::SubmitByFilter { hub: hub("forever"), actions: vec![leave] });
    rig.pass(Millis(250));
    rig.pass(LONG);
    assert_eq!(names(&rig, 0), [""; 0]);
}

#[test]
fn a_hub_is_kept_while_filters_look_at_what_is_sent_to_it() {
    let mut rig = Rig::new(1, filtered(Mode::Serverless, Targets::All));
    let send = Action::Send {
        to: Target::All,
        message: Outgoing::call("said".into(), json("[]")),
        except: Default::default(),
    };
    rig.run(0, vec![send]);
    rig.let_wait();
    rig.pass(LONG);
    assert_eq!(names(&rig, 0), ["chat"]);
    rig.judge(Verdict::Pass);
    assert_eq!(rig.answers.len(), 1);
    rig.pass(LONG);
    assert_eq!(names(&rig, 0), [""; 0]);
}

#[test]
fn asking_for_a_hub_does_not_make_it() {
    let mut rig = Rig::new(1, quiet());
    let (user, group) = (UserId::new("ann"), GroupName::new("g"));
    let id = ConnectionId::new(at(0), [1; 12]);
    let member = Sought::UserInGroup { user, group: group.clone() };
    for sought in [Sought::ConnectionOf(Target::All), Sought::ConnectionOf(Target::Connection(id)), member] {
        assert!(!rig.finds(0, "invented", sought));
    }
    let (hub, deadline) = (hub("invented"), PATIENCE);
    let query = CallerQuery::Facts(id, rig.next_ticket());
    rig.feed(0, Input::Ask { hub: hub.clone(), query, deadline });
    let ticket = rig.next_ticket();
    rig.feed(0, Input::Join { hub: hub.clone(), connection: id, group, deadline, ticket });
    let ticket = rig.next_ticket();
    rig.feed(0, Input::Barrier { hub, deadline, ticket });
    let answers: Vec<Answered> = std::mem::take(&mut rig.answers).into_values().collect();
    let [Answered::Facts(facts), Answered::Joined(joined), Answered::InEffect(_)] = &answers[..] else {
        panic!("each has its own answer: {answers:?}");
    };
    assert!(matches!(facts.answer, Ok(None)));
    assert_eq!(joined.answer, Ok(Joined::NoSuchConnection));
    assert_eq!(names(&rig, 0), [""; 0]);
}

#[test]
fn no_more_than_a_thousand_hubs_that_nobody_uses_are_remembered() {
    let mut rig = Rig::new(1, quiet());
    for number in 0..3_000 {
        let client = open(&mut rig, 0, &format!("hub{number:04}"), number);
        rig.gone(client, CloseCause::Normal);
    }
    rig.pass(Millis(250));
    let names = names(&rig, 0);
    assert_eq!((names.len(), &*names[0]), (1_000, "hub2000"), "the latest ones");
    assert_eq!(total(&rig).closed[CloseCause::Normal as usize], 3_000);
}

#[test]
fn a_thousand_hubs_that_the_configuration_does_not_name_have_their_own_labels() {
    let mut rig = Rig::new(2, naming(quiet(), "named"));
    let clients: Vec<Client> =
        (0..1_001).map(|number| open(&mut rig, (number % 2) as u16, &format!("hub{number}"), number)).collect();
    let labelled = |rig: &Rig| {
        let statuses = rig.shards.iter().flat_map(|shard| shard.status().hubs);
        statuses.filter(|hub| hub.has_own_label()).map(|hub| hub.hub.to_string()).collect::<Vec<_>>()
    };
    open(&mut rig, 0, "named", 2_000);
    assert_eq!(labelled(&rig).len(), 1_001, "with the one that is named");
    assert!(!labelled(&rig).contains(&"hub1000".to_owned()) && labelled(&rig).contains(&"named".to_owned()));
    clients.iter().take(10).for_each(|client| rig.gone(*client, CloseCause::Normal));
    rig.pass(LONG);
    open(&mut rig, 1, "later", 2_001);
    assert!(labelled(&rig).contains(&"later".to_owned()), "others are forgotten");
}

#[test]
fn a_hub_that_the_configuration_comes_to_name_leaves_what_was_counted_with_the_others() {
    let mut rig = Rig::new(1, quiet());
    for number in 0..1_000 {
        open(&mut rig, 0, &format!("hub{number}"), number);
    }
    let client = open(&mut rig, 0, "one_too_many", 2_000);
    rig.gone(client, CloseCause::Normal);
    rig.configure(naming(quiet(), "one_too_many"));
    let status = rig.shards[0].status();
    let hub = status.hubs.iter().find(|status| status.hub == hub("one_too_many")).expect("it is named");
    assert!(hub.has_own_label());
    assert_eq!(hub.counters, HubCounters::default());
    assert_eq!(status.forgotten.closed[CloseCause::Normal as usize], 1);
}

#[test]
fn a_membership_beyond_the_bound_is_refused_and_whoever_waits_is_told() {
    let mut settings = default_mode();
    settings.limits.user_memberships = 4;
    let mut rig = Rig::new(2, settings);
    let server = rig.server(0, "s", 0);
    let join = |user_id| {
        let join = UserJoinGroupWithAck { user_id, group: "g", ack_id: 7, ..UserJoinGroupWithAck::default() };
        ServiceMessage::UserJoinGroupWithAck(join)
    };
    for user in ["a", "b", "c", "d", "a"] {
        rig.says(server, &join(user));
        assert_eq!(rig.told(server), ["ack 7 1"], "{user}");
    }
    for _ in 0..2 {
        rig.says(server, &join("e"));
        assert_eq!(rig.told(server), ["ack 7 6"]);
    }
    let joined = rig.join_user(1, "chat", (UserId::new("e"), GroupName::new("g")), None);
    assert_eq!(joined, Err(MembershipRefusal::HubFull));
    assert_eq!(rig.refusals, [MembershipRefusal::HubFull], "the log hears of it once");
    assert_eq!(total(&rig).memberships_refused, 3);
    assert_eq!(rig.shards[1].status().hubs[0].user_memberships, 4);
}

#[test]
fn a_plugin_that_has_made_half_of_the_memberships_of_a_hub_makes_no_more() {
    let mut settings = settings();
    settings.limits.user_memberships = 4;
    let mut rig = Rig::new(2, settings);
    let client = rig.connect(0, Some("c"));
    rig.invoke(client, "1", "m");
    let joins = ["a", "b", "c"].map(|user| user_join(Some("plugin"), user, Some(60)));
    rig.answer(Ok(None), joins.into());
    assert_eq!(rig.refusals, [MembershipRefusal::PluginFull(PluginName::new("plugin"))]);
    let in_group = |rig: &mut Rig, user: &str| {
        rig.finds(1, "chat", Sought::UserInGroup { user: UserId::new(user), group: GroupName::new("g") })
    };
    assert_eq!(["a", "b", "c"].map(|user| in_group(&mut rig, user)), [true, true, false]);
    rig.run(1, vec![user_join(None, "c", None)]);
    rig.pass(Millis(60_000));
    assert_eq!(["a", "b", "c"].map(|user| in_group(&mut rig, user)), [false, false, true]);
}
