//! What is sent to clients, on its way through the filters of their hub: once for each delivery, before fan-out.

use std::iter::Peekable;
use std::vec;

use bytes::Bytes;
use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::Frame;

use crate::client_connection::HubIndex;
use crate::delivery::{Action, Target};
use crate::effect::{CloseCause, Effect};
use crate::failure;
use crate::filter::{Direction, FilterMessage, Inspected, Origin, Subject, Verdict};
use crate::id::{ConnectionId, HubName, ServerConnectionId};
use crate::inspection::Pending;
use crate::invocation::ClientCall;
use crate::serverless::Completing;
use crate::shard::{CLOSED_WITH_ERROR, Closing, Shard, Slot};
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
    Tell(u64),
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
    /// One message without what frames it.
    Said(Bytes),
    /// A call of the client.
    Call(ClientCall),
}

impl Sending {
    /// The hub server whose messages wait for it.
    pub(crate) fn server(&self) -> Option<ServerConnectionId> {
        match self.then {
            Then::Read(server) => Some(server),
            Then::Complete(_) | Then::Tell(_) => None,
        }
    }
}

impl HeldBack {
    /// What it holds in memory, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            HeldBack::Frame(frame) => frame.len(),
            HeldBack::Message(HeldMessage::Said(bytes)) => bytes.len(),
            HeldBack::Message(HeldMessage::Call(call)) => call.message.len(),
            HeldBack::End { error } => error.as_ref().map_or(0, String::len),
        }
    }
}

impl Shard {
    /// Does what a sender asks of a hub, in order. [`Effect::Done`] follows when it is done.
    pub fn send_to_hub(
        &mut self,
        hub: &HubName,
        origin: Origin,
        actions: Vec<Action>,
        number: u64,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let hub = self.hub_index(hub);
        self.send_actions(hub, origin, actions, Then::Tell(number), now, effects);
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
            let seen = message.with_view(|view| match filters.want(Direction::Outbound, view) {
                true => FilterMessage::of(view),
                false => None,
            });
            match seen {
                Some(Some(seen)) => {
                    let to = sending.inspected.iter().filter_map(Action::send_target).cloned().collect();
                    let name = self.hub(hub).name.clone();
                    let subject = Subject::Delivery { hub: name, to, origin: sending.origin.clone() };
                    return self.inspect(filters, subject, seen, Pending::Sending(sending), effects);
                }
                Some(None) => self.act_all(hub, std::mem::take(&mut sending.inspected), now, effects),
                None => {
                    let hub = self.hub(hub).name.clone();
                    effects.push(Effect::Unreadable { hub });
                }
            }
        }
        match sending.then {
            Then::Read(server) => self.sending_ended(server, now, effects),
            Then::Complete(completing) => self.complete(completing, now, effects),
            Then::Tell(number) => effects.push(Effect::Done(number)),
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
            Verdict::Reject(_) | Verdict::Drop | Verdict::Failed(_) => {}
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
    }

    fn act_all(&mut self, hub: HubIndex, actions: Vec<Action>, now: Millis, effects: &mut Vec<Effect>) {
        for action in actions {
            self.act(hub, action, now, effects);
        }
    }

    /// What its hub server says to a client whose hub has filters for that: whole messages with what frames them.
    pub(crate) fn filter_said(&mut self, slot: Slot, mut messages: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let protocol = self.client(slot).protocol;
        while let Ok(Some(message)) = protocol.split_message(&mut messages) {
            let message = HeldMessage::Said(Bytes::copy_from_slice(message));
            self.say_in_turn(slot, HeldBack::Message(message), now, effects);
        }
    }

