//! The values that a plugin keeps with the host: shared by all its instances, not touched by a swap, and lasting where there
//! is a folder for them. Memory has all of them; [`crate::store`] changes them, and keeps them for the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{STATE_KEY_BYTES, STATE_KEYS_PER_PAGE, STATE_VALUE_BYTES};
use crate::sections::Numbers;

/// What a value costs beside its key and its bytes, in bytes.
const ENTRY_BYTES: usize = 128;
/// Expired values that one change removes to make room, in number. Others are removed within a second in any case.
const SWEEP: usize = 1_000;

/// Why a guest whose numbers are doubles is refused a sum.
const DIGITS_LOST: &str = "increment: an integer beyond 2^53 - 1 would lose digits in this language; nothing was added, keep it as \
                           text with compare-and-set";

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

/// What a plugin wants changed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) operation: Operation,
    /// Of a value that the change makes.
    pub(crate) time_to_live: Option<Duration>,
    /// What the plugin's values may weigh together, in bytes.
    pub(crate) allowed: usize,
}

impl Change {
    /// What it may add to what is kept, and to what is written, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let value = match &self.operation {
            Operation::Set(value) => value.len(),
            Operation::CompareAndSet { value, .. } => value.as_ref().map_or(0, Vec::len),
            Operation::Delete | Operation::Increment(..) => 0,
        };
        self.key.len() + value + ENTRY_BYTES
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Set(Vec<u8>),
    /// Sets, or with no new value deletes, only if the present value is `expected`.
    CompareAndSet {
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    },
    Delete,
    /// Adds to a number, kept as decimal text. A missing one counts as 0; the time to live is that of its first change.
    /// Refused when who asks for it would get another number.
    Increment(i64, Numbers),
}

/// What is to become of a value, whose end is an `E`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<E> {
    /// It stays as it is.
    Keep,
    Put(Vec<u8>, Option<E>),
    Remove,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    Done,
    /// Whether the present value was the expected one.
    Compared(bool),
    Sum(i64),
}

/// The values of one plugin. Time is an argument: a value whose time to live is over is gone for every operation, and
/// its memory is freed by [`State::sweep`].
#[derive(Debug, Default)]
pub(crate) struct State {
    entries: BTreeMap<Arc<str>, Entry>,
    expiries: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
    /// What a value weighs beside its key, its bytes and [`ENTRY_BYTES`], in bytes.
    extra: usize,
    /// What was there before, of each key that was changed since [`State::take_replaced`].
    replaced: Vec<Replaced>,
}

#[derive(Debug)]
pub(crate) struct Replaced {
    pub(crate) key: Arc<str>,
    before: Option<Entry>,
}

/// Keys that were found in one go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// The last key that was looked at, if there may be more after it.
    pub(crate) seen_to: Option<Arc<str>>,
}

/// A value and its end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    pub(crate) expires: Option<Instant>,
}

impl Entry {
    fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl State {
    /// Without values, each of which costs `extra` bytes more than it does here.
    pub(crate) fn with_extra(extra: usize) -> State {
        State { extra, ..State::default() }
    }

    pub(crate) fn get(&self, key: &str, now: Instant) -> Result<Option<&[u8]>, StateError> {
        check_key(key)?;
        Ok(self.live(key, now).map(|entry| entry.value.as_slice()))
    }

    /// Keys that start with `prefix`, in byte order, after `after`: at most `limit`, of 1,000 values at most.
    pub(crate) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize, now: Instant) -> Page {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut page = Page::default();
        let matching =
            self.entries.range::<str, _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        for (seen, (key, entry)) in matching.enumerate() {
            if seen == STATE_KEYS_PER_PAGE || page.keys.len() == limit {
                return page;
            }
            if entry.is_live(now) {
                page.keys.push(key.to_string());
            }
            page.seen_to = Some(key.clone());
        }
        Page { seen_to: None, ..page }
    }

    /// All values with their keys, in byte order of these.
    pub(crate) fn all(&self, now: Instant) -> Vec<(String, Vec<u8>)> {
        self.live_entries(now).map(|(key, entry)| (key.to_owned(), entry.value.clone())).collect()
    }

