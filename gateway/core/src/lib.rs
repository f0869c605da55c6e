//! The connection core: who is connected, who is in which group, who gets what, and what upstream is told.
//!
//! It does no input or output and knows no clock and no random source: what happened, the time and new ids are arguments,
//! what is to be done comes out as [`Effect`]s.

mod arena;
mod arrivals;
mod client;
mod client_message;
mod client_results;
mod close_cause;
pub mod delivery;
mod detours;
mod directory_change;
mod drain;
mod effect;
pub mod event;
mod failure;
pub mod filter;
mod filter_message;
pub mod follower;
mod gate;
mod hash;
mod hub;
pub mod id;
mod input;
mod link;
mod message_rate;
pub mod mode;
mod mode_switch;
mod moved_connections;
mod neighbours;
mod order;
mod outgoing;
pub mod pairs;
mod parts;
mod query;
pub mod question;
pub mod reach;
mod recorded_input;
pub mod refresh;
mod refusal;
pub mod settings;
mod shard;
mod slowed_clients;
pub mod stream;
mod streams;
mod target;
pub mod time;
mod tokens;
pub mod trace;
mod turn;
mod upstream;

pub use arrivals::{
    ClientTimes, Family, Identity, NewClient, NewServerConnection, Reconnect, ResumedClient, Return, ReturningClient,
    WhenLost,
};
pub use client::listing::{ListPart, ListedClient, ListedClients};
pub use client::resuming::MostKept;
pub use close_cause::CloseCause;
pub use directory_change::{DirectoryChange, Stamp};
pub use effect::Effect;
pub use hash::HashSeed;
pub use hub::directory::Directory;
pub use hub::status::{HubCounters, HubStatus, RefreshOutcome, ResumeOutcome, ShardStatus};
pub use id::{Slot, TransportKey};
pub use input::Input;
pub use neighbours::{Location, Neighbours, Nodes, OtherNode};
pub use order::{Addressees, ForwardedQuestion, Leaving, Order, ServerOrder};
pub use outgoing::{Answerable, Content, Outgoing};
pub use recorded_input::RecordedInput;
pub use refusal::{MembershipRefusal, ResumeRefusal, WatchRefusal};
pub use shard::Shard;
pub use tokens::{
    ClaimAnswer, Claimed, LONGEST_EARLY_POST, Negotiated, TokenClaim, TokenKept, TokenRefusal, TooManyTokens,
};
