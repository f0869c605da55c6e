//! The components that serve, kept for a start at which a plugin's file does not.
//!
//! A private folder has each component under the name of its digest, and for each plugin a record of what served and of what was rolled
//! back. The records are written when versions change, and read at a start.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hubgate_core::id::PluginName;

use crate::digest::Digest;
use crate::limits::MAX_COMPONENT_BYTES;
use crate::private_folder::{self, is_private};
use crate::regular_file::RegularFile;

/// The largest record, in bytes.
const MAX_RECORD_BYTES: usize = 4 << 10;
/// How the names of records and of components end.
const RECORD: &str = "versions";
const COMPONENT: &str = "wasm";

/// The folder; without one nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct KeptComponents {
    folder: Option<PathBuf>,
    /// Held while something is written.
    writing: Mutex<()>,
}

/// What is known of a plugin's versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Of the component that served last.
    pub(crate) serving: Option<Digest>,
    /// Of the one that served before it, which can be brought back.
    pub(crate) before: Option<Digest>,
    /// Of the component that was rolled back, which is refused as long as the plugin's file has it.
    pub(crate) rolled_back: Option<Digest>,
}

impl KeptComponents {
    pub(crate) fn new(folder: Option<PathBuf>) -> KeptComponents {
        KeptComponents { folder, writing: Mutex::default() }
    }

    /// What was recorded of a plugin; nothing where that cannot be read.
    pub(crate) fn record(&self, plugin: &PluginName) -> Record {
        let Some(folder) = self.private_folder() else { return Record::default() };
        let text = RegularFile::read_text(&record_file(folder, plugin), MAX_RECORD_BYTES);
        text.map_or_else(|_| Record::default(), |text| Record::parse(&text))
    }

    /// The component with this digest, if it is there and is what was written.
    pub(crate) fn component(&self, digest: Digest) -> Option<Vec<u8>> {
        let file = component_file(self.private_folder()?, digest);
        let component = RegularFile::read(&file, MAX_COMPONENT_BYTES).ok()?.bytes;
        (Digest::of(&component) == digest).then_some(component)
    }

    /// Keeps a component, and the record that is right when it is written. The log has a failure: what serves goes on.
    pub(crate) fn keep(&self, plugin: &PluginName, record: impl FnOnce() -> Record, component: Option<&[u8]>) {
        let Some(folder) = &self.folder else { return };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.try_to_keep(folder, plugin, record(), component) {
            tracing::warn!(
                %plugin, folder = %folder.display(), %error,
                "the component that serves cannot be kept: at the next start the plugin has only its file"
            );
        }
    }

    fn try_to_keep(
        &self,
        folder: &Path,
        plugin: &PluginName,
        record: Record,
        component: Option<&[u8]>,
    ) -> io::Result<()> {
        if let Some(component) = component {
            let digest = Digest::of(component);
            if self.component(digest).is_none() {
                private_folder::write(folder, &component_file(folder, digest), &[component])?;
            }
        }
        if self.record(plugin) != record {
            private_folder::write(folder, &record_file(folder, plugin), &[record.to_string().as_bytes()])?;
            remove_unnamed(folder)?;
        }
        Ok(())
    }

    /// Forgets what was kept for other plugins than these.
    pub(crate) fn retain<'a>(&self, plugins: impl Iterator<Item = &'a PluginName>) {
        let Some(folder) = self.private_folder() else { return };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<PathBuf> = plugins.map(|plugin| record_file(folder, plugin)).collect();
        let forgotten: Vec<PathBuf> = files(folder, RECORD).filter(|file| !known.contains(file)).collect();
        if forgotten.is_empty() {
            return;
        }
        let removed = forgotten.iter().try_for_each(fs::remove_file).and_then(|()| remove_unnamed(folder));
        if let Err(error) = removed {
            tracing::warn!(folder = %folder.display(), %error, "components of former plugins cannot be removed");
        }
    }

    /// The folder, unless others could have written there.
    fn private_folder(&self) -> Option<&Path> {
        let folder = self.folder.as_deref()?;
        is_private(&fs::symlink_metadata(folder).ok()?).then_some(folder)
    }
}

/// Removes components that no record names.
fn remove_unnamed(folder: &Path) -> io::Result<()> {
    let read = |file: PathBuf| RegularFile::read_text(&file, MAX_RECORD_BYTES).ok();
    let records: Vec<Record> = files(folder, RECORD).filter_map(read).map(|text| Record::parse(&text)).collect();
    let digests = records.iter().flat_map(|record| [record.serving, record.before]).flatten();
    let named: Vec<PathBuf> = digests.map(|digest| component_file(folder, digest)).collect();
    files(folder, COMPONENT).filter(|file| !named.contains(file)).try_for_each(fs::remove_file)
}

