//! What connections a message or an order is for.

use crate::id::{ConnectionId, GroupName, UserId};

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
