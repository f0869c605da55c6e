//! The plugins of one shard: for each a pool of instances, reused from call to call.

mod authorize;
mod firing;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use hubgate_core::delivery::Action;
use hubgate_core::event::{
    ConnectionFacts, HubCall, HubEvent, UpstreamAnswer, UpstreamCall, UpstreamEvent, UpstreamFailure,
};
use hubgate_core::filter::{
    Direction, FilterMessage, HalvesByPlugin, Inspected, Inspection, OnError, Refusal, Subject, Verdict,
};
use hubgate_core::id::{ConnectionId, HubName, PluginName};
use hubgate_core::pairs::Pairs;
use hubgate_core::stream::{StreamEvent, TooManyStreams};
use tokio::sync::{Semaphore, mpsc};

use crate::attempt::{Attempt, Place};
use crate::breakers::{Caller, Passages};
use crate::health::ShardHealth;
use crate::host::{Guest, Recording, ShardQuestion, ShardSide, Tape, Term};
use crate::instance::{Broken, Instance};
use crate::journal::Journal;
use crate::memory::Unused;
use crate::metrics::{Budget, CallCounters, Outcome, Telling};
use crate::peers::Peer;
use crate::plugin::{Plugin, PluginStatus};
use crate::plugin_host::PluginHost;
use crate::ticker;
use crate::turns::Turns;
use crate::version::Version;

/// The plugins of one shard, for its thread only.
pub struct ShardPlugins {
    pools: RefCell<HashMap<PluginName, Rc<Pool>, foldhash::fast::RandomState>>,
    /// Also keeps the epochs going while a call may run.
    host: PluginHost,
    caller: ticker::Caller,
    questions: mpsc::Sender<ShardQuestion>,
}

impl PluginHost {
    /// The pools of one shard. Its plugins ask `questions` about hubs, which the shard must answer; the bound of the
    /// channel bounds how many ask at a time.
    pub fn shard(&self, questions: mpsc::Sender<ShardQuestion>) -> ShardPlugins {
        ShardPlugins::new(self.clone(), self.caller(), questions)
    }
}

impl ShardPlugins {
    fn new(host: PluginHost, caller: ticker::Caller, questions: mpsc::Sender<ShardQuestion>) -> ShardPlugins {
        let plugins = ShardPlugins { pools: RefCell::default(), host, caller, questions };
        plugins.refresh();
        plugins
    }