fn files(folder: &Path, extension: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(move |file| file.extension().is_some_and(|own| own == extension))
}

fn component_file(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(digest.to_string().replace(':', "-")).with_extension(COMPONENT)
}

/// A plugin's name may have any character: all but letters, digits and `-` stand as their bytes in hexadecimal.
fn record_file(folder: &Path, plugin: &PluginName) -> PathBuf {
    let mut name = String::new();
    for byte in plugin.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            byte => write!(name, "_{byte:02x}").expect("a String takes all"),
        }
    }
    // Names of files are bounded, and digests tell longer names apart.
    if name.len() > 100 {
        name.truncate(100);
        name += &Digest::of(plugin.as_str().as_bytes()).to_string().replace(':', "_");
    }
    folder.join(format!("{name}.{RECORD}"))
}

impl Record {
    fn parse(text: &str) -> Record {
        let digest = |name: &str| text.lines().find_map(|line| Digest::parse(line.strip_prefix(name)?.trim()));
        Record { serving: digest("serving "), before: digest("before "), rolled_back: digest("rolled-back ") }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digests = [("serving", self.serving), ("before", self.before), ("rolled-back", self.rolled_back)];
        for (name, digest) in digests {
            if let Some(digest) = digest {
                writeln!(f, "{name} {digest}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> (tempfile::TempDir, KeptComponents) {
        let parent = tempfile::tempdir().unwrap();
        let kept = KeptComponents::new(Some(parent.path().join("components")));
        (parent, kept)
    }

    fn serving(component: &[u8]) -> Record {
        Record { serving: Some(Digest::of(component)), ..Record::default() }
    }

    #[test]
    fn what_serves_is_there_at_the_next_start_and_what_served_before_is_not() {
        let (_parent, kept) = kept();
        let plugin = PluginName::new("a/b c");
        assert_eq!(kept.record(&plugin), Record::default());
        kept.keep(&plugin, || serving(b"one"), Some(b"one"));
        assert_eq!(kept.record(&plugin), serving(b"one"));
        assert_eq!(kept.component(Digest::of(b"one")).as_deref(), Some(&b"one"[..]));
        let rolled_back = Record { rolled_back: Some(Digest::of(b"bad")), ..serving(b"two") };
        kept.keep(&plugin, || rolled_back, Some(b"two"));
        assert_eq!(kept.record(&plugin), rolled_back);
        assert!(kept.component(Digest::of(b"two")).is_some());
        assert_eq!(kept.component(Digest::of(b"one")), None);
    }

    #[test]
    fn the_version_before_stays_until_there_is_another() {
        let (_parent, kept) = kept();
        let plugin = PluginName::new("p");
        kept.keep(&plugin, || serving(b"one"), Some(b"one"));
        for (before, next) in [(b"one", b"two"), (b"two", b"new")] {
            let record = Record { before: Some(Digest::of(before)), ..serving(next) };
            kept.keep(&plugin, || record, Some(next));
            assert_eq!(kept.record(&plugin), record);
            assert!([before, next].iter().all(|component| kept.component(Digest::of(*component)).is_some()));
        }
        assert_eq!(kept.component(Digest::of(b"one")), None);
    }

    #[test]
    fn plugins_may_share_a_component_and_leave_one_by_one() {
        let (_parent, kept) = kept();
        let [one, other] = ["a_b", "a.b"].map(PluginName::new);
        for plugin in [&one, &other] {
            kept.keep(plugin, || serving(b"x"), Some(b"x"));
        }
        kept.retain([&other].into_iter());
        assert_eq!(kept.record(&one), Record::default());
        assert!(kept.component(Digest::of(b"x")).is_some());
        kept.retain(std::iter::empty());
        assert_eq!(kept.component(Digest::of(b"x")), None);
    }

    #[test]
    fn a_damaged_component_and_a_folder_of_others_are_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let (parent, kept) = kept();
        let (plugin, folder) = (PluginName::new("p"), parent.path().join("components"));
        kept.keep(&plugin, || serving(b"x"), Some(b"x"));
        fs::write(component_file(&folder, Digest::of(b"x")), b"y").unwrap();
        assert_eq!(kept.component(Digest::of(b"x")), None);
        kept.keep(&plugin, || serving(b"x"), Some(b"x"));
        assert!(kept.component(Digest::of(b"x")).is_some(), "it is written anew");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!((kept.record(&plugin), kept.component(Digest::of(b"x"))), (Record::default(), None));
    }
}
