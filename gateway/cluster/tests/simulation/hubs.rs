//! Whole gateways in the same world: shards with clients, and a naive hub that says who gets what.

mod moved;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hubgate_cluster::codec::{Envelope, Item, Shards};
use hubgate_cluster::{Announced, Input as NodeInput, Node, NodeSettings, Output, Receivers, Report};
use hubgate_core::delivery::{Action, Except, Target};
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, GroupName, HubName, NodeId, ShardAddress, ShardIndex, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::question::{Answered, Joined, Ticket};
use hubgate_core::settings::{HubSettings, Limits, Settings, Timeouts};
use hubgate_core::time::Millis;
use hubgate_core::{
    Addressees, ClientTimes, CloseCause, Directory, Effect, Family, HashSeed, Identity, Input, Negotiated, Neighbours,
    NewClient, Order, Outgoing, Reconnect, Shard, TransportKey,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, Payload};

use crate::chance::Chance;
use crate::world::{NODE_TIMEOUT, OUTAGE_GRACE, RESEND_AGE};

const STEP: u64 = 10;
const TICK: u64 = 100;
const SHARDS: u16 = 2;
/// How long somebody who asks for something waits.
const PATIENCE: u64 = 5_000;

/// Gateways, their clients, and what these are to get.
pub(crate) struct Hubs {
    pub(crate) chance: Chance,
    now: u64,
    gateways: BTreeMap<u32, Gateway>,
    flying: BinaryHeap<Reverse<Flying>>,
    frames: u64,
    pub(crate) delay: u64,
    next: u64,
    clients: Vec<Client>,
    sends: Vec<Sent>,
    answers: BTreeMap<u64, Answered>,
    /// Connections that were negotiated, and came to nothing.
    unused: Vec<Negotiated>,
    /// Nothing of another gateway was given up so far.
    pub(crate) is_whole: bool,
}

/// When a frame comes, its number, for whom it is, and its bytes.
type Flying = (u64, u64, u32, Vec<u8>);

struct Gateway {
    node: Node,
    directory: Arc<Directory>,
    shards: Vec<Shard>,
    /// What waits for each shard, in order.
    inboxes: Vec<VecDeque<(HubName, ShardAddress, Order)>>,
    is_connected: bool,
    /// It has not reached the others, and they have not heard all of what it said since.
    is_apart: bool,
    last_arrival: BTreeMap<u32, u64>,
    next_tick: u64,
}

/// A client, as the naive hub knows it.
struct Client {
    gateway: u32,
    shard: usize,
    transport: TransportKey,
    id: ConnectionId,
    token: ConnectionId,
    user: u8,
    groups: BTreeSet<u8>,
    state: State,
    /// It came while its gateway did not reach the others, which may not know that their sends are for it, too.
    is_apart: bool,
    /// What it said and was not read.
    unread: Vec<u8>,
    /// The numbers of what it got, in order.
    got: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Here,
    Gone,
}

/// A message, by its number.
struct Sent {
    from: (u32, usize),
    to: To,
    /// Clients that have to get it, and those that may.
    must: BTreeSet<usize>,
    may: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    All,
    Group(u8),
    User(u8),
    Client(usize),
}

fn settings() -> Settings {
    Settings {
        hubs: BTreeMap::new(),
        other_hubs: HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 },
        upstream: Vec::new(),
        presence: BTreeMap::new(),
        limits: Limits {
            message: 1_000,
            messages_per_second: 0,
            queued_calls: 4,
            queued_bytes: 2_000,
            departed_bytes: 4_000,
            departed_calls: 2,
            held: 5_000,
            replay: 5_000,
            server_message: 1_000,
            mode_switch_closes: 8,
            groups_per_connection: 100,
            user_memberships: 1_000,
        },
        timeouts: Timeouts {
            // Longer than anybody waits: what comes late is granted, in vain.
            negotiate: Millis(60_000),
            handshake: Millis(60_000),
            client: Millis(10_000_000),
            keep_alive: Millis(5_000_000),
            reconnect: Millis(30_000),
        },
        streams: BTreeMap::new(),
        detailed_errors: false,
    }
}

