//! What is sent to clients, on its way through the filters of their hub: once for each delivery, before fan-out.

use std::iter::Peekable;
use std::vec;

use bytes::Bytes;
use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::{FRAME_OVERHEAD, Frame};

use crate::client_connection::HubIndex;
use crate::closing::{CLOSED_WITH_ERROR, Closing};
use crate::delivery::{Action, Target};
use crate::effect::{CloseCause, Effect};
use crate::event::HubAnswer;
use crate::failure;
use crate::filter::{Direction, FilterMessage, Inspected, Origin, Refusal, Subject, Verdict, method};
use crate::id::{ConnectionId, HubName, ServerConnectionId, ServerId};
use crate::input::Ticket;
use crate::inspection::Pending;
use crate::invocation::ClientCall;
use crate::serverless::Completing;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// What a sender asks of a hub and has not been done yet.
#[derive(Debug)]
pub(crate) struct Sending {
    hub: HubIndex,
    origin: Origin,
    actions: Peekable<vec::IntoIter<Action>>,
    /// The delivery that filters look at.
    inspected: Vec<Action>,
    then: Then,
}

/// What happens when all that was asked is done.
#[derive(Debug)]
pub(crate) enum Then {
    /// The hub server's next messages are read.
    Read(ServerConnectionId),
    /// The client's call is completed.
    Complete(Completing),
    /// Whoever waits for it is told.
    Tell(Ticket),
}

/// What waits for its turn, because filters look at something that goes to the same client.
#[derive(Debug)]
pub(crate) enum HeldBack {
    Frame(Frame),
    /// Of the client's hub server.
    Message(HeldMessage),
    /// The hub server ends the client.
    End {
        error: Option<String>,
    },
}

/// What a hub server says to one client.
#[derive(Debug)]
pub(crate) enum HeldMessage {
    /// One message of the client's own hub server, without what frames it.
    Said { by: ServerId, message: Bytes },
    /// A call of the client.
    Call(ClientCall),
}

/// What something held back takes up beside its bytes: that of a frame, and a slot in a queue that doubles as it grows.
pub(crate) const HELD_OVERHEAD: usize = FRAME_OVERHEAD + 2 * size_of::<HeldBack>();

impl Sending {
    /// The hub server whose messages wait for it.
    pub(crate) fn server(&self) -> Option<ServerConnectionId> {
        match self.then {
            Then::Read(server) => Some(server),
            Then::Complete(_) | Then::Tell(_) => None,
        }
    }
}

impl HeldMessage {
    fn origin(&self) -> Origin {
        match self {
            HeldMessage::Said { by, .. } => Origin::HubServer(by.clone()),
            HeldMessage::Call(call) => call.origin.clone(),
        }
    }
}

impl HeldBack {
    /// What it takes up in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        match self {
            HeldBack::Frame(frame) => HELD_OVERHEAD + frame.len(),
            HeldBack::Message(HeldMessage::Said { message, .. }) => HELD_OVERHEAD + message.len(),
            // The hub server's message, and the call that was made of it.
            HeldBack::Message(HeldMessage::Call(call)) => 2 * (HELD_OVERHEAD + call.message.len()),
            HeldBack::End { error } => HELD_OVERHEAD + error.as_ref().map_or(0, String::len),
        }
    }
}

impl Shard {
    /// Does what a sender asks of a hub, in order. [`Effect::Answered`] follows when it is done.
    pub(crate) fn send_to_hub(
        &mut self,
        hub: &HubName,
        origin: Origin,
        actions: Vec<Action>,
        ticket: Ticket,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let hub = self.hub_index(hub);
        self.send_actions(hub, origin, actions, Then::Tell(ticket), now, effects);
    }

    /// Does what a sender asks of a hub, in order, and then what follows.
    pub(crate) fn send_actions(
        &mut self,
        hub: HubIndex,
        origin: Origin,
        actions: Vec<Action>,
        then: Then,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let actions = actions.into_iter().peekable();
        self.go_on_sending(Sending { hub, origin, actions, inspected: Vec::new(), then }, now, effects);
    }

    fn go_on_sending(&mut self, mut sending: Sending, now: Millis, effects: &mut Vec<Effect>) {
        let hub = sending.hub;
        while let Some(action) = sending.actions.next() {
            let Action::Send { message, .. } = &action else {
                self.act(hub, action, now, effects);
                continue;
            };
            if !self.hub(hub).filters.look_at(Direction::Outbound) {
                self.act(hub, action, now, effects);
                continue;
            }
            let message = message.clone();
            let same = |next: &Action| matches!(next, Action::Send { message: next, .. } if next.is_same(&message));
            sending.inspected = vec![action];
            while let Some(next) = sending.actions.next_if(same) {
                sending.inspected.push(next);
            }
            let filters = self.hub(hub).filters.clone();
            match message.with_call(|call| filters.see(Direction::Outbound, call)) {
                Some(Some(seen)) => {
                    let to = sending.inspected.iter().filter_map(Action::send_target).cloned().collect();
                    let name = self.hub(hub).name.clone();
                    let subject = Subject::Delivery { hub: name, to, origin: sending.origin.clone() };
                    self.hubs.occupy_again(hub, &self.settings);
                    return self.inspect(filters, subject, seen, Pending::Sending(sending), effects);
                }
                Some(None) => self.act_all(hub, std::mem::take(&mut sending.inspected), now, effects),
                None => self.not_sent(hub, effects),
            }
        }
        match sending.then {
            Then::Read(server) => self.sending_ended(server, now, effects),
            Then::Complete(completing) => self.complete(completing, now, effects),
            Then::Tell(ticket) => effects.push(Effect::Answered { ticket, answer: HubAnswer::InEffect }),
        }
    }

