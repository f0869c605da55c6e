//! What a guest may ask of the host: the imports of its world, answered from the [`Guest`] that its store holds.

mod connections;
mod context;
mod http;
mod hub;
mod state;
mod wasi;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hubgate_core::delivery::Action;
use hubgate_core::event::{ConnectionFacts, HubAnswer, HubQuestion};
use hubgate_core::filter::Origin;
use hubgate_core::id::{HubName, PluginName};
use hubgate_core::pairs::Pairs;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::format_err;

use crate::bindings::Everything;
use crate::bindings::hubgate::plugin::{config, filtering, log, types};
use crate::convert;
use crate::limits::{LOG_BURST, MemoryBudget};
use crate::log::PluginLog;
use crate::metrics::{Budget, BudgetCounters};
use crate::settings::{Payloads, PluginSettings};
use crate::store::{PluginValues, Store};
use crate::ticker::TICK;
pub use http::{HttpAnswer, HttpCall, HttpFailure};
use hub::ActionQueue;
use wasi::QuietWasi;

/// What a plugin wants of the shard that called it. An answer that is dropped tells it that the shard stops.
#[derive(Debug)]
pub enum ShardQuestion {
    /// About the hub of its event.
    Hub { hub: HubName, question: HubQuestion, answer: oneshot::Sender<HubAnswer> },
    /// To do this to the hub of its event; answered when it is in effect.
    Run {
        hub: HubName,
        /// None: of a filter, whose sends other filters do not see.
        origin: Option<Origin>,
        actions: Vec<Action>,
        done: oneshot::Sender<()>,
    },
    /// To ask a web server.
    Http(HttpCall),
}

/// What all instances of a plugin share, whatever their version and shard.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) settings: PluginSettings,
    pub(crate) log: PluginLog,
    pub(crate) exceeded: Arc<BudgetCounters>,
    store: Arc<Store>,
    values: Arc<PluginValues>,
    event_ids: EventIds,
}

impl Surroundings {
    /// With what `store` has of the plugin's values.
    pub(crate) fn new(settings: PluginSettings, store: Arc<Store>) -> Result<Surroundings, String> {
        let values = store.values(&settings.name)?;
        Ok(Surroundings::with(settings, store, values, Arc::default()))
    }

    /// The same plugin with other settings: its state stays.
    pub(crate) fn with_settings(&self, settings: PluginSettings) -> Surroundings {
        Surroundings::with(settings, self.store.clone(), self.values.clone(), self.exceeded.clone())
    }

    fn with(
        settings: PluginSettings,
        store: Arc<Store>,
        values: Arc<PluginValues>,
        exceeded: Arc<BudgetCounters>,
    ) -> Surroundings {
        let lines = (settings.budgets.log_lines, settings.budgets.log_lines.saturating_mul(LOG_BURST));
        let log = PluginLog::new(settings.name.clone(), lines);
        Surroundings { settings, log, exceeded, store, values, event_ids: EventIds::default() }
    }

    /// Writes a line of the plugin's own, within its budget.
    pub(crate) fn log_line<'a>(
        &self,
        level: tracing::Level,
        message: &str,
        fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        if !self.log.write(level, message, fields) {
            self.exceeded.add(Budget::LogLines);
        }
    }

    pub(crate) fn name(&self) -> &PluginName {
        &self.settings.name
    }
}

/// Ids that no other event has: of this process by a count, of other processes by chance.
#[derive(Debug)]
struct EventIds {
    process: u64,
    next: AtomicU64,
}

impl Default for EventIds {
    fn default() -> EventIds {
        let mut random = [0; 8];
        // Without randomness the start's nanosecond has to tell processes apart.
        if getrandom::fill(&mut random).is_err() {
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            random = (since.as_nanos() as u64).to_le_bytes();
        }
        EventIds { process: u64::from_le_bytes(random), next: AtomicU64::new(1) }
    }
}

