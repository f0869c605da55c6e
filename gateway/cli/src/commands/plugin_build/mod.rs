//! `hubgate plugin build`: from a project in one of the languages, or a core module, to a component.

mod c;
mod contract;
mod go;
mod javascript;
mod language;
mod module;
mod python;
mod rust;
mod tool;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use hubgate_plugin_host::{MAX_COMPONENT_BYTES, RegularFile};

pub(crate) use c::C_SDK;
pub(crate) use contract::write_contract;
use language::Built;
pub(crate) use language::Language;
pub(crate) use python::SDK as PYTHON_SDK;

/// What was built.
#[derive(Debug)]
pub(crate) struct BuildReport {
    /// Bytes of the component.
    pub(crate) size: usize,
    /// What is to be known about the language.
    pub(crate) remark: Option<&'static str>,
}

/// A component that was built.
pub(crate) struct BuiltComponent {
    pub(crate) bytes: Vec<u8>,
    /// What is to be known about the language.
    pub(crate) remark: Option<&'static str>,
}

/// Builds `source`, a project's folder or a `.wasm` file, into the component `output`, which changes all at once.
pub(crate) fn build(source: &Path, output: &Path) -> Result<BuildReport> {
    let BuiltComponent { bytes, remark } = component(source)?;
    replace(output, &bytes).with_context(|| format!("{}: cannot be written", output.display()))?;
    Ok(BuildReport { size: bytes.len(), remark })
}

/// The component of `source`, a project's folder or a `.wasm` file.
pub(crate) fn component(source: &Path) -> Result<BuiltComponent> {
    if !source.is_dir() {
        let file = RegularFile::read(source, MAX_COMPONENT_BYTES)
            .with_context(|| format!("{}: cannot be read", source.display()))?;
        return Ok(BuiltComponent { bytes: component_of(&file.bytes, source)?, remark: None });
    }
    let language = Language::of(source)?;
    let bytes = match language.build(source)? {
        Built::Component(bytes) => bytes,
        Built::Module(bytes) => component_of(&bytes, source)?,
    };
    Ok(BuiltComponent { bytes, remark: language.remark() })
}

/// Of what `source` gave.
fn component_of(bytes: &[u8], source: &Path) -> Result<Vec<u8>> {
    encode(bytes).with_context(|| format!("{}: cannot become a component", source.display()))
}

/// A core module as a component; a component as it is.
fn encode(bytes: &[u8]) -> Result<Vec<u8>> {
    match bytes {
        // The fourth to seventh byte tell the layers apart: a component has 1 in the upper half.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(bytes.to_vec()),
        [0, b'a', b's', b'm', ..] => module::encode(bytes),
        _ => bail!("it is not WebAssembly"),
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
