//! Random events on shards and on a naive hub must look the same to every client.

use std::collections::BTreeSet;

use crate::between_nodes::node_id;
use crate::rig::{Client, Recorded, Rig, Server, default_mode, json, settings};
use crate::watches::{Attendance, watch};
use hubgate_core::delivery::{Action, Member, Target};
use hubgate_core::id::{GroupName, HubName, UserId};
use hubgate_core::question::Sought;
use hubgate_core::time::Millis;
use hubgate_core::{CloseCause, Directory, DirectoryChange, HashSeed, Input, Outgoing, Reconnect};
use hubgate_wire::service::{
    BroadcastData, GroupBroadcastData, JoinGroupWithAck, LeaveGroupWithAck, MultiConnectionData, ServiceMessage,
    UserData, UserJoinGroupWithAck, UserLeaveGroupWithAck,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Connect {
        user: u8,
    },
    Leave {
        client: usize,
    },
    /// Its transport breaks off.
    Cut {
        client: usize,
    },
    /// It comes back by another one.
    Resume {
        client: usize,
    },
    Join {
        client: usize,
        group: u8,
    },
    Part {
        client: usize,
        group: u8,
    },
    PartAll {
        client: usize,
    },
    JoinUser {
        user: u8,
        group: u8,
    },
    PartUser {
        user: u8,
        group: u8,
    },
    Send {
        to: To,
        except: Option<usize>,
    },
    /// Time passes.
    Wait {
        milliseconds: u64,
    },
    /// The plugin has heard what it is being told.
    Hear,
}

#[derive(Debug, Clone)]
enum To {
    All,
    Group(u8),
    User(u8),
    Client(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (user, group, client) = (0..3u8, 0..3u8, 0..8usize);
    let to = prop_oneof![
        Just(To::All),
        group.clone().prop_map(To::Group),
        user.clone().prop_map(To::User),
        client.clone().prop_map(To::Client)
    ];
    prop_oneof![
        3 => user.clone().prop_map(|user| Event::Connect { user }),
        1 => client.clone().prop_map(|client| Event::Leave { client }),
        2 => client.clone().prop_map(|client| Event::Cut { client }),
        2 => client.clone().prop_map(|client| Event::Resume { client }),
        3 => (client.clone(), group.clone()).prop_map(|(client, group)| Event::Join { client, group }),
        1 => (client.clone(), group.clone()).prop_map(|(client, group)| Event::Part { client, group }),
        1 => client.clone().prop_map(|client| Event::PartAll { client }),
        1 => (user.clone(), group.clone()).prop_map(|(user, group)| Event::JoinUser { user, group }),
        1 => (user, group).prop_map(|(user, group)| Event::PartUser { user, group }),
        1 => (1..120u64).prop_map(|milliseconds| Event::Wait { milliseconds }),
        1 => Just(Event::Hear),
        6 => (to, proptest::option::of(client)).prop_map(|(to, except)| Event::Send { to, except }),
    ]
}

/// The hub as one would write it first: a list that is searched.
#[derive(Default)]
struct Model {
    clients: Vec<ModelClient>,
    memberships: BTreeSet<(u8, u8)>,
}

struct ModelClient {
    user: u8,
    groups: BTreeSet<u8>,
    is_here: bool,
    /// Its transport broke off, and it has not come back.
    is_away: bool,
    /// Messages that it was sent, in number.
    sent: usize,
}

impl Model {
    fn receives(&self, client: usize, to: &To, except: Option<usize>) -> bool {
        let each = &self.clients[client];
        each.is_here
            && except != Some(client)
            && match to {
                To::All => true,
                To::Group(group) => each.groups.contains(group),
                To::User(user) => each.user == *user,
                To::Client(one) => *one == client,
            }
    }

    /// A client is sent so many messages. Gives how many of them it gets before it comes back.
    fn sent_now(&mut self, client: usize, messages: usize) -> usize {
        let client = &mut self.clients[client];
        client.sent += messages;
        if client.is_away { 0 } else { messages }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Connect { user } => {
                let of_user = self.memberships.iter().filter(|(each, _)| each == user);
                let groups = of_user.map(|(_, group)| *group).collect();
                self.clients.push(ModelClient { user: *user, groups, is_here: true, is_away: false, sent: 0 });
            }
            Event::Leave { client } => self.clients[*client].is_here = false,
            Event::Cut { client } => self.clients[*client].is_away = true,
            Event::Resume { client } => self.clients[*client].is_away = false,
            Event::Join { client, group } => drop(self.clients[*client].groups.insert(*group)),
            Event::Part { client, group } => drop(self.clients[*client].groups.remove(group)),
            Event::PartAll { client } => self.clients[*client].groups.clear(),
            Event::JoinUser { user, group } => {
                self.memberships.insert((*user, *group));
                for client in self.clients.iter_mut().filter(|client| client.user == *user) {
                    client.groups.insert(*group);
                }
            }
            Event::PartUser { user, group } => {
                self.memberships.remove(&(*user, *group));
                for client in self.clients.iter_mut().filter(|client| client.user == *user) {
                    client.groups.remove(group);
                }
            }
            Event::Send { .. } | Event::Wait { .. } | Event::Hear => {}
        }
    }
}

