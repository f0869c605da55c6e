//! What a plugin keeps with `state`: for this gateway alone, or together with others.

use std::sync::Arc;
use std::time::Instant;

use crate::shared::SharedValues;
use crate::state::{Change, Changed, State, StateError};
use crate::store::{PluginValues, Store};

/// What one plugin keeps, and where.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// In this gateway's own store.
    Here(Arc<Store>, Arc<PluginValues>),
    /// In the one of the cluster.
    Shared(Arc<SharedValues>),
}

impl Kept {
    /// Lets `look` see the values as they are now; nobody may wait meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State, Instant) -> Result<T, StateError>) -> Result<T, StateError> {
        match self {
            Kept::Here(store, values) => values.look(|state| look(state, store.now())),
            Kept::Shared(values) => values.look(look),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        match self {
            Kept::Here(..) => self.look(|state, now| Ok(state.get(key, now)?.map(<[u8]>::to_vec))),
            Kept::Shared(values) => values.get(key),
        }
    }

    /// What the values weigh together, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Kept::Here(_, values) => values.bytes(),
            Kept::Shared(values) => values.bytes(),
        }
    }

    /// Changes a value; answered when the change would outlive this process. `deadline` is that of who waits.
    pub(crate) async fn change(&self, change: Change, deadline: Instant) -> Result<Changed, StateError> {
        match self {
            Kept::Here(store, values) => store.change(values, change).await,
            Kept::Shared(values) => values.change(change, deadline).await,
        }
    }
}
