//! The `streams` import: what clients are sent item by item.

use super::Guest;
use crate::bindings::hubgate::plugin::streams::{self, PushError, Room};
use crate::bindings::hubgate::plugin::types;

impl streams::Host for Guest {
    async fn push(
        &mut self,
        _id: String,
        _items: Vec<types::PayloadResult>,
    ) -> wasmtime::Result<Result<Room, PushError>> {
        Ok(Err(PushError::NoSuchStream))
    }

    async fn finish(
        &mut self,
        _id: String,
        _outcome: Result<Option<types::PayloadResult>, types::Error>,
    ) -> wasmtime::Result<Result<(), PushError>> {
        Ok(Err(PushError::NoSuchStream))
    }
}
