//! `hubgate plugin build`: from a project in Rust or JavaScript, or a core module, to a component.

mod javascript;
mod rust;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use hubgate_plugin_host::{MAX_COMPONENT_BYTES, RegularFile};
use wit_component::ComponentEncoder;

/// What was built.
#[derive(Debug)]
pub(crate) struct BuildReport {
    /// Bytes of the component.
    pub(crate) size: usize,
}

/// Builds `source`, a project's folder or a `.wasm` file, into the component `output`, which changes all at once.
pub(crate) fn build(source: &Path, output: &Path) -> Result<BuildReport> {
    let component = match source.is_dir() {
        true if source.join("Cargo.toml").is_file() => component_of(&rust::build(source)?)?,
        true if source.join("package.json").is_file() => javascript::build(source)?,
        true => bail!(
            "{}: there is no Cargo.toml and no package.json; projects in Rust and JavaScript, and .wasm files of any \
             toolchain, can be built",
            source.display()
        ),
        false => component_of(source)?,
    };
    replace(output, &component).with_context(|| format!("{}: cannot be written", output.display()))?;
    Ok(BuildReport { size: component.len() })
}

fn component_of(module: &Path) -> Result<Vec<u8>> {
    let bytes = RegularFile::read(module, MAX_COMPONENT_BYTES)
        .with_context(|| format!("{}: cannot be read", module.display()))?
        .bytes;
    encode(&bytes).with_context(|| format!("{}: cannot become a component", module.display()))
}

/// A core module as a component; a component as it is.
fn encode(bytes: &[u8]) -> Result<Vec<u8>> {
    match bytes {
        // The fourth to seventh byte tell the layers apart: a component has 1 in the upper half.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(bytes.to_vec()),
        [0, b'a', b's', b'm', ..] => {
            // Without a world the encoder makes a component that is valid, and empty.
            if wit_component::metadata::decode(bytes)?.0.is_none() {
                bail!("it names no world; build it with bindings of wit/plugin.wit, as plugins/sdk has them for Rust");
            }
            ComponentEncoder::default().module(bytes)?.validate(true).encode()
        }
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
