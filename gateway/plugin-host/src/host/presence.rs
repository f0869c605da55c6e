//! The `presence` import: who is there.

use super::Guest;
use crate::bindings::hubgate::plugin::presence::{self, MemberResult, WatchError};
use crate::bindings::hubgate::plugin::types;

impl presence::Host for Guest {
    async fn count(&mut self, _target: types::TargetResult) -> wasmtime::Result<Result<u64, String>> {
        Ok(Ok(0))
    }

    async fn members(
        &mut self,
        _group: String,
        _after: Option<String>,
        _limit: u32,
    ) -> wasmtime::Result<Result<Vec<MemberResult>, String>> {
        Ok(Ok(Vec::new()))
    }

    async fn connections(
        &mut self,
        _user: String,
        _after: Option<String>,
        _limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, String>> {
        Ok(Ok(Vec::new()))
    }

    async fn watch(&mut self, _group: String) -> wasmtime::Result<Result<(), WatchError>> {
        Ok(Err(WatchError::TooMany))
    }

    async fn unwatch(&mut self, _group: String) -> wasmtime::Result<Result<(), WatchError>> {
        Ok(Ok(()))
    }
}
