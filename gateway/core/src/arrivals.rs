//! Clients and hub servers as they come.

use hubgate_wire::negotiate::Transport;

use crate::id::{ConnectionId, GroupName, HubName, ServerId, UserId};
use crate::pairs::Pairs;
use crate::time::Millis;

/// A client whose transport opens.
#[derive(Debug, Clone)]
pub struct NewClient {
    pub hub: HubName,
    pub id: ConnectionId,
    /// What opens the connection's transports, if it was negotiated.
    pub token: Option<ConnectionId>,
    pub transport: Transport,
    pub identity: Identity,
    /// What its token says of its times.
    pub times: ClientTimes,
    pub reconnect: Reconnect,
    pub family: Family,
}

/// The family of protocols that a client speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Family {
    /// ASP.NET Core SignalR, which opens with a handshake.
    #[default]
    Core,
    /// ASP.NET SignalR. The client's hub is that of its application, to whose hub servers it is routed, and it gets what is sent to these
    /// hubs as well.
    AspNet { also_in: Vec<HubName> },
}

/// A client of ASP.NET SignalR that comes by another transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturningClient {
    /// What has opened its transports before.
    pub token: ConnectionId,
    pub transport: Transport,
    pub why: Return,
}

/// Why a client of ASP.NET SignalR comes by another transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Return {
    /// It tries another kind of transport, and knows nothing of what went over the one before.
    Anew,
    /// Its transport broke. It has got what was sent up to the message with this cursor.
    After(Box<str>),
    /// An answer to one of its polls was lost, which nobody hears of. It has got what was sent up to the message with this cursor.
    Again(Box<str>),
}

/// Whether a client may go on by another transport when its own breaks. It may only if it has negotiated that, is on a WebSocket, and asks for
/// version 2 of its hub protocol in the handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reconnect {
    #[default]
    No,
    Stateful,
}

/// A client that is still here and comes by another WebSocket; [`crate::Shard::may_resume`] has let it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumedClient {
    pub id: ConnectionId,
    /// When the connection ends because the token that it came with does.
    pub expiry: Option<Millis>,
}

/// The times that a client's token sets (Azure SignalR Service's claims `asrs.s.cht`, `asrs.s.coae` and `asrs.s.aeo`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientTimes {
    /// From connect to the end of the hub handshake request; that of the settings if not said.
    pub handshake: Option<Millis>,
    /// When the connection ends, because its token does.
    pub expiry: Option<Millis>,
}

/// Who a client is and how it came; the fields up to the last one are those of [`crate::event::ConnectionFacts`].
#[derive(Debug, Clone)]
pub struct Identity {
    pub user_id: Option<UserId>,
    pub claims: Pairs,
    pub query: Box<str>,
    pub headers: Pairs,
    pub remote_address: Box<str>,
    /// The groups that it is in from its start.
    pub groups: Vec<GroupName>,
}

/// What becomes of the clients of a hub server's connection that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenLost {
    /// They are closed.
    DropsClients,
    /// They are closed unless they can move to another server.
    MovesClients,
}

/// A hub server whose transport opens.
#[derive(Debug, Clone)]
pub struct NewServerConnection {
    pub hub: HubName,
    /// The header `X-ASRS-Server-Id`: one value per process.
    pub server: ServerId,
}
