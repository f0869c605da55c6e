//! What the core wants done. Effects are data: whoever drives a shard carries them out, in order.

use hubgate_wire::websocket::Frame;

use crate::Slot;
use crate::delivery::{Member, Target};
use crate::event::UpstreamCall;
use crate::id::{ConnectionId, GroupName, HubName, ShardIndex};
use crate::outgoing::Outgoing;

/// One thing to be done.
#[derive(Debug)]
pub enum Effect {
    /// Queue a frame for one client.
    Send {
        to: Slot,
        frame: Frame,
    },
    /// Queue the same frame for many clients.
    Deliver {
        to: Vec<Slot>,
        frame: Frame,
    },
    /// End the transport once all that is queued has left, with the status `code`. The core has forgotten the client
    /// for everybody else already; it wants to hear when the transport is gone.
    Finish {
        slot: Slot,
        code: u16,
        cause: CloseCause,
        detail: String,
    },
    /// Read no more of the client until [`Effect::ResumeReading`].
    PauseReading(Slot),
    ResumeReading(Slot),
    /// Call the plugin; its answer comes back through [`crate::Shard::upstream_answered`].
    Call {
        slot: Slot,
        call: UpstreamCall,
    },
    /// Hand an order to other shards. What is forwarded to one shard arrives in the order in which it was forwarded.
    Forward {
        to: Shards,
        hub: HubName,
        order: Order,
    },
}

/// Shards other than the one that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shards {
    AllOthers,
    One(ShardIndex),
}

/// What a shard does for another. It is an action made ready: what is sent is encoded once for all shards.
#[derive(Debug, Clone)]
pub enum Order {
    Deliver { to: Target, except: Vec<ConnectionId>, message: Outgoing },
    Join { member: Member, group: GroupName, ttl_seconds: Option<u32> },
    Leave { member: Member, group: GroupName },
    LeaveAll(Member),
    Close { target: Target, except: Vec<ConnectionId>, reason: Option<String>, allow_reconnect: bool },
}

/// Why a connection ended. The names are the service's close categories, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCause {
    /// The client left.
    Normal,
    /// The transport broke off without a word.
    TransportLost,
    /// The client said nothing for too long.
    PingTimeout,
    /// The handshake was malformed, too late, or asked for what is not spoken.
    HandshakeError,
    NoAvailableServerConnection,
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
}

impl CloseCause {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [CloseCause; 11] = [
        CloseCause::Normal,
        CloseCause::TransportLost,
        CloseCause::PingTimeout,
        CloseCause::HandshakeError,
        CloseCause::NoAvailableServerConnection,
        CloseCause::InvokeUpstreamFailed,
        CloseCause::BadRequest,
        CloseCause::SlowClient,
        CloseCause::ClosedByRequest,
        CloseCause::ServiceReload,
        CloseCause::Unauthorized,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            CloseCause::Normal => "Normal",
            CloseCause::TransportLost => "TransportLost",
            CloseCause::PingTimeout => "PingTimeout",
            CloseCause::HandshakeError => "HandshakeError",
            CloseCause::NoAvailableServerConnection => "NoAvailableServerConnection",
            CloseCause::InvokeUpstreamFailed => "InvokeUpstreamFailed",
            CloseCause::BadRequest => "BadRequest",
            CloseCause::SlowClient => "SlowClient",
            CloseCause::ClosedByRequest => "ClosedByRequest",
            CloseCause::ServiceReload => "ServiceReload",
            CloseCause::Unauthorized => "Unauthorized",
        }
    }
}