fn hub() -> HubName {
    HubName::parse("chat").expect("a name")
}

fn group(group: u8) -> GroupName {
    GroupName::new(format!("g{group}"))
}

fn user(user: u8) -> UserId {
    UserId::new(format!("u{user}"))
}

impl Hubs {
    pub(crate) fn new(seed: u64) -> Hubs {
        Hubs {
            chance: Chance::new(seed),
            now: 0,
            gateways: BTreeMap::new(),
            flying: BinaryHeap::new(),
            frames: 0,
            delay: 20,
            next: 0,
            clients: Vec::new(),
            sends: Vec::new(),
            answers: BTreeMap::new(),
            unused: Vec::new(),
            is_whole: true,
        }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.gateways.keys().copied().collect()
    }

    /// A gateway starts, and serves once it has joined.
    pub(crate) fn start(&mut self, id: u32) {
        let directory = Arc::new(Directory::new(HashSeed::fixed()));
        let settings = NodeSettings {
            node: NodeId(id),
            incarnation: self.next(),
            shards: SHARDS,
            version: "test".to_owned(),
            node_timeout: Millis(NODE_TIMEOUT),
            outage_grace: Millis(OUTAGE_GRACE),
            resend_buffer: 1 << 20,
            resend_age: Millis(RESEND_AGE),
        };
        let core_settings = Arc::new(self::settings());
        let shard = |shard| {
            let own = ShardAddress { node: NodeId(id), shard: ShardIndex(shard) };
            let (settings, directory) = (core_settings.clone(), directory.clone());
            Shard::new(Neighbours::new(own, SHARDS), settings, directory, Default::default(), HashSeed::fixed())
        };
        let gateway = Gateway {
            node: Node::new(settings, directory.clone()),
            directory: directory.clone(),
            shards: (0..SHARDS).map(shard).collect(),
            inboxes: (0..SHARDS).map(|_| VecDeque::new()).collect(),
            is_connected: false,
            is_apart: false,
            last_arrival: BTreeMap::new(),
            next_tick: self.now,
        };
        self.gateways.insert(id, gateway);
        self.connect(id);
        self.run_until("it joins", |hubs| hubs.gateways[&id].node.has_joined());
    }

    /// It stops without a word, and its clients are gone.
    pub(crate) fn crash(&mut self, id: u32) {
        self.gateways.remove(&id);
        for client in 0..self.clients.len() {
            if self.clients[client].gateway == id {
                self.has_left(client);
            }
        }
        // What it sent last may have stayed there.
        for sent in self.sends.iter_mut().filter(|sent| sent.from.0 == id) {
            let must = std::mem::take(&mut sent.must);
            sent.may.extend(must);
        }
    }

    pub(crate) fn connect(&mut self, id: u32) {
        if let Some(gateway) = self.gateways.get_mut(&id)
            && !std::mem::replace(&mut gateway.is_connected, true)
        {
            self.feed_node(id, NodeInput::Connected { max_frame: 4 << 10 });
            self.flush(id);
        }
    }

    pub(crate) fn disconnect(&mut self, id: u32) {
        if let Some(gateway) = self.gateways.get_mut(&id)
            && std::mem::replace(&mut gateway.is_connected, false)
        {
            self.feed_node(id, NodeInput::Disconnected);
        }
    }

    pub(crate) fn are_all_connected(&self) -> bool {
        self.gateways.values().all(|gateway| gateway.is_connected)
    }

    /// A client negotiates with any gateway, comes to a shard of this one, and is let in.
    pub(crate) fn open(&mut self, gateway: u32, shard: usize, user: u8) {
        let home = match self.are_all_connected() || self.chance.below(4) == 0 {
            true => self.anywhere(),
            // As a rule in vain otherwise, and after a while.
            false => None,
        };
        // It lives where it negotiates, if it comes to the same gateway.
        let home = home.filter(|home| home.0 != gateway).unwrap_or((gateway, shard));
        if let Some(negotiated) = self.claim(home, (gateway, shard)) {
            self.open_with(negotiated, (gateway, shard), user);
        }
    }

