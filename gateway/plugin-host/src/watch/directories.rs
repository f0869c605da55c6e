//! The directories of plugins' files, and events of what happens in them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use notify::event::{AccessKind, AccessMode, EventKind, RemoveKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// The directories that events are wanted of.
pub(super) struct Directories {
    /// `None` where the system gives no events; files are looked at now and then all the same.
    notifier: Option<RecommendedWatcher>,
    watched: Vec<(PathBuf, DirectoryIdentity)>,
    /// A directory was removed, perhaps a watched one. The one made in its place may have its very inode.
    removed: Arc<AtomicBool>,
}

/// A directory by device and inode, whatever its name is now.
type DirectoryIdentity = (u64, u64);

impl Directories {
    pub(super) fn new(wake: SyncSender<()>) -> Directories {
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

    /// Watches these directories, each as it is now: one that was removed and made again is another. Says whether all exist.
    pub(super) fn watch(&mut self, directories: impl Iterator<Item = PathBuf>) -> bool {
        let directories: Vec<PathBuf> = directories.collect();
        if self.removed.swap(false, Ordering::SeqCst) {
            (0..self.watched.len()).rev().for_each(|index| self.forget(index));
        }
        for index in (0..self.watched.len()).rev() {
            if !directories.contains(&self.watched[index].0) {
                self.forget(index);
            }
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
