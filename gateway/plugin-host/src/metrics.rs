//! What is counted of calls and swaps.
//!
//! Calls are counted per shard and summed when somebody asks: a counter that two shards write costs more than a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hubgate_core::event::UpstreamFailure;
use hubgate_core::filter::{Refusal, Verdict};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Rejected,
    Failed,
    Trapped,
    TimedOut,
    OutOfCpuTime,
    OutOfMemory,
    /// Of the memory of all plugins.
    OutOfPluginMemory,
    Busy,
    NotServing,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 10] = [
        Outcome::Ok,
        Outcome::Rejected,
        Outcome::Failed,
        Outcome::Trapped,
        Outcome::TimedOut,
        Outcome::OutOfCpuTime,
        Outcome::OutOfMemory,
        Outcome::OutOfPluginMemory,
        Outcome::Busy,
        Outcome::NotServing,
    ];

    /// Of a call that left its instance whole.
    pub(crate) fn of<T>(answer: &Result<T, UpstreamFailure>) -> Outcome {
        match answer {
            Ok(_) => Outcome::Ok,
            Err(UpstreamFailure::Rejected(_)) => Outcome::Rejected,
            Err(_) => Outcome::Failed,
        }
    }

    /// Was an instance lost with the call?
    pub(crate) fn is_trap(self) -> bool {
        match self {
            Outcome::Trapped
            | Outcome::TimedOut
            | Outcome::OutOfCpuTime
            | Outcome::OutOfMemory
            | Outcome::OutOfPluginMemory => true,
            Outcome::Ok | Outcome::Rejected | Outcome::Failed | Outcome::Busy | Outcome::NotServing => false,
        }
    }

    /// Did the call end by the guest's own doing?
    pub(crate) fn is_the_guests(self) -> bool {
        match self {
            Outcome::Ok | Outcome::Rejected | Outcome::Failed => true,
            Outcome::OutOfPluginMemory | Outcome::Busy | Outcome::NotServing => false,
            Outcome::Trapped | Outcome::TimedOut | Outcome::OutOfCpuTime | Outcome::OutOfMemory => true,
        }
    }

    /// Did the guest trap, or go beyond what it may use by itself?
    pub(crate) fn is_broken_off(self) -> bool {
        self.is_trap() && self.is_the_guests()
    }

    /// Did the call run into its budget, and end in vain?
    pub(crate) fn is_in_vain(self) -> bool {
        self.is_broken_off() && self != Outcome::Trapped
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
            Outcome::Trapped => "trapped",
            Outcome::TimedOut => "timed-out",
            Outcome::OutOfCpuTime => "out-of-cpu-time",
            Outcome::OutOfMemory => "out-of-memory",
            Outcome::OutOfPluginMemory => "out-of-plugin-memory",
            Outcome::Busy => "busy",
            Outcome::NotServing => "not-serving",
        }
    }
}

/// What a plugin may use only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    Memory,
    PluginMemory,
    CallTime,
    CpuTime,
    Concurrency,
    Actions,
    HostCalls,
    LogLines,
    State,
    StateWrites,
    Asks,
    Timers,
    ShortestPeriod,
    PresenceGroups,
    StreamItems,
    StreamBytes,
    StreamsPerClient,
    Streams,
}

impl Budget {
    pub(crate) const ALL: [Budget; 18] = [
        Budget::Memory,
        Budget::PluginMemory,
        Budget::CallTime,
        Budget::CpuTime,
        Budget::Concurrency,
        Budget::Actions,
        Budget::HostCalls,
        Budget::LogLines,
        Budget::State,
        Budget::StateWrites,
        Budget::Asks,
        Budget::Timers,
        Budget::ShortestPeriod,
        Budget::PresenceGroups,
        Budget::StreamItems,
        Budget::StreamBytes,
        Budget::StreamsPerClient,
        Budget::Streams,
    ];

    /// The key of the configuration.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Budget::Memory => "memory",
            Budget::PluginMemory => "plugin-memory",
            Budget::CallTime => "call-time",
            Budget::CpuTime => "cpu-time",
            Budget::Concurrency => "concurrency",
            Budget::Actions => "actions",
            Budget::HostCalls => "host-calls",
            Budget::LogLines => "log-lines",
            Budget::State => "state",
            Budget::StateWrites => "state-writes",
            Budget::Asks => "asks",
            Budget::Timers => "timers",
            Budget::ShortestPeriod => "shortest-period",
            Budget::PresenceGroups => "presence-groups",
            Budget::StreamItems => "stream-items",
            Budget::StreamBytes => "stream-bytes",
            Budget::StreamsPerClient => "streams-per-client",
            Budget::Streams => "streams",
        }
    }
}

