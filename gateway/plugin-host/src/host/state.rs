//! The `state` import: values that outlive instances, versions and the gateway's own process.

use std::time::{Duration, Instant};

use super::Guest;
use super::call::HostCall;
use crate::bindings::hubgate::plugin::state;
use crate::convert::state_error;
use crate::kept::Kept;
use crate::limits::STATE_KEYS_PER_PAGE;
use crate::metrics::Budget;
use crate::state::{Change, Changed, Operation, Page, State, StateError};

type Answer<T> = Result<T, state::Error>;

impl state::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Answer<Option<Vec<u8>>>> {
        self.perform(HostCall::Get { key }).await
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Answer<()>> {
        let changed = self.change(key, Operation::Set(value), ttl_ms).await?;
        Ok(changed.map(drop))
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Answer<bool>> {
        let changed = self.change(key, Operation::CompareAndSet { expected, value }, ttl_ms).await?;
        Ok(changed.map(|changed| changed == Changed::Compared(true)))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Answer<()>> {
        let changed = self.change(key, Operation::Delete, None).await?;
        Ok(changed.map(drop))
    }

    async fn increment(&mut self, key: String, by: i64, ttl_ms: Option<u64>) -> wasmtime::Result<Answer<i64>> {
        let changed = self.change(key, Operation::Increment(by, self.numbers), ttl_ms).await?;
        Ok(changed.map(|changed| match changed {
            Changed::Sum(sum) => sum,
            Changed::Done | Changed::Compared(_) => unreachable!("an increment makes a sum"),
        }))
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Answer<Vec<String>>> {
        self.perform(HostCall::Keys { prefix, after, limit }).await
    }
}

impl Guest {
    async fn change(
        &mut self,
        key: String,
        operation: Operation,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Answer<Changed>> {
        self.perform(HostCall::Change { key, operation, ttl_ms }).await
    }

    pub(super) fn kept_value(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        match self.event {
            Some(_) => self.surroundings.kept.get(key).map_err(state_error),
            None => Err(state_error(no_event())),
        }
    }

    pub(super) async fn kept_keys(
        &mut self,
        prefix: &str,
        mut after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Answer<Vec<String>>> {
        let limit = (limit as usize).min(STATE_KEYS_PER_PAGE);
        let mut keys = Vec::new();
        loop {
            let left = limit - keys.len();
            let found = self.look(|state, now| Ok(state.keys(prefix, after.as_deref(), left, now)));
            let Page { keys: more, seen_to } = match found {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            keys.extend(more);
            match seen_to {
                Some(last) if keys.len() < limit => after = Some(last.to_string()),
                Some(_) | None => return Ok(Ok(keys)),
            }
            self.yield_if_due().await?;
        }
    }

    fn look<T>(&self, at: impl FnOnce(&State, Instant) -> Result<T, StateError>) -> Answer<T> {
        match self.event {
            Some(_) => self.surroundings.kept.look(at).map_err(state_error),
            None => Err(state_error(no_event())),
        }
    }

    /// Waits until the change would outlive the gateway's process.
    pub(super) async fn keep(&mut self, key: String, operation: Operation, ttl_ms: Option<u64>) -> Answer<Changed> {
        if self.event.is_none() {
            return Err(state_error(no_event()));
        }
        let surroundings = self.surroundings.clone();
        let time_to_live = ttl_ms.map(Duration::from_millis);
        let allowed = surroundings.settings.budgets.state_bytes.saturating_sub(surroundings.timers.account().bytes());
        let change = Change { key, operation, time_to_live, allowed };
        self.wait_to_write(change.weight()).await;
        let deadline = self.deadline;
        let changing = surroundings.kept.change(change, deadline);
        let changed = match surroundings.kept {
            Kept::Here(..) => self.wait_for_disk(changing).await,
            Kept::Shared(_) => self.wait_for(changing).await,
        };
        if let Err(StateError::Quota) = &changed {
            surroundings.exceeded.add(Budget::State);
        }
        changed.map_err(state_error)
    }

    /// Keeps to the pace at which the plugin may write.
    pub(super) async fn wait_to_write(&mut self, bytes: usize) {
        if let Some(admitted_at) = self.surroundings.state_writes.admit(bytes, Instant::now()) {
            self.surroundings.exceeded.add(Budget::StateWrites);
            self.wait_for(tokio::time::sleep_until(admitted_at.into())).await;
        }
    }
}

fn no_event() -> StateError {
    StateError::Unavailable("there is no event being handled".to_owned())
}
