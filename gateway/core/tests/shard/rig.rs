//! Shards without a network: what they want done is done to lists.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hubgate_core::delivery::Action;
use hubgate_core::event::{HubCall, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{
    FilterSettings, Halves, HalvesByPlugin, Inspected, Inspection, InspectionNumber, OnError, Origin, Targets, Verdict,
};
use hubgate_core::id::{
    ConnectionId, GroupName, HubName, PluginName, ServerConnectionId, ServerId, ShardAddress, ShardIndex, UserId,
};
use hubgate_core::mode::Mode;
use hubgate_core::question::{Answered, CallerQuery, Reply, Sought, Ticket, Unanswered};
use hubgate_core::settings::{
    Handler, HubSettings, Limits, Pattern, PresenceSettings, Settings, Timeouts, UpstreamItem,
};
use hubgate_core::stream::TooManyStreams;
use hubgate_core::time::Millis;
use hubgate_core::trace::TraceMark;
use hubgate_core::{
    Addressees, ClientTimes, CloseCause, Directory, Effect, Family, HashSeed, Identity, Input, MembershipRefusal,
    Neighbours, NewClient, NewServerConnection, Order, Reconnect, RecordedInput, ResumedClient, Shard, Slot,
    TransportKey,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::service::{self, AnyText, ConnectionData, HandshakeRequest, ServiceMessage};

use crate::between_nodes::{BetweenNodes, node_id};

/// How long a caller waits for other shards.
pub(crate) const PATIENCE: Millis = Millis(5_000);

/// A client as a test names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) shard: usize,
    pub(crate) transport: TransportKey,
    pub(crate) id: ConnectionId,
}

/// A connection of a hub server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) shard: usize,
    pub(crate) id: ServerConnectionId,
}

/// What a shard was fed, and the effects of that, printed.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) shard: usize,
    pub(crate) now: Millis,
    pub(crate) input: RecordedInput,
    pub(crate) effects: String,
}

/// An order of one shard for another that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) hub: HubName,
    pub(crate) order: Order,
}

/// The shards of a gateway, or of several that serve as one, and what became of their effects.
pub(crate) struct Rig {
    /// Of the first node.
    pub(crate) directory: Arc<Directory>,
    /// Of each node.
    pub(crate) directories: Vec<Arc<Directory>>,
    pub(crate) between_nodes: BetweenNodes,
    /// How many shards are being fed, each because of what the one before wants done.
    pub(crate) depth: usize,
    pub(crate) shards: Vec<Shard>,
    pub(crate) halves: HalvesByPlugin,
    pub(crate) now: Millis,
    /// Calls of upstream that have no answer yet, oldest first.
    pub(crate) calls: VecDeque<(usize, Slot, UpstreamEvent)>,
    received: BTreeMap<(usize, TransportKey), Vec<String>>,
    pub(crate) finished: BTreeMap<(usize, TransportKey), CloseCause>,
    /// What plugins are told of groups that they watch, oldest first; the calls are under way.
    pub(crate) tellings: VecDeque<(usize, HubCall)>,
    /// The marks of effects that had one, oldest first.
    pub(crate) traced: VecDeque<TraceMark>,
    /// When a shard wants a tick beside those that come anyway.
    pub(crate) wakes: Vec<(usize, Millis)>,
    /// Clients that the core has forgotten.
    pub(crate) forgotten: Vec<(usize, ConnectionId)>,
    /// How often the log was told that calls are dropped.
    pub(crate) told_of_drops: usize,
    /// Methods of which the log has heard that no upstream item matches them.
    pub(crate) unmatched: Vec<String>,
    /// What the log was told of memberships that were refused.
    pub(crate) refusals: Vec<MembershipRefusal>,
    pub(crate) paused: Vec<(usize, TransportKey)>,
    /// Clients that were asked whether they are there, as often as they were.
    pub(crate) probed: Vec<(usize, TransportKey)>,
    /// Transports that were cut because their clients go on by others, or may.
    pub(crate) severed: Vec<(usize, TransportKey)>,
    /// Clients that have ended while they waited for another transport.
    pub(crate) ended_waiting: Vec<(ConnectionId, CloseCause)>,
    /// Of clients that open from now on.
    pub(crate) transport: Transport,
    pub(crate) reconnect: Reconnect,
    pub(crate) family: Family,
    pub(crate) times: ClientTimes,
    /// Clients whose last words are to be heard.
    pub(crate) leaving: Vec<(usize, TransportKey)>,
    /// What clients have said and was not taken yet.
    said: BTreeMap<(usize, TransportKey), Vec<u8>>,
    to_servers: BTreeMap<ServerConnectionId, Vec<u8>>,
    pub(crate) finished_servers: Vec<(ServerConnectionId, String)>,
    pub(crate) skipped: Vec<String>,
    /// What filters look at, oldest first.
    pub(crate) inspections: VecDeque<(usize, InspectionNumber, Box<Inspection>)>,
    /// What came of what was asked for with tickets, by their numbers, until somebody takes it.
    pub(crate) answers: BTreeMap<u64, Answered>,
    tickets: u64,
    pub(crate) unreadable: usize,
    pub(crate) paused_servers: Vec<ServerConnectionId>,
    /// Orders between shards wait in `unanswered`.
    pub(crate) is_alone: bool,
    pub(crate) unanswered: Vec<Waiting>,
    /// Clients do not look at what they get.
    pub(crate) takes_garbage: bool,
    ids: u8,
    /// Of what clients were sent and have not taken, oldest first.
    pub(crate) marks: VecDeque<(usize, TransportKey)>,
    pub(crate) streams_exceeded: Vec<TooManyStreams>,
    /// All that happens from now on, if somebody wants to know.
    pub(crate) recording: Option<Vec<Recorded>>,
}

