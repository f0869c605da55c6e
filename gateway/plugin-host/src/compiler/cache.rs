//! The private folder of compiled components.
//!
//! A file holds a digest over its content, which is checked before the content is used: after a power failure a file may have
//! holes of zeros, and machine code with a hole in it crashes whoever runs it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use wasmtime::Engine;

use super::child::MAX_MACHINE_CODE_BYTES;
use crate::digest::Digest;
use crate::private_folder::{self, is_private};

/// Compiled components that are kept; the one used longest ago goes when one more comes.
const MAX_ENTRIES: usize = 64;
/// How a file begins. A file of another format is compiled anew.
const FORMAT: &[u8; 16] = b"hubgate-native-1";

/// A compiled component's place in the folder.
pub(super) struct CacheEntry {
    folder: PathBuf,
    file: PathBuf,
}

/// Why there is nothing to be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CacheMiss {
    /// There is no such file, or none that this user alone can have written.
    Absent,
    /// It does not hold what was written.
    Damaged,
}

impl CacheEntry {
    pub(super) fn new(folder: &Path, engine: &Engine, component: &[u8]) -> CacheEntry {
        // Other versions of the program and other processors need other machine code.
        let mut compatible = Fnv::default();
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut compatible);
        let digest = Digest::of(component).to_string().replace(':', "-");
        let name = format!("{digest}-{:016x}", std::hash::Hasher::finish(&compatible));
        CacheEntry { folder: folder.to_owned(), file: folder.join(name) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The machine code, if it is there, nobody else can have put it there, and it is what was written.
    pub(super) fn read(&self) -> Result<Vec<u8>, CacheMiss> {
        let mut file = self.open().ok_or(CacheMiss::Absent)?;
        let (mut format, mut digest, mut code) = ([0; FORMAT.len()], [0; Digest::BYTES], Vec::new());
        let read = file
            .read_exact(&mut format)
            .and_then(|()| file.read_exact(&mut digest))
            .and_then(|()| (&mut file).take(MAX_MACHINE_CODE_BYTES).read_to_end(&mut code));
        if read.is_err() || format != *FORMAT || *Digest::of(&code).as_bytes() != digest {
            return Err(CacheMiss::Damaged);
        }
        // The folder keeps what was used last.
        drop(file.set_modified(std::time::SystemTime::now()));
        Ok(code)
    }

    fn open(&self) -> Option<File> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags).open(&self.file).ok()?;
        let metadata = file.metadata().ok()?;
        let is_ours = is_private(&fs::symlink_metadata(&self.folder).ok()?) && is_private(&metadata);
        (is_ours && metadata.is_file()).then_some(file)
    }

    /// Keeps the machine code. The file is on the disk before it has its name.
    pub(super) fn write(&self, code: &[u8]) -> io::Result<()> {
        private_folder::write(&self.folder, &self.file, &[FORMAT, Digest::of(code).as_bytes(), code])?;
        self.forget_the_oldest()
    }

    fn forget_the_oldest(&self) -> io::Result<()> {
        let mut files: Vec<_> = fs::read_dir(&self.folder)?
            .filter_map(|entry| {
                entry.ok().and_then(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            })
            .collect();
        files.sort();
        let excess = files.len().saturating_sub(MAX_ENTRIES);
        files.iter().take(excess).try_for_each(|(_, file)| fs::remove_file(file))
    }
}

/// The hash of Fowler, Noll and Vo in 64 bits: the same in each run, which a name of a file must be.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::engine;

    fn entry(folder: &Path, component: &[u8]) -> CacheEntry {
        CacheEntry::new(folder, &engine::on_demand().expect("an engine"), component)
    }

    #[test]
    fn what_is_kept_is_private_and_nothing_else_is_loaded() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let cache = folder.path().join("cache");
        let kept = entry(&cache, b"a component");
        assert_eq!(kept.read(), Err(CacheMiss::Absent));
        kept.write(b"machine code").expect("the folder can be made");
        assert_eq!(kept.read().as_deref(), Ok(&b"machine code"[..]));
        assert_eq!(fs::metadata(&cache).expect("it is there").permissions().mode() & 0o777, 0o700);
        assert_eq!(entry(&cache, b"another").read(), Err(CacheMiss::Absent));

        fs::set_permissions(&kept.file, fs::Permissions::from_mode(0o620)).expect("it is ours");
        assert_eq!(kept.read(), Err(CacheMiss::Absent), "others could write to it");
        fs::set_permissions(&kept.file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o770)).expect("it is ours");
        assert_eq!(kept.read(), Err(CacheMiss::Absent), "others could put a file there");
        assert!(kept.write(b"more").is_err());
    }

    #[test]
    fn a_file_with_a_hole_of_zeros_anywhere_is_damaged() {
        const HOLE: usize = 4;
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let kept = entry(&folder.path().join("cache"), b"a component");
        kept.write(&[7; 32]).expect("the folder can be made");
        let whole = fs::read(&kept.file).expect("it was written");
        for start in (0..whole.len()).step_by(HOLE) {
            let mut damaged = whole.clone();
            damaged[start..start + HOLE].fill(0);
            fs::write(&kept.file, &damaged).expect("it is ours");
            assert_eq!(kept.read(), Err(CacheMiss::Damaged), "a hole at byte {start}");
        }
        for length in [0, FORMAT.len(), whole.len() - 1] {
            fs::write(&kept.file, &whole[..length]).expect("it is ours");
            assert_eq!(kept.read(), Err(CacheMiss::Damaged), "cut behind byte {length}");
        }
        fs::write(&kept.file, &whole).expect("it is ours");
        assert!(kept.read().is_ok());
    }

    #[test]
    fn the_folder_keeps_what_was_used_last() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let cache = folder.path().join("cache");
        let kept = |number: usize| entry(&cache, &number.to_be_bytes());
        for number in 0..=MAX_ENTRIES {
            kept(number).write(b"machine code").expect("the folder can be written");
        }
        assert_eq!(fs::read_dir(&cache).expect("it is there").count(), MAX_ENTRIES);
        assert!(kept(MAX_ENTRIES).read().is_ok());
    }
}
