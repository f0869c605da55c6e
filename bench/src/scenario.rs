//! What the clients do, and what it costs the target.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::account::{Account, Faults};
use crate::client::{Client, frame};
use crate::crowd::Crowd;
use crate::process::{ProcessorTime, resident_kilobytes};
use crate::report::Round;
use crate::target::Target;
use crate::{Dialect, Scenario, ScenarioArguments};

/// What is measured begins when the target has warmed up for this part of the time.
const WARM_UP: f64 = 0.25;
/// Stands on both sides of a message's number.
const MARK: u8 = b'~';
/// Connections that come and go before they are counted.
const WARM_UP_CONNECTS: usize = 200;

/// Measures one target once.
pub(crate) fn measure(scenario: Scenario, arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    match scenario {
        Scenario::Connect => connect(arguments, target),
        Scenario::Idle => idle(arguments, target),
        Scenario::Echo | Scenario::Broadcast | Scenario::Group => {
            let crowd = Crowd::connect(target, arguments.clients, arguments.stalled)?;
            let mut load = Load::new(scenario, arguments, target.dialect, crowd)?;
            load.run(arguments.time.mul_f64(WARM_UP))?;
            load.forget_latencies();
            let before = load.done;
            let processor = target.pid.and_then(ProcessorTime::of);
            let started = Instant::now();
            load.run(arguments.time)?;
            Ok(Round {
                operations: load.done - before,
                time: started.elapsed(),
                processor: processor.and_then(|before| Some(ProcessorTime::of(target.pid?)?.since(before))),
                resident_kilobytes: target.pid.and_then(resident_kilobytes),
                faults: load.faults(),
                latencies: load.latencies,
            })
        }
    }
}

/// Messages on their way between the clients and the target.
struct Load<'a> {
    scenario: Scenario,
    arguments: &'a ScenarioArguments,
    dialect: Dialect,
    crowd: Crowd,
    /// One for each receiver.
    accounts: Vec<Account>,
    /// When what a sender sent left it, from the oldest that somebody still waits for.
    sent: Vec<VecDeque<Instant>>,
    /// How many messages each sender has sent.
    numbers: Vec<u64>,
    /// What has come of each sender's oldest burst, in messages.
    awaited: Vec<u64>,
    done: u64,
    latencies: Histogram<u64>,
}