/// Serverless hubs with one plugin for everything; small bounds, so that tests reach them.
pub(crate) fn settings() -> Settings {
    Settings {
        hubs: BTreeMap::new(),
        other_hubs: HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 },
        upstream: vec![UpstreamItem {
            hubs: Pattern::Any,
            categories: Pattern::Any,
            events: Pattern::Any,
            handler: Handler::Plugin(PluginName::new("plugin")),
        }],
        presence: BTreeMap::from(
            ["plugin", "other"].map(|name| (PluginName::new(name), PresenceSettings { groups: 3, batch: Millis(250) })),
        ),
        limits: Limits {
            message: 200,
            messages_per_second: 0,
            queued_calls: 4,
            queued_bytes: 2_000,
            departed_bytes: 4_000,
            departed_calls: 2,
            held: 5_000,
            replay: 5_000,
            server_message: 1_000,
            mode_switch_closes: 8,
            groups_per_connection: 3,
            user_memberships: 1_000,
        },
        timeouts: Timeouts {
            negotiate: Millis(5_000),
            handshake: Millis(15_000),
            client: Millis(30_000),
            keep_alive: Millis(15_000),
            reconnect: Millis(30_000),
        },
        streams: BTreeMap::new(),
        detailed_errors: false,
    }
}

/// The same for hubs whose clients hub servers answer.
pub(crate) fn default_mode() -> Settings {
    Settings {
        other_hubs: HubSettings { mode: Mode::Default, filters: Vec::new(), messages_per_second: 0 },
        ..settings()
    }
}

pub(crate) fn identity(user: Option<&str>) -> Identity {
    Identity {
        user_id: user.map(UserId::new),
        claims: Default::default(),
        query: "".into(),
        headers: Default::default(),
        remote_address: "192.0.2.1".into(),
        groups: Vec::new(),
    }
}

/// The same with one filter for all hubs.
pub(crate) fn filtered(mode: Mode, targets: Targets) -> Settings {
    let filter = FilterSettings { plugin: PluginName::new("filter"), targets, on_error: OnError::Closed };
    Settings { other_hubs: HubSettings { mode, filters: vec![filter], messages_per_second: 0 }, ..settings() }
}

/// Both halves of all filters, and streams of the plugins whose streams have bounds.
fn halves(settings: &Settings) -> HalvesByPlugin {
    let hubs = settings.hubs.values().chain([&settings.other_hubs]);
    let filters = hubs.flat_map(|hub| &hub.filters);
    let halves = |filter: &FilterSettings| {
        let halves = Halves::default();
        halves.set(true, true);
        (filter.plugin.clone(), Arc::new(halves))
    };
    let with_streams = |plugin: &PluginName| {
        let halves = Halves::default();
        halves.set_streams(true);
        (plugin.clone(), Arc::new(halves))
    };
    filters.map(halves).chain(settings.streams.keys().map(with_streams)).collect()
}

