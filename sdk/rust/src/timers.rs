//! Acts later, on the hub of the event that is being handled: [`Hub::fired`](crate::Hub::fired) is told when a timer is due, at least
//! once each time. A timer is known by its name: who sets one takes the place of the one before.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hubgate_plugin::timers::Lifetime;
//! use hubgate_plugin::{Error, timers};
//!
//! # fn handle() -> Result<(), Error> {
//! timers::every("tick", Duration::from_millis(50), [], Lifetime::Process)?;
//! timers::after("remind/ann", Duration::from_secs(3600), "Drink a glass of water.", Lifetime::Durable)?;
//! let was_set = timers::cancel("tick")?;
//! # let _ = was_set;
//! # Ok(())
//! # }
//! ```
//!
//! A timer that cannot be set is an [`Error::Failed`], for the log. Whoever wants to tell the reasons apart calls
//! [`contract::timers`](crate::contract::timers).

use std::time::{Duration, SystemTime};

use crate::Error;
use crate::bindings::hubgate::plugin::timers as contract;

pub use contract::{Schedule, Timer};

/// How long a timer lasts that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It is kept as [`state`](crate::state) is, and is there after a restart.
    Durable,
    /// As long as the gateway runs. Nothing is written: such timers are for fast ticks.
    Process,
}

/// Fires once, after so long.
pub fn after(name: &str, time: Duration, payload: impl AsRef<[u8]>, lifetime: Lifetime) -> Result<(), Error> {
    set(name, Schedule::After(milliseconds(time)), payload, lifetime)
}

/// Fires once, at this time; at once if it is past.
pub fn at(name: &str, time: SystemTime, payload: impl AsRef<[u8]>, lifetime: Lifetime) -> Result<(), Error> {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    set(name, Schedule::At(milliseconds(since_1970)), payload, lifetime)
}

/// Fires again and again, with so long between the times at which it is due. Of times that are missed one is fired.
pub fn every(name: &str, period: Duration, payload: impl AsRef<[u8]>, lifetime: Lifetime) -> Result<(), Error> {
    set(name, Schedule::Every(milliseconds(period)), payload, lifetime)
}

/// Says whether there was such a timer.
pub fn cancel(name: &str) -> Result<bool, Error> {
    contract::cancel(name).map_err(|error| refused(name, error))
}

/// Timers of the hub by their names, those after `after`: at most `limit`, and fewer where they are large. There are no more when none
/// come.
pub fn list(after: Option<&str>, limit: u32) -> Result<Vec<Timer>, Error> {
    contract::list(after, limit).map_err(|error| refused("", error))
}

fn set(name: &str, when: Schedule, payload: impl AsRef<[u8]>, lifetime: Lifetime) -> Result<(), Error> {
    let is_durable = lifetime == Lifetime::Durable;
    contract::set(name, when, payload.as_ref(), is_durable).map_err(|error| refused(name, error))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn refused(name: &str, error: contract::Error) -> Error {
    let reason = match error {
        contract::Error::TooMany => "the plugin has as many timers as it may have (`timers`)".to_owned(),
        contract::Error::TooShort => "its period is shorter than the plugin's may be (`shortest-period`)".to_owned(),
        contract::Error::TooLarge => "its name is longer than 1,024 characters, or its payload than 1 MiB".to_owned(),
        contract::Error::Unavailable(reason) => reason,
    };
    Error::Failed(format!("timer {name:?}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_set_a_timer_is_told_which_one_and_why() {
        let text = |error| match refused("tick", error) {
            Error::Failed(text) => text,
            Error::Rejected(text) => panic!("the client is not told: {text}"),
        };
        assert_eq!(text(contract::Error::Unavailable("no disk".to_owned())), "timer \"tick\": no disk");
        assert!(text(contract::Error::TooMany).contains("`timers`"));
        assert!(text(contract::Error::TooShort).contains("`shortest-period`"));
    }
}
