//! What a guest may ask of the host: the imports of its world, answered from the [`Guest`] that its store holds.

mod connections;
mod context;
mod http;
mod hub;
mod metering;
mod state;
mod wasi;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hubgate_core::delivery::Action;
use hubgate_core::event::{ConnectionFacts, HubAnswer, HubQuestion};
use hubgate_core::filter::Origin;
use hubgate_core::id::{HubName, PluginName};
use hubgate_core::pairs::Pairs;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Everything;
use crate::bindings::hubgate::plugin::{config, filtering, log, types};
use crate::convert;
use crate::limits::LOG_BURST;
use crate::log::PluginLog;
use crate::memory::{InstanceMemory, PluginMemory};
use crate::metrics::{Budget, BudgetCounters};
use crate::offload::Offload;
use crate::rate::Pace;
use crate::sections::Numbers;
use crate::settings::{Payloads, PluginSettings};
use crate::store::{PluginValues, Store};
use crate::ticker::{self, Hurry};
use crate::turns::Turns;
pub use http::{HttpAnswer, HttpCall, HttpFailure};
use hub::ActionQueue;
use metering::CpuTime;
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

/// What the instances of a plugin have of the shard that they are on.
#[derive(Debug, Clone)]
pub(crate) struct ShardSide {
    pub(crate) questions: mpsc::Sender<ShardQuestion>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) caller: ticker::Caller,
}

/// What all instances of a plugin share, whatever their version and shard.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) settings: PluginSettings,
    pub(crate) log: PluginLog,
    pub(crate) exceeded: Arc<BudgetCounters>,
    pub(crate) offload: Offload,
    pub(crate) memory: Arc<PluginMemory>,
    state_writes: Pace,
    store: Arc<Store>,
    values: Arc<PluginValues>,
    event_ids: EventIds,
}

impl Surroundings {
    /// With what `store` has of the plugin's values, and on the account `memory`.
    pub(crate) fn new(settings: PluginSettings, store: Arc<Store>, memory: Arc<PluginMemory>) -> Surroundings {
        let values = store.values(&settings.name);
        Surroundings::with(settings, store, values, Arc::default(), memory)
    }

    /// The same plugin with other settings: its state stays.
    pub(crate) fn with_settings(&self, settings: PluginSettings) -> Surroundings {
        let (store, values, exceeded) = (self.store.clone(), self.values.clone(), self.exceeded.clone());
        Surroundings::with(settings, store, values, exceeded, self.memory.clone())
    }

    fn with(
        settings: PluginSettings,
        store: Arc<Store>,
        values: Arc<PluginValues>,
        exceeded: Arc<BudgetCounters>,
        memory: Arc<PluginMemory>,
    ) -> Surroundings {
        let lines = (settings.budgets.log_lines, settings.budgets.log_lines.saturating_mul(LOG_BURST));
        let log = PluginLog::new(settings.name.clone(), lines);
        let (offload, event_ids) = (Offload::default(), EventIds::default());
        let state_writes = Pace::new(settings.budgets.state_writes, Instant::now());
        Surroundings { settings, log, exceeded, offload, memory, state_writes, store, values, event_ids }
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
    /// None while a component is tried out.
    shard: Option<ShardSide>,
    numbers: Numbers,
    pub(crate) memory: InstanceMemory,
    deadline: Instant,
    out_of_time: bool,
    out_of_cpu_time: bool,
    cpu: CpuTime,
    /// Of this call, or of `init`.
    host_calls: u32,
    /// Whether there were more of them than it may make.
    out_of_host_calls: bool,
    /// Whether the call has had a whole turn.
    is_long: bool,
    /// Makes its turns short from then on.
    hurry: Option<Hurry>,
    /// Since when the guest has held its shard with host calls, as far as is known.
    held_since: Option<Instant>,
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
        shard: Option<ShardSide>,
        numbers: Numbers,
        deadline: Instant,
    ) -> Guest {
        Guest {
            memory: InstanceMemory::new(surroundings.memory.clone(), surroundings.settings.budgets.memory_bytes),
            surroundings,
            shard,
            numbers,
            deadline,
            out_of_time: false,
            out_of_cpu_time: false,
            cpu: CpuTime::default(),
            host_calls: 0,
            out_of_host_calls: false,
            is_long: false,
            hurry: None,
            held_since: None,
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
        self.is_long = false;
        self.held_since = None;
        let actions = ActionQueue::new(self.surroundings.settings.budgets.actions);
        self.event = Some(Event { of, headers, actions });
    }

    /// Where long work for the plugin is done.
    pub(crate) fn offload_place(&self) -> &Offload {
        &self.surroundings.offload
    }

    pub(crate) fn payloads(&self) -> Payloads {
        self.surroundings.settings.payloads
    }

    /// Ends the call and gives the actions that are still queued.
    pub(crate) fn end(&mut self) -> Vec<hubgate_core::delivery::Action> {
        self.hurry = None;
        self.event.take().map_or_else(Vec::new, |mut event| event.actions.take())
    }

    /// Asks the shard about the hub of the event; `None` when nobody is there to answer.
    async fn ask(&mut self, question: HubQuestion) -> Option<HubAnswer> {
        let hub = self.event.as_ref()?.of.hub().clone();
        self.ask_shard(|answer| ShardQuestion::Hub { hub, question, answer }).await
    }

    /// Waits for what the shard does or says, which is no processor time of the guest's.
    async fn ask_shard<T>(&mut self, question: impl FnOnce(oneshot::Sender<T>) -> ShardQuestion) -> Option<T> {
        let questions = self.shard.as_ref()?.questions.clone();
        let (answer, answered) = oneshot::channel();
        let asked = async {
            questions.send(question(answer)).await.ok()?;
            answered.await.ok()
        };
        self.wait_for(asked).await
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

/// Links everything that a plugin may import.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    Everything::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::link(linker)
}

impl types::Host for Guest {}

impl filtering::Host for Guest {}

impl config::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.meter().await?;
        let config = &self.surroundings.settings.config;
        Ok(config.iter().find_map(|(name, value)| (*name == key).then(|| value.clone())))
    }
}

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String, fields: Vec<types::Pair>) -> wasmtime::Result<()> {
        self.meter().await?;
        self.surroundings.log_line(convert::level(level), &message, convert::fields(&fields));
        Ok(())
    }
}
