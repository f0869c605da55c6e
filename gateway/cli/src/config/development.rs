//! What `dev` starts: a configuration, if one is named, and what makes it easy to try things out on one machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hubgate_core::id::{HubName, PluginName};
use hubgate_core::mode::Mode;
use hubgate_core::settings as core;
use hubgate_net::settings as net;
use hubgate_plugin_host::{PluginSource, Rollback};

use super::kept_keys;
use super::origins::Origin;
use super::schema::{ADMIN_LISTEN, ALL_HUBS};
use super::secrets::SHORTEST_KEY;
use super::settle::DATA_FOLDER;
use super::value::{Allowed, Listen, Secrets};
use super::{Addresses, Config, ConfigError, Draft, absolute};

/// A gateway for trying things out; what is set wins over the configuration.
pub(crate) struct Development {
    /// The configuration; its folder is where its paths begin.
    pub(crate) file: Option<PathBuf>,
    pub(crate) addresses: Addresses,
    /// Of all hubs that have no entry.
    pub(crate) mode: Option<Mode>,
    pub(crate) handler: Option<DevelopedHandler>,
    pub(crate) pages: net::Pages,
    pub(crate) data_dir: Option<PathBuf>,
    /// Whom clients without a token are signed in as.
    pub(crate) user: Option<String>,
}

/// A plugin that is being made, and the hub that it answers: serverless, open to anybody on this machine.
pub(crate) struct DevelopedHandler {
    pub(crate) hub: HubName,
    pub(crate) source: PluginSource,
    /// Values that its `config` import answers with.
    pub(crate) config: Vec<(String, String)>,
    /// What its `http` import may reach, as in `allow-http`.
    pub(crate) allow_http: Vec<Allowed>,
}

impl Development {
    pub(crate) fn config(self) -> Result<Config, ConfigError> {
        let mut draft = match &self.file {
            Some(path) => Draft::read(path)?,
            None => Draft::new(),
        };
        let Addresses { listen, admin_listen } = self.addresses;
        let is_default = listen.is_none() && draft.origins.of("server.listen") == Origin::Default;
        let has_admin_listen = admin_listen.is_some() || draft.origins.of("admin.listen") != Origin::Default;
        draft.take(self.addresses);
        if self.file.is_none() {
            // Nobody sees keys who has no file.
            draft.origins.is_given_by("server.listen", "--listen");
            draft.origins.is_given_by("admin.listen", "--admin-listen");
            draft.origins.is_given_by("[[upstream]]", "--plugin");
        }
        if !has_admin_listen {
            draft.file.admin.listen = Listen(admin_beside(is_default));
        }
        draft.file.server.detailed_errors = true;
        if let Some(mode) = self.mode {
            draft.file.hubs.entry(ALL_HUBS.to_owned()).or_default().mode = mode;
            draft.origins.is_given_by("hubs.*.mode", "--mode");
        }
        keep_data(&mut draft, self.data_dir);
        if let Some(handler) = &self.handler {
            handler.join(&mut draft);
        }
        let mut config = draft.settled()?;
        if let Some(handler) = self.handler {
            handler.answer(&mut config);
        }
        // Its keys, and the URLs that clients use, are its own choice.
        const KEPT: [&str; 3] = ["network-rules", "plugins", "upstream"];
        config.warnings.retain(|warning| KEPT.iter().any(|table| warning.key.starts_with(table)));
        let net = &mut config.net;
        net.checks_every_host = true;
        net.anonymous_user = self.user;
        net.pages = self.pages;
        net.hubs.values_mut().chain([&mut net.other_hubs]).for_each(|hub| hub.cors.localhost = true);
        Ok(config)
    }
}

