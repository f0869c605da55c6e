//! Projects in Go, built by the Go toolchain for WASI's preview 1.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::order::Order;
use super::tool::{self, GO, absolute};

/// Gives the core module, whose exports say its world.
pub(super) fn build(folder: &Path, order: &Order) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    GO.check_version(&version(&folder)?)?;
    let work = tool::temporary_folder()?;
    let module = work.path().join("module.wasm");
    let mut go = Command::new("go");
    // The flags leave out what a component has no use for: names for debuggers, and the paths of this machine.
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&module).arg(".");
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").current_dir(&folder);
    GO.run(go, order)?;
    std::fs::read(&module).context("go has written no module")
}

/// `go1.26.1`, of the toolchain that the project's `go.mod` gets.
fn version(folder: &Path) -> Result<String> {
    if tool::find("go").is_none() {
        return Err(GO.missing());
    }
    let output = Command::new("go").args(["env", "GOVERSION"]).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.context("go cannot be run")?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => bail!("go cannot be used here:\n{}", String::from_utf8_lossy(&output.stderr).trim_end()),
    }
}
