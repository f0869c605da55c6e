//! Clients' transports.

pub(crate) mod websocket;
