//! The values that a plugin keeps with the host: shared by all its instances, not touched by a swap, and lasting where there
//! is a [`Store`]. Memory has all of them; the store has them for the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hubgate_core::id::PluginName;

use crate::limits::{STATE_KEY_BYTES, STATE_KEYS_PER_PAGE, STATE_VALUE_BYTES};
use crate::store::{Store, StoreError, Stored};

/// What a value costs beside its key and its bytes, in bytes.
const ENTRY_BYTES: usize = 128;
/// Expired values that one write removes; more only while the room is needed.
const SWEEP: usize = 32;

/// Why the state did not do as told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateError {
    /// The key or the value is longer than allowed.
    TooLarge,
    /// The plugin's values would weigh more than allowed.
    Quota,
    /// Anything else, in words.
    Unavailable(String),
}

/// The values of one plugin. Time is an argument: a value whose time to live is over is gone for every operation, and
/// its memory is freed by the writes that follow.
#[derive(Debug)]
pub(crate) struct State {
    plugin: PluginName,
    store: Arc<Store>,
    /// What the values may weigh together, in bytes.
    pub(crate) allowed: usize,
    entries: BTreeMap<Arc<str>, Entry>,
    expiries: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

impl Entry {
    fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl State {
    /// With what was stored of the plugin. `now` is the present by both clocks.
    pub(crate) fn load(
        plugin: PluginName,
        store: Arc<Store>,
        allowed: usize,
        now: (Instant, SystemTime),
    ) -> Result<State, StoreError> {
        let stored = store.load(&plugin)?;
        let (entries, expiries) = Default::default();
        let mut state = State { plugin, store, allowed, entries, expiries, bytes: 0 };
        for Stored { key, value, expires } in stored {
            let left = expires.map(|expires| expires.duration_since(now.1).unwrap_or_default());
            match left {
                Some(Duration::ZERO) => state.store.write(&state.plugin, &key, None)?,
                left => state.insert(&key, value, expiry(left, now.0)),
            }
        }
        Ok(state)
    }

    pub(crate) fn get(&self, key: &str, now: Instant) -> Result<Option<&[u8]>, StateError> {
        check_key(key)?;
        Ok(self.entries.get(key).filter(|entry| entry.is_live(now)).map(|entry| entry.value.as_slice()))
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Vec<u8>,
        time_to_live: Option<Duration>,
        now: Instant,
    ) -> Result<(), StateError> {
        self.put(key, value, expiry(time_to_live, now), now)
    }

    /// Sets, or with `None` deletes, only if the present value is `expected`; says whether it did.
    pub(crate) fn compare_and_set(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
        time_to_live: Option<Duration>,
        now: Instant,
    ) -> Result<bool, StateError> {
        if self.get(key, now)? != expected {
            return Ok(false);
        }
        match value {
            Some(value) => self.put(key, value, expiry(time_to_live, now), now)?,
            None => self.delete(key)?,
        }
        Ok(true)
    }

    pub(crate) fn delete(&mut self, key: &str) -> Result<(), StateError> {
        check_key(key)?;
        if self.entries.contains_key(key) {
            self.store.write(&self.plugin, key, None).map_err(unavailable)?;
            self.remove(key);
        }
        Ok(())
    }

    /// Adds to a number, kept as decimal text. A missing one counts as 0 and gets the time to live.
    pub(crate) fn increment(
        &mut self,
        key: &str,
        by: i64,
        time_to_live: Option<Duration>,
        now: Instant,
    ) -> Result<i64, StateError> {
        check_key(key)?;
        let present = self.entries.get(key).filter(|entry| entry.is_live(now));
        let (number, expires) = match present {
            Some(entry) => (number(&entry.value)?, entry.expires),
            None => (0, expiry(time_to_live, now)),
        };
        let sum = number
            .checked_add(by)
            .ok_or_else(|| StateError::Unavailable("the sum is out of the range of s64".to_owned()))?;
        self.put(key, sum.to_string().into_bytes(), expires, now)?;
        Ok(sum)
    }

    /// Keys that start with `prefix`, in byte order, behind `after`; at most `limit` and at most 1,000.
    pub(crate) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize, now: Instant) -> Vec<String> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, entry)| entry.is_live(now))
            .take(limit.min(STATE_KEYS_PER_PAGE))
            .map(|(key, _)| key.to_string())
            .collect()
    }

    fn put(&mut self, key: &str, value: Vec<u8>, expires: Option<Instant>, now: Instant) -> Result<(), StateError> {
        check_key(key)?;
        if value.len() > STATE_VALUE_BYTES {
            return Err(StateError::TooLarge);
        }
        let weight = weight(key, &value);
        let replaced = self.entries.get(key).map_or(0, |entry| self::weight(key, &entry.value));
        for swept in 0.. {
            let needed = self.bytes - replaced + weight > self.allowed;
            if (swept >= SWEEP && !needed) || !self.remove_expired(key, now)? {
                break;
            }
        }
        if self.bytes - replaced + weight > self.allowed {
            return Err(StateError::Quota);
        }
        let end = expires.map(|expires| SystemTime::now() + expires.saturating_duration_since(now));
        self.store.write(&self.plugin, key, Some((&value, end))).map_err(unavailable)?;
        self.remove(key);
        self.insert(key, value, expires);
        Ok(())
    }

    fn insert(&mut self, key: &str, value: Vec<u8>, expires: Option<Instant>) {
        self.bytes += weight(key, &value);
        let key: Arc<str> = key.into();
        if let Some(expires) = expires {
            self.expiries.insert((expires, Arc::clone(&key)));
        }
        self.entries.insert(key, Entry { value, expires });
    }

    /// Removes one value whose time is over, if there is one other than `except`, which is about to be written.
    fn remove_expired(&mut self, except: &str, now: Instant) -> Result<bool, StateError> {
        let expired = self.expiries.iter().take_while(|(expires, _)| *expires <= now);
        let Some((_, key)) = expired.filter(|(_, key)| **key != *except).take(1).next() else { return Ok(false) };
        let key = Arc::clone(key);
        self.delete(&key)?;
        Ok(true)
    }

    fn remove(&mut self, key: &str) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        self.bytes -= weight(&key, &entry.value);
        if let Some(expires) = entry.expires {
            self.expiries.remove(&(expires, key));
        }
    }
}

