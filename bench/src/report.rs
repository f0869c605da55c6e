//! What a run says at its end.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::Verdict;
use crate::account::Faults;
use crate::arguments::{Scenario, ScenarioArguments};
use crate::process::Spent;

/// One measurement of one target.
#[derive(Debug)]
pub(crate) struct Round {
    /// Answers, deliveries, connections that came, or connections that were there.
    pub(crate) operations: u64,
    pub(crate) time: Duration,
    /// By the target's process; `None` if that is not known.
    pub(crate) spent: Option<Spent>,
    /// Of the process; in `idle`, what it grew by.
    pub(crate) resident_kilobytes: Option<u64>,
    /// Of the process, ever.
    pub(crate) peak_kilobytes: Option<u64>,
    pub(crate) faults: Faults,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) closed_while_stalled: usize,
}

/// The measurements of a run, each target's in their order.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) floor: Vec<Round>,
    pub(crate) coalescing: Vec<Round>,
    pub(crate) target: Vec<Round>,
}

impl Rounds {
    pub(crate) fn verdict(&self) -> Verdict {
        match [&self.floor, &self.coalescing, &self.target].into_iter().flatten().any(|round| round.faults.any()) {
            true => Verdict::Incomplete,
            false => Verdict::Complete,
        }
    }
}

/// A figure over the rounds.
#[derive(Debug, Clone, Copy)]
struct Figure {
    median: f64,
    /// The largest distance of a round from the median, as a part of it.
    spread: f64,
}

impl Figure {
    /// Of the rounds that have one.
    fn of(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<Figure> {
        let mut figures: Vec<f64> = rounds.iter().filter_map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = match figures.len() {
            0 => return None,
            length if length % 2 == 1 => figures[middle],
            _ => (figures[middle - 1] + figures[middle]) / 2.0,
        };
        let distance = figures.iter().map(|figure| (figure - median).abs()).fold(0.0, f64::max);
        Some(Figure { median, spread: if median == 0.0 { 0.0 } else { distance / median } })
    }
}

/// The rounds of one target in one figure each.
#[derive(Debug)]
struct Summary {
    /// Microseconds of processor time for one operation; in `idle`, for one connection and second.
    cost: Option<Figure>,
    user: Option<Figure>,
    system: Option<Figure>,
    /// Of one core, in percent.
    percent: Option<Figure>,
    p50: Option<Figure>,
    p99: Option<Figure>,
    per_second: Option<Figure>,
    resident_kilobytes: Option<Figure>,
    peak_kilobytes: Option<Figure>,
    kilobytes_per_connection: Option<Figure>,
    faults: Faults,
    closed_while_stalled: usize,
}

impl Summary {
    fn new(scenario: Scenario, rounds: &[Round]) -> Option<Summary> {
        let is_idle = scenario == Scenario::Idle;
        let figure = |figure: &dyn Fn(&Round) -> Option<f64>| Figure::of(rounds, figure);
        let cost = |part: fn(Spent) -> Duration| {
            figure(&|round| {
                let per = round.operations as f64 * if is_idle { round.time.as_secs_f64() } else { 1.0 };
                Some(part(round.spent?).as_secs_f64() * 1e6 / per).filter(|cost| cost.is_finite())
            })
        };
        let percentile = |part: f64| {
            figure(&|round| {
                let is_known = !round.latencies.is_empty();
                is_known.then(|| round.latencies.value_at_quantile(part) as f64 / 1000.0)
            })
        };
        let mut faults = Faults::default();
        rounds.iter().for_each(|round| faults.add(round.faults));
        (!rounds.is_empty()).then(|| Summary {
            cost: cost(|spent| spent.total),
            user: cost(|spent| spent.user),
            system: cost(|spent| spent.system),
            percent: figure(&|round| Some(100.0 * round.spent?.total.as_secs_f64() / round.time.as_secs_f64())),
            p50: percentile(0.5),
            p99: percentile(0.99),
            per_second: figure(&|round| (!is_idle).then(|| round.operations as f64 / round.time.as_secs_f64())),
            resident_kilobytes: figure(&|round| round.resident_kilobytes.map(|kilobytes| kilobytes as f64)),
            peak_kilobytes: figure(&|round| round.peak_kilobytes.map(|kilobytes| kilobytes as f64)),
            kilobytes_per_connection: figure(&|round| {
                is_idle.then_some(round.resident_kilobytes? as f64 / round.operations as f64)
            }),
            faults,
            closed_while_stalled: rounds.iter().map(|round| round.closed_while_stalled).sum(),
        })
    }
}

/// Target and floors, of which only the target must be there.
struct Report<'a> {
    scenario: Scenario,
    arguments: &'a ScenarioArguments,
    floor: Option<Summary>,
    coalescing: Option<Summary>,
    target: Summary,
}

