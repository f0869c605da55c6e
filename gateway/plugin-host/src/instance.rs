//! One instance of a component, and calls of it.

mod authorize;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_core::delivery::Action;
use hubgate_core::event::{ConnectionFacts, HubCall, HubEvent, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{FilterMessage, Subject, Verdict};
use hubgate_core::pairs::Pairs;
use hubgate_core::stream::StreamEvent;
use hubgate_wire::payload::Payload;
use wasmtime::{PoolConcurrencyLimitError, Store, StoreContextMut, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::absence::Absence;
use crate::bindings::exports::hubgate::plugin::{
    authorizer, hub_lifetime, inbound_filter, outbound_filter, presence_events, scheduled, upstream, upstream_streams,
};
use crate::convert::{self, LentMessage, LentPayload};
use crate::host::{EventOf, Exhausted, Guest, Term};
use crate::limits::{CALLS_PER_INSTANCE, HOST_CALL_BYTES, REASON_BYTES};
use crate::memory::Bound;
use crate::metrics::{Budget, Outcome};
use crate::offload::IN_PLACE_BYTES;
use crate::printable::printable;
use crate::stream_events;
use crate::ticker::TICK;
use crate::version::Exports;

/// Frames of a guest's stack that the reason of a trap names.
const FRAMES: usize = 6;

/// How wasmtime's error begins when a guest passes more than [`HOST_CALL_BYTES`]; it has no type of its own.
const HOST_CALL_FUEL_EXHAUSTED: &str = "too much data is being copied between the host and the guest";

/// An instance in its own store. It is used until it is spent, and dropped at once when a call breaks it.
pub(crate) struct Instance {
    store: Store<Guest>,
    /// Boxed, because each call moves the instance several times.
    loaded: Box<Loaded>,
    /// Of the version that it was made of.
    pub(crate) generation: u64,
    calls_left: u32,
    /// Shared with its guest. None while it is lent.
    absence: Option<Arc<Absence>>,
    /// Memory from which on the instance is not used again: half of what it may gain beyond its start. A guest's memory
    /// never shrinks, so a fresh one takes over before the old one is refused any.
    spent_above: usize,
}

/// What it exports beside `init`.
struct Loaded {
    upstream: Option<upstream::Guest>,
    upstream_streams: Option<upstream_streams::Guest>,
    scheduled: Option<scheduled::Guest>,
    presence_events: Option<presence_events::Guest>,
    hub_lifetime: Option<hub_lifetime::Guest>,
    authorizer: Option<authorizer::Guest>,
    inbound_filter: Option<inbound_filter::Guest>,
    outbound_filter: Option<outbound_filter::Guest>,
}

/// How an instance was lost, or why there is none.
#[derive(Debug)]
pub(crate) enum Broken {
    OutOfTime,
    OutOfCpuTime(Duration),
    OutOfMemory,
    /// All plugins together hold what they may.
    OutOfPluginMemory,
    Trapped(String),
    /// `init` said no.
    NotReady(String),
    /// No instance was free in time, or the engine has no slot left.
    NoRoom,
    /// The plugin has no version that serves.
    NotServing,
    /// Nearly all calls of the plugin run into their budget, and this one was not tried.
    Resting,
}

impl Instance {
    /// A new instance after its `init`, with `guest` as its host's side.
    pub(crate) async fn start(exports: &Exports, generation: u64, mut guest: Guest) -> Result<Instance, Broken> {
        if !guest.memory.open() {
            return Err(Broken::OutOfPluginMemory);
        }
        let mut store = Store::new(exports.linked.component().engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.epoch_deadline_callback(at_tick);
        store.set_epoch_deadline(1);
        let instance = match exports.linked.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => return Err(broken(&store, &error)),
        };
        let loaded = (|| {
            macro_rules! load {
                ($interface:ident) => {
                    exports.$interface.as_ref().map(|each| each.load(&mut store, &instance)).transpose()?
                };
            }
            let lifecycle = exports.lifecycle.load(&mut store, &instance)?;
            let loaded = Loaded {
                upstream: load!(upstream),
                upstream_streams: load!(upstream_streams),
                scheduled: load!(scheduled),
                presence_events: load!(presence_events),
                hub_lifetime: load!(hub_lifetime),
                authorizer: load!(authorizer),
                inbound_filter: load!(inbound_filter),
                outbound_filter: load!(outbound_filter),
            };
            wasmtime::Result::Ok((lifecycle, Box::new(loaded)))
        })();
        let (lifecycle, loaded) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return Err(broken(&store, &error)),
        };
        let initialized = lifecycle.call_init(&mut store).await;
        store.data_mut().end();
        if let Err(reason) = completed(&store, initialized)? {
            return Err(Broken::NotReady(printable(&reason, REASON_BYTES)));
        }
        let used = store.data().memory.used();
        let gain = store.data().surroundings().settings.budgets.memory_bytes.saturating_sub(used);
        let (calls_left, spent_above) = (CALLS_PER_INSTANCE, used + gain / 2);
        let absence = Some(store.data().absence.clone());
        Ok(Instance { store, loaded, generation, calls_left, absence, spent_above })
    }

    /// Brings an event to the guest, which may ask for the hub message's `headers`. After an error the instance must not be used again.
    pub(crate) async fn call(
        &mut self,
        client: &Arc<ConnectionFacts>,
        (event, headers): (&UpstreamEvent, Pairs),
        term: Term,
    ) -> Result<UpstreamAnswer, Broken> {
        self.calls_left = self.calls_left.saturating_sub(1);
        if let UpstreamEvent::Stream(event) = event {
            return Box::pin(self.tell_of_stream(client, (event, headers), term)).await;
        }
        let Some(upstream) = &self.loaded.upstream else {
            return Ok(missing("upstream"));
        };
        let store = &mut self.store;
        let connection = convert::connection(client);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        let answer = match event {
            UpstreamEvent::Invocation { target, arguments, invocation_id, headers: _ } => {
                let arguments = lend(store, arguments).await?;
                let term = lent(term, arguments.len());
                store.data_mut().begin(EventOf::Client(Arc::clone(client)), headers, term);
                store.set_hostcall_fuel(HOST_CALL_BYTES + arguments.len());
                let invocation = convert::invocation(target, &arguments, invocation_id.is_some());
                match upstream.call_invoke(&mut *store, connection, invocation).await {
                    Ok(answer) => {
                        store.data_mut().offload(convert::answer_bytes(&answer), || convert::result(answer)).await
                    }
                    Err(error) => Err(error),
                }
            }
            UpstreamEvent::Connected => {
                store.data_mut().begin(EventOf::Client(Arc::clone(client)), headers, term);
                upstream.call_connected(&mut *store, connection).await.map(convert::no_result)
            }
            UpstreamEvent::Disconnected { reason } => {
                store.data_mut().begin(EventOf::Client(Arc::clone(client)), headers, term);
                upstream.call_disconnected(&mut *store, connection, reason.as_deref()).await.map(convert::no_result)
            }
            UpstreamEvent::Stream(_) => unreachable!("another export is for it"),
            UpstreamEvent::StreamCall(_) => unreachable!("webhooks alone are told so"),
        };
        let actions = store.data_mut().end();
        match completed(store, answer)? {
            Ok(result) => Ok(UpstreamAnswer { result: Ok(result), actions }),
            Err(failure) => Ok(UpstreamAnswer { result: Err(failure), actions: Vec::new() }),
        }
    }

    /// Tells the guest of an event of a client's stream.
    async fn tell_of_stream(
        &mut self,
        client: &Arc<ConnectionFacts>,
        (event, headers): (&StreamEvent, Pairs),
        term: Term,
    ) -> Result<UpstreamAnswer, Broken> {
        let Some(exports) = &self.loaded.upstream_streams else {
            return Ok(missing("upstream-streams"));
        };
        let store = &mut self.store;
        store.set_epoch_deadline(1);
        let value = match stream_events::value(event) {
            Some(value) => Some(lend(store, value).await?),
            None => None,
        };
        let bytes = value.as_ref().map_or(0, LentPayload::len);
        store.data_mut().begin(EventOf::Client(Arc::clone(client)), headers, lent(term, bytes));
        store.set_hostcall_fuel(HOST_CALL_BYTES + bytes);
        let answer = stream_events::tell(exports, store, client, event, value.as_ref()).await;
        let actions = store.data_mut().end();
        match completed(store, answer)? {
            Ok(result) => Ok(UpstreamAnswer { result: Ok(result), actions }),
            Err(failure) => Ok(UpstreamAnswer { result: Err(failure), actions: Vec::new() }),
        }
    }

    /// Tells the guest of an event of a hub that no client has caused. After an error the instance must not be used again.
    pub(crate) async fn call_hub(&mut self, call: &HubCall, term: Term) -> Result<UpstreamAnswer, Broken> {
        self.calls_left = self.calls_left.saturating_sub(1);
        let (store, loaded, hub) = (&mut self.store, &self.loaded, call.hub.as_str());
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.data_mut().begin(EventOf::Hub(call.hub.clone()), Pairs::default(), term);
        let answer = match &call.event {
            HubEvent::Started => match &loaded.hub_lifetime {
                Some(exports) => exports.call_started(&mut *store, hub).await,
                None => return Ok(absent("hub-lifetime")),
            },
            HubEvent::TimerFired { name, payload } => match &loaded.scheduled {
                Some(exports) => exports.call_fired(&mut *store, hub, name, payload).await,
                None => return Ok(absent("scheduled")),
            },
            HubEvent::PresenceChanged { group, joined, left } => match &loaded.presence_events {
                Some(exports) => {
                    let (joined, left) = (convert::lent_members(joined), convert::lent_members(left));
                    exports.call_changed(&mut *store, hub, group.as_str(), &joined, &left).await
                }
                None => return Ok(absent("presence-events")),
            },
        };
        let actions = store.data_mut().end();
        Ok(match completed(store, answer)? {
            Ok(()) => UpstreamAnswer { result: Ok(None), actions },
            Err(reason) => UpstreamAnswer { result: Err(UpstreamFailure::Failed(reason)), actions: Vec::new() },
        })
    }

    /// Shows a message to the guest's half for it. The error in the answer says why it is no verdict. After an error of its
    /// own the instance must not be used again.
    pub(crate) async fn inspect(
        &mut self,
        subject: &Subject,
        message: &FilterMessage,
        headers: &Pairs,
        term: Term,
    ) -> Result<(Result<Verdict, String>, Vec<Action>), Broken> {
        self.calls_left = self.calls_left.saturating_sub(1);
        let store = &mut self.store;
        store.set_epoch_deadline(1);
        let surroundings = store.data().surroundings();
        let content = LentMessage::new(message, surroundings.settings.payloads, &surroundings.offload).await;
        let content = content.map_err(|error| broken(store, &error))?;
        let term = lent(term, content.len());
        store.set_hostcall_fuel(HOST_CALL_BYTES + content.len());
        let verdict = match subject {
            Subject::Client(client) => {
                let Some(filter) = &self.loaded.inbound_filter else { return Ok((Ok(Verdict::Pass), Vec::new())) };
                store.data_mut().begin(
                    EventOf::Filtered(client.hub.clone(), Some(client.clone())),
                    headers.clone(),
                    term,
                );
                filter.call_inspect(&mut *store, convert::connection(client), content.lend()).await
            }
            Subject::Delivery { hub, to, origin } => {
                let Some(filter) = &self.loaded.outbound_filter else { return Ok((Ok(Verdict::Pass), Vec::new())) };
                store.data_mut().begin(EventOf::Filtered(hub.clone(), None), headers.clone(), term);
                let to = convert::lent_targets(to);
                filter.call_inspect(&mut *store, convert::delivery(hub, &to, origin), content.lend()).await
            }
        };
        let verdict = match verdict {
            Ok(verdict) => {
                let (bytes, kind) = (convert::verdict_bytes(&verdict), message.kind);
                store.data_mut().offload(bytes, move || convert::verdict(verdict, kind)).await
            }
            Err(error) => Err(error),
        };
        let actions = store.data_mut().end();
        Ok((completed(store, verdict)?, actions))
    }

    /// Should a fresh instance take its place?
    pub(crate) fn is_spent(&self) -> bool {
        self.calls_left == 0 || self.memory_bytes() > self.spent_above
    }

    /// Lends where it is seen whether its guest is away, which is to be given back.
    pub(crate) fn lend_absence(&mut self) -> Option<Arc<Absence>> {
        self.absence.take()
    }

    /// Gives that back.
    pub(crate) fn return_absence(&mut self, absence: Option<Arc<Absence>>) {
        self.absence = absence;
    }

    /// What the instance's linear memories hold, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.used()
    }
}

