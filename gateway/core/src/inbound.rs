//! What clients say, on its way through the filters of their hub.

use hubgate_wire::signalr::{CompletionOutcome, HubMessage};

use crate::effect::Effect;
use crate::failure;
use crate::filter::{Direction, Inspected, Refusal, Subject, Verdict};
use crate::id::ConnectionId;
use crate::inspection::Pending;
use crate::read_holds::Hold;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// A client's message without what frames it.
pub(crate) type InboundMessage = Box<[u8]>;

impl Shard {
    /// A whole hub message of an open client.
    pub(crate) fn open_message(&mut self, slot: Slot, bytes: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let client = &self.clients[slot.0 as usize];
        let (index, protocol) = (client.hub, client.protocol);
        let hub = &mut self.hubs[index];
        hub.counters.messages_in += 1;
        let message = match protocol.parse(bytes) {
            Ok(message) => message,
            Err(malformed) => return self.bad_request(slot, malformed.to_string(), effects),
        };
        if hub.filters.look_at(Direction::Inbound)
            && let Some(seen) = hub.filters.see(Direction::Inbound, &message)
            && let Some(facts) = client.facts().cloned()
        {
            let (filters, id) = (hub.filters.clone(), client.id);
            self.client(slot).is_inspected = true;
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
        match (&client.proxy, &message) {
            // What filters cannot read does not pass them by: it is answered here, as the gateway answers its own clients.
            (Some(_), HubMessage::Unbindable(_)) | (None, _) => self.hub_message(slot, message, now, effects),
            (Some(_), _) => self.pass_on(slot, |out| protocol.write_framed(bytes, out), effects),
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
        let (hub, protocol) = (self.client(slot).hub, self.client(slot).protocol);
        self.act_all(hub, inspected.actions, now, effects);
        if !self.is_still(slot, client) {
            // The filter itself has closed it.
            return;
        }
        let client = self.client(slot);
        let is_proxied = client.proxy.is_some();
        let message = || protocol.parse(&bytes).expect("it was parsed before filters looked at it");
        match inspected.verdict {
            Verdict::Pass if is_proxied => self.pass_on(slot, |out| protocol.write_framed(&bytes, out), effects),
            Verdict::Pass => self.hub_message(slot, message(), now, effects),
            Verdict::Replace(replacement) => {
                let message = replacement.put_into(message());
                match is_proxied {
                    true => self.pass_on(slot, |out| protocol.write(&message, out), effects),
                    false => self.hub_message(slot, message, now, effects),
                }
            }
            Verdict::Refuse(refusal) => self.refuse_message(slot, message(), refusal, now, effects),
            Verdict::Close(reason) => self.close_by_filter(slot, reason, effects),
        }
        self.client(slot).is_inspected = false;
        self.release_hold(slot, Hold::Inspection, now, effects);
    }

    /// A client's message goes no further; who waits for an answer gets the error.
    fn refuse_message(
        &mut self,
        slot: Slot,
        message: HubMessage<'_>,
        refusal: Refusal,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let (protocol, detailed) = (self.client(slot).protocol, self.settings.detailed_errors);
        match message {
            HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => {
                let error = failure::refused(Some(&call.target), refusal, detailed);
                self.complete_with_error(slot, call.invocation_id.as_deref(), error, now, effects);
            }
            HubMessage::Completion { headers, invocation_id, .. } => {
                let outcome = CompletionOutcome::Error(failure::refused(None, refusal, detailed).into());
                let message = HubMessage::Completion { headers, invocation_id, outcome };
                self.pass_on(slot, |out| protocol.write(&message, out), effects);
            }
            _ => {}
        }
    }

    /// Passes messages on to the client's hub server, if it has one.
    fn pass_on(&mut self, slot: Slot, write: impl FnOnce(&mut Vec<u8>), effects: &mut Vec<Effect>) {
        if let Some(proxy) = &mut self.client(slot).proxy {
            let mut bytes = Vec::new();
            write(&mut bytes);
            if let Some(bytes) = proxy.hold_if_moving(bytes) {
                self.hand_to_server(slot, &bytes, effects);
            }
        }
    }

    /// Whether the messages of a client that a hub server answers are read one by one, and not only passed on.
    pub(crate) fn is_filtered(&self, slot: Slot) -> bool {
        let client = &self.clients[slot.0 as usize];
        client.is_inspected || self.hub(client.hub).filters.look_at(Direction::Inbound)
    }
}
