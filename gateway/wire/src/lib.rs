//! The wire protocols of the gateway: bytes to typed messages and back. No I/O, no clock, no random source.

pub mod aspnet;
pub mod depth;
pub mod endpoint;
pub mod messagepack;
pub mod negotiate;
pub mod path;
pub mod payload;
pub mod server_sent_events;
pub mod service;
pub mod signalr;
pub mod token;
pub mod webhook;
pub mod websocket;
