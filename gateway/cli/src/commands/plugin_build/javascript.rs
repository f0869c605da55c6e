//! Projects in JavaScript, built by the npm package `componentize-qjs`: a component with the engine QuickJS inside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The contract that the script's imports and exports are checked against.
const CONTRACT: &str = include_str!("../../../../../wit/plugin.wit");
const WORLD: &str = "handler";
const TOOL: &str = "node_modules/.bin/componentize-qjs";

/// What of `package.json` counts.
#[derive(Deserialize)]
struct Package {
    /// The script.
    main: PathBuf,
}

/// Gives the component. What the project depends on is installed the first time.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let folder = folder.canonicalize().with_context(|| format!("{}: cannot be found", folder.display()))?;
    let manifest = folder.join("package.json");
    let package = std::fs::read(&manifest).with_context(|| format!("{}: cannot be read", manifest.display()))?;
    let package: Package = serde_json::from_slice(&package)
        .with_context(|| format!("{}: needs `main`, the script's file", manifest.display()))?;
    let tool = folder.join(TOOL);
    if !tool.exists() {
        install(&folder)?;
    }
    if !tool.exists() {
        bail!("{}: needs `componentize-qjs` among its devDependencies", manifest.display());
    }
    let work = tempfile::tempdir().context("no room for a folder")?;
    let (contract, component) = (work.path().join("plugin.wit"), work.path().join("component.wasm"));
    std::fs::write(&contract, CONTRACT)?;
    let mut command = Command::new(&tool);
    command.arg("--wit").arg(&contract).args(["--world", WORLD, "--sync"]).arg("--module-root").arg(&folder);
    command.arg("--js").arg(folder.join(&package.main)).arg("--output").arg(&component).current_dir(&folder);
    run(command, "componentize-qjs", "needs Node.js: https://nodejs.org")?;
    std::fs::read(&component).context("componentize-qjs has written no component")
}

fn install(folder: &Path) -> Result<()> {
    let is_locked = ["package-lock.json", "npm-shrinkwrap.json"].iter().any(|lock| folder.join(lock).is_file());
    let mut command = Command::new("npm");
    match is_locked {
        true => command.arg("ci"),
        false => command.args(["install", "--no-package-lock"]),
    };
    command.args(["--no-audit", "--no-fund"]).current_dir(folder);
    run(command, "npm", "installs what the project depends on; it comes with Node.js: https://nodejs.org")
}

/// Runs a tool, whose own words go to standard error; `cure` says what it is needed for.
fn run(mut command: Command, name: &str, cure: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be run; it {cure}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = [output.stdout, output.stderr].concat();
            bail!("{name} has failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim_end())
        }
    }
}
