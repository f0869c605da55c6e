//! The rules of a shard, and of several, without a network.

mod addresses;
mod between_nodes;
mod client_results;
mod departed;
mod drain;
mod filters;
mod hubs;
mod invocations;
mod keys;
mod model;
mod modes;
mod moved;
mod moving;
mod nodes;
mod oversized;
mod presence;
mod proxied;
mod questions;
mod rates;
mod refresh;
mod resumes;
mod resuming;
mod rig;
mod serverless;
mod streams;
mod watches;
