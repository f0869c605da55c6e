//! A place where a component runs beside any gateway: nothing lasts there.

use std::sync::Arc;

use wasmtime::Engine;

use crate::clock::{Clock, ScriptedClock};
use crate::compiler::Compilation;
use crate::component::Loader;
use crate::engine::{self, Allocation};
use crate::host::{Machine, Scripted, Source, Surroundings};
use crate::kept::Kept;
use crate::load_error::LoadError;
use crate::memory::MemoryAccount;
use crate::settings::PluginSettings;
use crate::store::Store;
use crate::ticker::{self, Ticker};
use crate::timers::Timers;

/// An engine for one plugin.
pub(crate) struct Sandbox {
    pub(crate) loader: Loader,
    pub(crate) surroundings: Arc<Surroundings>,
    /// Makes epochs as long as the sandbox is there.
    ticker: Ticker,
}

impl Sandbox {
    /// With memory as instances need it: enough for a few calls, and nothing is reserved.
    pub(crate) fn new(settings: PluginSettings, compilation: Compilation) -> Result<Sandbox, LoadError> {
        let engine = engine::on_demand().map_err(|error| cannot_run(format!("{error:#}")))?;
        Sandbox::with_engine((engine, Allocation::OnDemand), settings, compilation)
    }

    /// With memory as in a gateway, so that calls take as long as there.
    pub(crate) fn pooled(settings: PluginSettings, compilation: Compilation) -> Result<Sandbox, LoadError> {
        let engine = engine::pooling(1).map_err(|error| cannot_run(format!("{error:#}")))?;
        Sandbox::with_engine(engine, settings, compilation)
    }

    fn with_engine(
        (engine, allocation): (Engine, Allocation),
        settings: PluginSettings,
        compilation: Compilation,
    ) -> Result<Sandbox, LoadError> {
        let ticker = Ticker::start(engine.clone()).map_err(cannot_run)?;
        let loader = Loader::new((&engine, allocation), &ticker, compilation).map_err(cannot_run)?;
        let surroundings = surroundings(settings, Clock::Machine, Arc::new(Machine::new()))?;
        Ok(Sandbox { loader, surroundings, ticker })
    }

    /// Others, for a plugin whose time is `clock`'s and whose chance is always the same.
    pub(crate) fn surroundings_with(
        &self,
        settings: PluginSettings,
        clock: Arc<ScriptedClock>,
    ) -> Result<Arc<Surroundings>, LoadError> {
        let source = Scripted::new(clock.clone(), settings.budgets.call_time);
        surroundings(settings, Clock::Scripted(clock), Arc::new(source))
    }

    /// What lets the ticker know of calls.
    pub(crate) fn caller(&self) -> ticker::Caller {
        self.ticker.caller()
    }
}

fn surroundings(
    settings: PluginSettings,
    clock: Clock,
    source: Arc<dyn Source>,
) -> Result<Arc<Surroundings>, LoadError> {
    let nothing_lasts = Arc::new(Store::in_memory(clock.clone()).map_err(cannot_run)?);
    let timers = Arc::new(Timers::new(1, clock)).of(&settings.name, &nothing_lasts);
    let memory = MemoryAccount::new(usize::MAX, false).plugin();
    let kept = Kept::Here(nothing_lasts.clone(), nothing_lasts.values(&settings.name));
    Ok(Arc::new(Surroundings::new(settings, (kept, timers), memory, source)))
}

fn cannot_run(error: impl ToString) -> LoadError {
    LoadError::Init(format!("no plugin can run here: {}", error.to_string()))
}
