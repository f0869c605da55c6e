//! The connections of one worker thread and what they do to each other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use foldhash::fast::FixedState;
use hubgate_wire::negotiate::Transport;
use hubgate_wire::signalr::handshake::{self, HandshakeRequest};
use hubgate_wire::signalr::{HubMessage, HubProtocol};
use hubgate_wire::websocket::{DataKind, Frame};
use indexmap::IndexMap;
use slab::Slab;

use crate::calls::{CallQueue, DepartedCalls};
use crate::client_connection::{ClientConnection, HubIndex, Identity, Leave, NewClient, Phase, TransportState};
use crate::effect::{CloseCause, Effect};
use crate::event::{ConnectionFacts, HubAnswer};
use crate::failure;
use crate::filter::HalvesByPlugin;
use crate::hash::{FixedMap, HashSeed};
use crate::hub_status::ShardStatus;
use crate::hubs::{HubSource, Hubs};
use crate::id::{ConnectionId, HubName, ServerConnectionId, ShardIndex};
use crate::input::Input;
use crate::inspection::Inspections;
use crate::mode::ClientKind;
use crate::pending_acks::PendingAcks;
use crate::presence::Presence;
use crate::rate::{HeardOfClient, Rates};
use crate::reach::SendLog;
use crate::read_holds::{Hold, ReadHolds};
use crate::registry::{Clients, Hub};
use crate::server_connection::ServerConnection;
use crate::settings::Settings;
use crate::time::Millis;
use crate::timer_wheel::TimerWheel;

/// A client's place in its shard. Free for another client once the core has heard that its transport is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// The connections of one worker thread. [`Shard::handle`] is its only way in, and the effects are its only way out.
#[derive(Debug)]
pub struct Shard {
    pub(crate) index: ShardIndex,
    /// How many shards the gateway has.
    pub(crate) shards: u16,
    pub(crate) settings: Arc<Settings>,
    pub(crate) halves: HalvesByPlugin,
    pub(crate) send_log: Option<Arc<dyn SendLog>>,
    pub(crate) hubs: Hubs,
    pub(crate) clients: Slab<ClientConnection>,
    pub(crate) slots: FixedMap<ConnectionId, Slot>,
    /// The hub servers that are connected here.
    pub(crate) servers: IndexMap<ServerConnectionId, ServerConnection, FixedState>,
    pub(crate) next_server: u32,
    /// Hub servers that are not read because too many of their acks wait, in number.
    pub(crate) crowded_servers: usize,
    /// The clients of each server connection, whatever shard that is on.
    pub(crate) clients_of_servers: FixedMap<ServerConnectionId, Clients>,
    pub(crate) acks: PendingAcks,
    pub(crate) inspections: Inspections,
    pub(crate) departed: DepartedCalls,
    /// Clients that do not fit their hub's mode any more, and wait for their end.
    pub(crate) misfits: VecDeque<(Slot, ConnectionId)>,
    pub(crate) rates: Rates,
    /// When clients were first sent away, once the gateway stops.
    pub(crate) drain_began: Option<Millis>,
    pub(crate) seed: HashSeed,
    pub(crate) wheel: TimerWheel,
    /// By protocol.
    pub(crate) pings: [Frame; HubProtocol::COUNT],
}

impl Shard {
    /// `presence` is that of all shards of the gateway; `halves` those of the plugins that are there. Shards that are given the
    /// same seed and the same inputs do the same.
    pub fn new(
        index: ShardIndex,
        shards: u16,
        settings: Arc<Settings>,
        presence: Arc<Presence>,
        halves: HalvesByPlugin,
        seed: HashSeed,
    ) -> Shard {
        Shard {
            index,
            shards,
            settings,
            halves,
            send_log: None,
            hubs: Hubs::new(presence, seed.clone()),
            clients: Slab::new(),
            slots: FixedMap::default(),
            servers: IndexMap::default(),
            next_server: 0,
            crowded_servers: 0,
            clients_of_servers: FixedMap::default(),
            acks: PendingAcks::default(),
            inspections: Inspections::default(),
            departed: DepartedCalls::default(),
            misfits: VecDeque::new(),
            rates: Rates::default(),
            drain_began: None,
            seed,
            wheel: TimerWheel::new(),
            pings: HubProtocol::ALL.map(|protocol| protocol.frame(&HubMessage::Ping)),
        }
    }