/// Where the gateway keeps what it makes: an access key, too, where none is given.
fn keep_data(draft: &mut Draft, folder: Option<PathBuf>) {
    const KEY: &str = "server.data-dir";
    let server = &mut draft.file.server;
    match (folder, &mut server.data_dir) {
        (Some(own), data_dir) => {
            *data_dir = Some(absolute(&own));
            draft.origins.is_given_by(KEY, "--data-dir");
        }
        (None, Some(configured)) => *configured = draft.folder.join(&*configured),
        (None, data_dir @ None) => {
            *data_dir = Some(absolute(Path::new(DATA_FOLDER)));
            draft.origins.is_given_by(KEY, "--data-dir");
        }
    }
    if !server.access_keys.0.is_empty() || server.access_keys_file.is_some() {
        return;
    }
    let folder = server.data_dir.as_deref().unwrap_or(Path::new(DATA_FOLDER));
    match kept_keys::own_file(folder) {
        Ok(file) => {
            server.access_keys_file = Some(file);
            // What is wrong in the file is told by what names its folder.
            let named_by = match draft.origins.of(KEY) {
                Origin::Outside(option) => option,
                Origin::Line(_) | Origin::Default => KEY,
            };
            draft.origins.is_given_by("server.access-keys-file", named_by);
        }
        Err(error) => {
            draft.problems.push(KEY, format!("the access key cannot be kept in {}: {error}", folder.display()));
            // Nothing else is wrong with it.
            server.access_keys = Secrets(vec!["-".repeat(SHORTEST_KEY)]);
        }
    }
}

/// The admin listener never leaves this machine: one port above, where that is known to be free for it.
fn admin_beside(is_default: bool) -> SocketAddr {
    match is_default {
        true => ADMIN_LISTEN,
        false => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    }
}

impl DevelopedHandler {
    /// Adds plugin and hub. Where the configuration has a plugin of the hub's name, it has that one's settings.
    fn join(&self, draft: &mut Draft) {
        let Draft { file, origins, .. } = draft;
        let name = self.hub.as_str();
        for (key, option) in [("path", "--plugin"), ("config", "--set"), ("allow-http", "--allow-http")] {
            origins.is_given_by(format!("plugins.{name}.{key}"), option);
        }
        let keeps_rollback = origins.is_set(&format!("plugins.{name}.rollback"));
        let plugin = file.plugins.entry(name.to_owned()).or_default();
        if !keeps_rollback {
            // Whoever makes a plugin wants to see the error of what was saved last, however often it is called.
            plugin.rollback = Rollback { errors: None, ..Rollback::default() };
        }
        plugin.path = Some(match &self.source {
            PluginSource::File(path) => absolute(path),
            PluginSource::Embedded(_) => "(embedded)".into(),
        });
        plugin.config.0.extend(self.config.iter().cloned());
        plugin.allow_http.extend(self.allow_http.iter().cloned());
        let others = file.hubs.get(ALL_HUBS).cloned().unwrap_or_default();
        let configured = file.hubs.keys().find(|entry| entry.eq_ignore_ascii_case(name)).cloned();
        let served = file.hubs.entry(configured.unwrap_or_else(|| name.to_owned())).or_insert(others);
        served.mode = Mode::Serverless;
        served.negotiate.anonymous = true;
    }

    /// Comes before everything else that would answer its hub.
    fn answer(self, config: &mut Config) {
        let name = PluginName::new(self.hub.as_str());
        for plugin in config.host.plugins.iter_mut().filter(|plugin| plugin.name == name) {
            plugin.uses.upstream = Some("--plugin");
            Arc::make_mut(&mut plugin.allow_http).key = "--allow-http".to_owned();
            plugin.source = self.source.clone();
        }
        let unused = format!("plugins.{name}");
        config.warnings.retain(|warning| warning.key != unused);
        let item = core::UpstreamItem {
            hubs: core::Pattern::OneOf(vec![self.hub.to_string()]),
            categories: core::Pattern::Any,
            events: core::Pattern::Any,
            handler: core::Handler::Plugin(name),
        };
        Arc::make_mut(&mut config.net.core).upstream.insert(0, item);
        config.host.hubs = config.net.core.hubs_of_plugins();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(config: &[(&str, &str)], allow_http: &[&str]) -> DevelopedHandler {
        DevelopedHandler {
            hub: HubName::parse("chat").expect("a name"),
            source: PluginSource::Embedded(b""),
            config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            allow_http: allow_http.iter().map(|origin| origin.parse().expect("it may be allowed")).collect(),
        }
    }

    fn developed(file: &str, handler: Option<DevelopedHandler>) -> Result<Config, ConfigError> {
        developed_with(file, handler, Some("data"))
    }

    /// `data_dir` is below the folder of the configuration.
    fn developed_with(
        file: &str,
        handler: Option<DevelopedHandler>,
        data_dir: Option<&str>,
    ) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("hubgate.toml");
        std::fs::write(&path, file).expect("the folder can be written");
        let (pages, data_dir) = (net::Pages::None, data_dir.map(|name| folder.path().join(name)));
        let (addresses, mode, user) = (Addresses::default(), None, Some("ann".to_owned()));
        Development { file: Some(path), addresses, mode, handler, pages, data_dir, user }.config()
    }