/// Prints the figures of a run: one line of JSON, or a table.
pub(crate) fn print(scenario: Scenario, arguments: &ScenarioArguments, rounds: &Rounds) {
    let Some(target) = Summary::new(scenario, &rounds.target) else {
        return;
    };
    let floor = Summary::new(scenario, &rounds.floor);
    let coalescing = Summary::new(scenario, &rounds.coalescing);
    let report = Report { scenario, arguments, floor, coalescing, target };
    match arguments.json {
        true => println!("{}", report.object()),
        false => print!("{}", report.table()),
    }
}

impl Report<'_> {
    /// What the target costs, in floors.
    fn ratio(&self, to: &Option<Summary>, part: fn(&Summary) -> Option<Figure>) -> Option<f64> {
        // An idle floor does nothing at all.
        let is_comparable = self.scenario != Scenario::Idle;
        let ratio = part(&self.target)?.median / part(to.as_ref()?)?.median;
        Some(ratio).filter(|ratio| is_comparable && ratio.is_finite())
    }

    fn object(&self) -> Value {
        let Report { scenario, arguments, floor, coalescing, target } = self;
        let rounded = |figure: Option<f64>| figure.map(|figure| (figure * 1000.0).round() / 1000.0);
        let median = |figure: Option<Figure>| rounded(figure.map(|figure| figure.median));
        let of_floor = |part: fn(&Summary) -> Option<Figure>| median(floor.as_ref().and_then(part));
        json!({
            "scenario": scenario.name(),
            "clients": arguments.clients,
            "size": arguments.size,
            "burst": arguments.burst,
            "groups": arguments.groups,
            "rate": arguments.rate,
            "rounds": arguments.rounds(*scenario),
            "floorRatio": rounded(self.ratio(floor, |summary| summary.cost)),
            "coalescingFloorRatio": rounded(self.ratio(coalescing, |summary| summary.cost)),
            "p99Ratio": rounded(self.ratio(floor, |summary| summary.p99)),
            "cpuMicros": median(target.cost),
            "spread": rounded(target.cost.map(|figure| figure.spread)),
            "userMicros": median(target.user),
            "systemMicros": median(target.system),
            "cpuPercent": median(target.percent),
            "p50Micros": median(target.p50),
            "p99Micros": median(target.p99),
            "p99Spread": rounded(target.p99.map(|figure| figure.spread)),
            "perSecond": median(target.per_second),
            "kilobytes": median(target.kilobytes_per_connection.or(target.resident_kilobytes)),
            "peakKilobytes": median(target.peak_kilobytes),
            "rssKilobytesPerConnection": median(target.kilobytes_per_connection),
            "floorMicros": of_floor(|summary| summary.cost),
            "floorSpread": rounded(floor.as_ref().and_then(|floor| floor.cost).map(|figure| figure.spread)),
            "coalescingFloorMicros": median(coalescing.as_ref().and_then(|floor| floor.cost)),
            "floorP50Micros": of_floor(|summary| summary.p50),
            "floorP99Micros": of_floor(|summary| summary.p99),
            "lost": target.faults.lost,
            "doubled": target.faults.doubled,
            "outOfOrder": target.faults.out_of_order,
            "stray": target.faults.stray,
            "silent": arguments.silent,
            "mixed": arguments.mixed,
            "hubServers": arguments.hub_servers,
            "stalled": arguments.stalled,
            "stalledClosed": target.closed_while_stalled,
        })
    }

    fn table(&self) -> String {
        let (scenario, arguments) = (self.scenario, self.arguments);
        let is_idle = scenario == Scenario::Idle;
        let each = match scenario {
            Scenario::Echo => "answer",
            Scenario::Broadcast | Scenario::Group | Scenario::Rest => "delivery",
            Scenario::Connect => "connection",
            Scenario::Idle => "connection and second",
        };
        let mut text = format!(
            "{}: {} clients, {} rounds; processor time for each {each}\n{:<16}{:>9}{:>8}{:>8}{:>9}{:>9}{:>8}{:>10}{:>10}{:>12}{:>10}\n",
            scenario.name(),
            arguments.clients,
            arguments.rounds(scenario),
            "",
            "CPU µs",
            "spread",
            "ratio",
            "user µs",
            "kernel",
            "% core",
            "p50 µs",
            "p99 µs",
            "per second",
            if is_idle { "kB/conn." } else { "RSS kB" },
        );
        let rows = [
            ("floor", self.floor.as_ref()),
            ("floor+coalesce", self.coalescing.as_ref()),
            ("target", Some(&self.target)),
        ];
        for (name, summary) in rows.into_iter().filter_map(|(name, summary)| Some((name, summary?))) {
            let floor = self.floor.as_ref().and_then(|floor| floor.cost).filter(|_| !is_idle);
            let ratio = summary.cost.zip(floor).map(|(cost, floor)| cost.median / floor.median);
            let memory = if is_idle { summary.kilobytes_per_connection } else { summary.resident_kilobytes };
            text += &format!(
                "{name:<16}{:>9}{:>8}{:>8}{:>9}{:>9}{:>8}{:>10}{:>10}{:>12}{:>10}\n",
                shown(summary.cost, 2),
                summary.cost.map_or("-".to_owned(), |cost| format!("{:.0} %", cost.spread * 100.0)),
                ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
                shown(summary.user, 2),
                shown(summary.system, 2),
                shown(summary.percent, 1),
                shown(summary.p50, 0),
                shown(summary.p99, 0),
                shown(summary.per_second, 0),
                shown(memory, if is_idle { 2 } else { 0 }),
            );
            let Faults { lost, doubled, out_of_order, stray } = summary.faults;
            if summary.faults.any() {
                text += &format!("  {lost} lost, {doubled} doubled, {out_of_order} out of order, {stray} stray\n");
            }
        }
        if arguments.stalled > 0 {
            let (closed, rounds) = (self.target.closed_while_stalled, arguments.rounds(scenario));
            text += &format!("{closed} of {} clients that stopped reading were closed\n", arguments.stalled * rounds);
        }
        text
    }
}

