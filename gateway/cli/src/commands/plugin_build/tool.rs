//! The toolchains' programs: found, and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The program `name` in one of the folders of `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a tool, whose own words are part of the error; `cure` says what it is needed for.
pub(super) fn run(mut command: Command, name: &str, cure: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be run; it {cure}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = [output.stdout, output.stderr].concat();
            bail!("{name} has failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim_end())
        }
    }
}

/// A folder inside of the system's temporary one, gone with the value.
pub(super) fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("hubgate-").tempdir().context("the temporary folder cannot be written")
}

/// The file's absolute path; fails if it is not there.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("{}: cannot be found", path.display()))
}
