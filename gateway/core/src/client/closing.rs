//! The end of a client: what it is told, and how it leaves all indexes.

use hubgate_wire::websocket::{Frame, close_code};

use super::attachment::Attachment;
use super::{Clients, Phase, announcements, groups};
use crate::close_cause::CloseCause;
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::failure;
use crate::id::Slot;
use crate::turn::{Departure, Step, Turn};

/// What a client is told at its end.
pub(crate) struct Closing {
    pub(crate) error: Option<String>,
    pub(crate) allow_reconnect: bool,
    /// For the log.
    pub(crate) detail: String,
}

/// What clients are told of an error whose text is not for them (.NET's own words).
pub(crate) const CLOSED_WITH_ERROR: &str = "Connection closed with an error.";

impl Closing {
    /// With the text that says nothing.
    pub(crate) fn with_error(allow_reconnect: bool, detail: impl Into<String>) -> Closing {
        Closing { error: Some(CLOSED_WITH_ERROR.to_owned()), allow_reconnect, detail: detail.into() }
    }
}

impl Clients {
    pub(crate) fn too_large(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let text = format!("The maximum message size of {}B was exceeded.", turn.settings.limits.message);
        self.bad_request(turn, slot, text);
    }

    pub(crate) fn bad_request(&mut self, turn: &mut Turn<'_>, slot: Slot, text: String) {
        let error = match turn.settings.detailed_errors {
            true => format!("{CLOSED_WITH_ERROR} {text}"),
            false => CLOSED_WITH_ERROR.to_owned(),
        };
        let closing = Closing { error: Some(error), allow_reconnect: true, detail: text };
        self.close(turn, slot, CloseCause::BadRequest, closing);
    }

    /// Ends a client whose handshake is not answered yet, with an error for an answer.
    pub(crate) fn refuse(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause, error: String) {
        let closing = Closing { detail: error.clone(), error: Some(error), allow_reconnect: false };
        self.close(turn, slot, cause, closing);
    }

    pub(crate) fn close_by_filter(&mut self, turn: &mut Turn<'_>, slot: Slot, reason: String) {
        let closing = Closing { error: Some(reason), allow_reconnect: false, detail: "a filter closes it".to_owned() };
        self.close(turn, slot, CloseCause::ClosedByRequest, closing);
    }

    /// Ends a client: nobody sees it from here on, then it is told, then its transport ends.
    pub(crate) fn close(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause, closing: Closing) {
        let client = &self[slot];
        let (dialect, error) = (client.dialect(), closing.error.as_deref());
        let last_message = match &client.phase {
            Phase::Closed { .. } => return,
            Phase::Handshaking { .. } | Phase::Connecting { .. } => {
                dialect.refused(error.unwrap_or(failure::HANDSHAKE_CANCELED))
            }
            Phase::Open { .. } => dialect.closing(error, closing.allow_reconnect),
        };
        self.end(turn, slot, cause, Some(last_message), closing.error, closing.detail);
    }

    /// Ends a client as [`Clients::close`] does, with this for its last message. `reason` and `detail` are for whoever answers
    /// it and for the log.
    pub(crate) fn end(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        cause: CloseCause,
        last_message: Option<Frame>,
        reason: Option<String>,
        detail: String,
    ) {
        let reason = match cause {
            CloseCause::Normal => None,
            cause => Some(reason.unwrap_or_else(|| cause.name().to_owned())),
        };
        let (attachment, client, held) =
            (self[slot].line().attachment(), self[slot].id(), self[slot].take_held_frames());
        self.retire(turn, slot, cause, reason);
        match attachment {
            Attachment::Attached(to) => {
                for frame in held.into_iter().chain(last_message) {
                    turn.effect(Effect::Send { to, frame });
                }
                turn.effect(Effect::Finish { transport: to, code: close_code::NORMAL, cause, detail });
            }
            Attachment::Waiting { .. } => {
                turn.effect(Effect::EndedWaiting { client, cause, detail });
                turn.then(Step::ForgetIfOver(slot));
            }
            Attachment::Ended => {}
        }
    }

    /// Takes a client out of all indexes. Whoever answers it hears of its end next.
    pub(super) fn retire(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause, reason: Option<String>) {
        let closed = Phase::Closed { facts: None };
        let client = &mut self.arena[slot];
        let facts = match std::mem::replace(&mut client.phase, closed) {
            Phase::Handshaking { .. } => None,
            Phase::Connecting { facts, .. } | Phase::Open { facts } => Some(facts),
            Phase::Closed { facts } => facts,
        };
        client.phase = Phase::Closed { facts: facts.clone() };
        client.take_unread();
        client.held_back = None;
        client.line_mut().log = None;
        if client.line().is_waiting() {
            client.line_mut().attach(Attachment::Ended);
            self.hubs[client.hub()].waiting_clients -= 1;
        }
        if let Some(token) = client.token.take() {
            turn.then(Step::TokenOver { hub: client.hub(), token });
            self.by_token.remove(&token);
        }
        groups::leave(self, turn, slot, None);
        let client = &self.arena[slot];
        let (id, transport, index) = (client.id(), client.transport(), client.hub());
        self.hubs[index].counters.closed[cause as usize] += 1;
        if let Some(facts) = facts {
            self.slots.remove(&id);
            for each in client.hubs() {
                let hub = &mut self.hubs[each];
                hub.remove(slot, (each == index).then_some(transport), facts.user_id.as_ref());
                hub.directory.apply(DirectoryChange::ClientsLeft(1));
                if let Some(user) = &facts.user_id
                    && !hub.has_user(user)
                {
                    hub.directory.apply(DirectoryChange::UserLeft { user: user.clone(), shard: turn.here() });
                }
            }
            turn.then(Step::Departed(Box::new(Departure { slot, facts, cause, reason })));
        }
        announcements::closed(self, turn, slot);
    }
}
