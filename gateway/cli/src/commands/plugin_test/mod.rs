//! `hubgate plugin test`: brings a plugin the events of scripts, without a gateway, and compares what comes with what they expect.

mod asks;
mod deeds;
mod differences;
mod forms;
mod hub;
mod performance;
mod script;
mod script_file;
mod sign_in;
mod step;
mod streams;
mod timers;
mod update;
mod values;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use hubgate_core::id::PluginName;
use hubgate_plugin_host::{MAX_COMPONENT_BYTES, RegularFile, Stage};
use serde_json::json;

use super::plugin_build::{self, Order};
use super::run_gateway::compilation;
use crate::process::uninterrupted;
use crate::{Failure, print};
use differences::{Difference, differences};
use performance::Came;
use script::ExpectForm;
use script_file::{ScriptError, ScriptFile};
pub(super) use values::shown;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A project's folder, which is built first, or a component.
    source: PathBuf,
    /// A script of events; may be given several times. If not said: all `.toml` files of the folder `tests`, in the project or beside the
    /// component.
    #[arg(long, value_name = "FILE")]
    script: Vec<PathBuf>,
    /// Writes what comes into the scripts as what is expected.
    #[arg(long)]
    update: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// A script and what came of it.
#[derive(Debug)]
struct Played {
    file: ScriptFile,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    line: usize,
    title: String,
    differences: Vec<Difference>,
}

/// Exit code 1 says that something is not as expected, 2 that a script or the component cannot be used.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let files = scripts(arguments).map_err(Failure::Usage)?;
    // Before anything is built: a mistake in a script is told at once.
    let mut scripts = Vec::with_capacity(files.len());
    for path in &files {
        let file = ScriptFile::read(path).map_err(usage)?;
        let script = file.parse().map_err(usage)?;
        scripts.push((file, script));
    }
    let stage = stage(&arguments.source).map_err(Failure::Usage)?;
    let plugin = PluginName::new(name_of(&arguments.source));
    let mut played = Vec::with_capacity(scripts.len());
    for (file, (script, events)) in scripts {
        let came = performance::play(&stage, &plugin, &file, (&script, &events)).map_err(usage)?;
        let expects = script.step.iter().map(|step| step.as_ref().expect.as_ref().map(|expect| expect.as_ref()));
        let came: Vec<(Option<&ExpectForm>, Came)> = expects.zip(came).collect();
        if arguments.update {
            write_what_came(&file, &came)?;
        }
        let steps = script.step.iter().zip(&events).zip(&came).map(|((step, event), (expect, came))| Step {
            line: file.line(step.span().start),
            title: event.title(),
            differences: if arguments.update { Vec::new() } else { differences(*expect, came) },
        });
        let steps = steps.collect();
        played.push(Played { file, steps });
    }
    report(&played, arguments)
}

fn usage(error: ScriptError) -> Failure {
    Failure::Usage(anyhow!(error))
}

/// The scripts that are to be played, in the order of their names.
fn scripts(arguments: &Arguments) -> Result<Vec<PathBuf>> {
    if !arguments.script.is_empty() {
        return Ok(arguments.script.clone());
    }
    let source = &arguments.source;
    let folder = match source.is_dir() {
        true => source.as_path(),
        false => source.parent().unwrap_or(Path::new("")),
    };
    let folder = folder.join("tests");
    let entries = std::fs::read_dir(&folder).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
    let mut scripts: Vec<PathBuf> = match entries {
        Ok(entries) => entries.filter(|file| file.extension().is_some_and(|kind| kind == "toml")).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", folder.display())),
    };
    if scripts.is_empty() {
        let folder = folder.display();
        return Err(anyhow!(
            "{folder}: there is no script; write {folder}/hello.toml (docs/plugin-test.md says how), or give --script FILE"
        ));
    }
    scripts.sort();
    Ok(scripts)
}

/// The component of the project, or in the file, ready to be called.
fn stage(source: &Path) -> Result<Stage> {
    let component = match source.is_dir() {
        true => uninterrupted(|| plugin_build::component(source, &Order::default()))?.bytes,
        false => {
            let file = RegularFile::read(source, MAX_COMPONENT_BYTES);
            file.with_context(|| format!("{}: cannot be read", source.display()))?.bytes
        }
    };
    Stage::load(&component, compilation(None)).with_context(|| format!("{}: cannot serve", source.display()))
}

/// What the plugin is called in its log: as the folder or the file.
fn name_of(source: &Path) -> String {
    let path = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    path.file_stem().map_or_else(|| "plugin".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn write_what_came(file: &ScriptFile, came: &[(Option<&ExpectForm>, Came)]) -> Result<(), Failure> {
    let text = update::updated(&file.text, came).with_context(|| format!("{}", file.path.display()));
    let text = text.map_err(Failure::Usage)?;
    if text != file.text {
        update::write(&file.path, &text)?;
    }
    Ok(())
}

fn report(played: &[Played], arguments: &Arguments) -> Result<(), Failure> {
    let steps = || played.iter().flat_map(|script| &script.steps);
    let differing = steps().filter(|step| !step.differences.is_empty()).count();
    match arguments.json {
        true => print(as_json(played, steps().count() - differing, differing))?,
        false => print_plainly(played, steps().count(), differing, arguments.update)?,
    }
    match differing {
        0 => Ok(()),
        _ => Err(Failure::Failed(anyhow!("not all is as expected; where what came is right, --update writes it down"))),
    }
}

fn print_plainly(played: &[Played], steps: usize, differing: usize, is_update: bool) -> Result<(), Failure> {
    for Played { file, steps } in played {
        for (index, Step { line, title, differences }) in steps.iter().enumerate() {
            if differences.is_empty() {
                continue;
            }
            print(format_args!("{}:{line}: step {}, {}", file.path.display(), index + 1, shown(title)))?;
            for Difference { expected, got } in differences {
                let expected = expected.iter().map(|line| ('-', line));
                for (sign, line) in expected.chain(got.iter().map(|line| ('+', line))) {
                    print(format_args!("  {sign} {}", shown(line)))?;
                }
            }
        }
    }
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let all = format!("{}, {}", count(played.len(), "script"), count(steps, "step"));
    match (is_update, differing) {
        (true, _) => print(format_args!("{all}: what came is what is expected now")),
        (false, 0) => print(format_args!("{all}: all as expected")),
        (false, differing) => print(format_args!("{all}: {differing} not as expected (- expected, + came)")),
    }
}

fn as_json(played: &[Played], passed: usize, failed: usize) -> serde_json::Value {
    let step = |step: &Step| json!({ "line": step.line, "step": step.title, "passed": step.differences.is_empty(), "differences": step.differences });
    let script = |script: &Played| {
        let steps: Vec<_> = script.steps.iter().map(step).collect();
        json!({ "file": script.file.path, "steps": steps })
    };
    json!({ "passed": passed, "failed": failed, "scripts": played.iter().map(script).collect::<Vec<_>>() })
}