    /// How all plugins are, on all shards.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        self.host.statuses()
    }

    /// Goes on with the plugins that the host has now. Calls under way end where they began.
    pub fn refresh(&self) {
        let mut pools = self.pools.borrow_mut();
        let mut before = std::mem::take(&mut *pools);
        for plugin in self.host.plugins().iter() {
            let pool = match before.remove(plugin.name()) {
                Some(pool) if Arc::ptr_eq(&pool.plugin, plugin) => pool,
                Some(_) | None => Rc::new(Pool::new(plugin, self.caller.clone(), self.questions.clone())),
            };
            pools.insert(plugin.name().clone(), pool);
        }
    }

    /// The generation of the version that a call of the plugin would come to now; `None` if none serves.
    pub fn generation(&self, plugin: &PluginName) -> Option<u64> {
        self.pools.borrow().get(plugin)?.plugin.versions().serving.as_ref().map(|version| version.generation)
    }

    /// Brings an event to the plugin it names, and its answer back: at most about `call_time` later, and within the
    /// first poll as a rule. Dropping the future breaks the call off. Must be polled inside a tokio runtime. The future
    /// is large (some 2 KiB): what lives long holds it boxed.
    pub fn call(&self, call: UpstreamCall) -> impl Future<Output = UpstreamAnswer> + use<> {
        let pool = self.pools.borrow().get(&call.plugin).map(Rc::clone);
        async move {
            match pool {
                Some(pool) => pool.answer(call.client, call.event).await,
                None => failed(UpstreamFailure::Failed(format!("there is no plugin {:?}", call.plugin))),
            }
        }
    }

    /// Tells a plugin of an event of a hub that no client has caused, in the same way. What its answer asks for is to be done on the hub.
    pub fn call_hub(&self, call: HubCall) -> impl Future<Output = UpstreamAnswer> + use<> {
        let pool = self.pools.borrow().get(&call.plugin).map(Rc::clone);
        async move {
            match pool {
                Some(pool) => pool.answer_for_hub(call).await,
                None => failed(UpstreamFailure::Failed(format!("there is no plugin {:?}", call.plugin))),
            }
        }
    }

    /// The same on an instance of its own; gives the answer with all that the instance was told until then, or says why there was no
    /// instance. It waits for its turn and counts as every call, and the effects of what the instance does by itself (on values it keeps,
    /// for example) are real.
    pub fn record(&self, call: UpstreamCall) -> impl Future<Output = Result<Journal, UpstreamFailure>> + use<> {
        let pool = self.pools.borrow().get(&call.plugin).map(Rc::clone);
        async move {
            match pool {
                Some(pool) => pool.call_recorded(call).await,
                None => Err(UpstreamFailure::Failed(format!("there is no plugin {:?}", call.plugin))),
            }
        }
    }

    /// Shows a message to filters one after the other, each what the one before it has made of it, until one lets it go no
    /// further. Must be polled inside a tokio runtime.
    pub fn inspect(&self, inspection: Box<Inspection>) -> impl Future<Output = Inspected> + use<> {
        let pools = self.pools.borrow();
        let pools: Vec<Option<Rc<Pool>>> =
            inspection.filters.iter().map(|filter| pools.get(&filter.settings.plugin).cloned()).collect();
        async move {
            let Inspection { filters, subject, mut message, headers } = *inspection;
            let direction = match subject {
                Subject::Client(_) => Direction::Inbound,
                Subject::Delivery { .. } => Direction::Outbound,
            };
            let (mut verdict, mut actions) = (Verdict::Pass, Vec::new());
            for (filter, pool) in filters.iter().zip(&pools) {
                if !filter.wants(direction, message.target.as_deref()) {
                    continue;
                }
                let inspected = match pool {
                    Some(pool) => pool.inspect(&subject, &message, &headers).await,
                    None => Err(UpstreamFailure::Failed(format!("there is no plugin {:?}", filter.settings.plugin))),
                };
                match inspected {
                    Ok((Verdict::Pass, asked)) => actions.extend(asked),
                    Ok((Verdict::Replace(replacement), asked)) => {
                        actions.extend(asked);
                        message = replacement;
                        verdict = Verdict::Replace(message.clone());
                    }
                    Ok((last, asked)) => {
                        actions.extend(asked);
                        return Inspected { verdict: last, actions };
                    }
                    Err(failure) => match filter.settings.on_error {
                        OnError::Open => {}
                        OnError::Closed => {
                            return Inspected { verdict: Verdict::Refuse(Refusal::Failed(failure)), actions };
                        }
                    },
                }
            }
            Inspected { verdict, actions }
        }
    }

    /// Counts that a client could not open a stream.
    pub fn streams_exceeded(&self, plugin: &PluginName, bound: TooManyStreams) {
        if let Some(pool) = self.pools.borrow().get(plugin) {
            pool.plugin.surroundings.exceeded.add(match bound {
                TooManyStreams::OfClient => Budget::StreamsPerClient,
                TooManyStreams::OfPlugin => Budget::Streams,
            });
        }
    }

    /// Which halves of a filter the plugins have, now and after each swap.
    pub fn halves(&self) -> HalvesByPlugin {
        self.host.plugins().iter().map(|plugin| (plugin.name().clone(), plugin.halves().clone())).collect()
    }
}

impl fmt::Debug for ShardPlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pools.borrow().keys()).finish()
    }
}

/// The instances of one plugin on one shard. So many calls may run at a time as handler, as many as filter, as many as authorizer, and as many for events of
/// hubs: a handler that waits for what it sends waits for filters, which may be the same plugin. Further calls wait in their order, as many as the
/// shard has connections at most, since each has one event at a time.
struct Pool {
    plugin: Arc<Plugin>,
    shard: ShardSide,
    counters: Arc<CallCounters>,
    health: Arc<ShardHealth>,
    handling: Semaphore,
    filtering: Semaphore,
    /// Whoever wants to come takes nothing from those who are there.
    authorizing: Semaphore,
    /// Many timers that are due at once take nothing from clients.
    telling: Semaphore,
    idle: Arc<IdleInstances>,
}

impl Pool {
    fn new(plugin: &Arc<Plugin>, caller: ticker::Caller, questions: mpsc::Sender<ShardQuestion>) -> Pool {
        let permits = || Semaphore::new(plugin.surroundings.settings.budgets.concurrency);
        let idle = Arc::new(IdleInstances::default());
        let weak: Weak<dyn Unused> = Arc::<IdleInstances>::downgrade(&idle);
        plugin.surroundings.memory.may_give_up(weak);
        Pool {
            plugin: Arc::clone(plugin),
            shard: ShardSide { questions, turns: Turns::new(plugin.breakers().clone()), caller },
            counters: plugin.shard_counters(),
            health: plugin.shard_health(),
            handling: permits(),
            filtering: permits(),
            authorizing: permits(),
            telling: permits(),
            idle,
        }
    }

