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
        self.cpu.tick(now);
        self.out_of_time |= now >= self.deadline;
        // `init` has its own time.
        self.out_of_cpu_time |= self.event.is_some() && self.cpu.ticks > self.allowed_ticks();
        self.out_of_time || self.out_of_cpu_time || self.out_of_host_calls
    }

    /// The host calls that the call may make, if it was broken off because it made more.
    pub(crate) fn host_calls_when_stopped(&self) -> Option<u32> {
        self.out_of_host_calls.then_some(self.surroundings.settings.budgets.host_calls)
    }

    /// The processor time of the call, in ticks, if it was broken off because that was too much.
    pub(crate) fn cpu_time_when_stopped(&self) -> Option<u64> {
        self.out_of_cpu_time.then_some(self.cpu.ticks)
    }

    fn allowed_ticks(&self) -> u64 {
        u64::try_from(self.surroundings.settings.budgets.cpu_time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
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
        self.next_turn().await;
        Ok(())
    }

    /// The guest has run for a tick: waits until the shard has looked at its sockets and timers, and it is this guest's turn.
    pub(crate) fn next_turn(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match &self.shard {
            Some(ShardSide { turns, .. }) => {
                if !std::mem::replace(&mut self.is_long, true) {
                    turns.has_run(TICK);
                }
                let rests = self.event.as_ref().is_some_and(|Event { of, .. }| {
                    turns.breakers.are_open(of.hub(), of.client().map(|client| Peer::of_client(client)))
                });
                Box::pin(turns.clone().go_on(rests))
            }
            None => Box::pin(tokio::task::yield_now()),
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

    /// Was the call broken off because its time was over?
    pub(crate) fn was_out_of_time(&self) -> bool {
        self.out_of_time
    }

    /// Waits for the host, which is no processor time of the guest's.
    pub(super) async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> T {
        self.cpu.pause(Instant::now());
        let output = what.await;
        if self.is_long {
            self.next_turn().await;
        }
        self.cpu.go_on(Instant::now());
        output
    }
}

/// The processor time of one call, in ticks. What a guest does between a wait and the next tick or wait is less than a tick,
/// and counts together.
#[derive(Debug, Default)]
pub(super) struct CpuTime {
    ticks: u64,
    /// Not yet a tick.
    part: Duration,
    /// Since when it runs, as far as is known.
    since: Option<Instant>,
    has_waited: bool,
}

impl CpuTime {
    fn tick(&mut self, now: Instant) {
        match std::mem::take(&mut self.has_waited) {
            // The epoch went on while the guest waited: not all of this tick is its own.
            true => self.add_part(now),
            false => self.ticks += 1,
        }
        self.since = Some(now);
    }

    fn pause(&mut self, now: Instant) {
        self.add_part(now);
    }

    fn add_part(&mut self, now: Instant) {
        if let Some(since) = self.since {
            // Longer than a tick it cannot have run: it would have been counted.
            self.add(now.saturating_duration_since(since).min(TICK));
        }
    }

    /// Adds what was done for the guest elsewhere.
    fn add(&mut self, time: Duration) {
        self.part += time;
        while self.part >= TICK {
            self.part -= TICK;
            self.ticks += 1;
        }
    }

    fn go_on(&mut self, now: Instant) {
        self.since = Some(now);
        self.has_waited = true;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use hubgate_core::id::PluginName;

    use super::*;
    use crate::host::Surroundings;
    use crate::memory::MemoryAccount;
    use crate::sections::Numbers;
    use crate::settings::{Budgets, Payloads, PluginSettings, PluginSource, Rollback, Uses};
    use crate::store::Store;

    fn guest() -> Guest {
        let settings = PluginSettings {
            name: PluginName::new("p"),
            source: PluginSource::Embedded(&[]),
            uses: Uses::default(),
            config: Vec::new(),
            budgets: Budgets { host_calls: 3, ..Budgets::default() },
            payloads: Payloads::default(),
            rollback: Rollback::default(),
            allow_http: Arc::default(),
        };
        let store = Arc::new(Store::open(None).unwrap());
        let memory = MemoryAccount::new(1 << 20, false).plugin();
        let surroundings = Arc::new(Surroundings::new(settings, store, memory));
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
        assert_eq!(guest.host_calls_when_stopped(), Some(3));
    }

    #[test]
    fn what_is_done_elsewhere_counts_as_processor_time() {
        let mut cpu = CpuTime::default();
        cpu.add(TICK * 5 / 2);
        assert_eq!(cpu.ticks, 2);
        cpu.add(TICK / 2);
        assert_eq!(cpu.ticks, 3);
    }
}
