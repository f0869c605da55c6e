//! Projects in Go, built by the Go toolchain for WASI's preview 1.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::tool::{self, absolute, run};

/// The first Go that exports functions from a module.
const OLDEST: u32 = 24;

/// Gives the core module, whose exports say its world.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    let version = version(&folder)?;
    if minor(&version).is_some_and(|minor| minor < OLDEST) {
        bail!("{version} is too old: plugins need Go 1.{OLDEST} or newer, from https://go.dev/dl");
    }
    let work = tool::temporary_folder()?;
    let module = work.path().join("module.wasm");
    let mut go = Command::new("go");
    // The flags leave out what a component has no use for: names for debuggers, and the paths of this machine.
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&module).arg(".");
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").current_dir(&folder);
    run(go, "go", "builds projects in Go")?;
    std::fs::read(&module).context("go has written no module")
}

/// `go1.26.1`, of the toolchain that the project's `go.mod` gets.
fn version(folder: &Path) -> Result<String> {
    if tool::find("go").is_none() {
        bail!("projects in Go are built by go, which is not installed; install it from https://go.dev/dl");
    }
    let output = Command::new("go").args(["env", "GOVERSION"]).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.context("go cannot be run")?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => bail!("go cannot be used here:\n{}", String::from_utf8_lossy(&output.stderr).trim_end()),
    }
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("go1.")?.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn releases_of_go_are_told_apart() {
        assert_eq!(super::minor("go1.26.8"), Some(26));
        assert_eq!(super::minor("go1.24rc1"), Some(24));
        assert_eq!(super::minor("devel go1.27-abc"), None);
    }
}
