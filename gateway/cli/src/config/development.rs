//! What `dev` starts: a configuration, if one is named, and what makes it easy to try things out on one machine.

use hubgate_core::mode::Mode;
use hubgate_core::settings as core;
use hubgate_net::settings as net;

use super::*;

/// A gateway for trying things out; what is set wins over the configuration.
pub(crate) struct Development {
    /// The configuration; its folder is where its paths begin.
    pub(crate) file: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin_listen: Option<SocketAddr>,
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
    pub(crate) allow_http: Vec<String>,
}

impl Development {
    pub(crate) fn config(self) -> Result<Config, ConfigError> {
        let path = self.file.clone().unwrap_or_default();
        let text = match &self.file {
            Some(path) => text_of(path)?,
            None => String::new(),
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.with(&path, &text, &folder).map_err(|error| match path.as_os_str().is_empty() {
            true => error,
            false => error.found_in(&path, &text),
        })
    }

    fn with(self, path: &Path, text: &str, folder: &Path) -> Result<Config, ConfigError> {
        let mut file = read(path, text)?;
        let (listen, admin_listen) = (file.server.listen, file.admin.listen);
        let is_configured = self.data_dir.is_none() && file.server.data_dir.is_some();
        let data_dir = match (self.data_dir, &file.server.data_dir) {
            (Some(own), _) => own,
            (None, Some(configured)) => folder.join(configured),
            (None, None) => PathBuf::from(DATA_FOLDER),
        };
        if file.server.access_keys.0.is_empty() && file.server.access_keys_file.is_none() {
            let kept = access_key_in(&data_dir);
            let kept = kept.map_err(|error| {
                let text = format!("the access key cannot be kept in {}: {error}", data_dir.display());
                match is_configured {
                    true => problem("server.data-dir", text),
                    false => problem("--data-dir", text).outside_file(),
                }
            })?;
            file.server.access_keys = schema::Secrets(vec![kept.expose().to_owned()]);
        }
        let mut config = resolve(file, folder)?;
        config.data_dir = Some(data_dir);
        let Config { net, host, warnings, .. } = &mut config;
        net.listen = self.listen.unwrap_or(net.listen);
        net.admin.listen = match (self.admin_listen, admin_listen) {
            (Some(own), _) => own,
            (None, Some(configured)) => configured.0,
            (None, None) => admin_beside(net.listen, listen.is_none()),
        };
        net.checks_every_host = true;
        net.anonymous_user = self.user;
        net.pages = self.pages;
        net.hubs.values_mut().chain([&mut net.other_hubs]).for_each(|hub| hub.cors.localhost = true);
        let mut core = core::Settings::clone(&net.core);
        core.detailed_errors = true;
        core.other_hubs.mode = self.mode.unwrap_or(core.other_hubs.mode);
        if let Some(handler) = self.handler {
            handler.join(&mut core, net, host)?;
        }
        *warnings = without_effect::warnings(&core, host.plugins.iter());
        net.core = Arc::new(core);
        Ok(config)
    }
}

/// The admin listener never leaves this machine: one port above, where that is known to be free for it.
fn admin_beside(listen: SocketAddr, is_default: bool) -> SocketAddr {
    match is_default && listen == LISTEN {
        true => ADMIN_LISTEN,
        false => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    }
}

impl DevelopedHandler {
    /// Comes before everything else that would answer its hub. Where the configuration has a plugin of the hub's name, it has that one's
    /// settings.
    fn join(
        self,
        core: &mut core::Settings,
        net: &mut net::Settings,
        host: &mut HostSettings,
    ) -> Result<(), ConfigError> {
        let DevelopedHandler { hub, source, config, allow_http: allowed } = self;
        let name = PluginName::new(hub.as_str());
        let before = host.plugins.iter().position(|plugin| plugin.name == name).map(|at| host.plugins.remove(at));
        let mut plugin = match before {
            Some(configured) => PluginSettings { source, ..configured },
            None => PluginSettings {
                name: name.clone(),
                source,
                uses: Uses::default(),
                config: Vec::new(),
                budgets: Budgets::default(),
                payloads: Payloads::default(),
                rollback: Rollback::default(),
                allow_http: Arc::default(),
            },
        };
        plugin.uses.upstream = true;
        for (key, value) in config {
            plugin.config.retain(|(before, _)| *before != key);
            plugin.config.push((key, value));
        }
        let added = allow_http("--allow-http", &allowed).map_err(ConfigError::outside_file)?;
        let allow = Arc::make_mut(&mut plugin.allow_http);
        allow.endpoints.extend(added.endpoints);
        allow.networks.extend(added.networks);
        host.plugins.push(plugin);
        let settings = core::HubSettings { mode: Mode::Serverless, ..core.hub(&hub).clone() };
        core.hubs.insert(hub.clone(), settings);
        let settings = net::HubSettings { anonymous_negotiate: true, ..net.hub(&hub).clone() };
        net.hubs.insert(hub.clone(), settings);
        let item = core::UpstreamItem {
            hubs: core::Pattern::OneOf(vec![hub.to_string()]),
            categories: core::Pattern::Any,
            events: core::Pattern::Any,
            handler: core::Handler::Plugin(name),
        };
        core.upstream.insert(0, item);
        Ok(())
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
            allow_http: allow_http.iter().map(|origin| (*origin).to_owned()).collect(),
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
        let (listen, admin_listen, mode, user) = (None, None, None, Some("ann".to_owned()));
        Development { file: Some(path), listen, admin_listen, mode, handler, pages, data_dir, user }.config()
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
        assert_eq!(config.host.plugins.len(), 2, "it takes the place of the one of its name");
        let core = &config.net.core;
        assert_eq!((core.hub(&chat).mode, core.hub(&chat).filters.len()), (Mode::Serverless, 1));
        assert!(config.net.hub(&chat).anonymous_negotiate && config.net.checks_every_host);
        assert_eq!(core.upstream.len(), 2);
        assert_eq!(config.net.listen.port(), 9999, "the configuration's address");
        assert_eq!(config.net.admin.listen.port(), 0);
        assert_eq!(config.net.anonymous_user.as_deref(), Some("ann"));
    }

    #[test]
    fn what_is_wrong_is_named_by_the_option_or_by_the_line_of_the_file() {
        let error = developed("", Some(handler(&[], &["api.example.com"]))).expect_err("no scheme").to_string();
        assert!(error.starts_with("--allow-http[0]: must be scheme, host and port"), "{error}");
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
