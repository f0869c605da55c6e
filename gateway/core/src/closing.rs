//! The end of a client: what it is told, and where it is forgotten.

use bytes::BytesMut;
use hubgate_wire::signalr::HubMessage;
use hubgate_wire::signalr::handshake;
use hubgate_wire::websocket::{Frame, close_code};

use crate::client_connection::{Phase, TransportState};
use crate::effect::{CloseCause, Effect};
use crate::mode::ClientKind;
use crate::shard::{Shard, Slot};

/// What a client is told at its end.
pub(crate) struct Closing {
    pub(crate) error: Option<String>,
    pub(crate) allow_reconnect: bool,
    /// For the log.
    pub(crate) detail: String,
}

/// What clients are told of an error whose text is not for them (.NET's own words).
pub(crate) const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";

impl Shard {
    pub(crate) fn too_large(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let text = format!("The maximum message size of {}B was exceeded.", self.settings.limits.message);
        self.bad_request(slot, text, effects);
    }

    pub(crate) fn bad_request(&mut self, slot: Slot, text: String, effects: &mut Vec<Effect>) {
        let error = match self.settings.detailed_errors {
            true => format!("{CLOSED_WITH_ERROR} {text}"),
            false => CLOSED_WITH_ERROR.to_owned(),
        };
        let closing = Closing { error: Some(error), allow_reconnect: true, detail: text };
        self.close(slot, CloseCause::BadRequest, closing, effects);
    }

    /// Ends a client whose handshake is not answered yet, with an error for an answer.
    pub(crate) fn refuse(&mut self, slot: Slot, cause: CloseCause, error: String, effects: &mut Vec<Effect>) {
        let closing = Closing { detail: error.clone(), error: Some(error), allow_reconnect: false };
        self.close(slot, cause, closing, effects);
    }

    /// Ends a client: nobody sees it from here on, then it is told, then its transport ends.
    pub(crate) fn close(&mut self, slot: Slot, cause: CloseCause, closing: Closing, effects: &mut Vec<Effect>) {
        let client = self.client(slot);
        let protocol = client.protocol;
        let last_message = match &client.phase {
            Phase::Closed { .. } => return,
            Phase::Handshaking { .. } | Phase::Connecting { .. } => {
                let error = closing.error.as_deref().unwrap_or("Handshake was canceled.");
                protocol.handshake_frame(&handshake::refused(error))
            }
            Phase::Open { .. } => {
                let error = closing.error.as_deref().map(Into::into);
                protocol.frame(&HubMessage::Close { error, allow_reconnect: closing.allow_reconnect })
            }
        };
        self.end(slot, cause, Some(last_message), closing.error, closing.detail, effects);
    }

    /// Ends a client as [`Shard::close`] does, with this for its last message. `reason` and `detail` are for whoever answers it
    /// and for the log.
    pub(crate) fn end(
        &mut self,
        slot: Slot,
        cause: CloseCause,
        last_message: Option<Frame>,
        reason: Option<String>,
        detail: String,
        effects: &mut Vec<Effect>,
    ) {
        let reason = match cause {
            CloseCause::Normal => None,
            cause => Some(reason.unwrap_or_else(|| cause.name().to_owned())),
        };
        let held = self.client(slot).take_held_frames();
        self.retire(slot, cause, reason, effects);
        effects.extend(held.into_iter().map(|frame| Effect::Send { to: slot, frame }));
        effects.extend(last_message.map(|frame| Effect::Send { to: slot, frame }));
        effects.push(Effect::Finish { slot, code: close_code::NORMAL, cause, detail });
    }

    /// Takes the client out of all indexes, and tells its hub server of its end, or upstream behind all that it still has to
    /// hear.
    pub(crate) fn retire(&mut self, slot: Slot, cause: CloseCause, reason: Option<String>, effects: &mut Vec<Effect>) {
        let closed = Phase::Closed { facts: None, transport: TransportState::Ending };
        let client = self.client(slot);
        let facts = match std::mem::replace(&mut client.phase, closed) {
            Phase::Handshaking { .. } => None,
            Phase::Connecting { facts, .. } | Phase::Open { facts } => Some(facts),
            Phase::Closed { facts, .. } => facts,
        };
        client.unread = BytesMut::new();
        client.held_back = None;
        client.phase = Phase::Closed { facts: facts.clone(), transport: TransportState::Ending };
        let (hub, kind, id, token) = (client.hub, client.kind, client.id, client.token.take());
        let transport = client.transport;
        let groups = std::mem::take(&mut client.groups);
        let proxy = client.proxy.take();
        effects.extend(token.map(Effect::TokenOver));
        self.hub_mut(hub).counters.closed[cause as usize] += 1;
        self.leaves_queue(slot);
        if let Some(facts) = facts {
            self.slots.remove(&id);
            let own = self.index;
            let hub = self.hub_mut(hub);
            hub.remove(slot, transport, facts.user_id.as_ref(), &groups);
            hub.presence.client_left();
            if let Some(user) = &facts.user_id
                && !hub.has_user(user)
            {
                hub.presence.users.left(user, own);
            }
            match proxy {
                Some(proxy) => self.leave_server(slot, *proxy, reason.as_deref(), effects),
                // Whom upstream did not take never was.
                None if cause == CloseCause::InvokeUpstreamFailed || kind != ClientKind::Serverless => {}
                None => self.call_disconnected(slot, &facts, reason, effects),
            }
            self.calls_departed(slot, effects);
        }
    }

    pub(crate) fn forget_if_over(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        if self.client(slot).is_over() {
            let client = self.clients.remove(slot.0 as usize);
            self.hubs.vacate(client.hub);
            effects.push(Effect::Forgotten(slot));
        }
    }
}
