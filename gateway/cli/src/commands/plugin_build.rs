//! `hubgate plugin build`: from a Rust project, or a core module, to a component.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";
const ADD_TARGET: &str = "rustup target add wasm32-unknown-unknown";

/// What was built.
#[derive(Debug)]
pub(crate) struct BuildReport {
    /// Bytes of the component.
    pub(crate) size: usize,
}

/// Builds `source`, a Rust project's folder or a `.wasm` file, into the component `output`, which changes all at once.
pub(crate) fn build(source: &Path, output: &Path) -> Result<BuildReport> {
    let module = match source.is_dir() {
        true => build_project(source)?,
        false => source.to_owned(),
    };
    let bytes = std::fs::read(&module).with_context(|| format!("{}: cannot be read", module.display()))?;
    let component = encode(&bytes).with_context(|| format!("{}: cannot become a component", module.display()))?;
    replace(output, &component).with_context(|| format!("{}: cannot be written", output.display()))?;
    Ok(BuildReport { size: component.len() })
}

/// A core module as a component; a component as it is.
fn encode(bytes: &[u8]) -> Result<Vec<u8>> {
    match bytes {
        // The fourth to seventh byte tell the layers apart: a component has 1 in the upper half.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(bytes.to_vec()),
        [0, b'a', b's', b'm', ..] => {
            // Without a world the encoder makes a component that is valid, and empty.
            if wit_component::metadata::decode(bytes)?.0.is_none() {
                bail!("it says no world; build it with bindings of wit/plugin.wit, as plugins/sdk has them for Rust");
            }
            ComponentEncoder::default().module(bytes)?.validate(true).encode()
        }
        _ => bail!("it is no WebAssembly"),
    }
}

fn build_project(folder: &Path) -> Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        bail!("{}: there is no Cargo.toml; only Rust projects and .wasm files can be built", folder.display());
    }
    let manifest = manifest.canonicalize().with_context(|| format!("{}: cannot be found", manifest.display()))?;
    let cargo = tool("CARGO", "cargo");
    let output = Command::new(&cargo)
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be run", cargo.display()))?;
    match output.status.success() {
        true => module_of(&manifest, &output.stdout).with_context(|| format!("{}", folder.display())),
        false if lacks_target(folder) => bail!(
            "Rust's target {TARGET} is not installed; install it with `{ADD_TARGET}` (where rustup cannot, \
             scripts/wasm-target.sh in Hubgate's sources makes it)"
        ),
        false => bail!("{}: cargo has not built it", folder.display()),
    }
}

fn tool(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| OsString::from(name))
}

/// Whether the compiler has no standard library for guests, nor has been given another place to find one.
fn lacks_target(folder: &Path) -> bool {
    let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS"];
    if flags.iter().filter_map(std::env::var_os).any(|flags| flags.to_string_lossy().contains("--sysroot")) {
        return false;
    }
    let libraries = Command::new(tool("RUSTC", "rustc"))
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

/// Writes beside the file and renames over it, so that a gateway that watches it never sees half of it.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(folder)?;
    file.write_all(content)?;
    #[cfg(unix)]
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
