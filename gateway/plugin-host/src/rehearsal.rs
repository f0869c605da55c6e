//! A plugin beside any gateway: one after the other it is brought the events that somebody has written down, and its clock, its chance
//! and what it keeps are theirs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_core::delivery::Action;
use hubgate_core::event::{ConnectionFacts, HubCall, UpstreamAnswer, UpstreamEvent, UpstreamFailure};
use hubgate_core::filter::{FilterMessage, Subject, Verdict};
use hubgate_core::id::HubName;
use hubgate_core::pairs::Pairs;
use tokio::sync::mpsc;

use crate::authorization::{Authorization, AuthorizeCall};
use crate::breakers::Breakers;
use crate::clock::ScriptedClock;
use crate::compiler::Compilation;
use crate::host::{Guest, ShardQuestion, ShardSide, Surroundings, Tape, Term};
use crate::inspect::settings_of_anything;
use crate::instance::{Broken, Instance};
use crate::limits::{TIMERS_PER_PAGE, TRIAL_TIME};
use crate::load_error::LoadError;
use crate::sandbox::Sandbox;
use crate::settings::PluginSettings;
use crate::timer::Timer;
use crate::turns::Turns;
use crate::version::{Loaded, worlds};

/// A component that is ready for rehearsals. It is compiled once for all of them.
pub struct Stage {
    sandbox: Sandbox,
    pub(crate) loaded: Loaded,
    pub(crate) compile_time: Duration,
}

/// A plugin that is brought one event after the other. What it keeps lasts as long as the rehearsal; its instance is used again until a
/// call breaks it off, as in a gateway.
pub struct Rehearsal<'a> {
    stage: &'a Stage,
    clock: Arc<ScriptedClock>,
    surroundings: Arc<Surroundings>,
    shard: ShardSide,
    questions: mpsc::Receiver<ShardQuestion>,
    instance: Option<Instance>,
    tape: Tape,
}

/// Answers what the plugin asks of the gateway.
pub type Prompter<'a> = &'a mut (dyn FnMut(ShardQuestion) + Send);

impl Stage {
    /// Compiles, checks and links a component, whatever it is for. Blocks meanwhile.
    pub fn load(component: &[u8], compilation: Compilation) -> Result<Stage, LoadError> {
        let sandbox = Sandbox::pooled(settings_of_anything(), compilation)?;
        let began = Instant::now();
        let loaded = sandbox.loader.link(component, &sandbox.surroundings, &|| false)?;
        Ok(Stage { sandbox, loaded, compile_time: began.elapsed() })
    }

    /// The worlds that the component serves: `handler`, `whole-hub` or `negotiator`, and `filter`, `filter-inbound` or `filter-outbound`.
    pub fn worlds(&self) -> Vec<&'static str> {
        worlds(&self.loaded.interfaces)
    }

    /// A rehearsal of the plugin with these settings, whose clock stands at `now`, in milliseconds since 1970, and which keeps `state`, if
    /// there is room for it.
    pub fn rehearse(
        &self,
        settings: PluginSettings,
        now: u64,
        state: &[(String, Vec<u8>)],
    ) -> Result<Rehearsal<'_>, RehearsalError> {
        self.rehearse_on(Tape::Off, settings, now, state)
    }

    /// The same, with what the plugin asks on a tape.
    pub(crate) fn rehearse_on(
        &self,
        tape: Tape,
        settings: PluginSettings,
        now: u64,
        state: &[(String, Vec<u8>)],
    ) -> Result<Rehearsal<'_>, RehearsalError> {
        let clock = Arc::new(ScriptedClock::at(now));
        let surroundings = self.sandbox.surroundings_with(settings, clock.clone())?;
        let (ask, questions) = mpsc::channel(1);
        let breakers = Arc::new(Breakers::new(u64::MAX, Duration::from_secs(1)));
        let shard = ShardSide { questions: ask, turns: Turns::new(breakers), caller: self.sandbox.caller() };
        let rehearsal = Rehearsal { stage: self, clock, surroundings, shard, questions, instance: None, tape };
        for (key, value) in state {
            let kept = rehearsal.run(async || rehearsal.surroundings.keep_at_start(key, value).await)?;
            kept.map_err(|reason| RehearsalError::State { key: key.clone(), reason })?;
        }
        Ok(rehearsal)
    }
}

