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
            Mode::Default => ClientKind::Refused(NO_SERVER),
            Mode::Serverless => ClientKind::Serverless,
        }
    }
}

/// Decided once, when a client's transport opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// The gateway answers its handshake and its pings; its events go to upstream.
    Serverless,
    /// Its handshake is answered with this error.
    Refused(&'static str),
}

/// What a client of a hub in default mode is told while no hub server is connected (the service's own text).
const NO_SERVER: &str = "SignalR Service is now in 'Default' service mode. Current mode works as a proxy that routes \
                         client traffic to the connected app servers. However app servers are not connected.";
