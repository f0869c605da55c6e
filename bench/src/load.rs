//! Numbered messages on their way between the clients and the target.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use memchr::memmem::Finder;

use crate::account::{Account, Arrival, Faults};
use crate::arguments::{Scenario, ScenarioArguments};
use crate::crowd::Crowd;
use crate::dialect::Dialect;
use crate::frame;

/// Stands on both sides of a message's number.
const MARK: u8 = b'~';
/// The longest that one wait for the sockets takes.
const TICK: Duration = Duration::from_millis(100);
/// How much longer than its time a run may take to get what it sent, in patiences.
const LONGEST_WAIT: u32 = 6;
/// The group that is sent to.
const GROUP: &str = "g0";

pub(crate) struct Load<'a> {
    scenario: Scenario,
    arguments: &'a ScenarioArguments,
    dialect: Dialect,
    crowd: Crowd,
    /// One for each client that goes on reading.
    accounts: Vec<Account>,
    senders: Vec<Sender>,
    /// Those of which nothing is awaited any more, in a closed loop.
    idle: Vec<usize>,
    /// Messages that have not arrived yet, at all receivers.
    awaited: u64,
    /// When one of those arrived last.
    progress: Instant,
    pub(crate) arrived: u64,
    stray: u64,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// What stands in each message that is awaited, and in no other.
    sign: Finder<'static>,
    frames: Vec<u8>,
    message: Vec<u8>,
}

#[derive(Default)]
struct Sender {
    /// How many messages it has sent.
    count: u64,
    /// When it sent the last ones of these; forgotten when nothing is awaited.
    times: VecDeque<Instant>,
    awaited: u64,
}

/// Whether a run got all that it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    GaveUp,
}

