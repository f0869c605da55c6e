//! A plugin's file becomes another component, because an operator brings one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::load_error::LoadError;
use crate::plugin::{Plugin, PluginStatus};
use crate::plugin_host::PluginHost;
use crate::settings::PluginSource;

/// How long a component that is known to serve may take until it does.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it does.
const POLL: Duration = Duration::from_millis(20);

/// Why a plugin's file stays what it is, or does not serve.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    #[error("there is no plugin of this name")]
    NoPlugin,
    #[error("the plugin has no file: it is a part of this program")]
    NoFile,
    #[error("the component cannot be served: {0}")]
    Refused(LoadError),
    #[error("the component could not be tried for now: {0}")]
    NotNow(LoadError),
    #[error("the component is the one that was rolled back: change it")]
    RolledBack,
    #[error("another swap is under way: try again when it is over")]
    UnderWay,
    #[error(
        "{} cannot be written: {source}. Put the component there by hand, or name a file that the gateway may write \
         (`plugins.{plugin}.path`)",
        path.display()
    )]
    Unwritable { path: PathBuf, source: io::Error, plugin: String },
    /// The file has it already.
    #[error("{} has the component, but it does not serve: {reason}", path.display())]
    NotServing { path: PathBuf, reason: String },
}

/// The turn of a swap, of which there is one at a time: two would wait for each other's components, and each holds one in memory. It ends
/// when it is dropped.
#[derive(Debug)]
pub struct SwapTurn(Arc<AtomicBool>);

impl SwapTurn {
    /// Takes the turn, if nobody has it; `is_taken` is what all look at.
    fn take(is_taken: &Arc<AtomicBool>) -> Result<SwapTurn, SwapError> {
        match is_taken.swap(true, Ordering::AcqRel) {
            true => Err(SwapError::UnderWay),
            false => Ok(SwapTurn(is_taken.clone())),
        }
    }
}

impl Drop for SwapTurn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl PluginHost {
    /// The turn for [`PluginHost::swap_file`]; none is waited for.
    pub fn swap_turn(&self) -> Result<SwapTurn, SwapError> {
        SwapTurn::take(self.swapping())
    }

    /// The file of a plugin.
    pub fn file_of(&self, plugin: &str) -> Result<PathBuf, SwapError> {
        let plugin = self.named(plugin)?;
        file(&plugin).map(Path::to_owned)
    }

    /// Tries whether a component could be served in the place of a plugin's, and changes nothing; gives its digest. Blocks as
    /// [`PluginHost::start`] does.
    pub fn try_component(&self, _turn: SwapTurn, plugin: &str, component: &[u8]) -> Result<String, SwapError> {
        let plugin = self.named(plugin)?;
        self.try_for(&plugin, component).map(|digest| digest.to_string())
    }

    fn named(&self, plugin: &str) -> Result<Arc<Plugin>, SwapError> {
        self.plugins().iter().find(|each| each.name().as_str() == plugin).cloned().ok_or(SwapError::NoPlugin)
    }

    fn try_for(&self, plugin: &Plugin, component: &[u8]) -> Result<Digest, SwapError> {
        let digest = Digest::of(component);
        if plugin.versions().rolled_back == Some(digest) {
            return Err(SwapError::RolledBack);
        }
        if let Err(error) = self.loader().load(component, &plugin.surroundings, &|| false) {
            // What ends with the gateway was broken off, and says nothing of the component.
            let is_open = error.is_transient() || matches!(error, LoadError::Cancelled);
            return Err(if is_open { SwapError::NotNow(error) } else { SwapError::Refused(error) });
        }
        Ok(digest)
    }

    /// Puts a component into a plugin's file, if it can be served, all at once; gives what is known of the plugin once it serves. One that
    /// cannot be served leaves everything as it is. Blocks as [`PluginHost::start`] does.
    pub fn swap_file(&self, _turn: SwapTurn, plugin: &str, component: &[u8]) -> Result<PluginStatus, SwapError> {
        let found = self.named(plugin)?;
        let path = file(&found)?;
        let digest = self.try_for(&found, component)?;
        put(path, component).map_err(|source| {
            let plugin = plugin.to_owned();
            SwapError::Unwritable { path: path.to_owned(), source, plugin }
        })?;
        self.look_at_files();
        let deadline = Instant::now() + PATIENCE;
        while !found.versions().serves(digest) {
            if Instant::now() >= deadline {
                let reason = found.status().last_error.map(|error| error.reason);
                let reason = reason.unwrap_or_else(|| "it takes longer than a minute".to_owned());
                return Err(SwapError::NotServing { path: path.to_owned(), reason });
            }
            std::thread::sleep(POLL);
        }
        Ok(found.status())
    }
}

fn file(plugin: &Plugin) -> Result<&Path, SwapError> {
    match &plugin.surroundings.settings.source {
        PluginSource::File(path) => Ok(path),
        PluginSource::Embedded(_) => Err(SwapError::NoFile),
    }
}

/// Puts bytes in the place of what a file, or what a link leads to, has; whoever reads it meanwhile finds all of the one or of the other.
fn put(named: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that is away for the moment is made.
    let path = named.canonicalize().unwrap_or_else(|_| named.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let before = match fs::metadata(&path) {
        Ok(metadata) if metadata.permissions().readonly() => return Err(io::Error::other("it is read-only")),
        Ok(metadata) => {
            // Who may not write the file must not take its place either, whatever the folder allows.
            drop(File::options().write(true).open(&path)?);
            Some(metadata)
        }
        Err(_) => None,
    };
    let mut new = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(folder)?;
    new.write_all(bytes)?;
    if let Some(before) = before {
        let made = new.as_file().metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            fchown(new.as_file(), Some(before.uid()), Some(before.gid()))?;
        }
        new.as_file().set_permissions(before.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(&path)?;
    // The name of the file lasts with its folder. Where that cannot be had, it does a little later.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_swap_has_its_turn_until_it_is_over() {
        let is_taken = Arc::default();
        let first = SwapTurn::take(&is_taken).expect("nobody has it");
        assert!(matches!(SwapTurn::take(&is_taken), Err(SwapError::UnderWay)));
        drop(first);
        SwapTurn::take(&is_taken).map(drop).expect("it is over");
    }

    #[test]
    fn the_file_that_a_link_leads_to_changes_and_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, "one").expect("the folder is ours");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("it is ours");
        symlink("file", &link).expect("the folder is ours");
        put(&link, b"two").expect("it can be written");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).expect("it can be read"), b"two");
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).expect("it is a folder").count(), 2, "nothing else is left");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o440)).expect("it is ours");
        put(&link, b"three").expect_err("it is read-only");
        assert_eq!(fs::read(&file).expect("it can be read"), b"two");
    }
}
