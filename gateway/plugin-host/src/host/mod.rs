//! What a guest may ask of the host: the imports of its world, answered from the [`Guest`] that its store holds.

pub(crate) mod call;
mod client_results;
mod connections;
mod context;
mod door;
mod http;
mod hub;
mod last_words;
mod metering;
mod presence;
mod source;
mod state;
mod streams;
mod tape;
mod timers;
mod wasi;
mod weight;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hubgate_core::delivery::{Action, Target};
use hubgate_core::event::ConnectionFacts;
use hubgate_core::filter::Origin;
use hubgate_core::id::{ConnectionId, GroupName, HubName, PluginName};
use hubgate_core::pairs::Pairs;
use hubgate_core::question::{ClientAnswer, ClientQuestion, Facts, Members, Watched};
use hubgate_core::stream::{StreamCommand, StreamReply};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::format_err;

use crate::absence::Absence;
use crate::bindings::Everything;
use crate::bindings::hubgate::plugin::{config, filtering, log, types};
use crate::kept::Kept;
use crate::limits::{DISK_TIME, LOG_BURST, RANDOM_BYTES};
use crate::log::PluginLog;
use crate::memory::{InstanceMemory, PluginMemory};
use crate::metrics::{Budget, BudgetCounters};
use crate::offload::Offload;
use crate::rate_limit::Pace;
use crate::sections::Numbers;
use crate::settings::PluginSettings;
use crate::state::{Change, Operation, StateError};
use crate::ticker::{self, Hurry};
use crate::timers::PluginTimers;
use crate::turns::Turns;
pub(crate) use call::HostCall;
use client_results::Asks;
pub use http::{HttpAnswer, HttpCall, HttpFailure};
use hub::ActionQueue;
use last_words::LastWords;
use metering::CpuTime;
pub(crate) use metering::Exhausted;
pub(crate) use source::{Machine, Scripted, Source};
pub(crate) use tape::{Exchange, Playback, Recording, Tape};
use wasi::QuietWasi;

/// Why a question to a shard has no answer.
const UNANSWERED: &str = "the gateway does not answer: it is stopping, or a part of it stands still";

/// What a plugin wants of the shard that called it. An answer that is dropped tells it that there is none.
#[derive(Debug)]
pub enum ShardQuestion {
    /// Whether the target has a connection in the hub of its event.
    Exists { hub: HubName, target: Target, answer: oneshot::Sender<bool> },
    /// What is known of a connection of the hub of its event.
    Facts { hub: HubName, connection: ConnectionId, answer: oneshot::Sender<Facts> },
    /// How many connections the target has in the hub of its event.
    Count { hub: HubName, target: Target, answer: oneshot::Sender<u64> },
    /// At most `most` connections of the target in the hub of its event, those after `after`, in the order of their ids.
    Members { hub: HubName, of: Target, after: Option<ConnectionId>, most: usize, answer: oneshot::Sender<Members> },
    /// To be told from now on who joins and leaves a group of the hub of its event.
    Watch { hub: HubName, plugin: PluginName, group: GroupName, answer: oneshot::Sender<Watched> },
    /// To be told no longer.
    Unwatch { hub: HubName, plugin: PluginName, group: GroupName, done: oneshot::Sender<()> },
    /// To do this to the hub of its event; answered when it is in effect.
    Run {
        hub: HubName,
        /// None: of a filter, whose sends other filters do not see.
        origin: Option<Origin>,
        actions: Vec<Action>,
        done: oneshot::Sender<()>,
    },
    /// To do this to a stream of a client, on whatever shard that is.
    Stream { hub: HubName, command: StreamCommand, answer: oneshot::Sender<StreamReply> },
    /// To ask a web server.
    Http(HttpCall),
    /// To ask a client of the hub of its event, which may take so long to answer.
    AskClient { hub: HubName, question: ClientQuestion, within: Duration, answer: oneshot::Sender<ClientAnswer> },
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
    asks: Asks,
    state_writes: Pace,
    kept: Kept,
    pub(crate) timers: PluginTimers,
    source: Arc<dyn Source>,
    event_ids: EventIds,
}

impl Surroundings {
    /// With what is kept of the plugin's values and its timers, on the account `memory`, and with time and chance of `source`.
    pub(crate) fn new(
        settings: PluginSettings,
        (kept, timers): (Kept, PluginTimers),
        memory: Arc<PluginMemory>,
        source: Arc<dyn Source>,
    ) -> Surroundings {
        Surroundings {
            log: log_of(&settings),
            exceeded: Arc::default(),
            offload: Offload::default(),
            memory,
            asks: Asks::default(),
            state_writes: Pace::new(settings.budgets.state_writes, Instant::now()),
            kept,
            timers,
            event_ids: EventIds::new(&*source),
            source,
            settings,
        }
    }