/// A client comes back, which has acknowledged nothing: it gets all that it was ever sent, after the Sequence.
fn come_back(rig: &mut Rig, client: &mut Client, model: &ModelClient) {
    rig.resume(client);
    let got = rig.received(*client);
    assert_eq!((got[0].as_str(), got.len()), (r#"{"type":9,"sequenceId":1}"#, 1 + model.sent));
    rig.data(*client, "{\"type\":9,\"sequenceId\":1}\x1e");
}

fn group(group: u8) -> GroupName {
    GroupName::new(format!("g{group}"))
}

fn user(user: u8) -> UserId {
    UserId::new(format!("u{user}"))
}

fn action(event: &Event, clients: &[Client]) -> Option<Action> {
    let connection = |client: &usize| Member::Connection(clients[*client].id);
    Some(match event {
        Event::Connect { .. }
        | Event::Leave { .. }
        | Event::Cut { .. }
        | Event::Resume { .. }
        | Event::Wait { .. }
        | Event::Hear => return None,
        Event::Join { client, group: name } => {
            Action::Join { member: connection(client), group: group(*name), ttl_seconds: None, plugin: None }
        }
        Event::Part { client, group: name } => Action::Leave { member: connection(client), group: group(*name) },
        Event::PartAll { client } => Action::LeaveAll(connection(client)),
        Event::JoinUser { user: name, group: to } => {
            Action::Join { member: Member::User(user(*name)), group: group(*to), ttl_seconds: None, plugin: None }
        }
        Event::PartUser { user: name, group: of } => {
            Action::Leave { member: Member::User(user(*name)), group: group(*of) }
        }
        Event::Send { to, except } => Action::Send {
            to: match to {
                To::All => Target::All,
                To::Group(name) => Target::Group(group(*name)),
                To::User(name) => Target::User(user(*name)),
                To::Client(client) => Target::Connection(clients[*client].id),
            },
            message: Outgoing::call("m".into(), json("[]")),
            except: except.iter().map(|client| clients[*client].id).collect::<Vec<_>>().into(),
        },
    })
}

/// Whether the event speaks of clients that have been there.
fn is_possible(event: &Event, model: &Model) -> bool {
    let known = |client: &usize| *client < model.clients.len();
    let here = |client: &usize| known(client) && model.clients[*client].is_here;
    let is_away = |client: &usize| model.clients[*client].is_away;
    match event {
        Event::Connect { .. } => model.clients.len() < 200,
        Event::Leave { client } | Event::Cut { client } => here(client) && !is_away(client),
        Event::Resume { client } => here(client) && is_away(client),
        Event::Join { client, .. } | Event::Part { client, .. } | Event::PartAll { client } => known(client),
        Event::Send { to: To::Client(client), except } => known(client) && except.as_ref().is_none_or(known),
        Event::Send { except, .. } => except.as_ref().is_none_or(known),
        Event::JoinUser { .. } | Event::PartUser { .. } | Event::Wait { .. } | Event::Hear => true,
    }
}

proptest! {
    #[test]
    fn every_client_gets_what_a_naive_hub_would_send_it(
        events in proptest::collection::vec((event(), 0..12usize), 1..120),
        nodes in 1..4usize,
        shards in 1..4u16,
    ) {
        let mut settings = settings();
        settings.upstream.clear();
        settings.limits.replay = 1 << 20;
        let mut rig = Rig::of_nodes(nodes, shards, settings);
        rig.reconnect = Reconnect::Stateful;
        let (mut model, mut clients) = (Model::default(), Vec::new());
        let mut attendance = Attendance::default();
        for group in ["g0", "g1"] {
            prop_assert_eq!(watch(&mut rig, 0, "chat", ("plugin", group)), Ok(()));
        }
        for (event, shard) in events {
            if !is_possible(&event, &model) {
                continue;
            }
            let shard = shard % rig.shards.len();
            model.apply(&event);
            match &event {
                Event::Connect { user } => clients.push(rig.connect(shard, Some(&format!("u{user}")))),
                Event::Leave { client } => rig.gone(clients[*client], CloseCause::Normal),
                Event::Cut { client } => rig.cut(clients[*client]),
                Event::Resume { client } => come_back(&mut rig, &mut clients[*client], &model.clients[*client]),
                Event::Wait { milliseconds } => rig.pass(Millis(*milliseconds)),
                Event::Hear => attendance.hear_some(&mut rig),
                other => rig.run(shard, action(other, &clients).into_iter().collect()),
            }
            if let Event::Send { to, except } = &event {
                for (index, client) in clients.iter().enumerate() {
                    let (got, sent) = (rig.received(*client).len(), usize::from(model.receives(index, to, *except)));
                    prop_assert_eq!(got, model.sent_now(index, sent), "client {}", index);
                }
            }
        }
        // What plugins are told of watched groups adds up to who is in them.
        attendance.hear_all(&mut rig);
        for group in 0..3 {
            let is_told = |client: &ModelClient| group < 2 && client.is_here && client.groups.contains(&group);
            let members = clients.iter().zip(&model.clients).filter(|(_, client)| is_told(client));
            let expected = members.map(|(client, _)| client.id).collect();
            prop_assert_eq!(attendance.of("plugin", &format!("g{group}")), expected);
        }
    }
}

/// Has a hub server say what the event wants.
fn by_server(rig: &mut Rig, server: Server, event: &Event, clients: &[Client]) {
    let id = |client: &usize| clients[*client].id.to_string();
    let payloads = || vec![("json", &b"{\"type\":1,\"target\":\"m\",\"arguments\":[]}\x1e"[..])];
    match event {
        Event::Connect { .. }
        | Event::Leave { .. }
        | Event::Cut { .. }
        | Event::Resume { .. }
        | Event::Wait { .. }
        | Event::Hear => {}
        Event::Join { client, group } => {
            let (connection_id, group) = (&id(client), &format!("g{group}"));
            let join = JoinGroupWithAck { connection_id, group, ..Default::default() };
            rig.says(server, &ServiceMessage::JoinGroupWithAck(join));
        }
        Event::Part { client, group } => {
            let (connection_id, group) = (&id(client), Some(&*format!("g{group}")));
            let leave = LeaveGroupWithAck { connection_id, group, ..Default::default() };
            rig.says(server, &ServiceMessage::LeaveGroupWithAck(leave));
        }
        Event::PartAll { client } => {
            let leave = LeaveGroupWithAck { connection_id: &id(client), ..Default::default() };
            rig.says(server, &ServiceMessage::LeaveGroupWithAck(leave));
        }
        Event::JoinUser { user, group } => {
            let (user_id, group) = (&format!("u{user}"), &format!("g{group}"));
            let join = UserJoinGroupWithAck { user_id, group, ..Default::default() };
            rig.says(server, &ServiceMessage::UserJoinGroupWithAck(join));
        }
        Event::PartUser { user, group } => {
            let (user_id, group) = (&format!("u{user}"), Some(&*format!("g{group}")));
            let leave = UserLeaveGroupWithAck { user_id, group, ..Default::default() };
            rig.says(server, &ServiceMessage::UserLeaveGroupWithAck(leave));
        }
        Event::Send { to, except } => {
            let excluded: Vec<String> = except.iter().map(id).collect();
            let excluded = excluded.iter().map(String::as_str).collect();
            match to {
                To::All => {
                    let send = BroadcastData { excluded, payloads: payloads(), ..Default::default() };
                    rig.says(server, &ServiceMessage::BroadcastData(send));
                }
                To::Group(group) => {
                    let group = &format!("g{group}");
                    let send = GroupBroadcastData { group, excluded, payloads: payloads(), ..Default::default() };
                    rig.says(server, &ServiceMessage::GroupBroadcastData(send));
                }
                To::User(user) => {
                    let send = UserData { user_id: &format!("u{user}"), payloads: payloads(), ..Default::default() };
                    rig.says(server, &ServiceMessage::UserData(send));
                }
                To::Client(client) => {
                    let connection_ids = vec![&*id(client).leak()];
                    let send = MultiConnectionData { connection_ids, payloads: payloads(), ..Default::default() };
                    rig.says(server, &ServiceMessage::MultiConnectionData(send));
                }
            }
        }
    }
}

/// What a directory knows, in the order of the text.
fn known(directory: &Directory) -> Vec<String> {
    in_order(directory.snapshot())
}

fn in_order(changes: Vec<(HubName, DirectoryChange)>) -> Vec<String> {
    let mut known: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
    known.sort();
    known
}

proptest! {
    /// The same through hub servers: what one of them asks for has happened when the next one sends.
    #[test]
    fn every_client_of_hub_servers_gets_what_a_naive_hub_would_send_it(
        events in proptest::collection::vec((event(), 0..12usize), 1..80),
        nodes in 1..4usize,
        shards in 1..4u16,
    ) {
        let mut settings = default_mode();
        settings.limits.replay = 1 << 20;
        let mut rig = Rig::of_nodes(nodes, shards, settings);
        rig.reconnect = Reconnect::Stateful;
        let servers: Vec<_> = (0..4).map(|index| rig.server(index * 2 % rig.shards.len(), "s", 0)).collect();
        let (mut model, mut clients) = (Model::default(), Vec::new());
        for (event, which) in events {
            if !is_possible(&event, &model) {
                continue;
            }
            model.apply(&event);
            match &event {
                Event::Connect { user } => {
                    let shard = which % rig.shards.len();
                    clients.push(rig.connect_proxied(shard, Some(&format!("u{user}")), &servers).0);
                }
                Event::Leave { client } => rig.gone(clients[*client], CloseCause::Normal),
                Event::Cut { client } => rig.cut(clients[*client]),
                Event::Resume { client } => come_back(&mut rig, &mut clients[*client], &model.clients[*client]),
                other => by_server(&mut rig, servers[which % servers.len()], other, &clients),
            }
            servers.iter().for_each(|server| drop(rig.told(*server)));
            if let Event::Send { to, except } = &event {
                // Users and connections have no exceptions in the service protocol.
                let except = except.filter(|_| matches!(to, To::All | To::Group(_)));
                for (index, client) in clients.iter().enumerate() {
                    if model.clients[index].is_here {
                        let sent = usize::from(model.receives(index, to, except));
                        prop_assert_eq!(rig.received(*client).len(), model.sent_now(index, sent), "client {}", index);
                    }
                }
            }
        }
        let latecomer = Directory::new(HashSeed::fixed());
        for (hub, change) in rig.directory.snapshot() {
            latecomer.apply(&hub, false, change);
        }
        prop_assert_eq!(known(&latecomer), known(&rig.directory));
        for directory in &rig.directories {
            for node in (0..nodes).map(node_id) {
                let of_node = |directory: &Directory| in_order(directory.snapshot_of(node));
                prop_assert_eq!(of_node(directory), of_node(&rig.directory), "all know the same of {:?}", node);
            }
        }
        for (client, model) in clients.iter_mut().zip(&model.clients).filter(|(_, model)| model.is_here) {
            if model.is_away {
                come_back(&mut rig, client, model);
            }
            rig.gone(*client, CloseCause::Normal);
        }
        servers.iter().for_each(|server| rig.server_gone(*server));
        for directory in &rig.directories {
            prop_assert_eq!(known(directory), Vec::<String>::new());
        }
    }
}

/// What happens to shards with hub servers while some time passes and at the end all leave.
fn recording(events: &[(Event, usize)], shards: u16) -> Vec<Recorded> {
    let mut rig = Rig::new(shards, default_mode());
    rig.reconnect = Reconnect::Stateful;
    rig.recording = Some(Vec::new());
    let servers: Vec<_> = (0..6).map(|index| rig.server(index % usize::from(shards), "s", 0)).collect();
    let (mut model, mut clients) = (Model::default(), Vec::new());
    for (event, which) in events.iter().filter(|(event, _)| !matches!(event, Event::Leave { .. })) {
        if !is_possible(event, &model) {
            continue;
        }
        model.apply(event);
        match event {
            Event::Connect { user } => {
                let shard = which % usize::from(shards);
                clients.push(rig.connect_proxied(shard, Some(&format!("u{user}")), &servers).0);
            }
            Event::Cut { client } => rig.cut(clients[*client]),
            Event::Resume { client } => rig.resume(&mut clients[*client]),
            other => by_server(&mut rig, servers[*which], other, &clients),
        }
        servers.iter().for_each(|server| drop(rig.told(*server)));
    }
    rig.finds(0, "chat", Sought::ConnectionOf(Target::Group(group(0))));
    rig.pass(Millis(5_000));
    (0..usize::from(shards)).for_each(|shard| rig.feed(shard, Input::DrainNow));
    rig.pass(Millis(250));
    rig.recording.unwrap_or_default()
}

proptest! {
    #[test]
    fn what_shards_were_fed_has_the_same_effects_when_it_is_fed_to_others(
        events in proptest::collection::vec((event(), 0..4usize), 1..40),
        shards in 1..4u16,
    ) {
        let recording = recording(&events, shards);
        prop_assert!(recording.iter().any(|recorded| recorded.effects.contains("ToServer")));
        let mut others = Rig::new(shards, default_mode()).shards;
        for Recorded { shard, now, input, effects } in recording {
            let (what, mut again) = (format!("{input:?}"), Vec::new());
            input.feed(&mut others[shard], now, &mut again);
            prop_assert_eq!(format!("{again:?}"), effects, "of {}", what);
        }
    }
}
