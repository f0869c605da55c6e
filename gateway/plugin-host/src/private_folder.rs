//! Folders of what the gateway makes for itself, which this user alone can read and write.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes a file of these parts into a private folder, which is made if need be. The file is on the disk before it has its name, and
/// changes all at once.
pub fn write(folder: &Path, file: &Path, parts: &[&[u8]]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if !is_private(&fs::symlink_metadata(folder)?) {
        return Err(not_private());
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

/// Whether [`write`] could write there. Makes nothing that stays: where there is no folder, it looks at the one that it would be made in.
pub fn check(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if !is_private(&metadata) => Err(not_private()),
        Ok(_) => take_bytes(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = folder.ancestors().skip(1).map(|above| match above.as_os_str().is_empty() {
                true => Path::new("."),
                false => above,
            });
            let above = above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("/"));
            take_bytes(above).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", above.display())))
        }
        Err(error) => Err(error),
    }
}

/// Writes a little into a file that has no name in the folder, and goes when it is closed.
fn take_bytes(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()
}

fn not_private() -> io::Error {
    let problem = "it must belong to this user, and nobody else may have access (mode 0700)";
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}

fn write_whole(file: &Path, parts: &[&[u8]]) -> io::Result<()> {
    drop(fs::remove_file(file));
    let mut new = File::options().write(true).create_new(true).mode(0o600).open(file)?;
    parts.iter().try_for_each(|part| new.write_all(part))?;
    new.sync_all()
}

/// Whether only this user can have written it.
pub fn is_private(metadata: &fs::Metadata) -> bool {
    // SAFETY: a system call without arguments that cannot fail.
    let user = unsafe { libc::geteuid() };
    metadata.uid() == user && metadata.permissions().mode() & 0o077 == 0
}
