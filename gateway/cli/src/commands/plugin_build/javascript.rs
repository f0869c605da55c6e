//! Projects in JavaScript and TypeScript, built by the npm package `componentize-qjs`: a component with the engine QuickJS
//! inside. TypeScript becomes one script before, by the npm package `esbuild`.

mod hints;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use hubgate_plugin_host::mark_numbers_as_doubles;
use serde::Deserialize;

use super::contract::{CONTRACT, Options, World};
use super::order::Order;
use super::tool::{COMPONENTIZE_QJS, ESBUILD, NPM, Tool, absolute};

macro_rules! prelude {
    ($($file:literal),+) => {
        &[$(($file, include_str!(concat!("javascript/", $file)))),+]
    };
}

/// Goes before the script, and around what it exports.
const PRELUDE: &[(&str, &str)] = prelude![
    "guard.js",
    "globals/index.js",
    "globals/call.js",
    "globals/clone.js",
    "globals/console.js",
    "globals/encoding.js",
    "globals/random.js",
    "globals/url.js",
    "globals/url-host.js",
    "globals/url-search.js"
];

/// What of `package.json` counts.
#[derive(Deserialize)]
struct Package {
    /// The script.
    main: PathBuf,
    #[serde(default)]
    hubgate: Options,
    /// The packages that the script may import.
    #[serde(default)]
    dependencies: BTreeMap<String, serde_json::Value>,
}

impl Package {
    fn read(folder: &Path) -> Result<Package> {
        let manifest = folder.join("package.json");
        let package = std::fs::read(&manifest).with_context(|| format!("{}: cannot be read", manifest.display()))?;
        serde_json::from_slice(&package)
            .with_context(|| format!("{}: needs `main`, the script's file", manifest.display()))
    }

    fn is_typescript(&self) -> bool {
        self.main.extension().is_some_and(|kind| kind == "ts" || kind == "mts")
    }
}

/// Whether the project's script is in TypeScript.
pub(super) fn is_typescript(folder: &Path) -> Result<bool> {
    Package::read(folder).map(|package| package.is_typescript())
}

/// Gives the component. What the project depends on is installed the first time.
pub(super) fn build(folder: &Path, order: &Order) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    let package = Package::read(&folder)?;
    let world = order.world_or(|| {
        let manifest = folder.join("package.json");
        World::named(&package.hubgate.world).with_context(|| format!("{}: hubgate.world", manifest.display()))
    })?;
    let mut tools = vec![&COMPONENTIZE_QJS];
    if package.is_typescript() {
        tools.push(&ESBUILD);
    }
    let is_there = |name: &String| folder.join("node_modules").join(name).exists();
    let has_tools = tools.iter().all(|tool| program(&folder, tool).exists());
    if !has_tools || !package.dependencies.keys().all(is_there) {
        install(&folder, order)?;
    }
    if let Some(tool) = tools.iter().find(|tool| !program(&folder, tool).exists()) {
        bail!("{}: needs `{}` among its devDependencies", folder.join("package.json").display(), tool.name);
    }
    for tool in tools {
        tool.check_version(&installed_version(&folder, tool)?)?;
    }
    let mut component = componentize(&folder, &package, world, order)?;
    mark_numbers_as_doubles(&mut component);
    Ok(component)
}

/// A program of the packages that the project depends on.
fn program(folder: &Path, tool: &Tool) -> PathBuf {
    folder.join("node_modules/.bin").join(tool.name)
}

fn installed_version(folder: &Path, tool: &Tool) -> Result<String> {
    #[derive(Deserialize)]
    struct Installed {
        version: String,
    }
    let manifest = folder.join("node_modules").join(tool.name).join("package.json");
    let package = std::fs::read(&manifest).with_context(|| format!("{}: cannot be read", manifest.display()))?;
    let package: Installed =
        serde_json::from_slice(&package).with_context(|| format!("{}: has no version", manifest.display()))?;
    Ok(package.version)
}

