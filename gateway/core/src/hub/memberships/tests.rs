use super::*;

const BOUNDS: Bounds = Bounds { per_hub: 10, per_user: 3 };

fn hub(name: &str) -> HubName {
    HubName::parse(name).expect("a name")
}

struct Asked<'a> {
    hub: &'a str,
    user: &'a str,
    group: &'a str,
    ends: Option<u64>,
    plugin: Option<&'a str>,
}

const CHAT: Asked<'static> = Asked { hub: "chat", user: "ann", group: "g", ends: None, plugin: None };

fn add(memberships: &Memberships, asked: &Asked<'_>, now: u64) -> Result<(), Refused> {
    let (hub, user, group) = (hub(asked.hub), UserId::new(asked.user), GroupName::new(asked.group));
    let (ends, plugin) = (asked.ends.map(Millis), asked.plugin.map(PluginName::new));
    let new = NewMembership { hub: &hub, user: &user, group: &group, ends, plugin: plugin.as_ref() };
    memberships.add(&new, BOUNDS, author(1, now)).map(drop)
}

fn author(node: u32, now: u64) -> Author {
    Author { node: NodeId(node), now: Millis(now), is_alone: false }
}

fn end(memberships: &Memberships, user: &str, group: Option<&str>, by: Author) -> Option<DirectoryChange> {
    memberships.end(&hub("chat"), &UserId::new(user), group.map(GroupName::new).as_ref(), by)
}

fn groups(memberships: &Memberships, user: &str, now: u64) -> Vec<String> {
    let groups = memberships.groups_of(&hub("chat"), &UserId::new(user), Millis(now));
    groups.iter().map(ToString::to_string).collect()
}

fn assert_nothing_is_kept(memberships: &Memberships) {
    let table = memberships.table();
    assert!(
        table.hubs.is_empty() && table.by_plugin.is_empty() && table.expiring.is_empty() && table.ended.is_empty(),
        "{table:?}"
    );
}

#[test]
fn memberships_that_ended_are_swept_and_nothing_of_them_is_kept() {
    let memberships = Memberships::default();
    for user in ["ann", "bob"] {
        add(&memberships, &Asked { user, ends: Some(1_000), plugin: Some("p"), ..CHAT }, 0).expect("there is room");
    }
    add(&memberships, &Asked { user: "bob", ends: Some(2_000), plugin: Some("q"), ..CHAT }, 0).expect("the same one");
    assert_eq!(groups(&memberships, "ann", 999), ["g"]);
    assert_eq!(groups(&memberships, "ann", 1_000), [""; 0]);
    assert_eq!(memberships.of_hub(&hub("chat")), 2);
    assert_eq!(memberships.sweep(Millis(1_000)), []);
    assert_eq!((memberships.of_hub(&hub("chat")), groups(&memberships, "bob", 1_000).len()), (1, 1));
    assert_eq!(memberships.of_plugins(), [(PluginName::new("q"), 1)]);
    assert_eq!(memberships.sweep(Millis(2_000)), [hub("chat")]);
    assert_nothing_is_kept(&memberships);
}

#[test]
fn a_hub_has_a_bound_and_one_plugin_may_have_half_of_it_over_all_hubs() {
    let memberships = Memberships::default();
    let refusal = |added: Result<(), Refused>| added.expect_err("it is full");
    for number in 0..5 {
        let user = number.to_string();
        let asked = Asked { hub: &format!("hub{number}"), user: &user, plugin: Some("p"), ..CHAT };
        add(&memberships, &asked, 0).expect("there is room");
    }
    let of_plugin = Asked { plugin: Some("p"), ..CHAT };
    for is_first in [true, false] {
        let full = MembershipRefusal::PluginFull(PluginName::new("p"));
        assert_eq!(refusal(add(&memberships, &of_plugin, 0)), Refused { refusal: full, is_first });
    }
    for number in 0..10 {
        add(&memberships, &Asked { user: &number.to_string(), ..CHAT }, 0).expect("there is room");
    }
    for is_first in [true, false] {
        assert_eq!(refusal(add(&memberships, &CHAT, 0)), Refused { refusal: MembershipRefusal::HubFull, is_first });
    }
    add(&memberships, &Asked { user: "3", ..CHAT }, 0).expect("it is there already");
    end(&memberships, "3", None, author(1, 0));
    add(&memberships, &CHAT, 0).expect("there is room again");
}

