//! How official clients carry stateful reconnect out, as one would write it first.
//!
//! Source: ASP.NET Core SignalR, "HubProtocol.md", "Ack Message" and "Sequence Message", and `MessageBuffer` of its JavaScript client.

use std::collections::VecDeque;

use hubgate_core::TransportKey;
use hubgate_core::time::Millis;
use hubgate_wire::signalr::{HubMessage, HubProtocol};

use crate::wire::{arguments, call, encoded, masked, number, take_frame, take_messages};

const ACK_DELAY: Millis = Millis(1_000);

/// What comes from the other side, counted.
#[derive(Debug)]
pub(crate) struct Receiver {
    who: Who,
    next: u64,
    /// The number of the last message that was new.
    pub(crate) last: u64,
    awaits_sequence: bool,
}

/// Whose receiver it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// It ends the connection when it is to go on with a message that it does not expect, though it may have had the ones before: if it has
    /// acknowledged them while they were sent again, and the link was cut before all of them had come.
    OfficialClient,
    Gateway,
}

impl Receiver {
    pub(crate) fn new(who: Who) -> Receiver {
        Receiver { who, next: 1, last: 0, awaits_sequence: false }
    }

    /// The other side comes by another link, or is come to.
    pub(crate) fn resumes(&mut self) {
        self.awaits_sequence = true;
    }

    /// Whether a message is to be looked at.
    pub(crate) fn hears(&mut self, message: &HubMessage<'_>) -> bool {
        match message {
            HubMessage::Sequence { sequence_id } => {
                let first = u64::try_from(*sequence_id).expect("numbers begin with 1");
                assert!(self.awaits_sequence, "a Sequence comes first after a reconnect, and once");
                let expected = match self.who {
                    Who::OfficialClient => self.next,
                    Who::Gateway => self.last + 1,
                };
                assert!((1..=expected).contains(&first), "{:?} goes on with {first} in place of {expected}", self.who);
                (self.next, self.awaits_sequence) = (first, false);
                false
            }
            _ if self.awaits_sequence => false,
            HubMessage::Ping | HubMessage::Close { .. } | HubMessage::Ack { .. } => true,
            _ => {
                let number = self.next;
                self.next += 1;
                let is_new = number > self.last;
                self.last = self.last.max(number);
                is_new
            }
        }
    }
}

/// What a client has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Here,
    /// It has said goodbye, or was told so.
    Gone,
}

/// The client.
#[derive(Debug)]
pub(crate) struct Client {
    protocol: HubProtocol,
    pub(crate) state: State,
    /// Its link, while it has one.
    pub(crate) link: Option<TransportKey>,
    /// Numbers that it has said, and that the hub has said to it.
    pub(crate) said: u64,
    pub(crate) seen: u64,
    calls: u64,
    sent: u64,
    pub(crate) kept: VecDeque<(u64, Vec<u8>)>,
    receiver: Receiver,
    ack_due: Option<Millis>,
    /// What has come through the link and is no whole frame.
    inbox: Vec<u8>,
    /// What it wants to leave by the link.
    pub(crate) outbox: Vec<u8>,
}

impl Client {
    /// One that has shaken hands.
    pub(crate) fn new(protocol: HubProtocol, link: TransportKey) -> Client {
        Client {
            protocol,
            state: State::Here,
            link: Some(link),
            said: 0,
            seen: 0,
            calls: 0,
            sent: 0,
            kept: VecDeque::new(),
            receiver: Receiver::new(Who::OfficialClient),
            ack_due: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Says its next number.
    pub(crate) fn says(&mut self, is_call: bool, padding: usize) {
        self.calls += u64::from(is_call);
        let id = is_call.then(|| self.calls.to_string());
        let message = call(self.protocol, "hear", id.as_deref(), &arguments(self.said, padding));
        self.said += 1;
        self.sent += 1;
        self.kept.push_back((self.sent, message.clone()));
        self.writes(&message);
    }

    pub(crate) fn says_goodbye(&mut self) {
        self.writes_message(&HubMessage::Close { error: None, allow_reconnect: false });
        self.state = State::Gone;
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Millis) {
        if self.link.is_some() && self.ack_due.is_some_and(|due| due <= now) {
            self.ack_due = None;
            self.acknowledges();
        }
    }

    /// Says that it has got all that came.
    pub(crate) fn acknowledges(&mut self) {
        self.writes_message(&HubMessage::Ack { sequence_id: self.receiver.last as i64 });
    }

    /// Asks for an answer, so that it is not taken for gone.
    pub(crate) fn pings(&mut self) {
        self.writes_message(&HubMessage::Ping);
    }

    /// Its link is cut: what was on its way is lost.
    pub(crate) fn is_cut(&mut self) {
        self.link = None;
        self.inbox.clear();
        self.outbox.clear();
    }

    /// It goes on by another link.
    pub(crate) fn resumes(&mut self, link: TransportKey) {
        self.is_cut();
        self.link = Some(link);
        self.receiver.resumes();
        let first = self.kept.front().map_or(self.sent + 1, |(number, _)| *number);
        self.writes_message(&HubMessage::Sequence { sequence_id: first as i64 });
        let kept: Vec<_> = self.kept.iter().map(|(_, message)| message.clone()).collect();
        kept.iter().for_each(|message| self.writes(message));
    }

    /// Bytes came through its link.
    pub(crate) fn reads(&mut self, bytes: &[u8], now: Millis) {
        self.inbox.extend_from_slice(bytes);
        while let Some((opcode, payload)) = take_frame(&mut self.inbox) {
            match opcode {
                1 | 2 => self.hears_all(payload, now),
                8 => self.state = State::Gone,
                9 => self.writes_frame(10, &payload),
                other => panic!("the gateway sends no frame of the kind {other}"),
            }
        }
    }

    fn hears_all(&mut self, mut payload: Vec<u8>, now: Millis) {
        for message in take_messages(self.protocol, &mut payload) {
            let message = self.protocol.parse(&message).expect("the gateway sends what can be read");
            if self.receiver.hears(&message) {
                self.hears(&message, now);
            }
        }
        assert!(payload.is_empty(), "a WebSocket message is whole hub messages");
    }

    /// A message that did not come before.
    fn hears(&mut self, message: &HubMessage<'_>, now: Millis) {
        match message {
            HubMessage::Ping => {}
            HubMessage::Close { .. } => self.state = State::Gone,
            HubMessage::Ack { sequence_id } => {
                let number = u64::try_from(*sequence_id).expect("numbers begin with 1");
                assert!(number <= self.sent, "{number} is acknowledged, and {} were sent", self.sent);
                self.kept.retain(|(kept, _)| *kept > number);
            }
            message => {
                assert_eq!(number(message), self.seen, "the next number comes");
                self.seen += 1;
                self.ack_due.get_or_insert(now + ACK_DELAY);
            }
        }
    }

    fn writes_message(&mut self, message: &HubMessage<'_>) {
        self.writes(&encoded(self.protocol, message));
    }

    fn writes(&mut self, message: &[u8]) {
        let opcode = if self.protocol == HubProtocol::Json { 1 } else { 2 };
        self.writes_frame(opcode, message);
    }

    fn writes_frame(&mut self, opcode: u8, payload: &[u8]) {
        if self.link.is_some() {
            self.outbox.extend_from_slice(&masked(opcode, payload));
        }
    }
}