/// The answer of a version without the export that an event is for.
fn missing(interface: &str) -> UpstreamAnswer {
    UpstreamAnswer { result: Err(no_export(interface)), actions: Vec::new() }
}

fn no_export(interface: &str) -> UpstreamFailure {
    UpstreamFailure::Failed(format!("the plugin exports no `{interface}`"))
}

/// The same of an event that a later version may take.
fn absent(interface: &str) -> UpstreamAnswer {
    let failure = UpstreamFailure::Unavailable(format!("the plugin exports no `{interface}`"));
    UpstreamAnswer { result: Err(failure), actions: Vec::new() }
}

async fn lend<'a>(store: &Store<Guest>, payload: &'a Payload) -> Result<LentPayload<'a>, Broken> {
    let surroundings = store.data().surroundings();
    let lent = LentPayload::new(payload, surroundings.settings.payloads, &surroundings.offload).await;
    lent.map_err(|error| broken(store, &error))
}

/// The time of a call whose value of so many bytes has been lent: a long one was converted beside the shard, which is no time of the
/// guest's.
fn lent(term: Term, bytes: usize) -> Term {
    match bytes > IN_PLACE_BYTES {
        true => Term { began: Instant::now(), ..term },
        false => term,
    }
}

/// At each tick a running guest lets the thread's other work go on if its turn is over, and is broken off when its time is.
fn at_tick(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = store.data_mut();
    if guest.must_stop() {
        return Ok(UpdateDeadline::Interrupt);
    }
    Ok(match guest.end_turn() {
        Some(next) => UpdateDeadline::YieldCustom(1, next),
        None => UpdateDeadline::Continue(1),
    })
}

