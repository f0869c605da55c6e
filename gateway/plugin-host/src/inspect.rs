//! What can be said of a component, and of a configured plugin, without serving it.

use std::sync::Arc;

use hubgate_core::id::PluginName;
use hubgate_wire::endpoint::Endpoint;

use crate::budgets::Budgets;
use crate::compiler::Compilation;
use crate::digest::Digest;
use crate::kept_components::KeptComponents;
use crate::limits::{MAX_COMPONENT_BYTES, TRIAL_TIME};
use crate::load_error::LoadError;
use crate::plugin_host::{Folders, StartError};
use crate::regular_file::RegularFile;
use crate::sandbox::Sandbox;
use crate::settings::{AllowHttp, Payloads, PluginSettings, PluginSource, Rollback, StateScope, Uses};
use crate::version::{is_http, worlds};

/// The memory that a component may have while it is inspected, in bytes.
const MEMORY_BYTES: usize = 1 << 30;

/// What a component that can serve is like.
#[derive(Debug, Clone)]
pub struct PluginReport {
    /// The worlds that it serves: `handler`, and `filter`, `filter-inbound` or `filter-outbound`.
    pub worlds: Vec<&'static str>,
    /// The interfaces that it imports, with package and version.
    pub imports: Vec<String>,
    /// The interfaces that it exports, with package and version.
    pub exports: Vec<String>,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The size of the component, in bytes.
    pub size_bytes: usize,
    /// Whether it imports `http`, which a gateway has to grant.
    pub asks_by_http: bool,
    /// The linear memory of one instance after `init`, in bytes; or why `init` says no, as it may without a configuration.
    pub memory_bytes: Result<usize, String>,
}

/// Compiles, checks and tries out a component as a gateway does before it lets it serve, with an empty configuration.
/// Blocks meanwhile. The error says why the component cannot serve, whatever its configuration.
pub fn inspect(component: &[u8], compilation: Compilation) -> Result<PluginReport, LoadError> {
    examine(component, settings_of_anything(), compilation)
}

/// Those with which each component is loaded that can serve at all, with whatever it needs.
pub(crate) fn settings_of_anything() -> PluginSettings {
    PluginSettings {
        name: PluginName::new("inspected"),
        source: PluginSource::Embedded(&[]),
        uses: Uses::default(),
        config: Vec::new(),
        budgets: Budgets { memory_bytes: MEMORY_BYTES, call_time: TRIAL_TIME, ..Budgets::default() },
        payloads: Payloads::default(),
        rollback: Rollback::default(),
        // Whether it is granted is not asked here.
        allow_http: Arc::new(AllowHttp {
            endpoints: Endpoint::parse("http://localhost").into_iter().collect(),
            ..AllowHttp::default()
        }),
        state_scope: StateScope::Node,
    }
}

/// Tries out a plugin as it is configured, as a start does, but with nothing of what it keeps. Blocks meanwhile. The error says why
/// its file would not serve.
pub fn try_plugin(
    settings: &PluginSettings,
    compilation: Compilation,
    folders: &Folders,
) -> Result<PluginReport, StartError> {
    let plugin = settings.name.clone();
    let (component, file) = match &settings.source {
        PluginSource::Embedded(component) => (component.to_vec(), None),
        PluginSource::File(file) => match RegularFile::read(file, MAX_COMPONENT_BYTES) {
            Ok(content) => (content.bytes, Some(file.clone())),
            Err(source) => return Err(StartError::Read { plugin, file: file.clone(), source }),
        },
    };
    let rolled_back = KeptComponents::new(folders.components.clone()).record(&plugin).rolled_back;
    if let Some(file) = &file
        && rolled_back == Some(Digest::of(&component))
    {
        return Err(StartError::RolledBack { plugin, file: file.clone() });
    }
    let examined = examine(&component, settings.clone(), compilation);
    let examined = examined.and_then(|report| match &report.memory_bytes {
        Ok(_) => Ok(report),
        Err(reason) => Err(LoadError::NotReady(reason.clone())),
    });
    examined.map_err(|source| match file {
        Some(file) => StartError::Load { plugin, file, source },
        None => StartError::LoadEmbedded { plugin, source },
    })
}

fn examine(component: &[u8], settings: PluginSettings, compilation: Compilation) -> Result<PluginReport, LoadError> {
    let sandbox = Sandbox::new(settings, compilation)?;
    let loaded = sandbox.loader.link(component, &sandbox.surroundings, &|| false)?;
    let memory_bytes = match sandbox.loader.try_out(&loaded.exports, &sandbox.surroundings) {
        Err(LoadError::NotReady(reason)) => Err(reason),
        tried => Ok(tried?),
    };
    Ok(PluginReport {
        worlds: worlds(&loaded.interfaces),
        asks_by_http: loaded.imports.iter().any(|name| is_http(name)),
        imports: loaded.imports,
        exports: loaded.interfaces,
        digest: loaded.digest.to_string(),
        size_bytes: component.len(),
        memory_bytes,
    })
}
