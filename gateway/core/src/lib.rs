//! The connection core: who is connected, who is in which group, who gets what, and what upstream is told.
//!
//! It does no input or output and knows no clock and no random source: what happened, the time and new ids are arguments,
//! what is to be done comes out as [`Effect`]s.

mod calls;
mod client_connection;
mod closing;
mod deadlines;
pub mod delivery;
mod drain;
mod effect;
pub mod event;
mod failure;
mod fan_out;
pub mod filter;
mod hash;
mod hub_status;
mod hubs;
pub mod id;
mod inbound;
mod input;
mod inspection;
mod invocation;
mod memberships;
pub mod mode;
mod mode_switch;
mod moving;
mod outbound;
mod outgoing;
mod pace;
pub mod pairs;
mod pending_acks;
mod presence;
mod proxied;
mod questions;
mod rate;
pub mod reach;
mod read_holds;
mod registry;
mod routing;
mod server_connection;
mod server_handshake;
mod server_message;
mod server_names;
mod server_order;
mod serverless;
pub mod settings;
mod shard;
pub mod time;
mod timer_wheel;
mod tokens;

pub use client_connection::{ClientTimes, Identity, NewClient};
pub use effect::{CloseCause, Effect, Order, Shards};
pub use hash::HashSeed;
pub use hub_status::{HubCounters, HubStatus, ShardStatus};
pub use input::{Input, Ticket};
pub use memberships::MembershipRefusal;
pub use outgoing::Outgoing;
pub use presence::Presence;
pub use server_connection::NewServerConnection;
pub use server_order::{Leaving, ServerOrder};
pub use shard::{Shard, Slot};
pub use tokens::{ConnectionTokens, TokenRefusal, TooManyTokens};
