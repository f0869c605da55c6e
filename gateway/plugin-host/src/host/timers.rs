//! The `timers` import: acting later.

use super::Guest;
use crate::bindings::hubgate::plugin::timers::{self, Error, Schedule, Timer};

impl timers::Host for Guest {
    async fn set(
        &mut self,
        _name: String,
        _when: Schedule,
        _payload: Vec<u8>,
        _durable: bool,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(Error::TooMany))
    }

    async fn cancel(&mut self, _name: String) -> wasmtime::Result<Result<bool, Error>> {
        Ok(Ok(false))
    }

    async fn list(&mut self, _after: Option<String>, _limit: u32) -> wasmtime::Result<Result<Vec<Timer>, Error>> {
        Ok(Ok(Vec::new()))
    }
}