/// Why there is no rehearsal.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("`{key}` cannot be kept: {reason}")]
    State { key: String, reason: String },
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl<'a> Rehearsal<'a> {
    /// Moves the clock on to `now`, in milliseconds since 1970; it never goes back.
    pub fn set_clock(&self, now: u64) {
        self.clock.set(now);
    }

    /// What the plugin keeps now, by its keys' order.
    pub fn kept(&self) -> Vec<(String, Vec<u8>)> {
        self.surroundings.kept()
    }

    /// Brings an event of `client` to the plugin. Blocks until it has answered, or is broken off.
    pub fn call(
        &mut self,
        client: &Arc<ConnectionFacts>,
        event: &UpstreamEvent,
        prompter: Prompter<'_>,
    ) -> UpstreamAnswer {
        let answer =
            self.play(prompter, async |instance, term| instance.call(client, (event, event.headers()), term).await);
        answer.unwrap_or_else(UpstreamAnswer::from)
    }

    /// Tells the plugin of an event of its hub that no client has caused. Blocks meanwhile.
    pub fn call_hub(&mut self, call: &HubCall, prompter: Prompter<'_>) -> UpstreamAnswer {
        let answer = self.play(prompter, async |instance, term| instance.call_hub(call, term).await);
        answer.unwrap_or_else(UpstreamAnswer::from)
    }

    /// When one of the plugin's timers is to be looked at next, in milliseconds since 1970.
    pub fn next_timer(&self) -> Option<u64> {
        self.surroundings.timers.next_wake()
    }

    /// Fires the timer that is due first, if one is by now. Blocks until the plugin has answered, and the timer is over or waits again.
    pub fn fire(&mut self, prompter: Prompter<'_>) -> Result<Option<UpstreamAnswer>, LoadError> {
        let Some(firing) = self.surroundings.timers.take_due() else { return Ok(None) };
        let answer = self.call_hub(&firing.call(), prompter);
        let result = answer.result.as_ref().map(drop);
        self.run(async || firing.settle(result, &self.surroundings.timers).await)?;
        Ok(Some(answer))
    }

    /// The plugin's timers in a hub, by their names.
    pub fn timers(&self, hub: &HubName) -> Vec<(Arc<str>, Timer)> {
        let mut timers: Vec<(Arc<str>, Timer)> = Vec::new();
        loop {
            let after = timers.last().map(|(name, _)| name.clone());
            let page = self.surroundings.timers.page(hub, after.as_deref(), TIMERS_PER_PAGE);
            if page.is_empty() {
                return timers;
            }
            timers.extend(page);
        }
    }

    /// Shows a message to the plugin's half for it, and gives its verdict with what it asks for. Blocks meanwhile. The error says why it
    /// is none.
    pub fn inspect(
        &mut self,
        subject: &Subject,
        (message, headers): (&FilterMessage, &Pairs),
        prompter: Prompter<'_>,
    ) -> Result<(Verdict, Vec<Action>), UpstreamFailure> {
        let inspect = async |instance: &mut Instance, term| instance.inspect(subject, message, headers, term).await;
        let (verdict, actions) = self.play(prompter, inspect)?;
        Ok((verdict.map_err(UpstreamFailure::Failed)?, actions))
    }

    /// Asks the plugin whether a request may become a client. Blocks meanwhile.
    pub fn authorize(&mut self, call: &AuthorizeCall, prompter: Prompter<'_>) -> Authorization {
        let asked = self.play(prompter, async |instance, term| instance.authorize(call, term).await);
        asked.unwrap_or_else(|broken| UpstreamFailure::from(broken).into())
    }

    /// Makes an instance, if there is none, and lets its `init` run; gives the time that it took, and what the instance's memories hold,
    /// in bytes.
    pub(crate) fn begin(&mut self) -> Result<(Duration, usize), Broken> {
        let (stage, surroundings, shard, tape) = (self.stage, &self.surroundings, &self.shard, &self.tape);
        let work = async || {
            let began = Instant::now();
            let instance = start(stage, (surroundings, shard), tape).await?;
            Ok((began.elapsed(), instance))
        };
        let (took, instance) = stage.sandbox.loader.run(work).unwrap_or_else(|reason| Err(Broken::Trapped(reason)))?;
        let bytes = instance.memory_bytes();
        self.instance = Some(instance);
        Ok((took, bytes))
    }

    /// How long each of many equal events took that follow one another, for as long as `time` lasts.
    pub(crate) fn time(
        &mut self,
        (most, time): (usize, Duration),
        prompter: Prompter<'_>,
        call: impl AsyncFn(&mut Instance, Term) -> Result<(), Broken> + Send,
    ) -> Result<Vec<Duration>, Broken> {
        let until = Instant::now() + time;
        self.play(prompter, async move |instance, term| {
            let (deadline, mut took) = (term.deadline, Vec::with_capacity(most));
            while took.len() < most && Instant::now() < until {
                let began = Instant::now();
                call(instance, Term { began, deadline, hurry: None }).await?;
                took.push(began.elapsed());
            }
            Ok(took)
        })
    }

    /// Calls the instance, or a new one, and answers what it asks meanwhile.
    fn play<T: Send>(
        &mut self,
        prompter: Prompter<'_>,
        call: impl AsyncFnOnce(&mut Instance, Term) -> Result<T, Broken> + Send,
    ) -> Result<T, Broken> {
        let present = self.instance.take().filter(|instance| !instance.is_spent());
        let (stage, surroundings, shard, tape) = (self.stage, &self.surroundings, &self.shard, &self.tape);
        let questions = &mut self.questions;
        let work = async move || {
            let mut instance = match present {
                Some(instance) => instance,
                None => start(stage, (surroundings, shard), tape).await?,
            };
            let (began, deadline) = (Instant::now(), surroundings.settings.budgets.deadline(Instant::now()));
            let output = {
                let call = call(&mut instance, Term { began, deadline, hurry: None });
                let mut call = std::pin::pin!(tokio::time::timeout_at(deadline.into(), call));
                loop {
                    tokio::select! {
                        biased;
                        Some(question) = questions.recv() => prompter(question),
                        output = &mut call => break output.unwrap_or(Err(Broken::OutOfTime))?,
                    }
                }
            };
            Ok((output, instance))
        };
        let run = stage.sandbox.loader.run(work);
        let (output, instance) = run.unwrap_or_else(|reason| Err(Broken::Trapped(reason)))?;
        self.instance = Some(instance);
        Ok(output)
    }

    fn run<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> Result<T, LoadError> {
        self.stage.sandbox.loader.run(work).map_err(LoadError::Transient)
    }
}

/// An instance after its `init`, whose time is its own: a busy machine does not take it from the call.
async fn start(
    stage: &Stage,
    (surroundings, shard): (&Arc<Surroundings>, &ShardSide),
    tape: &Tape,
) -> Result<Instance, Broken> {
    let exports = &stage.loaded.exports;
    let guest = Guest::new(surroundings.clone(), Some(shard.clone()), exports.numbers, Instant::now() + TRIAL_TIME);
    let started = Instance::start(exports, 0, guest.on(tape.clone()));
    tokio::time::timeout(TRIAL_TIME, started).await.unwrap_or(Err(Broken::OutOfTime))
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("worlds", &self.worlds()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rehearsal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").finish_non_exhaustive()
    }
}
