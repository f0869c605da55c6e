//! A timer of a plugin as it was set.

use std::fmt;
use std::sync::Arc;

use hubgate_core::id::{HubName, PluginName};

/// Whose timer it is, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    pub(crate) plugin: PluginName,
    pub(crate) hub: HubName,
    pub(crate) name: Arc<str>,
}

/// When a timer fires. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    After(u64),
    /// Since 1970.
    At(u64),
    Every(u64),
}

impl Schedule {
    /// When a timer is due for the first time that is set now.
    pub(crate) fn first_due(self, now: u64) -> u64 {
        match self {
            Schedule::At(due) => due,
            Schedule::After(time) | Schedule::Every(time) => now.saturating_add(time),
        }
    }
}

/// Whether a timer is kept for the next start of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    Durable,
    Process,
}

/// A timer as it was set.
#[derive(Clone, PartialEq, Eq)]
pub struct Timer {
    pub when: Schedule,
    /// In milliseconds since 1970.
    pub due: u64,
    pub payload: Arc<[u8]>,
    pub lifetime: Lifetime,
    /// That no other setting of a timer has.
    pub(crate) number: u64,
}

impl fmt::Debug for Timer {
    /// Without the payload: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("when", &self.when).field("due", &self.due).finish_non_exhaustive()
    }
}
