//! The tokio shell of the gateway: sockets, threads, timers and outside systems. It decides nothing: what it hears goes
//! into the core, and what comes out of the core it does.

mod accepting;
mod acme;
mod admin;
mod admission;
mod certificate_status;
mod client;
mod client_log;
mod client_request;
mod cluster;
mod cluster_link;
mod delivery;
mod entrant;
mod envelope;
#[cfg(test)]
mod faults;
mod gateway;
mod http;
mod http_2_stream;
mod http_places;
mod inbox;
mod key_fetching;
mod key_regeneration;
mod links;
mod listeners;
mod loads;
mod metrics;
mod nats_options;
mod network_rules;
mod operators;
mod origins;
mod outbox;
mod outboxes;
mod patience;
mod peer_task;
mod peers;
mod plugin_http;
mod provider_keys;
mod questions;
mod received;
mod recipients;
mod refusal;
mod refusal_log;
mod retries;
pub mod settings;
mod shard;
mod shards;
mod shared;
mod shared_state;
mod slow;
mod tasks;
mod tls;
mod tunnels;
mod turns;
mod upgraded;
mod verified_token;
mod vitals;
mod watchdog;
mod web_client;
mod webhooks;
mod websocket;
mod worker;

pub use crate::http::checks;
pub use web_client::{WebAnswer, ask, reach, speaks_tls};

pub use http::check_claim_name;
pub use provider_keys::{InvalidKeyUrl, KeyUrl};

pub use gateway::{Change, Gateway, Inherited, Keeper, RunError, Sockets, StartError, check_listening};
pub use key_regeneration::{KeyPlace, KeyRefusal, KeyRegeneration};
pub use shared_state::{SharedState, SharedStateError};
pub use tasks::{Panicked, Working, on_a_thread};
pub use tls::{Tls, TlsError, check_authorities};
