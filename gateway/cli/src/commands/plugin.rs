//! `hubgate plugin`: makes components and says whether the gateway can serve them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use hubgate_plugin_host::{MAX_COMPONENT_BYTES, RegularFile};

use super::admin_client::{AdminClient, AdminOptions, NoAnswer, percent_encode};
use super::plugin_build::{self, Language};
use super::plugin_check;
use super::plugin_new::{self, Kind};
use super::plugin_test::{self, shown};
use crate::process::uninterrupted;
use crate::{Failure, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Makes the folder of a new project, which builds and has a test.
    New {
        /// The folder; the plugin is named after it.
        name: PathBuf,
        #[arg(long)]
        language: Language,
        #[arg(long, default_value = "handler")]
        kind: Kind,
    },
    /// Builds a component from a project in Rust, JavaScript, TypeScript, Python, Go or C, or from a core module that another tool made.
    Build {
        /// The project's folder, or a `.wasm` file.
        source: PathBuf,
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        order: plugin_build::Order,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Writes the contract with plugins, `plugin.wit`, for other tools to make bindings of.
    Wit {
        /// The folder that it is written into.
        #[arg(short, long, value_name = "DIR", default_value = "wit")]
        output: PathBuf,
    },
    /// Says what a component can be used for, and tries each of its exports; exit code 1 and the reason if it cannot serve.
    Check(plugin_check::Arguments),
    /// Brings a plugin the events of scripts, without a gateway, and says what does not come as they expect it; exit code 1 then.
    Test(plugin_test::Arguments),
    /// Lists the plugins of a running gateway.
    Ls {
        #[command(flatten)]
        gateway: AdminOptions,
        /// Prints each plugin as a JSON object on a line.
        #[arg(long)]
        json: bool,
    },
    /// Writes a component into the file of a plugin of a running gateway, and serves it; one that cannot be served is refused, and the version
    /// that serves goes on.
    Swap {
        /// The plugin's name in the configuration.
        name: String,
        /// The component.
        file: PathBuf,
        /// Tells whether the gateway could serve the component, and changes nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        gateway: AdminOptions,
        /// Prints the answer as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Brings back the version of a plugin that served before the present one, in a running gateway.
    Rollback {
        /// The plugin's name in the configuration.
        name: String,
        #[command(flatten)]
        gateway: AdminOptions,
        /// Prints what is known of the plugin then as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// How long the gateway may take to try a component, or to load one again: compilers take seconds, minutes for large ones.
const SWAP_PATIENCE: Duration = Duration::from_secs(300);

/// What to do with a new project.
fn next_steps(project: &Path, kind: Kind) -> String {
    let name = project.file_name().unwrap_or_default().display();
    let project = project.display();
    let serve = match kind {
        Kind::Handler | Kind::Hub => {
            format!("\nserve it, built again on each save: hubgate dev --watch {project} --hub {name}")
        }
        Kind::Filter => String::new(),
    };
    format!(
        "{project}: README.md says what it needs\n\
         build it: hubgate plugin build {project} -o {project}.wasm\n\
         test it: hubgate plugin test {project}{serve}"
    )
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Swap { name, file, dry_run, gateway, json } => swap(&name, &file, dry_run, (&gateway, json)),
        Command::Rollback { name, gateway, json } => roll_back(&name, &gateway, json),
        Command::Ls { gateway, json } => list(&gateway, json),
        Command::New { name, language, kind } => {
            plugin_new::create(&name, language, kind)?;
            print(next_steps(&name, kind))
        }
        Command::Build { source, output, order, json } => {
            let report = uninterrupted(|| plugin_build::build(&source, &output, &order))?;
            if json {
                return print(report.as_json(&output));
            }
            let remark = report.language.and_then(Language::remark).map(|remark| format!("\n{remark}"));
            print(format_args!("{}: {report}{}", output.display(), remark.unwrap_or_default()))
        }
        Command::Wit { output } => {
            let file = plugin_build::write_contract(&output)?;
            print(format_args!("{}", file.display()))
        }
        Command::Test(arguments) => plugin_test::run(&arguments),
        Command::Check(arguments) => plugin_check::run(&arguments),
    }
}

fn list(gateway: &AdminOptions, json: bool) -> Result<(), Failure> {
    let answer = AdminClient::new(gateway)?.get("/admin/plugins")?;
    for plugin in answer["plugins"].as_array().into_iter().flatten() {
        if json {
            print(plugin)?;
            continue;
        }
        let field = |field: &str| shown(plugin[field].as_str().unwrap_or("-"));
        print(format_args!(
            "{}: {}, generation {}, {} calls, {} broke off, {}",
            field("name"),
            field("state"),
            plugin["generation"],
            plugin["calls"],
            plugin["traps"],
            field("digest")
        ))?;
        if let Some(reason) = plugin["lastError"]["reason"].as_str() {
            print(format_args!("  its file does not serve: {}", shown(reason)))?;
        }
    }
    Ok(())
}

fn swap(name: &str, file: &Path, dry_run: bool, (gateway, json): (&AdminOptions, bool)) -> Result<(), Failure> {
    let component = RegularFile::read(file, MAX_COMPONENT_BYTES)
        .map_err(|error| Failure::Usage(anyhow!(error).context(format!("{}: cannot be read", file.display()))))?;
    let client = AdminClient::new(gateway)?.with_patience(SWAP_PATIENCE);
    let query = if dry_run { "?dry-run" } else { "" };
    let path = format!("/admin/plugins/{}/swap{query}", percent_encode(name));
    let status = client.post_component(&path, &component.bytes).map_err(|error| unless_answered(error, "swapped"))?;
    match json {
        true => print(status),
        false if dry_run => {
            let digest = shown(status["digest"].as_str().unwrap_or("?"));
            print(format_args!("{}: {digest} would serve; nothing was changed", shown(name)))
        }
        false => {
            let digest = shown(status["digest"].as_str().unwrap_or("?"));
            print(format_args!("{}: {digest} serves, as generation {}", shown(name), status["generation"]))
        }
    }
}

/// Says that nothing is known of a change whose answer has not come.
fn unless_answered(error: anyhow::Error, change: &str) -> anyhow::Error {
    match error.is::<NoAnswer>() {
        true => error
            .context(format!("it is not known whether the plugin was {change}: `hubgate plugin ls` tells what serves")),
        false => error,
    }
}

fn roll_back(name: &str, gateway: &AdminOptions, json: bool) -> Result<(), Failure> {
    let name_in_path = percent_encode(name);
    let client = AdminClient::new(gateway)?.with_patience(SWAP_PATIENCE);
    let status = client.post(&format!("/admin/plugins/{name_in_path}/rollback"));
    let status = status.map_err(|error| unless_answered(error, "rolled back"))?;
    match json {
        true => print(status),
        false => {
            let field = |field: &str| status[field].as_str().unwrap_or("?").to_owned();
            let (digest, before) = (field("digest"), field("rolledBackFrom"));
            print(format_args!(
                "{name}: {digest} serves again, as generation {}, instead of {before}",
                status["generation"]
            ))
        }
    }
}
