//! A plugin's file: what was seen of it, and when it is tried again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::component::Loader;
use crate::digest::Digest;
use crate::file_stamp::FileStamp;
use crate::limits::MAX_COMPONENT_BYTES;
use crate::load_error::LoadError;
use crate::plugin::Plugin;
use crate::regular_file::{FileError, RegularFile};
use crate::settings::PluginSource;
use crate::version::Loaded;

/// After how long a file is tried again that could not be loaded for want of something of the machine's; twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// A plugin's file and what was last seen of it.
pub(super) struct WatchedFile {
    path: PathBuf,
    plugin: Arc<Plugin>,
    seen: Option<Seen>,
    retry: Option<Retry>,
}

/// What was seen of a file, so that the same is not tried twice.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Content { stamp: FileStamp, settled: bool, digest: Digest },
    TooLarge,
    NotRegular,
    Unreadable(io::ErrorKind),
}

/// When the same content is tried once more.
#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

/// What came of a look at a file.
enum Outcome {
    SameAsBefore,
    SameAsServing,
    New(Box<Loaded>),
    Bad(String),
    /// The machine's fault.
    NotNow(String),
    /// The file has changed meanwhile.
    Outdated,
}

impl WatchedFile {
    /// The file of a plugin that has one.
    pub(super) fn of(plugin: &Arc<Plugin>) -> Option<WatchedFile> {
        match &plugin.surroundings.settings.source {
            PluginSource::File(path) => {
                Some(WatchedFile { path: path.clone(), plugin: Arc::clone(plugin), seen: None, retry: None })
            }
            PluginSource::Embedded(_) => None,
        }
    }

    pub(super) fn is_of(&self, plugin: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.plugin, plugin)
    }

    pub(super) fn directory(&self) -> PathBuf {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        }
    }

    /// How long it is until the file is tried again without having changed.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.retry.map(|retry| retry.at.saturating_duration_since(now))
    }

    /// Looks at the file and swaps its plugin if it holds a component that has not been tried.
    pub(super) fn look(&mut self, loader: &Loader) {
        self.plugin.record();
        self.plugin.prepare_version_before(loader);
        let is_retry_due = self.retry_in(Instant::now()).is_some_and(|left| left.is_zero());
        if let Some(Seen::Content { stamp, settled: true, .. }) = &self.seen
            && !is_retry_due
            && self.is_unchanged_since(stamp)
        {
            return;
        }
        let (seen, component, outcome) = self.read(loader, is_retry_due);
        let (is_first, repeated) = (self.seen.is_none(), self.seen.as_ref() == Some(&seen));
        self.seen = Some(seen);
        match outcome {
            Outcome::SameAsBefore => {}
            Outcome::SameAsServing => {
                self.retry = None;
                self.plugin.clear_error();
            }
            Outcome::New(loaded) => {
                self.retry = None;
                self.plugin.swap(*loaded, &component);
            }
            Outcome::Bad(reason) => {
                self.retry = None;
                // What could not be read at the start was told then.
                let is_told =
                    is_first && self.plugin.was_unreadable_at_start && !matches!(self.seen, Some(Seen::Content { .. }));
                if !repeated && !is_told {
                    self.plugin.keep_last_good(format!("{}: {reason}", self.path.display()));
                }
            }
            Outcome::NotNow(reason) => self.try_again_later(&reason, repeated),
            Outcome::Outdated => self.seen = None,
        }
    }

    /// Reads the file, and loads its content if that is new.
    fn read(&self, loader: &Loader, is_retry_due: bool) -> (Seen, Vec<u8>, Outcome) {
        let bad = |seen: Seen, reason: String| (seen, Vec::new(), Outcome::Bad(reason));
        let file = match RegularFile::read(&self.path, MAX_COMPONENT_BYTES) {
            Ok(file) => file,
            Err(FileError::TooLarge { .. }) => return bad(Seen::TooLarge, LoadError::TooLarge.to_string()),
            Err(error @ FileError::NotRegular) => return bad(Seen::NotRegular, error.to_string()),
            Err(FileError::Io(error)) => {
                return bad(Seen::Unreadable(error.kind()), format!("it cannot be read: {error}"));
            }
        };
        let (stamp, digest) = (FileStamp::of(&file.metadata), Digest::of(&file.bytes));
        let seen = Seen::Content { stamp, settled: stamp.is_settled(), digest };
        let is_known = match &self.seen {
            // What was not the file's fault is worth another try when it is written again, too.
            Some(Seen::Content { digest: seen, stamp: before, .. }) => {
                *seen == digest && !is_retry_due && (self.retry.is_none() || *before == stamp)
            }
            Some(Seen::TooLarge | Seen::NotRegular | Seen::Unreadable(_)) => false,
            None => self.plugin.bad_at_start == Some(digest),
        };
        self.plugin.file_has(digest);
        let outcome = if is_known {
            Outcome::SameAsBefore
        } else if self.plugin.versions().rolled_back == Some(digest) {
            Outcome::Bad("it was rolled back, and is refused until the file changes".to_owned())
        } else if self.plugin.versions().serves(digest) {
            Outcome::SameAsServing
        } else {
            let is_outdated = || !self.is_unchanged_since(&stamp);
            match loader.load(&file.bytes, &self.plugin.surroundings, &is_outdated) {
                Ok(loaded) => Outcome::New(Box::new(loaded)),
                Err(LoadError::Cancelled) => Outcome::Outdated,
                Err(error) if error.is_transient() => Outcome::NotNow(error.to_string()),
                Err(error) => Outcome::Bad(error.to_string()),
            }
        };
        (seen, file.bytes, outcome)
    }

    /// A file that is away for the moment has not changed.
    fn is_unchanged_since(&self, stamp: &FileStamp) -> bool {
        FileStamp::at(&self.path).is_none_or(|now| now == *stamp)
    }

    fn try_again_later(&mut self, reason: &str, repeated: bool) {
        let pause = self.retry.map_or(FIRST_RETRY, |retry| (retry.pause * 2).min(LAST_RETRY));
        self.retry = Some(Retry { at: Instant::now() + pause, pause });
        if !repeated {
            let again = "it is tried again in a while, without a change of the file";
            self.plugin.keep_last_good(format!("{}: {reason}; {again}", self.path.display()));
        }
    }
}
