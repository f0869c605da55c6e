//! What a hostile client, caller or plugin can make the gateway hold or lose: every byte and every place that it takes is
//! on its own account, within a bound, and others are served meanwhile.

mod places;
mod plugins;
mod state;
mod transports;
