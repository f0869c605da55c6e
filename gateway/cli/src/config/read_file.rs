//! The files that a configuration was read from, as they were then.

use std::path::{Path, PathBuf};

use hubgate_plugin_host::FileStamp;

/// A file, and what told it from a changed one before it was read: what changes while it is read shows afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadFile {
    path: PathBuf,
    /// None where there was no file.
    stamp: Option<FileStamp>,
}

impl ReadFile {
    /// To be called before the file is read.
    pub(crate) fn before_reading(path: &Path) -> ReadFile {
        ReadFile { path: path.to_owned(), stamp: FileStamp::at(path) }
    }

    /// Whether a file by this name, which has this stamp now, may be in somebody's hands: it is another one than this, and not for long.
    pub(super) fn is_being_written(&self, path: &Path, stamp: &FileStamp) -> bool {
        self.path == path && self.stamp.as_ref() != Some(stamp) && !stamp.is_settled()
    }

    /// The same file as it is now.
    pub(crate) fn now(&self) -> ReadFile {
        ReadFile::before_reading(&self.path)
    }
}
