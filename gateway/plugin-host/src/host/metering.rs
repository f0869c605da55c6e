//! What a call takes of its shard: calls of imports are counted and metered like the guest's own instructions.

use std::pin::Pin;
use std::time::{Duration, Instant};

use wasmtime::format_err;

use super::{Event, Guest, ShardSide};
use crate::limits::MAX_HOST_CALL_HOLD;
use crate::metrics::Budget;
use crate::offload::IN_PLACE_BYTES;
use crate::peers::Peer;
use crate::ticker::{SHORT_TICK, TICK};

/// How long a guest's first turn lasts, at least, while epochs are short for another guest: long enough for an ordinary call.
const FIRST_TURN_IN_A_HURRY: Duration = SHORT_TICK.saturating_mul(2);

impl Guest {
    /// Called at each tick while the guest runs: is the time of the call over? Remembers it, so that the trap that follows is
    /// known for what it is.
    pub(crate) fn must_stop(&mut self) -> bool {
        self.must_stop_at(Instant::now())
    }

    fn must_stop_at(&mut self, now: Instant) -> bool {
        self.held_since = None;
        self.cpu.tick(now, self.turn_began());
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
    /// is over at the first tick at which the guest has run for a whole one, wherever in an epoch it began; the turns after it are as
    /// short as epochs can be, and so are all turns of a guest whose caller's calls run into their budget. While epochs are short for
    /// others, the first turn has breaks, in which calls of this plugin can begin.
    pub(crate) fn end_turn(&mut self) -> Option<Turn> {
        let struggles = self.struggles();
        if self.is_long || struggles || self.cpu.used >= TICK {
            return Some(self.next_turn(struggles));
        }
        let ShardSide { turns, caller, .. } = self.shard.as_ref()?;
        let run = self.cpu.used - self.before_break;
        if run < FIRST_TURN_IN_A_HURRY || !caller.is_hurried() {
            return None;
        }
        self.before_break = self.cpu.used;
        turns.has_run(run);
        Some(Box::pin(turns.clone().go_on_soon()))
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
            turns.has_run(self.cpu.used - self.before_break);
        }
        self.hurry.get_or_insert_with(|| caller.hurry());
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
        if bytes <= IN_PLACE_BYTES {
            // It runs on, as it were.
            return Ok(work());
        }
        let surroundings = self.surroundings.clone();
        let (output, took) = self.wait_for(surroundings.offload.run(bytes, work)).await?;
        self.cpu.add(took);
        Ok(output)
    }

    /// Waits for the host, which is no processor time of the guest's.
    pub(super) async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> T {
        let paused = self.pause();
        let output = what.await;
        self.go_on(paused).await;
        output
    }

    /// The same for what waits for the disk, which is no fault of the guest's: its call's time stands still, as long as there is
    /// disk time left for it.
    pub(super) async fn wait_for_disk<T>(&mut self, what: impl Future<Output = T>) -> T {
        let paused = self.pause();
        let (output, took) = self.absence.clone().while_held(self.disk_time, what).await;
        self.disk_time = self.disk_time.saturating_sub(took);
        self.deadline += took;
        self.go_on(paused).await;
        output
    }

    /// The guest waits for the host from now on. Nobody runs meanwhile for whom epochs would have to be short.
    pub(super) fn pause(&mut self) -> Paused {
        self.cpu.pause(Instant::now(), self.turn_began());
        Paused { hurried: self.hurry.take().is_some() }
    }

    /// The host is done: the guest goes on when it is its turn.
    pub(super) async fn go_on(&mut self, paused: Paused) {
        if self.is_long {
            self.next_turn(self.struggles()).await;
        }
        if paused.hurried
            && let Some(shard) = &self.shard
        {
            self.hurry.get_or_insert_with(|| shard.caller.hurry());
        }
        self.cpu.go_on(Instant::now());
    }
}

/// A guest that waits for the host, and is to go on as it was.
#[derive(Debug)]
#[must_use]
pub(super) struct Paused {
    hurried: bool,
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
#[derive(Debug)]
pub(super) struct CpuTime {
    used: Duration,
    /// Since when it runs, as far as is known; it may have waited for its turn since.
    since: Instant,
}

impl CpuTime {
    /// Of a guest that runs from then on.
    pub(super) fn from(began: Instant) -> CpuTime {
        CpuTime { used: Duration::ZERO, since: began }
    }

    /// The guest runs at a tick; on its shard a guest last had its turn at `turn`.
    fn tick(&mut self, now: Instant, turn: Option<Instant>) {
        self.pause(now, turn);
        self.go_on(now);
    }

    /// The guest has run until now, and waits.
    fn pause(&mut self, now: Instant, turn: Option<Instant>) {
        // There is a tick before this is more, unless the thread or the ticker's has waited for a processor.
        let began = turn.map_or(self.since, |turn| self.since.max(turn));
        self.add(now.saturating_duration_since(began).min(TICK));
    }

