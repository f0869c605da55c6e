//! The pace at which clients leave when the gateway stops.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many clients of all shards have been asked to leave.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    asked: AtomicU64,
}

impl Pace {
    /// Whether one more client may be asked now, when so many are `due` to have been.
    pub(crate) fn asks_one_more(&self, due: u64) -> bool {
        let next = |asked| (asked < due).then_some(asked + 1);
        self.asked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}