    #[test]
    fn options_win_over_the_configuration_and_join_it() {
        let file = "[server]\nlisten = '127.0.0.1:9999'\n[hubs.Chat]\nfilters = ['f']\n[[upstream]]\nplugin = 'chat'\n\
                    [plugins.f]\npath = 'f'\n[plugins.chat]\npath = 'old.wasm'\nmemory = '1MiB'\n\
                    config = { a = '1', b = '1' }\nallow-http = ['http://a']";
        let config = developed(file, Some(handler(&[("b", "2"), ("c", "3")], &["http://b", "10.0.0.0/8"])));
        let config = config.expect("valid");
        let chat = HubName::parse("chat").expect("a name");
        let plugin = config.host.plugins.iter().find(|plugin| plugin.name.as_str() == "chat").expect("it is there");
        assert!(matches!(plugin.source, PluginSource::Embedded(_)), "the option's component");
        assert_eq!(plugin.budgets.memory_bytes, 1 << 20, "the configuration's budget");
        let values: Vec<String> = plugin.config.iter().map(|(key, value)| format!("{key}{value}")).collect();
        assert_eq!(values, ["a1", "b2", "c3"]);
        assert_eq!((plugin.allow_http.endpoints.len(), plugin.allow_http.networks.len()), (2, 1));
        // What says so of a version that comes later, too.
        assert_eq!((plugin.allow_http.key.as_str(), plugin.uses.upstream), ("--allow-http", Some("--plugin")));
        assert_eq!(config.host.plugins.len(), 2, "it takes the place of the one of its name");
        let core = &config.net.core;
        assert_eq!((core.hub(&chat).mode, core.hub(&chat).filters.len()), (Mode::Serverless, 1));
        assert!(config.net.hub(&chat).negotiate == net::Negotiate::Anybody && config.net.checks_every_host);
        assert_eq!(core.upstream.len(), 2);
        assert_eq!(config.host.hubs, [(PluginName::new("chat"), chat)], "it is told that it begins to serve");
        assert_eq!(config.net.listen.port(), 9999, "the configuration's address");
        assert_eq!(config.net.admin.listen.port(), 0);
        assert_eq!(config.net.anonymous_user.as_deref(), Some("ann"));
    }

    #[test]
    fn a_plugin_that_is_being_made_is_rolled_back_only_where_the_configuration_says_so() {
        let errors = |file: &str| {
            let config = developed(file, Some(handler(&[], &[]))).expect("valid");
            config
                .host
                .plugins
                .iter()
                .map(|plugin| (plugin.name.to_string(), plugin.rollback.errors.is_some()))
                .collect()
        };
        let found: [Vec<(String, bool)>; 3] = [
            "[plugins.other]\npath = 'other.wasm'\n[hubs.x]\nfilters = ['other']",
            "[plugins.chat]\nrollback = { calls = 5 }",
            "[plugins.chat]\nmemory = '1MiB'",
        ]
        .map(errors);
        let named = |name: &str, is_rolled_back| (name.to_owned(), is_rolled_back);
        assert_eq!(found[0], [named("chat", false), named("other", true)]);
        assert_eq!(found[1..], [vec![named("chat", true)], vec![named("chat", false)]]);
    }

    #[test]
    fn what_is_wrong_is_named_by_the_option_or_by_the_line_of_the_file() {
        let error = developed("", Some(handler(&[], &["10.0.0.0/8"]))).expect_err("no host").to_string();
        assert!(error.starts_with("--allow-http: lists networks, but no URL"), "{error}");
        let error = developed("[server]\nshards = 'x'", None).expect_err("no number").to_string();
        assert!(error.contains("hubgate.toml, line 2: server.shards: "), "{error}");
    }

    #[test]
    fn a_folder_that_keeps_no_key_is_named_by_the_option_or_by_the_line_that_names_it() {
        // No folder is made below a file.
        let error = developed_with("[server]\n", None, Some("hubgate.toml/data")).expect_err("a file").to_string();
        assert!(error.starts_with("--data-dir: the access key cannot be kept in "), "{error}");
        let file = "[server]\ndata-dir = 'hubgate.toml/data'\n";
        let error = developed_with(file, None, None).expect_err("a file").to_string();
        assert!(error.contains("hubgate.toml, line 2: server.data-dir: the access key cannot be kept in "), "{error}");
    }
}
