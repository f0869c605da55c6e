//! Small values that the gateway keeps for the plugin: they outlive instances, swaps and restarts, and are the same on
//! all threads. Writes take effect at once, whatever becomes of the call.
//!
//! A value is bytes. [`get`] and [`set`] keep JSON in them; [`increment`] keeps a number, which [`get`] reads as well.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hubgate_plugin::{Error, state};
//!
//! # fn handle() -> Result<(), Error> {
//! let scores: Option<Vec<u32>> = state::get("scores")?;
//! state::set("scores", &scores.unwrap_or_default(), None)?;
//! let calls = state::increment("calls/ann", 1, Some(Duration::from_secs(60)))?;
//! let is_first = state::compare_and_set("winner", None, Some(b"ann"), None)?;
//! # let _ = (calls, is_first);
//! # Ok(())
//! # }
//! ```
//!
//! A value that cannot be read or written is an [`Error::Failed`], for the log. Whoever wants to tell the reasons apart calls
//! [`contract::state`](crate::contract::state).

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::bindings::hubgate::plugin::state as contract;

/// The value of a key, from JSON.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    get_bytes(key)?.map(|bytes| from_json(key, &bytes)).transpose()
}

/// Keeps a value as JSON, for `time_to_live` if there is one.
pub fn set(key: &str, value: &(impl Serialize + ?Sized), time_to_live: Option<Duration>) -> Result<(), Error> {
    let json = serde_json::to_vec(value).map_err(|error| failed(key, &format!("the value is not JSON: {error}")))?;
    set_bytes(key, json, time_to_live)
}

/// The value of a key.
pub fn get_bytes(key: &str) -> Result<Option<Vec<u8>>, Error> {
    contract::get(key).map_err(|error| refused(key, error))
}

/// Keeps bytes or a text, up to 1 MiB.
pub fn set_bytes(key: &str, value: impl AsRef<[u8]>, time_to_live: Option<Duration>) -> Result<(), Error> {
    contract::set(key, value.as_ref(), milliseconds(time_to_live)).map_err(|error| refused(key, error))
}

/// Forgets a key, which need not be there.
pub fn delete(key: &str) -> Result<(), Error> {
    contract::delete(key).map_err(|error| refused(key, error))
}

/// Adds to a number and gives the sum; a key that is not there counts as 0. The time to live counts from when the key is made.
pub fn increment(key: &str, by: i64, time_to_live: Option<Duration>) -> Result<i64, Error> {
    contract::increment(key, by, milliseconds(time_to_live)).map_err(|error| refused(key, error))
}

/// Keeps `value` (forgets the key with `None`) if the present value is `expected`; says whether it did.
pub fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    time_to_live: Option<Duration>,
) -> Result<bool, Error> {
    contract::compare_and_set(key, expected, value, milliseconds(time_to_live)).map_err(|error| refused(key, error))
}

/// The keys that begin with `prefix`, in order, those after `after` if it is there, `limit` at most (and 1,000).
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    contract::keys(prefix, after, limit).map_err(|error| refused(prefix, error))
}

fn milliseconds(time_to_live: Option<Duration>) -> Option<u64> {
    time_to_live.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn from_json<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| failed(key, &format!("it is not of the expected type: {error}")))
}

fn refused(key: &str, error: contract::Error) -> Error {
    match error {
        contract::Error::TooLarge => failed(key, "the key or the value is too large"),
        contract::Error::Quota => failed(key, "there is no room left (plugins.NAME.state)"),
        contract::Error::Unavailable(reason) => failed(key, &reason),
    }
}

fn failed(key: &str, reason: &str) -> Error {
    Error::Failed(format!("state, key '{key}': {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_an_error_that_names_the_key() {
        assert_eq!(from_json::<u32>("votes", b"3").unwrap(), 3, "as `increment` keeps it");
        let error = from_json::<u32>("votes", b"\"three\"").unwrap_err();
        assert!(matches!(&error, Error::Failed(text) if text.contains("'votes'")), "{error:?}");
    }

    #[test]
    fn a_time_to_live_is_in_milliseconds() {
        assert_eq!(milliseconds(Some(Duration::from_secs(2))), Some(2000));
        assert_eq!(milliseconds(Some(Duration::MAX)), Some(u64::MAX));
        assert_eq!(milliseconds(None), None);
    }
}
