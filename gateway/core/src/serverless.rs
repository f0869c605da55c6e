//! Clients that the gateway itself answers: their messages, and the events that go to upstream for them.
//!
//! Source: Azure SignalR Service, "Upstream endpoints".

use std::sync::Arc;

use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::handshake;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, Invocation};

use crate::calls::{CALL_OVERHEAD, Excess, Running, WaitingCall};
use crate::client_connection::Phase;
use crate::closing::Closing;
use crate::delivery::Target;
use crate::effect::{CloseCause, Effect};
use crate::event::{ConnectionFacts, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use crate::failure;
use crate::filter::{Direction, Inspected, Origin, Subject, Verdict};
use crate::id::{METHOD_TOO_LONG, is_short_enough};
use crate::inspection::Pending;
use crate::mode::ClientKind;
use crate::outbound::Then;
use crate::read_holds::Hold;
use crate::settings::Handler;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

const CONNECTIONS: &str = "connections";
const MESSAGES: &str = "messages";

/// A call of a client that upstream has answered.
#[derive(Debug)]
pub(crate) struct Completing {
    slot: Slot,
    running: Running,
    origin: Origin,
    result: Result<Option<Payload>, UpstreamFailure>,
}

impl Completing {
    /// The completion, if upstream says what is in it; none of a failure, which the gateway puts into words.
    fn message(&self) -> Option<HubMessage<'_>> {
        let Running::Invocation { id: Some(id), .. } = &self.running else {
            return None;
        };
        let outcome = match &self.result {
            Ok(None) => CompletionOutcome::Void,
            Ok(Some(result)) => CompletionOutcome::Result(result.borrow()),
            Err(UpstreamFailure::Rejected(error)) => CompletionOutcome::Error(error.into()),
            Err(_) => return None,
        };
        Some(HubMessage::Completion { headers: Vec::new(), invocation_id: (&**id).into(), outcome })
    }
}

impl Shard {
    /// A hub message of an open client.
    pub(crate) fn hub_message(&mut self, slot: Slot, message: HubMessage<'_>, now: Millis, effects: &mut Vec<Effect>) {
        match message {
            HubMessage::Invocation(invocation) => self.invocation(slot, invocation, now, effects),
            HubMessage::StreamInvocation(invocation) => {
                let error = failure::streams_are_not_supported(&invocation.target);
                self.complete_with_error(slot, invocation.invocation_id.as_deref(), error, now, effects);
            }
            HubMessage::Unbindable(call) => {
                let error = call.error.to_owned();
                self.complete_with_error(slot, call.invocation_id.as_deref(), error, now, effects);
            }
            HubMessage::Close { .. } => {
                let closing = Closing { error: None, allow_reconnect: false, detail: String::new() };
                self.close(slot, CloseCause::Normal, closing, effects);
            }
            // A ping needs no answer, and nothing that is left is about a call that the gateway made.
            HubMessage::Ping
            | HubMessage::StreamItem { .. }
            | HubMessage::Completion { .. }
            | HubMessage::CancelInvocation { .. }
            | HubMessage::Ack { .. }
            | HubMessage::Sequence { .. }
            | HubMessage::Unknown { .. } => {}
        }
    }

    fn invocation(&mut self, slot: Slot, invocation: Invocation<'_>, now: Millis, effects: &mut Vec<Effect>) {
        let id = invocation.invocation_id.as_deref();
        if !invocation.stream_ids.is_empty() {
            let error = failure::streams_are_not_supported(&invocation.target);
            return self.complete_with_error(slot, id, error, now, effects);
        }
        if !is_short_enough(&invocation.target) {
            return self.complete_with_error(slot, id, METHOD_TOO_LONG.to_owned(), now, effects);
        }
        let client = &self.clients[slot.0 as usize];
        if client.kind == ClientKind::Unserved {
            let error = failure::no_server_for_calls(&invocation.target);
            return self.complete_with_error(slot, id, error, now, effects);
        }
        let hub = &self.hubs[client.hub].name;
        let Some(handler) = self.settings.route(hub, MESSAGES, &invocation.target).cloned() else {
            let error = failure::nobody_answers(&invocation.target);
            return self.complete_with_error(slot, id, error, now, effects);
        };
        let id: Option<Arc<str>> = id.map(Arc::from);
        let call = WaitingCall {
            handler,
            bytes: held_bytes(&invocation),
            running: Running::Invocation { id: id.clone(), target: invocation.target.clone().into_owned() },
            event: UpstreamEvent::Invocation {
                invocation_id: id,
                target: invocation.target.into_owned(),
                arguments: invocation.arguments.to_payload(),
                headers: invocation.headers.iter().map(|(name, value)| (name, value)).collect(),
            },
        };
        self.call(slot, call, effects);
        let limits = &self.settings.limits;
        let calls = &self.clients[slot.0 as usize].calls;
        if calls.len() >= limits.queued_calls || calls.bytes() >= limits.queued_bytes {
            self.hold(slot, Hold::Calls, effects);
        }
    }

