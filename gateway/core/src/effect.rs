//! What the core wants done. Effects are data: whoever drives a shard carries them out, in order.

use std::sync::Arc;

use hubgate_wire::websocket::Frame;

use crate::Slot;
use crate::delivery::Action;
use crate::event::{ConnectionFacts, HubAnswer, HubQuestion, UpstreamEvent};
use crate::filter::{Inspection, InspectionNumber};
use crate::id::{ConnectionId, HubName, ServerConnectionId, ShardIndex};
use crate::input::Ticket;
use crate::memberships::MembershipRefusal;
use crate::server_order::ServerOrder;
use crate::settings::Handler;

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
    /// The core has forgotten the client: its transport is gone, and upstream has been told of its end. Its slot is free.
    Forgotten(Slot),
    /// Log that calls of clients of the hub were dropped, because these had left and too much was waiting; once until there
    /// is plenty of room again.
    CallsDropped {
        hub: HubName,
    },
    /// Log that a user was not put into a group because of a bound; once until there is plenty of room again.
    MembershipRefused {
        hub: HubName,
        refusal: MembershipRefusal,
    },
    /// Ask a client whether it is there, by a ping of its WebSocket.
    Probe(Slot),
    /// Read no more of the client until [`Effect::ResumeReading`].
    PauseReading(Slot),
    ResumeReading(Slot),
    /// Read what the client has said so far, and no more: [`crate::Input::SaidLastWords`] follows when that is done.
    HearLastWords(Slot),
    /// Tell upstream; its answer comes back through [`crate::Input::UpstreamAnswered`].
    Call {
        slot: Slot,
        handler: Handler,
        client: Arc<ConnectionFacts>,
        event: UpstreamEvent,
    },
    /// Let the hub's filters look at a message; what they make of it comes back through [`crate::Input::Inspected`]. If that
    /// takes a while, [`crate::Input::InspectionWaits`] comes before.
    Inspect {
        number: InspectionNumber,
        inspection: Box<Inspection>,
    },
    /// The answer to whoever has this ticket.
    Answered {
        ticket: Ticket,
        answer: HubAnswer,
    },
    /// The connection that this token opened is over: it opens nothing any more.
    TokenOver(ConnectionId),
    /// Log that something for clients of the hub was not sent, because it is no hub message that filters could look at.
    Unreadable {
        hub: HubName,
    },
    /// Read no more of the hub server until [`Effect::ResumeServer`].
    PauseServer(ServerConnectionId),
    ResumeServer(ServerConnectionId),
    /// Queue messages of the service protocol for a hub server on this shard.
    ToServer {
        to: ServerConnectionId,
        messages: Vec<u8>,
    },
    /// End the transport of a hub server once all that is queued has left. The core has forgotten the connection.
    FinishServer {
        to: ServerConnectionId,
        detail: String,
    },
    /// Log that a hub server's message has no effect, because nobody knows what it means; once for each connection.
    ServerMessageSkipped {
        hub: HubName,
        what: String,
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

/// What a shard does for another.
#[derive(Debug, Clone)]
pub enum Order {
    /// What a sender asks of the hub. What is sent is encoded once for all shards.
    Act(Action),
    /// Between the shard of a client and that of a hub server.
    Server(ServerOrder),
    /// To be answered behind all that was ordered before.
    Ask { question: HubQuestion, asker: ShardIndex, number: u32 },
    /// The answer to question `number`.
    Answer { number: u32, answer: HubAnswer },
}

/// What an order takes up in a queue beside what it carries, in bytes: its place, which doubles as the queue grows, and the
/// headers of its allocations.
const ORDER_OVERHEAD: usize = 2 * size_of::<Order>() + 64;

impl Order {
    /// What it takes up while it waits, about, in bytes.
    pub fn cost(&self) -> usize {
        let carried = match self {
            Order::Act(action) => action.weight(),
            Order::Server(order) => order.weight(),
            Order::Ask { .. } => 0,
            Order::Answer { answer: HubAnswer::Members(members), .. } => members.len() * 64,
            Order::Answer { .. } => 0,
        };
        ORDER_OVERHEAD + carried
    }
}

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
    /// The hub's mode was changed, and the client does not fit any more.
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
}

impl CloseCause {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [CloseCause; 15] = [
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
        }
    }
}