fn componentize(folder: &Path, package: &Package, world: World, order: &Order) -> Result<Vec<u8>> {
    // Beneath the project, where its script can be imported from.
    let work = tempfile::Builder::new().prefix(".hubgate-").tempdir_in(folder);
    let work = work.with_context(|| format!("{}: needs to be written for a moment", folder.display()))?;
    let file = |name: &str| work.path().join(name);
    let main = package.main.to_str().context("`main` is not Unicode")?;
    let script = match package.is_typescript() {
        true => {
            bundle(folder, &package.main, &file("script.js"), order)?;
            "./script.js".to_owned()
        }
        false => format!("../{main}"),
    };
    std::fs::write(file("plugin.wit"), CONTRACT)?;
    std::fs::create_dir(file("globals"))?;
    for (path, text) in PRELUDE {
        std::fs::write(file(path), text)?;
    }
    std::fs::write(file("entry.js"), entry(&script, world)?)?;
    let mut command = Command::new(program(folder, &COMPONENTIZE_QJS));
    command.arg("--wit").arg(file("plugin.wit")).args(["--world", world.name(), "--sync"]);
    command.arg("--module-root").arg(module_root(folder, package)).arg("--js").arg(file("entry.js"));
    command.arg("--output").arg(file("component.wasm")).current_dir(folder);
    COMPONENTIZE_QJS.run(command, order).map_err(hints::explained)?;
    std::fs::read(file("component.wasm")).context("componentize-qjs has written no component")
}

/// The innermost folder that holds the project and all packages that its script may import: npm links those that are folders.
fn module_root(folder: &Path, package: &Package) -> PathBuf {
    let real = |name: &String| folder.join("node_modules").join(name).canonicalize().ok();
    let packages = package.dependencies.keys().filter_map(real);
    packages.fold(folder.to_owned(), |root, package| {
        let holds_both = |ancestor: &&Path| package.starts_with(ancestor);
        root.ancestors().find(holds_both).unwrap_or(Path::new("/")).to_owned()
    })
}

/// Makes one script of `main` and all that it imports, but for the contract's interfaces.
fn bundle(folder: &Path, main: &Path, script: &Path, order: &Order) -> Result<()> {
    let mut output = std::ffi::OsString::from("--outfile=");
    output.push(script);
    let mut command = Command::new(program(folder, &ESBUILD));
    command.arg(Path::new(".").join(main)).args([
        "--bundle",
        "--format=esm",
        "--target=es2023",
        "--external:hubgate:*",
    ]);
    command.args(["--log-level=warning"]).arg(output).current_dir(folder);
    ESBUILD.run(command, order).map_err(hints::explained)
}

/// The script that a component begins with.
fn entry(script: &str, world: World) -> Result<String> {
    let script = serde_json::to_string(script)?;
    let halves: Vec<String> = world.exports().iter().map(|interface| lower_camel(interface)).collect();
    // Modules run in the order of their imports.
    let mut entry =
        format!("import {{ check, exportsOf, guard }} from \"./guard.js\";\nimport * as script from {script};\n");
    entry += "const exported = exportsOf(script);\n";
    entry +=
        &format!("check(exported, {}, {});\n", serde_json::to_string(world.name())?, serde_json::to_string(&halves)?);
    for half in halves {
        entry += &format!("export const {half} = guard(exported, \"{half}\");\n");
    }
    Ok(entry)
}

/// What a script calls an interface.
fn lower_camel(interface: &str) -> String {
    let mut words = interface.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

fn install(folder: &Path, order: &Order) -> Result<()> {
    let is_locked = ["package-lock.json", "npm-shrinkwrap.json"].iter().any(|lock| folder.join(lock).is_file());
    let mut command = Command::new("npm");
    match is_locked {
        true => command.arg("ci"),
        false => command.args(["install", "--no-package-lock"]),
    };
    command.args(["--no-audit", "--no-fund"]).current_dir(folder);
    NPM.run(command, order)
}
