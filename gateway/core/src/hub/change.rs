//! What can change in what all shards know of a hub.

use crate::arrivals::Reconnect;
use crate::id::{GroupName, PluginName, ServerConnectionId, ServerId, ShardAddress, UserId};

/// One change, in the order in which its shard makes them.
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
    /// A connection of a hub server gets clients from now on. `reconnect`: what its clients may have.
    ServerConnected { id: ServerConnectionId, server: ServerId, reconnect: Reconnect },
    /// A connection that only sends waits for answers to what it asks.
    SenderConnected { id: ServerConnectionId, server: ServerId },
    /// A connection of either kind is gone.
    ServerLeft(ServerConnectionId),
    /// No connection that this server has now gets new clients.
    ServerDrains(ServerId),
    /// A connection reads too slowly for what its clients say, or has caught up.
    ServerCongested { id: ServerConnectionId, is_congested: bool },
    /// So many clients more are routed to a connection.
    ClientsRouted { to: ServerConnectionId, clients: usize },
    /// So many fewer are.
    ClientsReleased { from: ServerConnectionId, clients: usize },
    /// A plugin is told from now on who joins and leaves a group.
    GroupWatched { plugin: PluginName, group: GroupName },
    /// It is not told any longer.
    GroupUnwatched { plugin: PluginName, group: GroupName },
}
