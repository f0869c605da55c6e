//! Swaps plugins whose files change.
//!
//! A file is looked at whenever something happens in its directory, once that has been quiet for a moment, and now and
//! then anyway: for file systems that tell nothing, and for directories that were themselves replaced. The directory is
//! watched and not the file, since a file renamed over another is a different one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind, RemoveKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::component::{Digest, LoadError, Loader, give_way};
use crate::limits::COMPONENT_BYTES;
use crate::plugin::Plugin;
use crate::settings::PluginSource;

/// How long a directory must be quiet before its files are looked at, and after how long they are anyway.
const QUIET: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);
/// How often files are looked at without an event, and while a directory is missing, so that no event can come.
const ROUND: Duration = Duration::from_secs(5);
const ROUND_WHILE_MISSING: Duration = Duration::from_millis(500);
/// A file changed less long ago than this may change again without its times telling: clocks of file systems are coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// The thread that watches and swaps.
#[derive(Debug)]
pub(crate) struct Watcher {
    stopped: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watcher {
    pub(crate) fn start(loader: Arc<Loader>, files: Vec<WatchedFile>) -> io::Result<Watcher> {
        // One waiting event says it all: every file is looked at.
        let (wake, events) = mpsc::sync_channel(1);
        let stopped = Arc::new(AtomicBool::new(false));
        let watching = Watching { loader, files, directories: Directories::new(wake.clone()) };
        let (events, is_stopped) = (Events { receiver: events, stopped: Arc::clone(&stopped) }, Arc::clone(&stopped));
        let thread = thread::Builder::new().name("hubgate-plugins".to_owned()).spawn(move || {
            give_way();
            watching.run(&events);
        })?;
        Ok(Watcher { stopped: is_stopped, wake, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A full channel wakes the thread as well.
        let _ = self.wake.try_send(());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the plugins' watcher panicked");
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A plugin's file and what was last seen of it.
pub(crate) struct WatchedFile {
    path: PathBuf,
    plugin: Arc<Plugin>,
    seen: Option<Seen>,
}

impl WatchedFile {
    /// The file of a plugin that has one.
    pub(crate) fn of(plugin: &Arc<Plugin>) -> Option<WatchedFile> {
        match &plugin.surroundings.settings.source {
            PluginSource::File(path) => {
                Some(WatchedFile { path: path.clone(), plugin: Arc::clone(plugin), seen: None })
            }
            PluginSource::Embedded(_) => None,
        }
    }

    fn directory(&self) -> PathBuf {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        }
    }
}

/// What was seen of a file, so that the same is not tried twice.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Content { identity: Identity, settled: bool, digest: Digest },
    TooLarge,
    Unreadable(io::ErrorKind),
}

/// What changes whenever a file does, unless it does so twice within a tick of the file system's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Has it been the same for so long that a change would show?
    fn is_settled(&self) -> bool {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() as i64;
        now.saturating_sub(self.changed.0.max(self.modified.0)) > SETTLED.as_secs() as i64
    }
}

/// A file as it was read.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    identity: Identity,
    settled: bool,
}

/// Why a plugin's file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    TooLarge,
    Unreadable(io::Error),
}

