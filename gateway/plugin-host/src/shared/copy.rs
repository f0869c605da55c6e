//! What this process knows of the records of one plugin: what was there at one moment, and all that came since. It holds at least what
//! this process has written itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hubgate_core::id::PluginName;

use super::door::Stored;
use super::record::{About, Record, Unreadable};
use crate::clock::Clock;
use crate::state::{Entry, State, StateError, check_key};

/// Removed values whose revisions are remembered although all is known that was written before, in number.
const REMEMBERED: usize = 1_000;
/// Values that are removed from memory with each record that comes, when their time is over, in number.
const SWEEP: usize = 16;
/// The same now and then: readers wait meanwhile.
const TIDY: usize = 1_000;
/// What a value costs beside what it costs one gateway alone, in bytes: its place here, its revision, and some ten writers.
const RECORD_BYTES: usize = 256;

/// The values of one plugin in memory.
#[derive(Debug)]
pub(super) struct Copy {
    plugin: PluginName,
    clock: Clock,
    known: Mutex<Known>,
    /// Of `known.access`.
    changed: Condvar,
}

#[derive(Debug)]
struct Known {
    state: State,
    records: HashMap<Arc<str>, Remembered>,
    /// Records without a value, oldest first.
    gone: VecDeque<(u64, Arc<str>)>,
    access: Access,
    /// Whether everything has come once.
    is_loaded: bool,
    incarnation: Option<u64>,
    /// The keys that have come since everything began to come, while it does.
    coming: Option<HashSet<Arc<str>>>,
    /// No record with a lower revision will come.
    heard_to: u64,
    /// Whether the log knows of an unreadable record.
    has_complained: bool,
}

/// What is known of a record beside its value.
#[derive(Debug, Clone)]
struct Remembered {
    revision: u64,
    about: Result<About, Unreadable>,
}

/// Whether the store takes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// For this reason it does not.
    Away(String),
    /// It never will, as it is; the reason says what to do.
    Unfit(String),
    Open,
}

impl Default for Access {
    fn default() -> Access {
        Access::Away("it has not been reached yet".to_owned())
    }
}

/// A record, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Present {
    /// 0: there is none.
    pub(super) revision: u64,
    pub(super) record: Record,
}

impl Present {
    pub(super) fn of(stored: Option<Stored>) -> Result<Present, StateError> {
        let Some(Stored { revision, record }) = stored else { return Ok(Present::default()) };
        let record = Record::decode(record).map_err(|Unreadable| unreadable())?;
        Ok(Present { revision, record })
    }
}

impl Copy {
    pub(super) fn new(plugin: PluginName, clock: Clock) -> Copy {
        Copy { plugin, clock, known: Mutex::new(Known::with(Access::default())), changed: Condvar::new() }
    }

    /// Lets `look` see the values as they are, if they have come; nobody may wait meanwhile.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State, Instant) -> Result<T, StateError>) -> Result<T, StateError> {
        let known = self.known();
        match known.is_loaded {
            true => look(&known.state, self.clock.now()),
            false => Err(known.access.error()),
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.look(|state, now| Ok(state.get(key, now)?.map(<[u8]>::to_vec)))?;
        match self.known().records.get(key) {
            Some(Remembered { about: Err(Unreadable), .. }) => Err(unreadable()),
            _ => Ok(value),
        }
    }