    /// The same with their ends.
    pub(crate) fn live_entries(&self, now: Instant) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.is_live(now)).map(|(key, entry)| (&**key, entry))
    }

    /// All or nothing of the change; what it has replaced is remembered.
    pub(crate) fn change(&mut self, change: Change, now: Instant) -> Result<Changed, StateError> {
        let Change { key, operation, time_to_live, allowed } = change;
        check_key(&key)?;
        let present = self.live(&key, now).map(|entry| (entry.value.as_slice(), entry.expires));
        let (outcome, changed) = operation.decide(present, expiry(time_to_live, now))?;
        match outcome {
            Outcome::Keep => {}
            Outcome::Put(value, expires) => {
                self.check_room(&key, value.len(), allowed, now)?;
                self.replace(key.into(), Some(Entry { value, expires }));
            }
            Outcome::Remove => self.replace(key.into(), None),
        }
        Ok(changed)
    }

    /// What all values weigh together, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes values whose time is over, up to so many; what it has removed is remembered.
    pub(crate) fn sweep(&mut self, most: usize, now: Instant) {
        let expired = self.expiries.iter().take_while(|(expires, _)| *expires <= now).take(most);
        let keys: Vec<Arc<str>> = expired.map(|(_, key)| key.clone()).collect();
        keys.into_iter().for_each(|key| self.replace(key, None));
    }

    /// Whether time alone will change something.
    pub(crate) fn has_expiries(&self) -> bool {
        !self.expiries.is_empty()
    }

    /// What was replaced since the last time, oldest first.
    pub(crate) fn take_replaced(&mut self) -> Vec<Replaced> {
        std::mem::take(&mut self.replaced)
    }

    /// Undoes what has replaced these.
    pub(crate) fn put_back(&mut self, replaced: Vec<Replaced>) {
        for Replaced { key, before } in replaced.into_iter().rev() {
            self.replace(key, before);
        }
        self.replaced.clear();
    }

    /// What is there now, whether its time is over or not.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Puts a value there, or removes the one that is.
    pub(crate) fn replace(&mut self, key: Arc<str>, entry: Option<Entry>) {
        let (key, before) = match self.entries.remove_entry(&*key) {
            Some((key, before)) => (key, Some(before)),
            None => (key, None),
        };
        if let Some(before) = &before {
            self.bytes -= self.weight(&key, before.value.len());
            if let Some(expires) = before.expires {
                self.expiries.remove(&(expires, key.clone()));
            }
        }
        if before.is_none() && entry.is_none() {
            return;
        }
        if let Some(entry) = entry {
            self.bytes += self.weight(&key, entry.value.len());
            if let Some(expires) = entry.expires {
                self.expiries.insert((expires, key.clone()));
            }
            self.entries.insert(key.clone(), entry);
        }
        self.replaced.push(Replaced { key, before });
    }

    /// What a value of so many bytes costs with its key, in bytes.
    fn weight(&self, key: &str, value: usize) -> usize {
        key.len() + value + ENTRY_BYTES + self.extra
    }

    fn live(&self, key: &str, now: Instant) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.is_live(now))
    }

    /// Whether there is room for a value of so many bytes in the place of the present one.
    pub(crate) fn check_room(
        &mut self,
        key: &str,
        value: usize,
        allowed: usize,
        now: Instant,
    ) -> Result<(), StateError> {
        if value > STATE_VALUE_BYTES {
            return Err(StateError::TooLarge);
        }
        let weight = self.weight(key, value);
        let is_too_much = |state: &State| {
            let replaced = state.entries.get(key).map_or(0, |entry| state.weight(key, entry.value.len()));
            state.bytes - replaced + weight > allowed
        };
        if is_too_much(self) {
            self.sweep(SWEEP, now);
        }
        match is_too_much(self) {
            true => Err(StateError::Quota),
            false => Ok(()),
        }
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), StateError> {
    match key.len() <= STATE_KEY_BYTES {
        true => Ok(()),
        false => Err(StateError::TooLarge),
    }
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

impl fmt::Debug for Entry {
    /// Without the value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("bytes", &self.value.len()).field("expires", &self.expires).finish()
    }
}

