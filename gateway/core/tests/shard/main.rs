//! The rules of a shard, and of several, without a network.

mod departed;
mod filters;
mod model;
mod modes;
mod proxied;
mod rig;
mod serverless;
