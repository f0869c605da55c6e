//! What a run says at its end.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::account::Faults;
use crate::process::ProcessorTime;
use crate::{Scenario, ScenarioArguments, Verdict};

/// One measurement of one target.
#[derive(Debug)]
pub(crate) struct Round {
    /// Answers, deliveries, connections that came, or connections that were there.
    pub(crate) operations: u64,
    pub(crate) time: Duration,
    pub(crate) processor: Option<ProcessorTime>,
    /// Of the process; in `idle`, what it grew by.
    pub(crate) resident_kilobytes: Option<u64>,
    pub(crate) faults: Faults,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Round {
    /// Microseconds of `part` for one operation; in `idle`, percent of one core.
    fn cost(&self, scenario: Scenario, part: impl Fn(ProcessorTime) -> Duration) -> Option<f64> {
        let time = part(self.processor?);
        Some(match scenario {
            Scenario::Idle => 100.0 * time.as_secs_f64() / self.time.as_secs_f64(),
            _ => time.as_secs_f64() * 1e6 / self.operations.max(1) as f64,
        })
    }
}

/// The rounds of one target in one figure each.
struct Summary {
    cost: Option<f64>,
    /// The largest distance of a round from the median, as a part of it.
    spread: Option<f64>,
    user: Option<f64>,
    system: Option<f64>,
    p50: f64,
    p99: f64,
    per_second: f64,
    kilobytes: Option<f64>,
    faults: Faults,
}

impl Summary {
    fn new(scenario: Scenario, rounds: &[Round]) -> Option<Summary> {
        let figures = |figure: &dyn Fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(figure).collect());
        let cost = figures(&|round| round.cost(scenario, |time| time.total));
        let spread = cost.map(|median| {
            let costs = rounds.iter().filter_map(|round| round.cost(scenario, |time| time.total));
            costs.map(|cost| (cost - median).abs() / median).fold(0.0, f64::max)
        });
        let percentile = |part: f64| figures(&|round| Some(round.latencies.value_at_quantile(part) as f64 / 1000.0));
        let mut faults = Faults::default();
        rounds.iter().for_each(|round| faults.add(round.faults));
        Some(Summary {
            cost,
            spread,
            user: figures(&|round| round.cost(scenario, |time| time.user)),
            system: figures(&|round| round.cost(scenario, |time| time.system)),
            p50: percentile(0.5)?,
            p99: percentile(0.99)?,
            per_second: figures(&|round| Some(round.operations as f64 / round.time.as_secs_f64()))?,
            kilobytes: match scenario {
                // Later rounds find the memory of the first one.
                Scenario::Idle => {
                    let per_client = |round: &Round| Some(round.resident_kilobytes? as f64 / round.operations as f64);
                    rounds.iter().filter_map(per_client).max_by(f64::total_cmp)
                }
                _ => figures(&|round| round.resident_kilobytes.map(|kilobytes| kilobytes as f64)),
            },
            faults,
        })
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Prints the figures of the rounds of floor, coalescing floor and target.
pub(crate) fn print(scenario: Scenario, arguments: &ScenarioArguments, rounds: &[Vec<Round>; 3]) -> Result<Verdict> {
    let [floor, coalescing, target] = [0, 1, 2].map(|index| Summary::new(scenario, &rounds[index]));
    let Some(target) = target else {
        return Ok(Verdict::Incomplete);
    };
    let ratio = |to: &Option<Summary>| Some(target.cost? / to.as_ref()?.cost?);
    match arguments.json {
        true => println!("{}", object(scenario, arguments, &target, &floor, [ratio(&floor), ratio(&coalescing)])),
        false => {
            let unit = if scenario == Scenario::Idle { "% of a core" } else { "µs CPU each" };
            println!("{}: {} clients, {} rounds", scenario.name(), arguments.clients, arguments.rounds);
            println!(
                "{:<16}{unit:>12}{:>8}{:>10}{:>10}{:>12}{:>10}",
                "", "ratio", "p50 µs", "p99 µs", "per second", "kB"
            );
            let lines = [("floor", &floor), ("floor+coalesce", &coalescing), ("target", &Some(target))];
            for (name, summary) in lines.into_iter().filter_map(|(name, summary)| Some((name, summary.as_ref()?))) {
                let against = summary.cost.zip(floor.as_ref().and_then(|floor| floor.cost)).map(|(a, b)| a / b);
                println!(
                    "{name:<16}{:>12}{:>8}{:>10.0}{:>10.0}{:>12.0}{:>10}",
                    figure(summary.cost),
                    figure(against),
                    summary.p50,
                    summary.p99,
                    summary.per_second,
                    figure(summary.kilobytes),
                );
                if summary.faults.any() {
                    println!("  faults: {:?}", summary.faults);
                }
            }
            return Ok(verdict(&rounds[2]));
        }
    }
    Ok(verdict(&rounds[2]))
}

fn verdict(rounds: &[Round]) -> Verdict {
    match rounds.iter().any(|round| round.faults.any()) {
        true => Verdict::Incomplete,
        false => Verdict::Complete,
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2}"))
}

fn object(
    scenario: Scenario,
    arguments: &ScenarioArguments,
    target: &Summary,
    floor: &Option<Summary>,
    [ratio, coalescing_ratio]: [Option<f64>; 2],
) -> Value {
    let round = |value: Option<f64>| value.map(|value| (value * 1000.0).round() / 1000.0);
    let cost = if scenario == Scenario::Idle { "cpuPercent" } else { "cpuMicros" };
    let mut object = json!({
        "scenario": scenario.name(),
        "clients": arguments.clients,
        "burst": arguments.burst,
        "groups": arguments.groups,
        "rate": arguments.rate,
        "size": arguments.size,
        "stalled": arguments.stalled,
        "floorRatio": round(ratio),
        "coalescingFloorRatio": round(coalescing_ratio),
        "userMicros": round(target.user),
        "systemMicros": round(target.system),
        "spread": round(target.spread),
        "floorMicros": floor.as_ref().and_then(|floor| round(floor.cost)),
        "p50Micros": round(Some(target.p50)),
        "p99Micros": round(Some(target.p99)),
        "floorP99Micros": floor.as_ref().and_then(|floor| round(Some(floor.p99))),
        "perSecond": round(Some(target.per_second)),
        "kilobytes": round(target.kilobytes),
        "lost": target.faults.lost,
        "doubled": target.faults.doubled,
        "outOfOrder": target.faults.out_of_order,
    });
    object[cost] = round(target.cost).into();
    object
}
