//! What the log tells of one client's connection, on whatever transport: each line has its hub and id.

use std::rc::Rc;
use std::sync::Arc;

use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::{CloseCause, NewClient};

use crate::resource_log::{ResourceLog, Visitor};
use crate::slow::SlowReason;

#[derive(Debug)]
pub(crate) struct ClientLog {
    hub: HubName,
    id: ConnectionId,
    /// What the resource log is told with its end, if it is.
    visitor: Option<Rc<Visitor>>,
}

impl ClientLog {
    /// A client's transport opens.
    pub(crate) fn opened(client: &NewClient, resource_log: Option<&Arc<ResourceLog>>) -> ClientLog {
        let visitor = resource_log.and_then(|log| Visitor::client(log, client)).map(Rc::new);
        let log = ClientLog { hub: client.hub.clone(), id: client.id, visitor };
        let (address, transport) = (&*client.identity.remote_address, client.transport.name());
        tracing::debug!(hub = %log.hub, connection = %log.id, address, transport, "a client connected");
        log
    }

    /// A client that lives has come with another WebSocket.
    pub(crate) fn returned(hub: HubName, id: ConnectionId, visitor: Option<Rc<Visitor>>) -> ClientLog {
        tracing::debug!(%hub, connection = %id, "a client goes on by another WebSocket");
        ClientLog { hub, id, visitor }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn visitor(&self) -> Option<&Rc<Visitor>> {
        self.visitor.as_ref()
    }

    /// Its transport is gone, and the client is not.
    pub(crate) fn outlived_its_transport(&self, slow: Option<SlowReason>) {
        let (hub, connection, limit) = (&self.hub, &self.id, slow.map(SlowReason::key));
        tracing::debug!(%hub, %connection, limit, "a client's WebSocket broke off or was replaced; the client stays");
    }

    /// It is gone, and did not come back by another WebSocket.
    pub(crate) fn ended_without_transport(&self, cause: CloseCause) {
        if let Some(visitor) = &self.visitor {
            visitor.ended(cause, None);
        }
        let (hub, connection, cause) = (&self.hub, &self.id, cause.name());
        tracing::info!(%hub, %connection, cause, "a client's connection ended that had lost its WebSocket");
    }

    /// It is gone. `slow` is the limit that it was too slow for, if it was.
    pub(crate) fn ended(&self, cause: CloseCause, slow: Option<SlowReason>) {
        if let Some(visitor) = &self.visitor {
            visitor.ended(cause, slow);
        }
        let limit = slow.map(SlowReason::key);
        let (hub, connection, cause) = (&self.hub, &self.id, cause.name());
        tracing::info!(%hub, %connection, cause, limit, "a client's connection ended");
    }

    /// Lines of whoever knows neither. The span is made for them: one that the transport's task was in would be entered whenever that is woken.
    pub(crate) fn in_span(&self, tell: impl FnOnce()) {
        tracing::info_span!("client", hub = %self.hub, connection = %self.id).in_scope(tell);
    }
}