    /// A client opens its transport where that was claimed, and is let in.
    pub(crate) fn open_with(&mut self, negotiated: Negotiated, (gateway, shard): (u32, usize), user_number: u8) {
        let Negotiated { id, token, .. } = negotiated;
        let identity = Identity {
            user_id: Some(user(user_number)),
            claims: Default::default(),
            query: "".into(),
            headers: Default::default(),
            remote_address: "192.0.2.1".into(),
            groups: Vec::new(),
        };
        let (transport, times, reconnect) = (Transport::WebSockets, ClientTimes::default(), Reconnect::No);
        let client = NewClient {
            hub: hub(),
            id,
            token: Some(token),
            transport,
            identity,
            times,
            reconnect,
            family: Family::Core,
        };
        let transport = self.gateways[&gateway].shards[shard].next_transport();
        let index = self.clients.len();
        self.clients.push(Client {
            gateway,
            shard,
            transport,
            id,
            token,
            user: user_number,
            groups: BTreeSet::new(),
            state: State::Opening,
            is_apart: false,
            unread: b"{\"protocol\":\"json\",\"version\":1}\x1e".to_vec(),
            got: Vec::new(),
        });
        // From here on, what is sent may reach it.
        self.may_get_what_flies(index);
        self.feed(gateway, shard, Input::ClientOpened { transport, client: Box::new(client) });
        self.read(index);
        self.run_until("a client is let in", |hubs| hubs.clients[index].state == State::Here);
        self.may_get_what_flies(index);
        self.clients[index].is_apart = self.gateways[&gateway].is_apart;
    }

    /// A client goes away.
    pub(crate) fn close(&mut self, client: usize) {
        let Client { gateway, shard, transport, .. } = self.clients[client];
        self.has_left(client);
        self.feed(gateway, shard, Input::ClientGone { transport, cause: CloseCause::Normal });
    }

    fn has_left(&mut self, client: usize) {
        self.clients[client].state = State::Gone;
        for sent in &mut self.sends {
            sent.must.remove(&client);
        }
    }

    /// What is sent and not received by all may reach the client, because it joins meanwhile.
    fn may_get_what_flies(&mut self, client: usize) {
        for sent in &mut self.sends {
            if !sent.must.contains(&client) {
                sent.may.insert(client);
            }
        }
    }

    /// A caller at a shard of any gateway puts a client into a group, and is told that it is in effect.
    pub(crate) fn join(&mut self, at: (u32, usize), client: usize, number: u8) {
        let (ticket, deadline) = (Ticket::new(self.next()), Millis(self.now + PATIENCE));
        let connection = self.clients[client].id;
        self.feed(at.0, at.1, Input::Join { hub: hub(), connection, group: group(number), deadline, ticket });
        self.may_get_what_flies(client);
        let answered = self.answer(ticket.number());
        // Not all may have heard yet where it lives.
        let is_homeless = !self.gateways.contains_key(&connection.owner().node.0);
        match answered {
            Some(Answered::Joined(reply)) if matches!(reply.answer, Ok(Joined::Yes)) => {
                self.clients[client].groups.insert(number);
            }
            other => assert!(!self.is_whole || is_homeless, "the client joins: {other:?}"),
        }
        if !self.is_whole || is_homeless {
            // Whether it has come about nobody knows: it is in the group for those who may, and not for those who must.
            self.close(client);
        }
    }

    fn answer(&mut self, number: u64) -> Option<Answered> {
        let end = self.now + PATIENCE + 1_000;
        while self.now < end && !self.answers.contains_key(&number) {
            self.run(STEP);
        }
        self.answers.remove(&number)
    }

