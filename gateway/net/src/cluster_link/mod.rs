//! The shards' way to the thread that speaks to other nodes, and what that tells of the cluster.

mod link;
mod status;

pub(crate) use link::{ClusterLink, FromShard, FromShards};
pub(crate) use status::{ClusterStatus, id};
