//! A client with stateful reconnect that says what it likes, on a shard without a network.

use std::collections::BTreeMap;
use std::sync::Arc;

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::{UpstreamAnswer, UpstreamEvent};
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, HubName, NodeId, PluginName, ShardAddress, ShardIndex, UserId};
use hubgate_core::mode::Mode;
use hubgate_core::question::Ticket;
use hubgate_core::settings::{Handler, HubSettings, Limits, Pattern, Settings, Timeouts, UpstreamItem};
use hubgate_core::time::Millis;
use hubgate_core::{
    ClientTimes, CloseCause, Directory, Effect, Family, HashSeed, Identity, Input, Neighbours, NewClient, Outgoing,
    Reconnect, ResumeRefusal, ResumedClient, Shard, Slot, TransportKey,
};
use hubgate_wire::negotiate::Transport;
use hubgate_wire::payload::{JsonText, Payload, PayloadRef};
use hubgate_wire::signalr::{HubMessage, HubProtocol, Invocation};

/// What may be kept for the client, in bytes. While it is connected, some seconds allow four times as much.
const REPLAY: usize = 2_000;
const OVERRUN: usize = 4;
/// What the longest message of the hub costs that is kept, at most.
const LONGEST: usize = 6_000;
/// What is sent at once to a client that comes back, in bytes: what is kept, and some 4,000 messages that only count.
const MOST_AT_ONCE: usize = 200_000;

/// The first byte says which protocol the client speaks, each of the others what happens next, with the bytes after it. Whatever happens, no
/// more is kept than may be, and numbers that cannot be end the client by name.
pub fn link(bytes: &[u8]) {
    let Some((protocol, steps)) = bytes.split_first() else { return };
    let protocol = [HubProtocol::Json, HubProtocol::MessagePack][usize::from(protocol % 2)];
    let (mut peer, mut steps) = (Peer::new(protocol), Steps(steps));
    while let Some(step) = steps.byte() {
        peer.take(step, &mut steps);
        let kept = peer.shard.kept_for_resumes();
        assert!(kept <= OVERRUN * REPLAY + LONGEST, "{kept} bytes are kept");
    }
    peer.leave();
}

/// What is left of the input.
struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A small number, or any.
    fn number(&mut self) -> i64 {
        match self.byte() {
            Some(small @ ..0x80) => i64::from(small),
            Some(_) => {
                let mut any = [0; 8];
                let bytes = self.bytes(8);
                any[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(any)
            }
            None => 0,
        }
    }
}

/// The client, and the shard that it is on.
struct Peer {
    shard: Shard,
    protocol: HubProtocol,
    id: ConnectionId,
    now: Millis,
    transport: Option<TransportKey>,
    calls: Vec<Slot>,
    /// Messages that were said at most, by the hub and by the client.
    said: u64,
    heard: u64,
    /// It has come by another transport and said no Sequence there.
    awaits_sequence: bool,
    /// It has said bytes of any kind, or what was not read: what the gateway has received is not known from then on.
    is_beyond_us: bool,
    /// What it was sent since it last came, in bytes.
    sent: usize,
    /// Why it was ended.
    end: Option<(CloseCause, String)>,
}

fn hub() -> HubName {
    HubName::parse("chat").expect("a name")
}

