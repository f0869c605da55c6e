//! The crates' order, as `ARCHITECTURE.md` gives it, and what the lower ones may not know.

use std::collections::BTreeMap;
use std::process::Command;

/// Bottom-up. A crate may use those before it.
const LAYERS: [&str; 5] = ["hubgate-wire", "hubgate-core", "hubgate-plugin-host", "hubgate-net", "hubgate"];

/// The dependencies of each crate of the workspace, those of its tests left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let texts = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("a list").iter();
        dependencies
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages.map(|package| (package["name"].as_str().expect("a name").to_owned(), texts(package))).collect()
}

#[test]
fn no_crate_uses_one_above_it() {
    let dependencies = dependencies();
    for (index, crate_name) in LAYERS.iter().enumerate() {
        for above in &LAYERS[index..] {
            let uses = dependencies[*crate_name].iter().any(|each| each == above);
            assert!(!uses, "{crate_name} uses {above}, which is not below it");
        }
    }
}

#[test]
fn the_bench_uses_wire_alone() {
    let ours: Vec<String> =
        dependencies()["hubgate-bench"].iter().filter(|name| name.starts_with("hubgate")).cloned().collect();
    assert!(ours.is_empty() || ours == ["hubgate-wire"], "{ours:?}");
}

#[test]
fn wire_and_core_know_no_runtime_no_engine_and_no_random_source() {
    const FORBIDDEN: [&str; 9] =
        ["tokio", "hyper", "wasmtime", "getrandom", "rand", "socket2", "libc", "tracing", "tokio-util"];
    let dependencies = dependencies();
    for crate_name in ["hubgate-wire", "hubgate-core"] {
        for name in &dependencies[crate_name] {
            assert!(!FORBIDDEN.contains(&name.as_str()), "{crate_name} uses {name}");
        }
    }
}
