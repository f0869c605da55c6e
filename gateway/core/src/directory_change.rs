//! What can change in what shards know together of a hub, on one node and on all.

use crate::arrivals::{Reconnect, WhenLost};
use crate::id::{ConnectionId, GroupName, NodeId, PluginName, ServerConnectionId, ServerId, ShardAddress, UserId};

/// One change, in the order in which its shard makes them.
///
/// The first four stay on their node. The others are [announced](crate::Effect::Announce) to all nodes. Each of those says how
/// something is, and is no difference to what was: applied twice it is the same as once. Memberships are no node's own, but all
/// nodes hold them alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryChange {
    /// So many more clients can be seen by others.
    ClientsEntered(usize),
    /// So many fewer can.
    ClientsLeft(usize),
    /// A user has its first connection on a shard.
    UserEntered { user: UserId, shard: ShardAddress },
    /// A user has no connection on a shard any longer.
    UserLeft { user: UserId, shard: ShardAddress },
    /// A shard has clients of the hub: orders that are for all of them go to its node, too.
    HubUsed(ShardAddress),
    /// It has none any longer.
    HubUnused(ShardAddress),
    /// A connection of a hub server gets clients from now on. `reconnect`: what its clients may have.
    ServerConnected { id: ServerConnectionId, server: ServerId, reconnect: Reconnect, when_lost: WhenLost },
    /// A connection that only sends waits for answers to what it asks.
    SenderConnected { id: ServerConnectionId, server: ServerId },
    /// A connection of either kind is gone.
    ServerLeft(ServerConnectionId),
    /// A connection gets no new clients.
    ServerDrains(ServerConnectionId),
    /// A connection reads too slowly for what its clients say, or has caught up.
    ServerCongested { id: ServerConnectionId, is_congested: bool },
    /// So many clients of a shard are routed to a connection.
    ClientsRouted { to: ServerConnectionId, by: ShardAddress, clients: usize },
    /// A plugin is told from now on who joins and leaves a group.
    GroupWatched { plugin: PluginName, group: GroupName },
    /// It is not told any longer.
    GroupUnwatched { plugin: PluginName, group: GroupName },
    /// A user is in a group from now on, with whatever connections. `ends`: when later connections do not join any longer, in milliseconds
    /// since 1970.
    MembershipBegins { user: UserId, group: GroupName, ends: Option<u64>, plugin: Option<PluginName>, stamp: Stamp },
    /// It is not any longer, or in no group at all.
    MembershipEnds { user: UserId, group: Option<GroupName>, stamp: Stamp },
    /// A connection lives on that shard, and the node that its id names is lost, or was. `token` opens its transports.
    ConnectionMoved { id: ConnectionId, token: ConnectionId, to: ShardAddress },
    /// It is over.
    ConnectionOver { id: ConnectionId, at: ShardAddress },
}

/// When a node has made a change that all nodes know alike. Of two changes of the same, the later one holds, on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// In milliseconds since 1970, by the node's clock, and later than all that it knew.
    pub time: u64,
    pub node: NodeId,
}
