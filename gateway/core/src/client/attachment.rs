//! What a client is attached to.

use super::Clients;
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::hub::status::ResumeOutcome;
use crate::id::{Slot, TransportKey};
use crate::time::Millis;
use crate::turn::Turn;

/// Whether something carries a client's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// What comes over this transport the client has said, and what is sent to the client goes there.
    Attached(TransportKey),
    /// The transport broke, by this cause, and another one may come until then.
    Waiting { until: Millis, cause: CloseCause },
    /// The transport is gone, and no other one comes.
    Ended,
}

impl Attachment {
    pub(crate) fn transport(self) -> Option<TransportKey> {
        match self {
            Attachment::Attached(transport) => Some(transport),
            Attachment::Waiting { .. } | Attachment::Ended => None,
        }
    }

    /// Wants something of the transport.
    #[inline]
    pub(crate) fn effect(self, turn: &mut Turn<'_>, effect: impl FnOnce(TransportKey) -> Effect) {
        match self {
            Attachment::Attached(transport) => turn.effect(effect(transport)),
            Attachment::Waiting { .. } | Attachment::Ended => {}
        }
    }
}

/// A client has another transport from now on; the one before, if it is there, is severed.
pub(super) fn replace(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, transport: TransportKey) {
    let before = clients[slot].line().attachment();
    let index = clients[slot].hub();
    let hub = &mut clients.hubs[index];
    hub.counters.resumes[ResumeOutcome::Resumed as usize] += 1;
    match before {
        Attachment::Waiting { .. } => hub.waiting_clients -= 1,
        Attachment::Attached(before) => turn.effect(Effect::Sever(before)),
        Attachment::Ended => {}
    }
    // Before the other one is removed: its place would be the next that is free, under another key than the one that was told.
    assert_eq!(clients.transports.insert(slot), transport, "a client resumes with the transport that was next");
    if let Attachment::Attached(before) = before {
        clients.transports.remove(before);
    }
}
