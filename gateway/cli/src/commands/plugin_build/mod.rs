//! `hubgate plugin build`: from a project in one of the languages, or a core module, to a component.

mod c;
mod contract;
mod go;
mod javascript;
mod language;
mod module;
mod order;
mod purpose;
mod python;
mod rust;
mod tool;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hubgate_plugin_host::{MAX_COMPONENT_BYTES, RegularFile};

pub(crate) use contract::write_contract;
use language::Built;
pub(crate) use language::Language;
pub(crate) use order::Order;
use tool::{Seconds, Size};

/// What was built.
#[derive(Debug)]
pub(crate) struct BuildReport {
    /// What it is, such as "handler with http".
    pub(crate) purpose: String,
    /// Unless a `.wasm` file was given.
    pub(crate) language: Option<Language>,
    /// Bytes of the component.
    pub(crate) size: usize,
    /// What it took.
    pub(crate) time: Duration,
}

impl BuildReport {
    /// With the file that was written.
    pub(crate) fn as_json(&self, output: &Path) -> serde_json::Value {
        serde_json::json!({
            "file": output.display().to_string(),
            "purpose": self.purpose,
            "language": self.language.map(Language::name),
            "remark": self.language.and_then(Language::remark),
            "sizeBytes": self.size,
            "buildMs": self.time.as_secs_f64() * 1e3,
        })
    }
}

impl Display for BuildReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.purpose)?;
        if let Some(language) = self.language {
            write!(formatter, " in {}", language.name())?;
        }
        write!(formatter, ", {}, built in {}", Size(self.size), Seconds(self.time))
    }
}

/// A component that was built.
pub(crate) struct BuiltComponent {
    pub(crate) bytes: Vec<u8>,
    /// What it is, such as "handler with http".
    purpose: String,
    /// Unless a `.wasm` file was given.
    language: Option<Language>,
}

/// Builds `source`, a project's folder or a `.wasm` file, into the component `output`, which changes all at once.
pub(crate) fn build(source: &Path, output: &Path, order: &Order) -> Result<BuildReport> {
    let begun = Instant::now();
    let BuiltComponent { bytes, purpose, language } = component(source, order)?;
    replace(output, &bytes).with_context(|| format!("{}: cannot be written", output.display()))?;
    Ok(BuildReport { purpose, language, size: bytes.len(), time: begun.elapsed() })
}

/// The component of `source`, a project's folder or a `.wasm` file.
pub(crate) fn component(source: &Path, order: &Order) -> Result<BuiltComponent> {
    let (built, language) = match source.is_dir() {
        true => {
            let language = Language::of(source)?;
            (language.build(source, order)?, Some(language))
        }
        false => {
            let file = RegularFile::read(source, MAX_COMPONENT_BYTES)
                .with_context(|| format!("{}: cannot be read", source.display()))?;
            (Built::Module(file.bytes), None)
        }
    };
    let bytes = match built {
        Built::Component(bytes) => bytes,
        Built::Module(bytes) => component_of(&bytes, source)?,
    };
    let purpose =
        purpose::of(&bytes, language, order.world).with_context(|| format!("{}: cannot serve", source.display()))?;
    Ok(BuiltComponent { bytes, purpose, language })
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