/// What a call came to. One that made too many host calls has not ended well, even if it ended before that could stop it.
fn completed<T>(store: &Store<Guest>, called: wasmtime::Result<T>) -> Result<T, Broken> {
    match (called, store.data().exhausted()) {
        (Ok(_), Some(exhausted @ Exhausted::HostCalls { .. })) => Err(exhausted.into()),
        (Ok(output), _) => Ok(output),
        (Err(error), _) => Err(broken(store, &error)),
    }
}

fn broken(store: &Store<Guest>, error: &wasmtime::Error) -> Broken {
    let guest = store.data();
    match (guest.exhausted(), guest.memory.refused()) {
        (Some(exhausted), _) => exhausted.into(),
        (None, Some(Bound::Instance)) => Broken::OutOfMemory,
        (None, Some(Bound::AllPlugins)) => Broken::OutOfPluginMemory,
        (None, None) if error.is::<PoolConcurrencyLimitError>() => Broken::NoRoom,
        (None, None) => Broken::Trapped(own_reason(guest, error).unwrap_or_else(|| trap_reason(error))),
    }
}

impl From<Exhausted> for Broken {
    fn from(exhausted: Exhausted) -> Broken {
        match exhausted {
            Exhausted::Time => Broken::OutOfTime,
            Exhausted::CpuTime { used } => Broken::OutOfCpuTime(used),
            Exhausted::HostCalls { allowed } => {
                Broken::Trapped(format!("it called the host more than {allowed} times in one call"))
            }
        }
    }
}