    pub(crate) fn sending_inspected(
        &mut self,
        mut sending: Sending,
        inspected: Inspected,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let hub = sending.hub;
        self.act_all(hub, inspected.actions, now, effects);
        let sends = std::mem::take(&mut sending.inspected);
        match inspected.verdict {
            Verdict::Pass => self.act_all(hub, sends, now, effects),
            Verdict::Replace(replacement) => {
                let replaced = sends.first().and_then(Action::send_message).map(|first| first.replaced(&replacement));
                for mut send in sends {
                    if let (Action::Send { message, .. }, Some(replaced)) = (&mut send, &replaced) {
                        message.clone_from(replaced);
                    }
                    self.act(hub, send, now, effects);
                }
            }
            Verdict::Refuse(_) => {}
            Verdict::Close(reason) => {
                for target in sends.iter().filter_map(Action::send_target) {
                    if let Target::Connection(_) = target {
                        let (target, reason) = (target.clone(), Some(reason.clone()));
                        let close = Action::Close { target, except: Vec::new(), reason, allow_reconnect: false };
                        self.act(hub, close, now, effects);
                    }
                }
            }
        }
        self.go_on_sending(sending, now, effects);
        self.hubs.vacate(hub);
    }

    /// Counts what is no message that filters could look at, and so is not sent. The log has the hub's first one on this shard.
    fn not_sent(&mut self, hub: HubIndex, effects: &mut Vec<Effect>) {
        let hub = self.hub_mut(hub);
        hub.counters.server_messages_skipped += 1;
        if !std::mem::replace(&mut hub.has_unreadable, true) {
            effects.push(Effect::Unreadable { hub: hub.name.clone() });
        }
    }

    /// What its hub server says to a client whose hub has filters for that: whole messages with what frames them.
    pub(crate) fn filter_said(&mut self, slot: Slot, mut messages: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let (id, protocol) = (client.id, client.protocol);
        let Some(by) = client.proxy.as_ref().map(|proxy| proxy.route.server.clone()) else {
            return;
        };
        while self.is_still(slot, id)
            && let Ok(Some(message)) = protocol.split_message(&mut messages)
        {
            let said = HeldMessage::Said { by: by.clone(), message: Bytes::copy_from_slice(message) };
            self.say_in_turn(slot, HeldBack::Message(said), now, effects);
        }
    }

    /// Sends something to a client behind what is held back for it.
    pub(crate) fn say_in_turn(&mut self, slot: Slot, what: HeldBack, now: Millis, effects: &mut Vec<Effect>) {
        let limit = self.settings.limits.held;
        match self.client(slot).held_back.as_deref_mut() {
            Some(held) => held.push(what, limit),
            None => self.say(slot, what, now, effects),
        }
    }

    fn say(&mut self, slot: Slot, what: HeldBack, now: Millis, effects: &mut Vec<Effect>) {
        match what {
            HeldBack::Frame(frame) => {
                // It was counted when it was held back.
                self.client(slot).last_sent = now;
                effects.push(Effect::Send { to: slot, frame });
            }
            HeldBack::Message(HeldMessage::Call(call)) if !self.is_awaited(slot, &call) => {}
            HeldBack::Message(message) => self.filter_message(slot, message, now, effects),
            HeldBack::End { error } => self.end_by_server(slot, error, effects),
        }
    }

    fn filter_message(&mut self, slot: Slot, message: HeldMessage, now: Millis, effects: &mut Vec<Effect>) {
        let client = &self.clients[slot.0 as usize];
        let (index, id, protocol) = (client.hub, client.id, client.protocol);
        let hub = self.hub(index);
        let see = |view: &HubMessage<'_>| hub.filters.see(Direction::Outbound, view);
        let mut is_close = false;
        let seen = match &message {
            HeldMessage::Said { message, .. } => match protocol.parse(message) {
                Ok(HubMessage::Unbindable(_)) | Err(_) => None,
                Ok(view) => {
                    is_close = matches!(view, HubMessage::Close { .. });
                    Some(see(&view))
                }
            },
            HeldMessage::Call(call) => call.outgoing.with_call(see),
        };
        // It may have waited for something else: for the handshake, or behind filters that are gone.
        let seen = match hub.filters.look_at(Direction::Outbound) {
            true => seen,
            false => Some(None),
        };
        match seen {
            Some(Some(seen)) => {
                let filters = hub.filters.clone();
                let subject = Subject::Delivery {
                    hub: hub.name.clone(),
                    to: vec![Target::Connection(id)],
                    origin: message.origin(),
                };
                self.client(slot).hold_back();
                let pending = Pending::Said { slot, client: id, message };
                self.inspect(filters, subject, seen, pending, effects);
            }
            Some(None) => {
                if let Some(proxy) = &mut self.client(slot).proxy {
                    proxy.has_said_close |= is_close;
                }
                self.say_as_it_is(slot, message, now, effects);
            }
            None => self.not_said(slot, message, effects),
        }
    }

