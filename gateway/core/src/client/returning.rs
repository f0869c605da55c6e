//! Clients of ASP.NET SignalR that come by another transport.

use super::Clients;
use crate::id::{ConnectionId, HubName};

/// Whether the client that this token has opened may come by another transport.
pub(crate) fn may_return(clients: &Clients, token: ConnectionId, hub: &HubName) -> bool {
    clients.by_token.get(&token).is_some_and(|slot| clients.is_still(*slot) && clients.hub_of(*slot).name == *hub)
}