    /// Tells this log of all sends from now on.
    pub fn log_sends(&mut self, log: Arc<dyn SendLog>) {
        self.send_log = Some(log);
    }

    /// Does what an input means; what is to be done about it is appended to `effects`.
    pub fn handle(&mut self, input: Input<'_, '_>, now: Millis, effects: &mut Vec<Effect>) {
        match input {
            Input::ClientOpened { slot, client } => self.client_opened(slot, *client, now),
            Input::ClientData { slot, bytes, most } => self.client_data(slot, bytes, most, now, effects),
            Input::TokenRenewed { slot, expiry } => self.token_renewed(slot, expiry),
            Input::SaidLastWords(slot) => self.said_last_words(slot, now, effects),
            Input::ClientGone { slot, cause } => self.client_gone(slot, cause, effects),
            Input::ServerOpened { id, server } => self.server_opened(id, server, now),
            Input::ServerData { id, bytes, most } => self.server_data(id, bytes, most, now, effects),
            Input::ServerCongested { id, is_congested } => self.server_congested(id, is_congested, now, effects),
            Input::ServerGone(id) => self.server_gone(id, now, effects),
            Input::UpstreamAnswered { slot, answer } => self.upstream_answered(slot, answer, now, effects),
            Input::Inspected { number, inspected } => self.inspected(number, inspected, now, effects),
            Input::InspectionWaits(number) => self.inspection_waits(number, effects),
            Input::Order { hub, order } => self.obey(&hub, order, now, effects),
            Input::Submit { hub, origin, actions, ticket } => {
                self.send_to_hub(&hub, origin, actions, ticket, now, effects);
            }
            Input::SubmitByFilter { hub, actions } => self.act_for_filter(&hub, actions, now, effects),
            Input::JoinUser { hub, user, group, ttl_seconds, ticket } => {
                let answer = HubAnswer::UserJoined(self.join_user(&hub, (user, group), ttl_seconds, now, effects));
                effects.push(Effect::Answered { ticket, answer });
            }
            Input::Ask { hub, question, ticket } => {
                let answer = self.answer(&hub, question, now);
                effects.push(Effect::Answered { ticket, answer });
            }
            Input::Tick => self.tick(now, effects),
            Input::Configure { settings, halves } => self.configure(settings, halves),
            Input::Drain { per_second } => self.drain(per_second, now, effects),
            Input::DrainNow => self.drain_now(now, effects),
        }
    }

    /// The slot of the client that opens next.
    pub fn next_slot(&self) -> Slot {
        Slot(self.clients.vacant_key() as u32)
    }

    /// The id of the hub server's connection that opens next.
    pub fn next_server(&self) -> ServerConnectionId {
        ServerConnectionId { shard: self.index, number: self.next_server }
    }

    /// A client's transport is open; its handshake request comes next.
    fn client_opened(&mut self, slot: Slot, client: NewClient, now: Millis) {
        let hub = self.occupy_hub(&client.hub);
        let is_server_there = self.hub(hub).presence.servers.is_any_there();
        let kind = self.settings.hub(&client.hub).mode.of_new_client(is_server_there);
        let deadline = now + client.times.handshake.unwrap_or(self.settings.timeouts.handshake);
        let number = self.clients.insert(ClientConnection {
            hub,
            kind,
            id: client.id,
            token: client.token,
            transport: client.transport,
            protocol: HubProtocol::Json,
            expiry: client.times.expiry,
            last_heard: now,
            last_sent: now,
            last_probed: now,
            due: None,
            phase: Phase::Handshaking { identity: Box::new(client.identity), deadline },
            holds: ReadHolds::default(),
            is_inspected: false,
            held_back: None,
            unread: BytesMut::new(),
            calls: CallQueue::default(),
            groups: Vec::new(),
            proxy: None,
            leave: Leave::No,
            heard: HeardOfClient::default(),
        });
        assert_eq!(number, slot.0 as usize, "a client opens in the slot that was next");
        self.schedule(slot, deadline);
    }

