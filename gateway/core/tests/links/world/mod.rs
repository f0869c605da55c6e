//! A shard with one client and whoever answers it, and the links between the client and the shard.

mod links;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{UpstreamAnswer, UpstreamEvent};
use hubgate_core::filter::{
    Direction, FilterSettings, Halves, Inspected, InspectionNumber, OnError, Origin, Targets, Verdict,
};
use hubgate_core::id::{
    ConnectionId, GroupName, HubName, NodeId, PluginName, ServerConnectionId, ServerId, ShardAddress, ShardIndex,
    UserId,
};
use hubgate_core::mode::Mode;
use hubgate_core::question::Ticket;
use hubgate_core::settings::{Handler, HubSettings, Limits, Pattern, Settings, Timeouts, UpstreamItem};
use hubgate_core::time::Millis;
use hubgate_core::{
    ClientTimes, Directory, Family, HashSeed, Identity, Input, Neighbours, NewClient, NewServerConnection, Outgoing,
    Reconnect, Shard, Slot, TransportKey,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::service::{
    self, AnyText, BroadcastData, CloseConnection, ConnectionData, GroupBroadcastData, HandshakeRequest, ServiceMessage,
};
use hubgate_wire::signalr::HubProtocol;

use self::links::Link;
use crate::naive::{Client, Receiver, State, Who};
use crate::wire::{arguments, call, completion};

/// How long the gateway waits for a client.
pub(crate) const GRACE: Millis = Millis(30_000);
const PING_PERIOD: Millis = Millis(10_000);

/// Who answers the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answering {
    Plugin,
    HubServer,
}

/// Whether filters look at what both say, and take their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filtering {
    No,
    All,
}

/// Whom the hub speaks to; the client is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    All,
    Group,
    Client,
}

/// Whether the gateway hears of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noticed {
    AtOnce,
    /// Its end stays open.
    Later,
}

/// Whoever answers the client.
#[derive(Debug)]
enum Hub {
    Plugin(VecDeque<(Slot, UpstreamEvent)>),
    Server {
        id: ServerConnectionId,
        /// What it was told and has not read.
        told: Vec<u8>,
        /// What the client has said to it and is no whole message.
        inbox: Vec<u8>,
        /// What the client has asked for, and has not got.
        calls: VecDeque<Asked>,
    },
}

#[derive(Debug)]
enum Asked {
    /// The answer to the call with this id.
    Answer(String),
    Goodbye,
}

pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) now: Millis,
    protocol: HubProtocol,
    id: ConnectionId,
    pub(crate) client: Client,
    /// Those that the gateway has not seen the end of.
    links: BTreeMap<TransportKey, Link>,
    /// The link that the gateway hears the client by.
    attached: Option<TransportKey>,
    /// Since when it waits for another one.
    waits_since: Option<Millis>,
    hub: Hub,
    /// What filters look at, oldest first, with its way.
    inspections: VecDeque<(InspectionNumber, Direction)>,
    /// Numbers that the hub has heard and said.
    pub(crate) heard: u64,
    pub(crate) said: u64,
    /// The client was told to go, or has said that it goes.
    is_dismissed: bool,
    /// What the gateway has received, counted by another hand than its own.
    received: Receiver,
    pinged: Millis,
    tickets: u64,
}

fn hub_name() -> HubName {
    HubName::parse("chat").expect("a name")
}