    async fn answer(&self, client: Arc<ConnectionFacts>, mut event: UpstreamEvent) -> UpstreamAnswer {
        let attempt = self.attempt(Caller { hub: &client.hub, peer: Peer::of_client(&client) });
        let (headers, client, event) = (event.take_headers(), &client, &event);
        let call = async move |instance: &mut Instance, term| instance.call(client, (event, headers), term).await;
        let ran = self.run(&self.handling, async || self.call(call, &attempt).await, &attempt).await;
        self.answered(ran, (client, event), &attempt)
    }

    async fn answer_for_hub(&self, call: HubCall) -> UpstreamAnswer {
        if let HubEvent::PresenceChanged { joined, left, .. } = &call.event {
            return self.tell_presence(joined.len() + left.len(), &call).await;
        }
        self.tell(&call).await
    }

    /// Tells of members that have come and gone. A version that is not to be told has nothing to do with them.
    async fn tell_presence(&self, members: usize, call: &HubCall) -> UpstreamAnswer {
        let serving = self.plugin.versions().serving.clone();
        if serving.is_some_and(|version| version.exports.presence_events.is_none()) {
            self.counters.record_presence(Telling::Dropped, members);
            return UpstreamAnswer { result: Ok(None), actions: Vec::new() };
        }
        let answer = self.tell(call).await;
        let telling = if answer.result.is_ok() { Telling::Told } else { Telling::Failed };
        self.counters.record_presence(telling, members);
        answer
    }

    async fn tell(&self, call: &HubCall) -> UpstreamAnswer {
        let attempt = self.attempt(Caller { hub: &call.hub, peer: Peer::of_hub(&call.hub) });
        let tell = async |instance: &mut Instance, term| instance.call_hub(call, term).await;
        let ran = self.run(&self.telling, async || self.call(tell, &attempt).await, &attempt).await;
        let name = match &call.event {
            HubEvent::Started => "started",
            HubEvent::TimerFired { name, .. } => name,
            HubEvent::PresenceChanged { group, .. } => group.as_str(),
        };
        self.ended(ran, (&call.hub, None, name), &attempt)
    }

    /// Calls an instance that is made for it.
    async fn call_recorded(&self, call: UpstreamCall) -> Result<Journal, UpstreamFailure> {
        let UpstreamCall { client, event, .. } = &call;
        let attempt = self.attempt(Caller { hub: &client.hub, peer: Peer::of_client(client) });
        let (recording, mut component) = (Recording::default(), None);
        let record = async || {
            let version = self.serving(&attempt)?;
            component = Some(version.digest);
            let guest = self.guest(&version, attempt.deadline()).on(Tape::Recording(recording.clone()));
            let mut instance = Box::pin(Instance::start(&version.exports, version.generation, guest)).await?;
            attempt.begin(instance.lend_absence());
            instance.call(client, (event, event.headers()), self.term(Instant::now(), &attempt)).await
        };
        let ran = self.run(&self.handling, record, &attempt).await;
        let answer = self.answered(ran, (client, event), &attempt);
        match (component, answer) {
            (Some(component), answer) => {
                let settings = self.plugin.surroundings.settings.clone();
                Ok(Journal::new((settings, component), call, recording, answer))
            }
            (None, UpstreamAnswer { result: Err(failure), .. }) => Err(failure),
            (None, UpstreamAnswer { result: Ok(_), .. }) => unreachable!("a component has answered"),
        }
    }

    /// Counts and logs what came of a client's event.
    fn answered(
        &self,
        ran: Result<UpstreamAnswer, Broken>,
        (client, event): (&ConnectionFacts, &UpstreamEvent),
        attempt: &Attempt<'_>,
    ) -> UpstreamAnswer {
        let name = match event {
            UpstreamEvent::Connected => "connected",
            UpstreamEvent::Disconnected { .. } => "disconnected",
            UpstreamEvent::Invocation { target, .. } => target,
            UpstreamEvent::StreamCall(call) => &call.target,
            UpstreamEvent::Stream(StreamEvent::Begin(opening)) => &opening.target,
            UpstreamEvent::Stream(StreamEvent::Writable { .. }) => "writable",
            UpstreamEvent::Stream(StreamEvent::Cancelled { .. }) => "cancelled",
            UpstreamEvent::Stream(StreamEvent::Item(_)) => "item",
            UpstreamEvent::Stream(StreamEvent::Ended { .. }) => "ended",
        };
        self.ended(ran, (&client.hub, Some(client.id), name), attempt)
    }

