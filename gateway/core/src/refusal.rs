//! Why memberships, watches and resumed clients are refused.

use crate::id::PluginName;
use crate::mode::Mode;

/// Why a user's membership of a group was not noted. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipRefusal {
    /// The user has as many memberships as a connection may be in groups.
    UserFull,
    /// The hub has as many as `server.limits.user-memberships` allows.
    HubFull,
    /// The plugin has half of what a hub may have, over all hubs.
    PluginFull(PluginName),
}

/// Why a plugin does not watch a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchRefusal {
    /// It watches as many groups as it may.
    TooMany,
    /// The hub has this mode: hub servers answer its clients.
    NotServerless(Mode),
}

/// Why nobody goes on with a client that is here, or was. The client is none the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeRefusal {
    /// No client of the hub has this id, or it is over.
    Unknown,
    /// It has one transport for its whole life: it did not negotiate more, speaks version 1, or is not let in yet.
    NotStateful,
    /// The client is another user's.
    OtherUser,
    /// It has resumed too often of late.
    TooOften,
}
