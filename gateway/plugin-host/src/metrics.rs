//! What is counted of calls and swaps.
//!
//! Calls are counted per shard and summed when somebody asks: a counter that two shards write costs more than a call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hubgate_core::event::UpstreamFailure;
use hubgate_core::filter::{Refusal, Verdict};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::plugin::{Plugin, PluginState, PluginStatus};
use crate::plugin_host::PluginList;

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
    const ALL: [Outcome; 10] = [
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

    fn label(self) -> &'static str {
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
}

impl Budget {
    const ALL: [Budget; 10] = [
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
    ];

    /// The key of the configuration.
    fn label(self) -> &'static str {
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
}

/// What a filter may say of a message; the last one stands for a filter that failed.
const VERDICTS: [&str; 6] = ["pass", "replace", "reject", "drop", "close", "failed"];

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

/// Upper bounds of the histogram's buckets, in nanoseconds; beyond the last there is one more bucket.
const BUCKETS: [u64; 14] = [
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
    buckets: [u64; BUCKETS.len() + 1],
    nanoseconds: u64,
    verdicts: [u64; VERDICTS.len()],
}

impl CallTotals {
    pub(crate) fn add(&mut self, counters: &CallCounters) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.outcomes.iter_mut().zip(&counters.outcomes).for_each(|(sum, counter)| *sum += read(counter));
        self.buckets.iter_mut().zip(&counters.buckets).for_each(|(sum, counter)| *sum += read(counter));
        self.nanoseconds += read(&counters.nanoseconds);
        self.verdicts.iter_mut().zip(&counters.verdicts).for_each(|(sum, counter)| *sum += read(counter));
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

    fn of(&self, outcome: Outcome) -> u64 {
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

/// Tells a registry what has been counted of all plugins.
pub(crate) struct PluginCollector(pub(crate) Arc<PluginList>);

impl fmt::Debug for PluginCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.load().iter().map(|plugin| plugin.name())).finish()
    }
}

impl Collector for PluginCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plugins = self.0.load();
        let totals: Vec<(&Plugin, CallTotals)> = plugins.iter().map(|plugin| (&**plugin, plugin.totals())).collect();
        self.encode_calls(&totals, &mut encoder)?;
        encode_memory(&plugins, &mut encoder)?;
        encode_breakers(&plugins, &mut encoder)?;
        encode_versions(&plugins, &mut encoder)
    }
}

impl PluginCollector {
    fn encode_calls(&self, totals: &[(&Plugin, CallTotals)], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls of plugins by how they ended";
        let mut calls = encoder.encode_descriptor("hubgate_plugin_calls", help, None, MetricType::Counter)?;
        for (plugin, totals) in totals {
            for outcome in Outcome::ALL {
                let labels = [("plugin", plugin.name().as_str()), ("outcome", outcome.label())];
                calls.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&totals.of(outcome), None)?;
            }
        }
        let help = "Messages that filters have looked at by what became of them";
        let mut verdicts = encoder.encode_descriptor("hubgate_filter_verdicts", help, None, MetricType::Counter)?;
        for (plugin, totals) in totals {
            if totals.verdicts.iter().all(|count| *count == 0) {
                continue;
            }
            for (verdict, count) in VERDICTS.iter().zip(totals.verdicts) {
                let labels = [("plugin", plugin.name().as_str()), ("verdict", verdict)];
                verdicts.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "How often plugins wanted more than a budget allows";
        let mut budgets =
            encoder.encode_descriptor("hubgate_plugin_budget_exceeded", help, None, MetricType::Counter)?;
        for (plugin, _) in totals {
            for budget in Budget::ALL {
                let labels = [("plugin", plugin.name().as_str()), ("budget", budget.label())];
                let count = plugin.surroundings.exceeded.0[budget as usize].load(Ordering::Relaxed);
                budgets.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "How long calls of plugins took, the wait for an instance included";
        let mut seconds =
            encoder.encode_descriptor("hubgate_plugin_call_seconds", help, None, MetricType::Histogram)?;
        for (plugin, totals) in totals {
            let labels = [("plugin", plugin.name().as_str())];
            let bounds = BUCKETS.iter().map(|bound| in_seconds(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(totals.buckets).collect();
            let sum = in_seconds(totals.nanoseconds);
            seconds.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, totals.calls(), &buckets, None)?;
        }
        Ok(())
    }
}

fn encode_breakers(plugins: &[Arc<Plugin>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help =
        "Whether calls of a client or a hub are answered as busy, because nearly all of them run into their budget";
    let mut breakers = encoder.encode_descriptor("hubgate_plugin_breaker_open", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        let labels = [("plugin", plugin.name().as_str())];
        breakers.encode_family(&labels)?.encode_gauge(&u64::from(plugin.breakers().is_any_open(Instant::now())))?;
    }
    Ok(())
}

fn encode_memory(plugins: &[Arc<Plugin>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Bytes that the instances of the plugin hold";
    let mut memory = encoder.encode_descriptor("hubgate_plugin_memory_bytes", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        let labels = [("plugin", plugin.name().as_str())];
        memory.encode_family(&labels)?.encode_gauge(&(plugin.surroundings.memory.held() as u64))?;
    }
    Ok(())
}

fn encode_versions(plugins: &[Arc<Plugin>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Which version of the plugin serves, counted from 1";
    let mut generations = encoder.encode_descriptor("hubgate_plugin_generation", help, None, MetricType::Gauge)?;
    let statuses: Vec<PluginStatus> = plugins.iter().map(|plugin| plugin.status()).collect();
    for status in &statuses {
        let labels = [("plugin", status.name.as_str())];
        generations.encode_family(&labels)?.encode_gauge(&status.generation)?;
    }
    let help = "Which version of the plugin serves: that of its file, the last good one, or none";
    let mut serving = encoder.encode_descriptor("hubgate_plugin_serving", help, None, MetricType::Gauge)?;
    for status in &statuses {
        let present = match (status.state, &status.last_error) {
            (PluginState::Serving, None) => "file",
            (PluginState::Serving, Some(_)) => "last-good",
            (PluginState::Refused, _) => "none",
        };
        for version in ["file", "last-good", "none"] {
            let labels = [("plugin", status.name.as_str()), ("version", version)];
            serving.encode_family(&labels)?.encode_gauge(&u64::from(version == present))?;
        }
    }
    let help = "Attempts to swap a plugin's component by how they ended";
    let mut swaps = encoder.encode_descriptor("hubgate_plugin_swaps", help, None, MetricType::Counter)?;
    for plugin in plugins {
        let counts = &plugin.swaps;
        for (outcome, count) in
            [("swapped", &counts.swapped), ("failed", &counts.failed), ("rolled-back", &counts.rolled_back)]
        {
            let labels = [("plugin", plugin.name().as_str()), ("outcome", outcome)];
            let count = count.load(Ordering::Relaxed);
            swaps.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn in_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_calls_keep_to_a_bound() {
        let within = |times: &[u64]| {
            let counters = CallCounters::default();
            for microseconds in times {
                counters.record(Outcome::Ok, Duration::from_micros(*microseconds));
            }
            let mut totals = CallTotals::default();
            totals.add(&counters);
            totals.half_within().map(|time| time.as_micros())
        };
        assert_eq!(within(&[]), None);
        assert_eq!(within(&[40]), Some(50));
        assert_eq!(within(&[900_000, 40, 3]), Some(50));
        assert_eq!(within(&[900_000, 40, 3, 3]), Some(5));
        assert_eq!(within(&[3_000_000]), None);
    }
}