impl Load<'_> {
    fn new(scenario: Scenario, arguments: &ScenarioArguments, dialect: Dialect, crowd: Crowd) -> Result<Load<'_>> {
        let senders = if scenario == Scenario::Echo { arguments.clients } else { 1 };
        let receivers = arguments.clients - arguments.stalled;
        let mut load = Load {
            scenario,
            arguments,
            dialect,
            crowd,
            accounts: (0..receivers).map(|_| Account::default()).collect(),
            sent: vec![VecDeque::new(); senders],
            numbers: vec![0; senders],
            awaited: vec![0; senders],
            done: 0,
            latencies: histogram()?,
        };
        if scenario == Scenario::Group {
            load.join()?;
        }
        Ok(load)
    }

    fn join(&mut self) -> Result<()> {
        let joins: Vec<u8> = (0..self.arguments.groups)
            .flat_map(|group| frame(self.call(Some("join"), "join", &format!("[\"g{group}\"]")).as_bytes()))
            .collect();
        let receivers = self.accounts.len();
        let mut joined = 0;
        self.crowd.expect();
        for client in 0..receivers {
            self.crowd.send(client, &joins)?;
        }
        while joined < receivers * self.arguments.groups {
            self.crowd.poll(Duration::from_secs(1), |_, message| {
                joined += usize::from(message.starts_with(b"{\"type\":3"));
            })?;
        }
        Ok(())
    }

    /// Sends for `time`, then waits until all that was sent has come.
    fn run(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.crowd.expect();
        match self.arguments.rate {
            None => {
                for sender in 0..self.numbers.len() {
                    self.send(sender)?;
                }
                while self.awaited.iter().any(|awaited| *awaited > 0) {
                    for sender in self.receive(Duration::from_secs(1))? {
                        if Instant::now() < end {
                            self.send(sender)?;
                        }
                    }
                }
            }
            Some(rate) => self.run_at(rate, end)?,
        }
        Ok(())
    }

    /// Sends at a fixed rate, whether answers come or not.
    fn run_at(&mut self, rate: f64, end: Instant) -> Result<()> {
        let pause = Duration::from_secs_f64(self.arguments.burst as f64 / rate);
        let (mut next, mut sender) = (Instant::now(), 0);
        while Instant::now() < end {
            while next <= Instant::now() {
                self.send(sender)?;
                sender = (sender + 1) % self.numbers.len();
                next += pause;
            }
            self.receive(next.saturating_duration_since(Instant::now()))?;
        }
        self.crowd.expect();
        while self.awaited.iter().any(|awaited| *awaited > 0) {
            self.receive(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Sends one burst in one write.
    fn send(&mut self, sender: usize) -> Result<()> {
        let mut frames = Vec::new();
        for _ in 0..self.arguments.burst {
            let number = self.numbers[sender];
            self.numbers[sender] += 1;
            frames.extend(frame(self.message(sender, number).as_bytes()));
        }
        let now = Instant::now();
        self.sent[sender].extend(std::iter::repeat_n(now, self.arguments.burst));
        let receivers = if self.scenario == Scenario::Echo { 1 } else { self.accounts.len() };
        self.awaited[sender] += (self.arguments.burst * receivers) as u64;
        self.crowd.send(sender, &frames)
    }

    fn message(&self, sender: usize, number: u64) -> String {
        let mut text = format!("~{sender}.{number}~");
        let padding = self.arguments.size.saturating_sub(text.len());
        text.extend(std::iter::repeat_n('x', padding));
        let method = self.arguments.method.as_deref();
        match self.scenario {
            Scenario::Echo => self.call(Some(&number.to_string()), method.unwrap_or("echo"), &format!("[\"{text}\"]")),
            Scenario::Group => self.call(None, method.unwrap_or("sayTo"), &format!("[\"g0\",\"{text}\"]")),
            Scenario::Broadcast | Scenario::Connect | Scenario::Idle => {
                self.call(None, method.unwrap_or("say"), &format!("[\"{text}\"]"))
            }
        }
    }

    fn call(&self, id: Option<&str>, method: &str, arguments: &str) -> String {
        match self.dialect {
            Dialect::Signalr => {
                let id = id.map(|id| format!("\"invocationId\":\"{id}\",")).unwrap_or_default();
                format!("{{\"type\":1,{id}\"target\":\"{method}\",\"arguments\":{arguments}}}\x1e")
            }
            Dialect::SocketIo => format!("42{}[\"{method}\",{}", id.unwrap_or_default(), &arguments[1..]),
        }
    }

    /// Takes in what has come; gives the senders of which nothing is awaited any more.
    fn receive(&mut self, timeout: Duration) -> Result<Vec<usize>> {
        let mut idle = Vec::new();
        let (accounts, awaited, sent) = (&mut self.accounts, &mut self.awaited, &mut self.sent);
        let (numbers, done, latencies) = (&self.numbers, &mut self.done, &mut self.latencies);
        self.crowd.poll(timeout, |receiver, message| {
            let Some((sender, number)) = marked(message) else {
                return;
            };
            let (Some(account), Some(numbers)) = (accounts.get_mut(receiver), numbers.get(sender)) else {
                return;
            };
            account.received(number);
            let oldest = numbers - sent[sender].len() as u64;
            if let Some(at) = number.checked_sub(oldest).and_then(|index| sent[sender].get(index as usize)) {
                latencies.saturating_record(at.elapsed().as_nanos() as u64);
            }
            *done += 1;
            // A doubled message is a fault of its own and stands for no other.
            awaited[sender] = awaited[sender].saturating_sub(1);
            if awaited[sender] == 0 {
                sent[sender].clear();
                idle.push(sender);
            }
        })?;
        Ok(idle)
    }

    fn forget_latencies(&mut self) {
        self.latencies.reset();
    }

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        for (receiver, account) in self.accounts.iter().enumerate() {
            let sent = self.numbers[if self.scenario == Scenario::Echo { receiver } else { 0 }];
            faults.add(account.close(sent));
        }
        faults
    }
}

/// Up to a minute, in nanoseconds.
fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

/// The sender and the number in a message's text.
fn marked(message: &[u8]) -> Option<(usize, u64)> {
    let start = message.iter().position(|byte| *byte == MARK)? + 1;
    let length = message[start..].iter().position(|byte| *byte == MARK)?;
    let (sender, number) = std::str::from_utf8(&message[start..start + length]).ok()?.split_once('.')?;
    Some((sender.parse().ok()?, number.parse().ok()?))
}

/// Clients come and go, one after the other.
fn connect(arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    for number in 0..WARM_UP_CONNECTS {
        Client::connect(target, number)?.close()?;
    }
    let mut latencies = histogram()?;
    let processor = target.pid.and_then(ProcessorTime::of);
    let started = Instant::now();
    let mut operations = 0;
    while started.elapsed() < arguments.time {
        let begun = Instant::now();
        let client = Client::connect(target, operations as usize % arguments.clients)?;
        latencies.saturating_record(begun.elapsed().as_nanos() as u64);
        client.close()?;
        operations += 1;
    }
    Ok(Round {
        operations,
        time: started.elapsed(),
        processor: processor.and_then(|before| Some(ProcessorTime::of(target.pid?)?.since(before))),
        resident_kilobytes: target.pid.and_then(resident_kilobytes),
        faults: Faults::default(),
        latencies,
    })
}

/// Clients are there; what they cost is memory, and the time of keeping them.
fn idle(arguments: &ScenarioArguments, target: &Target) -> Result<Round> {
    // What the first clients make the target set up once is not the price of a client.
    let few = Crowd::connect(target, WARM_UP_CONNECTS.min(arguments.clients), 0)?;
    let resident = target.pid.and_then(resident_kilobytes);
    let mut crowd = Crowd::connect(target, arguments.clients, 0)?;
    join_one_group(&mut crowd, arguments.clients)?;
    let grown = target.pid.and_then(resident_kilobytes).zip(resident);
    let ping = frame(b"{\"type\":6}\x1e");
    let processor = target.pid.and_then(ProcessorTime::of);
    let started = Instant::now();
    let pause = PING_INTERVAL / arguments.clients as u32;
    let (mut next, mut client) = (Instant::now(), 0);
    while started.elapsed() < arguments.time {
        while next <= Instant::now() {
            crowd.send(client, &ping)?;
            client = (client + 1) % arguments.clients;
            next += pause;
        }
        crowd.expect();
        crowd.poll(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)), |_, _| {})?;
    }
    drop(few);
    Ok(Round {
        operations: arguments.clients as u64,
        time: started.elapsed(),
        processor: processor.and_then(|before| Some(ProcessorTime::of(target.pid?)?.since(before))),
        resident_kilobytes: grown.map(|(after, before)| after.saturating_sub(before)),
        faults: Faults::default(),
        latencies: histogram()?,
    })
}

fn join_one_group(crowd: &mut Crowd, clients: usize) -> Result<()> {
    let join = frame(b"{\"type\":1,\"invocationId\":\"join\",\"target\":\"join\",\"arguments\":[\"idle\"]}\x1e");
    let mut joined = 0;
    crowd.expect();
    for client in 0..clients {
        crowd.send(client, &join)?;
    }
    while joined < clients {
        crowd.poll(Duration::from_secs(1), |_, message| joined += usize::from(message.starts_with(b"{\"type\":3")))?;
    }
    Ok(())
}

/// What official clients do.
const PING_INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_in_whatever_carries_it() {
        assert_eq!(marked(br#"{"type":3,"invocationId":"7","result":"~12.7~xxx"}"#), Some((12, 7)));
        assert_eq!(marked(br#"{"type":6}"#), None);
        assert_eq!(marked(b"~1.x~"), None);
    }
}
