//! Folders of what the gateway makes for itself, which this user alone can read and write.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes a file of these parts into a private folder, which is made if need be. The file is on the disk before it has its name, and
/// changes all at once.
pub(crate) fn write(folder: &Path, file: &Path, parts: &[&[u8]]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if !is_private(&fs::symlink_metadata(folder)?) {
        let problem = "it must belong to this user, and nobody else may have access (mode 0700)";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    // Of this process alone: another gateway may use the same folder.
    let new = file.with_extension(std::process::id().to_string());
    if let Err(error) = write_whole(&new, parts).and_then(|()| fs::rename(&new, file)) {
        // A full disk must not fill up with halves.
        drop(fs::remove_file(&new));
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn write_whole(file: &Path, parts: &[&[u8]]) -> io::Result<()> {
    drop(fs::remove_file(file));
    let mut new = File::options().write(true).create_new(true).mode(0o600).open(file)?;
    parts.iter().try_for_each(|part| new.write_all(part))?;
    new.sync_all()
}

/// Whether only this user can have written it.
pub(crate) fn is_private(metadata: &fs::Metadata) -> bool {
    // SAFETY: a system call without arguments that cannot fail.
    let user = unsafe { libc::geteuid() };
    metadata.uid() == user && metadata.permissions().mode() & 0o077 == 0
}
