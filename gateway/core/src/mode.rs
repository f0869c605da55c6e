//! The service modes: what the mode of a hub means for its clients and its servers. Nothing else asks for a mode.
//!
//! Source: Azure SignalR Service, "Service mode in Azure SignalR Service".

/// Who answers the clients of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A hub server, to which each client is routed.
    Default,
    /// The gateway, with upstream for what clients call.
    Serverless,
    /// A hub server, if one is there when the client connects; otherwise the gateway, without upstream.
    Classic,
}

/// Who answers a client. Decided once, when its transport opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// The gateway answers its handshake and its pings; its events go to upstream.
    Serverless,
    /// A hub server answers it.
    Proxied,
    /// The gateway answers its handshake and its pings; what it calls reaches nobody.
    Unserved,
}

impl Mode {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Default => "default",
            Mode::Serverless => "serverless",
            Mode::Classic => "classic",
        }
    }

    /// Whether hub servers may connect. Those that only send may in any mode.
    pub fn takes_hub_servers(self) -> bool {
        match self {
            Mode::Default | Mode::Classic => true,
            Mode::Serverless => false,
        }
    }

    /// Whether events of clients go to upstream.
    pub fn asks_upstream(self) -> bool {
        match self {
            Mode::Serverless => true,
            Mode::Default | Mode::Classic => false,
        }
    }

    /// Whether clients that come now may resume after their transport broke. `servers_allow`: what the hub servers that are there have
    /// said; none if none is there.
    pub fn offers_stateful_reconnect(self, servers_allow: Option<bool>) -> bool {
        match self {
            Mode::Serverless => true,
            Mode::Default => servers_allow == Some(true),
            // Without a server the gateway answers the client itself.
            Mode::Classic => servers_allow.unwrap_or(true),
        }
    }

    /// What a client becomes when its transport opens.
    pub fn of_new_client(self, is_server_there: bool) -> ClientKind {
        match (self, is_server_there) {
            (Mode::Default, _) | (Mode::Classic, true) => ClientKind::Proxied,
            (Mode::Serverless, _) => ClientKind::Serverless,
            (Mode::Classic, false) => ClientKind::Unserved,
        }
    }

    /// What becomes of a client when its hub changes to this mode. None: it does not fit, and has to go.
    pub fn of_present_client(self, kind: ClientKind) -> Option<ClientKind> {
        match (self, kind) {
            (Mode::Default | Mode::Classic, ClientKind::Proxied) => Some(ClientKind::Proxied),
            (Mode::Serverless, ClientKind::Serverless | ClientKind::Unserved) => Some(ClientKind::Serverless),
            (Mode::Classic, ClientKind::Serverless | ClientKind::Unserved) => Some(ClientKind::Unserved),
            (Mode::Default, ClientKind::Serverless | ClientKind::Unserved)
            | (Mode::Serverless, ClientKind::Proxied) => None,
        }
    }
}
