//! A plugin's file becomes another component, because an operator brings one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
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
    #[error("the component is the one that was rolled back: change it, or roll back to it")]
    RolledBack,
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

impl PluginHost {
    /// The file of a plugin.
    pub fn file_of(&self, plugin: &str) -> Result<PathBuf, SwapError> {
        let plugins = self.plugins();
        let found = plugins.iter().find(|each| each.name().as_str() == plugin).ok_or(SwapError::NoPlugin)?;
        file(found).map(Path::to_owned)
    }

    /// Puts a component into a plugin's file, if it can be served, all at once; gives what is known of the plugin once it serves. One that
    /// cannot be served leaves everything as it is. Blocks as [`PluginHost::start`] does.
    pub fn swap_file(&self, plugin: &str, component: &[u8]) -> Result<PluginStatus, SwapError> {
        let plugins = self.plugins();
        let found = plugins.iter().find(|each| each.name().as_str() == plugin).ok_or(SwapError::NoPlugin)?;
        let path = file(found)?;
        let digest = Digest::of(component);
        if found.versions().rolled_back == Some(digest) {
            return Err(SwapError::RolledBack);
        }
        if let Err(error) = self.loader().load(component, &found.surroundings, &|| false) {
            return Err(if error.is_transient() { SwapError::NotNow(error) } else { SwapError::Refused(error) });
        }
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
    let permissions = match fs::metadata(&path) {
        Ok(metadata) if metadata.permissions().readonly() => return Err(io::Error::other("it is read-only")),
        Ok(metadata) => {
            // Who may not write the file must not take its place either, whatever the folder allows.
            drop(File::options().write(true).open(&path)?);
            Some(metadata.permissions())
        }
        Err(_) => None,
    };
    let mut new = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(folder)?;
    new.write_all(bytes)?;
    if let Some(permissions) = permissions {
        new.as_file().set_permissions(permissions)?;
    }
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

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
