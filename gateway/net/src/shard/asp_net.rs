//! Clients of ASP.NET SignalR on this thread's shard: what their requests ask for beside their transports.

use std::rc::Rc;

use hubgate_core::id::{ConnectionId, HubName};
use hubgate_core::{Input, ReturningClient, TransportKey};

use super::ShardHandle;
use crate::admission::{ClientPlace, Move};
use crate::client_log::ClientLog;
use crate::links::ClientLink;

/// The way to them.
pub(crate) struct AspNet(ShardHandle);

impl AspNet {
    pub(super) fn new(shard: ShardHandle) -> AspNet {
        AspNet(shard)
    }

    /// Whether a server of the application is there to which its clients can be routed.
    pub(crate) fn has_servers(&self, application: &HubName) -> bool {
        self.0.thread().core.borrow().has_hub_servers(application)
    }

    /// A client says that it is ready; gives whether it is there. `query` is the one that its hub sees.
    pub(crate) fn started(&self, token: ConnectionId, query: Box<str>) -> bool {
        let is_there = || self.0.thread().core.borrow().client_of_token(token).is_some();
        if !is_there() {
            return false;
        }
        self.0.thread().feed(Input::ClientStarted { token, query });
        true
    }

    /// A client leaves for good.
    pub(crate) fn aborted(&self, token: ConnectionId) {
        self.0.thread().feed(Input::ClientAborted { token });
    }

    /// The client that a token has opened, if it is there and may come by another transport.
    pub(crate) fn may_return(&self, token: ConnectionId, hub: &HubName) -> Option<ConnectionId> {
        let (thread, now) = (self.0.thread(), self.0.shared().now());
        let core = thread.core.borrow();
        core.client_of_token(token).filter(|_| core.may_return(token, hub, now))
    }

    /// A client comes by another transport, which is open. `None` if it has ended since its request was granted.
    pub(crate) fn returned(
        &self,
        hub: HubName,
        client: ReturningClient,
        link: ClientLink,
        to: Move,
    ) -> Option<(TransportKey, Rc<ClientPlace>, ClientLog)> {
        let (thread, token) = (self.0.thread(), client.token);
        let id = thread.core.borrow().client_of_token(token)?;
        let place = thread.connections.place(id)?;
        let visitor = thread.connections.visitor(id);
        let transport = self.attach(client, link)?;
        thread.connections.client_waits_no_more(id);
        place.move_to(to);
        Some((transport, place, ClientLog::returned(hub, id, visitor)))
    }

    /// The same where its place does not change: it polls, and one of the answers was lost.
    pub(crate) fn polls_again(
        &self,
        client: ReturningClient,
        link: ClientLink,
        before: TransportKey,
    ) -> Option<TransportKey> {
        // The transport before is this one under another key: nothing of it is to be ended.
        self.0.thread().connections.client_gone(before);
        self.attach(client, link)
    }

    fn attach(&self, client: ReturningClient, link: ClientLink) -> Option<TransportKey> {
        let thread = self.0.thread();
        let transport = thread.core.borrow().next_transport();
        thread.connections.attach(transport, link);
        thread.feed(Input::ClientReturned { transport, client });
        // Also for one whose end the same turn has brought, which it is to be told.
        let carries = thread.core.borrow().carries(transport);
        if !carries {
            thread.connections.client_gone(transport);
        }
        carries.then_some(transport)
    }
}
