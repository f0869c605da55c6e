//! Where the values of plugins last.
//!
//! One thread makes all changes, in memory and in the database, many in one transaction when many come at once. Whoever
//! wants one waits for it without holding a shard up: the disk may be slow. A change is with the operating system before it
//! is answered, so that it outlives the process whatever ends it. The disk has it within a second.

mod database;
mod disk;
mod timers;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};
use std::{fmt, io};

use hubgate_core::id::PluginName;
use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::private_folder;
use crate::state::{Change, Changed, State, StateError};
use crate::worker::{VitalSign, Worker};
use database::Database;
use disk::{Disk, Opener};
pub(crate) use timers::{TimerChange, TimerRow, TimerWrite};
use writer::Writer;

/// Changes that wait for the thread; further ones wait outside.
const QUEUE: usize = 1_024;

/// The values of all plugins.
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// None when it ends.
    changes: Option<mpsc::Sender<Wanted>>,
    worker: Option<Worker>,
}

struct Shared {
    /// The clock by which values live.
    clock: Clock,
    disk: Mutex<Disk>,
    /// A plugin has its values in memory once, as long as anybody uses them.
    states: Mutex<HashMap<PluginName, Weak<PluginValues>>>,
}

/// What a plugin keeps.
#[derive(Debug)]
pub(crate) struct PluginValues {
    plugin: PluginName,
    state: Mutex<State>,
    /// Whether memory has what was kept: not as long as it cannot be read.
    is_loaded: AtomicBool,
}

/// A change on its way to the thread.
enum Wanted {
    Value { values: Arc<PluginValues>, change: Change, answer: oneshot::Sender<Result<Changed, StateError>> },
    Timer { change: TimerChange, made: Made, answer: oneshot::Sender<Result<(), StateError>> },
}

/// Is called on the thread when it is known whether a change is stored, in the order of the changes.
pub(crate) type Made = Box<dyn FnOnce(bool) + Send>;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("{}: it must belong to this user, and nobody else may have access (mode 0700)", folder.display())]
    NotPrivate { folder: PathBuf },
    #[error("{}: {source}", folder.display())]
    Database { folder: PathBuf, source: rusqlite::Error },
    #[error(
        "{}: another gateway has it open; each needs a folder of its own (`server.data-dir`)",
        folder.display()
    )]
    Locked { folder: PathBuf },
    #[error("{}: a newer version of Hubgate has written it", folder.display())]
    TooNew { folder: PathBuf },
    #[error("no thread for it: {0}")]
    Thread(io::Error),
}

impl StoreError {
    /// Whether the disk is at fault, as a full one or one that cannot be written is: that may pass.
    fn is_of_the_disk(&self) -> bool {
        match self {
            StoreError::Folder { .. } => true,
            StoreError::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen)
            ),
            StoreError::NotPrivate { .. }
            | StoreError::Locked { .. }
            | StoreError::TooNew { .. }
            | StoreError::Thread(_) => false,
        }
    }
}