impl EventIds {
    fn make(&self) -> String {
        format!("{:016x}{:016x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The host's side of one instance.
pub(crate) struct Guest {
    surroundings: Arc<Surroundings>,
    /// Where the hub's shard is asked; none while a component is tried out.
    questions: Option<mpsc::Sender<ShardQuestion>>,
    pub(crate) memory: MemoryBudget,
    deadline: Instant,
    out_of_time: bool,
    out_of_cpu_time: bool,
    cpu: CpuTime,
    /// Of this call.
    host_calls: u32,
    /// Milliseconds since 1970, from the first time the guest asked during this call.
    now: Option<u64>,
    event_id: Option<String>,
    event: Option<Event>,
    /// Made when first needed: most guests never ask for it.
    wasi: Option<Box<QuietWasi>>,
}

/// What a call is about.
pub(crate) enum EventOf {
    /// An event of this client.
    Client(Arc<ConnectionFacts>),
    /// A message of this hub that a filter looks at, and the client that has sent it.
    Filtered(HubName, Option<Arc<ConnectionFacts>>),
}

/// The event being handled.
struct Event {
    of: EventOf,
    headers: Pairs,
    actions: ActionQueue,
}

impl Guest {
    /// An instance that has `init` ahead of it, to be done by `deadline`.
    pub(crate) fn new(
        surroundings: Arc<Surroundings>,
        questions: Option<mpsc::Sender<ShardQuestion>>,
        deadline: Instant,
    ) -> Guest {
        Guest {
            memory: MemoryBudget::new(surroundings.settings.budgets.memory_bytes),
            surroundings,
            questions,
            deadline,
            out_of_time: false,
            out_of_cpu_time: false,
            cpu: CpuTime::default(),
            host_calls: 0,
            now: None,
            event_id: None,
            event: None,
            wasi: None,
        }
    }

    /// Prepares for a call.
    pub(crate) fn begin(&mut self, of: EventOf, headers: Pairs, deadline: Instant) {
        self.memory.forgive();
        self.deadline = deadline;
        self.now = None;
        self.event_id = None;
        self.cpu = CpuTime::default();
        self.host_calls = 0;
        let actions = ActionQueue::new(self.surroundings.settings.budgets.actions);
        self.event = Some(Event { of, headers, actions });
    }

    pub(crate) fn payloads(&self) -> Payloads {
        self.surroundings.settings.payloads
    }

    /// Ends the call and gives the actions that are still queued.
    pub(crate) fn end(&mut self) -> Vec<hubgate_core::delivery::Action> {
        self.event.take().map_or_else(Vec::new, |mut event| event.actions.take())
    }

    /// Called at each tick while the guest runs: is the time of the call over? Remembers it, so that the trap that follows is
    /// known for what it is.
    pub(crate) fn must_stop(&mut self) -> bool {
        let now = Instant::now();
        self.cpu.tick(now);
        self.out_of_time |= now >= self.deadline;
        // `init` has its own time.
        self.out_of_cpu_time |= self.event.is_some() && self.cpu.ticks > self.allowed_ticks();
        self.out_of_time || self.out_of_cpu_time
    }

    /// The processor time of the call, in ticks, if it was broken off because that was too much.
    pub(crate) fn cpu_time_when_stopped(&self) -> Option<u64> {
        self.out_of_cpu_time.then_some(self.cpu.ticks)
    }

    fn allowed_ticks(&self) -> u64 {
        u64::try_from(self.surroundings.settings.budgets.cpu_time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Every call of an import of the contract comes by here. Traps when there were too many.
    fn count_host_call(&mut self) -> wasmtime::Result<()> {
        let allowed = self.surroundings.settings.budgets.host_calls;
        if self.host_calls >= allowed {
            self.surroundings.exceeded.add(Budget::HostCalls);
            return Err(format_err!("it called the host more than {allowed} times in one call"));
        }
        self.host_calls += 1;
        Ok(())
    }

    /// Was the call broken off because its time was over?
    pub(crate) fn was_out_of_time(&self) -> bool {
        self.out_of_time
    }

    /// Asks the shard about the hub of the event; `None` when nobody is there to answer.
    async fn ask(&mut self, question: HubQuestion) -> Option<HubAnswer> {
        let hub = self.event.as_ref()?.of.hub().clone();
        self.ask_shard(|answer| ShardQuestion::Hub { hub, question, answer }).await
    }

    /// Waits for what the shard does or says, which is no processor time of the guest's.
    async fn ask_shard<T>(&mut self, question: impl FnOnce(oneshot::Sender<T>) -> ShardQuestion) -> Option<T> {
        let questions = self.questions.clone()?;
        let (answer, answered) = oneshot::channel();
        let asked = async {
            questions.send(question(answer)).await.ok()?;
            answered.await.ok()
        };
        self.wait_for(asked).await
    }

    /// Waits for the host, which is no processor time of the guest's.
    async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> T {
        self.cpu.pause(Instant::now());
        let output = what.await;
        self.cpu.go_on(Instant::now());
        output
    }
}

impl EventOf {
    fn hub(&self) -> &HubName {
        match self {
            EventOf::Client(client) => &client.hub,
            EventOf::Filtered(hub, _) => hub,
        }
    }

    fn client(&self) -> Option<&Arc<ConnectionFacts>> {
        match self {
            EventOf::Client(client) => Some(client),
            EventOf::Filtered(_, client) => client.as_ref(),
        }
    }
}

/// The processor time of one call, in ticks. What a guest does between a wait and the next tick or wait is less than a tick,
/// and counts together.
#[derive(Debug, Default)]
struct CpuTime {
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
            self.part += now.saturating_duration_since(since).min(TICK);
        }
        if self.part >= TICK {
            self.part -= TICK;
            self.ticks += 1;
        }
    }

    fn go_on(&mut self, now: Instant) {
        self.since = Some(now);
        self.has_waited = true;
    }
}

/// Links everything that a plugin may import.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    Everything::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    // The linker that may wait: its other half blocks the thread, which a shard must not.
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl types::Host for Guest {}

impl filtering::Host for Guest {}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        let config = &self.surroundings.settings.config;
        Ok(config.iter().find_map(|(name, value)| (*name == key).then(|| value.clone())))
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<types::Pair>) -> wasmtime::Result<()> {
        self.count_host_call()?;
        self.surroundings.log_line(convert::level(level), &message, convert::fields(&fields));
        Ok(())
    }
}
