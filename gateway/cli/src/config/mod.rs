//! From the configuration file and the environment to typed settings.

mod development;
mod effective;
mod limits;
mod listening;
mod machine;
mod places;
mod plain_words;
mod rollback;
mod schema;
mod secrets;
mod tls;
mod without_effect;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::filter::{FilterSettings, OnError, Targets};
use hubgate_core::id::{HubName, PluginName};
use hubgate_core::mode::Mode;
use hubgate_core::settings as core;
use hubgate_net::settings as net;
use hubgate_net::settings::OriginPattern;
use hubgate_plugin_host::{
    AllowHttp, Budgets, FileError, HostSettings, Payloads, PluginSettings, PluginSource, RegularFile, Rollback, Uses,
};
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::webhook::UrlTemplate;
use ipnet::IpNet;

pub(crate) use development::{DevelopedHandler, Development};
use plain_words::{no_plugin, plain};
pub(crate) use schema::Listen;
use secrets::access_key_in;
use tls::TlsFiles;
pub(crate) use without_effect::Warning;

/// The port for clients, and that of the admin listener one above it.
pub(crate) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8888);
pub(crate) const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8889);

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: usize = 4 << 20;
/// Where the gateway keeps what it makes, if nothing else is said.
const DATA_FOLDER: &str = "hubgate-data";

/// The folder that a service manager has made for the gateway, or one beside the configuration.
fn default_data_dir() -> PathBuf {
    // systemd names several folders with colons between them.
    let made = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    match made.split(':').next() {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        Some(_) | None => PathBuf::from(DATA_FOLDER),
    }
}

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) net: net::Settings,
    pub(crate) host: HostSettings,
    /// Where the gateway keeps what it makes.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
    /// What is logged, unless the command line says.
    pub(crate) log: Option<String>,
    /// The files that all this was read from.
    pub(crate) files: Vec<PathBuf>,
    /// What of it can have no effect.
    pub(crate) warnings: Vec<Warning>,
}

/// A key of the configuration that cannot stay as it is. The text names the key's path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: FileError },
    #[error("{}, line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{place}{key}: {problem}")]
    Key {
        /// The file and the line, with a colon; empty until the key is looked for in its file.
        place: String,
        key: String,
        problem: String,
    },
    /// Of a variable of the environment or an option, which no file has to do with.
    #[error("{name}: {problem}")]
    OutsideFile { name: String, problem: String },
}

impl ConfigError {
    /// With the place where the key stands in the file of this text.
    fn found_in(self, path: &Path, text: &str) -> ConfigError {
        match self {
            ConfigError::Key { key, problem, .. } => {
                let place = match places::line_of(text, &key) {
                    Some(line) => format!("{}, line {line}: ", path.display()),
                    None => format!("{}: ", path.display()),
                };
                ConfigError::Key { place, key, problem }
            }
            other => other,
        }
    }

    /// The same of a name that is no key of the file.
    fn outside_file(self) -> ConfigError {
        match self {
            ConfigError::Key { key: name, problem, .. } => ConfigError::OutsideFile { name, problem },
            other => other,
        }
    }
}

fn problem(key: impl Into<String>, problem: impl ToString) -> ConfigError {
    ConfigError::Key { place: String::new(), key: key.into(), problem: problem.to_string() }
}

impl Config {
    /// Reads the file at `path`; paths in it are relative to its folder.
    pub(crate) fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = text_of(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = read(path, &text).map_err(|error| error.found_in(path, &text))?;
        let secrets = [file.server.access_keys_file.as_ref(), file.admin.token_file.as_ref()];
        let tls = file.server.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let others: Vec<PathBuf> = secrets.into_iter().flatten().chain(tls).map(|file| folder.join(file)).collect();
        let mut config = resolve(file, folder).map_err(|error| error.found_in(path, &text))?;
        config.files = [vec![path.to_owned()], others].concat();
        Ok(config)
    }

    /// Logs what of it can have no effect.
    pub(crate) fn log_warnings(&self) {
        for Warning { key, text } in &self.warnings {
            tracing::warn!("{key}: {text}");
        }
    }

    /// All keys with their values as TOML; secrets are not told.
    pub(crate) fn show(&self) -> String {
        effective::show(self)
    }

