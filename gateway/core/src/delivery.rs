//! Whom a message or an order is for, and what plugins and other senders ask of a hub.

use crate::id::{ConnectionId, GroupName, UserId};
use crate::outgoing::Outgoing;

/// The connections of a hub that something is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    All,
    Group(GroupName),
    User(UserId),
    Connection(ConnectionId),
}

/// Who joins or leaves a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    Connection(ConnectionId),
    /// All connections of the user, present and future.
    User(UserId),
}

/// One thing that a sender asks of a hub. Nothing happens, and nobody is told, where the target does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Send {
        to: Target,
        message: Outgoing,
        /// Connections of the target that do not get it.
        except: Vec<ConnectionId>,
    },
    Join {
        member: Member,
        group: GroupName,
        /// Of a user's membership, in seconds: how long connections that the user makes later still join. `Some(0)`:
        /// present connections only; `None`: without end.
        ttl_seconds: Option<u32>,
    },
    Leave {
        member: Member,
        group: GroupName,
    },
    LeaveAll(Member),
    Close {
        target: Target,
        except: Vec<ConnectionId>,
        /// The `error` of the hub's Close message.
        reason: Option<String>,
        allow_reconnect: bool,
    },
}
