//! Would everything be served that a configuration names? By the checks of the gateway's own start, of which nothing stays.

use hubgate_net::check_listening;
use hubgate_plugin_host::{PluginSettings, PluginSource, private_folder, try_plugin};

use super::findings::{Finding, Findings};
use super::run_gateway::{compilation, folders};
use crate::config::Config;

/// Looks at everything that a start needs.
pub(super) fn look_at(config: &Config, findings: &mut Findings) {
    plugins(config, findings);
    findings.extend(listening(config));
    findings.extend(data_folder(config));
    findings.extend(certificate_folder(config));
}

/// The files of plugins that are not there.
pub(super) fn missing_files(config: &Config) -> Vec<Finding> {
    let missing = config.host.plugins.iter().filter_map(|plugin| match &plugin.source {
        PluginSource::File(file) if !file.exists() => {
            let text = format!("{}: there is no such file", file.display());
            Some(Finding::warning(format!("plugins.{}.path", plugin.name), text))
        }
        PluginSource::File(_) | PluginSource::Embedded(_) => None,
    });
    missing.collect()
}

/// Compiles and tries out each plugin.
pub(super) fn plugins(config: &Config, findings: &mut Findings) {
    let folders = folders(config);
    for plugin in &config.host.plugins {
        // Nothing is kept of it: whoever checks may be another user than whoever serves.
        match try_plugin(plugin, compilation(None), &folders) {
            Ok(report) if !report.asks_by_http && !plugin.allow_http.is_empty() => {
                let key = format!("plugins.{}.allow-http", plugin.name);
                findings.push(Finding::warning(key, "has no effect: the component does not import `http`"));
            }
            Ok(_) => {}
            Err(error) => findings.push(Finding::error(error.key(), without_name(plugin, &error.to_string()))),
        }
    }
}

/// The finding's key names the plugin already.
fn without_name<'a>(plugin: &PluginSettings, text: &'a str) -> &'a str {
    text.strip_prefix(&format!("plugin {}: ", plugin.name)).unwrap_or(text)
}

/// Addresses that nobody can listen on.
fn listening(config: &Config) -> Vec<Finding> {
    let finding = |error: hubgate_net::StartError| {
        let (key, text) = (error.key().unwrap_or("server.listen"), error.to_string());
        // The finding names the key already.
        Finding::error(key, text.strip_prefix(&format!("{key} = ")).unwrap_or(&text))
    };
    check_listening(&config.net).into_iter().map(finding).collect()
}

/// Where the certificate is kept that the gateway gets for itself.
fn certificate_folder(config: &Config) -> Option<Finding> {
    let folder = &config.net.acme.as_ref()?.folder;
    let error = private_folder::check(folder).err()?;
    Some(Finding::error("server.data-dir", format!("{}: {error}", folder.display())))
}

/// Without plugins the folder is not used.
pub(super) fn data_folder(config: &Config) -> Option<Finding> {
    let checked = if config.host.plugins.is_empty() { Ok(()) } else { folders(config).check() };
    checked.err().map(|error| Finding::error(error.key(), error))
}
