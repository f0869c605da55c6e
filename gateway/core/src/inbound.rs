//! What clients say, on its way through the filters of their hub.

use hubgate_wire::signalr::{CompletionOutcome, HubMessage};

use crate::client_connection::{ClientConnection, Inspecting, Reading};
use crate::effect::{CloseCause, Effect};
use crate::failure;
use crate::filter::{Direction, FilterMessage, Inspected, Subject, Verdict};
use crate::id::ConnectionId;
use crate::inspection::Pending;
use crate::proxied::connection_data;
use crate::shard::{Closing, Shard, Slot};
use crate::time::Millis;

/// A client's message without what frames it.
pub(crate) type InboundMessage = Box<[u8]>;

impl Shard {
    /// A whole hub message of an open client.
    pub(crate) fn open_message(&mut self, slot: Slot, bytes: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let client = &self.clients[slot.0 as usize];
        let (index, protocol) = (client.hub, client.protocol);
        let hub = &mut self.hubs[index.0 as usize];
        hub.counters.messages_in += 1;
        let message = match protocol.parse(bytes) {
            Ok(message) => message,
            Err(malformed) => return self.bad_request(slot, malformed.to_string(), effects),
        };
        if hub.filters.look_at(Direction::Inbound)
            && hub.filters.want(Direction::Inbound, &message)
            && let Some(seen) = FilterMessage::of(&message)
            && let Some(facts) = client.facts().cloned()
        {
            let (filters, id) = (hub.filters.clone(), client.id);
            self.client(slot).inspecting = Inspecting::Yes;
            let pending = Pending::Inbound { slot, client: id, message: bytes.into() };
            return self.inspect(filters, Subject::Client(facts), seen, pending, effects);
        }
        self.take_message(slot, bytes, message, now, effects);
    }

    /// What a client says reaches who answers it.
    fn take_message(
        &mut self,
        slot: Slot,
        bytes: &[u8],
        message: HubMessage<'_>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let client = self.client(slot);
        let protocol = client.protocol;
        match client.proxy {
            Some(_) => self.pass_on(slot, |out| protocol.write_framed(bytes, out), effects),
            None => self.hub_message(slot, message, now, effects),
        }
    }

    pub(crate) fn inbound_inspected(
        &mut self,
        slot: Slot,
        client: ConnectionId,
        bytes: InboundMessage,
        inspected: Inspected,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_still(slot, client) {
            return;
        }
        let client = self.client(slot);
        let (hub, protocol, is_proxied) = (client.hub, client.protocol, client.proxy.is_some());
        client.inspection_ended(slot, effects);
        for action in inspected.actions {
            self.act(hub, action, now, effects);
        }
        let Ok(message) = protocol.parse(&bytes) else {
            return;
        };
        match inspected.verdict {
            Verdict::Pass => self.take_message(slot, &bytes, message, now, effects),
            Verdict::Replace(replacement) => {
                let message = replacement.put_into(message);
                match is_proxied {
                    true => self.pass_on(slot, |out| protocol.write(&message, out), effects),
                    false => self.hub_message(slot, message, now, effects),
                }
            }
            Verdict::Reject(error) => self.refuse_message(slot, message, |_| error, now, effects),
            Verdict::Drop => self.refuse_message(slot, message, failure::dropped, now, effects),
            Verdict::Failed(why) => {
                let detailed = self.settings.detailed_errors;
                let error = |target: Option<&str>| failure::filtered(target, why, detailed);
                self.refuse_message(slot, message, error, now, effects);
            }
            Verdict::Close(reason) => {
                let detail = "a filter closes it".to_owned();
                let closing = Closing { error: Some(reason), allow_reconnect: false, detail };
                self.close(slot, CloseCause::ClosedByRequest, closing, effects);
            }
        }
        self.parse_on(slot, now, effects);
    }

    /// A client's message goes no further; who waits for an answer gets the error.
    fn refuse_message(
        &mut self,
        slot: Slot,
        message: HubMessage<'_>,
        error: impl FnOnce(Option<&str>) -> String,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let protocol = self.client(slot).protocol;
        match message {
            HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => {
                let error = error(Some(&call.target));
                self.complete_with_error(slot, call.invocation_id.as_deref(), error, now, effects);
            }
            HubMessage::Completion { headers, invocation_id, .. } => {
                let outcome = CompletionOutcome::Error(error(None).into());
                let message = HubMessage::Completion { headers, invocation_id, outcome };
                self.pass_on(slot, |out| protocol.write(&message, out), effects);
            }
            _ => {}
        }
    }

    /// Passes messages on to the client's hub server, if it has one.
    fn pass_on(&mut self, slot: Slot, write: impl FnOnce(&mut Vec<u8>), effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let (hub, id) = (client.hub, client.id);
        if let Some(proxy) = &client.proxy {
            let to = proxy.route.connection;
            let mut bytes = Vec::new();
            write(&mut bytes);
            self.pass_to_server(hub, to, connection_data(id, &bytes), effects);
        }
    }

    /// Whether the messages of a client that a hub server answers are read one by one, and not only passed on.
    pub(crate) fn is_filtered(&self, slot: Slot) -> bool {
        let client = &self.clients[slot.0 as usize];
        client.inspecting != Inspecting::No || self.hub(client.hub).filters.look_at(Direction::Inbound)
    }
}

impl ClientConnection {
    /// Whether its transport is asked for more.
    pub(crate) fn is_read(&self) -> bool {
        self.reading == Reading::On && self.inspecting != Inspecting::Waits
    }

    pub(crate) fn inspection_waits(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        if self.is_read() {
            effects.push(Effect::PauseReading(slot));
        }
        self.inspecting = Inspecting::Waits;
    }

    fn inspection_ended(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let has_waited = self.inspecting == Inspecting::Waits;
        self.inspecting = Inspecting::No;
        if has_waited && self.is_read() {
            effects.push(Effect::ResumeReading(slot));
        }
    }
}