    fn client_data(&mut self, slot: Slot, bytes: &mut &[u8], most: usize, now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        client.last_heard = now;
        let (hub, came) = (client.hub, bytes.len());
        let (mut taken, mut messages) = (*bytes, 0);
        while !taken.is_empty() && messages < most && !self.waits_for_turn(slot, now, effects) {
            messages += 1;
            self.client_message(slot, &mut taken, now, effects);
        }
        self.hub_mut(hub).counters.bytes_in += (came - taken.len()) as u64;
        *bytes = taken;
    }

    /// Takes a message, or what is there of it, off the front of what a client says.
    fn client_message(&mut self, slot: Slot, bytes: &mut &[u8], now: Millis, effects: &mut Vec<Effect>) {
        if let Some(proxy) = &self.clients[slot.0 as usize].proxy {
            if !self.is_filtered(slot) {
                let said = match self.has_rate(self.clients[slot.0 as usize].hub) {
                    true => proxy.split_message(bytes),
                    false => std::mem::take(bytes),
                };
                return self.client_says(slot, said, now, effects);
            }
            let begun = proxy.unfinished(bytes);
            if begun > 0 {
                // Its beginning is with the hub server already.
                let (begun, rest) = bytes.split_at(begun);
                *bytes = rest;
                return self.client_says(slot, begun, now, effects);
            }
        }
        let client = self.client(slot);
        if !client.is_parsing() {
            return self.keep_unread(slot, std::mem::take(bytes), effects);
        }
        let parsed = if client.unread.is_empty() {
            let message = client.split_message(bytes);
            message.map(|message| message.map(|message| self.message(slot, message, now, effects)))
        } else {
            let message = client.complete_message(bytes);
            message.map(|message| message.map(|message| self.message(slot, &message, now, effects)))
        };
        match parsed {
            Ok(Some(())) => {}
            Ok(None) => self.keep_unread(slot, std::mem::take(bytes), effects),
            Err(error) => {
                *bytes = &[];
                self.bad_request(slot, error.to_string(), effects);
            }
        }
    }

    /// A client's transport is gone; nothing is sent to `slot` from now on.
    fn client_gone(&mut self, slot: Slot, cause: CloseCause, effects: &mut Vec<Effect>) {
        if !matches!(self.client(slot).phase, Phase::Closed { .. }) {
            let reason = match cause {
                CloseCause::Normal => None,
                cause => Some(cause.name().to_owned()),
            };
            self.retire(slot, cause, reason, effects);
        }
        if let Phase::Closed { transport, .. } = &mut self.client(slot).phase {
            *transport = TransportState::Gone;
        }
        self.forget_if_over(slot, effects);
    }

    /// Whether no client is left, and upstream has heard of the end of all.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many clients are here, those among them of whose end upstream has not heard.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How long the owner may wait between two [`Input::Tick`]s.
    pub const fn tick_period() -> Millis {
        TimerWheel::period()
    }

    /// Time passed: meets the deadlines up to `now`.
    fn tick(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.tick_servers(now, effects);
        self.end_late_acks(now, effects);
        self.close_misfits(effects);
        self.tick_rates(now, effects);
        self.hubs.tick(now, &self.settings);
        for (slot, due) in self.wheel.expire(now) {
            // An entry whose client is gone or was rescheduled does not count.
            if self.clients.get(slot.0 as usize).is_some_and(|client| client.due == Some(due)) {
                self.check_deadlines(slot, now, effects);
            }
        }
    }

