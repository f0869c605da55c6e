//! The `context` import: the event being handled.

use super::Guest;
use super::call::{Glance, HostCall};
use crate::bindings::hubgate::plugin::context;
use crate::bindings::hubgate::plugin::types::PairResult;

impl context::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.glance(Glance::Now)
    }

    async fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.perform(HostCall::Random { length }).await
    }

    fn event_id(&mut self) -> wasmtime::Result<String> {
        self.glance(Glance::EventId)
    }

    fn message_headers(&mut self) -> wasmtime::Result<Vec<PairResult>> {
        self.glance(Glance::MessageHeaders)
    }

    fn time_left(&mut self) -> wasmtime::Result<u32> {
        self.glance(Glance::TimeLeft)
    }
}
