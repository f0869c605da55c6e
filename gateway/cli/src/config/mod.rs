//! From the configuration file and the environment to typed settings.
//!
//! A file is read into the tables of [`schema`]. What it leaves open is filled in ([`settle`]): from then on the tables are the
//! configuration in effect, which is shown, compared with the next one, and made into the settings of those who serve.

mod acme;
mod cluster;
mod development;
mod entries;
mod handlers;
mod hubs;
mod json_schema;
mod kept_file;
mod kept_keys;
pub(crate) mod kept_modes;
mod limits;
mod listening;
mod machine;
mod network_rules;
mod origins;
mod page;
mod plain_words;
mod problem;
mod read_file;
mod reading;
mod rollback;
mod schema;
mod secrets;
mod settle;
mod sign_in;
mod table;
mod telemetry;
mod tls;
mod value;
mod without_effect;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hubgate_core::id::HubName;
use hubgate_core::settings as core;
use hubgate_net::settings as net;
use hubgate_plugin_host::{FileError, HostSettings, RegularFile};

pub(crate) use development::{DevelopedHandler, Development};
use hubs::Hubs;
pub(crate) use json_schema::of_file as json_schema;
pub(crate) use kept_file::RewrittenFile;
pub(crate) use kept_keys::{KeptKeys, Rewritten};
pub(crate) use origins::Origins;
use problem::Problems;
pub(crate) use read_file::ReadFile;
pub(crate) use secrets::access_key;
pub(crate) use table::Change;
use tls::TlsFiles;
pub(crate) use value::{Allowed, Listen, Size, Span};

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: usize = 4 << 20;

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) net: net::Settings,
    pub(crate) host: HostSettings,
    /// Where the gateway keeps what it makes.
    pub(crate) data_dir: PathBuf,
    /// What is logged, unless the command line says.
    pub(crate) log: String,
    /// The files that all this was read from.
    pub(crate) files: Vec<ReadFile>,
    /// What of it can have no effect.
    pub(crate) warnings: Vec<Warning>,
    /// Where its keys are set.
    pub(crate) origins: Origins,
    /// Where its access keys can become others.
    pub(crate) kept_keys: KeptKeys,
    /// All keys with their values.
    file: schema::File,
    tls: Option<TlsFiles>,
}

/// A key that has no effect, or hardly the one that is meant, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) key: String,
    pub(crate) text: String,
}

/// A configuration that cannot stay as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: FileError },
    /// Everything that is wrong, each with its place and the path of its key.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl ConfigError {
    /// What is wrong, each on a line of its own.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            ConfigError::Unreadable { .. } => vec![self.to_string()],
            ConfigError::Invalid(problems) => problems.clone(),
        }
    }
}

/// What the command line says of addresses; it wins over the file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Addresses {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin_listen: Option<SocketAddr>,
}

impl Config {
    /// Reads the file at `path`; paths in it are relative to its folder.
    pub(crate) fn load(path: &Path, addresses: Addresses) -> Result<Config, ConfigError> {
        let mut draft = Draft::read(path)?;
        draft.take(addresses);
        draft.settled()
    }

    /// Logs what of it can have no effect.
    pub(crate) fn log_warnings(&self) {
        for Warning { key, text } in &self.warnings {
            tracing::warn!("{}: {text}", self.origins.place(key));
        }
    }

    /// All keys with their values as TOML, and where these come from; secrets are not told.
    pub(crate) fn show(&self) -> String {
        entries::show(&self.file, &self.origins)
    }

    /// The file that it is from; empty where there is none.
    pub(crate) fn path(&self) -> &Path {
        self.origins.file()
    }

    /// The key that says something of a hub: its own where it is set, or where none is set for all hubs.
    pub(crate) fn hub_key(&self, hub: &HubName, name: &str) -> String {
        let of_all = format!("hubs.{}.{name}", schema::ALL_HUBS);
        let own = self.net.hubs.get_key_value(hub).map(|(known, _)| format!("hubs.{known}.{name}"));
        own.filter(|own| self.origins.is_set(own) || !self.origins.is_set(&of_all)).unwrap_or(of_all)
    }

