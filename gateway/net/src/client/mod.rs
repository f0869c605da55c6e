//! Clients' transports.

pub(crate) mod delivery;
pub(crate) mod http_client;
mod long_polling;
mod posts;
pub(crate) mod requests;
mod server_sent_events;

use std::rc::Rc;

use http_client::HttpClient;

use crate::websocket::WebSocket;

/// Where what is for a client goes.
#[derive(Debug, Clone)]
pub(crate) enum ClientLink {
    WebSocket(Rc<WebSocket>),
    /// Server-Sent Events or long polling.
    Http(Rc<HttpClient>),
}