impl Operation {
    /// What it makes of the present value, which has its end with it. `expires` is that of a new one.
    pub(crate) fn decide<E>(
        self,
        present: Option<(&[u8], Option<E>)>,
        expires: Option<E>,
    ) -> Result<(Outcome<E>, Changed), StateError> {
        Ok(match self {
            Operation::Set(value) => (Outcome::Put(value, expires), Changed::Done),
            Operation::CompareAndSet { expected, value } => {
                if present.map(|(value, _)| value) != expected.as_deref() {
                    return Ok((Outcome::Keep, Changed::Compared(false)));
                }
                let outcome = value.map_or(Outcome::Remove, |value| Outcome::Put(value, expires));
                (outcome, Changed::Compared(true))
            }
            Operation::Delete => (Outcome::Remove, Changed::Done),
            Operation::Increment(by, numbers) => {
                let (number, expires) = match present {
                    Some((value, expires)) => (number(value)?, expires),
                    None => (0, expires),
                };
                let sum = number
                    .checked_add(by)
                    .ok_or_else(|| StateError::Unavailable("the sum is out of the range of s64".to_owned()))?;
                if !numbers.hold(by) || !numbers.hold(sum) {
                    return Err(StateError::Unavailable(DIGITS_LOST.to_owned()));
                }
                (Outcome::Put(sum.to_string().into_bytes(), expires), Changed::Sum(sum))
            }
        })
    }

    /// Of all values in it, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Operation::Set(value) => value.len(),
            Operation::CompareAndSet { expected, value } => {
                expected.as_ref().map_or(0, Vec::len) + value.as_ref().map_or(0, Vec::len)
            }
            Operation::Delete | Operation::Increment(..) => 0,
        }
    }
}

impl fmt::Debug for Operation {
    /// Without the values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Set(_) => "Set",
            Operation::CompareAndSet { .. } => "CompareAndSet",
            Operation::Delete => "Delete",
            Operation::Increment(..) => "Increment",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALLOWED: usize = 4 << 20;

    impl State {
        fn does(
            &mut self,
            key: &str,
            operation: Operation,
            time_to_live: Option<Duration>,
            now: Instant,
        ) -> Result<Changed, StateError> {
            self.change(Change { key: key.to_owned(), operation, time_to_live, allowed: ALLOWED }, now)
        }

        fn sets(
            &mut self,
            key: &str,
            value: impl Into<Vec<u8>>,
            time_to_live: Option<Duration>,
            now: Instant,
        ) -> Result<Changed, StateError> {
            self.does(key, Operation::Set(value.into()), time_to_live, now)
        }
    }

    fn state() -> (State, Instant) {
        (State::default(), Instant::now())
    }

    #[test]
    fn a_value_lives_as_long_as_it_was_told() {
        let (mut state, now) = state();
        state.sets("k", "v", Some(SECOND), now).unwrap();
        assert_eq!(state.get("k", now).unwrap(), Some(&b"v"[..]));
        assert_eq!(state.get("k", now + SECOND).unwrap(), None);
        assert_eq!(state.keys("", None, 10, now + SECOND).keys, Vec::<String>::new());
        state.sets("k", "w", None, now + SECOND).unwrap();
        assert_eq!(state.get("k", now + 9 * SECOND).unwrap(), Some(&b"w"[..]));
    }

    #[test]
    fn a_number_keeps_the_end_it_was_made_with() {
        let (mut state, now) = state();
        let mut add =
            |by, time_to_live, now| state.does("n", Operation::Increment(by, Numbers::Exact), time_to_live, now);
        assert_eq!(add(2, Some(SECOND), now), Ok(Changed::Sum(2)));
        assert_eq!(add(-5, Some(9 * SECOND), now), Ok(Changed::Sum(-3)));
        assert_eq!(add(1, None, now + SECOND), Ok(Changed::Sum(1)));
        assert_eq!(state.get("n", now).unwrap(), Some(&b"1"[..]));
        for no_more in ["x".to_owned(), i64::MAX.to_string()] {
            state.sets("n", no_more.clone(), None, now).unwrap();
            let refused = state.does("n", Operation::Increment(1, Numbers::Exact), None, now);
            assert!(matches!(refused, Err(StateError::Unavailable(_))), "{no_more}");
        }
    }

