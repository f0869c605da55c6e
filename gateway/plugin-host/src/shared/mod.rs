//! What plugins of several gateways keep together, in a store outside of them.
//!
//! Every gateway has a copy of it in memory, which is read. A change goes to the store and takes place there, in the place of the very
//! record that it was decided for ([`changes`]); where another gateway was faster, it is decided anew. The store is behind a door
//! ([`door`]), and knows nothing of values: what they are, when they end and who has written them is in the records ([`record`]).

mod changes;
mod copy;
mod door;
mod record;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hubgate_core::id::PluginName;

use crate::clock::Clock;
use crate::state::{Change, Changed, State, StateError};
use crate::worker::VitalSign;
use changes::Changes;
use copy::{Access, Copy};
pub use door::{Answer, Follower, RecordWrite, SharedRecords, SharedStore, Stored, WriteError};

/// The longest that a change waits for the store.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all plugins keep together with those of other gateways.
#[derive(Debug)]
pub(crate) struct SharedStates {
    store: Arc<dyn SharedStore>,
    /// This process, as records name it.
    writer: u64,
    /// A plugin has its values in memory once, as long as anybody uses them.
    states: Mutex<HashMap<PluginName, Weak<SharedValues>>>,
}

/// What one plugin keeps.
#[derive(Debug)]
pub(crate) struct SharedValues {
    copy: Arc<Copy>,
    changes: Changes,
}

impl SharedStates {
    pub(crate) fn new(store: Arc<dyn SharedStore>) -> SharedStates {
        SharedStates { store, writer: rand::random(), states: Mutex::default() }
    }

    /// What a plugin has kept; it may not have come yet.
    pub(crate) fn values(&self, plugin: &PluginName) -> Arc<SharedValues> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = states.get(plugin).and_then(Weak::upgrade) {
            return present;
        }
        let values = SharedValues::open(&*self.store, plugin, Clock::Machine, self.writer);
        states.insert(plugin.clone(), Arc::downgrade(&values));
        values
    }

    pub(crate) fn vital_sign(&self) -> VitalSign {
        self.store.vital_sign()
    }
}

impl SharedValues {
    fn open(store: &dyn SharedStore, plugin: &PluginName, clock: Clock, writer: u64) -> Arc<SharedValues> {
        let copy = Arc::new(Copy::new(plugin.clone(), clock.clone()));
        let records = store.open(plugin, Follower::new(&copy));
        Arc::new(SharedValues { copy: copy.clone(), changes: Changes::new(copy, records, clock, writer) })
    }

    /// Waits until the values have come, or it is known that they will not for now. An error says what has to be done.
    pub(crate) fn wait(&self, until: Instant) -> Result<(), String> {
        match self.copy.wait(until) {
            Access::Unfit(reason) => Err(reason),
            Access::Open | Access::Away(_) => Ok(()),
        }
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&State, Instant) -> Result<T, StateError>) -> Result<T, StateError> {
        self.copy.look(look)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.copy.get(key)
    }

    /// What the values weigh together, in bytes, as far as is known.
    pub(crate) fn bytes(&self) -> usize {
        self.copy.bytes()
    }

    /// Changes a value for all gateways. A part of the time until `deadline` is left to whoever is told.
    pub(crate) async fn change(&self, change: Change, deadline: Instant) -> Result<Changed, StateError> {
        let now = Instant::now();
        let patience = (deadline.saturating_duration_since(now) * 3 / 4).min(PATIENCE);
        self.changes.make(change, now + patience).await
    }
}
