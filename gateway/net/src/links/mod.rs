//! The side of each peer's connection that is written to, from anywhere on its shard's thread.

mod dirty;
mod http_client;
mod posts;
mod socket;
mod speaking;
mod transport;

use std::rc::Rc;

use hubgate_core::id::ServerConnectionId;
use hubgate_core::{Reconnect, TransportKey};

pub(crate) use dirty::DirtySockets;
pub(crate) use http_client::{HttpClient, Polls, State};
pub(crate) use posts::{NoTurn, Turn};
pub(crate) use socket::{SocketState, WebSocket};
pub(crate) use speaking::Speaking;
pub(crate) use transport::{Reader, split};

/// Where what is for a client goes.
#[derive(Debug, Clone)]
pub(crate) enum ClientLink {
    WebSocket(Rc<WebSocket>),
    /// Server-Sent Events or long polling.
    Http(Rc<HttpClient>),
}

impl ClientLink {
    pub(crate) fn speaking(&self) -> &Speaking {
        match self {
            ClientLink::WebSocket(socket) => &socket.speaking,
            ClientLink::Http(client) => &client.speaking,
        }
    }

    /// What is queued and has not left, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            ClientLink::WebSocket(socket) => socket.queued_bytes(),
            ClientLink::Http(client) => client.queued_bytes(),
        }
    }
}

/// Whose WebSocket it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    /// With whether it may have negotiated to go on by another one.
    Client(TransportKey, Reconnect),
    Server(ServerConnectionId),
}
