//! Clients' transports.

pub(crate) mod http_client;
mod long_polling;
pub(crate) mod requests;
mod server_sent_events;
pub(crate) mod websocket;

use std::rc::Rc;

use http_client::HttpClient;
use websocket::ClientSocket;

/// Where what is for a client goes.
#[derive(Debug, Clone)]
pub(crate) enum ClientLink {
    WebSocket(Rc<ClientSocket>),
    /// Server-Sent Events or long polling.
    Http(Rc<HttpClient>),
}
