//! What the timers of one plugin take, and what is counted of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use hubgate_core::id::PluginName;

use super::TimerError;

/// What a timer takes beside its name and its payload, in bytes.
const OVERHEAD_BYTES: usize = 256;

/// What happens to timers, as metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerEvent {
    Set,
    Fired,
    /// Fired, and the guest answered with an error.
    Failed,
    /// Fired more than a second after its time.
    Late,
    /// A time of a period that passed while the one before was not over.
    Skipped,
    /// A call that broke off, after which it is fired again.
    TriedAgain,
    /// The last of the calls that broke off.
    GivenUp,
}

impl TimerEvent {
    pub(crate) const ALL: [TimerEvent; 7] = [
        TimerEvent::Set,
        TimerEvent::Fired,
        TimerEvent::Failed,
        TimerEvent::Late,
        TimerEvent::Skipped,
        TimerEvent::TriedAgain,
        TimerEvent::GivenUp,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            TimerEvent::Set => "set",
            TimerEvent::Fired => "fired",
            TimerEvent::Failed => "failed",
            TimerEvent::Late => "late",
            TimerEvent::Skipped => "skipped",
            TimerEvent::TriedAgain => "tried-again",
            TimerEvent::GivenUp => "given-up",
        }
    }
}

/// Of one plugin, in all hubs.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) plugin: PluginName,
    timers: AtomicUsize,
    bytes: AtomicUsize,
    events: [AtomicU64; TimerEvent::ALL.len()],
    /// The configuration does not have the plugin any more.
    is_closed: AtomicBool,
    /// Whether the log knows that its timers wait for a version that can be told of them.
    waits: AtomicBool,
}

/// What one timer takes of the account.
#[derive(Debug)]
pub(crate) struct Place {
    account: Arc<Account>,
    bytes: usize,
}

impl Account {
    pub(crate) fn new(plugin: PluginName) -> Account {
        Account {
            plugin,
            timers: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            events: Default::default(),
            is_closed: AtomicBool::new(false),
            waits: AtomicBool::new(false),
        }
    }

    /// A place for a timer, if there may be so many and so many bytes with it; `replaces` is what the one takes whose place it will have.
    pub(crate) fn admit(
        self: &Arc<Account>,
        bytes: usize,
        (most, most_bytes): (usize, usize),
        replaces: Option<usize>,
    ) -> Result<Place, TimerError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(TimerError::Unavailable("the configuration does not have the plugin any more".to_owned()));
        }
        let timers = self.timers.fetch_add(1, Ordering::Relaxed) + 1 - usize::from(replaces.is_some());
        let all_bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Gives it back where it is refused.
        let place = Place { account: self.clone(), bytes };
        match (timers > most, all_bytes.saturating_sub(replaces.unwrap_or(0)) > most_bytes) {
            (true, _) => Err(TimerError::TooMany),
            (false, true) => Err(TimerError::Quota),
            (false, false) => Ok(place),
        }
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// How many timers there are.
    pub(crate) fn timers(&self) -> usize {
        self.timers.load(Ordering::Relaxed)
    }

    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, event: TimerEvent, times: u64) {
        self.events[event as usize].fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self, event: TimerEvent) -> u64 {
        self.events[event as usize].load(Ordering::Relaxed)
    }

    /// Its timers wait, or do so no more; says whether that is new.
    pub(crate) fn set_waiting(&self, waits: bool) -> bool {
        self.waits.load(Ordering::Relaxed) != waits && self.waits.swap(waits, Ordering::Relaxed) != waits
    }
}

impl Place {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.account.timers.fetch_sub(1, Ordering::Relaxed);
        self.account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a timer takes, in bytes.
pub(crate) fn weight(name: &str, payload: &[u8]) -> usize {
    name.len() + payload.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_bytes_are_bounded_and_who_takes_anothers_place_needs_only_what_that_lacks() {
        let account = Arc::new(Account::new(PluginName::new("p")));
        let admit = |bytes, replaces| account.admit(bytes, (2, 100), replaces);
        let first = admit(60, None).unwrap();
        assert_eq!(admit(41, None).unwrap_err(), TimerError::Quota);
        let second = admit(40, None).unwrap();
        assert_eq!(admit(0, None).unwrap_err(), TimerError::TooMany);
        let instead = admit(60, Some(60)).unwrap();
        drop(first);
        assert_eq!(admit(61, Some(60)).unwrap_err(), TimerError::Quota);
        assert_eq!((account.timers(), account.bytes()), (2, 100));
        drop((second, instead));
        assert_eq!((account.timers(), account.bytes()), (0, 0));
    }
}
