//! The `connections` import: facts about connections of the event's hub.

use std::sync::Arc;

use hubgate_core::event::{ConnectionFacts, HubAnswer, HubQuestion};
use hubgate_core::id::ConnectionId;

use super::Guest;
use crate::bindings::hubgate::plugin::connections;
use crate::bindings::hubgate::plugin::types::Pair;
use crate::convert;

impl connections::Host for Guest {
    async fn claims(&mut self, id: String) -> wasmtime::Result<Option<Vec<Pair>>> {
        self.meter().await?;
        Ok(self.facts(&id).await.map(|facts| convert::pairs(&facts.claims)))
    }

    async fn query(&mut self, id: String) -> wasmtime::Result<Option<String>> {
        self.meter().await?;
        Ok(self.facts(&id).await.map(|facts| facts.query.to_string()))
    }

    async fn headers(&mut self, id: String) -> wasmtime::Result<Option<Vec<Pair>>> {
        self.meter().await?;
        Ok(self.facts(&id).await.map(|facts| convert::pairs(&facts.headers)))
    }

    async fn remote_address(&mut self, id: String) -> wasmtime::Result<Option<String>> {
        self.meter().await?;
        Ok(self.facts(&id).await.map(|facts| facts.remote_address.to_string()))
    }

    async fn protocol(&mut self, id: String) -> wasmtime::Result<Option<String>> {
        self.meter().await?;
        Ok(self.facts(&id).await.map(|facts| facts.protocol.name().to_owned()))
    }
}

impl Guest {
    /// The event's own connection is known here, also while it goes; others are asked for.
    async fn facts(&mut self, id: &str) -> Option<Arc<ConnectionFacts>> {
        let event = &self.event.as_ref()?.of;
        let id = ConnectionId::parse(id)?;
        if let Some(own) = event.client()
            && own.id == id
        {
            return Some(Arc::clone(own));
        }
        let hub = event.hub().clone();
        match self.ask(HubQuestion::Facts(id)).await? {
            // A plugin sees one hub only, whatever the shard knows.
            HubAnswer::Facts(facts) => facts.filter(|facts| facts.hub == hub),
            HubAnswer::Exists(_)
            | HubAnswer::Joined(_)
            | HubAnswer::UserJoined(_)
            | HubAnswer::Members(_)
            | HubAnswer::InEffect => None,
        }
    }
}
