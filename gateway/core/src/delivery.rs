//! Whom a message or an order is for, and what plugins and other senders ask of a hub.

use crate::id::{ConnectionId, GroupName, PluginName, UserId};
use crate::outgoing::Outgoing;

/// The connections of a hub that something is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    All,
    Group(GroupName),
    User(UserId),
    Connection(ConnectionId),
}

/// Connections of a target that do not get what is sent to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Except {
    pub connections: Vec<ConnectionId>,
    /// All of their connections.
    pub users: Vec<UserId>,
}

impl From<Vec<ConnectionId>> for Except {
    fn from(connections: Vec<ConnectionId>) -> Except {
        Except { connections, users: Vec::new() }
    }
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
        except: Except,
    },
    Join {
        member: Member,
        group: GroupName,
        /// Of a user's membership, in seconds: how long connections that the user makes later still join. `Some(0)`:
        /// present connections only; `None`: without end.
        ttl_seconds: Option<u32>,
        /// The plugin that asks, on whose account a user's membership is. None: a caller with an access key.
        plugin: Option<PluginName>,
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

impl Action {
    /// What it carries, about, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Action::Send { message, except, .. } => {
                message.weight() + size_of_val(&*except.connections) + size_of_val(&*except.users)
            }
            Action::Close { except, reason, .. } => size_of_val(&**except) + reason.as_ref().map_or(0, String::len),
            Action::Join { .. } | Action::Leave { .. } | Action::LeaveAll(_) => 0,
        }
    }

    /// Whom it sends something to.
    pub(crate) fn send_target(&self) -> Option<&Target> {
        match self {
            Action::Send { to, .. } => Some(to),
            Action::Join { .. } | Action::Leave { .. } | Action::LeaveAll(_) | Action::Close { .. } => None,
        }
    }

    /// What it sends.
    pub(crate) fn send_message(&self) -> Option<&Outgoing> {
        match self {
            Action::Send { message, .. } => Some(message),
            Action::Join { .. } | Action::Leave { .. } | Action::LeaveAll(_) | Action::Close { .. } => None,
        }
    }
}