fn settings(answering: Answering, filtering: Filtering) -> Settings {
    let mode = match answering {
        Answering::Plugin => Mode::Serverless,
        Answering::HubServer => Mode::Default,
    };
    let filter =
        || FilterSettings { plugin: PluginName::new("filter"), targets: Targets::All, on_error: OnError::Closed };
    let filters = (filtering == Filtering::All).then(filter).into_iter().collect();
    Settings {
        hubs: BTreeMap::new(),
        other_hubs: HubSettings { mode, filters, messages_per_second: 0 },
        upstream: vec![UpstreamItem {
            hubs: Pattern::Any,
            categories: Pattern::Any,
            events: Pattern::Any,
            handler: Handler::Plugin(PluginName::new("plugin")),
        }],
        presence: BTreeMap::new(),
        limits: Limits {
            message: 1_000,
            messages_per_second: 0,
            queued_calls: 4,
            queued_bytes: 2_000,
            departed_bytes: 1 << 20,
            departed_calls: 2,
            held: 1 << 20,
            replay: 1 << 20,
            server_message: 10_000,
            mode_switch_closes: 8,
            groups_per_connection: 3,
            user_memberships: 1_000,
        },
        timeouts: Timeouts {
            negotiate: Millis(5_000),
            handshake: Millis(15_000),
            client: Millis(30_000),
            keep_alive: Millis(15_000),
            reconnect: GRACE,
        },
        streams: BTreeMap::new(),
        detailed_errors: false,
    }
}

/// A client that is let in, and whoever answers it.
impl World {
    pub(crate) fn new(answering: Answering, filtering: Filtering, protocol: HubProtocol) -> World {
        let directory = Arc::new(Directory::new(HashSeed::fixed()));
        let at = ShardAddress { node: NodeId(1), shard: ShardIndex(0) };
        let filter = Halves::default();
        filter.set(true, true);
        let halves = BTreeMap::from([(PluginName::new("filter"), Arc::new(filter))]);
        let settings = Arc::new(settings(answering, filtering));
        let mut shard = Shard::new(Neighbours::new(at, 1), settings, directory, halves, HashSeed::fixed());
        let mut ignored = Vec::new();
        let hub = match answering {
            Answering::Plugin => Hub::Plugin(VecDeque::new()),
            Answering::HubServer => {
                let id = shard.next_server();
                let server = NewServerConnection { hub: hub_name(), server: ServerId::new("a") };
                shard.handle(Input::ServerOpened { id, server }, Millis(0), &mut ignored);
                Hub::Server { id, told: Vec::new(), inbox: Vec::new(), calls: VecDeque::new() }
            }
        };
        let (id, transport) = (ConnectionId::new(at, [7; 12]), shard.next_transport());
        let mut world = World {
            shard,
            now: Millis(0),
            protocol,
            id,
            client: Client::new(protocol, transport),
            links: BTreeMap::new(),
            attached: None,
            waits_since: None,
            hub,
            inspections: VecDeque::new(),
            heard: 0,
            said: 0,
            is_dismissed: false,
            received: Receiver::new(Who::Gateway),
            pinged: Millis(0),
            tickets: 0,
        };
        if let Hub::Server { .. } = world.hub {
            let request =
                HandshakeRequest { version: 1, allow_stateful_reconnects: true, ..HandshakeRequest::default() };
            world.server_says(&ServiceMessage::HandshakeRequest(request));
        }
        world.open(transport);
        world.shake_hands(transport);
        world
    }

    fn open(&mut self, transport: TransportKey) {
        self.links.insert(transport, Link::new());
        self.attached = Some(transport);
        let identity = Identity {
            user_id: Some(UserId::new("ann")),
            claims: Default::default(),
            query: "".into(),
            headers: Default::default(),
            remote_address: "192.0.2.1".into(),
            groups: vec![GroupName::new("g")],
        };
        let client = NewClient {
            hub: hub_name(),
            id: self.id,
            token: None,
            transport: Transport::WebSockets,
            identity,
            times: ClientTimes::default(),
            reconnect: Reconnect::Stateful,
            family: Family::Core,
        };
        self.feed(Input::ClientOpened { transport, client: Box::new(client) });
    }

    fn shake_hands(&mut self, transport: TransportKey) {
        let request = format!("{{\"protocol\":\"{}\",\"version\":2}}\x1e", self.protocol.name());
        self.feed(Input::ClientData { transport, bytes: &mut request.as_bytes(), most: usize::MAX });
        match &mut self.hub {
            Hub::Plugin(_) => self.hub_answers(),
            Hub::Server { told, inbox, .. } => {
                told.clear();
                inbox.clear();
                self.server_says_to_client(b"{}\x1e");
            }
        }
        let link = self.links.get_mut(&transport).expect("it is open");
        assert!(link.down.ends_with(b"{}\x1e"), "the client is let in: {:?}", link.down);
        link.down.clear();
    }
}