/// How often a plugin wanted more than a budget allows, on all shards together: it is rare.
#[derive(Debug, Default)]
pub(crate) struct BudgetCounters([AtomicU64; Budget::ALL.len()]);

impl BudgetCounters {
    pub(crate) fn add(&self, budget: Budget) {
        self.0[budget as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, budget: Budget) -> u64 {
        self.0[budget as usize].load(Ordering::Relaxed)
    }
}

/// What a filter may say of a message; the last one stands for a filter that failed.
pub(crate) const VERDICTS: [&str; 6] = ["pass", "replace", "reject", "drop", "close", "failed"];

fn index_of(verdict: Option<&Verdict>) -> usize {
    match verdict {
        Some(Verdict::Pass) => 0,
        Some(Verdict::Replace(_)) => 1,
        Some(Verdict::Refuse(Refusal::Rejected(_))) => 2,
        Some(Verdict::Refuse(Refusal::Dropped)) => 3,
        Some(Verdict::Close(_)) => 4,
        Some(Verdict::Refuse(Refusal::Failed(_))) | None => 5,
    }
}

/// What became of the news that a member has joined or left a watched group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    Told,
    /// With the call that was to tell of it.
    Failed,
    /// The version that serves is not to be told.
    Dropped,
}

impl Telling {
    pub(crate) const ALL: [Telling; 3] = [Telling::Told, Telling::Failed, Telling::Dropped];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Telling::Told => "told",
            Telling::Failed => "failed",
            Telling::Dropped => "dropped",
        }
    }
}

/// Upper bounds of the histogram's buckets, in nanoseconds; beyond the last there is one more bucket.
pub(crate) const BUCKETS: [u64; 14] = [
    1_000,
    2_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    500_000_000,
    2_500_000_000,
];

/// The calls of one plugin on one shard, written by that shard's thread only.
#[derive(Debug, Default)]
pub(crate) struct CallCounters {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
    verdicts: [AtomicU64; VERDICTS.len()],
    presence: [AtomicU64; Telling::ALL.len()],
}

/// One thread writes, so a load and a store lose nothing and cost less than an atomic addition.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl CallCounters {
    /// What a filter has said; `None` if it failed.
    pub(crate) fn record_verdict(&self, verdict: Option<&Verdict>) {
        add(&self.verdicts[index_of(verdict)], 1);
    }

    /// What became of the news of so many members.
    pub(crate) fn record_presence(&self, telling: Telling, members: usize) {
        add(&self.presence[telling as usize], members as u64);
    }

    pub(crate) fn record(&self, outcome: Outcome, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| took <= *bound).unwrap_or(BUCKETS.len());
        add(&self.outcomes[outcome as usize], 1);
        add(&self.buckets[bucket], 1);
        add(&self.nanoseconds, took);
    }
}

/// The calls of one plugin on all shards.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CallTotals {
    outcomes: [u64; Outcome::ALL.len()],
    pub(crate) buckets: [u64; BUCKETS.len() + 1],
    pub(crate) nanoseconds: u64,
    pub(crate) verdicts: [u64; VERDICTS.len()],
    pub(crate) presence: [u64; Telling::ALL.len()],
}

impl CallTotals {
    pub(crate) fn add(&mut self, counters: &CallCounters) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.outcomes.iter_mut().zip(&counters.outcomes).for_each(|(sum, counter)| *sum += read(counter));
        self.buckets.iter_mut().zip(&counters.buckets).for_each(|(sum, counter)| *sum += read(counter));
        self.nanoseconds += read(&counters.nanoseconds);
        self.verdicts.iter_mut().zip(&counters.verdicts).for_each(|(sum, counter)| *sum += read(counter));
        self.presence.iter_mut().zip(&counters.presence).for_each(|(sum, counter)| *sum += read(counter));
    }

    pub(crate) fn calls(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// A bound of the histogram that at least half of the calls kept to. None before the first call, and where they kept to none.
    pub(crate) fn half_within(&self) -> Option<Duration> {
        let half = self.calls().div_ceil(2).max(1);
        let mut counted = 0;
        let mut bounds = BUCKETS.iter().zip(self.buckets);
        let found = bounds.find(|(_, count)| {
            counted += count;
            counted >= half
        });
        found.map(|(bound, _)| Duration::from_nanos(*bound))
    }

    pub(crate) fn traps(&self) -> u64 {
        Outcome::ALL.into_iter().filter(|outcome| outcome.is_trap()).map(|outcome| self.of(outcome)).sum()
    }

    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }
}

/// Attempts to swap, by how they ended.
#[derive(Debug, Default)]
pub(crate) struct SwapCounters {
    pub(crate) swapped: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) rolled_back: AtomicU64,
}
