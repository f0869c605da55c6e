//! Why connections end.

/// Why a connection ended. The names are the service's close categories, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCause {
    /// The client left.
    Normal,
    /// The transport broke off without a word.
    TransportLost,
    /// The client said nothing for too long, and answered no ping.
    PingTimeout,
    /// The handshake was malformed, too late, or asked for what is not spoken.
    HandshakeError,
    NoAvailableServerConnection,
    /// The hub server that the client's token requires is not connected.
    ServerConnectionNotFound,
    /// The connection of the client's hub server ended, or its server leaves.
    ServerConnectionClosed,
    /// The client's hub server ended it.
    ClosedByAppServer,
    /// The hub's mode was changed, and no longer allows the client.
    ServiceModeSwitched,
    /// Upstream refused the client, or failed at `connected`.
    InvokeUpstreamFailed,
    /// The client broke the protocol or a limit.
    BadRequest,
    /// The client read too slowly.
    SlowClient,
    /// Upstream or another sender asked for it.
    ClosedByRequest,
    /// The gateway stops.
    ServiceReload,
    /// The client's token expired, and says that the connection ends with it.
    Unauthorized,
    /// The gateway panicked over what the client had caused.
    InternalError,
}

impl CloseCause {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [CloseCause; 16] = [
        CloseCause::Normal,
        CloseCause::TransportLost,
        CloseCause::PingTimeout,
        CloseCause::HandshakeError,
        CloseCause::NoAvailableServerConnection,
        CloseCause::ServerConnectionNotFound,
        CloseCause::ServerConnectionClosed,
        CloseCause::ClosedByAppServer,
        CloseCause::ServiceModeSwitched,
        CloseCause::InvokeUpstreamFailed,
        CloseCause::BadRequest,
        CloseCause::SlowClient,
        CloseCause::ClosedByRequest,
        CloseCause::ServiceReload,
        CloseCause::Unauthorized,
        CloseCause::InternalError,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            CloseCause::Normal => "Normal",
            CloseCause::TransportLost => "TransportLost",
            CloseCause::PingTimeout => "PingTimeout",
            CloseCause::HandshakeError => "HandshakeError",
            CloseCause::NoAvailableServerConnection => "NoAvailableServerConnection",
            CloseCause::ServerConnectionNotFound => "ServerConnectionNotFound",
            CloseCause::ServerConnectionClosed => "ServerConnectionClosed",
            CloseCause::ClosedByAppServer => "ClosedByAppServer",
            CloseCause::ServiceModeSwitched => "ServiceModeSwitched",
            CloseCause::InvokeUpstreamFailed => "InvokeUpstreamFailed",
            CloseCause::BadRequest => "BadRequest",
            CloseCause::SlowClient => "SlowClient",
            CloseCause::ClosedByRequest => "ClosedByRequest",
            CloseCause::ServiceReload => "ServiceReload",
            CloseCause::Unauthorized => "Unauthorized",
            CloseCause::InternalError => "InternalError",
        }
    }
}
