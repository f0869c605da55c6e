//! What filters look at: each kind of message waits in a lane of its own, with whatever its part needs to go on.

pub(crate) mod inbound;
pub(crate) mod senders;

use crate::effect::Effect;
use crate::filter::{FilterMessage, Filters, Inspection, InspectionNumber, LaneKind, Subject};
use crate::hash::FixedMap;
use crate::pairs::Pairs;
use crate::turn::Turn;

/// Messages of one kind that filters look at, with what waits for the verdict on each.
#[derive(Debug)]
pub(crate) struct Lane<W> {
    kind: LaneKind,
    waiting: FixedMap<u64, W>,
    next: u64,
}

impl<W> Lane<W> {
    pub(crate) fn new(kind: LaneKind) -> Lane<W> {
        Lane { kind, waiting: FixedMap::default(), next: 0 }
    }

    /// Whether filters look at nothing of it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Shows a message to filters. `waits` goes on with the verdict.
    pub(crate) fn inspect(
        &mut self,
        turn: &mut Turn<'_>,
        filters: Filters,
        subject: Subject,
        (message, headers): (FilterMessage, Pairs),
        waits: W,
    ) {
        let number = InspectionNumber { lane: self.kind, number: self.next };
        self.next += 1;
        self.waiting.insert(number.number, waits);
        let inspection = Box::new(Inspection { filters, subject, message, headers });
        turn.effect_for(turn.mark.clone(), Effect::Inspect { number, inspection });
    }

    /// What waits for a verdict.
    pub(crate) fn get(&self, number: InspectionNumber) -> Option<&W> {
        self.waiting.get(&number.number)
    }

    /// What has waited for a verdict that has come.
    pub(crate) fn take(&mut self, number: InspectionNumber) -> Option<W> {
        self.waiting.remove(&number.number)
    }
}