    /// The paths of the keys whose values differ.
    pub(crate) fn changed_keys(&self, other: &Config) -> Vec<String> {
        effective::changed_keys(self, other)
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let text = RegularFile::read_text(path, MAX_FILE_BYTES);
    text.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

fn read(path: &Path, text: &str) -> Result<schema::File, ConfigError> {
    // The error's own text would repeat the line, which may hold a secret.
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        line: places::line_at(text, error.span().map_or(0, |span| span.start)),
        message: plain(error.message()),
    };
    let document = toml::Deserializer::parse(text).map_err(syntax)?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        match key.as_str() {
            "." => syntax(error.into_inner()),
            _ => problem(key, plain(error.inner().message())),
        }
    })
}

fn resolve(file: schema::File, folder: &Path) -> Result<Config, ConfigError> {
    let plugins = plugins(&file, folder)?;
    let (hubs, other_hubs) = hubs(&file)?;
    let core = core::Settings {
        hubs: hubs.iter().map(|(name, hub)| (name.clone(), hub.core.clone())).collect(),
        other_hubs: other_hubs.core,
        upstream: upstream(&file, &plugins)?,
        limits: limits::core_limits(&file.server.limits)?,
        timeouts: limits::core_timeouts(&file.server.timeouts),
        detailed_errors: file.server.detailed_errors,
    };
    if let Some(filter) = &file.server.log {
        crate::logging::check(filter).map_err(|error| problem("server.log", error))?;
    }
    let server = file.server;
    let tls = server.tls.as_ref().map(|entry| tls::files(entry, folder)).transpose()?;
    let endpoint = |(index, url): (usize, &String)| {
        Endpoint::parse(url).map_err(|error| problem(format!("server.endpoints[{index}]"), error))
    };
    let endpoints = server.endpoints.iter().enumerate().map(endpoint).collect::<Result<Vec<_>, _>>()?;
    let access_keys = secrets::access_keys(&server, folder)?;
    let mut warnings = without_effect::warnings(&core, plugins.values());
    warnings.extend(secrets::unused(&server));
    let net = net::Settings {
        listen: server.listen.map_or(LISTEN, |listen| listen.0),
        endpoints,
        access_keys,
        shards: shards(server.shards),
        drain: limits::drain(&server),
        limits: limits::net_limits(&server.limits)?,
        timeouts: limits::net_timeouts(&server.timeouts)?,
        tls: tls.as_ref().map(|files| files.tls.clone()),
        trusted_proxies: networks(&server.trusted_proxies)?,
        checks_every_host: false,
        anonymous_user: None,
        hubs: hubs.into_iter().map(|(name, hub)| (name, hub.net)).collect(),
        other_hubs: other_hubs.net,
        admin: net::AdminSettings {
            listen: file.admin.listen.map_or(ADMIN_LISTEN, |listen| listen.0),
            token: secrets::admin_token(file.admin.token_file.as_deref(), folder)?,
            has_token_file: file.admin.token_file.is_some(),
            hosts: file.admin.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            metrics_open: file.admin.metrics_open,
        },
        pages: net::Pages::None,
        core: Arc::new(core),
    };
    listening::check(&net)?;
    warnings.extend(without_effect::unknown_host(&net));
    let mut plugins: Vec<PluginSettings> = plugins.into_values().collect();
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    let host = HostSettings { plugins, memory_bytes: limits::plugin_memory(&server.limits)? };
    let data_dir = Some(folder.join(server.data_dir.unwrap_or_else(default_data_dir)));
    Ok(Config { net, host, data_dir, tls, log: server.log, files: Vec::new(), warnings })
}

/// Calls of one plugin that one shard can have instances for at a time.
const MOST_CONCURRENT_CALLS: usize = 1_000;
/// The slowest pace of a plugin's writes, in bytes a second; less is taken for a mistake.
const MIN_STATE_WRITES: usize = 64 << 10;
/// How often a connection event may be sent again: some minutes in all.
const MOST_RETRIES: u32 = 10;
/// Within some 3.5 seconds: about what it takes to start an application again.
const DEFAULT_RETRIES: u32 = 3;
const DEFAULT_WEBHOOK_TIMEOUT: Duration = Duration::from_secs(100);