pub(super) fn settings() -> Settings {
    Settings {
        hubs: BTreeMap::new(),
        other_hubs: HubSettings { mode: Mode::Serverless, filters: Vec::new(), messages_per_second: 0 },
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
            departed_bytes: 4_000,
            departed_calls: 2,
            held: 5_000,
            replay: REPLAY,
            server_message: 1_000,
            mode_switch_closes: 8,
            groups_per_connection: 3,
            user_memberships: 10,
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

/// What happens.
impl Peer {
    fn new(protocol: HubProtocol) -> Peer {
        let at = ShardAddress { node: NodeId(1), shard: ShardIndex(0) };
        let directory = Arc::new(Directory::new(HashSeed::fixed()));
        let halves = BTreeMap::new().into_iter().collect();
        let shard = Shard::new(Neighbours::new(at, 1), Arc::new(settings()), directory, halves, HashSeed::fixed());
        let (id, transport) = (ConnectionId::new(at, [7; 12]), shard.next_transport());
        let mut peer = Peer {
            shard,
            protocol,
            id,
            now: Millis(0),
            transport: Some(transport),
            calls: Vec::new(),
            said: 0,
            heard: 0,
            awaits_sequence: false,
            is_beyond_us: false,
            sent: 0,
            end: None,
        };
        let identity = Identity {
            user_id: Some(UserId::new("ann")),
            claims: Default::default(),
            query: "".into(),
            headers: Default::default(),
            remote_address: "192.0.2.1".into(),
            groups: Vec::new(),
        };
        let (times, reconnect) = (ClientTimes::default(), Reconnect::Stateful);
        let client = NewClient {
            hub: hub(),
            id,
            token: None,
            transport: Transport::WebSockets,
            identity,
            times,
            reconnect,
            family: Family::Core,
        };
        peer.feed(Input::ClientOpened { transport, client: Box::new(client) });
        peer.says(format!("{{\"protocol\":\"{}\",\"version\":2}}\x1e", protocol.name()).as_bytes());
        peer.answer();
        peer
    }

    fn take(&mut self, step: u8, steps: &mut Steps<'_>) {
        match step % 11 {
            0 => self.calls(usize::from(steps.byte().unwrap_or(0))),
            1 => self.acknowledges(steps.number()),
            2 => self.goes_on_with(steps.number()),
            3 => self.hub_says(16 * usize::from(steps.byte().unwrap_or(0))),
            4 => self.is_cut(),
            5 => self.resumes(),
            6 => self.pass(Millis(100 * u64::from(steps.byte().unwrap_or(0)))),
            7 => {
                let count = usize::from(steps.byte().unwrap_or(0));
                self.is_beyond_us = true;
                self.says(steps.bytes(count));
            }
            8 => self.answer(),
            9 => self.somebody_else_comes(),
            _ => (0..20).for_each(|_| self.hub_says(0)),
        }
    }

    fn calls(&mut self, padding: usize) {
        let arguments = format!("[\"{}\"]", "x".repeat(padding));
        let call = Invocation {
            headers: Vec::new(),
            invocation_id: Some("1".into()),
            target: "call".into(),
            arguments: PayloadRef::Json(&arguments),
            stream_ids: Vec::new(),
        };
        self.heard += 1;
        self.says_message(&HubMessage::Invocation(call));
    }

    fn acknowledges(&mut self, number: i64) {
        let is_heard = self.is_understood() && !self.awaits_sequence;
        let cannot_be = u64::try_from(number).map_or(true, |number| number > self.said);
        self.says_message(&HubMessage::Ack { sequence_id: number });
        if is_heard && !self.is_beyond_us && cannot_be {
            self.is_ended_by_name(number);
        }
    }

    fn goes_on_with(&mut self, number: i64) {
        let is_heard = self.is_understood();
        let cannot_be = !self.awaits_sequence
            || u64::try_from(number).map_or(true, |number| number == 0 || number > self.heard + 1);
        let is_expected = std::mem::take(&mut self.awaits_sequence);
        self.says_message(&HubMessage::Sequence { sequence_id: number });
        if is_heard && !self.is_beyond_us && cannot_be {
            // One that comes at the wrong time is refused whatever its number is.
            match is_expected {
                true => self.is_ended_by_name(number),
                false => assert!(self.end.is_some(), "an unexpected Sequence ends the client"),
            }
        }
    }

    /// Whether it is connected, and it is known what the gateway has received.
    fn is_understood(&self) -> bool {
        self.transport.is_some() && self.end.is_none() && !self.is_beyond_us
    }

    fn is_ended_by_name(&self, number: i64) {
        let Some((cause, detail)) = &self.end else { panic!("it goes on after {number}, which cannot be") };
        assert_eq!(*cause, CloseCause::BadRequest);
        assert!(detail.contains(&format!("message {number},")), "{detail} does not name {number}");
    }

    fn hub_says(&mut self, padding: usize) {
        let text = JsonText::parse(format!("[\"{}\"]", "x".repeat(padding))).expect("JSON");
        let message = Outgoing::call("said".into(), Payload::Json(text));
        let action = Action::Send { to: Target::Connection(self.id), message, except: Default::default() };
        self.said += 1;
        let ticket = Ticket::new(self.said);
        self.feed(Input::Submit { hub: hub(), origin: Origin::Rest, actions: vec![action], ticket });
    }

    fn answer(&mut self) {
        if let Some(client) = self.calls.pop() {
            self.said += 1;
            let answer = UpstreamAnswer { result: Ok(None), actions: Vec::new() };
            self.feed(Input::UpstreamAnswered { client, answer });
        }
    }

    fn is_cut(&mut self) {
        if let Some(transport) = self.transport.take() {
            self.feed(Input::ClientGone { transport, cause: CloseCause::TransportLost });
        }
    }

    /// It may be connected still.
    fn resumes(&mut self) {
        let may = self.shard.may_resume(self.id, &hub(), Some(&UserId::new("ann")), self.now);
        if may.is_ok() {
            assert!(self.end.is_none(), "nobody goes on with a client that was ended");
            let transport = self.shard.next_transport();
            self.sent = 0;
            self.feed(Input::ClientResumed { transport, client: ResumedClient { id: self.id, expiry: None } });
            assert!(self.sent <= MOST_AT_ONCE, "{} bytes are sent to a client that comes back", self.sent);
            (self.transport, self.awaits_sequence) = (Some(transport), true);
        }
    }

    fn somebody_else_comes(&self) {
        for user in [None, Some(&UserId::new("bob"))] {
            let refusal = self.shard.may_resume(self.id, &hub(), user, self.now).expect_err("it is another's");
            assert!(matches!(refusal, ResumeRefusal::OtherUser | ResumeRefusal::Unknown | ResumeRefusal::NotStateful));
        }
    }

    fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Shard::tick_period()).min(end);
            self.feed(Input::Tick);
        }
    }

    /// It is gone for good, and nothing stays.
    fn leave(&mut self) {
        self.is_cut();
        self.pass(Millis(31_000));
        for _ in 0..10 {
            while !self.calls.is_empty() {
                self.answer();
            }
            self.pass(Millis(1_000));
        }
        assert_eq!((self.shard.kept_for_resumes(), self.shard.clients()), (0, 0), "bytes that are kept, clients");
    }
}

/// The shard.
impl Peer {
    fn says_message(&mut self, message: &HubMessage<'_>) {
        let mut bytes = Vec::new();
        self.protocol.write(message, &mut bytes);
        self.says(&bytes);
    }

    /// What is not taken is said in vain.
    fn says(&mut self, mut bytes: &[u8]) {
        if let Some(transport) = self.transport {
            self.feed(Input::ClientData { transport, bytes: &mut bytes, most: usize::MAX });
            self.is_beyond_us |= !bytes.is_empty();
        }
    }

    fn feed(&mut self, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        self.shard.handle(input, self.now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { frame, .. } => self.sent += frame.len(),
                Effect::Call { client, event, .. } => {
                    let has_answer = !matches!(event, UpstreamEvent::Stream(_));
                    self.calls.extend(has_answer.then_some(client));
                }
                Effect::Finish { transport, cause, detail, .. } => {
                    self.end = Some((cause, detail));
                    self.transport = None;
                    self.feed(Input::ClientGone { transport, cause });
                }
                Effect::HearLastWords(transport) => self.feed(Input::SaidLastWords(transport)),
                Effect::Sever(transport) if self.transport == Some(transport) => self.transport = None,
                _ => {}
            }
        }
    }
}
