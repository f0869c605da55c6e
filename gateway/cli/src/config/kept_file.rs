//! A text file that becomes another one while others may read it or write to it.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use hubgate_plugin_host::{FileError, FileStamp, RegularFile};
use tempfile::NamedTempFile;

use super::MAX_FILE_BYTES;
use super::read_file::ReadFile;

/// What a file has, with whose and for whom it is.
pub(super) struct KeptFile {
    /// Of the file itself, and not of a link to it.
    pub(super) path: PathBuf,
    pub(super) text: String,
    metadata: Metadata,
}

/// A file that has another text than before.
pub(crate) struct RewrittenFile {
    before: KeptFile,
    after: String,
}

impl fmt::Debug for RewrittenFile {
    /// Its texts may have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrittenFile").field("file", &self.before.path).finish_non_exhaustive()
    }
}

impl KeptFile {
    /// What a link leads to is read, and changes later. A file that is another one than among those `in_effect` must have come to rest: half of
    /// what somebody is writing there may be valid, too.
    pub(super) fn read(named: &Path, in_effect: &[ReadFile]) -> Result<KeptFile, FileError> {
        let path = named.canonicalize()?;
        let RegularFile { bytes, metadata } = RegularFile::read(&path, MAX_FILE_BYTES)?;
        let stamp = FileStamp::of(&metadata);
        if in_effect.iter().any(|file| file.is_being_written(named, &stamp)) {
            return Err(io::Error::other("it is being written: try again").into());
        }
        let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))?;
        Ok(KeptFile { path, text, metadata })
    }

    /// Puts another text in the place of this one, all at once, for the same owner and with the same mode.
    pub(super) fn replace(self, after: String) -> io::Result<RewrittenFile> {
        self.put(&after)?;
        Ok(RewrittenFile { before: self, after })
    }

    /// Says why it cannot be replaced, as far as that is known before it is.
    pub(super) fn check(&self) -> io::Result<()> {
        self.prepare(&self.text).map(drop)
    }

    fn put(&self, text: &str) -> io::Result<()> {
        let new = self.prepare(text)?;
        new.as_file().sync_all()?;
        if FileStamp::at(&self.path) != Some(FileStamp::of(&self.metadata)) {
            return Err(io::Error::other("somebody else has changed it at the same moment"));
        }
        new.persist(&self.path).map_err(|refused| match refused.error.kind() {
            io::ErrorKind::ResourceBusy => {
                io::Error::other("it is mounted by itself, so that no other file can take its place")
            }
            _ => refused.error,
        })?;
        // The name of the file lasts with its folder. Where that cannot be had, it does a little later.
        let _ = File::open(self.folder()).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// The next file, beside this one.
    fn prepare(&self, text: &str) -> io::Result<NamedTempFile> {
        let metadata = &self.metadata;
        if metadata.permissions().readonly() {
            return Err(io::Error::other("it is read-only"));
        }
        // Who may not write the file must not take its place either, whatever the folder allows.
        drop(File::options().write(true).open(&self.path)?);
        let mut new = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(self.folder())?;
        new.write_all(text.as_bytes())?;
        let made = new.as_file().metadata()?;
        if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(new.as_file(), Some(metadata.uid()), Some(metadata.gid()))?;
        }
        new.as_file().set_permissions(metadata.permissions())?;
        Ok(new)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

impl RewrittenFile {
    /// Takes it back, unless somebody has changed the file since.
    pub(crate) fn undo(&self) -> io::Result<()> {
        let now = KeptFile::read(&self.before.path, &[]).map_err(io::Error::other)?;
        match now.text == self.after {
            true => now.put(&self.before.text),
            false => Err(io::Error::other("somebody else has changed it since")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_that_has_changed_a_moment_ago_is_not_taken_for_a_whole_one() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let [file, other] = ["file", "other"].map(|name| folder.path().join(name));
        fs::write(&file, "one").expect("the folder is ours");
        let in_effect = [ReadFile::before_reading(&file)];
        KeptFile::read(&file, &in_effect).expect("it is the one in effect");
        fs::write(&file, "two of it").expect("the folder is ours");
        let refused = KeptFile::read(&file, &in_effect).map(drop).expect_err("somebody may go on writing");
        assert!(refused.to_string().contains("being written"), "{refused}");
        KeptFile::read(&file, &[ReadFile::before_reading(&file)]).expect("it was read since");
        KeptFile::read(&file, &[ReadFile::before_reading(&other)]).expect("nothing is known of it");
        // A time to come is not long ago either.
        let later = SystemTime::now() + Duration::from_secs(3600);
        File::options().write(true).open(&file).and_then(|file| file.set_modified(later)).expect("it is ours");
        KeptFile::read(&file, &in_effect).map(drop).expect_err("its times tell nothing");
    }

    #[test]
    fn what_somebody_else_has_changed_since_is_not_written_over() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("file");
        fs::write(&file, "one").expect("the folder is ours");
        let before = KeptFile::read(&file, &[]).expect("it can be read");
        before.check().expect("it can be written");
        fs::write(&file, "another").expect("the folder is ours");
        before.replace("mine".to_owned()).expect_err("it has changed");
        let rewritten = KeptFile::read(&file, &[]).expect("it can be read").replace("mine".to_owned());
        let rewritten = rewritten.expect("it can be written");
        fs::write(&file, "two").expect("the folder is ours");
        rewritten.undo().expect_err("it has changed");
        assert_eq!(fs::read_to_string(&file).expect("it is text"), "two");
        assert_eq!(fs::read_dir(folder.path()).expect("it is a folder").count(), 1, "nothing else is left");
    }
}