/// What matters of a message in most tests.
fn in_few_words(message: &ServiceMessage<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match message {
        ServiceMessage::HandshakeResponse(response) if response.error.is_empty() => "welcome".to_owned(),
        ServiceMessage::HandshakeResponse(response) => format!("refused: {}", response.error),
        ServiceMessage::Ping(words) => ["ping"].iter().chain(words).copied().collect::<Vec<_>>().join(" "),
        ServiceMessage::OpenConnection(open) => {
            let from = open.headers.iter().find(|(name, _)| *name == "Asrs-Migrate-From");
            let from = from.map(|(_, values)| format!(" from {}", values.join(","))).unwrap_or_default();
            format!("open {}{from}", open.connection_id)
        }
        ServiceMessage::ConnectionData(data) => format!("data {}", text(data.payload)),
        ServiceMessage::CloseConnection(close) => {
            let to = close.headers.iter().find(|(name, _)| *name == "Asrs-Migrate-To");
            let to = to.map(|(_, values)| format!(" to {}", values.join(","))).unwrap_or_default();
            format!("close {}{to}", close.connection_id)
        }
        ServiceMessage::ConnectionReconnect(back) => format!("back {}", back.connection_id),
        ServiceMessage::Ack(ack) => match ack.payload {
            None => format!("ack {} {}", ack.ack_id, ack.status),
            Some(payload) => format!("ack {} {} {payload:x?}", ack.ack_id, ack.status),
        },
        ServiceMessage::ServiceEvent(event) => format!("event {} {}: {}", event.object_type, event.kind, event.message),
        ServiceMessage::ClientInvocation(call) => format!("call {}", call.invocation_id),
        ServiceMessage::ServiceMapping(mapping) => format!("mapping {}", mapping.invocation_id),
        ServiceMessage::ClientCompletion(done) => format!("done {} {}", done.invocation_id, text(done.payload)),
        ServiceMessage::ErrorCompletion(failed) => format!("failed {}: {}", failed.invocation_id, failed.error),
        ServiceMessage::UpdateConnectionClaims(update) => format!("claims {:?}", update.claims),
        ServiceMessage::ServiceError(error) => format!("error {}", error.error),
        ServiceMessage::AccessKeyResponse(response) => format!("no key: {}", response.error_type.unwrap_or_default()),
        other => panic!("the gateway never sends {other:?}"),
    }
}

pub(crate) fn hub(name: &str) -> HubName {
    HubName::read(name).expect("a name")
}

/// The address of a shard of a rig of one node.
pub(crate) fn at(shard: usize) -> ShardAddress {
    ShardAddress { node: node_id(0), shard: ShardIndex(shard as u16) }
}

impl Rig {
    pub(crate) fn new(shards: u16, settings: Settings) -> Rig {
        Rig::of_nodes(1, shards, settings)
    }

    /// Nodes that serve as one, each with so many shards: those of the second follow those of the first.
    pub(crate) fn of_nodes(nodes: usize, shards: u16, settings: Settings) -> Rig {
        let halves = halves(&settings);
        let directories: Vec<_> = (0..nodes).map(|_| Arc::new(Directory::new(HashSeed::fixed()))).collect();
        let between_nodes = BetweenNodes::new(nodes, usize::from(shards));
        let settings = Arc::new(settings);
        let shard = |index| {
            let directory = directories[between_nodes.node_of(index)].clone();
            let neighbours = Neighbours::new(between_nodes.address(index), shards);
            Shard::new(neighbours, settings.clone(), directory, halves.clone(), HashSeed::fixed())
        };
        let all = (0..nodes * usize::from(shards)).map(shard).collect();
        let mut rig = Rig::with(all, directories, between_nodes, halves);
        if nodes > 1 {
            rig.tell_nodes();
        }
        rig
    }

