//! ASP.NET SignalR, the protocol before ASP.NET Core: what its clients and the gateway say to each other, and how hub servers wrap it.
//!
//! Source: ASP.NET SignalR 2.4, its server and its clients; Azure SignalR SDK for .NET, `Microsoft.Azure.SignalR.AspNet`.

mod connection_data;
mod connection_token;
mod form;
mod negotiation;
mod wrapping;

pub use crate::signalr::asp_net::{
    Call, KEEP_ALIVE, call_of, cursor_of, error, failed_call, idle, init, merge, with_cursor,
};
pub use connection_data::{ConnectionDataError, MOST_HUBS, hubs};
pub use connection_token::{ConnectionOwner, ConnectionToken, MalformedToken};
pub use form::{form_value, hub_query};
pub use negotiation::{NegotiateAnswer, Version};
pub use wrapping::{Malformed, unwrap};