    /// The hubs that this shard knows.
    pub fn status(&self) -> ShardStatus {
        self.hubs.status(&self.settings)
    }

    fn message(&mut self, slot: Slot, message: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let limit = self.settings.limits.message;
        if message.len() > limit {
            return self.too_large(slot, effects);
        }
        match &self.client(slot).phase {
            Phase::Handshaking { .. } => self.handshake(slot, message, now, effects),
            Phase::Open { .. } => {
                self.heard(slot, 1, now);
                self.open_message(slot, message, now, effects);
            }
            Phase::Connecting { .. } | Phase::Closed { .. } => {}
        }
    }

    fn handshake(&mut self, slot: Slot, message: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let kind = self.client(slot).kind;
        let request = match HandshakeRequest::parse(message) {
            Ok(request) => request,
            Err(malformed) => {
                let error = failure::malformed_handshake(&malformed, self.settings.detailed_errors);
                return self.refuse(slot, CloseCause::HandshakeError, error, effects);
            }
        };
        let protocol = match kind {
            ClientKind::Serverless | ClientKind::Unserved => request.accept(),
            // Whether it speaks this version is the hub server's business.
            ClientKind::Proxied => request.protocol(),
        };
        let protocol = match protocol {
            Ok(protocol) => protocol,
            Err(refusal) => return self.refuse(slot, CloseCause::HandshakeError, refusal.to_string(), effects),
        };
        let is_text = self.client(slot).transport == Transport::ServerSentEvents;
        if is_text && protocol.data_kind() == DataKind::Binary {
            let error = failure::no_binary_transport(protocol);
            return self.refuse(slot, CloseCause::HandshakeError, error, effects);
        }
        match kind {
            ClientKind::Serverless => {
                self.register(slot, protocol, now);
                self.call_connected(slot, now, effects);
            }
            ClientKind::Unserved => {
                self.register(slot, protocol, now);
                self.accept(slot, now, effects);
            }
            ClientKind::Proxied => self.route_client(slot, protocol, message, now, effects),
        }
    }

    /// Others see the client from here on; whoever answers it decides whether it stays.
    pub(crate) fn register(&mut self, slot: Slot, protocol: HubProtocol, now: Millis) {
        let closed = Phase::Closed { facts: None, transport: TransportState::Ending };
        let client = self.client(slot);
        let Phase::Handshaking { identity, .. } = std::mem::replace(&mut client.phase, closed) else {
            unreachable!("only a handshaking client is registered");
        };
        let Identity { user_id, claims, query, headers, remote_address } = *identity;
        client.protocol = protocol;
        let (index, id, transport) = (client.hub, client.id, client.transport);
        let hub = self.hub(index).name.clone();
        let facts = Arc::new(ConnectionFacts { hub, id, user_id, protocol, claims, query, headers, remote_address });
        let hub = self.hub(index);
        hub.presence.client_entered();
        if let Some(user) = &facts.user_id
            && !hub.has_user(user)
        {
            hub.presence.users.entered(user, self.index);
        }
        self.hub_mut(index).add(slot, transport, facts.user_id.as_ref());
        let groups = match &facts.user_id {
            Some(user) => self.hubs.presence().memberships.groups_of(&facts.hub, user, now),
            None => Vec::new(),
        };
        self.slots.insert(id, slot);
        let client = self.client(slot);
        client.phase = Phase::Connecting { facts };
        client.hold_back();
        for group in groups {
            self.join_client(slot, &group);
        }
    }

    /// Answers the handshake of a client that the gateway itself serves.
    pub(crate) fn accept(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let frame = self.client(slot).protocol.handshake_frame(handshake::ACCEPTED);
        self.let_in(slot, frame, now, effects);
        self.release_hold(slot, Hold::Admission, now, effects);
    }

