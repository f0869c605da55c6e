//! What passes between the shard of a client and the shard of its hub server.

use bytes::Bytes;

use crate::client_connection::HubIndex;
use crate::effect::Effect;
use crate::filter::Origin;
use crate::id::{ConnectionId, ServerConnectionId, ServerId};
use crate::proxied::Said;
use crate::shard::Shard;
use crate::time::Millis;

/// An order between a client and a hub server.
#[derive(Debug, Clone)]
pub enum ServerOrder {
    /// Messages for a hub server, as they are on the wire.
    Pass {
        to: ServerConnectionId,
        messages: Bytes,
    },
    /// A message for a server, over the connection that it asked on, or any other of its own.
    PassToServer {
        first: ServerConnectionId,
        server: ServerId,
        message: Bytes,
    },
    /// What a hub server says to its client. `data_type` is that of the message.
    Says {
        from: ServerConnectionId,
        to: ConnectionId,
        payload: Bytes,
        data_type: Option<i64>,
    },
    /// A hub server ends its client.
    Closes {
        from: ServerConnectionId,
        client: ConnectionId,
        error: Option<Box<str>>,
    },
    Leaves {
        server: ServerConnectionId,
        leaving: Leaving,
    },
    Congested {
        server: ServerConnectionId,
        is_congested: bool,
    },
    /// The body of a hub server's call of a client, to be answered over `from`.
    Invoke {
        from: ServerConnectionId,
        origin: Origin,
        client: ConnectionId,
        message: Bytes,
    },
    /// The body of the answer that a client's own hub server read.
    Complete {
        client: ConnectionId,
        message: Bytes,
    },
}

impl ServerOrder {
    /// What it carries, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            ServerOrder::Pass { messages, .. } => messages.len(),
            ServerOrder::PassToServer { message, .. }
            | ServerOrder::Invoke { message, .. }
            | ServerOrder::Complete { message, .. } => message.len(),
            ServerOrder::Says { payload, .. } => payload.len(),
            ServerOrder::Closes { error, .. } => error.as_ref().map_or(0, |error| error.len()),
            ServerOrder::Leaves { .. } | ServerOrder::Congested { .. } => 0,
        }
    }
}

/// What becomes of the clients of a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It stays for a while, but they are closed.
    DropsClients,
    /// It stays until they are with another server.
    MovesClients,
    /// It is gone. They are closed unless they can move.
    Lost { moves: bool },
}

impl Shard {
    pub(crate) fn obey_about_server(
        &mut self,
        hub: HubIndex,
        order: ServerOrder,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        match order {
            ServerOrder::Pass { to, messages } => self.pass_to_server(hub, to, messages.into(), effects),
            ServerOrder::PassToServer { first, server, message } => {
                self.pass_to_any_of_server(hub, first, server, message, effects);
            }
            ServerOrder::Says { from, to, payload, data_type } => {
                self.server_says(hub, from, to, Said { payload: &payload, data_type }, now, effects);
            }
            ServerOrder::Closes { from, client, error } => {
                self.server_closes(hub, from, client, error.as_deref(), effects);
            }
            ServerOrder::Leaves { server, leaving } => self.clients_lose_server(server, leaving, now, effects),
            ServerOrder::Congested { server, is_congested } => self.hold_clients(server, is_congested, now, effects),
            ServerOrder::Invoke { from, origin, client, message } => {
                self.invoke_client(hub, (from, origin), client, message, now, effects);
            }
            ServerOrder::Complete { client, message } => self.client_completed(hub, client, &message, effects),
        }
    }
}