/// As many as cores, unless the number is given.
fn shards(configured: u16) -> u16 {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX)),
        count => count,
    }
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let network = |(index, text): (usize, &String)| {
        let address = || text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
        text.parse().or_else(|_| address()).map_err(|_| {
            let expected = format!("\"{text}\" is neither an address nor a network such as \"10.0.0.0/8\"");
            problem(format!("server.trusted-proxies[{index}]"), expected)
        })
    };
    texts.iter().enumerate().map(network).collect()
}

/// The settings of one hub for both of their readers.
struct Hub {
    core: core::HubSettings,
    net: net::HubSettings,
}

fn hubs(file: &schema::File) -> Result<(HashMap<HubName, Hub>, Hub), ConfigError> {
    let others = file.hubs.get("*").cloned().unwrap_or_default();
    let filters = |key: &str, entry: &schema::Hub| filters(file, &format!("{key}.filters"), entry);
    // First, so that what is wrong in it is named where it stands, and not where it is inherited.
    let other_hubs = hub("hubs.*", &others, filters("hubs.*", &others)?)?;
    let mut hubs = HashMap::new();
    for (name, entry) in file.hubs.iter().filter(|(name, _)| *name != "*") {
        let key = format!("hubs.{name}");
        let hub_name = HubName::parse(name).map_err(|error| problem(&key, error))?;
        let entry = schema::Hub {
            mode: entry.mode.or(others.mode),
            cors_origins: entry.cors_origins.clone().or(others.cors_origins.clone()),
            negotiate: entry.negotiate.clone().or(others.negotiate.clone()),
            filters: entry.filters.clone().or(others.filters.clone()),
            messages_per_second: entry.messages_per_second.or(others.messages_per_second),
        };
        if hubs.insert(hub_name, hub(&key, &entry, filters(&key, &entry)?)?).is_some() {
            return Err(problem(key, "the hub has another entry; hub names are compared without case"));
        }
    }
    Ok((hubs, other_hubs))
}

/// The filters of a hub, each once.
fn filters(file: &schema::File, key: &str, entry: &schema::Hub) -> Result<Vec<FilterSettings>, ConfigError> {
    let names = entry.filters.as_deref().unwrap_or_default();
    let filter = |(index, name): (usize, &String)| {
        let Some(plugin) = file.plugins.get(name) else {
            return Err(problem(key, no_plugin(name, file.plugins.keys().map(String::as_str))));
        };
        if names[..index].contains(name) {
            return Err(problem(key, format!("has \"{name}\" twice")));
        }
        Ok(FilterSettings {
            plugin: PluginName::new(name.as_str()),
            targets: plugin.targets.clone().map_or(Targets::All, Targets::OneOf),
            on_error: match plugin.on_error {
                None | Some(schema::OnError::Closed) => OnError::Closed,
                Some(schema::OnError::Open) => OnError::Open,
            },
        })
    };
    names.iter().enumerate().map(filter).collect()
}

fn hub(key: &str, entry: &schema::Hub, filters: Vec<FilterSettings>) -> Result<Hub, ConfigError> {
    let mode = match entry.mode {
        None | Some(schema::Mode::Default) => Mode::Default,
        Some(schema::Mode::Serverless) => Mode::Serverless,
        Some(schema::Mode::Classic) => Mode::Classic,
    };
    let origins = entry.cors_origins.clone().unwrap_or_default();
    let pattern = |(index, origin): (usize, &String)| {
        let parsed = OriginPattern::parse(origin);
        parsed.map_err(|error| problem(format!("{key}.cors-origins[{index}]"), format!("\"{origin}\" {error}")))
    };
    let patterns = origins.iter().enumerate().filter(|(_, origin)| *origin != "*").map(pattern);
    let cors = net::CorsOrigins {
        patterns: patterns.collect::<Result<_, _>>()?,
        any: origins.iter().any(|origin| origin == "*"),
        localhost: false,
    };
    let anonymous_negotiate = entry.negotiate.as_ref().is_some_and(|negotiate| negotiate.anonymous);
    let messages_per_second = entry.messages_per_second.unwrap_or_default();
    Ok(Hub {
        core: core::HubSettings { mode, filters, messages_per_second },
        net: net::HubSettings { cors, anonymous_negotiate },
    })
}

