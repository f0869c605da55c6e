//! Faults that tests inject into a running gateway. No build has them but that of this crate's own tests.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Where the gateway panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// The clock of a shard.
    Clock,
    /// The writer of a shard.
    Writer,
    /// A shard's loop over its inbox.
    Inbox,
    /// Accepting connections.
    Accepting,
    /// The core, over what a client says.
    Client,
    /// An event on its way to a webhook, as when the operating system has no thread to look its host up.
    Call,
}

/// The faults that are waiting to happen, each once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<HashSet<Fault>>);

impl Faults {
    pub(crate) fn arm(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(fault);
    }

    /// Panics if this fault is due.
    pub(crate) fn strike(&self, fault: Fault) {
        let is_due = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&fault);
        assert!(!is_due, "a fault that a test has injected: {fault:?}");
    }
}