/// What the client and the hub do.
impl World {
    pub(crate) fn client_leaves(&mut self) {
        if self.client.state == State::Here {
            self.client.says_goodbye();
            self.is_dismissed = true;
        }
    }

    /// Whether what the hub says next comes next: filters may look at answers and at what is sent beside each other.
    fn hub_is_heard(&self) -> bool {
        self.inspections.iter().all(|(_, direction)| *direction == Direction::Inbound)
    }

    /// The hub says its next number.
    pub(crate) fn hub_says(&mut self, to: To, padding: usize) {
        if !self.hub_is_heard() {
            return;
        }
        let arguments = arguments(self.said, padding);
        self.said += 1;
        match self.hub {
            Hub::Plugin(_) => {
                let to = match to {
                    To::All => Target::All,
                    To::Group => Target::Group(GroupName::new("g")),
                    To::Client => Target::Connection(self.id),
                };
                let message = Outgoing::call("said".into(), payload(&arguments));
                self.submit(Action::Send { to, message, except: Default::default() });
            }
            Hub::Server { .. } => self.server_sends(to, &arguments),
        }
    }

    fn server_sends(&mut self, to: To, arguments: &str) {
        let message = |protocol| call(protocol, "said", None, arguments);
        let (json, packed) = (message(HubProtocol::Json), message(HubProtocol::MessagePack));
        let payloads = vec![("json", &json[..]), ("messagepack", &packed[..])];
        match to {
            To::All => {
                self.server_says(&ServiceMessage::BroadcastData(BroadcastData {
                    payloads,
                    ..BroadcastData::default()
                }));
            }
            To::Group => {
                let send = GroupBroadcastData { group: "g", payloads, ..GroupBroadcastData::default() };
                self.server_says(&ServiceMessage::GroupBroadcastData(send));
            }
            To::Client => self.server_says_to_client(&message(self.protocol)),
        }
    }

    /// The oldest call has its answer, if there is one. A plugin says a number more before it.
    pub(crate) fn hub_answers(&mut self) {
        if !self.hub_is_heard() {
            return;
        }
        match &mut self.hub {
            Hub::Plugin(calls) => {
                let Some((client, event)) = calls.pop_front() else { return };
                let (mut result, mut actions) = (None, Vec::new());
                if let UpstreamEvent::Invocation { invocation_id: Some(_), .. } = event {
                    let (to, message) = (Target::Connection(self.id), payload(&arguments(self.said, 3)));
                    let message = Outgoing::call("said".into(), message);
                    actions.push(Action::Send { to, message, except: Default::default() });
                    result = Some(payload(&arguments(self.said + 1, 5)));
                    self.said += 2;
                }
                let answer = UpstreamAnswer { result: Ok(result), actions };
                self.feed(Input::UpstreamAnswered { client, answer });
            }
            Hub::Server { calls, .. } => match calls.pop_front() {
                Some(Asked::Answer(id)) => {
                    let answer = completion(self.protocol, &id, &arguments(self.said, 5));
                    self.said += 1;
                    self.server_says_to_client(&answer);
                }
                Some(Asked::Goodbye) => self.hub_closes(),
                None => {}
            },
        }
    }

    /// Filters let pass what they look at longest.
    pub(crate) fn filters_let_pass(&mut self) {
        if let Some((number, _)) = self.inspections.pop_front() {
            let inspected = Inspected { verdict: Verdict::Pass, actions: Vec::new() };
            self.feed(Input::Inspected { number, inspected });
            // What was not taken is offered again.
            self.offer_all();
        }
    }

    /// They take their time with what the client says: it is not read.
    pub(crate) fn filters_take_their_time(&mut self) {
        let of_client = self.inspections.iter().find(|(_, direction)| *direction == Direction::Inbound);
        if let Some((number, _)) = of_client {
            self.feed(Input::InspectionWaits(*number));
        }
    }

