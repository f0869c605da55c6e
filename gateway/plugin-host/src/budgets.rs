//! What a plugin may use, as its configuration says. What no configuration changes is in [`limits`](crate::limits).

use std::time::{Duration, Instant};

use hubgate_core::stream::StreamBounds;

/// What a plugin may use. Beyond a budget its own verdict holds, and a counter tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// The linear memory that one instance may have, in bytes. The call is broken off.
    pub memory_bytes: usize,
    /// How long one call may take, waiting included. The call is broken off.
    pub call_time: Duration,
    /// How long one call may keep a processor busy, waiting not included. The call is broken off.
    pub cpu_time: Duration,
    /// Calls at a time on each shard, in number; from 1. Further calls wait, and are refused when their time is over.
    pub concurrency: usize,
    /// Actions that one call may have queued at a time, in number. More are refused to the guest.
    pub actions: usize,
    /// Calls of the host that one call may make, in number. The call is broken off.
    pub host_calls: u32,
    /// Lines that the plugin may log in a second, in number, and five times as many at once. More are dropped.
    pub log_lines: u32,
    /// What its values may weigh together, keys and bookkeeping included, in bytes. Writes are refused to the guest.
    pub state_bytes: usize,
    /// What it may write to its state in a second, and as much at once, in bytes. Further writes wait.
    pub state_writes: usize,
    /// Calls that wait for what clients answer, on all shards, in number. More questions are refused to the guest.
    pub asks: usize,
    /// How long a client's answer is waited for at most. The guest is told that it was too long.
    pub ask_time: Duration,
    /// Timers that it may have at a time, in number. More are refused to the guest.
    pub timers: usize,
    /// The shortest time between two of a timer's fires. Shorter ones are refused to the guest.
    pub shortest_period: Duration,
    /// Streams of clients, and what may wait in each. More of them, and more items, are refused.
    pub streams: StreamBounds,
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets {
            memory_bytes: 64 << 20,
            call_time: Duration::from_secs(1),
            cpu_time: Duration::from_secs(1),
            concurrency: 64,
            actions: 10_000,
            host_calls: 10_000,
            log_lines: 100,
            state_bytes: 64 << 20,
            state_writes: 16 << 20,
            asks: 1_000,
            ask_time: Duration::from_secs(60),
            timers: 10_000,
            shortest_period: Duration::from_millis(10),
            streams: StreamBounds::default(),
        }
    }
}

impl Budgets {
    /// When a call that starts then is broken off.
    pub(crate) fn deadline(&self, started: Instant) -> Instant {
        started.checked_add(self.call_time).unwrap_or_else(|| started + Duration::from_secs(1 << 30))
    }
}
