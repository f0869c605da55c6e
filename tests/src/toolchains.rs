//! The tools that make components of projects in many languages, as `scripts/test.sh` installs them.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::command::{binary, leavings, repository};
use crate::script::require_packages;

/// The packages of `tests/languages/package.json`.
pub const PACKAGES: &str = "tests/languages";

/// A command of the gateway in `folder`, with all tools in its reach.
pub fn hubgate_in(folder: &Path) -> Command {
    tool_in(folder, binary())
}

/// Any command in `folder`, among them the tools that are in the gateway's reach.
pub fn tool_in(folder: &Path, program: impl AsRef<OsStr>) -> Command {
    let path = std::env::var("PATH").expect("there is a PATH");
    let mut command = Command::new(program);
    command.current_dir(folder).env("PATH", format!("{}:{path}", programs().display()));
    command.envs(rust_target());
    // Kept from run to run, so that what components are made of is built once.
    command.env("CARGO_TARGET_DIR", leavings("languages-target")).env("CARGO_NET_OFFLINE", "true");
    command
}

/// Gives a project in JavaScript or TypeScript its packages, and the SDK that is in its folder `hubgate`, as npm does.
pub fn link_packages(project: &Path) {
    require_packages(PACKAGES);
    let packages = project.join("node_modules");
    std::fs::create_dir(&packages).expect("the project can be written");
    let installed = std::fs::read_dir(repository().join(PACKAGES).join("node_modules")).expect("it can be listed");
    for package in installed.map(|entry| entry.expect("it can be listed").path()) {
        symlink(&package, packages.join(package.file_name().expect("it has a name"))).expect("it is new");
    }
    symlink("../hubgate", packages.join("hubgate")).expect("it is new");
}

/// A project of an example, which a build may write to. In JavaScript and TypeScript it is a copy with its packages.
#[derive(Debug)]
pub enum Project {
    InPlace(PathBuf),
    Copy(TempDir),
}

impl Project {
    pub fn path(&self) -> &Path {
        match self {
            Project::InPlace(path) => path,
            Project::Copy(folder) => folder.path(),
        }
    }
}

/// `example` is a folder in the repository.
pub fn project_of(example: &str) -> Project {
    let original = repository().join(example);
    if !original.join("package.json").is_file() {
        return Project::InPlace(original);
    }
    let copy = tempfile::tempdir().expect("there is room for a folder");
    copy_files(&original, copy.path());
    copy_files(&repository().join("sdk/js"), &copy.path().join("hubgate"));
    link_packages(copy.path());
    Project::Copy(copy)
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("there is room for a folder");
    for file in std::fs::read_dir(from).expect("it can be listed").map(|entry| entry.expect("it can be listed").path())
    {
        let name = file.file_name().expect("it has a name");
        match file.is_dir() {
            true if name == "node_modules" => {}
            true => copy_files(&file, &to.join(name)),
            false => drop(std::fs::copy(&file, to.join(name)).expect("there is room for a file")),
        }
    }
}

/// The folder of what `tests/languages/requirements.txt` names.
fn programs() -> PathBuf {
    let programs = leavings("languages").join("bin");
    assert!(programs.is_dir(), "{} is not there: scripts/test.sh makes it", programs.display());
    programs
}

/// The variables that a build needs where Rust's target for components is not installed.
fn rust_target() -> Vec<(String, String)> {
    let script = repository().join("scripts/wasm-target.sh");
    let print = "variables=$(\"$0\") && eval \"$variables\" && env";
    let printed = Command::new("bash").args(["-c", print]).arg(script).stderr(Stdio::inherit()).output();
    let printed = printed.expect("bash can be run");
    assert!(printed.status.success(), "scripts/wasm-target.sh finds a target");
    let lines = String::from_utf8_lossy(&printed.stdout).into_owned();
    let variables = lines.lines().filter_map(|line| line.split_once('='));
    let of_rust =
        variables.filter(|(name, _)| ["CARGO", "RUSTC"].contains(name) || name.starts_with("CARGO_TARGET_WASM"));
    of_rust.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