/// What the guest has said of its error before it gave up; what breaks it off from outside is no such error.
fn own_reason(guest: &Guest, error: &wasmtime::Error) -> Option<String> {
    let has_given_up =
        matches!(error.downcast_ref::<Trap>(), Some(Trap::UnreachableCodeReached)) || error.is::<I32Exit>();
    has_given_up.then(|| guest.last_words())?
}

/// What trapped, and the innermost frames of the guest's stack.
fn trap_reason(error: &wasmtime::Error) -> String {
    let mut reason = error.root_cause().to_string();
    if reason.starts_with(HOST_CALL_FUEL_EXHAUSTED) {
        reason = format!("it passed more than {HOST_CALL_BYTES} bytes, and those of its message, to the host at once");
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        // Its text has the demangled names: `  0:   0x1f2 - module!function`.
        let text = backtrace.to_string();
        let frames: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(" - ")?.1)).take(FRAMES).collect();
        if !frames.is_empty() {
            reason = format!("{reason}, in {}", frames.join(" < "));
        }
    }
    printable(&reason, REASON_BYTES)
}

impl Broken {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Broken::OutOfTime => Outcome::TimedOut,
            Broken::OutOfCpuTime(_) => Outcome::OutOfCpuTime,
            Broken::OutOfMemory => Outcome::OutOfMemory,
            Broken::OutOfPluginMemory => Outcome::OutOfPluginMemory,
            Broken::Trapped(_) => Outcome::Trapped,
            Broken::NotReady(_) => Outcome::Failed,
            Broken::NoRoom | Broken::Resting => Outcome::Busy,
            Broken::NotServing => Outcome::NotServing,
        }
    }

    /// The budget that the call was beyond.
    pub(crate) fn budget(&self) -> Option<Budget> {
        match self {
            Broken::OutOfTime => Some(Budget::CallTime),
            Broken::OutOfCpuTime(_) => Some(Budget::CpuTime),
            Broken::OutOfMemory => Some(Budget::Memory),
            Broken::OutOfPluginMemory => Some(Budget::PluginMemory),
            Broken::NoRoom => Some(Budget::Concurrency),
            Broken::Trapped(_) | Broken::NotReady(_) | Broken::NotServing | Broken::Resting => None,
        }
    }
}

