//! What a guest may ask of the host: the imports of its world, answered from the [`Guest`] that its store holds.

mod connections;
mod context;
mod hub;
mod state;
mod wasi;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hubgate_core::event::{ConnectionFacts, HubAnswer, HubQuestion};
use hubgate_core::id::{HubName, PluginName};
use hubgate_core::pairs::Pairs;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Handler;
use crate::bindings::hubgate::plugin::{config, log, types};
use crate::convert;
use crate::limits::MemoryBudget;
use crate::log::PluginLog;
use crate::settings::{Payloads, PluginSettings};
use crate::state::State;
use hub::ActionQueue;
use wasi::QuietWasi;

/// A question of a plugin about the hub of its event, for the shard that called it.
#[derive(Debug)]
pub struct ShardQuestion {
    pub hub: HubName,
    pub question: HubQuestion,
    /// Dropped unanswered while the shard stops: the plugin then learns that nothing is there.
    pub answer: oneshot::Sender<HubAnswer>,
}

/// What all instances of a plugin share, whatever their version and shard.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) settings: PluginSettings,
    pub(crate) log: PluginLog,
    state: Arc<Mutex<State>>,
    event_ids: EventIds,
}

impl Surroundings {
    pub(crate) fn new(settings: PluginSettings) -> Surroundings {
        Surroundings {
            log: PluginLog::new(settings.name.clone()),
            settings,
            state: Arc::default(),
            event_ids: EventIds::default(),
        }
    }

    /// The same plugin with other settings: its state stays.
    pub(crate) fn with_settings(&self, settings: PluginSettings) -> Surroundings {
        Surroundings { state: Arc::clone(&self.state), ..Surroundings::new(settings) }
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
    /// Milliseconds since 1970, from the first time the guest asked during this call.
    now: Option<u64>,
    event_id: Option<String>,
    event: Option<Event>,
    /// Made when first needed: most guests never ask for it.
    wasi: Option<Box<QuietWasi>>,
}

/// The event being handled.
struct Event {
    client: Arc<ConnectionFacts>,
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
            memory: MemoryBudget::new(surroundings.settings.memory_bytes),
            surroundings,
            questions,
            deadline,
            out_of_time: false,
            now: None,
            event_id: None,
            event: None,
            wasi: None,
        }
    }

    /// Prepares for a call about `client`.
    pub(crate) fn begin(&mut self, client: Arc<ConnectionFacts>, headers: Pairs, deadline: Instant) {
        self.memory.forgive();
        self.deadline = deadline;
        self.now = None;
        self.event_id = None;
        self.event = Some(Event { client, headers, actions: ActionQueue::default() });
    }

    pub(crate) fn payloads(&self) -> Payloads {
        self.surroundings.settings.payloads
    }

    /// Ends the call and gives the actions that are still queued.
    pub(crate) fn end(&mut self) -> Vec<hubgate_core::delivery::Action> {
        self.event.take().map_or_else(Vec::new, |mut event| event.actions.take())
    }

    /// Is the time of the call over? Remembers it, so that the trap that follows is known for what it is.
    pub(crate) fn is_out_of_time(&mut self) -> bool {
        self.out_of_time |= Instant::now() >= self.deadline;
        self.out_of_time
    }

    /// Was the call broken off because its time was over?
    pub(crate) fn was_out_of_time(&self) -> bool {
        self.out_of_time
    }

    /// Asks the shard about the hub of the event; `None` when nobody is there to answer.
    async fn ask(&mut self, question: HubQuestion) -> Option<HubAnswer> {
        let (event, questions) = (self.event.as_ref()?, self.questions.as_ref()?);
        let (answer, answered) = oneshot::channel();
        questions.send(ShardQuestion { hub: event.client.hub.clone(), question, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// Links everything that a plugin may import.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    Handler::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    // The linker that may wait: its other half blocks the thread, which a shard must not.
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl types::Host for Guest {}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        let config = &self.surroundings.settings.config;
        config.iter().find_map(|(name, value)| (*name == key).then(|| value.clone()))
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<types::Pair>) {
        self.surroundings.log.write(convert::level(level), &message, convert::fields(&fields));
    }
}
