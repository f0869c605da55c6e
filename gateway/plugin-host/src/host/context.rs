//! The `context` import: the event being handled.

use std::time::{Instant, SystemTime};

use wasmtime::format_err;

use super::Guest;
use crate::bindings::hubgate::plugin::context;
use crate::bindings::hubgate::plugin::types::Pair;
use crate::convert;
use crate::limits::RANDOM_BYTES;

impl context::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.count_host_call()?;
        Ok(*self.now.get_or_insert_with(|| {
            let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            since_1970.as_millis().try_into().unwrap_or(u64::MAX)
        }))
    }

    /// Traps when more is asked for than one call gives: fewer bytes would be taken for enough.
    async fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.meter().await?;
        let length = length as usize;
        if length > RANDOM_BYTES {
            return Err(format_err!("asked for {length} random bytes; one call gives at most {RANDOM_BYTES}"));
        }
        let mut random = vec![0; length];
        getrandom::fill(&mut random).map_err(|error| format_err!("no random bytes: {error}"))?;
        Ok(random)
    }

    fn event_id(&mut self) -> wasmtime::Result<String> {
        self.count_host_call()?;
        Ok(self.event_id.get_or_insert_with(|| self.surroundings.event_ids.make()).clone())
    }

    fn message_headers(&mut self) -> wasmtime::Result<Vec<Pair>> {
        self.count_host_call()?;
        Ok(self.event.as_ref().map_or_else(Vec::new, |event| convert::pairs(&event.headers)))
    }

    fn time_left(&mut self) -> wasmtime::Result<u32> {
        self.count_host_call()?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(left.as_millis().try_into().unwrap_or(u32::MAX))
    }
}