    /// What filters cannot read is not sent. Nobody waits for it for ever: the hub server is told, or the client ends.
    fn not_said(&mut self, slot: Slot, message: HeldMessage, effects: &mut Vec<Effect>) {
        self.not_sent(self.clients[slot.0 as usize].hub, effects);
        match message {
            HeldMessage::Said { .. } => {
                let detail = "its hub server said what the filters of the hub cannot read".to_owned();
                let closing = Closing { error: Some(CLOSED_WITH_ERROR.to_owned()), allow_reconnect: false, detail };
                self.close(slot, CloseCause::ClosedByAppServer, closing, effects);
            }
            HeldMessage::Call(call) => self.fail_call(slot, &call, failure::UNREADABLE_CALL, effects),
        }
    }

    fn say_as_it_is(&mut self, slot: Slot, message: HeldMessage, now: Millis, effects: &mut Vec<Effect>) {
        let protocol = self.client(slot).protocol;
        match message {
            HeldMessage::Said { message, .. } => {
                let frame = Frame::data(protocol.data_kind(), |out| protocol.write_framed(&message, out));
                self.send_at_once(slot, frame, now, effects);
            }
            HeldMessage::Call(call) => {
                if let Some(frame) = call.outgoing.frame(protocol).cloned() {
                    self.call_client(slot, &call, frame, now, effects);
                }
            }
        }
    }

    pub(crate) fn said_inspected(
        &mut self,
        slot: Slot,
        client: ConnectionId,
        message: HeldMessage,
        inspected: Inspected,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_still(slot, client) {
            return;
        }
        self.act_all(self.clients[slot.0 as usize].hub, inspected.actions, now, effects);
        if !self.is_still(slot, client) {
            // The filter itself has closed it.
            return;
        }
        match inspected.verdict {
            Verdict::Pass => self.say_as_it_is(slot, message, now, effects),
            Verdict::Replace(replacement) => self.say_replaced(slot, message, &replacement, now, effects),
            Verdict::Refuse(refusal) => self.say_refused(slot, message, refusal, now, effects),
            Verdict::Close(reason) => self.close_by_filter(slot, reason, effects),
        }
        self.say_what_was_held_back(slot, client, now, effects);
    }

    fn say_replaced(
        &mut self,
        slot: Slot,
        message: HeldMessage,
        replacement: &FilterMessage,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let protocol = self.client(slot).protocol;
        match message {
            HeldMessage::Said { message, .. } => {
                let original = protocol.parse(&message).expect("it was parsed before filters looked at it");
                let frame = protocol.frame(&replacement.put_into(original));
                self.send_at_once(slot, frame, now, effects);
            }
            HeldMessage::Call(call) => {
                if let Some(frame) = call.outgoing.replaced(replacement).frame(protocol).cloned() {
                    self.call_client(slot, &call, frame, now, effects);
                }
            }
        }
    }

    /// Who waits for what is not sent is told so: the client for its completion, the hub server for its call.
    fn say_refused(
        &mut self,
        slot: Slot,
        message: HeldMessage,
        refusal: Refusal,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let (protocol, detailed) = (self.client(slot).protocol, self.settings.detailed_errors);
        match message {
            HeldMessage::Said { message, .. } => {
                if let Ok(HubMessage::Completion { invocation_id, .. }) = protocol.parse(&message) {
                    let frame = protocol.error_frame(&invocation_id, &failure::refused(None, refusal, detailed));
                    self.send_at_once(slot, frame, now, effects);
                }
            }
            HeldMessage::Call(call) => {
                let error = call.outgoing.with_call(|view| failure::refused(method(view), refusal, detailed));
                self.fail_call(slot, &call, &error.unwrap_or_default(), effects);
            }
        }
    }

    pub(crate) fn say_what_was_held_back(
        &mut self,
        slot: Slot,
        client: ConnectionId,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut held) = self.client(slot).held_back.take() else {
            return;
        };
        while let Some(what) = held.pop() {
            if !self.is_still(slot, client) {
                return;
            }
            self.say(slot, what, now, effects);
            if let Some(again) = self.client(slot).held_back.as_mut() {
                // The rest waits for the filters once more.
                *again = held;
                return;
            }
        }
        if held.is_too_much && self.is_still(slot, client) {
            let detail = "more was sent to it than `server.limits.outbox` before its handshake was answered, or while \
                          filters of its hub looked at a message"
                .to_owned();
            let closing = Closing { error: Some(CLOSED_WITH_ERROR.to_owned()), allow_reconnect: true, detail };
            self.close(slot, CloseCause::SlowClient, closing, effects);
        }
    }
}