#[test]
fn a_full_hub_takes_one_more_when_another_has_ended() {
    let memberships = Memberships::default();
    for number in 0..10 {
        let user = number.to_string();
        add(&memberships, &Asked { user: &user, ends: Some(1_000), ..CHAT }, 0).expect("there is room");
    }
    assert!(add(&memberships, &CHAT, 999).is_err());
    add(&memberships, &CHAT, 1_000).expect("the others have ended");
}

#[test]
fn long_names_count_as_several() {
    let memberships = Memberships::default();
    let (long, longest) = ("x".repeat(1_024), "x".repeat(4_096));
    add(&memberships, &Asked { user: &long, ..CHAT }, 0).expect("there is room");
    assert_eq!(memberships.of_hub(&hub("chat")), 5);
    assert!(add(&memberships, &Asked { user: &longest, ..CHAT }, 0).is_err());
    end(&memberships, &long, Some("g"), Author { is_alone: true, ..author(1, 0) });
    assert_nothing_is_kept(&memberships);
}

#[test]
fn a_user_has_as_many_with_an_end_as_a_connection_has_groups_and_a_refusal_changes_nothing() {
    let memberships = Memberships::default();
    for group in ["a", "b", "c"] {
        add(&memberships, &Asked { group, ends: Some(1_000), ..CHAT }, 0).expect("there is room");
    }
    let refused = add(&memberships, &Asked { group: "d", ends: Some(1_000), ..CHAT }, 0).expect_err("too many");
    assert_eq!(refused, Refused { refusal: MembershipRefusal::UserFull, is_first: false });
    add(&memberships, &Asked { group: "c", ends: Some(2_000), ..CHAT }, 0).expect("it is there already");
    add(&memberships, &Asked { group: "e", ..CHAT }, 0).expect("it has no end");
    assert_eq!(groups(&memberships, "ann", 0), ["a", "b", "c", "e"]);
    assert_eq!(groups(&memberships, "ann", 1_000), ["c", "e"]);
}

#[test]
fn the_oldest_without_an_end_goes_when_there_are_too_many() {
    let memberships = Memberships::default();
    let (hub, user) = (hub("chat"), UserId::new("ann"));
    for number in 0..=MAX_WITHOUT_END {
        let group = GroupName::new(number.to_string());
        let new = NewMembership { hub: &hub, user: &user, group: &group, ends: None, plugin: None };
        memberships.add(&new, Bounds { per_hub: MAX_WITHOUT_END, ..BOUNDS }, author(1, 0)).expect("there is room");
    }
    let groups = groups(&memberships, "ann", 0);
    assert_eq!((groups.len(), &*groups[0]), (MAX_WITHOUT_END, "1"));
}

fn tell(memberships: &Memberships, change: DirectoryChange) {
    match change {
        DirectoryChange::MembershipBegins { user, group, ends, plugin, stamp } => {
            memberships.begin_elsewhere(&hub("chat"), &user, &group, (ends, plugin.as_ref()), stamp);
        }
        DirectoryChange::MembershipEnds { user, group, stamp } => {
            memberships.end_elsewhere(&hub("chat"), &user, group.as_ref(), stamp);
        }
        other => panic!("it is no change of memberships: {other:?}"),
    }
}

fn known(memberships: &Memberships) -> Vec<String> {
    let mut known: Vec<String> = memberships.snapshot().iter().map(|change| format!("{change:?}")).collect();
    known.sort();
    known
}

