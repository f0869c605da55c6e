//! What a client is attached to.

use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::id::TransportKey;
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
