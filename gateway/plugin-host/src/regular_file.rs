//! Reads files that somebody else may have put something else in place of.
//!
//! Opening a FIFO waits for a writer, and a device may never come to an end. So only regular files are opened, without waiting, and
//! read up to a bound.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file as it was read.
#[derive(Debug)]
pub struct RegularFile {
    pub bytes: Vec<u8>,
    /// From before it was read.
    pub metadata: Metadata,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl RegularFile {
    /// Reads the regular file at `path`, or behind the symbolic links there. Does not wait for anybody who writes.
    pub fn read(path: &Path, max_bytes: usize) -> Result<RegularFile, FileError> {
        // Opening is an act of its own: on some devices it has an effect.
        if !fs::metadata(path)?.is_file() {
            return Err(FileError::NotRegular);
        }
        let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular);
        }
        let mut bytes = Vec::new();
        (&mut file).take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
        match bytes.len() > max_bytes {
            true => Err(FileError::TooLarge { max_bytes }),
            false => Ok(RegularFile { bytes, metadata }),
        }
    }

    /// Reads a text in UTF-8.
    pub fn read_text(path: &Path, max_bytes: usize) -> Result<String, FileError> {
        let file = RegularFile::read(path, max_bytes)?;
        let not_utf8 = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8");
        Ok(String::from_utf8(file.bytes).map_err(not_utf8)?)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nobody_is_waited_for() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = |name: &str| folder.path().join(name);
        let fifo = CString::new(path("fifo").into_os_string().into_encoded_bytes()).expect("a path has no zero");
        // SAFETY: the text ends with a zero and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        std::os::unix::fs::symlink(path("fifo"), path("link")).expect("the folder is ours");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("the folder is ours");
        for name in ["fifo", "link", "socket", ".", "/dev/zero"] {
            assert!(matches!(RegularFile::read(&path(name), 10), Err(FileError::NotRegular)), "{name}");
        }
        assert!(matches!(RegularFile::read(&path("missing"), 10), Err(FileError::Io(_))));
    }

    #[test]
    fn a_file_may_have_as_many_bytes_as_are_allowed() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("file");
        fs::write(&file, b"0123456789").expect("the folder is ours");
        assert_eq!(RegularFile::read(&file, 10).expect("it fits").bytes, b"0123456789");
        assert!(matches!(RegularFile::read(&file, 9), Err(FileError::TooLarge { max_bytes: 9 })));
        fs::write(&file, b"\xff").expect("the folder is ours");
        assert!(RegularFile::read_text(&file, 10).is_err());
    }
}
