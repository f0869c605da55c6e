//! A call of a plugin, written down so that it can be made again: without its hub, its clients, its kept values and its moment.

use std::fmt;
use std::time::Instant;

use hubgate_core::event::{UpstreamAnswer, UpstreamCall};

use crate::compiler::Compilation;
use crate::digest::Digest;
use crate::host::{Exchange, Guest, Playback, Recording, Tape, Term};
use crate::instance::{Broken, Instance};
use crate::limits::JOURNAL_BYTES;
use crate::load_error::LoadError;
use crate::sandbox::Sandbox;
use crate::settings::{PluginSettings, PluginSource};

/// A call of a plugin, with all that its instance was told since it was made: enough for the same answer. What an instance is told that
/// asks for much, 16 MiB, is not kept.
pub struct Journal {
    settings: PluginSettings,
    component: Digest,
    call: UpstreamCall,
    /// `None` if they were too many.
    exchanges: Option<Vec<Exchange>>,
    answer: UpstreamAnswer,
}

/// Why a call cannot be made again as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("{recorded} was recorded, and this component is {found}")]
    OtherComponent { recorded: String, found: String },
    #[error("the journal is cut: the plugin asked and was told more than {JOURNAL_BYTES} bytes")]
    Cut,
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The component did something else with the same replies.
    #[error("the component went another way: {0}")]
    Diverged(String),
}

impl Journal {
    /// Of a call of this component, and what came of it.
    pub(crate) fn new(
        (settings, component): (PluginSettings, Digest),
        call: UpstreamCall,
        recording: Recording,
        answer: UpstreamAnswer,
    ) -> Journal {
        Journal { settings, component, call, exchanges: recording.exchanges(), answer }
    }

    /// What the event was answered.
    pub fn answer(&self) -> &UpstreamAnswer {
        &self.answer
    }

    /// Whether what the instance was told was too much to be kept, so that the call cannot be made again.
    pub fn is_cut(&self) -> bool {
        self.exchanges.is_none()
    }

    /// Brings the event to the same component again, which is told what it was told then; gives what it answers. Blocks meanwhile.
    pub fn replay(&self, component: &[u8], compilation: Compilation) -> Result<UpstreamAnswer, ReplayError> {
        let found = Digest::of(component);
        if found != self.component {
            let (recorded, found) = (self.component.to_string(), found.to_string());
            return Err(ReplayError::OtherComponent { recorded, found });
        }
        let exchanges = self.exchanges.clone().ok_or(ReplayError::Cut)?;
        // All that it was told of its configuration is in the journal.
        let settings =
            PluginSettings { source: PluginSource::Embedded(&[]), config: Vec::new(), ..self.settings.clone() };
        let sandbox = Sandbox::new(settings, compilation)?;
        let exports = sandbox.loader.link(component, &sandbox.surroundings, &|| false)?.exports;
        let playback = Playback::of(exchanges);
        let deadline = self.settings.budgets.deadline(Instant::now());
        let call = async || {
            let guest = Guest::new(sandbox.surroundings.clone(), None, exports.numbers, deadline);
            let mut instance = Instance::start(&exports, 0, guest.on(Tape::Playing(playback.clone()))).await?;
            let term = Term { began: Instant::now(), deadline, hurry: None };
            instance.call(&self.call.client, (&self.call.event, self.call.event.headers()), term).await
        };
        let in_time = async || tokio::time::timeout_at(deadline.into(), call()).await.unwrap_or(Err(Broken::OutOfTime));
        let answer = sandbox.loader.run(in_time).map_err(LoadError::Init)?;
        match playback.divergence() {
            Some(divergence) => Err(ReplayError::Diverged(divergence)),
            None => Ok(answer.unwrap_or_else(UpstreamAnswer::from)),
        }
    }
}

impl fmt::Debug for Journal {
    /// Without what was said: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("plugin", &self.settings.name).finish_non_exhaustive()
    }
}
