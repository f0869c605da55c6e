//! The rules of a shard, and of several, without a network.

mod model;
mod rig;
mod serverless;