    /// Asks upstream whether the client may come, if any item wants to know.
    pub(crate) fn call_connected(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let hub = &self.hubs[self.clients[slot.0 as usize].hub].name;
        match self.settings.route(hub, CONNECTIONS, "connected").cloned() {
            Some(handler) => {
                if let Handler::Webhook(_) = handler {
                    // The client is in before a webhook hears of it, but says nothing until the webhook has answered.
                    let frame = self.client(slot).protocol.handshake_frame(handshake::ACCEPTED);
                    self.let_in(slot, frame, now, effects);
                    self.hold(slot, Hold::Admission, effects);
                }
                let event = UpstreamEvent::Connected;
                self.call(slot, WaitingCall { handler, event, running: Running::Connected, bytes: 0 }, effects);
            }
            None => self.accept(slot, now, effects),
        }
    }

    /// Tells upstream that the client is gone, behind all of its events that wait.
    pub(crate) fn call_disconnected(
        &mut self,
        slot: Slot,
        facts: &Arc<ConnectionFacts>,
        reason: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(handler) = self.settings.route(&facts.hub, CONNECTIONS, "disconnected").cloned() else {
            return;
        };
        let event = UpstreamEvent::Disconnected { reason };
        self.call(slot, WaitingCall { handler, event, running: Running::Disconnected, bytes: 0 }, effects);
    }

    /// What came of the client's call, whether it is still there or not.
    pub(crate) fn upstream_answered(
        &mut self,
        slot: Slot,
        answer: UpstreamAnswer,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let client = &mut self.clients[slot.0 as usize];
        let Some((running, handler)) = &mut client.calls.running else {
            return;
        };
        // Until all is done that the answer asks for, the client's next events wait.
        let running = std::mem::replace(running, Running::Answered);
        let hub = client.hub;
        if self.hubs[hub].filters.look_at(Direction::Outbound) {
            let origin = Origin::from(handler.clone());
            let completing = Completing { slot, running, origin: origin.clone(), result: answer.result };
            return self.send_actions(hub, origin, answer.actions, Then::Complete(completing), now, effects);
        }
        self.act_all(hub, answer.actions, now, effects);
        self.answer_client(slot, running, answer.result, now, effects);
        self.next_call(slot, now, effects);
    }

    fn answer_client(
        &mut self,
        slot: Slot,
        running: Running,
        result: Result<Option<Payload>, UpstreamFailure>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        match running {
            Running::Connected => self.connected_answered(slot, result.err(), now, effects),
            Running::Invocation { id: Some(id), target } => match result {
                Ok(result) => {
                    let frame = self.client(slot).protocol.result_frame(&id, result.as_ref().map(Payload::borrow));
                    self.send(slot, frame, now, effects);
                }
                Err(failure) => {
                    let error = failure::completion(&target, failure, self.settings.detailed_errors);
                    self.complete_with_error(slot, Some(&id), error, now, effects);
                }
            },
            Running::Invocation { id: None, .. } | Running::Disconnected | Running::Answered => {}
        }
    }

    /// Completes a client's call, if the hub's filters let the answer pass.
    pub(crate) fn complete(&mut self, completing: Completing, now: Millis, effects: &mut Vec<Effect>) {
        let slot = completing.slot;
        let client = &self.clients[slot.0 as usize];
        let hub = self.hub(client.hub);
        if let Some(completion) = completing.message()
            && !client.is_closed()
            && let Some(seen) = hub.filters.see(Direction::Outbound, &completion)
        {
            let (to, origin) = (vec![Target::Connection(client.id)], completing.origin.clone());
            let subject = Subject::Delivery { hub: hub.name.clone(), to, origin };
            let filters = hub.filters.clone();
            return self.inspect(filters, subject, seen, Pending::Completing(completing), effects);
        }
        self.answer_client(slot, completing.running, completing.result, now, effects);
        self.next_call(slot, now, effects);
    }

