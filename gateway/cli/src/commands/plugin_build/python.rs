//! Projects in Python, built by `componentize-py`: a component with the interpreter CPython inside.

mod first_import;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::super::sdk;
use super::contract::{CONTRACT, Options, World};
use super::order::Order;
use super::tool::{self, COMPONENTIZE_PY, absolute};

/// The module that a project begins with, without its `.py`.
const MODULE: &str = "app";
/// The module that a component begins with: it exports what the project's own module does, or has decorated.
const ENTRY: &str = "hubgate_entry";

/// What is so before the project's own modules run. Printed text that is not Unicode must not break a call off; and what chance
/// gives to them is part of the component: each instance would have the same.
const SURROUNDINGS: &str = "\
import os, random, sys
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors='backslashreplace')
def no_chance(*_):
    raise RuntimeError('there is no chance while modules are imported, which happens once, when the component is built: '
                       'each instance would have the same. Ask for it in a method, or in a function with @init')
def no_chance_of_its_own(self, a=None, version=2):
    return no_chance() if a is None else seed(self, a, version)
chance, os.urandom, random._urandom = os.urandom, no_chance, no_chance
seed, random.Random.seed = random.Random.seed, no_chance_of_its_own
";
/// What is so from then on.
const CHANCE: &str = "os.urandom = random._urandom = chance\nrandom.Random.seed = seed\n";

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
pub(super) fn build(folder: &Path, order: &Order) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    if !folder.join(format!("{MODULE}.py")).is_file() {
        bail!("{}: there is no {MODULE}.py, which a plugin in Python begins with", folder.display());
    }
    let world = order.world_or(|| world_of(&folder.join("pyproject.toml")))?;
    let work = tool::temporary_folder()?;
    let contract = work.path().join("plugin.wit");
    std::fs::write(&contract, CONTRACT).with_context(|| format!("{}: cannot be written", contract.display()))?;
    let libraries = work.path().join("libraries");
    write_libraries(world, &libraries).with_context(|| format!("{}: cannot be written", libraries.display()))?;
    let component = work.path().join("component.wasm");
    let mut asked = componentize(&folder)?;
    asked.arg("--version");
    COMPONENTIZE_PY.check_version_of(asked)?;
    first_import::check(&folder, &libraries, world)?;
    // With `--stub-wasi` the text of an exception would be lost.
    let mut command = componentize(&folder)?;
    command.arg("-d").arg(&contract).args(["-w", world.name(), "componentize", ENTRY]);
    command.arg("-p").arg(&folder).arg("-p").arg(&libraries).arg("-o").arg(&component).current_dir(work.path());
    // Where its own program was is of no use to anybody.
    command.env("RUST_BACKTRACE", "0");
    COMPONENTIZE_PY.run(command, order).map_err(shorten)?;
    std::fs::read(&component).context("componentize-py has written no component")
}

/// What a component has beside the project: the package and the module that it begins with.
fn write_libraries(world: World, folder: &Path) -> std::io::Result<()> {
    for (path, text) in sdk::PYTHON {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(folder))?;
        std::fs::write(file, text)?;
    }
    std::fs::write(folder.join(format!("{ENTRY}.py")), entry(world))
}

/// The module that exports the classes of a world: those of the project's module, or else those that the package makes of what
/// it has decorated.
fn entry(world: World) -> String {
    let mut text = format!("{SURROUNDINGS}import {MODULE}\n{CHANCE}");
    for class in world.exports().iter().map(|interface| upper_camel(interface)) {
        text += &format!("if hasattr({MODULE}, '{class}'):\n    {class} = {MODULE}.{class}\n");
        text += &format!("else:\n    from hubgate.exports import export\n    {class} = export('{class}')\n");
    }
    text
}

/// What a class is called that has an interface's functions.
fn upper_camel(interface: &str) -> String {
    let words = interface.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect()
}

/// Leaves Python's own words of the tool's complaint: what went wrong in the project, and where.
fn shorten(error: anyhow::Error) -> anyhow::Error {
    let text = error.to_string();
    let python = text.split_once("AssertionError: ").map_or(text.as_str(), |(_, python)| python);
    let python = python.split("\n\nCaused by:").next().unwrap_or(python).trim_end();
    // The tool sees the project and the package under these names.
    anyhow::anyhow!("{}", first_import::advised(&python.replace("\"/0/", "\"").replace("\"/1/", "\"")))
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

/// The tool of the project's own environment if it is there, otherwise that of `PATH`; either finds the environment's packages.
fn componentize(folder: &Path) -> Result<Command> {
    let environment = folder.join(".venv");
    let own = environment.join("bin/componentize-py");
    let found = if own.is_file() { Some(own) } else { tool::find("componentize-py") };
    let mut command = Command::new(found.ok_or_else(|| COMPONENTIZE_PY.missing())?);
    if environment.is_dir() {
        command.env("VIRTUAL_ENV", environment);
    }
    Ok(command)
}
