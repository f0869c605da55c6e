//! What comes into a node, what comes out of it, and what it tells of itself.

use std::sync::Arc;

use bytes::Bytes;
use hubgate_core::id::{HubName, NodeId, ShardIndex};
use hubgate_core::time::Millis;
use hubgate_core::{DirectoryChange, Nodes};

use crate::codec::{Envelope, TunnelMessage};
use crate::frame::Configuration;

/// What a node is to the others.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    pub node: NodeId,
    /// Drawn at each start, so that two nodes with the same id tell each other apart.
    pub incarnation: u64,
    pub shards: u16,
    /// Of the gateway, for people.
    pub version: String,
    /// A node that was not heard for so long, while others are, is gone.
    pub node_timeout: Millis,
    /// Where nobody is heard, others are taken for gone only after this.
    pub outage_grace: Millis,
    /// How much is kept for each other node that does not acknowledge it, in bytes.
    pub resend_buffer: usize,
    /// And for how long.
    pub resend_age: Millis,
}

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// What this node publishes reaches the others again, and it hears them. A frame may have so many bytes.
    Connected {
        max_frame: usize,
    },
    /// It neither reaches nor hears anybody.
    Disconnected,
    /// A frame came, to this node or to all.
    Received(Bytes),
    /// A shard has an order for other nodes: an [encoded](crate::encode_envelope) envelope.
    Send {
        to: Receivers,
        item: Bytes,
    },
    Announce(Announced),
    /// A shard has had an order that is larger than [`LARGEST_ITEM`](crate::LARGEST_ITEM), for so many nodes.
    TooLarge {
        nodes: usize,
    },
    /// Time passed: at least every 100 ms. So many clients are here.
    Tick {
        clients: u64,
        configuration: Configuration,
    },
    /// The gateway serves from now on, joined or not: connections are named by its id, which it keeps.
    Serves,
    /// This node leaves.
    Leave,
}

/// What a shard has changed and others must know.
#[derive(Debug)]
pub struct Announced {
    pub shard: ShardIndex,
    pub hub: HubName,
    pub change: DirectoryChange,
}

/// The nodes that an order is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receivers {
    One(NodeId),
    These(Arc<Vec<NodeId>>),
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Publish a frame to all nodes. This one hears it, too.
    PublishToAll(Bytes),
    /// Publish a frame to one node.
    Publish { to: NodeId, frame: Bytes },
    /// Tell all shards which other nodes there are.
    Nodes(Arc<Nodes>),
    /// Tell all shards that nothing that was begun with a node goes on.
    Broken(NodeId),
    /// Take out of the directory what is known of a node.
    Forget(NodeId),
    /// Apply a change of another node to the directory.
    Apply { hub: HubName, change: DirectoryChange },
    /// Hand an order to a shard, or to all.
    Deliver(Envelope),
    /// Hand something of a tunnel to the shard that it is for.
    Tunnel(TunnelMessage),
    /// Tell a shard that the others know that it uses the hub.
    Announced { shard: ShardIndex, hub: HubName },
    /// The node's own id is taken: it has to begin anew with another one.
    IdTaken,
    /// Something that people want to know.
    Report(Report),
}

/// What people want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It knows all that the others know: it may serve.
    Joined {
        others: usize,
    },
    NodeJoined {
        node: NodeId,
        version: String,
    },
    NodeLeft(NodeId),
    /// It was not heard for too long.
    NodeLost(NodeId),
    /// It speaks no version that this one speaks.
    Incompatible {
        node: NodeId,
        version: String,
    },
    /// Two nodes that serve have this id, of which one may be this node.
    IdShared(NodeId),
    /// So many messages for a node may be lost.
    MessagesLost {
        node: NodeId,
        messages: u64,
    },
    /// Nobody is heard.
    OutageBegan,
    OutageEnded {
        milliseconds: u64,
    },
    /// Nobody was heard for longer than others are waited for.
    OutageGraceOver,
}

/// What a node counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items that were handed to other nodes, once for each.
    pub sent: u64,
    pub received: u64,
    /// Frames that were sent once more.
    pub resent: u64,
    /// Items of which nobody knows whether they have arrived.
    pub lost: u64,
    /// Frames and items that could not be read.
    pub unreadable: u64,
    /// Frames and items of kinds that this version does not know.
    pub unknown: u64,
}

/// Another node, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    pub node: NodeId,
    pub version: String,
    pub clients: u64,
    /// `None` until it has said.
    pub configuration: Option<Configuration>,
    pub last_heard: Millis,
    /// How long the oldest message has waited for its acknowledgement.
    pub lag: Millis,
}