    fn with(
        shards: Vec<Shard>,
        directories: Vec<Arc<Directory>>,
        between_nodes: BetweenNodes,
        halves: HalvesByPlugin,
    ) -> Rig {
        Rig {
            directory: directories[0].clone(),
            directories,
            between_nodes,
            depth: 0,
            shards,
            halves,
            now: Millis(0),
            calls: VecDeque::new(),
            received: BTreeMap::new(),
            finished: BTreeMap::new(),
            traced: VecDeque::new(),
            tellings: VecDeque::new(),
            wakes: Vec::new(),
            forgotten: Vec::new(),
            told_of_drops: 0,
            unmatched: Vec::new(),
            refusals: Vec::new(),
            paused: Vec::new(),
            probed: Vec::new(),
            severed: Vec::new(),
            ended_waiting: Vec::new(),
            transport: Transport::WebSockets,
            reconnect: Reconnect::No,
            family: Family::Core,
            times: ClientTimes::default(),
            leaving: Vec::new(),
            said: BTreeMap::new(),
            to_servers: BTreeMap::new(),
            finished_servers: Vec::new(),
            skipped: Vec::new(),
            inspections: VecDeque::new(),
            answers: BTreeMap::new(),
            tickets: 0,
            unreadable: 0,
            paused_servers: Vec::new(),
            is_alone: false,
            unanswered: Vec::new(),
            takes_garbage: false,
            ids: 0,
            marks: VecDeque::new(),
            streams_exceeded: Vec::new(),
            recording: None,
        }
    }

    /// A client whose transport is open.
    pub(crate) fn open(&mut self, shard: usize, hub_name: &str, user: Option<&str>) -> Client {
        self.ids += 1;
        let id = ConnectionId::new(self.between_nodes.address(shard), [self.ids; 12]);
        self.open_with(shard, hub_name, id, identity(user))
    }

    /// A client whose transport is open, and who is this.
    pub(crate) fn open_with(&mut self, shard: usize, hub_name: &str, id: ConnectionId, identity: Identity) -> Client {
        self.open_by_token(shard, hub_name, (id, None), identity)
    }

    /// The same of one that has negotiated, and opens with this token.
    pub(crate) fn open_by_token(
        &mut self,
        shard: usize,
        hub_name: &str,
        (id, token): (ConnectionId, Option<ConnectionId>),
        identity: Identity,
    ) -> Client {
        let Rig { transport, reconnect, times, .. } = *self;
        let family = self.family.clone();
        let client = NewClient { hub: hub(hub_name), id, token, transport, identity, times, reconnect, family };
        let transport = self.shards[shard].next_transport();
        self.feed(shard, Input::ClientOpened { transport, client: Box::new(client) });
        Client { shard, transport, id }
    }

