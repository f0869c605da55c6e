//! Projects in Rust, built by cargo.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::order::Order;
use super::tool::CARGO;

const TARGET: &str = "wasm32-unknown-unknown";
const ADD_TARGET: &str = "rustup target add wasm32-unknown-unknown";

/// Runs cargo; gives the file of the core module.
pub(super) fn build(folder: &Path, order: &Order) -> Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().with_context(|| format!("{}: cannot be found", manifest.display()))?;
    let mut command = Command::new(program("CARGO", "cargo"));
    command.args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    command.args(["--config", &flags()]).current_dir(folder).stdout(Stdio::piped());
    if !order.verbose {
        command.arg("--quiet");
    }
    if std::io::stderr().is_terminal() {
        command.args(["--color", "always"]);
    }
    let output = CARGO.output(command, order)?;
    match output.status.success() {
        true => module_of(&manifest, &output.stdout).with_context(|| format!("{}", folder.display())),
        false if lacks_target(folder) => bail!(
            "Rust's target {TARGET} is not installed; install it with `{ADD_TARGET}` (where rustup cannot, \
             scripts/wasm-target.sh in Hubgate's sources makes it)"
        ),
        false => {
            let mut asked = Command::new(program("CARGO", "cargo"));
            asked.arg("--version").current_dir(folder);
            let too_old = CARGO.check_version_of(asked).err().map(|error| format!("\n{error}")).unwrap_or_default();
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{}: cargo has not built it\n{}{too_old}", folder.display(), said.trim_end())
        }
    }
}

/// Flags for the compiler, beside those of the user's configuration: where random bytes come from, since the target has none
/// (the SDK asks the gateway), and that panics do not name files below cargo's home, which says who built the component where.
fn flags() -> String {
    let mut flags = vec!["--cfg".to_owned(), "getrandom_backend=\"custom\"".to_owned()];
    let home = match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => Some(PathBuf::from(home)),
        (None, Some(home)) => Some(PathBuf::from(home).join(".cargo")),
        (None, None) => None,
    };
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=cargo", home.display())));
    format!("target.{TARGET}.rustflags={flags:?}")
}

fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| OsString::from(name))
}

/// Whether the compiler has no standard library for guests, nor has been given another place to find one.
fn lacks_target(folder: &Path) -> bool {
    let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS"];
    if flags.iter().filter_map(std::env::var_os).any(|flags| flags.to_string_lossy().contains("--sysroot")) {
        return false;
    }
    let libraries = Command::new(program("RUSTC", "rustc"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    libraries.is_ok_and(|output| !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum CargoMessage {
    CompilerArtifact {
        manifest_path: PathBuf,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

/// The module of one package among all that cargo says it has built.
fn module_of(manifest: &Path, messages: &[u8]) -> Result<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let files = messages.flat_map(|message| match message {
        CargoMessage::CompilerArtifact { manifest_path, filenames } if manifest_path == manifest => filenames,
        CargoMessage::CompilerArtifact { .. } | CargoMessage::Other => Vec::new(),
    });
    let mut modules: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|kind| kind == "wasm")).collect();
    match (modules.pop(), modules.is_empty()) {
        (Some(module), true) => Ok(module),
        (Some(_), false) => bail!("several .wasm were built; a plugin's package makes one"),
        (None, _) => bail!("no .wasm was built; its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`"),
    }
}
