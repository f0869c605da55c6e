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

impl Target {
    /// The name in it, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Target::Group(group) => group.as_str().len(),
            Target::User(user) => user.as_str().len(),
            Target::All | Target::Connection(_) => 0,
        }
    }
}

impl Member {
    /// The name in it, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Member::User(user) => user.as_str().len(),
            Member::Connection(_) => 0,
        }
    }
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
