//! The versions of a plugin: the one that serves, the one before it, and the one that was rolled back. Whatever is to serve is
//! admitted here, and nowhere else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use crate::digest::Digest;
use crate::kept_components::Record;
use crate::version::{Exports, Loaded, Version};

/// The versions of one plugin.
pub(crate) struct Versions {
    serving: ArcSwapOption<Version>,
    history: Mutex<History>,
}

/// What became of the plugin's versions.
#[derive(Clone, Default)]
pub(crate) struct History {
    /// Of the version that was there last; 0 before the first one.
    pub(crate) generation: u64,
    /// Why the plugin's file as it is now does not serve.
    pub(crate) last_error: Option<PluginError>,
    /// The version that served before the present one, to be brought back.
    pub(crate) before: Option<Before>,
    /// Of the version that was rolled back, which is refused as long as the file has it.
    pub(crate) rolled_back: Option<Digest>,
}

/// Why a plugin's file does not serve, and since when.
#[derive(Debug, Clone)]
pub struct PluginError {
    pub reason: String,
    pub at: SystemTime,
}

impl PluginError {
    pub(crate) fn now(reason: String) -> PluginError {
        PluginError { reason, at: SystemTime::now() }
    }
}

/// A version that has served.
#[derive(Clone)]
pub(crate) enum Before {
    /// A component that is kept, and not loaded yet.
    Kept(Digest),
    Ready(Digest, Arc<Exports>),
}

/// What is to serve from the next call on.
pub(crate) enum Admission {
    /// What the plugin's file has.
    New(Loaded),
    /// The version before, in the place of the one with this generation, or of whichever serves.
    Before { of_generation: Option<u64> },
}

/// Why the version before cannot be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    #[error("there is no plugin of this name")]
    NoPlugin,
    #[error("no version before the one that serves is kept")]
    NoVersionBefore,
}

impl Before {
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Before::Kept(digest) | Before::Ready(digest, _) => *digest,
        }
    }
}

impl Versions {
    /// Begins with what is loaded, at the next generation of `history`.
    pub(crate) fn new(loaded: Option<Loaded>, mut history: History) -> Versions {
        history.generation += u64::from(loaded.is_some());
        let version = loaded.map(|loaded| Version::new(history.generation, loaded.digest, Arc::new(loaded.exports)));
        Versions { serving: ArcSwapOption::from_pointee(version), history: Mutex::new(history) }
    }

    /// The version that serves. Calls keep the one they began with.
    pub(crate) fn serving(&self) -> arc_swap::Guard<Option<Arc<Version>>> {
        self.serving.load()
    }

    /// Lets a version serve from the next call on. `error` says why the plugin's file does not serve then.
    pub(crate) fn admit(
        &self,
        admission: Admission,
        error: Option<PluginError>,
    ) -> Result<Arc<Version>, RollbackError> {
        let mut history = self.history();
        let present = self.serving.load_full();
        let (digest, exports) = match admission {
            Admission::New(loaded) => {
                history.before = present.map(|version| Before::Ready(version.digest, version.exports.clone()));
                history.rolled_back = None;
                (loaded.digest, Arc::new(loaded.exports))
            }
            Admission::Before { of_generation } => {
                if of_generation.is_some_and(|generation| generation != history.generation) {
                    return Err(RollbackError::NoVersionBefore);
                }
                let (Some(present), Some(Before::Ready(digest, exports))) = (present, history.before.clone()) else {
                    return Err(RollbackError::NoVersionBefore);
                };
                history.before = None;
                history.rolled_back = Some(present.digest);
                (digest, exports)
            }
        };
        history.generation += 1;
        // Before the version is seen: whoever sees it sees no error of the file before.
        history.last_error = error;
        let version = Arc::new(Version::new(history.generation, digest, exports));
        self.serving.store(Some(version.clone()));
        Ok(version)
    }

    /// What is to be known of them at the next start.
    pub(crate) fn record(&self) -> Record {
        let history = self.history();
        Record {
            serving: self.serving().as_ref().map(|version| version.digest),
            before: history.before.as_ref().map(Before::digest),
            rolled_back: history.rolled_back,
        }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
