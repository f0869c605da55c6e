//! What the links carry, and what the shard wants done.

use hubgate_core::event::UpstreamEvent;
use hubgate_core::filter::{Direction, Subject};
use hubgate_core::id::UserId;
use hubgate_core::{CloseCause, Effect, Input, ResumeRefusal, ResumedClient, Slot, TransportKey};
use hubgate_wire::service::{self, ServiceMessage};
use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::{Decoder, Event, Frame};

use super::{Asked, GRACE, Hub, Noticed, World, hub_name};
use crate::naive::State;
use crate::wire::{number, number_in, take_messages};

/// One WebSocket, as the gateway's end has it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) decoder: Decoder,
    /// What came of the client and was not taken.
    pub(super) content: Vec<u8>,
    /// What was taken and is no whole message.
    pub(super) partial: Vec<u8>,
    /// On its way to the client; nobody gets it once the link is cut.
    pub(super) down: Vec<u8>,
    pub(super) is_cut: bool,
    /// What the client had sent before the cut and still comes.
    pub(super) late: Vec<u8>,
    pub(super) is_paused: bool,
    /// It ends with this once all has left.
    pub(super) finishes: Option<CloseCause>,
}

/// What the links carry.
impl World {
    /// Passes on so many bytes at most of what the client has said; how many there were.
    pub(crate) fn flow_up(&mut self, most: usize) -> usize {
        let Some(link) = self.client.link else { return 0 };
        let passes = most.min(self.client.outbox.len());
        let bytes: Vec<u8> = self.client.outbox.drain(..passes).collect();
        self.arrives(link, bytes);
        passes
    }

    /// The same of what the gateway has said.
    pub(crate) fn flow_down(&mut self, most: usize) -> usize {
        let Some(transport) = self.client.link else { return 0 };
        let Some(link) = self.links.get_mut(&transport) else { return 0 };
        let passes = most.min(link.down.len());
        let bytes: Vec<u8> = link.down.drain(..passes).collect();
        let finished = link.finishes.filter(|_| link.down.is_empty());
        self.client.reads(&bytes, self.now);
        if let Some(cause) = finished {
            self.end(transport, cause);
        }
        passes
    }

    /// Both ends read and write until nothing is on its way.
    pub(crate) fn flow(&mut self) {
        while self.flow_up(usize::MAX) + self.flow_down(usize::MAX) > 0 {}
    }

    /// The client's link is cut.
    pub(crate) fn cut(&mut self, noticed: Noticed) {
        let Some(transport) = self.client.link else { return };
        if let Some(link) = self.links.get_mut(&transport) {
            link.is_cut = true;
            link.down.clear();
            link.late = std::mem::take(&mut self.client.outbox);
        }
        self.client.is_cut();
        if noticed == Noticed::AtOnce {
            self.end(transport, CloseCause::TransportLost);
        }
    }

    /// So much of what was said before a cut comes now, or all of it and the end of its link.
    pub(crate) fn late_bytes_come(&mut self, most: usize) {
        let Some((&transport, link)) = self.links.iter_mut().find(|(_, link)| link.is_cut) else { return };
        let passes = most.min(link.late.len());
        let bytes = link.late.drain(..passes).collect();
        let is_over = link.late.is_empty();
        self.arrives(transport, bytes);
        if is_over && self.links.contains_key(&transport) {
            self.end(transport, CloseCause::TransportLost);
        }
    }

    /// The client comes back if it may.
    pub(crate) fn resume(&mut self) {
        if self.client.link.is_some() || self.client.state == State::Gone {
            return;
        }
        match self.shard.may_resume(self.id, &hub_name(), Some(&UserId::new("ann")), self.now) {
            Ok(()) => {}
            Err(ResumeRefusal::TooOften) => return,
            Err(refusal) => {
                let is_late = self.waits_since.is_some_and(|since| self.now >= since + GRACE);
                assert!(self.is_dismissed || is_late, "{refusal:?}, and it is not late");
                self.client.state = State::Gone;
                return;
            }
        }
        let transport = self.shard.next_transport();
        self.links.insert(transport, Link::new());
        (self.attached, self.waits_since) = (Some(transport), None);
        self.received.resumes();
        self.client.resumes(transport);
        self.feed(Input::ClientResumed { transport, client: ResumedClient { id: self.id, expiry: None } });
    }

    /// The gateway hears of the end of a link.
    fn end(&mut self, transport: TransportKey, cause: CloseCause) {
        self.links.remove(&transport);
        self.is_off(transport);
        self.feed(Input::ClientGone { transport, cause });
    }

    fn is_off(&mut self, transport: TransportKey) {
        if self.attached == Some(transport) {
            (self.attached, self.waits_since) = (None, Some(self.now));
        }
    }

    /// Bytes came through a link.
    fn arrives(&mut self, transport: TransportKey, mut bytes: Vec<u8>) {
        let mut input = &mut bytes[..];
        while let Some(link) = self.links.get_mut(&transport)
            && let Some(event) = link.decoder.decode(&mut input).expect("clients frame what they say")
        {
            match event {
                Event::Data { bytes, .. } => link.content.extend_from_slice(bytes),
                Event::Ping(_) | Event::Pong => {
                    self.feed(Input::ClientData { transport, bytes: &mut &[][..], most: usize::MAX });
                }
                Event::Close(_) => panic!("clients say Close in another way here"),
            }
            self.offer(transport);
        }
    }

    pub(super) fn offer_all(&mut self) {
        let transports: Vec<_> = self.links.keys().copied().collect();
        transports.into_iter().for_each(|transport| self.offer(transport));
    }

