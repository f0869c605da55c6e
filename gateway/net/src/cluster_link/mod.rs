//! The shards' way to the thread that speaks to other nodes, and what that tells of the cluster.

mod gathered;
mod link;
mod status;

pub(crate) use gathered::Gathered;
pub(crate) use link::{ClusterLink, Flow, FromShard, FromShards};
pub(crate) use status::{ClusterStatus, id};