    /// A caller at a shard of any gateway sends.
    pub(crate) fn send(&mut self, at: (u32, usize), to: To, except: Option<usize>) {
        let number = self.sends.len();
        let is_for = |index: &usize| {
            let client = &self.clients[*index];
            client.state == State::Here
                && Some(*index) != except
                && match to {
                    To::All => true,
                    To::Group(group) => client.groups.contains(&group),
                    To::User(user) => client.user == user,
                    To::Client(to) => to == *index,
                }
        };
        let is_apart = |index: &usize| self.clients[*index].is_apart && self.clients[*index].gateway != at.0;
        let (may, must) = (0..self.clients.len()).filter(is_for).partition(is_apart);
        let target = match to {
            To::All => Target::All,
            To::Group(number) => Target::Group(group(number)),
            To::User(number) => Target::User(user(number)),
            To::Client(client) => Target::Connection(self.clients[client].id),
        };
        let except = Except::from(except.map(|client| self.clients[client].id).into_iter().collect::<Vec<_>>());
        let arguments = Payload::Json(JsonText::parse(format!("[{number}]")).expect("JSON"));
        let action = Action::Send { to: target, message: Outgoing::call("said".to_owned(), arguments), except };
        self.sends.push(Sent { from: at, to, must, may });
        let ticket = Ticket::new(self.next());
        self.feed(at.0, at.1, Input::Submit { hub: hub(), origin: Origin::Rest, actions: vec![action], ticket });
    }

    /// A shard of any gateway.
    pub(crate) fn anywhere(&mut self) -> Option<(u32, usize)> {
        let ids = self.ids();
        let gateway = self.chance.one_of(&ids)?;
        Some((gateway, self.chance.below(u64::from(SHARDS)) as usize))
    }

    /// A client that is here.
    pub(crate) fn anybody(&mut self) -> Option<usize> {
        let here: Vec<usize> =
            (0..self.clients.len()).filter(|client| self.clients[*client].state == State::Here).collect();
        self.chance.one_of(&here)
    }

    /// All has been received that had to be, once each.
    pub(crate) fn settle(&mut self) {
        for (number, sent) in self.sends.iter().enumerate() {
            if self.is_whole {
                let missed: Vec<usize> =
                    sent.must.iter().copied().filter(|client| !self.clients[*client].got.contains(&number)).collect();
                assert!(missed.is_empty(), "{missed:?} miss {number}, sent from {:?} to {:?}", sent.from, sent.to);
            }
        }
        for sent in &mut self.sends {
            sent.must.clear();
            sent.may.clear();
        }
        self.clients.iter_mut().for_each(|client| client.is_apart = false);
    }

    fn received(&mut self, (gateway, shard): (u32, usize), transport: TransportKey, frame: &[u8]) {
        let is_it = |client: &Client| (client.gateway, client.shard, client.transport) == (gateway, shard, transport);
        let index = self.clients.iter().rposition(is_it).expect("it has come");
        let client = &mut self.clients[index];
        let payload = if frame[1] == 126 { &frame[4..] } else { &frame[2..] };
        for message in std::str::from_utf8(payload).expect("text").split_terminator('\x1e') {
            if message == "{}" {
                client.state = State::Here;
                continue;
            }
            let Some(number) = message.split("\"arguments\":[").nth(1).and_then(|rest| rest.split(']').next()) else {
                continue;
            };
            let number: usize = number.parse().expect("a number");
            let sent = &self.sends[number];
            assert!(
                sent.must.contains(&index) || sent.may.contains(&index) || client.state == State::Gone,
                "{index} gets {number}, sent from {:?} to {:?}",
                sent.from,
                sent.to
            );
            assert!(!client.got.contains(&number), "{index} gets {number} twice");
            let of_same = |other: &usize| self.sends[*other].from == sent.from && self.sends[*other].to == sent.to;
            let last = client.got.iter().copied().rfind(of_same);
            assert!(last.is_none_or(|last| last < number), "{index} gets {number} after {last:?}");
            client.got.push(number);
        }
    }