    /// The paths of the keys whose values differ, or the content of the files that they name, and when that counts.
    pub(crate) fn changes(&self, next: &Config) -> BTreeMap<String, Change> {
        let mut changes = entries::changes(&self.file, &next.file);
        let keys = |config: &Config| -> Vec<String> {
            config.net.access_keys.iter().map(|key| key.expose().to_owned()).collect()
        };
        let tls = |config: &Config| config.tls.as_ref().map(|files| files.version);
        for entry in sign_in::changed_key_sets(&self.net, &next.net) {
            changes.entry(entry).or_insert(Change::Live);
        }
        let contents = [
            (keys(self) != keys(next), "server.access-keys"),
            (self.net.admin.token != next.net.admin.token, "admin.token-file"),
            (self.net.admin.read_token != next.net.admin.read_token, "admin.read-token-file"),
            (tls(self) != tls(next), "server.tls"),
            (self.net.acme != next.net.acme, "server.tls.acme"),
        ];
        for (_, key) in contents.into_iter().filter(|(has_changed, _)| *has_changed) {
            changes.entry(key.to_owned()).or_insert(Change::Live);
        }
        changes
    }
}

/// A configuration that is being put together.
struct Draft {
    file: schema::File,
    origins: Origins,
    /// Where relative paths begin.
    folder: PathBuf,
    /// The files that it is read from.
    files: Vec<ReadFile>,
    problems: Problems,
}

impl Draft {
    /// Without a file.
    fn new() -> Draft {
        Draft {
            file: schema::File::default(),
            origins: Origins::default(),
            folder: absolute(Path::new("")),
            files: Vec::new(),
            problems: Problems::default(),
        }
    }

    fn read(path: &Path) -> Result<Draft, ConfigError> {
        let file = ReadFile::before_reading(path);
        let text = RegularFile::read_text(path, MAX_FILE_BYTES);
        let text = text.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Ok(Draft { files: vec![file], ..Draft::parse(path, &text)? })
    }

    fn parse(path: &Path, text: &str) -> Result<Draft, ConfigError> {
        let found: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = origins::line_at(text, error.span().map_or(0, |span| span.start));
            // The error's own text would repeat the line, which may hold a secret.
            ConfigError::Invalid(vec![format!("{}, line {line}: {}", path.display(), error.message())])
        })?;
        let mut file = schema::File::default();
        let problems = reading::read(&mut file, found);
        let folder = absolute(path.parent().unwrap_or(Path::new("")));
        Ok(Draft { file, origins: Origins::of_file(path, text), folder, files: Vec::new(), problems })
    }

    fn take(&mut self, addresses: Addresses) {
        let Addresses { listen, admin_listen } = addresses;
        let server = &mut self.file.server;
        for (option, given, key, setting) in [
            ("--listen", listen, "server.listen", &mut server.listen),
            ("--admin-listen", admin_listen, "admin.listen", &mut self.file.admin.listen),
        ] {
            if let Some(address) = given {
                *setting = Listen(address);
                self.origins.is_given_by(key, option);
            }
        }
    }

    /// Fills in what is open, and checks everything.
    fn settled(self) -> Result<Config, ConfigError> {
        let Draft { mut file, mut origins, folder, mut files, problems: unread } = self;
        settle::settle(&mut file, &mut origins, &folder);
        let tls_files = &file.server.tls;
        let keys_file = secrets::keys_file(&file.server);
        let named = [
            &keys_file,
            &file.admin.token_file,
            &file.admin.read_token_file,
            &tls_files.certificate,
            &tls_files.key,
            &file.telemetry.headers_file,
        ];
        let named = named.into_iter().chain(tls_files.acme.iter().map(|acme| &acme.ca_file));
        let key_sets = file.hubs.values().map(|hub| &hub.jwt.jwks_file);
        files.extend(named.chain(key_sets).flatten().map(|path| ReadFile::before_reading(path)));
        let mut problems = Problems::default();
        limits::check(&file.server.timeouts, &mut problems);
        if file.cluster.is_some() {
            limits::check_for_cluster(&file.server.limits, &mut problems);
        }
        listening::check(&file, &mut problems);
        let plugins = handlers::plugins(&file, &mut problems);
        let tls = tls::files(&file.server.tls, &mut problems);
        let hubs = hubs::hubs(&file, &mut problems);
        let core = core_settings(&file, hubs.core, &mut problems);
        let mut warnings = without_effect::warnings(&file, &core);
        warnings.extend(hubs.warnings);
        warnings.extend(network_rules::without_effect(&file.network_rules));
        warnings.extend(limits::more_replay_than_leaves(&file.server.limits));
        warnings.extend(secrets::unused(&file.server));
        warnings.extend(telemetry::without_effect(&file.telemetry, &origins));
        let sources = secrets::sources(&file.server);
        let kept_keys = sources.first().map(|source| KeptKeys::of(source, origins.file()));
        let net = net::Settings {
            access_keys: secrets::access_keys(&file.server, &mut origins, &mut problems),
            tls: tls.as_ref().map(|files| files.tls.clone()),
            ..net_settings(&file, hubs.net, core, &mut problems)
        };
        warnings.extend(without_effect::unknown_host(&net).or_else(|| cluster::addresses_apart(&net)));
        let problems = unread.then(problems);
        let (true, Some(kept_keys)) = (problems.is_empty(), kept_keys) else {
            return Err(ConfigError::Invalid(origins.placed(problems)));
        };
        let host = HostSettings {
            plugins,
            hubs: net.core.hubs_of_plugins(),
            shards: net.shards.into(),
            memory_bytes: limits::settled(file.server.limits.plugin_memory),
        };
        let data_dir = file.server.data_dir.clone().unwrap_or_default();
        let log = file.server.log.0.clone();
        Ok(Config { net, host, data_dir, log, files, warnings, origins, kept_keys, file, tls })
    }
}