    /// Counts and logs what came of a call that has this name.
    fn ended(
        &self,
        ran: Result<UpstreamAnswer, Broken>,
        (hub, client, name): (&HubName, Option<ConnectionId>, &str),
        attempt: &Attempt<'_>,
    ) -> UpstreamAnswer {
        let (outcome, answer) = match ran {
            Ok(answer) => (Outcome::of(&answer.result), answer),
            Err(broken) => (broken.outcome(), broken.into()),
        };
        self.record(outcome, attempt);
        if let Err(failure) = &answer.result
            && !attempt.passages.get().are_closed()
        {
            self.plugin.surroundings.log.failure(hub, client, name, (outcome, failure));
        }
        answer
    }

    async fn inspect(
        &self,
        subject: &Subject,
        message: &FilterMessage,
        headers: &Pairs,
    ) -> Result<(Verdict, Vec<Action>), UpstreamFailure> {
        let (hub, connection) = match subject {
            Subject::Client(client) => (&client.hub, Some(client.id)),
            Subject::Delivery { hub, .. } => (hub, None),
        };
        let attempt = self.attempt(Caller { hub, peer: Peer::of_subject(subject) });
        let call = async |instance: &mut Instance, term| instance.inspect(subject, message, headers, term).await;
        let ran = self.run(&self.filtering, async || self.call(call, &attempt).await, &attempt).await;
        let (outcome, inspected) = match ran {
            Ok((Ok(verdict), actions)) => (Outcome::Ok, Ok((verdict, actions))),
            Ok((Err(reason), _)) => (Outcome::Failed, Err(UpstreamFailure::Failed(reason))),
            Err(broken) => (broken.outcome(), Err(broken.into())),
        };
        self.record(outcome, &attempt);
        self.counters.record_verdict(inspected.as_ref().map(|(verdict, _)| verdict).ok());
        if let Err(failure) = &inspected
            && !attempt.passages.get().are_closed()
        {
            let name = message.target.as_deref().unwrap_or("a message without a target");
            self.plugin.surroundings.log.failure(hub, connection, name, (outcome, failure));
        }
        inspected
    }

