//! The `state` import: values that outlive instances, versions and the gateway's own process.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Guest;
use crate::bindings::hubgate::plugin::state;
use crate::convert::state_error;
use crate::metrics::Budget;
use crate::state::{State, StateError};

type Answer<T> = wasmtime::Result<Result<T, state::Error>>;

impl state::Host for Guest {
    fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        self.with_state(|state| Ok(state.get(&key, Instant::now())?.map(<[u8]>::to_vec)))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Answer<()> {
        self.with_state(|state| state.set(&key, value, time_to_live(ttl_ms), Instant::now()))
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> Answer<bool> {
        self.with_state(|state| {
            state.compare_and_set(&key, expected.as_deref(), value, time_to_live(ttl_ms), Instant::now())
        })
    }

    fn delete(&mut self, key: String) -> Answer<()> {
        self.with_state(|state| state.delete(&key))
    }

    fn increment(&mut self, key: String, by: i64, ttl_ms: Option<u64>) -> Answer<i64> {
        self.with_state(|state| state.increment(&key, by, time_to_live(ttl_ms), Instant::now()))
    }

    fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        self.with_state(|state| Ok(state.keys(&prefix, after.as_deref(), limit as usize, Instant::now())))
    }
}

impl Guest {
    /// Does one short thing with the plugin's values; a guest never runs meanwhile.
    fn with_state<T>(&mut self, work: impl FnOnce(&mut State) -> Result<T, StateError>) -> Answer<T> {
        self.count_host_call()?;
        let done = match self.event {
            Some(_) => work(&mut self.surroundings.state.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Err(StateError::Unavailable("there is no event being handled".to_owned())),
        };
        if let Err(StateError::Quota) = &done {
            self.surroundings.exceeded.add(Budget::State);
        }
        Ok(done.map_err(state_error))
    }
}

fn time_to_live(milliseconds: Option<u64>) -> Option<Duration> {
    milliseconds.map(Duration::from_millis)
}
