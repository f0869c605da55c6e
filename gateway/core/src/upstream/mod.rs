//! Clients that the gateway itself answers: their messages, and the events that go to upstream for them.
//!
//! Source: Azure SignalR Service, "Upstream endpoints".

mod calls;
mod streaming;

use std::sync::Arc;

use hubgate_wire::payload::Payload;
use hubgate_wire::signalr::{CompletionOutcome, HubMessage, Invocation};

use calls::{CALL_OVERHEAD, CallQueue, DepartedCalls, Excess, Running, WaitingCall};

use crate::arena::Beside;
use crate::client::read_holds::Hold;
use crate::client::{Clients, Closing, actions, opening};
use crate::close_cause::CloseCause;
use crate::delivery::Target;
use crate::effect::Effect;
use crate::event::{ConnectionFacts, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use crate::failure;
use crate::filter::{Direction, Inspected, InspectionNumber, LaneKind, Origin, Subject, Verdict};
use crate::gate::Lane;
use crate::id::{METHOD_TOO_LONG, Slot, is_short_enough};
use crate::mode::ClientKind;
use crate::settings::{Handler, Settings};
use crate::stream::Expected;
use crate::streams::Streams;
use crate::trace::{MARK_WEIGHT, TraceMark};
use crate::turn::{AfterSend, Departure, Step, Turn};

const CONNECTIONS: &str = "connections";
const MESSAGES: &str = "messages";

/// The events of a shard's clients on their way to upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    calls: Beside<Slot, CallQueue>,
    departed: DepartedCalls,
    /// Answers to calls whose actions are being done, of which each client has one at most.
    completing: Beside<Slot, Option<Box<Completing>>>,
    /// Completions that filters look at. The client's next call waits meanwhile.
    lane: Lane<(Slot, Completing)>,
    streams: Streams,
}

/// A call of a client that upstream has answered.
#[derive(Debug)]
struct Completing {
    running: Running,
    origin: Origin,
    result: Result<Option<Payload>, UpstreamFailure>,
}

