//! What the clients do, and what it costs the target.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::account::Faults;
use crate::arguments::{Scenario, ScenarioArguments};
use crate::client::Client;
use crate::crowd::Crowd;
use crate::load::{self, Load, Outcome};
use crate::process::{ProcessorTime, peak_kilobytes, resident_kilobytes};
use crate::report::Round;
use crate::target::Target;

/// What is measured begins when the target has warmed up for this part of the time.
const WARM_UP: f64 = 0.25;
/// Connections that come and go before they are counted.
const WARM_UP_CONNECTS: usize = 200;
/// In `idle`: the most clients that are there before they are counted, so that what the first ones make the target set
/// up once is not a price of the others.
const MOST_FIRST_CLIENTS: usize = 200;
/// In `idle`: how long the target is left alone with new clients before it is looked at.
const SETTLING: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Measures one target once.
pub(crate) fn measure(scenario: Scenario, arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    match scenario {
        Scenario::Connect => connect(arguments, target),
        Scenario::Idle => idle(arguments, target),
        Scenario::Echo | Scenario::Broadcast | Scenario::Group | Scenario::Rest => {
            messages(scenario, arguments, target)
        }
    }
}

fn messages(scenario: Scenario, arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    let time = arguments.time(scenario);
    let mut crowd = Crowd::new()?;
    crowd.grow(target, arguments.clients, arguments.clients - arguments.stalled)?;
    if scenario == Scenario::Group {
        load::join(arguments, target.dialect, &mut crowd, 0..arguments.clients)?;
    }
    if scenario == Scenario::Rest {
        crowd.post_for(target, arguments.clients - arguments.stalled)?;
    }
    let mut load = Load::new(scenario, arguments, target.dialect, crowd)?;
    let warmed_up = load.run(time.mul_f64(WARM_UP))?;
    if load.arrived == 0 {
        bail!("nothing comes back within {:?}: is it what the hub does (--method, --receive)?", arguments.patience);
    }
    load.forget_latencies();
    let before = load.arrived;
    let processor = target.pid.and_then(ProcessorTime::of);
    let started = Instant::now();
    // Where messages are lost the senders wait for ever; there is nothing to measure.
    if warmed_up == Outcome::Complete {
        load.run(time)?;
    }
    Ok(Round {
        operations: load.arrived - before,
        time: started.elapsed(),
        spent: processor.and_then(|before| before.spent()),
        resident_kilobytes: target.pid.and_then(resident_kilobytes),
        peak_kilobytes: target.pid.and_then(peak_kilobytes),
        faults: load.faults(),
        latencies: load.latencies.clone(),
        closed_while_stalled: load.closed_while_stalled(),
    })
}

/// Clients come and go, one after the other.
fn connect(arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    for number in 0..WARM_UP_CONNECTS {
        Client::connect(target, number, number, false)?.close()?;
    }
    let mut latencies = load::histogram()?;
    let processor = target.pid.and_then(ProcessorTime::of);
    let (started, mut operations) = (Instant::now(), 0);
    while started.elapsed() < arguments.time(Scenario::Connect) {
        let number = operations as usize;
        let begun = Instant::now();
        let client = Client::connect(target, number % arguments.clients, number, false)?;
        latencies.saturating_record(begun.elapsed().as_nanos() as u64);
        client.close()?;
        operations += 1;
    }
    Ok(Round {
        operations,
        time: started.elapsed(),
        spent: processor.and_then(|before| before.spent()),
        resident_kilobytes: target.pid.and_then(resident_kilobytes),
        peak_kilobytes: target.pid.and_then(peak_kilobytes),
        faults: Faults::default(),
        latencies,
        closed_while_stalled: 0,
    })
}

/// Clients are there; what they cost is memory, and the time of keeping them.
fn idle(arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    let first = MOST_FIRST_CLIENTS.min(arguments.clients / 10);
    let mut crowd = Crowd::new()?;
    crowd.grow(target, first, usize::MAX)?;
    load::join(arguments, target.dialect, &mut crowd, 0..first)?;
    let resident = target.pid.and_then(resident_kilobytes);
    crowd.grow(target, arguments.clients, usize::MAX)?;
    load::join(arguments, target.dialect, &mut crowd, first..arguments.clients)?;
    match arguments.silent {
        true => crowd.stop_pings(),
        false => crowd.spread_pings(),
    }
    wait(&mut crowd, SETTLING)?;
    let processor = target.pid.and_then(ProcessorTime::of);
    let started = Instant::now();
    wait(&mut crowd, arguments.time(Scenario::Idle))?;
    let grown = target.pid.and_then(resident_kilobytes).zip(resident);
    Ok(Round {
        operations: (arguments.clients - first) as u64,
        time: started.elapsed(),
        spent: processor.and_then(|before| before.spent()),
        resident_kilobytes: grown.map(|(after, before)| after.saturating_sub(before)),
        peak_kilobytes: target.pid.and_then(peak_kilobytes),
        faults: Faults::default(),
        latencies: load::histogram()?,
        closed_while_stalled: 0,
    })
}

/// Pings and reads for some time.
fn wait(crowd: &mut Crowd, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        crowd.poll(end.saturating_duration_since(Instant::now()).min(TICK), |_, _| {})?;
    }
    Ok(())
}
