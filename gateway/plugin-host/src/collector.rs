//! Tells a registry of metrics what has been counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::metrics::{BUCKETS, Budget, CallTotals, Outcome, Telling, VERDICTS};
use crate::plugin::{Plugin, PluginList, PluginState, PluginStatus};
use crate::timers::TimerEvent;

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
        encode_presence(&totals, &mut encoder)?;
        encode_memory(&plugins, &mut encoder)?;
        encode_timers(&plugins, &mut encoder)?;
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
                let count = plugin.surroundings.exceeded.of(budget);
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

fn encode_timers(plugins: &[Arc<Plugin>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Timers that the plugin has set and that are not over";
    let mut timers = encoder.encode_descriptor("hubgate_plugin_timers", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        let labels = [("plugin", plugin.name().as_str())];
        let count = plugin.surroundings.timers.account().timers();
        timers.encode_family(&labels)?.encode_gauge(&(count as u64))?;
    }
    let help = "What has happened to timers of plugins";
    let mut events = encoder.encode_descriptor("hubgate_plugin_timer_events", help, None, MetricType::Counter)?;
    for plugin in plugins {
        for event in TimerEvent::ALL {
            let labels = [("plugin", plugin.name().as_str()), ("event", event.label())];
            let count = plugin.surroundings.timers.account().counted(event);
            events.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn encode_presence(totals: &[(&Plugin, CallTotals)], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Members that have joined or left groups that plugins watch, by what became of telling that";
    let mut presence = encoder.encode_descriptor("hubgate_plugin_presence_changes", help, None, MetricType::Counter)?;
    for (plugin, totals) in totals {
        if totals.presence.iter().all(|count| *count == 0) {
            continue;
        }
        for (telling, count) in Telling::ALL.into_iter().zip(totals.presence) {
            let labels = [("plugin", plugin.name().as_str()), ("outcome", telling.label())];
            presence.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
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
    use std::time::Duration;

    use super::*;
    use crate::metrics::CallCounters;

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
