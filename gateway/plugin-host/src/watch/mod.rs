//! Swaps plugins whose files change.
//!
//! A file is looked at whenever something happens in its directory, once that has been quiet for a moment, and now and
//! then anyway: for file systems that tell nothing, and for directories that were themselves replaced. The directory is
//! watched and not the file, since a file renamed over another is a different one.
//!
//! One thread looks at all files as long as the host lives, so a plugin is only ever swapped by what was read last.

mod directories;
mod file;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::component::{Loader, give_way};
use crate::plugin::Plugin;
use crate::worker::{VitalSign, Worker};
use directories::Directories;
use file::WatchedFile;

/// How long a directory must be quiet before its files are looked at, and after how long they are anyway.
const QUIET: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);
/// How often files are looked at without an event, and while a directory is missing, so that no event can come.
const ROUND: Duration = Duration::from_secs(5);
const ROUND_WHILE_MISSING: Duration = Duration::from_millis(500);

/// The thread that watches and swaps.
pub(crate) struct Watcher {
    orders: Arc<Orders>,
    loader: Arc<Loader>,
    wake: SyncSender<()>,
    worker: Mutex<Option<Worker>>,
}

/// What the thread is told.
#[derive(Default)]
struct Orders {
    /// Whose files are watched.
    plugins: Mutex<Vec<Arc<Plugin>>>,
    is_stopped: AtomicBool,
}

impl Watcher {
    pub(crate) fn start(loader: Arc<Loader>) -> io::Result<Watcher> {
        // One waiting event says it all: every file is looked at.
        let (wake, events) = mpsc::sync_channel(1);
        let orders = Arc::new(Orders::default());
        let watching = Watching {
            loader: loader.clone(),
            orders: orders.clone(),
            files: Vec::new(),
            directories: Directories::new(wake.clone()),
            wake: wake.clone(),
            events,
        };
        let worker = Worker::start("hubgate-plugins", move || {
            give_way();
            watching.run();
        })?;
        Ok(Watcher { orders, loader, wake, worker: Mutex::new(Some(worker)) })
    }

    /// Watches the files of these plugins from now on, and no others.
    pub(crate) fn watch(&self, plugins: &[Arc<Plugin>]) {
        *self.orders.plugins.lock().unwrap_or_else(PoisonError::into_inner) = plugins.to_vec();
        self.wake();
    }

    /// Ends the thread, and a compilation under way.
    pub(crate) fn stop(&self) {
        self.orders.is_stopped.store(true, Ordering::SeqCst);
        self.loader.stop();
        self.wake();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            worker.join();
        }
    }

    /// What its thread shows.
    pub(crate) fn vital_sign(&self) -> VitalSign {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        match &*worker {
            Some(worker) if !self.orders.is_stopped.load(Ordering::SeqCst) => worker.vital_sign(),
            Some(_) | None => VitalSign::Idle,
        }
    }

    /// Has all files looked at.
    pub(crate) fn wake(&self) {
        // A full channel wakes the thread as well.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread works with.
struct Watching {
    loader: Arc<Loader>,
    orders: Arc<Orders>,
    files: Vec<WatchedFile>,
    directories: Directories,
    wake: SyncSender<()>,
    events: Receiver<()>,
}

impl Watching {
    fn run(mut self) {
        while !self.is_stopped() {
            self.follow_orders();
            let all_exist = self.directories.watch(self.files.iter().map(WatchedFile::directory));
            for file in &mut self.files {
                file.look(&self.loader);
            }
            let round = if all_exist { ROUND } else { ROUND_WHILE_MISSING };
            let now = Instant::now();
            let retry = self.files.iter().filter_map(|file| file.retry_in(now)).min();
            self.wait(retry.map_or(round, |retry| retry.min(round)));
        }
    }

    fn is_stopped(&self) -> bool {
        self.orders.is_stopped.load(Ordering::SeqCst)
    }

    /// Goes on with the files that are to be watched now; what was seen of those that were before stays.
    fn follow_orders(&mut self) {
        let plugins = self.orders.plugins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.files.retain(|file| plugins.iter().any(|plugin| file.is_of(plugin)));
        for plugin in &plugins {
            if !self.files.iter().any(|file| file.is_of(plugin)) {
                plugin.is_watched(self.wake.clone());
                self.files.extend(WatchedFile::of(plugin));
            }
        }
    }

    /// Waits until it is time to look at the files: after an event, and otherwise after `round`.
    fn wait(&self, round: Duration) {
        match self.events.recv_timeout(round) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        let latest = Instant::now() + PATIENCE;
        while !self.is_stopped() && Instant::now() < latest && self.events.recv_timeout(QUIET).is_ok() {}
    }
}
