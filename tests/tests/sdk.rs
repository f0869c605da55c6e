//! What wraps the contract for plugins: whole as a package, and whole in a new project.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use hubgate_tests::command::{Finished, repository};
use hubgate_tests::toolchains::hubgate_in;

/// What cargo adds to a package.
const OF_CARGO: [&str; 3] = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml.orig"];

#[test]
fn the_package_for_rust_has_the_gateways_contract_inside() {
    let packaged = rust_package();
    assert!(packaged.contains("wit/plugin.wit") && packaged.contains("src/lib.rs"), "{packaged:?}");
    let read = |path: &str| fs::read_to_string(repository().join(path)).expect("it is there");
    assert!(
        read("sdk/rust/wit/plugin.wit") == read("wit/plugin.wit"),
        "the package's contract is another: cp wit/plugin.wit sdk/rust/wit/"
    );
}

#[test]
fn a_new_project_in_rust_has_the_whole_package() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    Finished::of(hubgate_in(folder.path()).args(["plugin", "new", "hello", "--language", "rust"])).success();
    let in_project = folder.path().join("hello/hubgate");
    assert_eq!(files(&in_project, &in_project), rust_package());
}

/// The files of the package, as cargo would pack them.
fn rust_package() -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["package", "--list", "--allow-dirty", "--offline", "--manifest-path"]);
    let listed = Finished::of(command.arg(repository().join("sdk/rust/Cargo.toml"))).success();
    listed.lines().filter(|file| !OF_CARGO.contains(file)).map(str::to_owned).collect()
}

fn files(folder: &Path, root: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("it can be listed").map(|entry| entry.expect("it can be listed").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path, root),
            false => BTreeSet::from([path.strip_prefix(root).expect("it is below").display().to_string()]),
        })
        .collect()
}
