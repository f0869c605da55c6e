//! The service modes: what the mode of a hub means for its clients. Nothing else asks for a mode.
//!
//! Source: Azure SignalR Service, "Service mode in Azure SignalR Service".

/// Who answers the clients of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A hub server, to which each client is routed.
    Default,
    /// The gateway, with upstream for what clients call.
    Serverless,
}

impl Mode {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Default => "default",
            Mode::Serverless => "serverless",
        }
    }

    /// Whether hub servers may connect.
    pub fn takes_hub_servers(self) -> bool {
        match self {
            Mode::Default => true,
            Mode::Serverless => false,
        }
    }

    /// What a client becomes when its transport opens.
    pub fn of_new_client(self) -> ClientKind {
        match self {
            Mode::Default => ClientKind::Proxied,
            Mode::Serverless => ClientKind::Serverless,
        }
    }
}

/// Decided once, when a client's transport opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// The gateway answers its handshake and its pings; its events go to upstream.
    Serverless,
    /// A hub server answers it.
    Proxied,
}
