//! What tells that a file has changed.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file changed less long ago than this may change again without its times telling: clocks of file systems are coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// What changes whenever a file does, also when another one takes its name, unless it does so twice within a tick of the file system's
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    pub fn of(metadata: &Metadata) -> FileStamp {
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of the file at `path`, or behind the symbolic links there; `None` if there is none that can be looked at.
    pub fn at(path: &Path) -> Option<FileStamp> {
        fs::metadata(path).ok().as_ref().map(FileStamp::of)
    }

    /// Has the file been the same for so long that a change would show?
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() as i64;
        now.saturating_sub(self.changed.0.max(self.modified.0)) > SETTLED.as_secs() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_shows_it() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let (file, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&file, "a").expect("the folder is ours");
        let first = FileStamp::at(&file).expect("it is there");
        assert_eq!(FileStamp::at(&file), Some(first));
        assert!(!first.is_settled(), "it was written a moment ago");
        fs::write(&file, "ab").expect("the folder is ours");
        let second = FileStamp::at(&file).expect("it is there");
        assert_ne!(second, first);
        // Of the same length, and not of another time.
        fs::write(&other, "ab").expect("the folder is ours");
        let modified = fs::metadata(&file).and_then(|metadata| metadata.modified()).expect("it has a time");
        fs::File::options().write(true).open(&other).and_then(|file| file.set_modified(modified)).expect("it is ours");
        fs::rename(&other, &file).expect("the folder is ours");
        assert_ne!(FileStamp::at(&file), Some(second));
        fs::remove_file(&file).expect("the folder is ours");
        assert_eq!(FileStamp::at(&file), None);
    }
}
