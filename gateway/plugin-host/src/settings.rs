//! A plugin as the configuration describes it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hubgate_core::id::PluginName;

/// A plugin as the configuration describes it.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginSettings {
    pub name: PluginName,
    pub source: PluginSource,
    /// What the plugin's `config` import answers. A name given twice answers with its first value.
    pub config: Vec<(String, String)>,
    /// The linear memory that one instance may have, in bytes.
    pub memory_bytes: usize,
    /// How long one call may take, waiting included.
    pub call_time: Duration,
    pub payloads: Payloads,
}

/// In which form a plugin gets the values of clients that speak MessagePack. What it gives may have either form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Payloads {
    /// As JSON text, converted.
    #[default]
    Json,
    /// As the bytes that the client sent.
    Native,
}

/// Where a plugin's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// A file, watched for changes while the plugin serves.
    File(PathBuf),
    /// A component inside the program; it never changes.
    Embedded(&'static [u8]),
}

impl fmt::Debug for PluginSettings {
    /// Without the values of `config`: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config: Vec<&str> = self.config.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("PluginSettings")
            .field("name", &self.name)
            .field("config", &config)
            .field("memory_bytes", &self.memory_bytes)
            .field("call_time", &self.call_time)
            .field("payloads", &self.payloads)
            .finish_non_exhaustive()
    }
}