impl From<Broken> for UpstreamAnswer {
    fn from(broken: Broken) -> UpstreamAnswer {
        UpstreamAnswer { result: Err(broken.into()), actions: Vec::new() }
    }
}

impl From<Broken> for UpstreamFailure {
    fn from(broken: Broken) -> UpstreamFailure {
        match broken {
            Broken::OutOfTime => UpstreamFailure::TimedOut,
            Broken::OutOfCpuTime(used) => {
                UpstreamFailure::OutOfCpuTime { ticks: used.as_nanos().div_ceil(TICK.as_nanos()) as u64 }
            }
            Broken::OutOfMemory | Broken::OutOfPluginMemory => UpstreamFailure::OutOfMemory,
            Broken::Trapped(reason) => UpstreamFailure::Trapped(reason),
            Broken::NotReady(reason) => UpstreamFailure::Failed(format!("`init` of a new instance failed: {reason}")),
            Broken::NoRoom | Broken::Resting => UpstreamFailure::Busy,
            Broken::NotServing => UpstreamFailure::NotServing,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::OutOfTime => f.write_str("`init` took too long"),
            Broken::OutOfCpuTime(_) => f.write_str("`init` used more processor time than a call may"),
            Broken::OutOfMemory => f.write_str("it wanted more memory than the plugin may have"),
            Broken::OutOfPluginMemory => {
                f.write_str("all plugins together hold as much memory as `server.limits.plugin-memory` allows")
            }
            Broken::Trapped(reason) => write!(f, "it trapped: {reason}"),
            Broken::NotReady(reason) => write!(f, "`init` failed: {reason}"),
            Broken::NoRoom => f.write_str("no instance is free to try it out"),
            Broken::Resting => f.write_str("nearly all calls of the plugin run into their budget"),
            Broken::NotServing => f.write_str("no version of the plugin serves"),
        }
    }
}