fn upstream(
    file: &schema::File,
    plugins: &HashMap<PluginName, PluginSettings>,
) -> Result<Vec<core::UpstreamItem>, ConfigError> {
    let item = |(index, item): (usize, &schema::UpstreamItem)| {
        let key = format!("upstream[{index}]");
        let handler = handler(&key, item, plugins)?;
        let lower_case: Vec<String> = item.hubs.iter().map(|hub| hub.to_ascii_lowercase()).collect();
        let known = ["*", "connections", "messages"];
        if let Some(wrong) = item.categories.iter().find(|each| !known.contains(&each.as_str())) {
            let expected = format!("\"{wrong}\" is none of \"connections\", \"messages\" and \"*\"");
            return Err(problem(format!("{key}.categories"), expected));
        }
        Ok(core::UpstreamItem {
            hubs: pattern(&lower_case),
            categories: pattern(&item.categories),
            events: pattern(&item.events),
            handler,
        })
    };
    file.upstream.0.iter().enumerate().map(item).collect()
}

/// Who gets the events of an upstream item: a plugin or a webhook.
fn handler(
    key: &str,
    item: &schema::UpstreamItem,
    plugins: &HashMap<PluginName, PluginSettings>,
) -> Result<core::Handler, ConfigError> {
    let url = match (&item.plugin, &item.url) {
        (Some(plugin), None) => {
            let plugin = PluginName::new(plugin.as_str());
            if !plugins.contains_key(&plugin) {
                let names = plugins.keys().map(PluginName::as_str);
                return Err(problem(format!("{key}.plugin"), no_plugin(plugin.as_str(), names)));
            }
            if item.timeout.is_some() {
                let other = format!("is for webhooks; a plugin has `plugins.{plugin}.call-time`");
                return Err(problem(format!("{key}.timeout"), other));
            }
            if item.retries.is_some() {
                return Err(problem(format!("{key}.retries"), "is for webhooks"));
            }
            if item.on_connect_failure.is_some() {
                return Err(problem(
                    format!("{key}.on-connect-failure"),
                    "is for webhooks; a plugin refuses the client",
                ));
            }
            if item.claim_names.is_some() {
                return Err(problem(
                    format!("{key}.claim-names"),
                    "is for webhooks; a plugin sees the token's own names",
                ));
            }
            return Ok(core::Handler::Plugin(plugin));
        }
        (None, Some(url)) => url,
        (Some(_), Some(_)) => return Err(problem(key, "has both `plugin` and `url`; an event goes to one of them")),
        (None, None) => {
            let needed = "needs `plugin`, the name of an entry of [plugins], or `url`, that of a webhook";
            return Err(problem(key, needed));
        }
    };
    let url = UrlTemplate::parse(url).map_err(|error| problem(format!("{key}.url"), error))?;
    let timeout = item.timeout.map_or(DEFAULT_WEBHOOK_TIMEOUT, |span| span.0).into();
    let on_connect_failure = match item.on_connect_failure {
        None | Some(schema::ConnectFailure::Close) => core::ConnectFailure::Close,
        Some(schema::ConnectFailure::Log) => core::ConnectFailure::Log,
    };
    let claim_names = match item.claim_names {
        None | Some(schema::ClaimNames::Token) => core::ClaimNames::Token,
        Some(schema::ClaimNames::Dotnet) => core::ClaimNames::Dotnet,
    };
    let retries = item.retries.unwrap_or(DEFAULT_RETRIES);
    if retries > MOST_RETRIES {
        return Err(problem(format!("{key}.retries"), format!("must be from 0 to {MOST_RETRIES}")));
    }
    Ok(core::Handler::Webhook(Arc::new(core::Webhook { url, timeout, retries, on_connect_failure, claim_names })))
}

fn pattern(names: &[String]) -> core::Pattern {
    match names.iter().any(|name| name == "*") {
        true => core::Pattern::Any,
        false => core::Pattern::OneOf(names.to_vec()),
    }
}

