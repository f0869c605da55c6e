//! Messages that filters look at, and what happens when they have done so.

use crate::closing::Closing;
use crate::effect::{CloseCause, Effect};
use crate::filter::{FilterMessage, Filters, Inspected, Inspection, InspectionNumber, Subject};
use crate::hash::FixedMap;
use crate::id::ConnectionId;
use crate::inbound::InboundMessage;
use crate::outbound::{HeldMessage, Sending};
use crate::pairs::Pairs;
use crate::read_holds::Hold;
use crate::serverless::Completing;
use crate::shard::{Shard, Slot};
use crate::time::Millis;

/// The messages of a shard that filters look at.
#[derive(Debug, Default)]
pub(crate) struct Inspections {
    pending: FixedMap<InspectionNumber, Pending>,
    next: u64,
}

impl Inspections {
    /// Whether filters look at anything.
    pub(crate) fn is_any(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// What waits for the verdict.
#[derive(Debug)]
pub(crate) enum Pending {
    /// What a client said. It says nothing more meanwhile.
    Inbound { slot: Slot, client: ConnectionId, message: InboundMessage },
    /// What a sender sends. It sends nothing more meanwhile.
    Sending(Sending),
    /// The completion of a client's call. Its next call waits meanwhile.
    Completing(Completing),
    /// What a hub server says to its client, which gets nothing else meanwhile.
    Said { slot: Slot, client: ConnectionId, message: HeldMessage },
}

impl Shard {
    pub(crate) fn inspect(
        &mut self,
        filters: Filters,
        subject: Subject,
        (message, headers): (FilterMessage, Pairs),
        pending: Pending,
        effects: &mut Vec<Effect>,
    ) {
        let number = InspectionNumber(self.inspections.next);
        self.inspections.next += 1;
        self.inspections.pending.insert(number, pending);
        let inspection = Box::new(Inspection { filters, subject, message, headers });
        effects.push(Effect::Inspect { number, inspection });
    }

    /// A hub's filters have looked at a message.
    pub(crate) fn inspected(
        &mut self,
        number: InspectionNumber,
        inspected: Inspected,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        match self.inspections.pending.remove(&number) {
            Some(Pending::Inbound { slot, client, message }) => {
                self.inbound_inspected(slot, client, message, inspected, now, effects);
            }
            Some(Pending::Sending(sending)) => self.sending_inspected(sending, inspected, now, effects),
            Some(Pending::Completing(completing)) => self.completion_inspected(completing, inspected, now, effects),
            Some(Pending::Said { slot, client, message }) => {
                self.said_inspected(slot, client, message, inspected, now, effects);
            }
            None => {}
        }
    }

    /// The filters of a message take their time: whoever it comes from is not read meanwhile.
    pub(crate) fn inspection_waits(&mut self, number: InspectionNumber, effects: &mut Vec<Effect>) {
        match self.inspections.pending.get(&number) {
            Some(Pending::Inbound { slot, client, .. }) => {
                let (slot, client) = (*slot, *client);
                if self.is_still(slot, client) {
                    self.hold(slot, Hold::Inspection, effects);
                }
            }
            Some(Pending::Sending(sending)) => {
                if let Some(server) = sending.server() {
                    self.sending_waits(server, effects);
                }
            }
            // What is held for one client is bounded, and so are the calls that wait.
            Some(Pending::Completing(_) | Pending::Said { .. }) | None => {}
        }
    }

    pub(crate) fn close_by_filter(&mut self, slot: Slot, reason: String, effects: &mut Vec<Effect>) {
        let detail = "a filter closes it".to_owned();
        let closing = Closing { error: Some(reason), allow_reconnect: false, detail };
        self.close(slot, CloseCause::ClosedByRequest, closing, effects);
    }

    /// Whether the client is still there for which a slot was noted.
    pub(crate) fn is_still(&self, slot: Slot, client: ConnectionId) -> bool {
        self.clients.get(slot.0 as usize).is_some_and(|each| each.id == client && !each.is_closed())
    }
}