    fn read(&mut self, client: usize) {
        let Client { gateway, shard, transport, .. } = self.clients[client];
        let unread = std::mem::take(&mut self.clients[client].unread);
        let mut rest = &unread[..];
        self.feed(gateway, shard, Input::ClientData { transport, bytes: &mut rest, most: usize::MAX });
        self.clients[client].unread = rest.to_vec();
    }

    fn feed(&mut self, id: u32, shard: usize, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        let now = Millis(self.now);
        if let Some(gateway) = self.gateways.get_mut(&id) {
            gateway.shards[shard].handle(input, now, &mut effects);
        }
        for effect in effects {
            self.perform(id, shard, effect);
        }
    }

    fn perform(&mut self, id: u32, shard: usize, effect: Effect) {
        let own = ShardAddress { node: NodeId(id), shard: ShardIndex(shard as u16) };
        match effect {
            Effect::Send { to, frame } | Effect::SendMarked { to, frame } => {
                self.received((id, shard), to, frame.as_bytes());
            }
            Effect::Deliver { to, frame } => {
                to.into_iter().for_each(|to| self.received((id, shard), to, frame.as_bytes()));
            }
            Effect::ResumeReading(transport) => {
                let of = |client: &Client| (client.gateway, client.shard, client.transport) == (id, shard, transport);
                if let Some(client) = self.clients.iter().rposition(of) {
                    self.read(client);
                }
            }
            Effect::Answered(answered) => {
                let number = match &answered {
                    Answered::Joined(reply) => reply.ticket.number(),
                    Answered::InEffect(reply) => reply.ticket.number(),
                    Answered::Kept(reply) => reply.ticket.number(),
                    Answered::Claimed { reply, .. } => reply.ticket.number(),
                    other => panic!("nobody asked for {other:?}"),
                };
                self.answers.insert(number, answered);
            }
            Effect::Forward { to: Addressees::One(to), hub, order } if to.node == NodeId(id) => {
                self.queue(id, to.shard, (hub, own, order));
            }
            Effect::Forward { to: Addressees::AllOthers, hub, order } => {
                for other in (0..SHARDS).filter(|other| usize::from(*other) != shard) {
                    self.queue(id, ShardIndex(other), (hub.clone(), own, order.clone()));
                }
            }
            Effect::Forward { to: Addressees::One(to), hub, order } => {
                let item = Item::Envelope(Envelope { from: own, to: Shards::One(to.shard), hub, order }).encode();
                self.feed_node(id, NodeInput::Send { to: Receivers::One(to.node), item });
            }
            Effect::Forward { to: Addressees::Nodes(nodes), hub, order } => {
                let item = Item::Envelope(Envelope { from: own, to: Shards::All, hub, order }).encode();
                self.feed_node(id, NodeInput::Send { to: Receivers::These(nodes), item });
            }
            Effect::Announce { hub, change } => {
                self.feed_node(id, NodeInput::Announce(Announced { shard: own.shard, hub, change }));
            }
            Effect::Finish { transport, .. } => {
                self.feed(id, shard, Input::ClientGone { transport, cause: CloseCause::Normal });
            }
            _ => {}
        }
    }

    fn queue(&mut self, id: u32, shard: ShardIndex, order: (HubName, ShardAddress, Order)) {
        if let Some(gateway) = self.gateways.get_mut(&id) {
            gateway.inboxes[usize::from(shard.0)].push_back(order);
        }
    }

    fn feed_node(&mut self, id: u32, input: NodeInput) {
        let mut outputs = Vec::new();
        if let Some(gateway) = self.gateways.get_mut(&id) {
            gateway.node.handle(input, Millis(self.now), &mut outputs);
        }
        self.carry_out(id, outputs);
    }

    fn flush(&mut self, id: u32) {
        let mut outputs = Vec::new();
        if let Some(gateway) = self.gateways.get_mut(&id) {
            gateway.node.flush(Millis(self.now), &mut outputs);
        }
        self.carry_out(id, outputs);
    }

