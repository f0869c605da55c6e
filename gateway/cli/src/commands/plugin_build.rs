//! `hubgate plugin build`: from a Rust project, or a core module, to a component.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
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
        [0, b'a', b's', b'm', ..] => ComponentEncoder::default().module(bytes)?.validate(true).encode(),
        _ => bail!("it is no WebAssembly"),
    }
}

fn build_project(folder: &Path) -> Result<PathBuf> {
    if !folder.join("Cargo.toml").is_file() {
        bail!("{}: there is no Cargo.toml; only Rust projects and .wasm files can be built", folder.display());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(&cargo)
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be run", cargo.display()))?;
    if !output.status.success() {
        return Err(anyhow!(
            "cargo has not built {}; if the target {TARGET} is missing, run: {ADD_TARGET}",
            folder.display()
        ));
    }
    modules(&output.stdout).pop().ok_or_else(|| {
        anyhow!("{}: no .wasm was built; its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`", folder.display())
    })
}

#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The modules that cargo says it made, the project's own last.
fn modules(messages: &[u8]) -> Vec<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    messages
        .filter(|message: &CargoMessage| message.reason == "compiler-artifact")
        .flat_map(|message| message.filenames)
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect()
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
