//! Projects in Python, built by `componentize-py`: a component with the interpreter CPython inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::contract::{CONTRACT, Options, World};
use super::tool::{self, absolute, run};

/// The module that a component begins with, without its `.py`.
const MODULE: &str = "app";

/// What of `pyproject.toml` counts.
#[derive(Deserialize, Default)]
struct Project {
    #[serde(default)]
    tool: Tools,
}

#[derive(Deserialize, Default)]
struct Tools {
    #[serde(default)]
    hubgate: Options,
}

/// Gives the component.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    if !folder.join(format!("{MODULE}.py")).is_file() {
        bail!("{}: there is no {MODULE}.py, which a plugin in Python begins with", folder.display());
    }
    let world = world_of(&folder.join("pyproject.toml"))?;
    let work = tool::temporary_folder()?;
    let contract = work.path().join("plugin.wit");
    std::fs::write(&contract, CONTRACT).with_context(|| format!("{}: cannot be written", contract.display()))?;
    let component = work.path().join("component.wasm");
    // With `--stub-wasi` the text of an exception would be lost.
    let mut command = componentize(&folder)?;
    command.arg("-d").arg(&contract).args(["-w", world.name(), "componentize", MODULE]);
    command.arg("-p").arg(&folder).arg("-o").arg(&component).current_dir(work.path());
    run(command, "componentize-py", "builds projects in Python")?;
    std::fs::read(&component).context("componentize-py has written no component")
}

fn world_of(manifest: &Path) -> Result<World> {
    let text = match std::fs::read_to_string(manifest) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", manifest.display())),
    };
    let project: Project = toml::from_str(&text).with_context(|| format!("{}", manifest.display()))?;
    World::named(&project.tool.hubgate.world).with_context(|| format!("{}: tool.hubgate.world", manifest.display()))
}

/// The tool of the project's own environment if it has one, whose packages it finds as well; otherwise that of `PATH`.
fn componentize(folder: &Path) -> Result<Command> {
    let environment = folder.join(".venv");
    let own: PathBuf = environment.join("bin/componentize-py");
    if own.is_file() {
        let mut command = Command::new(own);
        command.env("VIRTUAL_ENV", environment);
        return Ok(command);
    }
    match tool::find("componentize-py") {
        Some(found) => Ok(Command::new(found)),
        None => bail!(
            "projects in Python are built by componentize-py, which is not installed; install it with `pip install \
             componentize-py==0.25.1`, in the project's .venv or for all"
        ),
    }
}
