//! Why memberships and watches are refused.

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
