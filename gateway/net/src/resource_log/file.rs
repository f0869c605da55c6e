//! The file of the log. It is opened anew when another one is in its place, or none is: so that it can be moved away at any time.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Who may read a new file: it tells who connects from where.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether its last line is not whole.
    is_torn: bool,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile { path: path.to_owned(), file: open(path)?, is_torn: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes whole lines at the end of the file that has the path now.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_in_place()? {
            self.file = open(&self.path)?;
            self.is_torn = false;
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            // Until the rest follows; nothing is torn where nothing was written.
            self.is_torn = !rest.is_empty();
        }
        Ok(())
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let identity = |found: Metadata| (found.dev(), found.ino());
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok(identity(found) == identity(self.file.metadata()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A pipe that nobody reads is an error at once, and one that is read is waited for.
fn open(path: &Path) -> io::Result<File> {
    let nobody_waits = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(nobody_waits).open(path)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}