impl Load<'_> {
    /// The clients have connected; those beyond the arguments' number of readers stop reading now.
    pub(crate) fn new(
        scenario: Scenario,
        arguments: &ScenarioArguments,
        dialect: Dialect,
        mut crowd: Crowd,
    ) -> Result<Load<'_>> {
        let receivers = arguments.clients - arguments.stalled;
        crowd.stall(receivers)?;
        let senders = if scenario.is_to_one() { receivers } else { 1 };
        Ok(Load {
            scenario,
            arguments,
            dialect,
            crowd,
            accounts: (0..receivers).map(|_| Account::default()).collect(),
            senders: (0..senders).map(|_| Sender::default()).collect(),
            idle: Vec::new(),
            awaited: 0,
            progress: Instant::now(),
            arrived: 0,
            stray: 0,
            latencies: histogram()?,
            // In MessagePack the method's name stands without quotes.
            sign: match arguments.mixed {
                true => Finder::new(&arguments.receive).into_owned(),
                false => Finder::new(&dialect.sign(scenario, &arguments.receive)).into_owned(),
            },
            frames: Vec::new(),
            message: Vec::new(),
        })
    }

    /// Sends for `time`, then waits for what was sent until it has come or too little comes.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Outcome> {
        self.progress = Instant::now();
        let end = self.progress + time;
        match self.arguments.rate {
            None => self.send_in_turn(end),
            Some(rate) => self.send_at(rate, end),
        }
    }

    /// Each sender sends anew when all that it sent has arrived.
    fn send_in_turn(&mut self, end: Instant) -> Result<Outcome> {
        let mut turn: Vec<usize> = (0..self.senders.len()).collect();
        loop {
            let now = Instant::now();
            if now < end {
                turn.drain(..).try_for_each(|sender| self.send(sender, Instant::now()))?;
            }
            if self.awaited == 0 {
                return Ok(Outcome::Complete);
            }
            if self.is_over(now, end) {
                return Ok(Outcome::GaveUp);
            }
            self.receive(TICK)?;
            turn.append(&mut self.idle);
        }
    }

    /// Sends at a fixed rate, whether answers come or not. A message that leaves late is as old as its due time.
    fn send_at(&mut self, rate: f64, end: Instant) -> Result<Outcome> {
        let pause = Duration::from_secs_f64(self.arguments.burst as f64 / rate);
        let (mut due, mut sender) = (Instant::now(), 0);
        while Instant::now() < end {
            if due <= Instant::now() {
                self.send(sender, due)?;
                sender = (sender + 1) % self.senders.len();
                due += pause;
            }
            self.receive(due.min(end).saturating_duration_since(Instant::now()))?;
            self.idle.clear();
        }
        self.progress = Instant::now();
        while self.awaited > 0 {
            if self.is_over(Instant::now(), end) {
                return Ok(Outcome::GaveUp);
            }
            self.receive(TICK)?;
        }
        self.idle.clear();
        Ok(Outcome::Complete)
    }

    fn is_over(&self, now: Instant, end: Instant) -> bool {
        let patience = self.arguments.patience;
        now.saturating_duration_since(self.progress) > patience || now > end + LONGEST_WAIT * patience
    }

    /// Sends one burst in one write.
    fn send(&mut self, sender: usize, at: Instant) -> Result<()> {
        self.frames.clear();
        let burst = self.arguments.burst;
        let mut ends = Vec::new();
        for number in (self.senders[sender].count..).take(burst) {
            self.write_message((sender, number))?;
            match self.scenario {
                Scenario::Rest => {
                    self.frames.extend_from_slice(&self.message);
                    ends.push(self.frames.len());
                }
                _ => frame::push(frame::From::Client, frame::TEXT, &self.message, &mut self.frames),
            }
        }
        let receivers = if self.scenario.is_to_one() { 1 } else { self.accounts.len() };
        let awaited = (burst * receivers) as u64;
        let state = &mut self.senders[sender];
        state.count += burst as u64;
        state.times.extend(std::iter::repeat_n(at, burst));
        state.awaited += awaited;
        self.awaited += awaited;
        match self.scenario {
            Scenario::Rest => {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                self.crowd.post(sender, starts.zip(&ends).map(|(start, end)| &self.frames[start..*end]))
            }
            _ => self.crowd.send(sender, &self.frames),
        }
    }

    /// The call that carries a sender's message.
    fn write_message(&mut self, (sender, number): (usize, u64)) -> Result<()> {
        let (method, mut text) = (self.arguments.method.as_deref(), format!("\"~{sender}.{number}~"));
        text.extend(std::iter::repeat_n('x', (self.arguments.size + 1).saturating_sub(text.len())));
        text.push('"');
        let (id, method, arguments) = match self.scenario {
            Scenario::Echo => (Some(number), method.unwrap_or("echo"), text),
            Scenario::Group => (None, method.unwrap_or("sayTo"), format!("\"{GROUP}\",{text}")),
            Scenario::Rest => {
                self.message.clear();
                let method = &self.arguments.receive;
                write!(self.message, "{{\"target\":\"{method}\",\"arguments\":[{text}]}}")?;
                return Ok(());
            }
            Scenario::Broadcast | Scenario::Connect | Scenario::Idle => (None, method.unwrap_or("say"), text),
        };
        self.message.clear();
        self.dialect.write_call(id, method, &arguments, &mut self.message)?;
        Ok(())
    }

    /// Takes in what comes within `timeout`.
    fn receive(&mut self, timeout: Duration) -> Result<()> {
        let Load { crowd, sign, .. } = self;
        let (scenario, mut refusal) = (self.scenario, None);
        let (accounts, senders, idle) = (&mut self.accounts, &mut self.senders, &mut self.idle);
        let (awaited, progress, arrived) = (&mut self.awaited, &mut self.progress, &mut self.arrived);
        let (stray, latencies) = (&mut self.stray, &mut self.latencies);
        let mut now = None;
        crowd.poll(timeout, |receiver, message| {
            let now = *now.get_or_insert_with(Instant::now);
            let Some((sender, number)) = sign.find(message).and_then(|_| marked(message)) else {
                refusal = refusal.take().or_else(|| refused(message));
                return;
            };
            let state = senders
                .get_mut(sender)
                .filter(|state| number < state.count && (!scenario.is_to_one() || sender == receiver));
            let (Some(account), Some(state)) = (accounts.get_mut(receiver), state) else {
                *stray += 1;
                return;
            };
            if account.received(number) == Arrival::Again {
                return;
            }
            let index = number.checked_sub(state.count - state.times.len() as u64);
            if let Some(at) = index.and_then(|index| state.times.get(index as usize)) {
                latencies.saturating_record(now.saturating_duration_since(*at).as_nanos() as u64);
            }
            *arrived += 1;
            *awaited -= 1;
            *progress = now;
            state.awaited -= 1;
            if state.awaited == 0 {
                state.times.clear();
                idle.push(sender);
            }
        })?;
        match refusal {
            Some(text) => bail!("the target answers {text}"),
            None => Ok(()),
        }
    }

    pub(crate) fn forget_latencies(&mut self) {
        self.latencies.reset();
    }

    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults { stray: self.stray, ..Faults::default() };
        for (receiver, account) in self.accounts.iter().enumerate() {
            let sender = if self.scenario.is_to_one() { receiver } else { 0 };
            faults.add(account.close(self.senders[sender].count));
        }
        faults
    }

    /// How many of those that stopped reading the target has closed.
    pub(crate) fn closed_while_stalled(mut self) -> usize {
        self.crowd.closed_while_stalled(self.arguments.patience)
    }
}

