//! Projects in JavaScript, built by the npm package `componentize-qjs`: a component with the engine QuickJS inside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use hubgate_plugin_host::mark_numbers_as_doubles;
use serde::Deserialize;

/// The contract that the script's imports and exports are checked against.
const CONTRACT: &str = include_str!("../../../../../wit/plugin.wit");
const TOOL: &str = "node_modules/.bin/componentize-qjs";
/// Goes before the script, and around what it exports.
const PRELUDE: &str = include_str!("javascript/prelude.js");

/// What of `package.json` counts.
#[derive(Deserialize)]
struct Package {
    /// The script.
    main: PathBuf,
    #[serde(default)]
    hubgate: Options,
}

/// What a package says for Hubgate alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What the script exports and may import, by its name in the contract.
    world: String,
}

impl Default for Options {
    fn default() -> Options {
        Options { world: "handler".to_owned() }
    }
}

/// Gives the component. What the project depends on is installed the first time.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let folder = folder.canonicalize().with_context(|| format!("{}: cannot be found", folder.display()))?;
    let manifest = folder.join("package.json");
    let package = std::fs::read(&manifest).with_context(|| format!("{}: cannot be read", manifest.display()))?;
    let package: Package = serde_json::from_slice(&package)
        .with_context(|| format!("{}: needs `main`, the script's file", manifest.display()))?;
    check_world(&package.hubgate.world).with_context(|| format!("{}: hubgate.world", manifest.display()))?;
    let tool = folder.join(TOOL);
    if !tool.exists() {
        install(&folder)?;
    }
    if !tool.exists() {
        bail!("{}: needs `componentize-qjs` among its devDependencies", manifest.display());
    }
    let mut component = componentize(&tool, &folder, &package)?;
    mark_numbers_as_doubles(&mut component);
    Ok(component)
}

fn componentize(tool: &Path, folder: &Path, package: &Package) -> Result<Vec<u8>> {
    // Beneath the project, where its script can be imported from.
    let work = tempfile::Builder::new().prefix(".hubgate-").tempdir_in(folder);
    let work = work.with_context(|| format!("{}: needs to be written for a moment", folder.display()))?;
    let file = |name: &str| work.path().join(name);
    std::fs::write(file("plugin.wit"), CONTRACT)?;
    std::fs::write(file("prelude.js"), PRELUDE)?;
    std::fs::write(file("entry.js"), entry(package)?)?;
    let mut command = Command::new(tool);
    command.arg("--wit").arg(file("plugin.wit")).args(["--world", &package.hubgate.world, "--sync"]);
    command.arg("--module-root").arg(folder).arg("--js").arg(file("entry.js"));
    command.arg("--output").arg(file("component.wasm")).current_dir(folder);
    run(command, "componentize-qjs", "needs Node.js: https://nodejs.org")?;
    std::fs::read(file("component.wasm")).context("componentize-qjs has written no component")
}

/// The script that a component begins with.
fn entry(package: &Package) -> Result<String> {
    let main = package.main.to_str().context("`main` is not Unicode")?;
    let main = serde_json::to_string(&format!("../{main}"))?;
    let world = &package.hubgate.world;
    let halves: &[&str] = match world.trim_end_matches("-with-http") {
        "handler" => &["lifecycle", "upstream"],
        "filter-inbound" => &["lifecycle", "inboundFilter"],
        "filter-outbound" => &["lifecycle", "outboundFilter"],
        _ => &["lifecycle", "inboundFilter", "outboundFilter"],
    };
    // Modules run in the order of their imports.
    let mut entry = format!("import {{ check, guard }} from \"./prelude.js\";\nimport * as script from {main};\n");
    entry += &format!("check(script, {}, {});\n", serde_json::to_string(world)?, serde_json::to_string(halves)?);
    for half in halves {
        entry += &format!("export const {half} = guard(script, \"{half}\");\n");
    }
    Ok(entry)
}

/// The worlds of the contract that the gateway serves.
fn check_world(world: &str) -> Result<()> {
    let half = world.strip_suffix("-with-http").unwrap_or(world);
    match CONTRACT.contains(&format!("world {world} {{")) && (half == "handler" || half.starts_with("filter")) {
        true => Ok(()),
        false => {
            bail!("\"{world}\" is not a world that the gateway serves; \"handler\" and \"filter\" are, among others")
        }
    }
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