fn shown(figure: Option<Figure>, decimals: usize) -> String {
    figure.map_or("-".to_owned(), |figure| format!("{:.decimals$}", figure.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(operations: u64, microseconds: u64) -> Round {
        let total = Duration::from_micros(microseconds);
        Round {
            operations,
            time: Duration::from_secs(1),
            spent: Some(Spent { total, ..Spent::default() }),
            resident_kilobytes: Some(1000),
            peak_kilobytes: Some(1200),
            faults: Faults::default(),
            latencies: crate::load::histogram().unwrap(),
            closed_while_stalled: 0,
        }
    }

    #[test]
    fn a_figure_is_the_median_and_the_largest_distance_from_it() {
        let rounds = [round(100, 1000), round(100, 1500), round(100, 1100)];
        let summary = Summary::new(Scenario::Echo, &rounds).unwrap();
        let cost = summary.cost.unwrap();
        assert_eq!(cost.median, 11.0);
        assert!((cost.spread - 4.0 / 11.0).abs() < 1e-9);
        assert!(summary.p99.is_none(), "nothing was timed");
        assert_eq!(
            Figure::of(&rounds[..2], |round| Some(round.spent?.total.as_micros() as f64)).unwrap().median,
            1250.0
        );
    }

    #[test]
    fn idle_connections_have_memory_and_a_cost_by_the_second() {
        let mut one = round(500, 10_000);
        one.time = Duration::from_secs(10);
        let summary = Summary::new(Scenario::Idle, &[one]).unwrap();
        assert_eq!(summary.kilobytes_per_connection.unwrap().median, 2.0);
        assert_eq!(summary.cost.unwrap().median, 2.0);
        assert_eq!(summary.percent.unwrap().median, 0.1);
    }

    #[test]
    fn a_round_without_operations_has_no_cost() {
        assert!(Summary::new(Scenario::Echo, &[round(0, 1000)]).unwrap().cost.is_none());
        assert!(Summary::new(Scenario::Echo, &[]).is_none());
    }
}