fn plugins(file: &schema::File, folder: &Path) -> Result<HashMap<PluginName, PluginSettings>, ConfigError> {
    let plugin = |(name, entry): (&String, &schema::Plugin)| {
        let key = format!("plugins.{name}");
        if entry.path.as_os_str().is_empty() {
            return Err(problem(format!("{key}.path"), "must name the component's file"));
        }
        let is_filter_of = |hub: &schema::Hub| hub.filters.iter().flatten().any(|filter| filter == name);
        let uses = Uses {
            upstream: file.upstream.0.iter().any(|item| item.plugin.as_ref() == Some(name)),
            filter: file.hubs.values().any(is_filter_of),
        };
        let for_filters = [("targets", entry.targets.is_some()), ("on-error", entry.on_error.is_some())];
        if let Some((option, _)) = for_filters.into_iter().find(|(_, is_set)| *is_set && !uses.filter) {
            return Err(problem(
                format!("{key}.{option}"),
                "is for filters, and no hub has the plugin in its `filters`",
            ));
        }
        let settings = PluginSettings {
            name: PluginName::new(name.as_str()),
            source: PluginSource::File(folder.join(&entry.path)),
            uses,
            config: entry.config.clone().into_iter().collect(),
            budgets: budgets(&key, entry)?,
            rollback: rollback::settings(&format!("{key}.rollback"), entry.rollback.as_ref())?,
            allow_http: Arc::new(allow_http(&format!("{key}.allow-http"), &entry.allow_http)?),
            payloads: match entry.payload {
                None | Some(schema::Payload::Json) => Payloads::Json,
                Some(schema::Payload::Native) => Payloads::Native,
            },
        };
        Ok((settings.name.clone(), settings))
    };
    file.plugins.iter().map(plugin).collect()
}

fn budgets(key: &str, entry: &schema::Plugin) -> Result<Budgets, ConfigError> {
    let default = Budgets::default();
    let concurrency = entry.concurrency.unwrap_or(default.concurrency);
    if !(1..=MOST_CONCURRENT_CALLS).contains(&concurrency) {
        let range = format!("must be from 1 to {MOST_CONCURRENT_CALLS}");
        return Err(problem(format!("{key}.concurrency"), range));
    }
    let state_writes = entry.state_writes.map_or(default.state_writes, |size| size.0);
    if state_writes < MIN_STATE_WRITES {
        return Err(problem(
            format!("{key}.state-writes"),
            "must be at least \"64KiB\", which are written in a second",
        ));
    }
    Ok(Budgets {
        memory_bytes: entry.memory.map_or(default.memory_bytes, |size| size.0),
        call_time: entry.call_time.map_or(default.call_time, |span| span.0),
        cpu_time: entry.cpu_time.or(entry.call_time).map_or(default.cpu_time, |span| span.0),
        concurrency,
        actions: entry.actions.unwrap_or(default.actions),
        host_calls: entry.host_calls.unwrap_or(default.host_calls),
        log_lines: entry.log_lines.unwrap_or(default.log_lines),
        state_bytes: entry.state.map_or(default.state_bytes, |size| size.0),
        state_writes,
    })
}

/// Base URLs of what may be asked, and networks that their hosts may be in.
fn allow_http(key: &str, entries: &[String]) -> Result<AllowHttp, ConfigError> {
    let mut allowed = AllowHttp::default();
    for (index, text) in entries.iter().enumerate() {
        let endpoint = || Endpoint::parse(text).ok().filter(|endpoint| endpoint.base_path().is_empty());
        match (text.parse::<IpNet>(), endpoint()) {
            (Ok(network), _) => allowed.networks.push(network),
            (Err(_), Some(endpoint)) => allowed.endpoints.push(endpoint),
            (Err(_), None) => {
                let expected = "must be scheme, host and port, such as \"https://api.example.com\", or a network, such as \
                                \"10.0.0.0/8\"";
                return Err(problem(format!("{key}[{index}]"), expected));
            }
        }
    }
    match allowed.endpoints.is_empty() && !allowed.networks.is_empty() {
        true => Err(problem(key, "lists networks, but nothing in them that may be asked")),
        false => Ok(allowed),
    }
}

#[cfg(test)]
mod tests;
