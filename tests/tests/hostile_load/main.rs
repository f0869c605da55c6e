//! What a hostile client, caller or plugin can make the gateway hold or lose: every byte and every place that it takes is
//! on its own account, within a bound, and others are served meanwhile.

mod http_transports;
mod memory;
mod outboxes;
mod places;
mod plugins;
mod requests;
mod state;
mod transports;

/// What a flood may add to the memory that the gateway holds, in bytes: far less than it adds when each part of it costs
/// something, and more than what comes and goes.
const ALLOWED_GROWTH: u64 = 48 << 20;