    pub(crate) fn hub_closes(&mut self) {
        self.is_dismissed = true;
        match self.hub {
            Hub::Plugin(_) => self.submit(Action::Close {
                target: Target::Connection(self.id),
                except: Vec::new(),
                reason: None,
                allow_reconnect: false,
            }),
            Hub::Server { .. } => {
                let id = self.id.to_string();
                let close = CloseConnection { connection_id: &id, ..CloseConnection::default() };
                self.server_says(&ServiceMessage::CloseConnection(close));
            }
        }
    }

    fn submit(&mut self, action: Action) {
        self.tickets += 1;
        let ticket = Ticket::new(self.tickets);
        self.feed(Input::Submit { hub: hub_name(), origin: Origin::Rest, actions: vec![action], ticket });
    }

    fn server_says(&mut self, message: &ServiceMessage<'_>) {
        let Hub::Server { id, .. } = self.hub else { panic!("a plugin answers the client") };
        let mut bytes = Vec::new();
        service::write(message, &mut bytes);
        let mut rest = &bytes[..];
        self.feed(Input::ServerData { id, bytes: &mut rest, most: usize::MAX });
        assert!(rest.is_empty(), "all of it is taken");
    }

    fn server_says_to_client(&mut self, payload: &[u8]) {
        let id = self.id;
        let data = ConnectionData { connection_id: AnyText(id.as_bytes()), payload, ..ConnectionData::default() };
        self.server_says(&ServiceMessage::ConnectionData(data));
    }

    pub(crate) fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Shard::tick_period()).min(end);
            self.feed(Input::Tick);
            if let Hub::Server { .. } = self.hub {
                self.server_says(&ServiceMessage::Ping(Vec::new()));
            }
            if self.now >= self.pinged + PING_PERIOD {
                self.pinged = self.now;
                self.client.pings();
            }
            self.client.tick(self.now);
        }
    }
}

/// What must be.
impl World {
    /// Nobody has seen what was not said. That numbers come in order is looked at where they come.
    pub(crate) fn check(&self) {
        assert!(self.heard <= self.client.said && self.client.seen <= self.said);
    }

    /// All is quiet again: both sides have seen everything, and nothing is kept. Or the client is over, and nothing is left of it.
    pub(crate) fn settle(&mut self) {
        while self.links.values().any(|link| link.is_cut) {
            self.late_bytes_come(usize::MAX);
        }
        for round in 0..8 {
            self.resume();
            self.exchange();
            if round == 4 && self.client.state == State::Here {
                // An acknowledgement that a cut has swallowed is said again with the next one alone.
                self.hub_says(To::Client, 1);
                self.client.says(false, 1);
            }
            self.pass(Millis(1_500));
            self.exchange();
            self.check();
        }
        if self.client.state == State::Gone {
            self.pass(GRACE + Millis(1_000));
            self.exchange();
            self.pass(GRACE + Millis(1_000));
            assert!(self.shard.is_empty(), "nothing is left of a client that is over");
        } else {
            assert!(!self.is_dismissed, "a client that was told to go has gone");
            assert_eq!(
                (self.heard, self.client.seen),
                (self.client.said, self.said),
                "heard by the hub, seen by the client"
            );
            assert_eq!(self.received.last, self.client.said, "each message came once");
            assert!(self.client.kept.is_empty(), "the client knows that all came");
        }
        assert_eq!(self.shard.kept_for_resumes(), 0, "nothing is kept that was acknowledged");
    }

    /// Both sides speak, and the hub answers, until nobody has anything to say.
    fn exchange(&mut self) {
        loop {
            self.flow();
            let before = self.said;
            let is_waiting = match &self.hub {
                Hub::Plugin(calls) => !calls.is_empty(),
                Hub::Server { calls, .. } => !calls.is_empty(),
            };
            self.hub_answers();
            let is_inspected = self.inspections.is_empty();
            self.filters_let_pass();
            if is_inspected && !is_waiting && before == self.said {
                return;
            }
        }
    }
}

fn payload(json: &str) -> Payload {
    Payload::Json(JsonText::parse(json.to_owned()).expect("JSON"))
}
