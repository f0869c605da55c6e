//! Whether a peer is being listened to.

use std::cell::Cell;

use crate::outbox::Cause;

/// Whether what a peer said is being acted on: what is queued for it meanwhile is its own doing.
#[derive(Debug, Default)]
pub(crate) struct Speaking(Cell<bool>);

impl Speaking {
    /// Does what the peer asks for.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        /// Ends it, also in a panic.
        struct UntilDropped<'a>(&'a Cell<bool>);
        impl Drop for UntilDropped<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.0.set(true);
        let _until_dropped = UntilDropped(&self.0);
        act()
    }

    /// Why something is queued for the peer now.
    pub(super) fn cause(&self) -> Cause {
        match self.0.get() {
            true => Cause::Receiver,
            false => Cause::Others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_is_a_peers_own_doing_while_it_is_listened_to_and_not_after_a_panic() {
        let speaking = Speaking::default();
        assert!(matches!(speaking.during(|| speaking.cause()), Cause::Receiver));
        assert!(matches!(speaking.cause(), Cause::Others));
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| speaking.during(|| panic!("a test's"))));
        assert!(panicked.is_err() && matches!(speaking.cause(), Cause::Others));
    }
}
