//! Bakes the version in that `version()` answers.

fn main() {
    println!("cargo::rerun-if-env-changed=PROBE_VERSION");
    let version = std::env::var("PROBE_VERSION").unwrap_or_else(|_| "dev".to_owned());
    println!("cargo::rustc-env=PROBE_VERSION={version}");
}