    /// Adds what was done for the guest elsewhere.
    fn add(&mut self, time: Duration) {
        self.used += time;
    }

    fn go_on(&mut self, now: Instant) {
        self.since = now;
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
    use wasmtime::component::Resource;
    use wasmtime_wasi::clocks::WasiClocksView as _;
    use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
    use wasmtime_wasi_io::bindings::wasi::io::poll;

    use super::*;
    use crate::breakers::{Breakers, Caller, Passages};
    use crate::budgets::Budgets;
    use crate::host::tests::surroundings_of;
    use crate::host::{EventOf, Machine, Term};
    use crate::limits::DISK_TIME;
    use crate::sections::Numbers;
    use crate::state::Operation;
    use crate::ticker::{Hurry, SHORT_TICK, Ticker};
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
        let mut cpu = CpuTime::from(Instant::now());
        cpu.add(TICK * 5 / 2);
        assert_eq!(cpu.used, TICK * 5 / 2);
    }

    #[test]
    fn processor_time_is_what_a_guest_has_run_however_long_epochs_are() {
        let start = Instant::now();
        for period in [TICK, SHORT_TICK] {
            // It begins shortly before the end of an epoch.
            let (mut cpu, mut now) = (CpuTime::from(start), start + period / 7);
            cpu.tick(now, Some(start));
            assert_eq!(cpu.used, period / 7);
            for _ in 0..10 {
                now += period;
                cpu.tick(now, Some(start));
            }
            let used = period * 10 + period / 7;
            assert_eq!(cpu.used, used);
            // It waits for its turn, and then for the host.
            let turn = now + TICK * 5;
            now = turn + period / 3;
            cpu.pause(now, Some(turn));
            now += TICK * 5;
            cpu.go_on(now);
            now += period / 3;
            cpu.tick(now, Some(turn));
            assert_eq!(cpu.used, used + period / 3 * 2);
            // Its thread, or the ticker's, waits for a processor.
            cpu.tick(now + TICK * 50, Some(turn));
            assert_eq!(cpu.used, used + period / 3 * 2 + TICK);
        }
    }

    /// A guest on a shard of its own, at the call of a client that began then; its epochs last as long as a ticker's that nobody hurries.
    fn guest_on_a_shard(breakers: Breakers) -> (Ticker, Guest, Instant) {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let mut guest = guest();
        let (questions, _) = tokio::sync::mpsc::channel(1);
        guest.shard = Some(ShardSide { questions, turns: Turns::new(Arc::new(breakers)), caller: ticker.caller() });
        let began = begin(&mut guest, None);
        (ticker, guest, began)
    }

    /// Begins a call, now.
    fn begin(guest: &mut Guest, hurry: Option<Hurry>) -> Instant {
        let (began, deadline) = (Instant::now(), guest.deadline);
        guest.begin(EventOf::Filtered(hub(), None), Pairs::default(), Term { began, deadline, hurry });
        began
    }

    fn hub() -> HubName {
        HubName::parse("chat").unwrap()
    }

    /// Whether the guest's turn is over at a tick.
    fn ends_turn(guest: &mut Guest, at: Instant) -> bool {
        assert!(!guest.must_stop_at(at));
        guest.end_turn().is_some()
    }

    #[test]
    fn a_guests_first_turn_is_a_tick_and_hurries_nobody_and_those_after_it_are_short_until_the_call_ends() {
        let (ticker, mut guest, began) = guest_on_a_shard(Breakers::new(1, TICK));
        assert!(!ends_turn(&mut guest, began + SHORT_TICK) && !ticker.caller().is_hurried());
        assert!(!ends_turn(&mut guest, began + TICK - Duration::from_nanos(1)) && !ticker.caller().is_hurried());
        assert!(ends_turn(&mut guest, began + TICK) && ticker.caller().is_hurried());
        assert!(ends_turn(&mut guest, began + TICK), "however little it has run since");
        guest.end();
        assert!(!ticker.caller().is_hurried());
        let began = begin(&mut guest, None);
        assert!(!ends_turn(&mut guest, began + SHORT_TICK) && !ticker.caller().is_hurried());
    }

    #[test]
    fn a_guests_first_turn_has_breaks_while_epochs_are_short_for_another_one() {
        let (ticker, mut guest, began) = guest_on_a_shard(Breakers::new(1, TICK));
        let another = guest.shard.as_ref().unwrap().caller.hurry();
        assert!(!ends_turn(&mut guest, began + SHORT_TICK));
        assert!(ends_turn(&mut guest, began + FIRST_TURN_IN_A_HURRY));
        assert!(!ends_turn(&mut guest, began + FIRST_TURN_IN_A_HURRY + SHORT_TICK));
        assert!(ends_turn(&mut guest, began + FIRST_TURN_IN_A_HURRY * 2));
        assert!(!guest.is_long);
        drop(another);
        assert!(!ticker.caller().is_hurried(), "it hurries nobody itself");
        assert!(!ends_turn(&mut guest, began + TICK - Duration::from_nanos(1)));
        assert!(ends_turn(&mut guest, began + TICK) && ticker.caller().is_hurried());
    }