    #[test]
    fn nothing_is_added_when_the_sum_would_lose_digits_in_the_language_that_asks() {
        let (mut state, now) = state();
        state.sets("n", ((1_i64 << 53) - 2).to_string(), None, now).unwrap();
        let mut add = |by, numbers| state.does("n", Operation::Increment(by, numbers), None, now);
        assert_eq!(add(1, Numbers::Doubles), Ok(Changed::Sum((1 << 53) - 1)));
        for by in [1, i64::MIN] {
            let refused = add(by, Numbers::Doubles);
            assert!(matches!(&refused, Err(StateError::Unavailable(why)) if why.contains("2^53")), "{refused:?}");
        }
        assert_eq!(add(1, Numbers::Exact), Ok(Changed::Sum(1 << 53)));
    }

    #[test]
    fn compare_and_set_acts_on_the_expected_value_only() {
        let (mut state, now) = state();
        let mut swap = |expected: Option<&str>, value: Option<&str>| {
            let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
            let operation = Operation::CompareAndSet { expected: bytes(expected), value: bytes(value) };
            state.does("k", operation, None, now).unwrap() == Changed::Compared(true)
        };
        assert!(swap(None, Some("1")));
        assert!(!swap(None, Some("2")));
        assert!(swap(Some("1"), Some("2")));
        assert!(!swap(Some("1"), None));
        assert!(swap(Some("2"), None));
        assert!(swap(None, Some("3")));
    }

    #[test]
    fn keys_come_in_pages() {
        let (mut state, now) = state();
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            state.sets(key, "", None, now).unwrap();
        }
        assert_eq!(state.keys("a/", None, 2, now).keys, ["a/1", "a/2"]);
        assert_eq!(state.keys("a/", Some("a/2"), 2, now).keys, ["a/3"]);
        assert_eq!(state.keys("b/", Some("a/2"), 2, now).keys, ["b/1"]);
        assert_eq!(state.keys("a/", Some("b"), 2, now).keys, Vec::<String>::new());
    }

    #[test]
    fn size_and_quota_are_bounded_and_expired_values_make_room() {
        let (mut state, now) = state();
        let value = || vec![0; STATE_VALUE_BYTES];
        assert_eq!(state.sets("k", vec![0; STATE_VALUE_BYTES + 1], None, now), Err(StateError::TooLarge));
        assert_eq!(state.get(&"k".repeat(STATE_KEY_BYTES + 1), now), Err(StateError::TooLarge));
        let fit = ALLOWED / state.weight("00", value().len());
        for index in 0..fit {
            state.sets(&format!("{index:02}"), value(), Some(SECOND), now).unwrap();
        }
        assert_eq!(state.sets("zz", value(), None, now), Err(StateError::Quota));
        state.sets("00", value(), Some(SECOND), now).unwrap();
        for index in 0..fit {
            state.sets(&format!("z{index}"), value(), None, now + SECOND).unwrap();
        }
        assert_eq!(state.keys("", None, 1_000, now).keys.len(), state.entries.len());
        assert_eq!(state.bytes, state.entries.iter().map(|(k, e)| state.weight(k, e.value.len())).sum::<usize>());
        assert!(state.bytes <= ALLOWED);
    }

    #[test]
    fn the_account_is_empty_when_the_state_is() {
        let (mut state, now) = state();
        for round in 0..3 {
            for key in ["a", "b", "c"] {
                state.sets(key, vec![0; 10 * (round + 1)], Some(SECOND), now).unwrap();
            }
        }
        assert_eq!(state.expiries.len(), 3);
        state.does("a", Operation::Delete, None, now).unwrap();
        state.sweep(1, now + SECOND);
        assert!(state.has_expiries());
        state.sweep(9, now + SECOND);
        assert_eq!((state.bytes, state.expiries.len(), state.entries.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_put_back_is_as_it_was() {
        let (mut state, now) = state();
        state.sets("a", "1", Some(SECOND), now).unwrap();
        state.sets("b", "1", None, now).unwrap();
        let (entries, bytes) = (state.entries.clone(), state.bytes);
        state.take_replaced();
        state.sets("a", "22", None, now).unwrap();
        state.does("a", Operation::Delete, None, now).unwrap();
        state.does("b", Operation::Increment(1, Numbers::Exact), None, now).unwrap();
        state.sets("c", "3", Some(SECOND), now).unwrap();
        let replaced = state.take_replaced();
        state.put_back(replaced);
        assert_eq!((&state.entries, state.bytes, state.expiries.len()), (&entries, bytes, 1));
        assert!(state.take_replaced().is_empty());
    }
}
