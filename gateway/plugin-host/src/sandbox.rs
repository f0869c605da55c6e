//! A place where a component runs beside any gateway: nothing lasts there.

use std::sync::Arc;

use crate::compiler::Compilation;
use crate::component::Loader;
use crate::engine::{self, Allocation};
use crate::host::{Machine, Surroundings};
use crate::load_error::LoadError;
use crate::memory::MemoryAccount;
use crate::settings::PluginSettings;
use crate::store::Store;
use crate::ticker::Ticker;

/// An engine for one plugin.
pub(crate) struct Sandbox {
    pub(crate) loader: Loader,
    pub(crate) surroundings: Arc<Surroundings>,
    /// Makes epochs as long as the sandbox is there.
    _ticker: Ticker,
}

impl Sandbox {
    pub(crate) fn new(settings: PluginSettings, compilation: Compilation) -> Result<Sandbox, LoadError> {
        let environment = |error: String| LoadError::Init(format!("no plugin can run here: {error}"));
        let engine = engine::on_demand().map_err(|error| environment(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| environment(error.to_string()))?;
        let loader = Loader::new((&engine, Allocation::OnDemand), &ticker, compilation).map_err(environment)?;
        let nothing_lasts = Arc::new(Store::open(None).map_err(|error| environment(error.to_string()))?);
        let memory = MemoryAccount::new(usize::MAX, false).plugin();
        let surroundings = Arc::new(Surroundings::new(settings, nothing_lasts, memory, Arc::new(Machine::new())));
        Ok(Sandbox { loader, surroundings, _ticker: ticker })
    }
}
