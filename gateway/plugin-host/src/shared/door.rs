//! The door to the store that several gateways share. Whoever implements it moves bytes; what they mean is decided on this side.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use hubgate_core::id::PluginName;

use super::copy::Copy;
use crate::worker::VitalSign;

/// What comes of a question to the store.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store of records by plugin and key, outside of the process. Each record has a revision: it is above 0, and above that of every
/// record of the plugin that was written before.
pub trait SharedStore: fmt::Debug + Send + Sync {
    /// The records of a plugin. `follower` is told of all of them from now on; that is over when nobody needs it any more.
    fn open(&self, plugin: &PluginName, follower: Follower) -> Arc<dyn SharedRecords>;

    /// What the store's thread shows of itself.
    fn vital_sign(&self) -> VitalSign;
}

/// The records of one plugin.
pub trait SharedRecords: fmt::Debug + Send + Sync {
    /// What is there now, and not what was there a moment ago. An error says in words why that cannot be told.
    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Result<Option<Stored>, String>>;

    /// Writes a record, and gives its revision.
    fn write<'a>(&'a self, key: &'a str, write: RecordWrite) -> Answer<'a, Result<u64, WriteError>>;

    /// The longest record that can be written now, in bytes.
    fn longest(&self) -> usize;
}

/// A record, and the number of the write that has made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    pub revision: u64,
    pub record: Bytes,
}

/// A record that is to take the place of another one.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordWrite {
    pub record: Bytes,
    /// It is written only in the place of the record with this revision; 0: only if there is none.
    pub expected: u64,
    /// When the store may forget it, counted from now; not before. `None`: it has no end.
    pub time_to_live: Option<Duration>,
}

/// Why a record was not written, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// There is another record than the expected one. Nothing was written.
    Conflict,
    /// Nothing was written, for this reason.
    Refused(String),
    /// Whether it was written, or will be, is not known, for this reason.
    InDoubt(String),
}

/// Is told what is in the store, in the order of the revisions.
#[derive(Clone)]
pub struct Follower {
    copy: Weak<Copy>,
}

impl Follower {
    pub(super) fn new(copy: &Arc<Copy>) -> Follower {
        Follower { copy: Arc::downgrade(copy) }
    }

    /// Whether anybody still wants to know.
    pub fn is_needed(&self) -> bool {
        self.copy.strong_count() > 0
    }

    /// To be called every few seconds: memory is freed of values whose time is over.
    pub fn tidies(&self) {
        self.tell(Copy::tidy);
    }

    /// From now on all records come once more. `incarnation` tells a store from another one that has taken its place, in which
    /// revisions begin anew.
    pub fn begins(&self, incarnation: u64) {
        self.tell(|copy| copy.begins(incarnation));
    }

    /// This is the record of a key.
    pub fn has(&self, key: &str, stored: &Stored) {
        self.tell(|copy| copy.hears(key, stored));
    }

    /// All records have come; what comes from now on is new. Changes can be made.
    pub fn is_complete(&self) {
        self.tell(Copy::is_complete);
    }

    /// The store is not reached, for this reason: no changes can be made.
    pub fn is_away(&self, reason: &str) {
        self.tell(|copy| copy.is_away(reason));
    }

    /// The store is there, and cannot do what is needed of it. The reason says what is to be done.
    pub fn is_unfit(&self, reason: &str) {
        self.tell(|copy| copy.is_unfit(reason));
    }

    fn tell(&self, what: impl FnOnce(&Copy)) {
        if let Some(copy) = self.copy.upgrade() {
            what(&copy);
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stored {
    /// Without the record: what is in it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("revision", &self.revision).field("bytes", &self.record.len()).finish()
    }
}

impl fmt::Debug for RecordWrite {
    /// Without the record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = f.debug_struct("RecordWrite");
        write.field("bytes", &self.record.len()).field("expected", &self.expected);
        write.field("time_to_live", &self.time_to_live).finish()
    }
}