    /// The same plugin with other settings, which may say that its values are kept elsewhere.
    pub(crate) fn with_settings(&self, settings: PluginSettings, kept: Kept) -> Surroundings {
        let timers = self.timers.clone();
        let (memory, source) = (self.memory.clone(), self.source.clone());
        let (exceeded, asks) = (self.exceeded.clone(), self.asks.clone());
        Surroundings { exceeded, asks, ..Surroundings::new(settings, (kept, timers), memory, source) }
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

    /// Keeps a value that is there before anything happens.
    pub(crate) async fn keep_at_start(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let operation = Operation::Set(value.to_vec());
        let allowed = self.settings.budgets.state_bytes;
        let change = Change { key: key.to_owned(), operation, time_to_live: None, allowed };
        let deadline = self.settings.budgets.deadline(Instant::now());
        match self.kept.change(change, deadline).await {
            Ok(_) => Ok(()),
            Err(StateError::TooLarge) => Err("its key or its value is too long".to_owned()),
            Err(StateError::Quota) => Err("there is no room for it".to_owned()),
            Err(StateError::Unavailable(reason)) => Err(reason),
        }
    }

    /// What the plugin keeps now, by its keys' order.
    pub(crate) fn kept(&self) -> Vec<(String, Vec<u8>)> {
        self.kept.look(|state, now| Ok(state.all(now))).unwrap_or_default()
    }

    /// A value of the gateway's configuration for the plugin.
    fn config(&self, key: &str) -> Option<String> {
        self.settings.config.iter().find_map(|(name, value)| (name == key).then(|| value.clone()))
    }

    /// Traps when more is asked for than one call gives: fewer bytes would be taken for enough.
    fn random(&self, length: usize) -> wasmtime::Result<Vec<u8>> {
        if length > RANDOM_BYTES {
            return Err(format_err!("asked for {length} random bytes; one call gives at most {RANDOM_BYTES}"));
        }
        let mut random = vec![0; length];
        self.source.fill(&mut random);
        Ok(random)
    }
}

/// With the bound that the plugin's settings set.
fn log_of(settings: &PluginSettings) -> PluginLog {
    let lines = settings.budgets.log_lines;
    PluginLog::new(settings.name.clone(), (lines, lines.saturating_mul(LOG_BURST)))
}

/// Ids that no other event has: of this process by a count, of other processes by chance.
#[derive(Debug)]
struct EventIds {
    process: u64,
    next: AtomicU64,
}

impl EventIds {
    fn new(source: &dyn Source) -> EventIds {
        let mut random = [0; 8];
        source.fill(&mut random);
        EventIds { process: u64::from_le_bytes(random), next: AtomicU64::new(1) }
    }

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
    tape: Tape,
    pub(crate) memory: InstanceMemory,
    deadline: Instant,
    /// What is left of [`DISK_TIME`] for this call.
    disk_time: Duration,
    out_of_time: bool,
    out_of_cpu_time: bool,
    cpu: CpuTime,
    /// Of this call, or of `init`.
    host_calls: u32,
    /// Whether there were more of them than it may make.
    out_of_host_calls: bool,
    /// Whether the call has had a whole turn.
    is_long: bool,
    /// What the call had used when its first turn had its last break.
    before_break: Duration,
    /// Makes its turns short from then on, or from the beginning of a call on trial. None while it waits for the host.
    hurry: Option<Hurry>,
    /// Since when the guest has held its shard with host calls, as far as is known.
    held_since: Option<Instant>,
    /// Milliseconds since 1970, from the first time the guest asked during this call.
    now: Option<u64>,
    event_id: Option<String>,
    event: Option<Event>,
    /// Shared with the pool that calls it.
    pub(crate) absence: Arc<Absence>,
    last_words: Arc<LastWords>,
    /// Made when first needed: most guests never ask for it.
    wasi: Option<Box<QuietWasi>>,
}

/// What a call is about.
pub(crate) enum EventOf {
    /// An event of this client.
    Client(Arc<ConnectionFacts>),
    /// An event of this hub that no client has caused.
    Hub(HubName),
    /// A message of this hub that a filter looks at, and the client that has sent it.
    Filtered(HubName, Option<Arc<ConnectionFacts>>),
}

/// The time of a call.
pub(crate) struct Term {
    /// When the guest begins, about.
    pub(crate) began: Instant,
    /// When it must be over.
    pub(crate) deadline: Instant,
    /// Of a call on trial, whose turns are short from its beginning.
    pub(crate) hurry: Option<Hurry>,
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
            tape: Tape::Off,
            deadline,
            disk_time: DISK_TIME,
            out_of_time: false,
            out_of_cpu_time: false,
            cpu: CpuTime::from(Instant::now()),
            host_calls: 0,
            out_of_host_calls: false,
            is_long: false,
            before_break: Duration::ZERO,
            hurry: None,
            held_since: None,
            now: None,
            event_id: None,
            event: None,
            absence: Arc::default(),
            last_words: Arc::default(),
            wasi: None,
        }
    }

    /// The same guest, whose calls of imports are written down or answered again.
    pub(crate) fn on(self, tape: Tape) -> Guest {
        Guest { tape, ..self }
    }

    /// Prepares for a call.
    pub(crate) fn begin(&mut self, of: EventOf, headers: Pairs, term: Term) {
        self.memory.forgive();
        self.last_words.forget();
        self.deadline = term.deadline;
        self.disk_time = DISK_TIME;
        self.hurry = term.hurry;
        self.now = None;
        self.event_id = None;
        self.cpu = CpuTime::from(term.began);
        self.host_calls = 0;
        self.is_long = false;
        self.before_break = Duration::ZERO;
        self.held_since = None;
        let actions = ActionQueue::new(self.surroundings.settings.budgets.actions);
        self.event = Some(Event { of, headers, actions });
    }

    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// What it has said itself of the error that broke the call off.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.last_words.get()
    }

    /// Ends the call and gives the actions that are still queued.
    pub(crate) fn end(&mut self) -> Vec<hubgate_core::delivery::Action> {
        self.hurry = None;
        self.event.take().map_or_else(Vec::new, |mut event| event.actions.take())
    }

    /// Waits for what the shard does or says, which is no processor time of the guest's; `None` when nobody is there to answer.
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
            EventOf::Hub(hub) | EventOf::Filtered(hub, _) => hub,
        }
    }

    fn client(&self) -> Option<&Arc<ConnectionFacts>> {
        match self {
            EventOf::Client(client) => Some(client),
            EventOf::Hub(_) => None,
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
        self.perform(HostCall::Config { key }).await
    }
}