fn core_settings(file: &schema::File, hubs: Hubs<core::HubSettings>, problems: &mut Problems) -> core::Settings {
    core::Settings {
        hubs: hubs.named,
        other_hubs: hubs.others,
        upstream: handlers::upstream(file, problems),
        presence: handlers::presence(file),
        streams: handlers::streams(file),
        limits: limits::core_limits(&file.server.limits),
        timeouts: limits::core_timeouts(&file.server.timeouts),
        detailed_errors: file.server.detailed_errors,
    }
}

/// Without access keys and TLS.
fn net_settings(
    file: &schema::File,
    hubs: Hubs<net::HubSettings>,
    core: core::Settings,
    problems: &mut Problems,
) -> net::Settings {
    let schema::File { server, admin, .. } = file;
    let tokens = secrets::admin_tokens(admin, problems);
    net::Settings {
        listen: server.listen.0,
        endpoints: server.endpoints.clone(),
        access_keys: Vec::new(),
        shards: server.shards,
        drain: limits::drain(server),
        limits: limits::net_limits(&server.limits),
        timeouts: limits::net_timeouts(&server.timeouts),
        tls: None,
        acme: acme::settings(file, problems),
        trusted_proxies: server.trusted_proxies.iter().map(|network| network.0).collect(),
        network_rules: network_rules::rules(&file.network_rules, problems),
        checks_every_host: false,
        anonymous_user: None,
        hubs: hubs.named.into_iter().collect(),
        other_hubs: hubs.others,
        admin: net::AdminSettings {
            listen: admin.listen.0,
            token: tokens.admin,
            has_token_file: admin.token_file.is_some(),
            read_token: tokens.read,
            read_only: admin.read_only,
            hosts: admin.hosts.clone(),
            metrics_open: admin.metrics_open,
        },
        cluster: file.cluster.as_ref().and_then(|cluster| cluster::settings(cluster, problems)),
        telemetry: telemetry::settings(&file.telemetry, problems),
        resource_log: telemetry::resource_log(&file.telemetry.resource_logs, problems),
        pages: net::Pages::None,
        core: Arc::new(core),
    }
}

/// As seen from this process's folder. Without one, relative paths stay what they are.
fn absolute(folder: &Path) -> PathBuf {
    std::env::current_dir().map_or(folder.to_owned(), |own| own.join(folder))
}

#[cfg(test)]
mod documentation;
#[cfg(test)]
mod tests;
