//! What a configuration leaves open: values that depend on others, on the machine, or on where the file is. After that, the file is the
//! configuration in effect.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use hubgate_plugin_host::StateScope;

use super::machine;
use super::origins::Origins;
use super::schema::{ALL_HUBS, Cluster, File, LEAST_OUTBOXES, LEAST_PLUGIN_MEMORY};
use super::value::Size;

/// Where the gateway keeps what it makes, if nothing else is said.
pub(super) const DATA_FOLDER: &str = "hubgate-data";
/// The folder that a service manager has made for the gateway.
const MADE_FOLDER: &str = "STATE_DIRECTORY";

/// What OpenTelemetry calls the gateway.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Fills in what is open. Paths that are relative begin at `folder`.
pub(super) fn settle(file: &mut File, origins: &mut Origins, folder: &Path) {
    let server = &mut file.server;
    if server.shards == 0 {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        server.shards = u16::try_from(cores).unwrap_or(u16::MAX);
    }
    if server.data_dir.is_none() {
        server.data_dir = Some(made_folder(origins).unwrap_or_else(|| DATA_FOLDER.into()));
    }
    let telemetry = &mut file.telemetry;
    telemetry.service_name.get_or_insert_with(|| match std::env::var(SERVICE_NAME) {
        Ok(name) if !name.is_empty() => {
            origins.is_given_by("telemetry.service-name", SERVICE_NAME);
            name
        }
        _ => "hubgate".to_owned(),
    });
    let limits = &mut server.limits;
    let part = |part: usize, least: Size| Size((machine::memory() / part).max(least.0));
    limits.outboxes.get_or_insert_with(|| part(8, LEAST_OUTBOXES));
    limits.plugin_memory.get_or_insert_with(|| part(2, LEAST_PLUGIN_MEMORY));
    file.admin.hosts.iter_mut().for_each(|host| host.make_ascii_lowercase());
    file.hubs.entry(ALL_HUBS.to_owned()).or_default();
    for hub in file.hubs.values_mut() {
        if let Some(file) = &mut hub.jwt.jwks_file {
            *file = folder.join(&*file);
        }
    }
    for item in &mut file.upstream {
        item.events.hubs.iter_mut().for_each(|hub| hub.make_ascii_lowercase());
    }
    for plugin in file.plugins.values_mut() {
        plugin.cpu_time.get_or_insert(plugin.call_time);
        plugin.state_scope.get_or_insert(match file.cluster {
            Some(_) => StateScope::Cluster,
            None => StateScope::Node,
        });
    }
    let of_server =
        [&mut server.access_keys_file, &mut server.data_dir, &mut server.tls.certificate, &mut server.tls.key];
    let of_acme = server.tls.acme.iter_mut().map(|acme| &mut acme.ca_file);
    let of_cluster = file.cluster.iter_mut().flat_map(|cluster| {
        let Cluster { credentials_file, token_file, password_file, tls, .. } = cluster;
        [credentials_file, token_file, password_file, &mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file]
    });
    let of_plugins = file.plugins.values_mut().map(|plugin| &mut plugin.path);
    for path in of_server
        .into_iter()
        .chain(of_acme)
        .chain([&mut file.admin.token_file, &mut file.admin.read_token_file])
        .chain([&mut telemetry.headers_file, &mut telemetry.resource_logs.file])
        .chain(of_plugins)
        .chain(of_cluster)
        .flatten()
    {
        *path = folder.join(&*path);
    }
}

fn made_folder(origins: &mut Origins) -> Option<PathBuf> {
    // systemd names several folders with colons between them.
    let made = std::env::var(MADE_FOLDER).ok()?;
    let first = made.split(':').next().filter(|folder| !folder.is_empty())?;
    origins.is_given_by("server.data-dir", MADE_FOLDER);
    Some(first.into())
}