/// What went wrong with the store is in the log; the guest cannot do anything about it.
fn unavailable(_: StoreError) -> StateError {
    StateError::Unavailable("the store cannot be written".to_owned())
}

fn check_key(key: &str) -> Result<(), StateError> {
    match key.len() <= STATE_KEY_BYTES {
        true => Ok(()),
        false => Err(StateError::TooLarge),
    }
}

fn weight(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

/// A time to live that ends beyond what the clock can tell has no end.
fn expiry(time_to_live: Option<Duration>, now: Instant) -> Option<Instant> {
    now.checked_add(time_to_live?)
}

fn number(value: &[u8]) -> Result<i64, StateError> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StateError::Unavailable("the value is not a number".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// That may weigh 4 MiB.
    fn state(folder: Option<&std::path::Path>) -> State {
        let store = Arc::new(Store::new(folder.map(Into::into)));
        State::load(PluginName::new("p"), store, 4 << 20, (Instant::now(), SystemTime::now())).unwrap()
    }

    #[test]
    fn what_was_written_is_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let now = Instant::now();
        let mut before = state(Some(&folder));
        before.set("kept", b"1".to_vec(), None, now).unwrap();
        before.set("expiring", b"2".to_vec(), Some(9000 * SECOND), now).unwrap();
        before.set("expired", b"3".to_vec(), Some(Duration::ZERO), now).unwrap();
        before.set("deleted", b"4".to_vec(), None, now).unwrap();
        before.delete("deleted").unwrap();
        assert_eq!(before.increment("count", 2, None, now), Ok(2));
        drop(before);
        let mut after = state(Some(&folder));
        let now = Instant::now();
        assert_eq!(after.keys("", None, 10, now), ["count", "expiring", "kept"]);
        assert_eq!(after.increment("count", 1, None, now), Ok(3));
        assert_eq!(after.get("expiring", now + 8000 * SECOND).unwrap(), Some(&b"2"[..]));
        assert_eq!(after.get("expiring", now + 9001 * SECOND).unwrap(), None);
    }

    #[test]
    fn plugins_do_not_see_each_others_values() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::new(Some(folder.path().join("state"))));
        let now = (Instant::now(), SystemTime::now());
        let load = |name: &str| State::load(PluginName::new(name), store.clone(), 4 << 20, now).unwrap();
        load("a").set("bc", b"1".to_vec(), None, now.0).unwrap();
        load("ab").set("c", b"2".to_vec(), None, now.0).unwrap();
        assert_eq!(load("a").keys("", None, 10, now.0), ["bc"]);
        assert_eq!(load("ab").keys("", None, 10, now.0), ["c"]);
    }

    #[test]
    fn a_value_lives_as_long_as_it_was_told() {
        let (mut state, now) = (state(None), Instant::now());
        state.set("k", b"v".to_vec(), Some(SECOND), now).unwrap();
        assert_eq!(state.get("k", now).unwrap(), Some(&b"v"[..]));
        assert_eq!(state.get("k", now + SECOND).unwrap(), None);
        assert_eq!(state.keys("", None, 10, now + SECOND), Vec::<String>::new());
        state.set("k", b"w".to_vec(), None, now + SECOND).unwrap();
        assert_eq!(state.get("k", now + 9 * SECOND).unwrap(), Some(&b"w"[..]));
    }

    #[test]
    fn a_number_keeps_the_end_it_was_made_with() {
        let (mut state, now) = (state(None), Instant::now());
        assert_eq!(state.increment("n", 2, Some(SECOND), now), Ok(2));
        assert_eq!(state.increment("n", -5, Some(9 * SECOND), now), Ok(-3));
        assert_eq!(state.get("n", now).unwrap(), Some(&b"-3"[..]));
        assert_eq!(state.increment("n", 1, None, now + SECOND), Ok(1));
        state.set("n", b"x".to_vec(), None, now).unwrap();
        assert!(matches!(state.increment("n", 1, None, now), Err(StateError::Unavailable(_))));
        state.set("n", i64::MAX.to_string().into_bytes(), None, now).unwrap();
        assert!(matches!(state.increment("n", 1, None, now), Err(StateError::Unavailable(_))));
    }

    #[test]
    fn compare_and_set_acts_on_the_expected_value_only() {
        let (mut state, now) = (state(None), Instant::now());
        let mut swap = |expected: Option<&[u8]>, value: Option<&[u8]>| {
            state.compare_and_set("k", expected, value.map(<[u8]>::to_vec), None, now).unwrap()
        };
        assert!(swap(None, Some(b"1")));
        assert!(!swap(None, Some(b"2")));
        assert!(swap(Some(b"1"), Some(b"2")));
        assert!(!swap(Some(b"1"), None));
        assert!(swap(Some(b"2"), None));
        assert!(swap(None, Some(b"3")));
    }

    #[test]
    fn keys_come_in_pages() {
        let (mut state, now) = (state(None), Instant::now());
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            state.set(key, Vec::new(), None, now).unwrap();
        }
        assert_eq!(state.keys("a/", None, 2, now), ["a/1", "a/2"]);
        assert_eq!(state.keys("a/", Some("a/2"), 2, now), ["a/3"]);
        assert_eq!(state.keys("b/", Some("a/2"), 2, now), ["b/1"]);
        assert_eq!(state.keys("a/", Some("b"), 2, now), Vec::<String>::new());
    }

    #[test]
    fn size_and_quota_are_bounded_and_expired_values_make_room() {
        let (mut state, now) = (state(None), Instant::now());
        let value = || vec![0; STATE_VALUE_BYTES];
        assert_eq!(state.set("k", vec![0; STATE_VALUE_BYTES + 1], None, now), Err(StateError::TooLarge));
        assert_eq!(state.get(&"k".repeat(STATE_KEY_BYTES + 1), now), Err(StateError::TooLarge));
        let fit = (4 << 20) / weight("00", &value());
        for index in 0..fit {
            state.set(&format!("{index:02}"), value(), Some(SECOND), now).unwrap();
        }
        assert_eq!(state.set("zz", value(), None, now), Err(StateError::Quota));
        state.set("00", value(), Some(SECOND), now).unwrap();
        for index in 0..fit {
            state.set(&format!("z{index}"), value(), None, now + SECOND).unwrap();
        }
        assert_eq!(state.keys("", None, 1_000, now).len(), state.entries.len());
        assert_eq!(state.bytes, state.entries.iter().map(|(k, e)| weight(k, &e.value)).sum::<usize>());
        assert!(state.bytes <= 4 << 20);
    }

    #[test]
    fn the_account_is_empty_when_the_state_is() {
        let (mut state, now) = (state(None), Instant::now());
        for round in 0..3 {
            for key in ["a", "b", "c"] {
                state.set(key, vec![0; 10 * (round + 1)], Some(SECOND), now).unwrap();
            }
        }
        assert_eq!(state.expiries.len(), 3);
        for key in ["a", "b", "c"] {
            state.delete(key).unwrap();
        }
        assert_eq!((state.bytes, state.expiries.len()), (0, 0));
    }
}
