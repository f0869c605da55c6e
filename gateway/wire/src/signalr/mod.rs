//! The SignalR hub protocol between clients and the gateway.

pub mod framing;
pub mod handshake;
pub mod json;
mod message;

pub use message::{CompletionOutcome, Headers, HubMessage, Invocation};

/// A hub protocol that clients choose in their handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HubProtocol {
    Json,
}

impl HubProtocol {
    /// All that are spoken.
    pub const ALL: [HubProtocol; 1] = [HubProtocol::Json];

    /// The name in the handshake.
    pub fn name(self) -> &'static str {
        match self {
            HubProtocol::Json => "json",
        }
    }
}
