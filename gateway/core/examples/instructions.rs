//! Work to count the instructions of: `instructions WHAT TIMES`. What one piece of work costs is the difference between
//! two runs, divided by the difference of their times, so that the set-up does not count.

use std::sync::Arc;

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::UpstreamAnswer;
use hubgate_core::id::{ConnectionId, HubName, PluginName, ShardIndex};
use hubgate_core::mode::Mode;
use hubgate_core::settings::{HubSettings, Limits, Pattern, Settings, Timeouts, UpstreamItem};
use hubgate_core::time::Millis;
use hubgate_core::{ClientTimes, Effect, Identity, NewClient, Outgoing, Shard, Slot};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, Payload};
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
    let (mut shard, slots) = shard(1);
    let mut effects = Vec::new();
    for _ in 0..times {
        shard.client_data(slots[0], CALL.as_bytes(), Millis(1), &mut effects);
        assert!(matches!(effects.as_slice(), [Effect::Call { .. }]));
        effects.clear();
        let result = Ok(Some(Payload::Json(JsonText::parse("\"an answer\"").expect("JSON"))));
        shard.upstream_answered(slots[0], UpstreamAnswer { result, actions: Vec::new() }, Millis(1), &mut effects);
        assert!(matches!(effects.as_slice(), [Effect::Send { .. }]));
        effects.clear();
    }
}

/// One message to all of a hub's clients.
fn fan_out(times: usize) {
    let (mut shard, _) = shard(CLIENTS);
    let (hub, arguments) = (hub(), Payload::Json(JsonText::parse("[\"hello\"]").expect("JSON")));
    let mut effects = Vec::new();
    for _ in 0..times {
        let message = Outgoing::call("said".to_owned(), arguments.clone());
        let send = Action::Send { to: Target::All, message, except: Default::default() };
        shard.run(&hub, vec![send], Millis(1), &mut effects);
        assert!(matches!(effects.as_slice(), [Effect::Deliver { to, .. }] if to.len() == CLIENTS));
        effects.clear();
    }
}

fn hub() -> HubName {
    HubName::parse("hub").expect("a name")
}

/// A shard with connected clients.
fn shard(clients: usize) -> (Shard, Vec<Slot>) {
    let messages = Pattern::OneOf(vec!["messages".to_owned()]);
    let plugin = PluginName::new("plugin");
    let settings = Settings {
        hubs: Default::default(),
        other_hubs: HubSettings { mode: Mode::Serverless },
        upstream: vec![UpstreamItem { hubs: Pattern::Any, categories: messages, events: Pattern::Any, plugin }],
        limits: Limits {
            message: 1 << 20,
            queued_calls: 256,
            queued_bytes: 1 << 20,
            held: 1 << 20,
            server_message: 1 << 20,
            mode_switch_closes: 1_000,
            groups_per_connection: 1_000,
        },
        timeouts: Timeouts {
            negotiate: Millis(5_000),
            handshake: Millis(15_000),
            client: Millis(30_000),
            keep_alive: Millis(15_000),
        },
        detailed_errors: false,
    };
    let mut shard = Shard::new(ShardIndex(0), 1, Arc::new(settings), Arc::default());
    let mut effects = Vec::new();
    let open = |number: usize| {
        let mut random = [0; 16];
        random[..8].copy_from_slice(&number.to_be_bytes());
        let identity = Identity {
            user_id: None,
            claims: Default::default(),
            query: "".into(),
            headers: Default::default(),
            remote_address: "".into(),
        };
        let client = NewClient {
            hub: hub(),
            id: ConnectionId::new(ShardIndex(0), random),
            token: None,
            transport: Transport::WebSockets,
            identity,
            times: ClientTimes::default(),
        };
        let slot = shard.client_opened(client, Millis(0));
        shard.client_data(slot, b"{\"protocol\":\"json\",\"version\":1}\x1e", Millis(0), &mut effects);
        slot
    };
    let slots = (0..clients).map(open).collect();
    (shard, slots)
}
