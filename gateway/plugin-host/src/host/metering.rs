//! What a call takes of its shard: calls of imports are counted and metered like the guest's own instructions.

use std::pin::Pin;
use std::time::{Duration, Instant};

use wasmtime::format_err;

use super::{Event, Guest, ShardSide};
use crate::limits::MAX_HOST_CALL_HOLD;
use crate::metrics::Budget;
use crate::peers::Peer;
use crate::ticker::TICK;

impl Guest {
    /// Called at each tick while the guest runs: is the time of the call over? Remembers it, so that the trap that follows is
    /// known for what it is.
    pub(crate) fn must_stop(&mut self) -> bool {
        let now = Instant::now();
        self.held_since = None;
        let period = self.shard.as_ref().map_or(TICK, |shard| shard.caller.last_period());
        self.cpu.tick(now, self.turn_began(), period);
        self.out_of_time |= now >= self.deadline;
        // `init` has its own time.
        self.out_of_cpu_time |= self.event.is_some() && self.cpu.used > self.surroundings.settings.budgets.cpu_time;
        self.out_of_time || self.out_of_cpu_time || self.out_of_host_calls
    }

    /// What the call has run out of, if it was broken off for that.
    pub(crate) fn exhausted(&self) -> Option<Exhausted> {
        if self.out_of_time {
            Some(Exhausted::Time)
        } else if self.out_of_cpu_time {
            Some(Exhausted::CpuTime { used: self.cpu.used })
        } else {
            let allowed = self.surroundings.settings.budgets.host_calls;
            self.out_of_host_calls.then_some(Exhausted::HostCalls { allowed })
        }
    }

    /// Every call of an import comes by here. An error traps: there were too many.
    pub(super) fn count_host_call(&mut self) -> wasmtime::Result<()> {
        let allowed = self.surroundings.settings.budgets.host_calls;
        if self.host_calls >= allowed {
            if !std::mem::replace(&mut self.out_of_host_calls, true) {
                self.surroundings.exceeded.add(Budget::HostCalls);
            }
            return Err(format_err!("it called the host more than {allowed} times in one call"));
        }
        self.host_calls += 1;
        Ok(())
    }

    /// Counts a call of an import that may take a while, and meters it: host calls that follow each other without anything of the
    /// guest's between them that could be interrupted are interrupted here.
    pub(super) async fn meter(&mut self) -> wasmtime::Result<()> {
        self.count_host_call()?;
        self.yield_if_due().await
    }

    /// Lets the shard's other work go on, if the guest has held it for long enough.
    pub(super) async fn yield_if_due(&mut self) -> wasmtime::Result<()> {
        let now = Instant::now();
        let since = *self.held_since.get_or_insert(now);
        if now.saturating_duration_since(since) < MAX_HOST_CALL_HOLD {
            return Ok(());
        }
        if self.must_stop() {
            return Err(format_err!("the time of the call is over"));
        }
        self.next_turn(self.struggles()).await;
        Ok(())
    }

    /// Called at each tick after [`Guest::must_stop`]: if the turn is over, what the guest waits for before it goes on. The first turn
    /// is a whole tick, however short epochs are for others; the turns after it are as short as epochs can be, and so are all turns
    /// of a guest whose caller's calls run into their budget.
    pub(crate) fn end_turn(&mut self) -> Option<Turn> {
        let struggles = self.struggles();
        (self.is_long || struggles || self.cpu.used >= TICK).then(|| self.next_turn(struggles))
    }

    /// When a guest last had its turn on this shard: this one, if it has not begun or gone on otherwise since.
    fn turn_began(&self) -> Option<Instant> {
        self.shard.as_ref().map(|shard| shard.turns.went_on())
    }

    /// Do the calls of this call's caller run into their budget?
    fn struggles(&self) -> bool {
        let (Some(Event { of, .. }), Some(shard)) = (&self.event, &self.shard) else { return false };
        shard.turns.breakers.are_open(of.hub(), of.client().map(|client| Peer::of_client(client)))
    }

