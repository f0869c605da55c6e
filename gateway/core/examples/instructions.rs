//! Work to count the instructions of: `instructions WHAT TIMES`. What one piece of work costs is the difference between
//! two runs, divided by the difference of their times, so that the set-up does not count.

use std::collections::BTreeMap;
use std::sync::Arc;

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::UpstreamAnswer;
use hubgate_core::filter::{HalvesByPlugin, Origin};
use hubgate_core::id::{ConnectionId, HubName, PluginName, ServerConnectionId, ServerId, ShardIndex};
use hubgate_core::mode::Mode;
use hubgate_core::question::Ticket;
use hubgate_core::settings::{Handler, HubSettings, Limits, Pattern, Settings, Timeouts, UpstreamItem};
use hubgate_core::time::Millis;
use hubgate_core::{
    ClientTimes, Directory, Effect, Family, HashSeed, Identity, Input, Neighbours, NewClient, NewServerConnection,
    Outgoing, Reconnect, Shard, TransportKey,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, Payload};
use hubgate_wire::service::{self, AnyText, ConnectionData, HandshakeRequest, ServiceMessage};
use hubgate_wire::websocket::{Decoder, Event};

const CLIENTS: usize = 1_000;
const CALL: &str = concat!(
    r#"{"type":1,"invocationId":"12","target":"echo","arguments":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"#,
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]}\x1e"
);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, times] = arguments.as_slice() else {
        panic!("instructions WHAT TIMES");
    };
    let times: usize = times.parse().expect("a number");
    match what.as_str() {
        "decode" => decode(times),
        "route" => route(times),
        "fan-out" => fan_out(times),
        "fan-out-kept" => fan_out_kept(times),
        "proxy" => proxy(times),
        unknown => panic!("there is no work {unknown}"),
    }
}

/// One frame of a client.
fn decode(times: usize) {
    let mut frame = vec![0x81, 0x80 | 126, 0, 0, 1, 2, 3, 4];
    frame[2..4].copy_from_slice(&(CALL.len() as u16).to_be_bytes());
    frame.extend(CALL.bytes().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
    let mut decoder = Decoder::new(1 << 20);
    for _ in 0..times {
        let mut bytes = frame.clone();
        let mut input = &mut bytes[..];
        let event = decoder.decode(&mut input).expect("a frame").expect("a whole one");
        assert!(matches!(std::hint::black_box(event), Event::Data { end_of_message: true, .. }));
    }
}

/// One call, from its message to its completion.
fn route(times: usize) {
    let (mut shard, transports) = shard(1);
    let mut effects = Vec::new();
    for _ in 0..times {
        says(&mut shard, transports[0], CALL.as_bytes(), &mut effects);
        let Some(Effect::Call { client, .. }) = effects.pop() else { panic!("a call goes up") };
        assert!(effects.is_empty());
        let result = Ok(Some(Payload::Json(JsonText::parse("\"an answer\"").expect("JSON"))));
        let answer = UpstreamAnswer { result, actions: Vec::new() };
        shard.handle(Input::UpstreamAnswered { client, answer }, Millis(1), &mut effects);
        assert!(matches!(effects.as_slice(), [Effect::Send { .. }]));
        effects.clear();
    }
}

/// One message to all of a hub's clients.
fn fan_out(times: usize) {
    let (mut shard, _) = shard(CLIENTS);
    let mut effects = Vec::new();
    for _ in 0..times {
        send_to_all(&mut shard, &mut effects);
    }
}

/// The same to clients that may resume: it is kept for each of them, and they acknowledge each hundredth.
fn fan_out_kept(times: usize) {
    let mut shard = empty_shard();
    let mut effects = Vec::new();
    let mut resumable = |number| open_with(&mut shard, number, Reconnect::Stateful, &mut effects).0;
    let transports: Vec<_> = (0..CLIENTS).map(&mut resumable).collect();
    effects.clear();
    for number in 1..=times {
        send_to_all(&mut shard, &mut effects);
        if number.is_multiple_of(100) {
            let ack = format!("{{\"type\":8,\"sequenceId\":{number}}}\x1e");
            transports.iter().for_each(|transport| says(&mut shard, *transport, ack.as_bytes(), &mut effects));
            assert!(effects.is_empty());
        }
    }
    assert!(times.is_multiple_of(100) && shard.kept_for_resumes() == 0, "what was acknowledged is not kept");
}

fn send_to_all(shard: &mut Shard, effects: &mut Vec<Effect>) {
    let arguments = Payload::Json(JsonText::parse("[\"hello\"]").expect("JSON"));
    let message = Outgoing::call("said".to_owned(), arguments);
    let send = Action::Send { to: Target::All, message, except: Default::default() };
    let (hub, actions, ticket) = (hub(), vec![send], Ticket::new(0));
    shard.handle(Input::Submit { hub, origin: Origin::Rest, actions, ticket }, Millis(1), effects);
    assert!(matches!(effects.as_slice(), [Effect::Deliver { to, .. }, Effect::Answered(_)] if to.len() == CLIENTS));
    effects.clear();
}

/// One call that a hub server answers, on the same shard.
fn proxy(times: usize) {
    let settings = Settings {
        other_hubs: HubSettings { mode: Mode::Default, filters: Vec::new(), messages_per_second: 0 },
        ..settings()
    };
    let mut shard = Shard::new(
        Neighbours::new(ShardIndex(0).into(), 1),
        Arc::new(settings),
        directory(),
        HalvesByPlugin::new(),
        HashSeed::fixed(),
    );
    let mut effects = Vec::new();
    let (id, new) = (shard.next_server(), NewServerConnection { hub: hub(), server: ServerId::new("s") });
    shard.handle(Input::ServerOpened { id, server: new }, Millis(0), &mut effects);
    let request = HandshakeRequest { version: 1, ..HandshakeRequest::default() };
    let request = written(&ServiceMessage::HandshakeRequest(request));
    server_says(&mut shard, id, &request, &mut effects);
    let (transport, client) = open(&mut shard, 0, &mut effects);
    let data = |payload| {
        let data = ConnectionData { connection_id: AnyText(client.as_bytes()), payload, ..ConnectionData::default() };
        written(&ServiceMessage::ConnectionData(data))
    };
    server_says(&mut shard, id, &data(b"{}\x1e"), &mut effects);
    let answer = data(b"{\"type\":3,\"invocationId\":\"12\",\"result\":\"an answer\"}\x1e");
    effects.clear();
    for _ in 0..times {
        says(&mut shard, transport, CALL.as_bytes(), &mut effects);
        assert!(matches!(effects.as_slice(), [Effect::ToServer { .. }]));
        effects.clear();
        server_says(&mut shard, id, &answer, &mut effects);
        assert!(matches!(effects.as_slice(), [Effect::Send { .. }]));
        effects.clear();
    }
}

/// A client says something.
fn says(shard: &mut Shard, transport: TransportKey, mut bytes: &[u8], effects: &mut Vec<Effect>) {
    shard.handle(Input::ClientData { transport, bytes: &mut bytes, most: usize::MAX }, Millis(1), effects);
}

/// A hub server does.
fn server_says(shard: &mut Shard, id: ServerConnectionId, mut bytes: &[u8], effects: &mut Vec<Effect>) {
    shard.handle(Input::ServerData { id, bytes: &mut bytes, most: usize::MAX }, Millis(1), effects);
}

fn written(message: &ServiceMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    service::write(message, &mut bytes);
    bytes
}

fn directory() -> Arc<Directory> {
    Arc::new(Directory::new(HashSeed::fixed()))
}

fn hub() -> HubName {
    HubName::parse("hub").expect("a name")
}

fn settings() -> Settings {
    let messages = Pattern::OneOf(vec!["messages".to_owned()]);
    let handler = Handler::Plugin(PluginName::new("plugin"));
    Settings {
        hubs: Default::default(),
        other_hubs: HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 },
        upstream: vec![UpstreamItem { hubs: Pattern::Any, categories: messages, events: Pattern::Any, handler }],
        presence: BTreeMap::new(),
        limits: Limits {
            message: 1 << 20,
            messages_per_second: 0,
            queued_calls: 256,
            queued_bytes: 1 << 20,
            departed_bytes: 1 << 20,
            departed_calls: 8,
            held: 1 << 20,
            replay: 1 << 20,
            server_message: 1 << 20,
            mode_switch_closes: 1_000,
            groups_per_connection: 1_000,
            user_memberships: 1_000_000,
        },
        timeouts: Timeouts {
            negotiate: Millis(5_000),
            handshake: Millis(15_000),
            client: Millis(30_000),
            keep_alive: Millis(15_000),
            reconnect: Millis(30_000),
        },
        streams: Default::default(),
        detailed_errors: false,
    }
}

