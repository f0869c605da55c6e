//! What passes between shards, and would pass between nodes: owned data, and nothing of this process.

use hubgate_core::Order;
use hubgate_core::id::{HubName, ShardAddress};

/// An order of one shard for another.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) from: ShardAddress,
    pub(crate) hub: HubName,
    pub(crate) order: Order,
}