    /// A call that is to begin now.
    fn attempt<'a>(&self, caller: Caller<'a>) -> Attempt<'a> {
        let started = Instant::now();
        Attempt::new(started, self.plugin.surroundings.settings.budgets.deadline(started), caller)
    }

    /// The time of a call whose guest begins then.
    fn term(&self, began: Instant, attempt: &Attempt<'_>) -> Term {
        let hurry = attempt.passages.get().are_on_trial().then(|| self.shard.caller.hurry());
        Term { began, deadline: attempt.deadline(), hurry }
    }

    fn record(&self, outcome: Outcome, attempt: &Attempt<'_>) {
        let (now, generation) = (Instant::now(), attempt.generation.get());
        let took = now.saturating_duration_since(attempt.started).saturating_sub(attempt.absent());
        let began = attempt.began.get();
        self.counters.record(outcome, took);
        if !attempt.waits.get() {
            // As a rule it has begun at once.
            let ran = if began == attempt.started { took } else { now.saturating_duration_since(began) };
            self.shard.turns.has_run(ran);
        }
        self.health.record(generation, outcome, attempt.caller.peer, now);
        if outcome.is_broken_off() {
            self.plugin.judge(generation, now);
        }
        let passages = attempt.passages.get();
        if outcome.is_the_guests() && (outcome.is_in_vain() || self.plugin.breakers().are_wary(passages)) {
            self.plugin.weigh(generation, outcome, (attempt.caller, passages), now);
        }
    }

    async fn run<T>(
        &self,
        permits: &Semaphore,
        work: impl AsyncFnOnce() -> Result<T, Broken>,
        attempt: &Attempt<'_>,
    ) -> Result<T, Broken> {
        let ran = self.run_in_turn(permits, work, attempt).await;
        if let Err(broken) = &ran
            && let Some(budget) = broken.budget()
        {
            self.plugin.surroundings.exceeded.add(budget);
        }
        ran
    }

    async fn run_in_turn<T>(
        &self,
        permits: &Semaphore,
        work: impl AsyncFnOnce() -> Result<T, Broken>,
        attempt: &Attempt<'_>,
    ) -> Result<T, Broken> {
        let (breakers, caller) = (self.plugin.breakers(), attempt.caller);
        let call_time = self.plugin.surroundings.settings.budgets.call_time;
        attempt.passages.set(breakers.pass(caller, attempt.began.get(), call_time));
        if attempt.passages.get().are_closed() {
            return Err(Broken::Resting);
        }
        let permit = match permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => match attempt.within(pin!(permits.acquire())).await {
                Some(permit) => permit.expect("the semaphore is never closed"),
                None => return Err(Broken::NoRoom),
            },
        };
        if self.shard.turns.is_used_up(attempt.began.get()) {
            attempt.within(pin!(self.shard.turns.begin())).await.ok_or(Broken::NoRoom)?;
        }
        // Those before it may have ended in vain.
        if breakers.have_closed(caller, attempt.passages.get()) {
            attempt.passages.set(Passages::CLOSED);
            return Err(Broken::Resting);
        }
        if attempt.waits.replace(false) {
            attempt.began.set(Instant::now());
        }
        let place = Place::new(permits, permit, &self.shard.caller);
        attempt.run(pin!(work()), place).await.unwrap_or(Err(Broken::OutOfTime))
    }

    /// Takes an instance or makes one, and gives it back after a call that left it whole.
    async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&mut Instance, Term) -> Result<T, Broken>,
        attempt: &Attempt<'_>,
    ) -> Result<T, Broken> {
        let (mut instance, began) = match self.take(attempt)? {
            Taken::Idle(instance) => (instance, attempt.began.get()),
            // Boxed, so that the future of every call is not as large as the rare one that makes an instance.
            Taken::None(version) => (Box::pin(self.make(&version, attempt)).await?, Instant::now()),
        };
        attempt.begin(instance.lend_absence());
        let answer = call(&mut instance, self.term(began, attempt)).await?;
        instance.return_absence(attempt.end());
        self.give_back(instance);
        Ok(answer)
    }

    /// The version that the call comes to.
    fn serving(&self, attempt: &Attempt<'_>) -> Result<Arc<Version>, Broken> {
        let version = self.plugin.versions().serving.clone().ok_or(Broken::NotServing)?;
        attempt.generation.set(version.generation);
        Ok(version)
    }

    /// Chooses the version that the call comes to, and takes an instance of it.
    fn take(&self, attempt: &Attempt<'_>) -> Result<Taken, Broken> {
        let versions = self.plugin.versions();
        let version = versions.serving.as_ref().ok_or(Broken::NotServing)?;
        attempt.generation.set(version.generation);
        Ok(self.idle.take(version.generation).map_or_else(|| Taken::None(version.clone()), Taken::Idle))
    }

    async fn make(&self, version: &Version, attempt: &Attempt<'_>) -> Result<Instance, Broken> {
        Instance::start(&version.exports, version.generation, self.guest(version, attempt.deadline())).await
    }

    fn guest(&self, version: &Version, deadline: Instant) -> Guest {
        let (surroundings, shard) = (self.plugin.surroundings.clone(), Some(self.shard.clone()));
        Guest::new(surroundings, shard, version.exports.numbers, deadline)
    }

    fn give_back(&self, instance: Instance) {
        let versions = self.plugin.versions();
        let serves = versions.serving.as_ref().is_some_and(|version| version.generation == instance.generation);
        if serves && !instance.is_spent() {
            self.idle.put(instance);
        }
    }
}

/// What a call begins with.
enum Taken {
    Idle(Instance),
    /// An instance of this version is to be made.
    None(Arc<Version>),
}

/// Instances between two calls. Other threads give them up where all plugins together are short of memory.
#[derive(Default)]
struct IdleInstances(Mutex<Vec<Instance>>);

impl IdleInstances {
    /// The last one used, if it is of this version: its memory is still in the processor's caches. Those of other versions are not used
    /// any more.
    fn take(&self, generation: u64) -> Option<Instance> {
        let outdated = {
            let mut instances = self.instances();
            match instances.pop()? {
                last if last.generation == generation => return Some(last),
                last => (last, std::mem::take(&mut *instances)),
            }
        };
        // Without the lock.
        drop(outdated);
        None
    }

    fn put(&self, instance: Instance) {
        self.instances().push(instance);
    }

    fn instances(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unused for IdleInstances {
    fn give_up_one(&self) -> bool {
        let longest = {
            let mut instances = self.instances();
            (!instances.is_empty()).then(|| instances.remove(0))
        };
        // Dropped here, without the lock.
        longest.is_some()
    }
}

impl fmt::Debug for IdleInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdleInstances({})", self.instances().len())
    }
}

fn failed(failure: UpstreamFailure) -> UpstreamAnswer {
    UpstreamAnswer { result: Err(failure), actions: Vec::new() }
}