    pub(crate) fn completion_inspected(
        &mut self,
        completing: Completing,
        inspected: Inspected,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let slot = completing.slot;
        let client = self.client(slot);
        let (hub, protocol) = (client.hub, client.protocol);
        self.act_all(hub, inspected.actions, now, effects);
        match inspected.verdict {
            Verdict::Pass => self.answer_client(slot, completing.running, completing.result, now, effects),
            Verdict::Replace(replacement) => {
                if let Some(completion) = completing.message() {
                    let frame = protocol.frame(&replacement.put_into(completion));
                    self.send(slot, frame, now, effects);
                }
            }
            Verdict::Refuse(refusal) => {
                if let Running::Invocation { id, .. } = completing.running {
                    let error = failure::refused(None, refusal, self.settings.detailed_errors);
                    self.complete_with_error(slot, id.as_deref(), error, now, effects);
                }
            }
            Verdict::Close(reason) => self.close_by_filter(slot, reason, effects),
        }
        self.next_call(slot, now, effects);
    }

    fn connected_answered(
        &mut self,
        slot: Slot,
        failure: Option<UpstreamFailure>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let is_in = matches!(self.client(slot).phase, Phase::Open { .. });
        let Some(failure) = failure else {
            return match is_in {
                true => self.release_hold(slot, Hold::Admission, now, effects),
                false => self.accept(slot, now, effects),
            };
        };
        let allow_reconnect = failure.may_pass();
        let error = match is_in {
            true => failure::connected_late(&failure).to_owned(),
            false => failure::connected(failure, self.settings.detailed_errors),
        };
        let closing = Closing { detail: error.clone(), error: Some(error), allow_reconnect };
        self.close(slot, CloseCause::InvokeUpstreamFailed, closing, effects);
        // It may have left by itself meanwhile: of one that never was, nothing waits any more, its end neither.
        self.departed.drop_all(slot, &mut self.clients[slot.0 as usize].calls);
    }

    /// Hands the call over, or lets it wait while another one of the client's runs.
    fn call(&mut self, slot: Slot, call: WaitingCall, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        match client.calls.running {
            Some(_) => client.calls.push(call),
            None => self.start(slot, call, effects),
        }
    }

    fn start(&mut self, slot: Slot, call: WaitingCall, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let facts = client.facts().expect("events come from clients whose handshake was read").clone();
        client.calls.running = Some((call.running, call.handler.clone()));
        effects.push(Effect::Call { slot, handler: call.handler, client: facts, event: call.event });
    }

    /// The event that upstream was busy with is over.
    fn next_call(&mut self, slot: Slot, now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        client.calls.running = None;
        if client.is_closed() {
            return self.next_departed_call(slot, effects);
        }
        if let Some(call) = client.calls.pop() {
            self.start(slot, call, effects);
        }
        let limits = &self.settings.limits;
        let calls = &self.clients[slot.0 as usize].calls;
        let few = calls.len() <= limits.queued_calls / 2 && calls.bytes() <= limits.queued_bytes / 2;
        if few && self.clients[slot.0 as usize].holds.has(Hold::Calls) {
            self.release_hold(slot, Hold::Calls, now, effects);
        }
    }

    /// A client has left: its waiting calls share the bound of all that have.
    pub(crate) fn calls_departed(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        self.departed.enter(slot, &self.clients[slot.0 as usize].calls);
        while let Excess::DropOneOf(largest) = self.departed.excess(self.settings.limits.departed_bytes) {
            let client = &mut self.clients[largest.0 as usize];
            let is_first = self.departed.drop_newest(largest, &mut client.calls);
            let hub = &mut self.hubs[client.hub];
            hub.counters.calls_dropped += 1;
            if is_first {
                effects.push(Effect::CallsDropped { hub: hub.name.clone() });
            }
        }
    }

    /// The running event of a client that has left is over: other such clients may have their turn before its next one.
    fn next_departed_call(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let calls = &mut self.clients[slot.0 as usize].calls;
        self.departed.ended(slot, calls);
        if !calls.waits_for_turn() {
            self.start_departed(slot, effects);
        }
        while let Some(next) = self.departed.next_turn(self.settings.limits.departed_calls) {
            self.start_departed(next, effects);
        }
    }

    fn start_departed(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let calls = &mut self.clients[slot.0 as usize].calls;
        if let Some(call) = self.departed.take(slot, calls, self.settings.limits.departed_bytes) {
            self.start(slot, call, effects);
        }
        self.forget_if_over(slot, effects);
    }

    pub(crate) fn complete_with_error(
        &mut self,
        slot: Slot,
        invocation_id: Option<&str>,
        error: String,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = invocation_id else {
            return;
        };
        let frame = self.client(slot).protocol.error_frame(id, &error);
        self.send(slot, frame, now, effects);
    }
}

/// What a call holds while it waits, in bytes.
fn held_bytes(call: &Invocation<'_>) -> usize {
    let headers: usize = call.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let id = call.invocation_id.as_ref().map_or(0, |id| id.len());
    // The target is kept for the handler and for the text of an error.
    CALL_OVERHEAD + call.arguments.len() + 2 * call.target.len() + id + headers
}