    /// What clients open with: those that may resume with the version that has it.
    fn handshake(&self) -> &'static str {
        match self.reconnect {
            Reconnect::No => "{\"protocol\":\"json\",\"version\":1}\x1e",
            Reconnect::Stateful => "{\"protocol\":\"json\",\"version\":2}\x1e",
        }
    }

    /// A client's transport breaks off.
    pub(crate) fn cut(&mut self, client: Client) {
        self.gone(client, CloseCause::TransportLost);
    }

    /// A client goes on by another transport. What it gets by that one is received then.
    pub(crate) fn resume(&mut self, client: &mut Client) {
        let Client { shard, id, .. } = *client;
        let transport = self.shards[shard].next_transport();
        client.transport = transport;
        self.feed(shard, Input::ClientResumed { transport, client: ResumedClient { id, expiry: None } });
    }

    /// A connection of a hub server that was let in, of the hub `chat`.
    pub(crate) fn server(&mut self, shard: usize, name: &str, migration_level: i64) -> Server {
        let server = self.open_server(shard, name);
        let handshake = HandshakeRequest { version: 1, migration_level, ..HandshakeRequest::default() };
        self.says(server, &ServiceMessage::HandshakeRequest(handshake));
        assert_eq!(self.told(server), ["welcome"]);
        server
    }

    /// A connection that only sends, of the hub `chat`.
    pub(crate) fn weak(&mut self, shard: usize, name: &str) -> Server {
        let weak = self.open_server(shard, name);
        let handshake = HandshakeRequest { version: 1, connection_type: 2, ..HandshakeRequest::default() };
        self.says(weak, &ServiceMessage::HandshakeRequest(handshake));
        assert_eq!(self.told(weak), ["welcome"]);
        weak
    }

    /// A connection of a hub server whose transport is open.
    pub(crate) fn open_server(&mut self, shard: usize, name: &str) -> Server {
        self.open_server_of(shard, "chat", name)
    }

    /// The same of any hub.
    pub(crate) fn open_server_of(&mut self, shard: usize, of: &str, name: &str) -> Server {
        let (id, server) = (self.shards[shard].next_server(), ServerId::new(name));
        self.feed(shard, Input::ServerOpened { id, server: NewServerConnection { hub: hub(of), server } });
        Server { shard, id }
    }

    /// A hub server is congested, or has caught up.
    pub(crate) fn congested(&mut self, server: Server, is_congested: bool) {
        self.feed(server.shard, Input::ServerCongested { id: server.id, is_congested });
    }

    /// What a hub server says.
    pub(crate) fn says(&mut self, server: Server, message: &ServiceMessage<'_>) {
        let mut bytes = Vec::new();
        service::write(message, &mut bytes);
        self.server_data(server, &bytes);
    }

    pub(crate) fn server_data(&mut self, server: Server, mut bytes: &[u8]) {
        self.some_server_data(server, &mut bytes, usize::MAX);
        assert!(bytes.is_empty(), "all of it is taken");
    }

    /// At most so many messages off the front of what a hub server says.
    pub(crate) fn some_server_data(&mut self, server: Server, bytes: &mut &[u8], most: usize) {
        self.feed(server.shard, Input::ServerData { id: server.id, bytes, most });
    }

    pub(crate) fn server_gone(&mut self, server: Server) {
        self.feed(server.shard, Input::ServerGone(server.id));
    }

    /// A hub server's words for one client.
    pub(crate) fn answers(&mut self, server: Server, client: Client, text: &str) {
        self.answers_with(server, client, text.as_bytes());
    }

    pub(crate) fn answers_with(&mut self, server: Server, client: Client, payload: &[u8]) {
        let connection_id = AnyText(client.id.as_bytes());
        let data = ConnectionData { connection_id, payload, ..ConnectionData::default() };
        self.says(server, &ServiceMessage::ConnectionData(data));
    }

    /// The messages that a hub server got since the last look, in few words.
    pub(crate) fn told(&mut self, server: Server) -> Vec<String> {
        let bodies = self.told_raw(server);
        bodies.iter().map(|body| in_few_words(&service::parse(body).expect("a message"))).collect()
    }

    /// The bodies of these messages.
    pub(crate) fn told_raw(&mut self, server: Server) -> Vec<Vec<u8>> {
        let bytes = self.to_servers.remove(&server.id).unwrap_or_default();
        let mut input = &bytes[..];
        std::iter::from_fn(|| service::split_message(&mut input).expect("a length").map(<[u8]>::to_vec)).collect()
    }

    /// A client whose handshake a hub server has answered. The server is one of `servers`, which of them is given.
    pub(crate) fn connect_proxied(&mut self, shard: usize, user: Option<&str>, servers: &[Server]) -> (Client, Server) {
        let client = self.open(shard, "chat", user);
        let handshake = self.handshake();
        self.data(client, handshake);
        let mut told = servers.iter().map(|server| (*server, self.told(*server))).collect::<Vec<_>>();
        told.retain(|(_, told)| !told.is_empty());
        let [(server, told)] = told.as_slice() else {
            panic!("one server is told of the client: {told:?}");
        };
        assert_eq!(told[..], [format!("open {}", client.id), format!("data {handshake}")]);
        self.answers(*server, client, "{}\x1e");
        assert_eq!(self.received(client), ["{}"]);
        (client, *server)
    }

    /// A client whose handshake upstream has let pass.
    pub(crate) fn connect(&mut self, shard: usize, user: Option<&str>) -> Client {
        let client = self.open(shard, "chat", user);
        self.data(client, self.handshake());
        if self.calls.back().is_some_and(|(_, _, event)| matches!(event, UpstreamEvent::Connected)) {
            self.answer_last(Ok(None), Vec::new());
        }
        assert_eq!(self.received(client), ["{}"]);
        client
    }

    pub(crate) fn data(&mut self, client: Client, text: &str) {
        self.bytes(client, text.as_bytes());
    }

    /// What is not taken is offered again when the client is read.
    pub(crate) fn bytes(&mut self, client: Client, bytes: &[u8]) {
        self.said.entry((client.shard, client.transport)).or_default().extend_from_slice(bytes);
        self.offer(client.shard, client.transport);
    }

    fn offer(&mut self, shard: usize, transport: TransportKey) {
        while !self.paused.contains(&(shard, transport))
            && let Some(said) = self.said.remove(&(shard, transport))
        {
            let mut rest = &said[..];
            self.feed(shard, Input::ClientData { transport, bytes: &mut rest, most: usize::MAX });
            if rest.is_empty() {
                return;
            }
            let is_stuck = rest.len() == said.len();
            self.said.insert((shard, transport), rest.to_vec());
            if is_stuck {
                return;
            }
        }
    }

    fn offer_all(&mut self) {
        let all: Vec<_> = self.said.keys().copied().collect();
        all.into_iter().for_each(|(shard, transport)| self.offer(shard, transport));
    }

    /// At most so many messages off the front of what a client says.
    pub(crate) fn some_bytes(&mut self, client: Client, bytes: &mut &[u8], most: usize) {
        self.feed(client.shard, Input::ClientData { transport: client.transport, bytes, most });
    }

    /// Calls `method`, waiting for an answer.
    pub(crate) fn invoke(&mut self, client: Client, id: &str, method: &str) {
        self.data(
            client,
            &format!(r#"{{"type":1,"invocationId":"{id}","target":"{method}","arguments":[]}}{}"#, '\x1e'),
        );
    }

    pub(crate) fn gone(&mut self, client: Client, cause: CloseCause) {
        self.said.remove(&(client.shard, client.transport));
        self.feed(client.shard, Input::ClientGone { transport: client.transport, cause });
    }

    /// Does what a REST caller on `shard` asks for.
    pub(crate) fn run(&mut self, shard: usize, actions: Vec<Action>) {
        self.submit(shard, "chat", actions);
    }

    /// The same for any hub.
    pub(crate) fn submit(&mut self, shard: usize, name: &str, actions: Vec<Action>) {
        let ticket = self.next_ticket();
        self.feed(shard, Input::Submit { hub: hub(name), origin: Origin::Rest, actions, ticket });
    }

    /// Puts a user into a group, for a REST caller on `shard`.
    pub(crate) fn join_user(
        &mut self,
        shard: usize,
        name: &str,
        (user, group): (UserId, GroupName),
        ttl_seconds: Option<u32>,
    ) -> Result<(), MembershipRefusal> {
        let ticket = self.next_ticket();
        self.feed(shard, Input::JoinUser { hub: hub(name), user, group, ttl_seconds, ticket });
        match self.answers.remove(&ticket.number()) {
            Some(Answered::UserJoined(Reply { answer: Ok(joined), .. })) => joined,
            other => panic!("a user joins at once: {other:?}"),
        }
    }

    /// Whether a caller on `shard` finds something in a hub.
    pub(crate) fn finds(&mut self, shard: usize, name: &str, sought: Sought) -> bool {
        let ticket = self.seek(shard, name, sought);
        self.found(ticket).expect("all shards answer at once").expect("they answer in time")
    }

    /// A caller on `shard` looks for something in a hub.
    pub(crate) fn seek(&mut self, shard: usize, name: &str, sought: Sought) -> Ticket<bool> {
        let ticket = self.next_ticket();
        let deadline = self.now + PATIENCE;
        self.feed(shard, Input::Ask { hub: hub(name), query: CallerQuery::Find(sought, ticket), deadline });
        ticket
    }

    /// What a caller was told that looks for something, if it was.
    pub(crate) fn found(&mut self, ticket: Ticket<bool>) -> Option<Result<bool, Unanswered>> {
        match self.answers.remove(&ticket.number())? {
            Answered::Found(reply) => Some(reply.answer),
            other => panic!("another answer was asked for: {other:?}"),
        }
    }

    pub(crate) fn next_ticket<A>(&mut self) -> Ticket<A> {
        self.tickets += 1;
        Ticket::new(self.tickets)
    }

    /// What filters look at longest; they go on looking.
    pub(crate) fn inspected(&self) -> &Inspection {
        &self.inspections.front().expect("filters look at something").2
    }

    /// The verdict on what filters look at longest.
    pub(crate) fn judge(&mut self, verdict: Verdict) {
        self.judge_and_ask(verdict, Vec::new());
    }

    /// The same, of filters that ask for this, too.
    pub(crate) fn judge_and_ask(&mut self, verdict: Verdict, actions: Vec<Action>) {
        let (shard, number, _) = self.inspections.pop_front().expect("filters look at something");
        let inspected = Inspected { verdict, actions };
        self.feed(shard, Input::Inspected { number, inspected });
        self.offer_all();
    }

    /// The filters that look longest take their time.
    pub(crate) fn let_wait(&mut self) {
        let (shard, number, _) = *self.inspections.front().expect("filters look at something");
        self.feed(shard, Input::InspectionWaits(number));
    }

    pub(crate) fn configure(&mut self, settings: Settings) {
        let (halves, settings) = (halves(&settings), Arc::new(settings));
        for shard in 0..self.shards.len() {
            self.feed(shard, Input::Configure { settings: settings.clone(), halves: halves.clone() });
        }
    }

    /// Answers the oldest call that waits; gives its event.
    pub(crate) fn answer(
        &mut self,
        result: Result<Option<Payload>, UpstreamFailure>,
        actions: Vec<Action>,
    ) -> UpstreamEvent {
        let (shard, client, event) = self.calls.pop_front().expect("a call waits");
        let answer = UpstreamAnswer { result, actions };
        self.feed(shard, Input::UpstreamAnswered { client, answer });
        event
    }

    pub(crate) fn answer_last(&mut self, result: Result<Option<Payload>, UpstreamFailure>, actions: Vec<Action>) {
        let last = self.calls.pop_back().expect("a call waits");
        self.calls.push_front(last);
        self.answer(result, actions);
    }

    /// The same, with signs of life of all hub servers meanwhile.
    pub(crate) fn pass_with_pings(&mut self, time: Millis, servers: &[Server]) {
        let end = self.now + time;
        while self.now < end {
            self.pass(Millis(5_000).min(end - self.now));
            servers.iter().for_each(|server| self.says(*server, &ServiceMessage::Ping(Vec::new())));
        }
    }

    pub(crate) fn pass(&mut self, time: Millis) {
        self.now = self.now + time;
        for shard in 0..self.shards.len() {
            self.feed(shard, Input::Tick);
        }
    }

    /// Sends the clients of a shard away, all at once.
    pub(crate) fn drain(&mut self, shard: usize) {
        self.feed(shard, Input::Drain { per_second: 0 });
    }

    /// A client's transport has read what it had said when it was asked to leave.
    pub(crate) fn said_all(&mut self, client: Client) {
        self.leaving.retain(|each| *each != (client.shard, client.transport));
        self.feed(client.shard, Input::SaidLastWords(client.transport));
    }

    /// The messages that the client got since the last look, without their separators.
    pub(crate) fn received(&mut self, client: Client) -> Vec<String> {
        self.received.remove(&(client.shard, client.transport)).unwrap_or_default()
    }

    /// Feeds a shard, and does what it wants done.
    pub(crate) fn feed(&mut self, shard: usize, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        self.depth += 1;
        let recorded = self.recording.is_some().then(|| input.record());
        self.shards[shard].handle(input, self.now, &mut effects);
        if let (Some(recording), Some(input)) = (&mut self.recording, recorded) {
            recording.push(Recorded { shard, now: self.now, input, effects: format!("{effects:?}") });
        }
        for effect in effects {
            self.perform(shard, effect);
        }
        self.depth -= 1;
        if self.depth == 0 && !self.between_nodes.is_held {
            self.pass_all_on();
        }
    }

    fn perform(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Send { to, frame } => self.receive(shard, to, frame.as_bytes()),
            Effect::SendMarked { to, frame } => {
                self.receive(shard, to, frame.as_bytes());
                self.marks.push_back((shard, to));
            }
            Effect::StreamsExceeded { bound, .. } => self.streams_exceeded.push(bound),
            Effect::Deliver { to, frame } => {
                for transport in to {
                    self.receive(shard, transport, frame.as_bytes());
                }
            }
            Effect::Finish { transport, cause, .. } => drop(self.finished.insert((shard, transport), cause)),
            Effect::EndedWaiting { client, cause, .. } => self.ended_waiting.push((client, cause)),
            Effect::Forgotten(id) => self.forgotten.push((shard, id)),
            Effect::CallsDropped { .. } => self.told_of_drops += 1,
            Effect::Unmatched { method, .. } => self.unmatched.push(method),
            Effect::MembershipRefused { refusal, .. } => self.refusals.push(refusal),
            Effect::Probe(transport) => self.probed.push((shard, transport)),
            Effect::PauseReading(transport) => self.paused.push((shard, transport)),
            Effect::ResumeReading(transport) => {
                self.paused.retain(|each| *each != (shard, transport));
                self.offer(shard, transport);
            }
            Effect::HearLastWords(transport) => self.leaving.push((shard, transport)),
            Effect::Call { client, event, .. } => self.calls.push_back((shard, client, event)),
            Effect::ToServer { to, messages } => self.to_servers.entry(to).or_default().extend_from_slice(&messages),
            Effect::FinishServer { to, detail } => self.finished_servers.push((to, detail)),
            Effect::ServerMessageSkipped { what, .. } => self.skipped.push(what),
            Effect::Inspect { number, inspection } => self.inspections.push_back((shard, number, inspection)),
            Effect::Answered(answered) => drop(self.answers.insert(number(&answered), answered)),
            Effect::Unreadable { .. } => self.unreadable += 1,
            Effect::PauseServer(id) => self.paused_servers.push(id),
            Effect::ResumeServer(id) => self.paused_servers.retain(|each| *each != id),
            Effect::Forward { to, hub, order } => self.forward_to(shard, &to, &hub, order),
            Effect::Announce { hub, change } => {
                assert!(self.directories.len() > 1, "a gateway that is alone announces nothing: {change:?}");
                self.between_nodes.announce(shard, &hub, &change);
            }
            Effect::WakeAt(at) => self.wakes.push((shard, at)),
            Effect::Sever(transport) => self.severed.push((shard, transport)),
            Effect::TellPresence(call) => self.tellings.push_back((shard, *call)),
            Effect::Traced { mark, effect } => {
                self.traced.push_back(mark);
                self.perform(shard, *effect);
            }
        }
    }

    fn forward_to(&mut self, from: usize, to: &Addressees, hub: &HubName, order: Order) {
        let own = self.between_nodes.node_of(from);
        match to {
            Addressees::AllOthers => {
                for other in self.between_nodes.shards_of(own).filter(|other| *other != from) {
                    self.forward(from, other, hub, order.clone());
                }
            }
            Addressees::One(to) => match self.between_nodes.node_with(to.node) {
                node if node == own => self.forward(from, self.between_nodes.shard_at(*to), hub, order),
                node => self.between_nodes.order(from, (node, Some(to.shard)), hub, order),
            },
            Addressees::Nodes(nodes) => {
                for node in &**nodes {
                    let node = self.between_nodes.node_with(*node);
                    self.between_nodes.order(from, (node, None), hub, order.clone());
                }
            }
        }
    }

    fn forward(&mut self, from: usize, to: usize, hub: &HubName, order: Order) {
        let hub = hub.clone();
        match self.is_alone {
            true => self.unanswered.push(Waiting { from, to, hub, order }),
            false => self.feed(to, Input::Order { from: self.between_nodes.address(from), hub, order }),
        }
    }

    /// The shards obey what was ordered while each was alone.
    pub(crate) fn reunite(&mut self) {
        self.is_alone = false;
        for Waiting { from, to, hub, order } in std::mem::take(&mut self.unanswered) {
            self.forward(from, to, &hub, order);
        }
    }

    /// Takes a frame apart: a text message, unmasked, in one frame.
    fn receive(&mut self, shard: usize, transport: TransportKey, frame: &[u8]) {
        if self.takes_garbage {
            return;
        }
        assert_eq!(frame[0], 0x81, "one text message in one frame");
        let payload = if frame[1] == 126 { &frame[4..] } else { &frame[2..] };
        let text = std::str::from_utf8(payload).expect("text");
        let messages: Vec<String> = match self.family {
            Family::Core => {
                text.strip_suffix('\x1e').expect("whole messages").split('\x1e').map(str::to_owned).collect()
            }
            Family::AspNet { .. } => vec![text.to_owned()],
        };
        self.received.entry((shard, transport)).or_default().extend(messages);
    }
}

/// The number of the ticket that an answer is for.
fn number(answered: &Answered) -> u64 {
    match answered {
        Answered::Found(reply) => reply.ticket.number(),
        Answered::Facts(reply) => reply.ticket.number(),
        Answered::Count(reply) => reply.ticket.number(),
        Answered::Members(reply) => reply.ticket.number(),
        Answered::Joined(reply) => reply.ticket.number(),
        Answered::UserJoined(reply) => reply.ticket.number(),
        Answered::Watched(reply) => reply.ticket.number(),
        Answered::InEffect(reply) => reply.ticket.number(),
        Answered::Client(reply) => reply.ticket.number(),
        Answered::Refreshed(reply) => reply.ticket.number(),
        Answered::Stream(reply) => reply.ticket.number(),
        Answered::Kept(reply) => reply.ticket.number(),
        Answered::Claimed { reply, .. } => reply.ticket.number(),
    }
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::Json(JsonText::parse(text.to_owned()).expect("JSON"))
}