    /// What a link has brought is offered to the shard.
    fn offer(&mut self, transport: TransportKey) {
        while let Some(link) = self.links.get_mut(&transport)
            && !link.is_paused
            && !link.content.is_empty()
        {
            let content = std::mem::take(&mut link.content);
            let (mut rest, mut effects) = (&content[..], Vec::new());
            let input = Input::ClientData { transport, bytes: &mut rest, most: usize::MAX };
            self.shard.handle(input, self.now, &mut effects);
            let taken = content.len() - rest.len();
            link.content = rest.to_vec();
            if self.attached == Some(transport) {
                link.partial.extend_from_slice(&content[..taken]);
                for message in take_messages(self.protocol, &mut link.partial) {
                    self.received.hears(&self.protocol.parse(&message).expect("clients say what can be read"));
                }
            }
            effects.into_iter().for_each(|effect| self.perform(effect));
            if taken == 0 {
                return;
            }
        }
    }
}

impl Link {
    pub(super) fn new() -> Link {
        Link {
            decoder: Decoder::new(10_000),
            content: Vec::new(),
            partial: Vec::new(),
            down: Vec::new(),
            is_cut: false,
            late: Vec::new(),
            is_paused: false,
            finishes: None,
        }
    }
}

/// What the shard wants done.
impl World {
    pub(super) fn feed(&mut self, input: Input<'_, '_>) {
        let mut effects = Vec::new();
        self.shard.handle(input, self.now, &mut effects);
        effects.into_iter().for_each(|effect| self.perform(effect));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, frame } => self.send(to, &frame),
            Effect::Deliver { to, frame } => to.into_iter().for_each(|to| self.send(to, &frame)),
            Effect::Finish { transport, code, cause, .. } => {
                self.send(transport, &Frame::close(code));
                let link = self.links.get_mut(&transport).expect("it is not over");
                link.finishes = Some(cause);
                if link.is_cut {
                    self.end(transport, cause);
                }
            }
            Effect::Sever(transport) => {
                self.links.remove(&transport);
                self.is_off(transport);
                if self.client.link == Some(transport) {
                    self.client.is_cut();
                }
            }
            Effect::Probe(transport) => self.send(transport, &Frame::ping()),
            Effect::PauseReading(transport) => self.pause(transport, true),
            Effect::ResumeReading(transport) => {
                self.pause(transport, false);
                self.offer(transport);
            }
            Effect::HearLastWords(transport) => self.feed(Input::SaidLastWords(transport)),
            Effect::Inspect { number, inspection } => {
                let direction = match inspection.subject {
                    Subject::Client(_) => Direction::Inbound,
                    Subject::Delivery { .. } => Direction::Outbound,
                };
                self.inspections.push_back((number, direction));
            }
            Effect::Call { client, event, .. } => self.plugin_hears(client, event),
            Effect::ToServer { messages, .. } => self.server_hears(&messages),
            Effect::Answered(_) | Effect::EndedWaiting { .. } | Effect::Forgotten(_) | Effect::WakeAt(_) => {}
            other => panic!("nothing here leads to {other:?}"),
        }
    }

    fn pause(&mut self, transport: TransportKey, is_paused: bool) {
        if let Some(link) = self.links.get_mut(&transport) {
            link.is_paused = is_paused;
        }
    }

    fn send(&mut self, to: TransportKey, frame: &Frame) {
        let link = self.links.get_mut(&to).unwrap_or_else(|| panic!("{to:?} is over, and something is sent by it"));
        let mut payload = frame.payload().to_vec();
        if matches!(frame.as_bytes()[0] & 0x0f, 1 | 2) && !payload.ends_with(b"{}\x1e") {
            for message in take_messages(self.protocol, &mut payload) {
                if let HubMessage::Ack { sequence_id } = self.protocol.parse(&message).expect("it can be read") {
                    let received = self.received.last;
                    assert!(
                        sequence_id as u64 <= received,
                        "{sequence_id} is acknowledged, and {received} were received"
                    );
                }
            }
        }
        if !link.is_cut {
            link.down.extend_from_slice(frame.as_bytes());
        }
    }

    fn plugin_hears(&mut self, client: Slot, event: UpstreamEvent) {
        if let UpstreamEvent::Invocation { arguments, .. } = &event {
            let number = number_in(&arguments.borrow().to_json());
            assert_eq!(number, self.heard, "the next number comes");
            self.heard += 1;
        }
        let Hub::Plugin(calls) = &mut self.hub else { panic!("a hub server answers the client") };
        calls.push_back((client, event));
    }

    fn server_hears(&mut self, messages: &[u8]) {
        let Hub::Server { told, inbox, calls, .. } = &mut self.hub else { panic!("a plugin answers the client") };
        told.extend_from_slice(messages);
        let (protocol, bytes) = (self.protocol, std::mem::take(told));
        let mut input = &bytes[..];
        while let Some(body) = service::split_message(&mut input).expect("a length") {
            let ServiceMessage::ConnectionData(data) = service::parse(body).expect("a message") else { continue };
            if data.payload.starts_with(b"{\"protocol\"") {
                continue;
            }
            inbox.extend_from_slice(data.payload);
            for message in take_messages(protocol, inbox) {
                match protocol.parse(&message).expect("clients say what can be read") {
                    HubMessage::Ping => {}
                    HubMessage::Close { .. } => calls.push_back(Asked::Goodbye),
                    HubMessage::Ack { .. } | HubMessage::Sequence { .. } => panic!("these are for the gateway alone"),
                    message => {
                        assert_eq!(number(&message), self.heard, "the next number comes");
                        self.heard += 1;
                        if let HubMessage::Invocation(call) = message {
                            calls.extend(call.invocation_id.map(|id| Asked::Answer(id.into_owned())));
                        }
                    }
                }
            }
        }
        *told = input.to_vec();
    }
}
