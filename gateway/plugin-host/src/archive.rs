//! What plugins keep with `state`, read and written where no gateway runs: to back it up, and to bring it elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_core::id::PluginName;

use crate::clock::Clock;
use crate::kept::Kept;
use crate::plugin_host::{Keeping, StartError};
use crate::settings::{PluginSettings, StateScope};
use crate::shared::SharedStates;
use crate::state::{Change, Entry, Operation, State, StateError};
use crate::store::Store;

/// How long the values of a cluster are waited for.
const COMING: Duration = Duration::from_secs(15);
/// How long one change may take.
const CHANGING: Duration = Duration::from_secs(10);

/// Where plugins keep what they keep.
#[derive(Debug)]
pub struct Archive {
    folder: Option<PathBuf>,
    store: Option<Arc<Store>>,
    shared: Option<SharedStates>,
    clock: Clock,
}

/// What one plugin keeps.
#[derive(Debug, Clone)]
pub struct PluginArchive {
    kept: Kept,
    /// What its values may weigh together, in bytes.
    allowed: usize,
    clock: Clock,
}

/// A value with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptValue {
    pub key: String,
    pub value: Vec<u8>,
    /// When it ends, in milliseconds since 1970. `None`: it does not.
    pub expires: Option<u64>,
}

/// Why a value was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("its key has more than 1 KiB, or its value more than is taken there")]
    TooLarge,
    #[error("there is no room for it: `plugins.NAME.state` says how much the plugin may keep")]
    NoRoom,
    #[error("{0}")]
    Unavailable(String),
}

impl Archive {
    pub fn new(keeping: Keeping) -> Archive {
        let Keeping { folders, shared } = keeping;
        let shared = shared.map(SharedStates::new);
        Archive { folder: folders.state, store: None, shared, clock: Clock::Machine }
    }

    /// What a plugin keeps. Blocks while it is opened, which takes seconds where others have it or it is not reached. What is on this
    /// machine is for this process alone from then on.
    pub fn plugin(&mut self, plugin: &PluginSettings) -> Result<PluginArchive, StartError> {
        let kept = match plugin.state_scope {
            StateScope::Node => self.here(&plugin.name)?,
            StateScope::Cluster => self.shared(&plugin.name)?,
        };
        Ok(PluginArchive { kept, allowed: plugin.budgets.state_bytes, clock: self.clock.clone() })
    }

    fn here(&mut self, plugin: &PluginName) -> Result<Kept, StartError> {
        let store = match &self.store {
            Some(store) => store.clone(),
            None => {
                let opened = Store::open(self.folder.as_deref());
                let opened = Arc::new(opened.map_err(|error| StartError::State(error.to_string()))?);
                self.store.insert(opened).clone()
            }
        };
        let values = store.values(plugin);
        Ok(Kept::Here(store, values))
    }

    fn shared(&self, plugin: &PluginName) -> Result<Kept, StartError> {
        let unusable = |reason| StartError::SharedState { plugin: plugin.clone(), reason };
        let shared = self.shared.as_ref().ok_or_else(|| unusable("there is no cluster".to_owned()))?;
        let values = shared.values(plugin);
        values.wait(Instant::now() + COMING).map_err(unusable)?;
        Ok(Kept::Shared(values))
    }
}

impl PluginArchive {
    /// All values as they are at this moment, by their keys' order.
    pub fn values(&self) -> Result<Vec<KeptValue>, ArchiveError> {
        let all = |state: &State, now: Instant| Ok(state.live_entries(now).map(|kept| self.value(kept, now)).collect());
        self.kept.look(all).map_err(ArchiveError::from)
    }

    fn value(&self, (key, entry): (&str, &Entry), now: Instant) -> KeptValue {
        let ends = |expires: Instant| self.clock.since_1970() + expires.saturating_duration_since(now);
        let expires = entry.expires.map(|expires| milliseconds(ends(expires)));
        KeptValue { key: key.to_owned(), value: entry.value.clone(), expires }
    }

    /// Puts a value in the place of the one with its key, if there is one. Says whether it did: one whose time is over is left out.
    pub async fn put(&self, kept: KeptValue) -> Result<bool, ArchiveError> {
        let KeptValue { key, value, expires } = kept;
        let now = milliseconds(self.clock.since_1970());
        let left = expires.map(|expires| expires.saturating_sub(now));
        if left == Some(0) {
            return Ok(false);
        }
        let time_to_live = left.map(Duration::from_millis);
        let change = Change { key, operation: Operation::Set(value), time_to_live, allowed: self.allowed };
        self.kept.change(change, Instant::now() + CHANGING).await.map_err(ArchiveError::from)?;
        Ok(true)
    }
}

impl From<StateError> for ArchiveError {
    fn from(error: StateError) -> ArchiveError {
        match error {
            StateError::TooLarge => ArchiveError::TooLarge,
            StateError::Quota => ArchiveError::NoRoom,
            StateError::Unavailable(reason) => ArchiveError::Unavailable(reason),
        }
    }
}

impl fmt::Debug for KeptValue {
    /// Without the value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeptValue { key, value, expires } = self;
        f.debug_struct("KeptValue").field("key", key).field("bytes", &value.len()).field("expires", expires).finish()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
