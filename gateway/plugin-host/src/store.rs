//! Where the values of plugins last: an embedded key-value store in a folder of the gateway's.
//!
//! A write is with the operating system before the guest goes on, so that it outlives the process whatever ends it. The disk
//! has it within a second.

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use hubgate_core::id::PluginName;

/// How long a write may take to get from the operating system to the disk.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// How long a gateway that starts waits for another one to let go of the folder.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the store keeps in memory of its files, and of what is not in them yet, in bytes. All values are in memory anyway.
const CACHE_BYTES: u64 = 1 << 20;
const WRITE_BUFFER_BYTES: u64 = 8 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;

/// The store of all plugins; its folder is made with the first write.
#[derive(Debug)]
pub(crate) struct Store {
    /// None: nothing lasts.
    folder: Option<PathBuf>,
    open: OnceLock<Open>,
    opening: Mutex<()>,
    /// Whether the log knows that nothing can be written now.
    is_failing: AtomicBool,
}

struct Open {
    shared: Arc<Shared>,
    values: Keyspace,
    syncing: Option<JoinHandle<()>>,
}

struct Shared {
    database: Database,
    is_dirty: AtomicBool,
    is_stopped: AtomicBool,
}

/// A value as it is stored.
pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) expires: Option<SystemTime>,
}

/// Why the store did not do as told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{}: the folder cannot be made: {source}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("{}: {source}", folder.display())]
    Store { folder: PathBuf, source: fjall::Error },
    #[error("{}: another gateway has it open; each needs a `server.data-dir` of its own", folder.display())]
    Locked { folder: PathBuf },
}

impl Store {
    pub(crate) fn new(folder: Option<PathBuf>) -> Store {
        Store { folder, open: OnceLock::new(), opening: Mutex::new(()), is_failing: AtomicBool::new(false) }
    }

    /// What was stored of a plugin.
    pub(crate) fn load(&self, plugin: &PluginName) -> Result<Vec<Stored>, StoreError> {
        let Some(folder) = self.folder.as_ref().filter(|folder| folder.exists()) else {
            return Ok(Vec::new());
        };
        let prefix = prefix(plugin);
        let values = self.open_patiently(folder)?.values.prefix(&prefix).map(|entry| {
            let (key, value) =
                entry.into_inner().map_err(|source| StoreError::Store { folder: folder.clone(), source })?;
            Ok(read(&key[prefix.len()..], &value))
        });
        values.filter_map(Result::transpose).collect()
    }

    /// Stores a value, or with `None` deletes it. The log has the first of several failures in a row.
    pub(crate) fn write(
        &self,
        plugin: &PluginName,
        key: &str,
        value: Option<(&[u8], Option<SystemTime>)>,
    ) -> Result<(), StoreError> {
        let written = self.try_write(plugin, key, value);
        let has_failed = self.is_failing.load(Ordering::Relaxed);
        match &written {
            Ok(()) if has_failed => self.is_failing.store(false, Ordering::Relaxed),
            Err(error) if !has_failed => {
                self.is_failing.store(true, Ordering::Relaxed);
                tracing::error!(%error, "the state of plugins cannot be written");
            }
            Ok(()) | Err(_) => {}
        }
        written
    }

    fn try_write(
        &self,
        plugin: &PluginName,
        key: &str,
        value: Option<(&[u8], Option<SystemTime>)>,
    ) -> Result<(), StoreError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let open = self.open(folder)?;
        let key = [&prefix(plugin), key.as_bytes()].concat();
        let written = match value {
            Some((value, expires)) => open.values.insert(key, written(value, expires)),
            None => open.values.remove(key),
        };
        written.map_err(|source| StoreError::Store { folder: folder.clone(), source })?;
        if !open.shared.is_dirty.swap(true, Ordering::SeqCst)
            && let Some(syncing) = &open.syncing
        {
            syncing.thread().unpark();
        }
        Ok(())
    }

    /// Waits a while for a gateway that is just going. Blocks meanwhile.
    fn open_patiently(&self, folder: &PathBuf) -> Result<&Open, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.open(folder) {
                Err(StoreError::Locked { .. }) if Instant::now() < deadline => thread::sleep(PATIENCE / 50),
                opened => return opened,
            }
        }
    }

    fn open(&self, folder: &PathBuf) -> Result<&Open, StoreError> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| StoreError::Folder { folder: folder.clone(), source })?;
        let failed = |source| match source {
            fjall::Error::Locked => StoreError::Locked { folder: folder.clone() },
            source => StoreError::Store { folder: folder.clone(), source },
        };
        let open = Open::new(folder).map_err(failed)?;
        Ok(self.open.get_or_init(|| open))
    }
}

impl Open {
    fn new(folder: &PathBuf) -> fjall::Result<Open> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()?;
        let values =
            database.keyspace("state", || KeyspaceCreateOptions::default().max_memtable_size(WRITE_BUFFER_BYTES))?;
        let shared =
            Arc::new(Shared { database, is_dirty: AtomicBool::new(false), is_stopped: AtomicBool::new(false) });
        let own = shared.clone();
        let syncing = thread::Builder::new().name("hubgate-state".to_owned()).spawn(move || own.sync())?;
        Ok(Open { shared, values, syncing: Some(syncing) })
    }
}

impl Shared {
    /// Brings to the disk what was written, once in each period in which something was.
    fn sync(&self) {
        while !self.is_stopped.load(Ordering::SeqCst) {
            if !self.is_dirty.load(Ordering::SeqCst) {
                thread::park();
                continue;
            }
            thread::park_timeout(SYNC_PERIOD);
            self.is_dirty.store(false, Ordering::SeqCst);
            if let Err(error) = self.database.persist(PersistMode::SyncData) {
                tracing::error!(%error, "the state of plugins does not reach the disk");
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        if let Some(syncing) = self.syncing.take() {
            syncing.thread().unpark();
            drop(syncing.join());
        }
        drop(self.shared.database.persist(PersistMode::SyncAll));
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

/// What the keys of a plugin begin with; no plugin's is the beginning of another's.
fn prefix(plugin: &PluginName) -> Vec<u8> {
    let name = plugin.as_str().as_bytes();
    [&(name.len() as u32).to_be_bytes(), name].concat()
}

/// Milliseconds since 1970 at which the value ends, or the largest number for never, and the value.
fn written(value: &[u8], expires: Option<SystemTime>) -> Vec<u8> {
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let expires = expires.map_or(u64::MAX, |time| u64::try_from(since_1970(time)).unwrap_or(u64::MAX));
    [&expires.to_be_bytes(), value].concat()
}

/// None of what no gateway has written.
fn read(key: &[u8], stored: &[u8]) -> Option<Stored> {
    let (expires, value) = stored.split_first_chunk()?;
    let expires = match u64::from_be_bytes(*expires) {
        u64::MAX => None,
        milliseconds => Some(SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))?),
    };
    Some(Stored { key: std::str::from_utf8(key).ok()?.to_owned(), value: value.to_vec(), expires })
}
