//! Runs the plugins of Hubgate: WebAssembly components that answer upstream events or look at messages, inside the gateway.
//!
//! [`PluginHost::start`] loads every plugin and watches its file; [`PluginHost::shard`] gives each shard its own pools
//! of instances. [`ShardPlugins::call`] brings one event to an instance and its answer back, [`ShardPlugins::inspect`] shows
//! a message to a hub's filters. A call runs on a fiber
//! of the shard's thread: it finishes in microseconds as a rule, yields at every tick of the epoch (1 ms) so that other
//! connections go on, and is broken off when its budget of time or memory is spent. A changed file is compiled, checked
//! and tried out beside the serving version, and then takes its place at once: a call ends on the version it began with.
//!
//! | module | what |
//! |---|---|
//! | `engine`, `ticker` | the one wasmtime engine, and the thread that makes its epochs |
//! | `component`, `sections` | bytes -> a checked and linked `Version`, or its `LoadError` |
//! | `version`, `digest` | a component that can serve, and what it is known by |
//! | `plugin`, `watch` | a configured plugin, and the thread that looks at its file |
//! | `versions`, `health`, `peers` | what serves, and what is brought back when calls of many break off |
//! | `kept_components` | what serves, kept for a start at which a plugin's file does not |
//! | `breaker`, `breakers`, `turns` | what keeps a plugin whose calls hang from holding everybody up |
//! | `pool`, `instance`, `stream_events` | instances of one plugin on one shard, and a call of one |
//! | `attempt`, `absence` | the time of a call and its place among those that run, also while its guest waits for a client |
//! | `authorization` | what an authorizer is asked about a request, and what it says |
//! | `host` | the imports of guests, which all come in at one door (`host::door`) as data |
//! | `sandbox`, `inspect`, `rehearsal`, `rehearsed_streams`, `dry_run`, `journal` | a component beside any gateway: tried out, brought the events of a script, or told again what it was told |
//! | `convert` | between the WIT's types and the core's |
//! | `state`, `store`, `clock` | what plugins keep, where it lasts, and how long |
//! | `shared`, `kept` | what plugins of several gateways keep together, and which of the two a plugin uses |
//! | `archive` | what plugins keep, where no gateway runs |
//! | `timer`, `timers` | what plugins are told later, and that a version begins to serve a hub |
//! | `memory` | the account of all instances' memory |
//! | `budgets`, `limits` | what a plugin may use: what the configuration says, and what it cannot change |
//! | `log`, `printable`, `rate_limit` | what plugins write, and how often |
//! | `metrics`, `collector` | what is counted, and told to a registry |
//! | `offload` | long work of host calls, done while the shard goes on |
//! | `regular_file`, `file_stamp` | files that nobody waits for without a bound, and what tells that they have changed |
//! | `worker` | threads that nobody waits for without a bound |

mod absence;
mod archive;
mod attempt;
mod authorization;
mod bindings;
mod breaker;
mod breakers;
mod budgets;
mod clock;
mod collector;
mod compiler;
mod component;
mod convert;
mod digest;
mod dry_run;
mod engine;
mod file_stamp;
mod file_swap;
mod health;
mod host;
mod inspect;
mod instance;
mod journal;
mod kept;
mod kept_components;
mod limits;
mod load_error;
mod log;
mod memory;
mod metrics;
mod offload;
mod peers;
mod plugin;
mod plugin_host;
mod pool;
mod printable;
pub mod private_folder;
mod rate_limit;
mod regular_file;
mod rehearsal;
mod rehearsed_streams;
mod sandbox;
mod sections;
mod settings;
mod shared;
mod state;
mod store;
mod stream_events;
mod ticker;
mod timer;
mod timers;
mod turns;
mod version;
mod versions;
mod watch;
mod worker;

pub use archive::{Archive, ArchiveError, KeptValue, PluginArchive};
pub use authorization::{Authorization, AuthorizeCall, Grant, Refused};
pub use budgets::Budgets;
pub use compiler::{Compilation, compile_here};
pub use dry_run::{DryCall, DryRun, DryRunOutcome, dry_run};
pub use file_stamp::FileStamp;
pub use file_swap::{SwapError, SwapTurn};
pub use host::{HttpAnswer, HttpCall, HttpFailure, ShardQuestion};
pub use inspect::{PluginReport, inspect, try_plugin};
pub use journal::{Journal, ReplayError};
pub use limits::{MAX_COMPILER_MEMORY_BYTES, MAX_COMPONENT_BYTES};
pub use load_error::LoadError;
pub use log::PluginLogLine;
pub use plugin::{PluginState, PluginStatus};
pub use plugin_host::{BadPlugins, Folders, Keeping, PluginHost, StartError};
pub use pool::ShardPlugins;
pub use regular_file::{FileError, RegularFile};
pub use rehearsal::{Prompter, Rehearsal, RehearsalError, Stage};
pub use rehearsed_streams::RehearsedStreams;
pub use sections::mark_numbers_as_doubles;
pub use settings::{
    AllowHttp, HostSettings, Payloads, PluginSettings, PluginSource, Rollback, Share, StateScope, Uses,
};
pub use shared::{Answer, Follower, RecordWrite, SharedRecords, SharedStore, Stored, WriteError};
pub use timer::{Lifetime, Schedule, Timer};
pub use timers::Firing;
pub use versions::{PluginError, RollbackError};
pub use worker::VitalSign;
