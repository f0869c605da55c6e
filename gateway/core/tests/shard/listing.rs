//! Lists of clients for operators, a part at a time.

use std::collections::BTreeSet;

use hubgate_core::id::{ConnectionId, GroupName, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::{CloseCause, ListedClient, ListedClients};

use crate::rig::{Rig, at, hub, identity, settings};

/// More than one part has.
const MANY: usize = 5_000;

/// All parts of a list on the first shard: the clients, how many were counted, and how many parts there were.
fn all(rig: &Rig, wanted: &ListedClients, most: usize) -> (Vec<ListedClient>, usize, usize) {
    let (mut clients, mut count, mut parts, mut from) = (Vec::new(), 0, 0, Some(0));
    while let Some(place) = from {
        let part = rig.shards[0].list(wanted, place, most);
        assert!(part.clients.len() <= most);
        clients.extend(part.clients);
        (count, parts, from) = (count + part.count, parts + 1, part.next);
    }
    (clients, count, parts)
}

fn ids(clients: &[ListedClient]) -> BTreeSet<ConnectionId> {
    clients.iter().map(|client| client.facts.id).collect()
}

/// A client that others see; upstream has not let it in yet.
fn connecting(rig: &mut Rig, number: u32) -> ConnectionId {
    let mut random = [0; 12];
    // Ids have no order in which clients come.
    random[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    let client = rig.open_with(0, "chat", ConnectionId::new(at(0), random), identity(None));
    rig.data(client, "{\"protocol\":\"json\",\"version\":1}\x1e");
    client.id
}

#[test]
fn a_long_list_comes_in_parts_and_each_client_is_in_one_of_them() {
    let mut rig = Rig::new(1, settings());
    let expected: BTreeSet<ConnectionId> = (0..MANY as u32).map(|number| connecting(&mut rig, number)).collect();
    let (clients, count, parts) = all(&rig, &ListedClients::default(), MANY);
    assert_eq!((ids(&clients), clients.len(), count), (expected.clone(), MANY, MANY));
    assert!(parts > 2, "{parts}");
    let after = *expected.iter().nth(MANY / 2).expect("there are so many");
    let wanted = ListedClients { after: Some(after), ..ListedClients::default() };
    let (clients, count, _) = all(&rig, &wanted, 10);
    let smallest: Vec<ConnectionId> = ids(&clients).into_iter().take(10).collect();
    let expected: Vec<ConnectionId> = expected.into_iter().filter(|id| *id > after).collect();
    assert_eq!((smallest, count), (expected[..10].to_vec(), expected.len()), "the smallest of each part are there");
    assert!(all(&rig, &ListedClients::default(), 0).0.is_empty());
}

#[test]
fn a_list_has_those_that_others_see_and_all_that_is_said_of_them_holds() {
    let mut rig = Rig::new(1, settings());
    let (ann, bob) = (rig.connect(0, Some("ann")), rig.connect(0, Some("bob")));
    let _handshaking = rig.open(0, "chat", Some("ann"));
    let gone = rig.connect(0, Some("ann"));
    rig.gone(gone, CloseCause::Normal);
    let user = |name: &str| ListedClients { user: Some(UserId::new(name)), ..ListedClients::default() };
    let found = |wanted: &ListedClients| ids(&all(&rig, wanted, MANY).0);
    assert_eq!(found(&ListedClients::default()), BTreeSet::from([ann.id, bob.id]));
    assert_eq!(found(&user("ann")), BTreeSet::from([ann.id]));
    assert_eq!(found(&ListedClients { id: Some(bob.id), ..user("ann") }), BTreeSet::new());
    assert_eq!(found(&ListedClients { id: Some(bob.id), ..user("bob") }), BTreeSet::from([bob.id]));
    assert_eq!(found(&ListedClients { hub: Some(hub("other")), ..user("ann") }), BTreeSet::new());
    assert_eq!(found(&ListedClients { group: Some(GroupName::new("g")), ..user("ann") }), BTreeSet::new());
    let not_fit = |mode| ListedClients { not_fit_for: Some(mode), ..ListedClients::default() };
    assert_eq!(found(&not_fit(Mode::Default)).len(), 2);
    assert!(found(&not_fit(Mode::Serverless)).is_empty() && found(&not_fit(Mode::Classic)).is_empty());
}