/// Puts clients into their groups.
pub(crate) fn join(
    arguments: &ScenarioArguments,
    dialect: Dialect,
    crowd: &mut Crowd,
    clients: Range<usize>,
) -> Result<()> {
    let (mut joins, mut join) = (Vec::new(), Vec::new());
    for group in 0..arguments.groups {
        join.clear();
        dialect.write_call(Some(group as u64), &arguments.join, &format!("\"g{group}\""), &mut join)?;
        frame::push(frame::From::Client, frame::TEXT, &join, &mut joins);
    }
    let awaited = clients.len() * arguments.groups;
    for client in clients {
        crowd.send(client, &joins)?;
    }
    let (mut joined, mut progress, mut refusal) = (0, Instant::now(), None);
    while joined < awaited {
        crowd.poll(TICK, |_, message| {
            if dialect.is_answer(message) {
                joined += 1;
                progress = Instant::now();
                refusal = refusal.take().or_else(|| refused(message));
            }
        })?;
        if let Some(text) = refusal {
            bail!("joining a group is answered with {text}");
        }
        if progress.elapsed() > arguments.patience {
            bail!("{joined} of {awaited} calls of {:?} are answered", arguments.join);
        }
    }
    Ok(())
}

/// Up to a minute, in nanoseconds.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

/// The sender and the number in a message's text.
fn marked(message: &[u8]) -> Option<(usize, u64)> {
    let start = memchr::memchr(MARK, message)? + 1;
    let end = start + memchr::memchr(MARK, &message[start..])?;
    let (sender, number) = std::str::from_utf8(&message[start..end]).ok()?.split_once('.')?;
    Some((sender.parse().ok()?, number.parse().ok()?))
}

/// The message, if it says that the target does not do what it is asked for: a Completion or a Close with an error.
fn refused(message: &[u8]) -> Option<String> {
    memchr::memmem::find(message, b"\"error\":\"").map(|_| String::from_utf8_lossy(message).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_in_whatever_carries_it() {
        assert_eq!(marked(br#"{"type":3,"invocationId":"7","result":"~12.7~xxx"}"#), Some((12, 7)));
        assert_eq!(
            marked(br#"{"type":1,"target":"said","arguments":["~0.18446744073709551615~"]}"#),
            Some((0, u64::MAX))
        );
        for none in [&br#"{"type":6}"#[..], b"~1.x~", b"~1.2", b"~~", b"~.~", b"~-1.2~", b"~1.18446744073709551616~"] {
            assert_eq!(marked(none), None, "{}", String::from_utf8_lossy(none));
        }
    }

    #[test]
    fn only_errors_are_refusals() {
        assert!(refused(br#"{"type":3,"invocationId":"1","error":"no such method"}"#).is_some());
        assert!(refused(br#"{"type":7,"error":"bye"}"#).is_some());
        assert!(refused(br#"{"type":3,"invocationId":"1","result":null}"#).is_none());
        assert!(refused(br#"{"type":6}"#).is_none());
    }
}