/// Reads a component's file, if it is not larger than a component may be.
pub(crate) fn read(path: &Path) -> Result<Content, ReadError> {
    let mut file = File::open(path).map_err(ReadError::Unreadable)?;
    let metadata = file.metadata().map_err(ReadError::Unreadable)?;
    if !metadata.is_file() {
        return Err(ReadError::Unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    let identity = Identity::of(&metadata);
    let settled = identity.is_settled();
    let mut bytes = Vec::new();
    (&mut file).take(COMPONENT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(ReadError::Unreadable)?;
    match bytes.len() > COMPONENT_BYTES {
        true => Err(ReadError::TooLarge),
        false => Ok(Content { bytes, identity, settled }),
    }
}

/// Events, many of them as one.
struct Events {
    receiver: Receiver<()>,
    stopped: Arc<AtomicBool>,
}

impl Events {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until it is time to look at the files: after an event, and otherwise after `round`.
    fn wait(&self, round: Duration) {
        match self.receiver.recv_timeout(round) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        let latest = Instant::now() + PATIENCE;
        while !self.is_stopped() && Instant::now() < latest && self.receiver.recv_timeout(QUIET).is_ok() {}
    }
}

/// What the thread works with.
struct Watching {
    loader: Arc<Loader>,
    files: Vec<WatchedFile>,
    directories: Directories,
}

impl Watching {
    fn run(mut self, events: &Events) {
        while !events.is_stopped() {
            let all_exist = self.directories.watch(self.files.iter().map(WatchedFile::directory));
            for file in &mut self.files {
                look(&self.loader, file);
            }
            events.wait(if all_exist { ROUND } else { ROUND_WHILE_MISSING });
        }
    }
}

/// Looks at a file and swaps its plugin if it holds a component that has not been tried.
fn look(loader: &Loader, file: &mut WatchedFile) {
    if let Some(Seen::Content { identity, settled: true, .. }) = &file.seen
        && fs::metadata(&file.path).is_ok_and(|metadata| Identity::of(&metadata) == *identity)
    {
        return;
    }
    let (seen, outcome) = match read(&file.path) {
        Ok(Content { bytes, identity, settled }) => {
            let digest = Digest::of(&bytes);
            let known = matches!(&file.seen, Some(Seen::Content { digest: seen, .. }) if *seen == digest);
            let outcome = match known {
                true => Outcome::SameAsBefore,
                false if digest == file.plugin.version().digest => Outcome::SameAsServing,
                false => Outcome::of(loader.load(&bytes, &file.plugin.surroundings)),
            };
            (Seen::Content { identity, settled, digest }, outcome)
        }
        Err(ReadError::TooLarge) => (Seen::TooLarge, Outcome::Bad(LoadError::TooLarge.to_string())),
        Err(ReadError::Unreadable(error)) => {
            (Seen::Unreadable(error.kind()), Outcome::Bad(format!("it cannot be read: {error}")))
        }
    };
    let repeated = file.seen.as_ref() == Some(&seen);
    file.seen = Some(seen);
    match outcome {
        Outcome::SameAsBefore => {}
        Outcome::SameAsServing => file.plugin.clear_error(),
        Outcome::New(loaded) => file.plugin.swap(*loaded),
        Outcome::Bad(_) if repeated => {}
        Outcome::Bad(reason) => file.plugin.keep_last_good(format!("{}: {reason}", file.path.display())),
    }
}

enum Outcome {
    SameAsBefore,
    SameAsServing,
    New(Box<crate::component::Loaded>),
    Bad(String),
}

impl Outcome {
    fn of(loaded: Result<crate::component::Loaded, LoadError>) -> Outcome {
        match loaded {
            Ok(loaded) => Outcome::New(Box::new(loaded)),
            Err(error) => Outcome::Bad(error.to_string()),
        }
    }
}

/// The directories that events are wanted of.
struct Directories {
    /// `None` where the system gives no events; files are looked at now and then all the same.
    notifier: Option<RecommendedWatcher>,
    watched: Vec<(PathBuf, DirectoryIdentity)>,
    /// A directory was removed, perhaps a watched one. The one made in its place may have its very inode.
    removed: Arc<AtomicBool>,
}

/// A directory by device and inode, whatever its name is now.
type DirectoryIdentity = (u64, u64);

impl Directories {
    fn new(wake: SyncSender<()>) -> Directories {
        let removed = Arc::new(AtomicBool::new(false));
        let is_removed = Arc::clone(&removed);
        let notifier = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if let EventKind::Remove(RemoveKind::Folder | RemoveKind::Other | RemoveKind::Any) = event.kind {
                is_removed.store(true, Ordering::SeqCst);
            }
            if !is_reading(event.kind) {
                // A full channel has the same effect.
                let _ = wake.try_send(());
            }
        });
        let notifier = notifier
            .inspect_err(|error| tracing::warn!(%error, "no events of files: plugins are looked at every few seconds"))
            .ok();
        Directories { notifier, watched: Vec::new(), removed }
    }

    /// Watches each directory as it is now: one that was removed and made again is another. Says whether all exist.
    fn watch(&mut self, directories: impl Iterator<Item = PathBuf>) -> bool {
        if self.removed.swap(false, Ordering::SeqCst) {
            (0..self.watched.len()).rev().for_each(|index| self.forget(index));
        }
        let mut all_exist = true;
        for directory in directories {
            let identity = fs::metadata(&directory).ok().map(|metadata| (metadata.dev(), metadata.ino()));
            let index = self.watched.iter().position(|(path, _)| *path == directory);
            all_exist &= identity.is_some();
            if index.map(|index| self.watched[index].1) == identity {
                continue;
            }
            if let Some(index) = index {
                self.forget(index);
            }
            if let Some(identity) = identity {
                self.begin(directory, identity);
            }
        }
        all_exist
    }

    fn begin(&mut self, directory: PathBuf, identity: DirectoryIdentity) {
        if let Some(notifier) = &mut self.notifier
            && let Err(error) = notifier.watch(&directory, RecursiveMode::NonRecursive)
        {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "no events of the directory: its plugins are looked at every few seconds");
        }
        self.watched.push((directory, identity));
    }

    fn forget(&mut self, index: usize) {
        let (directory, _) = self.watched.swap_remove(index);
        if let Some(notifier) = &mut self.notifier {
            // Its watch may be gone with it.
            let _ = notifier.unwatch(&directory);
        }
    }
}

/// Is this an event of somebody who only reads, such as this program?
fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => false,
    }
}
