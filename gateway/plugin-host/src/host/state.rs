//! The `state` import: values that outlive instances and versions.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Guest;
use crate::bindings::hubgate::plugin::state;
use crate::convert::state_error;
use crate::state::{State, StateError};

impl state::Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, state::Error> {
        let state = self.state()?;
        let value = state.get(&key, Instant::now()).map_err(state_error)?;
        Ok(value.map(<[u8]>::to_vec))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Result<(), state::Error> {
        self.state()?.set(&key, value, time_to_live(ttl_ms), Instant::now()).map_err(state_error)
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, state::Error> {
        self.state()?
            .compare_and_set(&key, expected.as_deref(), value, time_to_live(ttl_ms), Instant::now())
            .map_err(state_error)
    }

    fn delete(&mut self, key: String) -> Result<(), state::Error> {
        self.state()?.delete(&key).map_err(state_error)
    }

    fn increment(&mut self, key: String, by: i64, ttl_ms: Option<u64>) -> Result<i64, state::Error> {
        self.state()?.increment(&key, by, time_to_live(ttl_ms), Instant::now()).map_err(state_error)
    }

    fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Vec<String>, state::Error> {
        Ok(self.state()?.keys(&prefix, after.as_deref(), limit as usize, Instant::now()))
    }
}

impl Guest {
    /// Held for one short operation; a guest never runs meanwhile.
    fn state(&self) -> Result<MutexGuard<'_, State>, state::Error> {
        match self.event {
            Some(_) => Ok(self.surroundings.state.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Err(state_error(StateError::Unavailable("there is no event being handled"))),
        }
    }
}

fn time_to_live(milliseconds: Option<u64>) -> Option<Duration> {
    milliseconds.map(Duration::from_millis)
}
