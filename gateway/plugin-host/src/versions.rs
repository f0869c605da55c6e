//! The versions of a plugin: the one that serves, the one before it, and the one that was rolled back. Whatever is to serve is
//! admitted here, and nowhere else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use hubgate_core::filter::Halves;

use crate::digest::Digest;
use crate::kept_components::Record;
use crate::version::{Exports, Loaded, Version};

/// The versions of one plugin at one moment.
#[derive(Clone, Default)]
pub(crate) struct Versions {
    /// The one that serves.
    pub(crate) serving: Option<Arc<Version>>,
    /// The one that served before it, to be brought back.
    pub(crate) previous: Option<Previous>,
    /// The one that was rolled back, which is refused as long as the plugin's file has it.
    pub(crate) rolled_back: Option<Digest>,
    /// Of the version that was there last; 0 before the first one.
    pub(crate) generation: u64,
    /// Why the plugin's file as it is now does not serve.
    pub(crate) last_error: Option<PluginError>,
}

/// Where the versions of one plugin are swapped, all that belongs to them at once.
pub(crate) struct SwapPoint {
    present: ArcSwap<Versions>,
    /// Of the version that serves; both, as long as none does: what passes through a filter that cannot serve is up to its
    /// `on-error`. Never fewer than that version has, whatever the moment.
    halves: Arc<Halves>,
    changing: Mutex<()>,
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
pub(crate) enum Previous {
    /// A component that is kept, and not loaded yet.
    Kept(Digest),
    Ready(Digest, Arc<Exports>),
}

/// What is to serve from the next call on.
pub(crate) enum Admission {
    /// What the plugin's file has, or the program itself.
    New(Loaded),
    /// What served last, at a start at which the plugin's file cannot.
    LastGood(Loaded, PluginError),
    /// The version before, in the place of the one with this generation, or of whichever serves.
    Previous { of_generation: Option<u64>, error: PluginError },
}

/// Why the version before cannot be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    #[error("there is no plugin of this name")]
    NoPlugin,
    #[error("no version before the one that serves is kept")]
    NoVersionBefore,
}

impl Previous {
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Previous::Kept(digest) | Previous::Ready(digest, _) => *digest,
        }
    }
}

impl Versions {
    /// Lets a version serve.
    pub(crate) fn admit(&mut self, admission: Admission) -> Result<Arc<Version>, RollbackError> {
        let (digest, exports) = match admission {
            Admission::New(loaded) => {
                let ready = |version: Arc<Version>| Previous::Ready(version.digest, version.exports.clone());
                self.previous = self.serving.take().map(ready).or(self.previous.take());
                (self.rolled_back, self.last_error) = (None, None);
                (loaded.digest, Arc::new(loaded.exports))
            }
            Admission::LastGood(loaded, error) => {
                self.last_error = Some(error);
                (loaded.digest, Arc::new(loaded.exports))
            }
            Admission::Previous { of_generation, error } => {
                if of_generation.is_some_and(|generation| generation != self.generation) {
                    return Err(RollbackError::NoVersionBefore);
                }
                let (Some(present), Some(Previous::Ready(digest, exports))) = (&self.serving, self.previous.clone())
                else {
                    return Err(RollbackError::NoVersionBefore);
                };
                (self.rolled_back, self.last_error, self.previous) = (Some(present.digest), Some(error), None);
                (digest, exports)
            }
        };
        // What serves is nothing to bring back in its own place.
        self.previous.take_if(|previous| previous.digest() == digest);
        self.generation += 1;
        let version = Arc::new(Version::new(self.generation, digest, exports));
        self.serving = Some(version.clone());
        Ok(version)
    }

    /// Whether this component serves.
    pub(crate) fn serves(&self, digest: Digest) -> bool {
        self.serving.as_ref().is_some_and(|version| version.digest == digest)
    }

    /// What is to be known of them at the next start.
    pub(crate) fn record(&self) -> Record {
        Record {
            serving: self.serving.as_ref().map(|version| version.digest),
            before: self.previous.as_ref().map(Previous::digest),
            rolled_back: self.rolled_back,
        }
    }

    /// Whether the version that serves has a half for messages from clients, and one for those to them.
    fn halves(&self) -> (bool, bool) {
        let exports = self.serving.as_ref().map(|version| &version.exports);
        exports.map_or((true, true), |exports| (exports.inbound_filter.is_some(), exports.outbound_filter.is_some()))
    }

    /// Whether the version that serves answers streams. While none serves, streams stay open: the next one may.
    fn has_streams(&self) -> bool {
        self.serving.as_ref().is_none_or(|version| version.exports.upstream_streams.is_some())
    }
}

impl SwapPoint {
    pub(crate) fn new(versions: Versions) -> SwapPoint {
        let halves = Arc::new(Halves::default());
        let (inbound, outbound) = versions.halves();
        halves.set(inbound, outbound);
        halves.set_streams(versions.has_streams());
        SwapPoint { present: ArcSwap::from_pointee(versions), halves, changing: Mutex::new(()) }
    }

    /// The versions as they are now. Calls keep the one they began with.
    pub(crate) fn present(&self) -> arc_swap::Guard<Arc<Versions>> {
        self.present.load()
    }

    /// Puts what `change` makes of the versions into their place.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Versions) -> T) -> T {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.present.load_full();
        let mut next = Versions::clone(&before);
        let output = change(&mut next);
        let has_streams = next.has_streams();
        let ((inbound, outbound), (was_inbound, was_outbound)) = (next.halves(), before.halves());
        // A half that the present version lacks passes everything; one that is not asked would let pass what it must see.
        self.halves.set(inbound || was_inbound, outbound || was_outbound);
        self.present.store(Arc::new(next));
        self.halves.set(inbound, outbound);
        self.halves.set_streams(has_streams);
        output
    }

    pub(crate) fn halves(&self) -> &Arc<Halves> {
        &self.halves
    }
}
