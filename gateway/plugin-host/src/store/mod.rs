//! Where the values of plugins last.
//!
//! One thread makes all changes, in memory and in the database, many in one transaction when many come at once. Whoever
//! wants one waits for it without holding a shard up: the disk may be slow. A change is with the operating system before it
//! is answered, so that it outlives the process whatever ends it. The disk has it within a second.

mod database;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use hubgate_core::id::PluginName;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::state::{Change, Changed, Replaced, State, StateError};
use crate::worker::Worker;
use database::{Database, Row};

/// How long a change may take to get from the operating system to the disk.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// Changes that wait for the thread; who wants more waits before.
const QUEUE: usize = 1_024;
/// Changes that one transaction holds at most.
const BATCH: usize = 256;
/// Values of a plugin that are removed at a time when their time is over, in number.
const SWEEP: usize = 500;

/// The values of all plugins.
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// None when it ends.
    changes: Option<mpsc::Sender<Wanted>>,
    worker: Option<Worker>,
}

struct Shared {
    /// None: nothing lasts.
    database: Option<Mutex<Database>>,
    /// A plugin has its values in memory once, as long as anybody uses them.
    states: Mutex<HashMap<PluginName, Weak<PluginValues>>>,
}

/// What a plugin keeps.
#[derive(Debug)]
pub(crate) struct PluginValues {
    plugin: PluginName,
    state: Mutex<State>,
}

/// A change on its way to the thread.
struct Wanted {
    values: Arc<PluginValues>,
    change: Change,
    answer: oneshot::Sender<Result<Changed, StateError>>,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("{}: {source}", folder.display())]
    Database { folder: PathBuf, source: rusqlite::Error },
    #[error(
        "{}: another gateway has it open; each needs a folder of its own (`server.data-dir`, or --data-dir)",
        folder.display()
    )]
    Locked { folder: PathBuf },
    #[error("{}: a newer version of Hubgate has written it", folder.display())]
    TooNew { folder: PathBuf },
}

