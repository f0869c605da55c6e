//! The database of what plugins keep: one file of SQLite, which this process alone has open.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use hubgate_core::id::PluginName;
use rusqlite::{Connection, ErrorCode, params};

use super::StoreError;
use super::timers::{self, TimerChange, TimerRow};
use crate::private_folder::is_private;
use crate::state::{Entry, State};

/// The file of the tables, and the one of the log.
pub(super) const FILE: &str = "state.db";
pub(super) const LOG_FILE: &str = "state.db-wal";
/// What SQLite reads and writes at a time, in bytes, and what a page takes in the log.
const PAGE_BYTES: usize = 4 << 10;
const LOG_PAGE_BYTES: usize = PAGE_BYTES + 24;
/// How long a gateway that starts waits for another one to let go of the folder.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the database's log may keep of the disk when little is written, in bytes.
const KEPT_LOG: i64 = 8 << 20;
/// Which tables there are.
const SCHEMA: i64 = 1;
/// Whose database it is.
const APPLICATION: i64 = 0x4855_4247;

pub(super) struct Database(Connection);

/// A row as it is to be.
pub(super) struct Row<'a> {
    pub(super) plugin: &'a str,
    pub(super) key: &'a str,
    /// With its end. None: there is no such row.
    pub(super) value: Option<(Vec<u8>, Option<SystemTime>)>,
}

impl Row<'_> {
    fn log_bytes(&self) -> usize {
        let value = self.value.as_ref().map_or(0, |(value, _)| value.len());
        log_bytes(self.key.len() + value)
    }
}

/// What a row of so many bytes takes in the log, at most: the pages of its value, and those of the table and of its index.
fn log_bytes(row: usize) -> usize {
    (row / PAGE_BYTES + 4) * LOG_PAGE_BYTES
}

impl Database {
    /// Opens or makes it. Blocks meanwhile.
    pub(super) fn open(folder: &Path) -> Result<Database, StoreError> {
        let of_folder = |source| StoreError::Folder { folder: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(of_folder)?;
        if !is_private(&fs::symlink_metadata(folder).map_err(of_folder)?) {
            return Err(StoreError::NotPrivate { folder: folder.to_owned() });
        }
        let of_database = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError::Locked { folder: folder.to_owned() }
            }
            _ => StoreError::Database { folder: folder.to_owned(), source },
        };
        let file = folder.join(FILE);
        make_private(&file).map_err(of_folder)?;
        if is_locked(&File::open(&file).map_err(of_folder)?).map_err(of_folder)? {
            let (folder, seconds) = (folder.display(), PATIENCE.as_secs());
            tracing::info!(%folder, seconds, "another gateway has the folder open: waiting for it to end");
        }
        let connection = Connection::open(&file).map_err(of_database)?;
        match prepare(&connection).map_err(of_database)? {
            true => Ok(Database(connection)),
            false => Err(StoreError::TooNew { folder: folder.to_owned() }),
        }
    }

    /// What a plugin has kept. `now` is the present by both clocks.
    pub(super) fn read(
        &self,
        plugin: &PluginName,
        now: (Instant, SystemTime),
        into: &mut State,
    ) -> rusqlite::Result<()> {
        let mut rows = self.0.prepare_cached(
            "SELECT key, value, expires FROM plugin_values WHERE plugin = ?1 AND (expires IS NULL OR expires > ?2)",
        )?;
        let mut rows = rows.query(params![plugin.as_str(), since_1970(now.1)])?;
        while let Some(row) = rows.next()? {
            let (key, value, expires): (String, Vec<u8>, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let left = |expires: i64| Duration::from_millis(expires.saturating_sub(since_1970(now.1)).max(0) as u64);
            let expires = expires.and_then(|expires| now.0.checked_add(left(expires)));
            into.replace(key.into(), Some(Entry { value, expires }));
        }
        Ok(())
    }

    /// The durable timers of a plugin.
    pub(super) fn timers(&self, plugin: &PluginName) -> rusqlite::Result<Vec<TimerRow>> {
        timers::read(&self.0, plugin)
    }

    /// All of the rows and timers or none; with the operating system when this returns. Gives about what the log grows by, in bytes.
    pub(super) fn write(&mut self, rows: &[Row<'_>], timers: &[TimerChange]) -> rusqlite::Result<usize> {
        let transaction = self.0.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO plugin_values VALUES (?1, ?2, ?3, ?4)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM plugin_values WHERE plugin = ?1 AND key = ?2")?;
            for Row { plugin, key, value } in rows {
                match value {
                    Some((value, expires)) => put.execute(params![plugin, key, value, expires.map(since_1970)])?,
                    None => delete.execute(params![plugin, key])?,
                };
            }
        }
        timers.iter().try_for_each(|change| timers::write(&transaction, change))?;
        transaction.commit()?;
        let of_timers: usize = timers.iter().map(|change| log_bytes(change.weight())).sum();
        Ok(rows.iter().map(Row::log_bytes).sum::<usize>() + of_timers)
    }

    /// Waits for the disk. So does the first commit behind a checkpoint, which begins the log anew: here, one that changes nothing.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        self.0.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        self.0.pragma_update(None, "application_id", APPLICATION)
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }
}