    /// What the values weigh together, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.known().state.bytes()
    }

    /// The record of a key, to be replaced; an error if nothing can be changed now.
    pub(super) fn present(&self, key: &str) -> Result<Present, StateError> {
        let known = self.known();
        if known.access != Access::Open {
            return Err(known.access.error());
        }
        let Some(Remembered { revision, about }) = known.records.get(key).cloned() else {
            return Ok(Present::default());
        };
        let about = about.map_err(|Unreadable| unreadable())?;
        let value = known.state.entry(key).map(|entry| Bytes::copy_from_slice(&entry.value));
        Ok(Present { revision, record: Record { value, about } })
    }

    /// Whether there is room for a value of so many bytes, as far as is known.
    pub(super) fn check_room(&self, key: &str, value: usize, allowed: usize) -> Result<(), StateError> {
        let mut known = self.known();
        let room = known.state.check_room(key, value, allowed, self.clock.now());
        known.forget_swept();
        room
    }

    /// Waits until the values have come once or it is known that they will not. Gives up after a while.
    pub(super) fn wait(&self, until: Instant) -> Access {
        let mut known = self.known();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || known.is_loaded || matches!(known.access, Access::Unfit(_)) {
                return known.access.clone();
            }
            known = self.changed.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Which store it is of those that have been in this place.
    pub(super) fn incarnation(&self) -> Option<u64> {
        self.known().incarnation
    }

    /// This process has written a record to that store, or has just read it there.
    pub(super) fn knows(&self, incarnation: Option<u64>, key: &str, stored: &Stored) {
        let mut known = self.known();
        // What was in another store would hide what is in this one, as its revision may be higher.
        if known.incarnation == incarnation {
            self.put(&mut known, key, stored);
        }
    }

    pub(super) fn begins(&self, incarnation: u64) {
        let mut known = self.known();
        if known.incarnation.is_some_and(|before| before != incarnation) {
            let access = std::mem::take(&mut known.access);
            *known = Known::with(access);
        }
        known.incarnation = Some(incarnation);
        known.coming = Some(HashSet::new());
        // What comes now may be older than what has come.
        known.heard_to = 0;
    }

    pub(super) fn hears(&self, key: &str, stored: &Stored) {
        let mut known = self.known();
        // No gateway writes longer keys.
        if check_key(key).is_ok() {
            self.put(&mut known, key, stored);
        }
        known.heard_to = known.heard_to.max(stored.revision);
        known.state.sweep(SWEEP, self.clock.now());
        known.forget_swept();
    }

    pub(super) fn is_complete(&self) {
        let mut known = self.known();
        if let Some(come) = known.coming.take() {
            let missing: Vec<Arc<str>> = known.records.keys().filter(|key| !come.contains(*key)).cloned().collect();
            for key in missing {
                known.records.remove(&key);
                known.state.replace(key, None);
            }
            known.state.take_replaced();
        }
        if !known.is_loaded {
            let (plugin, values, bytes) = (&self.plugin, known.records.len(), known.state.bytes());
            tracing::info!(%plugin, values, bytes, "what the plugin keeps in the cluster has come");
        }
        (known.is_loaded, known.access) = (true, Access::Open);
        self.changed.notify_all();
    }

    /// Removes some values whose time is over.
    pub(super) fn tidy(&self) {
        let mut known = self.known();
        known.state.sweep(TIDY, self.clock.now());
        known.forget_swept();
    }

    pub(super) fn is_away(&self, reason: &str) {
        self.set_access(Access::Away(reason.to_owned()));
    }

    pub(super) fn is_unfit(&self, reason: &str) {
        let access = Access::Unfit(reason.to_owned());
        if self.known().access != access {
            tracing::error!(plugin = %self.plugin, reason, "the plugin cannot keep anything in the cluster");
        }
        self.set_access(access);
    }

    fn set_access(&self, access: Access) {
        self.known().access = access;
        self.changed.notify_all();
    }

    /// A record that is older than what is known of its key is passed over.
    fn put(&self, known: &mut Known, key: &str, Stored { revision, record }: &Stored) {
        let key: Arc<str> = match known.records.get_key_value(key) {
            Some((key, _)) => key.clone(),
            None => key.into(),
        };
        if let Some(coming) = &mut known.coming {
            coming.insert(key.clone());
        }
        if known.records.get(&key).is_some_and(|known| known.revision >= *revision) {
            return;
        }
        let (value, about) = match Record::decode(record.clone()) {
            Ok(Record { value, about }) => (value, Ok(about)),
            Err(Unreadable) => (None, Err(Unreadable)),
        };
        if about.is_err() && !std::mem::replace(&mut known.has_complained, true) {
            let plugin = &self.plugin;
            tracing::warn!(%plugin, "the plugin has a value in the cluster that this version cannot read");
        }
        let is_readable = about.is_ok();
        let expires = about.as_ref().map_or(None, |about| about.expires);
        let entry = value.and_then(|value| self.entry(&value, expires));
        if entry.is_none() && is_readable {
            known.gone.push_back((*revision, key.clone()));
        }
        known.records.insert(key.clone(), Remembered { revision: *revision, about });
        known.state.replace(key, entry);
        known.state.take_replaced();
        known.forget_gone();
    }

    /// A value, unless its time is over. `expires` is in milliseconds since 1970.
    fn entry(&self, value: &[u8], expires: Option<u64>) -> Option<Entry> {
        let expires = match expires {
            None => None,
            Some(expires) => {
                let left = Duration::from_millis(expires).checked_sub(self.clock.since_1970())?;
                self.clock.now().checked_add(left)
            }
        };
        Some(Entry { value: value.to_vec(), expires })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Nothing yet.
    fn with(access: Access) -> Known {
        Known {
            state: State::with_extra(RECORD_BYTES),
            records: HashMap::new(),
            gone: VecDeque::new(),
            access,
            is_loaded: false,
            incarnation: None,
            coming: None,
            heard_to: 0,
            has_complained: false,
        }
    }

    /// Values that were removed because their time was over are like others that were removed.
    fn forget_swept(&mut self) {
        for replaced in self.state.take_replaced() {
            if let Some(record) = self.records.get(&replaced.key) {
                self.gone.push_back((record.revision, replaced.key));
            }
        }
        self.forget_gone();
    }

    /// Forgets the records of removed values, but not as long as an older one of the same key may come.
    fn forget_gone(&mut self) {
        while self.gone.len() > REMEMBERED && self.gone.front().is_some_and(|(revision, _)| *revision <= self.heard_to)
        {
            let Some((revision, key)) = self.gone.pop_front() else { return };
            if self.records.get(&key).is_some_and(|record| record.revision == revision) {
                self.records.remove(&key);
            }
        }
    }
}

impl Access {
    pub(super) fn error(&self) -> StateError {
        StateError::Unavailable(match self {
            Access::Away(reason) => format!("what the cluster keeps is not reached: {reason}"),
            Access::Unfit(reason) => reason.clone(),
            Access::Open => "what the cluster keeps has not come yet".to_owned(),
        })
    }
}

fn unreadable() -> StateError {
    StateError::Unavailable("the value was not written by this version of Hubgate, which cannot read it".to_owned())
}