    /// Sends something to a client whose hub has filters, behind what is held back for it.
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
                self.client(slot).last_sent = now;
                effects.push(Effect::Send { to: slot, frame });
            }
            HeldBack::Message(message) => self.filter_message(slot, message, now, effects),
            HeldBack::End { error } => self.end_by_server(slot, error, effects),
        }
    }

    fn filter_message(&mut self, slot: Slot, message: HeldMessage, now: Millis, effects: &mut Vec<Effect>) {
        let client = &self.clients[slot.0 as usize];
        let (index, id, protocol) = (client.hub, client.id, client.protocol);
        let Some(proxy) = &client.proxy else {
            return;
        };
        let hub = self.hub(index);
        let filters = &hub.filters;
        let see = |view: &HubMessage<'_>| match filters.want(Direction::Outbound, view) {
            true => FilterMessage::of(view),
            false => None,
        };
        let (seen, origin) = match &message {
            HeldMessage::Said(bytes) => {
                let seen = protocol.parse(bytes).ok().map(|view| see(&view));
                (seen, Origin::HubServer(proxy.route.server.clone()))
            }
            HeldMessage::Call(call) => {
                (call.outgoing.with_view(see), Origin::HubServer(call.invocation.caller.clone()))
            }
        };
        match seen {
            Some(Some(seen)) => {
                let filters = filters.clone();
                let to = vec![Target::Connection(id)];
                let subject = Subject::Delivery { hub: hub.name.clone(), to, origin };
                self.client(slot).hold_back();
                let pending = Pending::Said { slot, client: id, message };
                self.inspect(filters, subject, seen, pending, effects);
            }
            Some(None) => self.say_as_it_is(slot, message, now, effects),
            None => {
                effects.push(Effect::Unreadable { hub: hub.name.clone() });
                if let HeldMessage::Call(call) = message {
                    self.fail_invocation(index, id, &call.invocation, "A filter cannot read the call.", effects);
                }
            }
        }
    }

    fn say_as_it_is(&mut self, slot: Slot, message: HeldMessage, now: Millis, effects: &mut Vec<Effect>) {
        let protocol = self.client(slot).protocol;
        match message {
            HeldMessage::Said(bytes) => {
                let is_close = matches!(protocol.parse(&bytes), Ok(HubMessage::Close { .. }));
                if let Some(proxy) = &mut self.client(slot).proxy {
                    proxy.has_said_close |= is_close;
                }
                let frame = Frame::data(protocol.data_kind(), |out| protocol.write_framed(&bytes, out));
                self.send_at_once(slot, frame, now, effects);
            }
            HeldMessage::Call(call) => {
                if let Some(frame) = call.outgoing.frame(protocol).cloned() {
                    self.call_client(slot, call, frame, now, effects);
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
            if let HeldMessage::Call(call) = message {
                self.fail_invocation(call.hub, client, &call.invocation, "The connection ended.", effects);
            }
            return;
        }
        let hub = self.client(slot).hub;
        self.act_all(hub, inspected.actions, now, effects);
        match inspected.verdict {
            Verdict::Pass => self.say_as_it_is(slot, message, now, effects),
            Verdict::Replace(replacement) => self.say_replaced(slot, message, &replacement, now, effects),
            Verdict::Reject(_) | Verdict::Drop | Verdict::Failed(_) => match message {
                HeldMessage::Said(bytes) => self.tell_of_drop(slot, &bytes, now, effects),
                HeldMessage::Call(call) => {
                    self.fail_invocation(
                        hub,
                        client,
                        &call.invocation,
                        "A filter of the hub dropped the call.",
                        effects,
                    );
                }
            },
            Verdict::Close(reason) => {
                let detail = "a filter closes it".to_owned();
                let closing = Closing { error: Some(reason), allow_reconnect: false, detail };
                self.close(slot, CloseCause::ClosedByRequest, closing, effects);
            }
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
            HeldMessage::Said(bytes) => {
                if let Ok(original) = protocol.parse(&bytes) {
                    let frame = protocol.frame(&replacement.put_into(original));
                    self.send_at_once(slot, frame, now, effects);
                }
            }
            HeldMessage::Call(call) => {
                if let Some(frame) = call.outgoing.replaced(replacement).frame(protocol).cloned() {
                    self.call_client(slot, call, frame, now, effects);
                }
            }
        }
    }

    /// A client that waits for what was dropped is told so.
    fn tell_of_drop(&mut self, slot: Slot, bytes: &[u8], now: Millis, effects: &mut Vec<Effect>) {
        let protocol = self.client(slot).protocol;
        if let Ok(HubMessage::Completion { invocation_id, .. }) = protocol.parse(bytes) {
            let frame = protocol.error_frame(&invocation_id, &failure::dropped(None));
            self.send_at_once(slot, frame, now, effects);
        }
    }

    fn say_what_was_held_back(&mut self, slot: Slot, client: ConnectionId, now: Millis, effects: &mut Vec<Effect>) {
        let Some(mut held) = self.client(slot).held_back.take() else {
            return;
        };
        while let Some(what) = held.items.pop_front() {
            if !self.is_still(slot, client) {
                return;
            }
            self.say(slot, what, now, effects);
            if let Some(again) = self.client(slot).held_back.as_deref_mut() {
                // The rest waits for the filters once more.
                held.bytes = held.items.iter().map(HeldBack::len).sum();
                *again = *held;
                return;
            }
        }
        if held.is_too_much && self.is_still(slot, client) {
            self.close_as_slow(slot, "its filters take too long", effects);
        }
    }

    fn close_as_slow(&mut self, slot: Slot, why: &str, effects: &mut Vec<Effect>) {
        let error = Some(CLOSED_WITH_ERROR.to_owned());
        let detail = format!("more was sent to it than `server.limits.outbox`: {why}");
        self.close(slot, CloseCause::SlowClient, Closing { error, allow_reconnect: true, detail }, effects);
    }
}
