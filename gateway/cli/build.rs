//! What `hubgate --version` tells beside the version: which commit is built, against which contract and with which engine.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// For what cannot be found out, as in a package that is built without the repository.
const UNKNOWN: &str = "unknown";
/// By these, packages say what git cannot tell them.
const COMMIT: &str = "HUBGATE_COMMIT";
const DATE: &str = "HUBGATE_COMMIT_DATE";

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&folder).join("../..");
    let commit = said(COMMIT).or_else(|| git(&root, &["rev-parse", "--short=12", "HEAD"]));
    let date = said(DATE).or_else(|| git(&root, &["log", "-1", "--format=%cs"]));
    let contract = line(&root.join("wit/plugin.wit"), |line| line.strip_prefix("package ")?.strip_suffix(';'));
    for (name, value) in
        [(COMMIT, commit), (DATE, date), ("HUBGATE_CONTRACT", contract), ("HUBGATE_WASMTIME", wasmtime(&root))]
    {
        println!("cargo::rustc-env={name}={}", value.as_deref().unwrap_or(UNKNOWN));
    }
    println!("cargo::rerun-if-changed=build.rs");
    watch(&root.join(".git/logs/HEAD"));
}

fn said(variable: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={variable}");
    env::var(variable).ok().filter(|value| !value.trim().is_empty())
}

/// Asks the repository whose root this is, and no other one that the sources may lie in.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--git-dir").arg(root.join(".git")).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What `part` finds in the first line that has it.
fn line(file: &Path, part: impl Fn(&str) -> Option<&str>) -> Option<String> {
    watch(file);
    fs::read_to_string(file).ok()?.lines().find_map(part).map(str::to_owned)
}

/// The version of the engine, as it is locked.
fn wasmtime(root: &Path) -> Option<String> {
    let file = root.join("Cargo.lock");
    watch(&file);
    let lock = fs::read_to_string(file).ok()?;
    let (_, package) = lock.split_once("name = \"wasmtime\"\nversion = \"")?;
    package.split_once('"').map(|(version, _)| version.to_owned())
}

/// A file that is not there would make every build run this again.
fn watch(file: &Path) {
    if file.exists() {
        println!("cargo::rerun-if-changed={}", file.display());
    }
}
