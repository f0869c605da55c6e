//! The side of each peer's connection that is written to, from anywhere on its shard's thread.

mod dirty;
mod http_client;
mod posts;
mod socket;
mod transport;

use std::rc::Rc;

use hubgate_core::Slot;
use hubgate_core::id::ServerConnectionId;

pub(crate) use dirty::DirtySockets;
pub(crate) use http_client::{HttpClient, State};
pub(crate) use posts::{NoTurn, Turn};
pub(crate) use socket::{SocketState, WebSocket};
pub(crate) use transport::{Reader, split};

/// Where what is for a client goes.
#[derive(Debug, Clone)]
pub(crate) enum ClientLink {
    WebSocket(Rc<WebSocket>),
    /// Server-Sent Events or long polling.
    Http(Rc<HttpClient>),
}

/// Whose WebSocket it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    Client(Slot),
    Server(ServerConnectionId),
}
