//! The `connections` import: facts about connections of the event's hub.

use std::sync::Arc;

use hubgate_core::event::ConnectionFacts;
use hubgate_core::id::ConnectionId;
use wasmtime::format_err;

use super::call::{Fact, HostCall};
use super::{Guest, ShardQuestion, UNANSWERED};
use crate::bindings::hubgate::plugin::connections;
use crate::bindings::hubgate::plugin::types::PairResult;

impl connections::Host for Guest {
    async fn claims(&mut self, connection: String) -> wasmtime::Result<Option<Vec<PairResult>>> {
        self.perform(HostCall::Fact { fact: Fact::Claims, connection }).await
    }

    async fn query(&mut self, connection: String) -> wasmtime::Result<Option<String>> {
        self.perform(HostCall::Fact { fact: Fact::Query, connection }).await
    }

    async fn headers(&mut self, connection: String) -> wasmtime::Result<Option<Vec<PairResult>>> {
        self.perform(HostCall::Fact { fact: Fact::Headers, connection }).await
    }

    async fn remote_address(&mut self, connection: String) -> wasmtime::Result<Option<String>> {
        self.perform(HostCall::Fact { fact: Fact::RemoteAddress, connection }).await
    }

    async fn protocol(&mut self, connection: String) -> wasmtime::Result<Option<String>> {
        self.perform(HostCall::Fact { fact: Fact::Protocol, connection }).await
    }
}

impl Guest {
    /// The event's own connection is known here, also while it goes; others are asked for. An error where nobody answers: that is not
    /// to be taken for a connection that is gone.
    pub(super) async fn facts(&mut self, id: &str) -> wasmtime::Result<Option<Arc<ConnectionFacts>>> {
        let (Some(event), Some(id)) = (&self.event, ConnectionId::parse(id)) else { return Ok(None) };
        let event = &event.of;
        if let Some(own) = event.client()
            && own.id == id
        {
            return Ok(Some(Arc::clone(own)));
        }
        let hub = event.hub().clone();
        let facts = self.ask_shard(|answer| ShardQuestion::Facts { hub, connection: id, answer }).await;
        facts.ok_or_else(|| format_err!("what is known of another connection: {UNANSWERED}"))
    }
}