impl Store {
    /// Opens or makes the database in `folder`, for this process alone. Blocks meanwhile, and waits a while for a gateway
    /// that is just going. Without a folder nothing lasts.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Store, StoreError> {
        let database = folder.map(Database::open).transpose()?.map(Mutex::new);
        let shared = Arc::new(Shared { database, states: Mutex::default() });
        let (changes, wanted) = mpsc::channel(QUEUE);
        let writer = Writer { shared: shared.clone(), is_dirty: false, cannot_write: false, cannot_sync: false };
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(writer.serve(wanted)),
            Err(error) => tracing::error!(%error, "the state of plugins cannot be changed"),
        };
        let worker = Worker::start("hubgate-state", run)
            .map_err(|source| StoreError::Folder { folder: folder.map(Path::to_owned).unwrap_or_default(), source })?;
        Ok(Store { shared, changes: Some(changes), worker: Some(worker) })
    }

    /// What a plugin has kept. Blocks while it is read.
    pub(crate) fn values(&self, plugin: &PluginName) -> Result<Arc<PluginValues>, String> {
        let mut states = lock(&self.shared.states);
        if let Some(present) = states.get(plugin).and_then(Weak::upgrade) {
            return Ok(present);
        }
        let mut state = State::default();
        if let Some(database) = &self.shared.database {
            let now = (Instant::now(), SystemTime::now());
            lock(database).read(plugin, now, &mut state).map_err(|error| error.to_string())?;
            state.take_replaced();
        }
        let values = Arc::new(PluginValues { plugin: plugin.clone(), state: Mutex::new(state) });
        states.insert(plugin.clone(), Arc::downgrade(&values));
        Ok(values)
    }

    /// Changes a value; answered when it would outlive this process.
    pub(crate) async fn change(&self, values: &Arc<PluginValues>, change: Change) -> Result<Changed, StateError> {
        let stopped = || StateError::Unavailable("the gateway is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or_else(stopped)?;
        changes.send(Wanted { values: values.clone(), change, answer }).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
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
    /// The values as they are; nobody may wait meanwhile.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What the thread works with.
struct Writer {
    shared: Arc<Shared>,
    /// Whether something was written that is not on the disk yet.
    is_dirty: bool,
    /// Whether the log knows that nothing can be written now, or brought to the disk.
    cannot_write: bool,
    cannot_sync: bool,
}

impl Writer {
    /// Makes the changes that come until nobody can want any more. Once in a period, as long as there is reason to, what is
    /// with the operating system goes to the disk, and values whose time is over are removed.
    async fn serve(mut self, mut wanted: mpsc::Receiver<Wanted>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut due: Option<tokio::time::Instant> = None;
        loop {
            let received = wanted.recv_many(&mut batch, BATCH);
            let count = match due {
                Some(due) => timeout_at(due, received).await.ok(),
                None => Some(received.await),
            };
            match count {
                Some(0) => break,
                Some(_) => {
                    self.make(&mut batch);
                    due = due.or_else(|| Some(tokio::time::Instant::now() + SYNC_PERIOD));
                }
                None => {}
            }
            if due.is_some_and(|due| due <= tokio::time::Instant::now()) {
                let (is_all_swept, is_synced) = (self.sweep(), self.sync());
                let is_over = is_all_swept && is_synced;
                due = (!is_over).then(|| tokio::time::Instant::now() + SYNC_PERIOD);
            }
        }
        self.sync();
    }

    /// Makes changes in one transaction, and answers them.
    fn make(&mut self, batch: &mut Vec<Wanted>) {
        let now = Instant::now();
        let mut answers = Vec::with_capacity(batch.len());
        let mut replaced = Vec::new();
        for Wanted { values, change, answer } in batch.drain(..) {
            let mut state = values.state();
            answers.push((answer, state.change(change, now)));
            let own = state.take_replaced();
            drop(state);
            replaced.push((values, own));
        }
        let is_stored = self.store(replaced);
        for (answer, changed) in answers {
            // Nothing of the transaction has happened, so nothing that was decided in it is true.
            let unavailable = || StateError::Unavailable("the store cannot be written".to_owned());
            drop(answer.send(if is_stored { changed } else { Err(unavailable()) }));
        }
    }

    /// Removes what is over, a little at a time, because shards look at the values meanwhile; says whether nothing will be.
    fn sweep(&mut self) -> bool {
        let states: Vec<_> = lock(&self.shared.states).values().filter_map(Weak::upgrade).collect();
        let now = Instant::now();
        for values in &states {
            loop {
                let mut state = values.state();
                state.sweep(SWEEP, now);
                let replaced = state.take_replaced();
                drop(state);
                if replaced.is_empty() || !self.store(vec![(values.clone(), replaced)]) {
                    break;
                }
            }
        }
        states.iter().all(|values| !values.state().has_expiries())
    }

    /// Brings what was changed in memory into the database, or undoes it. The log has the first of several failures.
    fn store(&mut self, replaced: Vec<(Arc<PluginValues>, Vec<Replaced>)>) -> bool {
        let Some(database) = &self.shared.database else { return true };
        let rows = rows(&replaced);
        if rows.is_empty() {
            return true;
        }
        let written = lock(database).write(&rows);
        match written {
            Ok(()) => {
                self.is_dirty = true;
                if std::mem::take(&mut self.cannot_write) {
                    tracing::info!("the state of plugins can be written again");
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.cannot_write, true) {
                    tracing::error!(%error, "the state of plugins cannot be written");
                }
                drop(rows);
                for (values, replaced) in replaced.into_iter().rev() {
                    values.state().put_back(replaced);
                }
                false
            }
        }
    }

    /// Brings what was written to the disk, and from the log of the database into its tables; says whether all is there.
    fn sync(&mut self) -> bool {
        let Some(database) = self.shared.database.as_ref().filter(|_| self.is_dirty) else { return true };
        let synced = lock(database).checkpoint();
        match synced {
            Ok(()) => (self.is_dirty, self.cannot_sync) = (false, false),
            Err(error) if !std::mem::replace(&mut self.cannot_sync, true) => {
                tracing::error!(%error, "the state of plugins does not reach the disk");
            }
            Err(_) => {}
        }
        !self.is_dirty
    }
}

/// What memory says of the keys that were replaced, each once.
fn rows(replaced: &[(Arc<PluginValues>, Vec<Replaced>)]) -> Vec<Row<'_>> {
    let now = (Instant::now(), SystemTime::now());
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for (values, replaced) in replaced {
        let (plugin, state) = (values.plugin.as_str(), values.state());
        for Replaced { key, .. } in replaced {
            if seen.insert((plugin, &**key)) {
                let value = state.entry(key).map(|entry| {
                    let end = |end: Instant| now.1 + end.saturating_duration_since(now.0);
                    (entry.value.clone(), entry.expires.map(end))
                });
                rows.push(Row { plugin, key, value });
            }
        }
    }
    rows
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("lasts", &self.shared.database.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Operation;

    struct Plugin(Store, Arc<PluginValues>);

    impl Plugin {
        fn open(folder: &Path, name: &str) -> Plugin {
            let store = Store::open(Some(folder)).unwrap();
            let values = store.values(&PluginName::new(name)).unwrap();
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
            self.1.state().keys("", None, 10, Instant::now()).keys
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
        assert_eq!(before.does("count", Operation::Increment(2), None).await, Ok(Changed::Sum(2)));
        drop(before);
        let after = Plugin::open(&folder, "p");
        assert_eq!(after.keys(), ["count", "expiring", "kept"]);
        assert_eq!(after.does("count", Operation::Increment(1), None).await, Ok(Changed::Sum(3)));
        let now = Instant::now();
        let live = |seconds| after.1.state().get("expiring", now + Duration::from_secs(seconds)).unwrap().is_some();
        assert_eq!((live(8000), live(9001)), (true, false));
    }

    #[tokio::test]
    async fn plugins_do_not_see_each_others_values_and_one_has_its_own_once() {
        let (_parent, folder) = folder();
        let one = Plugin::open(&folder, "a");
        let other = one.0.values(&PluginName::new("ab")).unwrap();
        one.sets("bc", "1").await.unwrap();
        assert_eq!(other.state().keys("", None, 10, Instant::now()).keys, Vec::<String>::new());
        let again = one.0.values(&PluginName::new("a")).unwrap();
        assert_eq!(again.state().keys("", None, 10, Instant::now()).keys, ["bc"]);
        assert!(Arc::ptr_eq(&again, &one.1));
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_stored_has_not_happened_and_later_ones_can() {
        let (_parent, folder) = folder();
        let plugin = Plugin::open(&folder, "p");
        plugin.sets("k", "1").await.unwrap();
        let database = plugin.0.shared.database.as_ref().unwrap();
        let limit = |pages: i64| {
            let set = format!("PRAGMA max_page_count = {pages}");
            lock(database).connection().query_row(&set, [], |_| Ok(())).unwrap();
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

    #[test]
    fn a_folder_belongs_to_one_gateway_and_this_user() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        let (_parent, folder) = folder();
        let _first = Store::open(Some(&folder)).unwrap();
        assert!(matches!(Store::open(Some(&folder)), Err(StoreError::Locked { .. })));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Store::open(Some(&folder)), Err(StoreError::Folder { .. })));
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
        let database = lock(store.shared.database.as_ref().unwrap());
        database.connection().pragma_update(None, "user_version", 1_000).unwrap();
        drop(database);
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
            let database = lock(plugin.0.shared.database.as_ref().unwrap());
            database.connection().query_row("SELECT count(*) FROM plugin_values", [], |row| row.get(0)).unwrap()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while rows() > 0 {
            assert!(Instant::now() < deadline, "it was not removed");
            std::thread::yield_now();
        }
        assert!(!plugin.1.state().has_expiries());
    }
}