    /// Waits until the shard has looked at its sockets and timers, and it is this guest's turn.
    fn next_turn(&mut self, struggles: bool) -> Turn {
        let is_first = !std::mem::replace(&mut self.is_long, true);
        let Some(ShardSide { turns, caller, .. }) = &self.shard else { return Box::pin(tokio::task::yield_now()) };
        if is_first {
            turns.has_run(self.cpu.used);
            self.hurry = Some(caller.hurry());
        }
        match struggles {
            true => Box::pin(turns.clone().rest()),
            false => Box::pin(turns.clone().go_on()),
        }
    }

    /// Does work over so many bytes that the guest has passed: not on the shard if they are many. It counts as the guest's
    /// processor time either way.
    pub(crate) async fn offload<T: Send + 'static>(
        &mut self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> wasmtime::Result<T> {
        let surroundings = self.surroundings.clone();
        let (output, took) = self.wait_for(surroundings.offload.run(bytes, work)).await?;
        self.cpu.add(took);
        Ok(output)
    }

    /// Waits for the host, which is no processor time of the guest's.
    pub(super) async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> T {
        let now = Instant::now();
        self.cpu.pause(now, self.turn_began());
        let output = what.await;
        if self.is_long {
            self.next_turn(self.struggles()).await;
        }
        self.cpu.go_on(Instant::now());
        output
    }
}

/// What a call may use only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Time,
    CpuTime { used: Duration },
    HostCalls { allowed: u32 },
}

/// What a guest waits for before its next turn.
pub(crate) type Turn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The processor time of one call: what passes from one moment at which the guest is seen to run to the next.
#[derive(Debug, Default)]
pub(super) struct CpuTime {
    used: Duration,
    /// Since when it runs, as far as is known; it may have waited for its turn since.
    since: Option<Instant>,
}

impl CpuTime {
    /// The guest runs at a tick, after an epoch of this length; on its shard a guest last had its turn at `turn`.
    fn tick(&mut self, now: Instant, turn: Option<Instant>, period: Duration) {
        match self.since {
            Some(_) => self.pause(now, turn),
            // It began within the epoch.
            None => self.add(period),
        }
        self.since = Some(now);
    }

    /// The guest has run until now, and waits.
    fn pause(&mut self, now: Instant, turn: Option<Instant>) {
        if let Some(since) = self.since {
            // There is a tick before this is more, unless the thread or the ticker's has waited for a processor.
            let began = turn.map_or(since, |turn| since.max(turn));
            self.add(now.saturating_duration_since(began).min(TICK));
        }
    }

    /// Adds what was done for the guest elsewhere.
    fn add(&mut self, time: Duration) {
        self.used += time;
    }