    #[test]
    fn a_short_call_that_an_epoch_ends_in_goes_on_and_is_charged_what_it_has_run() {
        let (ticker, mut guest, began) = guest_on_a_shard(Breakers::new(1, TICK));
        let soon = Duration::from_micros(10);
        assert!(!ends_turn(&mut guest, began + soon));
        assert!(!guest.is_long && !ticker.caller().is_hurried());
        assert_eq!(guest.cpu.used, soon);
    }

    /// Lets the guest wait for the host; gives whether epochs are short while it waits, and when it goes on.
    async fn is_hurried_in_a_wait(ticker: &Ticker, guest: &mut Guest) -> (bool, bool) {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let mut waiting = Box::pin(guest.wait_for(answered));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let meanwhile = ticker.caller().is_hurried();
        answer.send(()).unwrap();
        waiting.await.unwrap();
        (meanwhile, ticker.caller().is_hurried())
    }

    #[tokio::test]
    async fn epochs_are_not_short_for_a_guest_while_it_waits_for_the_host() {
        let (ticker, mut guest, _) = guest_on_a_shard(Breakers::new(1, TICK));
        assert_eq!(is_hurried_in_a_wait(&ticker, &mut guest).await, (false, false), "it has run a moment only");
        let whole_turn = guest.cpu.since + TICK;
        assert!(ends_turn(&mut guest, whole_turn) && ticker.caller().is_hurried());
        assert_eq!(is_hurried_in_a_wait(&ticker, &mut guest).await, (false, true));
        guest.end();
        let hurry = guest.shard.as_ref().unwrap().caller.hurry();
        begin(&mut guest, Some(hurry));
        assert!(ticker.caller().is_hurried(), "it is on trial");
        assert_eq!(is_hurried_in_a_wait(&ticker, &mut guest).await, (false, true));
        guest.end();
        assert!(!ticker.caller().is_hurried());
    }

    #[tokio::test]
    async fn what_a_call_waits_to_write_its_state_is_no_part_of_its_time() {
        let (_ticker, mut guest, _) = guest_on_a_shard(Breakers::new(1, TICK));
        let deadline = guest.deadline;
        guest.keep("k".to_owned(), Operation::Set(vec![1]), None).await.unwrap();
        assert!(guest.deadline > deadline && guest.disk_time < DISK_TIME);
        begin(&mut guest, None);
        assert_eq!(guest.disk_time, DISK_TIME, "each call may wait for as long");
    }

    #[tokio::test]
    async fn a_wait_of_wasi_is_no_processor_time_and_hurries_nobody() {
        let (ticker, mut guest, _) = guest_on_a_shard(Breakers::new(1, TICK));
        let whole_turn = guest.cpu.since + TICK;
        assert!(ends_turn(&mut guest, whole_turn) && ticker.caller().is_hurried());
        let asleep = Duration::from_millis(50);
        for blocks in [true, false] {
            // As after a tick.
            (guest.host_calls, guest.held_since) = (0, None);
            let began = Instant::now();
            let timer =
                monotonic_clock::Host::subscribe_duration(&mut guest.clocks(), asleep.as_nanos() as u64).unwrap();
            let timer = || Resource::new_borrow(timer.rep());
            let mut sleeping: Pin<Box<dyn Future<Output = bool>>> = match blocks {
                true => Box::pin(async { poll::HostPollable::block(&mut guest, timer()).await.is_ok() }),
                false => Box::pin(async { poll::Host::poll(&mut guest, vec![timer()]).await.is_ok() }),
            };
            assert!(sleeping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(!ticker.caller().is_hurried());
            assert!(sleeping.await && ticker.caller().is_hurried());
            assert!(guest.cpu.since >= began + asleep, "it runs again only now");
        }
    }

    #[test]
    fn all_turns_are_short_of_a_guest_whose_callers_calls_run_into_their_budget() {
        let breakers = Breakers::new(1, Duration::from_secs(3_600));
        let (hub, peer) = (hub(), Peer::numbered(1));
        let caller = Caller { hub: &hub, peer };
        assert!(breakers.in_vain(caller, Passages::FREE, Instant::now()).is_some());
        let (ticker, mut guest, began) = guest_on_a_shard(breakers);
        assert!(ends_turn(&mut guest, began + SHORT_TICK) && ticker.caller().is_hurried());
    }
}