    fn carry_out(&mut self, id: u32, outputs: Vec<Output>) {
        for output in outputs {
            let gateway = &self.gateways[&id];
            match output {
                Output::PublishToAll(frame) => self.ids().into_iter().for_each(|to| self.publish(id, to, &frame)),
                Output::Publish { to, frame } => self.publish(id, to.0, &frame),
                Output::Nodes(nodes) => self.feed_all(id, || Input::Nodes(nodes.clone())),
                Output::Broken(node) => self.feed_all(id, || Input::NodeLost(node)),
                Output::Forget(node) => gateway.directory.node_lost(node),
                Output::Apply { hub, change } => gateway.directory.apply(&hub, false, change),
                Output::Deliver(Envelope { from, to, hub, order }) => match to {
                    Shards::One(shard) => self.queue(id, shard, (hub, from, order)),
                    Shards::All => {
                        for shard in (0..SHARDS).map(ShardIndex) {
                            self.queue(id, shard, (hub.clone(), from, order.clone()));
                        }
                    }
                },
                Output::Announced { shard, hub } => self.feed(id, usize::from(shard.0), Input::HubAnnounced(hub)),
                Output::Tunnel(message) => panic!("nobody opens tunnels: {message:?}"),
                Output::IdTaken => panic!("all ids are different"),
                Output::Report(Report::MessagesLost { .. } | Report::NodeLost(_)) => self.is_whole = false,
                Output::Report(_) => {}
            }
        }
    }

    fn feed_all(&mut self, id: u32, input: impl Fn() -> Input<'static, 'static>) {
        (0..usize::from(SHARDS)).for_each(|shard| self.feed(id, shard, input()));
    }

    fn publish(&mut self, from: u32, to: u32, frame: &Bytes) {
        let is_connected = |hubs: &Hubs, id| hubs.gateways.get(&id).is_some_and(|gateway| gateway.is_connected);
        if !is_connected(self, from) || !is_connected(self, to) {
            return;
        }
        let soonest = self.now + self.chance.below(self.delay + 1);
        let last = self.gateways.get_mut(&to).expect("it is there").last_arrival.entry(from).or_default();
        *last = soonest.max(*last);
        self.frames += 1;
        self.flying.push(Reverse((*last, self.frames, to, frame.to_vec())));
    }

    fn run_until(&mut self, what: &str, is_so: impl Fn(&Hubs) -> bool) {
        let end = self.now + OUTAGE_GRACE + 20_000;
        while !is_so(self) {
            assert!(self.now < end, "{what} within {OUTAGE_GRACE} ms, {:?}", self.gateways.keys().collect::<Vec<_>>());
            self.run(STEP);
        }
    }

    /// Time passes.
    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now += STEP;
            while let Some(Reverse((at, ..))) = self.flying.peek()
                && *at <= self.now
                && let Some(Reverse((_, _, to, frame))) = self.flying.pop()
            {
                if self.gateways.get(&to).is_some_and(|gateway| gateway.is_connected) {
                    self.feed_node(to, NodeInput::Received(frame.into()));
                }
            }
            for id in self.ids() {
                self.turn(id);
            }
        }
    }

    /// The shards of a gateway do what they were ordered, and it publishes what comes of it.
    fn turn(&mut self, id: u32) {
        for shard in 0..usize::from(SHARDS) {
            while let Some(gateway) = self.gateways.get_mut(&id)
                && let Some((hub, from, order)) = gateway.inboxes[shard].pop_front()
            {
                self.feed(id, shard, Input::Order { from, hub, order });
            }
        }
        let gateway = self.gateways.get_mut(&id).expect("it is there");
        if gateway.next_tick <= self.now {
            gateway.next_tick = self.now + TICK;
            self.feed_all(id, || Input::Tick);
            self.feed_node(id, NodeInput::Tick { clients: 0, configuration: Default::default() });
        }
        self.flush(id);
        let now = Millis(self.now);
        if let Some(gateway) = self.gateways.get_mut(&id) {
            let is_behind = gateway.node.others(now).any(|other| other.lag > Millis(0));
            gateway.is_apart = gateway.node.is_degraded() || (gateway.is_apart && is_behind);
        }
    }
}
