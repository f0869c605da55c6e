//! Whose connection begins and ends: what is kept of a client or a hub server for the lines of both.

use std::sync::Arc;

use hubgate_core::id::{HubName, ServerConnectionId, ServerId};
use hubgate_core::{CloseCause, NewClient};

use super::entry::Entry;
use super::{ResourceLog, operation_of};
use crate::settings::LogCategory;
use crate::slow::SlowReason;

#[derive(Debug)]
pub(crate) struct Visitor {
    log: Arc<ResourceLog>,
    kind: &'static str,
    hub: Box<str>,
    connection: Box<str>,
    /// The user of a client, the id of a server.
    name: Option<Box<str>>,
    transport: &'static str,
    address: Option<Box<str>>,
}

impl Visitor {
    /// A client has connected. `None`: nobody wants to know.
    pub(crate) fn client(log: &Arc<ResourceLog>, client: &NewClient) -> Option<Visitor> {
        if !log.wants(LogCategory::Connectivity) {
            return None;
        }
        let identity = &client.identity;
        let visitor = Visitor {
            log: log.clone(),
            kind: "Client",
            hub: client.hub.as_str().into(),
            connection: client.id.as_str().into(),
            name: identity.user_id.as_ref().map(|user| user.as_str().into()),
            transport: client.transport.name(),
            address: Some(identity.remote_address.clone()),
        };
        let is_agent = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("user-agent");
        let agent = identity.headers.iter().find(is_agent).map(|(_, agent)| agent);
        visitor.started(agent, "A client has connected.");
        Some(visitor)
    }

    pub(super) fn hub_server(
        log: Arc<ResourceLog>,
        hub: &HubName,
        server: &ServerId,
        id: ServerConnectionId,
    ) -> Visitor {
        let visitor = Visitor {
            log,
            kind: "Server",
            hub: hub.as_str().into(),
            connection: format!("{}.{}.{}", id.owner.node.0, id.owner.shard.0, id.number).into(),
            name: Some(server.as_str().into()),
            transport: "WebSockets",
            address: None,
        };
        visitor.started(None, "A hub server has connected.");
        visitor
    }

    fn started(&self, agent: Option<&str>, message: &str) {
        let mut entry = self.entry("ConnectionStarted", "Informational");
        entry.optional("userAgent", agent);
        entry.text("message", message);
        self.log.lines.push(&entry.line());
    }

    /// It is gone. `slow` is the limit that it was too slow for, if it was.
    pub(crate) fn ended(&self, cause: CloseCause, slow: Option<SlowReason>) {
        let operation = operation_of(cause);
        let level = if operation == "ConnectionAborted" { "Warning" } else { "Informational" };
        let mut entry = self.entry(operation, level);
        entry.text("closeReason", cause.name());
        entry.optional("limit", slow.map(SlowReason::key));
        entry.text("message", &format!("The connection has ended. Reason: {}.", cause.name()));
        self.log.lines.push(&entry.line());
    }

    fn entry(&self, operation: &'static str, level: &'static str) -> Entry {
        let mut entry = Entry::of_connection(operation, level);
        if let Some(address) = &self.address {
            entry.address(address);
        }
        entry.text("connectionId", &self.connection);
        entry.text("connectionType", self.kind);
        entry.text("transportType", self.transport);
        entry.text("hubName", &self.hub);
        let field = if self.kind == "Client" { "userId" } else { "serverId" };
        entry.optional(field, self.name.as_deref());
        entry
    }
}
