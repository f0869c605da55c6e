//! The database, as far as the disk lets it be used.
//!
//! A full disk, or one that cannot be written, is no reason not to serve: what was kept is read as far as that is possible, and
//! changes are refused until the disk takes them again.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use hubgate_core::id::PluginName;
use tempfile::TempDir;

use super::StoreError;
use super::database::{Database, FILE, LOG_FILE, Row};
use super::timers::{TimerChange, TimerRow};
use crate::state::State;

/// How a database is opened for writing.
pub(super) type Opener = fn(&Path) -> Result<Database, StoreError>;

pub(super) struct Disk {
    /// None: nothing lasts.
    folder: Option<PathBuf>,
    open: Opener,
    access: Access,
}

/// What can be done with the database.
enum Access {
    /// Everything, because nothing lasts.
    Memory,
    Writable(Database),
    /// A copy of it can be read.
    Readable(Database, #[expect(dead_code, reason = "the copy goes with it")] TempDir),
    /// It cannot be written, and there is nothing in it.
    Empty,
    /// It cannot be written, and what is in it cannot be read: this is why.
    Unreadable(String),
}

impl Disk {
    pub(super) fn open(folder: Option<&Path>, open: Opener) -> Result<Disk, StoreError> {
        let access = match folder.map(open) {
            None => Access::Memory,
            Some(Ok(database)) => Access::Writable(database),
            Some(Err(error)) if error.is_of_the_disk() => {
                let consequence = "what was kept can be read as far as the disk allows, and changes are refused";
                tracing::error!(%error, "the state of plugins cannot be written: {consequence}");
                folder.map_or(Access::Memory, Access::without_writing)
            }
            Some(Err(error)) => return Err(error),
        };
        Ok(Disk { folder: folder.map(Path::to_owned), open, access })
    }

    pub(super) fn is_writable(&self) -> bool {
        matches!(self.access, Access::Memory | Access::Writable(_))
    }

    /// Tries to open the database for writing once more; says whether it can be written.
    pub(super) fn reopen(&mut self) -> bool {
        if let (false, Some(folder)) = (self.is_writable(), &self.folder)
            && let Ok(database) = (self.open)(folder)
        {
            self.access = Access::Writable(database);
        }
        self.is_writable()
    }

    /// What a plugin has kept. `now` is the present by both clocks.
    pub(super) fn read(&self, plugin: &PluginName, now: (Instant, SystemTime), into: &mut State) -> Result<(), String> {
        match &self.access {
            Access::Memory | Access::Empty => Ok(()),
            Access::Writable(database) | Access::Readable(database, _) => {
                database.read(plugin, now, into).map_err(|error| error.to_string())
            }
            Access::Unreadable(reason) => Err(reason.clone()),
        }
    }

    /// The durable timers of a plugin.
    pub(super) fn timers(&self, plugin: &PluginName) -> Result<Vec<TimerRow>, String> {
        match &self.access {
            Access::Memory | Access::Empty => Ok(Vec::new()),
            Access::Writable(database) | Access::Readable(database, _) => {
                database.timers(plugin).map_err(|error| error.to_string())
            }
            Access::Unreadable(reason) => Err(reason.clone()),
        }
    }

    /// All of the rows and timers or none; with the operating system when this returns. Gives what the log of the database grows by.
    pub(super) fn write(&mut self, rows: &[Row<'_>], timers: &[TimerChange]) -> Result<usize, String> {
        match &mut self.access {
            Access::Memory => Ok(0),
            Access::Writable(database) => database.write(rows, timers).map_err(|error| error.to_string()),
            Access::Readable(..) | Access::Empty | Access::Unreadable(_) => {
                Err("the database could not be opened for writing".to_owned())
            }
        }
    }

    /// Waits for the disk.
    pub(super) fn checkpoint(&self) -> Result<(), String> {
        match &self.access {
            Access::Writable(database) => database.checkpoint().map_err(|error| error.to_string()),
            Access::Memory | Access::Readable(..) | Access::Empty | Access::Unreadable(_) => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn database(&self) -> &Database {
        match &self.access {
            Access::Writable(database) => database,
            Access::Memory | Access::Readable(..) | Access::Empty | Access::Unreadable(_) => panic!("it is not open"),
        }
    }
}

impl Access {
    fn without_writing(folder: &Path) -> Access {
        match copy(folder) {
            Ok(Some((database, copy))) => Access::Readable(database, copy),
            Ok(None) => Access::Empty,
            Err(error) => Access::Unreadable(error.to_string()),
        }
    }
}

/// A copy of the database with its log, which SQLite cannot take into account where it cannot write; none where there is no
/// database.
fn copy(folder: &Path) -> io::Result<Option<(Database, TempDir)>> {
    let is_missing = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    match fs::metadata(folder.join(FILE)) {
        Ok(file) if file.len() == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let copy = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir()?;
    for name in [FILE, LOG_FILE] {
        match fs::copy(folder.join(name), copy.path().join(name)) {
            Err(error) if name == LOG_FILE && is_missing(&error) => {}
            copied => drop(copied?),
        }
    }
    let database = Database::open(copy.path()).map_err(io::Error::other)?;
    Ok(Some((database, copy)))
}