fn begins(group: &str, time: u64, node: u32) -> DirectoryChange {
    let (user, group, stamp) = (UserId::new("ann"), GroupName::new(group), Stamp { time, node: NodeId(node) });
    DirectoryChange::MembershipBegins { user, group, ends: None, plugin: None, stamp }
}

fn ends(group: Option<&str>, time: u64, node: u32) -> DirectoryChange {
    let stamp = Stamp { time, node: NodeId(node) };
    DirectoryChange::MembershipEnds { user: UserId::new("ann"), group: group.map(GroupName::new), stamp }
}

#[test]
fn tables_that_hear_of_the_same_changes_in_whatever_order_are_the_same() {
    let changes = [
        begins("g", 10, 1),
        ends(Some("g"), 20, 2),
        begins("h", 22, 2),
        ends(None, 25, 3),
        begins("g", 30, 1),
        // At the same time as another one.
        begins("i", 40, 1),
        ends(Some("i"), 40, 2),
    ];
    let in_order = Memberships::default();
    changes.iter().for_each(|change| tell(&in_order, change.clone()));
    assert_eq!(groups(&in_order, "ann", 0), ["g"]);
    // Each order of seven, by its number in the factorial system.
    for number in 0..5_040 {
        let (mut rest, mut left, table) = (number, changes.to_vec(), Memberships::default());
        while !left.is_empty() {
            let change = left.remove(rest % left.len());
            rest /= left.len() + 1;
            tell(&table, change);
        }
        assert_eq!(known(&table), known(&in_order), "in order {number}");
    }
    let latecomer = Memberships::default();
    in_order.snapshot().into_iter().for_each(|(_, change)| tell(&latecomer, change));
    tell(&latecomer, begins("h", 24, 9));
    assert_eq!(known(&latecomer), known(&in_order), "it knows what has ended, too");
}

#[test]
fn what_a_node_does_after_it_has_heard_of_something_is_later_whatever_the_clocks_say() {
    let memberships = Memberships::default();
    tell(&memberships, begins("g", 1_000, 7));
    end(&memberships, "ann", Some("g"), author(1, 5)).expect("it is told");
    assert_eq!(groups(&memberships, "ann", 5), [""; 0]);
    add(&memberships, &CHAT, 6).expect("there is room");
    assert_eq!(groups(&memberships, "ann", 6), ["g"]);
}

#[test]
fn an_end_is_the_same_time_of_day_on_all_nodes() {
    let (here, there) = (Memberships::default(), Memberships::default());
    here.set_epoch(1_000_000);
    there.set_epoch(1_000_300);
    let (hub, user, group) = (hub("chat"), UserId::new("ann"), GroupName::new("g"));
    let new = NewMembership { hub: &hub, user: &user, group: &group, ends: Some(Millis(500)), plugin: None };
    let changes = here.add(&new, BOUNDS, author(1, 0)).expect("there is room");
    changes.into_iter().for_each(|change| tell(&there, change));
    assert_eq!((groups(&there, "ann", 199), groups(&there, "ann", 200)), (vec!["g".to_owned()], Vec::new()));
    assert_eq!(known(&there), known(&here));
}

#[test]
fn what_makes_room_for_a_new_membership_ends_on_all_nodes() {
    let (here, there) = (Memberships::default(), Memberships::default());
    let (hub, user, bounds) = (hub("chat"), UserId::new("ann"), Bounds { per_hub: 1_000, per_user: 3 });
    for number in 0..=MAX_WITHOUT_END {
        let group = GroupName::new(number.to_string());
        let new = NewMembership { hub: &hub, user: &user, group: &group, ends: None, plugin: None };
        let changes = here.add(&new, bounds, author(1, 0)).expect("there is room");
        changes.into_iter().for_each(|change| tell(&there, change));
    }
    assert_eq!((known(&there), groups(&there, "ann", 0).len()), (known(&here), MAX_WITHOUT_END));
}