impl Store {
    /// Opens or makes the database in `folder`, for this process alone. Blocks meanwhile, and waits a while for a gateway
    /// that is just going. Without a folder nothing lasts; on a disk that cannot be written nothing changes.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Store, StoreError> {
        Store::open_with(folder, Database::open, Clock::Machine)
    }

    /// A store of which nothing lasts, whose values live by `clock`.
    pub(crate) fn in_memory(clock: Clock) -> Result<Store, StoreError> {
        Store::open_with(None, Database::open, clock)
    }

    /// The moment by which values live.
    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Whether [`Store::open`] would open the database in `folder` for writing. Changes nothing, and waits for nobody.
    pub(crate) fn check(folder: &Path) -> Result<(), StoreError> {
        let of_folder = |source| StoreError::Folder { folder: folder.to_owned(), source };
        private_folder::check(folder).map_err(of_folder)?;
        database::check(folder)
    }

    fn open_with(folder: Option<&Path>, open: Opener, clock: Clock) -> Result<Store, StoreError> {
        let disk = Mutex::new(Disk::open(folder, open)?);
        let shared = Arc::new(Shared { clock, disk, states: Mutex::default() });
        let (changes, wanted) = mpsc::channel(QUEUE);
        let writer = Writer::new(shared.clone());
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(writer.serve(wanted)),
            Err(error) => tracing::error!(%error, "the state of plugins cannot be changed"),
        };
        let worker = Worker::start("hubgate-state", run).map_err(StoreError::Thread)?;
        Ok(Store { shared, changes: Some(changes), worker: Some(worker) })
    }

    /// What its thread shows.
    pub(crate) fn vital_sign(&self) -> VitalSign {
        self.worker.as_ref().map_or(VitalSign::Idle, Worker::vital_sign)
    }

    /// What a plugin has kept. Blocks while it is read.
    pub(crate) fn values(&self, plugin: &PluginName) -> Arc<PluginValues> {
        let mut states = lock(&self.shared.states);
        if let Some(present) = states.get(plugin).and_then(Weak::upgrade) {
            return present;
        }
        let (state, is_loaded) = (Mutex::default(), AtomicBool::new(false));
        let values = Arc::new(PluginValues { plugin: plugin.clone(), state, is_loaded });
        values.load(&lock(&self.shared.disk), self.now());
        states.insert(plugin.clone(), Arc::downgrade(&values));
        values
    }

    /// Changes a value; answered when it would outlive this process.
    pub(crate) async fn change(&self, values: &Arc<PluginValues>, change: Change) -> Result<Changed, StateError> {
        let stopped = || StateError::Unavailable("the gateway is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or_else(stopped)?;
        changes.send(Wanted::Value { values: values.clone(), change, answer }).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Changes the row of a timer, and then has it `made` elsewhere; answered after that.
    pub(crate) async fn change_timer(&self, change: TimerChange, made: Made) -> Result<(), StateError> {
        let stopped = || StateError::Unavailable("the gateway is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or_else(stopped)?;
        changes.send(Wanted::Timer { change, made, answer }).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The durable timers of a plugin. Blocks while they are read.
    pub(crate) fn timers(&self, plugin: &PluginName) -> Result<Vec<TimerRow>, String> {
        lock(&self.shared.disk).timers(plugin)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(worker) = self.worker.take() {
            worker.join();
        }
    }
}

impl PluginValues {
    /// Lets `look` see the values as they are, if they could be read; nobody may wait meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> Result<T, StateError>) -> Result<T, StateError> {
        match self.is_loaded() {
            true => look(&self.state()),
            false => Err(StateError::Unavailable("what was kept cannot be read".to_owned())),
        }
    }

    /// What the values weigh together, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Reads what was kept.
    fn load(&self, disk: &Disk, now: Instant) {
        let (mut state, now) = (State::default(), (now, SystemTime::now()));
        match disk.read(&self.plugin, now, &mut state) {
            Ok(()) => {
                state.take_replaced();
                *self.state() = state;
                self.is_loaded.store(true, Ordering::Release);
            }
            Err(error) => tracing::error!(plugin = %self.plugin, error, "what the plugin keeps cannot be read"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::sections::Numbers;
    use crate::state::Operation;

    struct Plugin(Store, Arc<PluginValues>);

    impl Plugin {
        fn open(folder: &Path, name: &str) -> Plugin {
            let store = Store::open(Some(folder)).unwrap();
            let values = store.values(&PluginName::new(name));
            Plugin(store, values)
        }

        async fn does(&self, key: &str, operation: Operation, ttl: Option<u64>) -> Result<Changed, StateError> {
            let time_to_live = ttl.map(Duration::from_secs);
            self.0.change(&self.1, Change { key: key.to_owned(), operation, time_to_live, allowed: 64 << 20 }).await
        }

        async fn sets(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<Changed, StateError> {
            self.does(key, Operation::Set(value.into()), None).await
        }

        fn keys(&self) -> Vec<String> {
            self.1.look(|state| Ok(state.keys("", None, 10, Instant::now()).keys)).expect("it can be read")
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        (parent, folder)
    }

    #[tokio::test]
    async fn what_was_written_is_there_at_the_next_start() {
        let (_parent, folder) = folder();
        let before = Plugin::open(&folder, "p");
        before.sets("kept", "1").await.unwrap();
        before.does("expiring", Operation::Set(b"2".to_vec()), Some(9000)).await.unwrap();
        before.does("expired", Operation::Set(b"3".to_vec()), Some(0)).await.unwrap();
        before.sets("deleted", "4").await.unwrap();
        before.does("deleted", Operation::Delete, None).await.unwrap();
        assert_eq!(before.does("count", Operation::Increment(2, Numbers::Exact), None).await, Ok(Changed::Sum(2)));
        drop(before);
        let after = Plugin::open(&folder, "p");
        assert_eq!(after.keys(), ["count", "expiring", "kept"]);
        assert_eq!(after.does("count", Operation::Increment(1, Numbers::Exact), None).await, Ok(Changed::Sum(3)));
        let now = Instant::now();
        let live = |seconds| after.1.state().get("expiring", now + Duration::from_secs(seconds)).unwrap().is_some();
        assert_eq!((live(8000), live(9001)), (true, false));
    }

    #[tokio::test]
    async fn plugins_do_not_see_each_others_values_and_one_has_its_own_once() {
        let (_parent, folder) = folder();
        let one = Plugin::open(&folder, "a");
        let other = one.0.values(&PluginName::new("ab"));
        one.sets("bc", "1").await.unwrap();
        assert_eq!(other.state().keys("", None, 10, Instant::now()).keys, Vec::<String>::new());
        let again = one.0.values(&PluginName::new("a"));
        assert_eq!(again.state().keys("", None, 10, Instant::now()).keys, ["bc"]);
        assert!(Arc::ptr_eq(&again, &one.1));
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_stored_has_not_happened_and_later_ones_can() {
        let (_parent, folder) = folder();
        let plugin = Plugin::open(&folder, "p");
        plugin.sets("k", "1").await.unwrap();
        let limit = |pages: i64| {
            let set = format!("PRAGMA max_page_count = {pages}");
            lock(&plugin.0.shared.disk).database().connection().query_row(&set, [], |_| Ok(())).unwrap();
        };
        limit(1);
        let large = vec![0; 1 << 20];
        assert!(matches!(plugin.sets("k", large.clone()).await, Err(StateError::Unavailable(_))));
        assert!(matches!(plugin.sets("l", large.clone()).await, Err(StateError::Unavailable(_))));
        assert_eq!(plugin.1.state().get("k", Instant::now()).unwrap(), Some(&b"1"[..]));
        assert_eq!(plugin.keys(), ["k"]);
        limit(10_000);
        plugin.sets("l", large.clone()).await.unwrap();
        drop(plugin);
        let after = Plugin::open(&folder, "p");
        assert_eq!(after.keys(), ["k", "l"]);
        assert_eq!(after.1.state().get("l", Instant::now()).unwrap(), Some(&large[..]));
    }

    #[tokio::test]
    async fn the_log_of_the_database_stays_short_however_much_is_written_at_once() {
        let (_parent, folder) = folder();
        let plugin = Plugin::open(&folder, "p");
        let largest = AtomicUsize::new(0);
        let look = || {
            let length = std::fs::metadata(folder.join(database::LOG_FILE)).map_or(0, |file| file.len());
            largest.fetch_max(length as usize, Ordering::Relaxed);
        };
        // 100 MiB, of which the plugin keeps four.
        for _ in 0..4 {
            let write = async |key: usize| {
                plugin.sets(&format!("k{}", key % 4), vec![7; 1 << 20]).await.unwrap();
                look();
            };
            futures_util::future::join_all((0..25).map(write)).await;
        }
        let largest = largest.load(Ordering::Relaxed);
        assert!((1 << 20..24 << 20).contains(&largest), "{largest} bytes");
    }

    /// Opens a database on a disk that cannot be written now and then.
    fn open_on_a_failing_disk(folder: &Path) -> Result<Database, StoreError> {
        let is_sound = folder.with_extension("sound").exists();
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        if !is_sound {
            return Err(StoreError::Folder { folder: folder.to_owned(), source: full() });
        }
        Database::open(folder)
    }

    #[tokio::test]
    async fn on_a_disk_that_cannot_be_written_values_are_read_and_changes_refused_until_it_can() {
        let (_parent, folder) = folder();
        let before = Plugin::open(&folder, "p");
        before.sets("kept", "1").await.unwrap();
        // As after a crash: what was written is in the log alone.
        let crashed = folder.with_extension("crashed");
        std::fs::create_dir(&crashed).unwrap();
        std::fs::set_permissions(&crashed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for name in [database::FILE, database::LOG_FILE] {
            std::fs::copy(folder.join(name), crashed.join(name)).unwrap();
        }
        drop(before);

        let store = Store::open_with(Some(&crashed), open_on_a_failing_disk, Clock::Machine).unwrap();
        let values = store.values(&PluginName::new("p"));
        let plugin = Plugin(store, values);
        assert_eq!(plugin.keys(), ["kept"]);
        assert!(matches!(plugin.sets("new", "2").await, Err(StateError::Unavailable(_))));
        assert_eq!(plugin.keys(), ["kept"]);
        std::fs::write(crashed.with_extension("sound"), "").unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while plugin.sets("new", "2").await.is_err() {
            assert!(Instant::now() < deadline, "the disk was not tried again");
            thread::yield_now();
        }
        drop(plugin);
        assert_eq!(Plugin::open(&crashed, "p").keys(), ["kept", "new"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_said_to_be_absent() {
        let (_parent, folder) = folder();
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::create_dir(folder.join(database::FILE)).unwrap();
        std::fs::write(folder.join(database::FILE).join("file"), "").unwrap();
        let store = Store::open(Some(&folder)).unwrap();
        let values = store.values(&PluginName::new("p"));
        let read = |values: &PluginValues| values.look(|state| Ok(state.get("k", Instant::now())?.is_some()));
        assert!(matches!(read(&values), Err(StateError::Unavailable(_))));
        std::fs::remove_dir_all(folder.join(database::FILE)).unwrap();
        let plugin = Plugin(store, values);
        let deadline = Instant::now() + Duration::from_secs(120);
        while plugin.sets("k", "v").await.is_err() {
            assert!(Instant::now() < deadline, "the disk was not tried again");
            thread::yield_now();
        }
        assert_eq!(read(&plugin.1), Ok(true));
    }

    #[test]
    fn a_folder_belongs_to_one_gateway_and_this_user() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        let (_parent, folder) = folder();
        let _first = Store::open(Some(&folder)).unwrap();
        assert!(matches!(Store::open(Some(&folder)), Err(StoreError::Locked { .. })));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Store::open(Some(&folder)), Err(StoreError::NotPrivate { .. })));
    }

    #[tokio::test]
    async fn the_files_of_the_database_are_this_users_alone_also_those_of_an_earlier_version() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        let (_parent, folder) = folder();
        let modes = || {
            let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
            let mode = |file: fs::DirEntry| (file.file_name(), file.metadata().unwrap().permissions().mode() & 0o777);
            files.map(mode).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            let plugin = Plugin::open(&folder, "p");
            plugin.sets("k", "v").await.unwrap();
            let modes = modes();
            assert!(modes.len() > 1 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
            drop(plugin);
            fs::set_permissions(folder.join("state.db"), fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    #[test]
    fn what_a_newer_version_has_written_is_left_alone() {
        let (_parent, folder) = folder();
        let store = Store::open(Some(&folder)).unwrap();
        lock(&store.shared.disk).database().connection().pragma_update(None, "user_version", 1_000).unwrap();
        drop(store);
        assert!(matches!(Store::open(Some(&folder)), Err(StoreError::TooNew { .. })));
    }

    #[tokio::test]
    async fn the_disk_is_waited_for_when_something_was_written_alone() {
        let (_parent, folder) = folder();
        // A checkpoint leaves this mark.
        let mark = || -> i64 {
            let database = rusqlite::Connection::open(folder.join("state.db")).unwrap();
            database.pragma_query_value(None, "application_id", |row| row.get(0)).unwrap()
        };
        drop(Plugin::open(&folder, "p"));
        assert_eq!(mark(), 0);
        let plugin = Plugin::open(&folder, "p");
        plugin.sets("k", "v").await.unwrap();
        drop(plugin);
        assert_ne!(mark(), 0);
    }

    #[tokio::test]
    async fn values_whose_time_is_over_are_removed_by_and_by() {
        let (_parent, folder) = folder();
        let plugin = Plugin::open(&folder, "p");
        plugin.does("k", Operation::Set(b"v".to_vec()), Some(0)).await.unwrap();
        let rows = || -> i64 {
            let disk = lock(&plugin.0.shared.disk);
            disk.database().connection().query_row("SELECT count(*) FROM plugin_values", [], |row| row.get(0)).unwrap()
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while rows() > 0 {
            assert!(Instant::now() < deadline, "it was not removed");
            std::thread::yield_now();
        }
        assert!(!plugin.1.state().has_expiries());
    }
}