fn empty_shard() -> Shard {
    Shard::new(
        Neighbours::new(ShardIndex(0).into(), 1),
        Arc::new(settings()),
        directory(),
        HalvesByPlugin::new(),
        HashSeed::fixed(),
    )
}

/// A shard with connected clients.
fn shard(clients: usize) -> (Shard, Vec<TransportKey>) {
    let mut shard = empty_shard();
    let mut effects = Vec::new();
    let transports = (0..clients).map(|number| open(&mut shard, number, &mut effects).0).collect();
    (shard, transports)
}

/// A client whose handshake request has come.
fn open(shard: &mut Shard, number: usize, effects: &mut Vec<Effect>) -> (TransportKey, ConnectionId) {
    open_with(shard, number, Reconnect::No, effects)
}

fn open_with(
    shard: &mut Shard,
    number: usize,
    reconnect: Reconnect,
    effects: &mut Vec<Effect>,
) -> (TransportKey, ConnectionId) {
    let mut random = [0; 12];
    random[..8].copy_from_slice(&number.to_be_bytes());
    let id = ConnectionId::new(ShardIndex(0).into(), random);
    let identity = Identity {
        user_id: None,
        claims: Default::default(),
        query: "".into(),
        headers: Default::default(),
        remote_address: "".into(),
        groups: Vec::new(),
    };
    let (transport, times) = (Transport::WebSockets, ClientTimes::default());
    let client = NewClient { hub: hub(), id, token: None, transport, identity, times, reconnect, family: Family::Core };
    let transport = shard.next_transport();
    shard.handle(Input::ClientOpened { transport, client: Box::new(client) }, Millis(0), effects);
    let version = if reconnect == Reconnect::Stateful { 2 } else { 1 };
    says(shard, transport, format!("{{\"protocol\":\"json\",\"version\":{version}}}\x1e").as_bytes(), effects);
    (transport, id)
}