    /// Sends the answer to the handshake, and behind it what was held back.
    pub(crate) fn let_in(&mut self, slot: Slot, answer: Frame, now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let Phase::Connecting { facts } = &client.phase else {
            return;
        };
        client.phase = Phase::Open { facts: facts.clone() };
        client.last_sent = now;
        client.last_heard = now;
        let id = client.id;
        effects.push(Effect::Send { to: slot, frame: answer });
        self.say_what_was_held_back(slot, id, now, effects);
        if self.is_still(slot, id) {
            self.check_deadlines(slot, now, effects);
        }
    }

    /// Reads no more of the client until the hold is released.
    pub(crate) fn hold(&mut self, slot: Slot, hold: Hold, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        if !client.is_closed() && client.holds.add(hold) {
            effects.push(Effect::PauseReading(slot));
        }
    }

    /// Reads the client again, and parses on where it stopped, unless something else holds it.
    pub(crate) fn release_hold(&mut self, slot: Slot, hold: Hold, now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        if client.holds.remove(hold) && !client.is_closed() {
            // Its silence is not held against it: nobody listened.
            client.last_heard = now;
            effects.push(Effect::ResumeReading(slot));
        }
        self.parse_on(slot, now, effects);
    }

    /// Parses what is unread, as far as that may be parsed now.
    pub(crate) fn parse_on(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let mut unread = std::mem::take(&mut self.client(slot).unread);
        while !unread.is_empty() && self.client(slot).is_parsing() && !self.waits_for_turn(slot, now, effects) {
            let mut rest = &unread[..];
            match self.client(slot).split_message(&mut rest) {
                Ok(Some(message)) => self.message(slot, message, now, effects),
                Ok(None) => break,
                Err(error) => return self.bad_request(slot, error.to_string(), effects),
            }
            let parsed = unread.len() - rest.len();
            unread.advance(parsed);
        }
        if !unread.is_empty() && !self.client(slot).is_closed() {
            self.client(slot).unread = unread;
            self.check_unread(slot, effects);
        }
    }

    /// Keeps what cannot be parsed yet, within bounds.
    fn keep_unread(&mut self, slot: Slot, bytes: &[u8], effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        if client.is_closed() {
            return;
        }
        client.unread.extend_from_slice(bytes);
        self.check_unread(slot, effects);
    }

    fn check_unread(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let limit = self.settings.limits.message;
        let client = self.client(slot);
        let unread = client.unread_message();
        match client.phase {
            Phase::Handshaking { .. } if unread > handshake::LONGEST_REQUEST => {
                let malformed = handshake::MalformedHandshake::TooLong;
                let error = failure::malformed_handshake(&malformed, self.settings.detailed_errors);
                self.refuse(slot, CloseCause::HandshakeError, error, effects);
            }
            Phase::Open { .. } if client.is_parsing() && unread > limit => self.too_large(slot, effects),
            Phase::Connecting { .. } if unread > handshake::LONGEST_REQUEST => {
                self.hold(slot, Hold::Admission, effects);
            }
            Phase::Handshaking { .. } | Phase::Connecting { .. } | Phase::Open { .. } | Phase::Closed { .. } => {}
        }
    }

    pub(crate) fn client(&mut self, slot: Slot) -> &mut ClientConnection {
        &mut self.clients[slot.0 as usize]
    }

    pub(crate) fn hub(&self, index: HubIndex) -> &Hub {
        &self.hubs[index]
    }

    pub(crate) fn hub_mut(&mut self, index: HubIndex) -> &mut Hub {
        &mut self.hubs[index]
    }

    /// The hub, which begins when it is first asked for.
    pub(crate) fn hub_index(&mut self, name: &HubName) -> HubIndex {
        self.hubs.get(name, HubSource { settings: &self.settings, halves: &self.halves })
    }

    /// The hub, for something that stays.
    pub(crate) fn occupy_hub(&mut self, name: &HubName) -> HubIndex {
        self.hubs.occupy(name, HubSource { settings: &self.settings, halves: &self.halves })
    }
}
