//! The `client-results` import: what a client answers.

use super::Guest;
use crate::bindings::hubgate::plugin::client_results::{self, AskError};
use crate::bindings::hubgate::plugin::types;

impl client_results::Host for Guest {
    async fn ask(
        &mut self,
        _connection: String,
        _method: String,
        _arguments: types::PayloadResult,
        _timeout_ms: u32,
    ) -> wasmtime::Result<Result<Option<types::PayloadResult>, AskError>> {
        Ok(Err(AskError::NoSuchConnection))
    }
}