    fn go_on(&mut self, now: Instant) {
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use hubgate_core::id::HubName;
    use hubgate_core::pairs::Pairs;
    use wasmtime::Engine;

    use super::*;
    use crate::breakers::{Breakers, Caller, Passages};
    use crate::host::tests::surroundings_of;
    use crate::host::{EventOf, Machine};
    use crate::sections::Numbers;
    use crate::settings::Budgets;
    use crate::ticker::{SHORT_TICK, Ticker};
    use crate::turns::Turns;

    fn guest() -> Guest {
        let budgets = Budgets { host_calls: 3, ..Budgets::default() };
        let surroundings = surroundings_of(budgets, Arc::new(Machine::new()));
        Guest::new(surroundings, None, Numbers::Exact, Instant::now() + Duration::from_secs(3_600))
    }

    #[test]
    fn host_calls_in_a_row_let_the_shard_go_on_when_they_have_held_it_for_long_enough() {
        let mut guest = guest();
        let mut poll = |held_since| {
            guest.held_since = held_since;
            let metered = pin!(guest.meter()).poll(&mut Context::from_waker(Waker::noop()));
            (metered.map(|metered| metered.is_ok()), guest.held_since.is_some())
        };
        assert_eq!(poll(None), (Poll::Ready(true), true), "it counts from the first call");
        assert_eq!(poll(Some(Instant::now() - MAX_HOST_CALL_HOLD)), (Poll::Pending, false));
        assert_eq!(poll(None), (Poll::Ready(true), true));
        assert_eq!(poll(None).0, Poll::Ready(false), "that was one too many");
        assert!(guest.must_stop());
        assert_eq!(guest.exhausted(), Some(Exhausted::HostCalls { allowed: 3 }));
    }

    #[test]
    fn what_is_done_elsewhere_counts_as_processor_time() {
        let mut cpu = CpuTime::default();
        cpu.add(TICK * 5 / 2);
        assert_eq!(cpu.used, TICK * 5 / 2);
    }

    #[test]
    fn processor_time_is_what_a_guest_has_run_however_long_epochs_are() {
        let start = Instant::now();
        for period in [TICK, SHORT_TICK] {
            let (mut cpu, mut now) = (CpuTime::default(), start);
            cpu.tick(now, Some(start), period);
            assert_eq!(cpu.used, period, "it began within the first epoch");
            for _ in 0..10 {
                now += period;
                cpu.tick(now, Some(start), period);
            }
            assert_eq!(cpu.used, period * 11);
            // It waits for its turn, and then for the host.
            let turn = now + TICK * 5;
            now = turn + period / 3;
            cpu.pause(now, Some(turn));
            now += TICK * 5;
            cpu.go_on(now);
            now += period / 3;
            cpu.tick(now, Some(turn), period);
            assert_eq!(cpu.used, period * 11 + period / 3 * 2);
            // Its thread, or the ticker's, waits for a processor.
            cpu.tick(now + TICK * 50, Some(turn), period);
            assert_eq!(cpu.used, period * 11 + period / 3 * 2 + TICK);
        }
    }

    /// A guest on a shard of its own, at the call of a client, whose epochs last as long as a ticker's that nobody hurries.
    fn guest_on_a_shard(breakers: Breakers) -> (Ticker, Guest) {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let mut guest = guest();
        let (questions, _) = tokio::sync::mpsc::channel(1);
        guest.shard = Some(ShardSide { questions, turns: Turns::new(Arc::new(breakers)), caller: ticker.caller() });
        guest.begin(EventOf::Filtered(hub(), None), Pairs::default(), guest.deadline);
        (ticker, guest)
    }

    fn hub() -> HubName {
        HubName::parse("chat").unwrap()
    }

    #[test]
    fn a_guests_first_turn_is_a_tick_and_hurries_nobody_and_those_after_it_are_short_until_the_call_ends() {
        let (ticker, mut guest) = guest_on_a_shard(Breakers::new(1, TICK));
        guest.cpu.add(TICK - Duration::from_nanos(1));
        assert!(guest.end_turn().is_none() && !ticker.is_hurried());
        guest.cpu.add(Duration::from_nanos(1));
        assert!(guest.end_turn().is_some() && ticker.is_hurried());
        assert!(guest.end_turn().is_some(), "however little it has run since");
        guest.end();
        assert!(!ticker.is_hurried());
        guest.begin(EventOf::Filtered(hub(), None), Pairs::default(), guest.deadline);
        assert!(guest.end_turn().is_none() && !ticker.is_hurried());
    }

    #[test]
    fn all_turns_are_short_of_a_guest_whose_callers_calls_run_into_their_budget() {
        let breakers = Breakers::new(1, Duration::from_secs(3_600));
        let (hub, peer) = (hub(), Peer::numbered(1));
        let caller = Caller { hub: &hub, peer };
        assert!(breakers.in_vain(caller, Passages::FREE, Instant::now()).is_some());
        let (ticker, mut guest) = guest_on_a_shard(breakers);
        assert!(guest.end_turn().is_some() && ticker.is_hurried());
    }
}
