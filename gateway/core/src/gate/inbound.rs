//! What clients say, on its way through the filters of their hub.

use std::borrow::Cow;

use hubgate_wire::signalr::{CompletionOutcome, HubMessage};

use super::Lane;
use crate::client::Clients;
use crate::failure;
use crate::filter::{Direction, InspectionNumber, LaneKind, Refusal, Subject};
use crate::id::Slot;
use crate::turn::Turn;

/// What clients have said and filters look at. A client says nothing more meanwhile.
#[derive(Debug)]
pub(crate) struct Inbound {
    lane: Lane<InboundMessage>,
}

/// A client's message.
#[derive(Debug)]
pub(crate) struct InboundMessage {
    pub(crate) slot: Slot,
    /// Without what frames it.
    pub(crate) bytes: Box<[u8]>,
}

/// What becomes of a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It goes on.
    Passes,
    /// Filters look at it.
    Waits,
}

impl Inbound {
    pub(crate) fn new() -> Inbound {
        Inbound { lane: Lane::new(LaneKind::FromClients) }
    }

    /// Shows what a client says to the filters that want to see it.
    pub(crate) fn show(
        &mut self,
        clients: &mut Clients,
        turn: &mut Turn<'_>,
        slot: Slot,
        bytes: &[u8],
        message: &HubMessage<'_>,
    ) -> Gate {
        let (client, filters) = (&clients[slot], &clients.hub_of(slot).filters);
        let (Some(seen), Some(facts)) =
            (filters.to_filter_message(Direction::Inbound, message), client.facts().cloned())
        else {
            return Gate::Passes;
        };
        let waits = InboundMessage { slot, bytes: bytes.into() };
        let filters = filters.clone();
        clients[slot].set_inspected(true);
        self.lane.inspect(turn, filters, Subject::Client(facts), seen, waits);
        Gate::Waits
    }

    /// The client whose message waits for a verdict.
    pub(crate) fn client(&self, number: InspectionNumber) -> Option<Slot> {
        self.lane.get(number).map(|message| message.slot)
    }

    /// The message that has waited for a verdict that has come.
    pub(crate) fn take(&mut self, number: InspectionNumber) -> Option<InboundMessage> {
        self.lane.take(number)
    }
}

/// A client's message that goes no further.
#[derive(Debug)]
pub(crate) enum Refused<'m> {
    /// The client is told why, if it waits.
    Call { id: Option<Cow<'m, str>>, error: String },
    /// Whoever waits for the client's result gets this one.
    Result(HubMessage<'m>),
    /// The call of whose upload it is an item ends.
    Item { id: Cow<'m, str>, refusal: Refusal },
    /// Nobody waits for anything.
    Other,
}

/// What a message is that filters let go no further.
pub(crate) fn refused(message: HubMessage<'_>, refusal: Refusal, detailed_errors: bool) -> Refused<'_> {
    match message {
        HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => {
            let error = failure::refused(Some(&call.target), refusal, detailed_errors);
            Refused::Call { id: call.invocation_id, error }
        }
        HubMessage::Completion { headers, invocation_id, .. } => {
            let outcome = CompletionOutcome::Error(failure::refused(None, refusal, detailed_errors).into());
            Refused::Result(HubMessage::Completion { headers, invocation_id, outcome })
        }
        HubMessage::StreamItem { invocation_id, .. } => Refused::Item { id: invocation_id, refusal },
        _ => Refused::Other,
    }
}

/// Whether the messages of a client that a hub server answers are read one by one, and not only passed on.
#[inline]
pub(crate) fn is_filtered(clients: &Clients, slot: Slot) -> bool {
    let client = &clients[slot];
    client.line().has_log() || client.is_inspected() || clients.hub_of(slot).filters.inspects(Direction::Inbound)
}