impl Completing {
    /// The completion, if upstream says what is in it; none of a failure, which the gateway puts into words.
    fn message(&self) -> Option<HubMessage<'_>> {
        let id = match &self.running {
            Running::Invocation { id: Some(id), .. } => id,
            Running::StreamCall { id, .. } if self.result.is_err() => id,
            _ => return None,
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

impl Upstream {
    pub(crate) fn new() -> Upstream {
        Upstream {
            calls: Beside::new(),
            departed: DepartedCalls::default(),
            completing: Beside::new(),
            lane: Lane::new(LaneKind::Completions),
            streams: Streams::new(),
        }
    }

    /// A client opens.
    pub(crate) fn opened(&mut self, slot: Slot) {
        self.calls.begin(slot);
        self.completing.begin(slot);
        self.streams.opened(slot);
    }

    fn calls(&mut self, slot: Slot) -> &mut CallQueue {
        &mut self.calls[slot]
    }

    /// Whether nothing of a client runs and nothing waits.
    pub(crate) fn is_over(&self, slot: Slot) -> bool {
        self.calls[slot].is_over()
    }

    /// A hub message of an open client.
    pub(crate) fn hub_message(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        message: HubMessage<'_>,
    ) {
        match message {
            HubMessage::Invocation(invocation) if invocation.stream_ids.is_empty() => {
                self.invocation(clients, turn, slot, invocation);
            }
            HubMessage::Invocation(invocation) => {
                let answer = match invocation.invocation_id {
                    Some(_) => Expected::Value,
                    None => Expected::Nothing,
                };
                self.open_streams(clients, turn, slot, (&invocation, answer));
            }
            HubMessage::StreamInvocation(invocation) => {
                self.open_streams(clients, turn, slot, (&invocation, Expected::Items));
            }
            HubMessage::StreamItem { headers, invocation_id, item } => {
                self.uploaded_item(clients, turn, slot, &invocation_id, (item, &headers));
            }
            HubMessage::Completion { invocation_id, outcome, .. } => {
                self.upload_ended(clients, turn, slot, &invocation_id, outcome);
            }
            HubMessage::CancelInvocation { invocation_id, .. } => {
                self.cancel_stream(clients, turn, slot, &invocation_id);
            }
            HubMessage::Unbindable(call) => {
                clients.complete_with_error(turn, slot, call.invocation_id.as_deref(), call.error);
            }
            HubMessage::Close { .. } => {
                let closing = Closing { error: None, allow_reconnect: false, detail: String::new() };
                clients.close(turn, slot, CloseCause::Normal, closing);
            }
            // A ping needs no answer, and nothing that is left is about a call that upstream answers.
            HubMessage::Ping | HubMessage::Ack { .. } | HubMessage::Sequence { .. } | HubMessage::Unknown { .. } => {}
        }
    }

    fn invocation(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, invocation: Invocation<'_>) {
        let handler = match find_handler(clients, turn, slot, &invocation) {
            Ok(handler) => handler,
            Err(error) => {
                return clients.complete_with_error(turn, slot, invocation.invocation_id.as_deref(), &error);
            }
        };
        let id: Option<Arc<str>> = invocation.invocation_id.as_deref().map(Arc::from);
        let target: Arc<str> = Arc::from(&*invocation.target);
        let call = WaitingCall {
            handler,
            bytes: held_bytes(&invocation, turn.mark.as_ref()),
            mark: turn.mark.clone(),
            running: Running::Invocation { id: id.clone(), target: target.clone() },
            event: UpstreamEvent::Invocation {
                invocation_id: id,
                target,
                arguments: invocation.arguments.to_payload(),
                headers: invocation.headers.iter().map(|(name, value)| (name, value)).collect(),
            },
        };
        self.call(clients, turn, slot, call);
        self.judge_reading(clients, turn, slot);
    }

    /// Somebody waits for what a client was asked, or nobody does any more.
    pub(crate) fn asked(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, is_asked: bool) {
        self.calls(slot).is_asked = is_asked;
        self.judge_reading(clients, turn, slot);
    }

    /// Reads no more of a client of which too many calls wait. One that was asked something is read for longer, because its answer comes
    /// after them; when twice as many wait, it is not waited for.
    fn judge_reading(&self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
        let (limits, calls) = (&turn.settings.limits, &self.calls[slot]);
        let is_asked = calls.is_asked;
        let times = if is_asked { 2 } else { 1 };
        let is_full = calls.len() >= limits.queued_calls.saturating_mul(times)
            || calls.bytes() >= limits.queued_bytes.saturating_mul(times);
        match (is_full, is_asked) {
            (true, false) => clients.hold(turn, slot, Hold::Calls),
            (true, true) => turn.then(Step::GiveUpQuestions(slot)),
            (false, true) if clients[slot].has_hold(Hold::Calls) => clients.release_hold(turn, slot, Hold::Calls),
            (false, _) => {}
        }
    }

    /// Asks upstream whether a client may come, if any item wants to know.
    pub(crate) fn call_connected(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
        let settings = turn.settings;
        match settings.route(&clients.hub_of(slot).name, CONNECTIONS, "connected").cloned() {
            Some(handler) => {
                if let Handler::Webhook(_) = handler {
                    // The client is in before a webhook hears of it, but says nothing until the webhook has answered.
                    let answer = clients[slot].dialect().accepted();
                    opening::let_in(clients, turn, slot, Some(answer));
                    clients.hold(turn, slot, Hold::Admission);
                }
                let event = UpstreamEvent::Connected;
                let call = WaitingCall { handler, event, running: Running::Connected, bytes: 0, mark: None };
                self.call(clients, turn, slot, call);
            }
            None => opening::accept(clients, turn, slot),
        }
    }

    /// A client is closed: upstream is told, after all of its events that wait. These share the bound of all that have left.
    pub(crate) fn departed(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        departure: Departure,
        is_linked: bool,
    ) {
        let Departure { slot, facts, cause, reason } = departure;
        // A client that upstream rejected was never connected: it gets no `disconnected`.
        self.end_streams(clients, turn, slot);
        let was_connected = !is_linked && cause != CloseCause::InvokeUpstreamFailed;
        if was_connected && clients[slot].kind() == ClientKind::Serverless {
            self.call_disconnected(turn, slot, &facts, reason);
        }
        self.departed.enter(slot, &self.calls[slot]);
        while let Excess::DropOneOf(largest) = self.departed.excess(turn.settings.limits.departed_bytes) {
            let is_first = self.departed.drop_newest(largest, &mut self.calls[largest]);
            let hub = clients.hub_mut(clients[largest].hub());
            hub.counters.calls_dropped += 1;
            if is_first {
                turn.effect(Effect::CallsDropped { hub: hub.name.clone() });
            }
        }
        if cause == CloseCause::InvokeUpstreamFailed {
            // Nothing else that waits reaches upstream either.
            self.departed.drop_all(slot, &mut self.calls[slot]);
        }
    }

    fn call_disconnected(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        facts: &Arc<ConnectionFacts>,
        reason: Option<String>,
    ) {
        let Some(handler) = turn.settings.route(&facts.hub, CONNECTIONS, "disconnected").cloned() else {
            return;
        };
        let event = UpstreamEvent::Disconnected { reason };
        let call = WaitingCall { handler, event, running: Running::Disconnected, bytes: 0, mark: None };
        match self.calls(slot).running {
            Some(_) => self.calls(slot).push(call),
            None => self.start(turn, slot, facts.clone(), call),
        }
    }

    /// What came of a client's call, whether the client is still there or not.
    pub(crate) fn answered(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, answer: UpstreamAnswer) {
        let Some(client) = clients.get(slot) else {
            return;
        };
        let Some((running, handler)) = &mut self.calls(slot).running else {
            return;
        };
        // Until all is done that the answer asks for, the client's next events wait.
        let running = std::mem::replace(running, Running::Answered);
        let hub = client.hub();
        if clients.hub(hub).filters.inspects(Direction::Outbound) {
            let origin = Origin::from(handler.clone());
            let completing = Completing { running, origin: origin.clone(), result: answer.result };
            self.completing[slot] = Some(Box::new(completing));
            let after = AfterSend::CompleteCall(slot);
            return turn.then(Step::Submit { hub, origin, actions: answer.actions, after });
        }
        actions::act_all(clients, turn, hub, answer.actions);
        self.answer_client(clients, turn, slot, running, answer.result);
        self.next_call(clients, turn, slot);
    }

    fn answer_client(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        running: Running,
        result: Result<Option<Payload>, UpstreamFailure>,
    ) {
        match running {
            Running::Connected => self.connected_answered(clients, turn, slot, result.err()),
            Running::Invocation { id: Some(id), target } => match result {
                Ok(result) => {
                    let frame = clients[slot].dialect().result(&id, result.as_ref());
                    clients.send(turn, slot, frame);
                }
                Err(failure) => {
                    let error = failure::completion(&target, failure, turn.settings.detailed_errors);
                    clients.complete_with_error(turn, slot, Some(&id), &error);
                }
            },
            Running::StreamCall { id, target } => {
                if let Err(failure) = result {
                    let error = failure::completion(&target, failure, turn.settings.detailed_errors);
                    clients.complete_with_error(turn, slot, Some(&id), &error);
                }
            }
            Running::Stream(about) => self.streams.answered(clients, turn, slot, about, result.map(drop)),
            Running::Invocation { id: None, .. } | Running::Disconnected | Running::Answered => {}
        }
    }

    /// The actions of an answer are done: completes the client's call, if the hub's filters let the answer pass.
    pub(crate) fn complete(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
        let Some(completing) = self.completing[slot].take() else {
            return;
        };
        let (client, hub) = (&clients[slot], clients.hub_of(slot));
        if let Some(completion) = completing.message()
            && !client.is_closed()
            && let Some(seen) = hub.filters.to_filter_message(Direction::Outbound, &completion)
        {
            let (to, origin) = (vec![Target::Connection(client.id())], completing.origin.clone());
            let subject = Subject::Delivery { hub: hub.name.clone(), to, origin };
            return self.lane.inspect(turn, hub.filters.clone(), subject, seen, (slot, *completing));
        }
        let Completing { running, result, .. } = *completing;
        self.answer_client(clients, turn, slot, running, result);
        self.next_call(clients, turn, slot);
    }

    /// A hub's filters have looked at a completion.
    pub(crate) fn inspected(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        number: InspectionNumber,
        inspected: Inspected,
    ) {
        let Some((slot, completing)) = self.lane.take(number) else {
            return;
        };
        let (hub, dialect) = (clients[slot].hub(), clients[slot].dialect());
        actions::act_all(clients, turn, hub, inspected.actions);
        match inspected.verdict {
            Verdict::Pass => self.answer_client(clients, turn, slot, completing.running, completing.result),
            Verdict::Replace(replacement) => {
                if let Some(completion) = completing.message() {
                    let frame = dialect.frame(&replacement.put_into(completion));
                    clients.send(turn, slot, frame);
                }
            }
            Verdict::Refuse(refusal) => {
                let id = match completing.running {
                    Running::Invocation { id, .. } => id,
                    Running::StreamCall { id, .. } => Some(id),
                    _ => None,
                };
                let error = failure::refused(None, refusal, turn.settings.detailed_errors);
                clients.complete_with_error(turn, slot, id.as_deref(), &error);
            }
            Verdict::Close(reason) => clients.close_by_filter(turn, slot, reason),
        }
        self.next_call(clients, turn, slot);
    }

    fn connected_answered(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        failure: Option<UpstreamFailure>,
    ) {
        let is_in = clients[slot].is_open();
        let Some(failure) = failure else {
            return match is_in {
                true => clients.release_hold(turn, slot, Hold::Admission),
                false => opening::accept(clients, turn, slot),
            };
        };
        let allow_reconnect = failure.may_pass();
        let error = match is_in {
            true => failure::connected_late(&failure).to_owned(),
            false => failure::connected(failure, turn.settings.detailed_errors),
        };
        let closing = Closing { detail: error.clone(), error: Some(error), allow_reconnect };
        if clients[slot].is_closed() {
            // Upstream never accepted it: its queued events are dropped, `disconnected` too.
            return self.departed.drop_all(slot, &mut self.calls[slot]);
        }
        clients.close(turn, slot, CloseCause::InvokeUpstreamFailed, closing);
    }

    /// Hands a call over, or lets it wait while another one of the client's runs.
    #[inline]
    fn call(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot, mut call: WaitingCall) {
        let calls = self.calls(slot);
        if calls.running.is_some() {
            calls.push(call);
        } else if self.is_wanted(turn.settings, slot, &mut call) {
            self.start(turn, slot, facts_of(clients, slot), call);
        }
    }

    /// Whether an event that has come to its turn is still to be told.
    #[inline]
    fn is_wanted(&mut self, settings: &Settings, slot: Slot, call: &mut WaitingCall) -> bool {
        match &mut call.event {
            UpstreamEvent::Stream(event) => self.streams.begins(settings, slot, event),
            UpstreamEvent::Connected
            | UpstreamEvent::Disconnected { .. }
            | UpstreamEvent::Invocation { .. }
            | UpstreamEvent::StreamCall(_) => true,
        }
    }

    fn start(&mut self, turn: &mut Turn<'_>, slot: Slot, facts: Arc<ConnectionFacts>, call: WaitingCall) {
        self.calls(slot).running = Some((call.running, call.handler.clone()));
        let effect = Effect::Call { client: slot, handler: call.handler, facts, event: call.event };
        turn.effect_for(call.mark, effect);
    }

    /// The event that upstream was busy with is over.
    fn next_call(&mut self, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
        if clients[slot].is_closed() {
            // It may have been closed just now: its end is told first.
            return turn.then(Step::NextDepartedCall(slot));
        }
        self.calls[slot].running = None;
        let mut next = self.calls[slot].pop();
        while let Some(call) = &mut next
            && !self.is_wanted(turn.settings, slot, call)
        {
            next = self.calls[slot].pop();
        }
        let (limits, calls) = (&turn.settings.limits, &self.calls[slot]);
        let few = calls.len() <= limits.queued_calls / 2 && calls.bytes() <= limits.queued_bytes / 2;
        if let Some(call) = next {
            self.start(turn, slot, facts_of(clients, slot), call);
        }
        if few && clients[slot].has_hold(Hold::Calls) {
            clients.release_hold(turn, slot, Hold::Calls);
        }
    }

    /// The running event of a client that has left is over: other such clients may have their turn before its next one.
    pub(crate) fn next_departed_call(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        let calls = &mut self.calls[slot];
        calls.running = None;
        self.departed.ended(slot, calls);
        if !calls.waits_for_turn() {
            self.start_departed(clients, turn, slot);
        }
        while let Some(next) = self.departed.next_turn(turn.settings.limits.departed_calls) {
            self.start_departed(clients, turn, next);
        }
    }

    fn start_departed(&mut self, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
        let limit = turn.settings.limits.departed_bytes;
        while let Some(mut call) = self.departed.take(slot, &mut self.calls[slot], limit) {
            if self.is_wanted(turn.settings, slot, &mut call) {
                self.start(turn, slot, facts_of(clients, slot), call);
                break;
            }
            self.departed.give_back(&mut self.calls[slot]);
        }
        turn.then(Step::ForgetIfOver(slot));
    }
}

fn facts_of(clients: &Clients, slot: Slot) -> Arc<ConnectionFacts> {
    clients[slot].facts().expect("events come from clients whose handshake was read").clone()
}

/// Who answers a call, or why nobody does.
fn find_handler(
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    invocation: &Invocation<'_>,
) -> Result<Handler, String> {
    if !is_short_enough(&invocation.target) {
        return Err(METHOD_TOO_LONG.to_owned());
    }
    let client = &clients[slot];
    if client.kind() == ClientKind::Unserved {
        return Err(failure::no_server_for_calls(&invocation.target));
    }
    let hub = client.hub();
    match turn.settings.route(&clients.hub(hub).name, MESSAGES, &invocation.target) {
        Some(handler) => Ok(handler.clone()),
        None => {
            clients.hub_mut(hub).report_unmatched(&invocation.target, turn.now, turn.effects);
            Err(failure::nobody_answers(&invocation.target))
        }
    }
}

/// What a call holds while it waits, in bytes, with what is noted of one that is followed.
fn held_bytes(call: &Invocation<'_>, mark: Option<&TraceMark>) -> usize {
    let headers: usize = call.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let id = call.invocation_id.as_ref().map_or(0, |id| id.len());
    let noted = mark.map_or(0, |_| MARK_WEIGHT);
    CALL_OVERHEAD + call.arguments.len() + call.target.len() + id + headers + noted
}