impl log::Host for Guest {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<types::PairResult>,
    ) -> wasmtime::Result<()> {
        self.last_words.logged(&message);
        self.perform(HostCall::Log { level, message, fields }).await
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use wasmtime_wasi::clocks::WasiClocksView as _;
    use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
    use wasmtime_wasi::p2::bindings::random::random;
    use wasmtime_wasi::random::WasiRandomView;

    use super::*;
    use crate::bindings::hubgate::plugin::context::{self, Host as _};
    use crate::budgets::Budgets;
    use crate::clock::Clock;
    use crate::memory::MemoryAccount;
    use crate::settings::{Payloads, PluginSource, Rollback, StateScope, Uses};
    use crate::store::Store;
    use crate::timers::Timers;

    /// Of a plugin with these budgets, and with time and chance of `source`.
    pub(crate) fn surroundings_of(budgets: Budgets, source: Arc<dyn Source>) -> Arc<Surroundings> {
        let settings = PluginSettings {
            name: PluginName::new("p"),
            source: PluginSource::Embedded(&[]),
            uses: Uses::default(),
            config: Vec::new(),
            budgets,
            payloads: Payloads::default(),
            rollback: Rollback::default(),
            allow_http: Arc::default(),
            state_scope: StateScope::Node,
        };
        let store = Arc::new(Store::open(None).unwrap());
        let timers = Arc::new(Timers::new(1, Clock::Machine)).of(&settings.name, &store);
        let memory = MemoryAccount::new(1 << 20, false).plugin();
        let kept = Kept::Here(store.clone(), store.values(&settings.name));
        Arc::new(Surroundings::new(settings, (kept, timers), memory, source))
    }

    /// It is always the same moment, and all is sevens.
    #[derive(Debug)]
    struct Still;

    impl Source for Still {
        fn wall_clock(&self) -> Duration {
            Duration::from_millis(1_000)
        }

        fn monotonic_clock(&self) -> Duration {
            Duration::from_millis(2)
        }

        fn until(&self, _: Instant) -> Duration {
            Duration::from_millis(3)
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    /// What a guest gets of both clocks of WASI, and random bytes.
    fn wasi_draws(guest: &mut Guest) -> (Duration, u64, Vec<u8>) {
        let mut clocks = guest.clocks();
        let wall = wall_clock::Host::now(&mut clocks).unwrap();
        let monotonic = monotonic_clock::Host::now(&mut clocks).unwrap();
        let random = random::Host::get_random_bytes(WasiRandomView::random(guest), 16).unwrap();
        (Duration::new(wall.seconds, wall.nanoseconds), monotonic, random)
    }

    #[tokio::test]
    async fn time_and_chance_of_the_contract_and_of_wasi_come_from_one_source() {
        let surroundings = surroundings_of(Budgets::default(), Arc::new(Still));
        let drawn = async || {
            let deadline = Instant::now() + Duration::from_secs(3_600);
            let mut guest = Guest::new(surroundings.clone(), None, Numbers::Exact, deadline);
            assert_eq!((guest.now().unwrap(), guest.time_left().unwrap()), (1_000, 3));
            assert_eq!(context::Host::random(&mut guest, 3).await.unwrap(), [7; 3]);
            assert!(guest.event_id().unwrap().starts_with("0707070707070707"));
            wasi_draws(&mut guest)
        };
        let (wall, monotonic, random) = drawn().await;
        assert_eq!((wall, monotonic), (Duration::from_millis(1_000), 2_000_000));
        assert_eq!((wall, monotonic, random), drawn().await, "its random numbers follow from the seed");
    }
}
