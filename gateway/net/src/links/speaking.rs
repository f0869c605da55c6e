//! Whether a peer is being listened to.

use std::cell::Cell;

use crate::outbox::Cause;

/// Whether what a peer said is being acted on: what is queued for it meanwhile is its own doing.
#[derive(Debug, Default)]
pub(crate) struct Speaking(Cell<bool>);

impl Speaking {
    /// Does what the peer asks for.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.set(true);
        let output = act();
        self.0.set(false);
        output
    }

    /// Why something is queued for the peer now.
    pub(super) fn cause(&self) -> Cause {
        match self.0.get() {
            true => Cause::Receiver,
            false => Cause::Others,
        }
    }
}