/// Whether the database could be opened, as far as that shows without opening it: SQLite makes files beside a database that it opens.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let of_folder = |source| StoreError::Folder { folder: folder.to_owned(), source };
    let file = match File::options().read(true).write(true).open(folder.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(of_folder)?,
    };
    if is_locked(&file).map_err(of_folder)? {
        return Err(StoreError::Locked { folder: folder.to_owned() });
    }
    // Source: SQLite, "Database File Format", section 1.3: the "user version" of the header.
    let mut schema = [0; 4];
    match file.read_exact_at(&mut schema, 60) {
        Ok(()) if i64::from(u32::from_be_bytes(schema)) > SCHEMA => {
            Err(StoreError::TooNew { folder: folder.to_owned() })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether another process has locked the bytes by which SQLite says that it uses a database ("File Locking And Concurrency": one
/// pending, one reserved, 510 shared, from 1 GiB on).
fn is_locked(file: &File) -> io::Result<bool> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0x4000_0000,
        l_len: 512,
        l_pid: 0,
    };
    // SAFETY: the pointer is to a value that outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(i32::from(lock.l_type) != libc::F_UNLCK),
    }
}

/// Makes the database's file for this user alone, whatever the umask; SQLite gives its log the same mode. One of an earlier version,
/// with its log, is made private as well.
fn make_private(file: &Path) -> io::Result<()> {
    let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(file)?;
    opened.set_permissions(fs::Permissions::from_mode(0o600))?;
    for log in [LOG_FILE, "state.db-shm"] {
        match fs::set_permissions(file.with_file_name(log), fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Takes hold of the database and makes what is not there; says whether this version can read it.
fn prepare(database: &Connection) -> rusqlite::Result<bool> {
    database.busy_timeout(PATIENCE)?;
    // Locked by this process as long as it is open. In this mode a commit writes to a log, and only a checkpoint waits for the
    // disk; the log and the tables are whole whatever happens to the process or to the machine.
    database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    // There is a checkpoint once in a second, and when the log is long.
    database.pragma_update(None, "wal_autocheckpoint", 0)?;
    database.pragma_update(None, "journal_size_limit", KEPT_LOG)?;
    let schema: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > SCHEMA {
        return Ok(false);
    }
    database.execute_batch(
        "BEGIN EXCLUSIVE;
         CREATE TABLE IF NOT EXISTS plugin_values (
             plugin TEXT NOT NULL,
             key TEXT NOT NULL,
             value BLOB NOT NULL,
             -- Milliseconds since 1970, or NULL: it has no end.
             expires INTEGER,
             PRIMARY KEY (plugin, key)
         );",
    )?;
    // Beside what earlier versions know, which pass it over.
    database.execute_batch(timers::TABLE)?;
    if schema < SCHEMA {
        database.pragma_update(None, "user_version", SCHEMA)?;
    }
    database.execute_batch("COMMIT")?;
    // A full disk does not take this; values whose time is over are not read in any case.
    let now = since_1970(SystemTime::now());
    match database.execute("DELETE FROM plugin_values WHERE expires <= ?1", params![now]) {
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DiskFull) => Err(error),
        Ok(_) | Err(_) => Ok(true),
    }
}

/// In milliseconds.
fn since_1970(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
