//! What `dev` and `serve` share: a gateway from its start to its orderly end.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use hubgate_net::{Gateway, Keeper, SharedState, SharedStateError, Sockets};
use hubgate_plugin_host::{BadPlugins, Compilation, Folders, Keeping, PluginHost, PluginStatus, SharedStore};
use hubgate_wire::endpoint::Endpoint;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::key_regeneration;
use super::reload::{Reload, Told};
use super::service_manager;
use super::watch::WatchedProject;
use crate::config::{Addresses, Config, Listen};
use crate::{COMPILE_COMMAND, Failure, logging, process};

/// Options of both commands.
#[derive(Debug, clap::Args)]
pub(crate) struct RunOptions {
    /// The address for clients; port 0 is a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// The address for operators.
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<Listen>,
    /// Is written, as a whole, once everything listens: addresses, connection string and admin token as JSON.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl RunOptions {
    pub(crate) fn addresses(&self) -> Addresses {
        let address = |listen: Option<Listen>| listen.map(|listen| listen.0);
        Addresses { listen: address(self.listen), admin_listen: address(self.admin_listen) }
    }
}

/// A gateway that listens, as its user is told of it.
pub(crate) struct Started<'a> {
    gateway: &'a Gateway,
    pub(crate) connection_string: String,
    pub(crate) admin_token: String,
    pub(crate) config: &'a Config,
    pub(crate) plugins: Vec<PluginStatus>,
}

impl Started<'_> {
    /// The first public base URL.
    pub(crate) fn url(&self) -> String {
        self.gateway.endpoint().to_string()
    }

    /// The address that clients connect to.
    pub(crate) fn listen_address(&self) -> SocketAddr {
        self.gateway.listen_address()
    }

    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.gateway.admin_address())
    }
}

/// What is followed while the gateway runs.
#[derive(Debug)]
pub(crate) enum Follows {
    Configuration(Reload),
    /// The project of a plugin of this name. Clients are told URLs that they can use wherever it listens.
    Project(String, WatchedProject),
    /// As before, and nothing changes.
    Nothing,
}

/// Runs until a signal asks for the end; `announce` tells the user once it listens.
pub(crate) fn run(
    mut config: Config,
    options: &RunOptions,
    bad_plugins: BadPlugins,
    follows: Follows,
    announce: impl FnOnce(&Started<'_>),
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let ran = runtime.block_on(async {
        // Signals count from the beginning, so that one that comes while plugins are compiled is not lost.
        let stop = stop_signal().context("cannot listen for signals")?;
        // First, since an address that is taken is known at once, and plugins take their time.
        let sockets = Sockets::bind(&config.net, service_manager::sockets()?);
        let in_own_words = |error: &dyn std::fmt::Display| anyhow!(config.origins.in_own_words(&error.to_string()));
        let sockets = sockets.map_err(|error| Failure::Failed(in_own_words(&error)))?;
        if !matches!(follows, Follows::Configuration(_)) && config.net.endpoints.is_empty() {
            config.net.endpoints = usable_urls(config.net.scheme(), sockets.listen_address().context("no address")?);
        }
        let hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        let access_key = config.net.access_keys[0].clone();
        let admin_token = config.net.admin.token.clone();
        let compilation = compilation(Some(config.data_dir.join("compiled")));
        let shared = shared_state(&config).map_err(|error| Failure::Usage(in_own_words(&error)))?;
        let keeping = Keeping { folders: folders(&config), shared };
        let plugins = PluginHost::start(config.host.clone(), compilation, keeping, bad_plugins)
            .map_err(|error| Failure::Usage(in_own_words(&error)))?;
        let max_descriptors = process::max_descriptors().context("cannot ask how many open files are allowed")?;
        let gateway = Gateway::listen(config.net.clone(), plugins.clone(), max_descriptors, sockets)
            .map_err(|error| Failure::Failed(anyhow!(error)))?;
        let connection_string = access_key.connection_string(&gateway.endpoint());
        let started =
            Started { gateway: &gateway, connection_string, admin_token, config: &config, plugins: plugins.statuses() };
        let ready = ReadyFile::new(options.ready_file.as_deref(), &started)?;
        announce(&started);
        let (changes, changed) = mpsc::channel(1);
        let (orders, ordered) = mpsc::channel(1);
        let keeper = Keeper { changes: changed, orders };
        let clients = gateway.clients();
        let following = gateway.spawn_vital("following what changes", async move {
            match follows {
                Follows::Configuration(reload) => {
                    let told = Told { hang_up, orders: ordered };
                    reload.follow(config, plugins, changes, told).await;
                }
                Follows::Project(plugin, project) => {
                    let keys = key_regeneration::serve(config, changes, ordered);
                    tokio::join!(project.follow(plugin, plugins, clients), keys, ignore(hang_up));
                }
                Follows::Nothing => {
                    tokio::join!(key_regeneration::serve(config, changes, ordered), ignore(hang_up));
                }
            }
        });
        let on_ready = || {
            ready.publish();
            service_manager::ready();
        };
        let longest_end = gateway.longest_end();
        let stop = async {
            stop.await;
            service_manager::stopping(longest_end());
            tracing::info!("stopping: clients are sent away");
        };
        let ran = gateway.run(on_ready, service_manager::signs_of_life(), logging::flush, stop, keeper).await;
        following.abort();
        ran.map_err(|error| Failure::Failed(anyhow!(error)))
    });
    // A file of the configuration that is being read may be on a disk that does not answer: that is no reason to stay.
    runtime.shutdown_background();
    ran
}

/// The base URLs of an address; of all addresses, that by which others reach this machine and its own.
fn usable_urls(scheme: &str, listen: SocketAddr) -> Vec<Endpoint> {
    let hosts = match listen.ip().is_unspecified() {
        true => outward_address().into_iter().chain([IpAddr::V4(Ipv4Addr::LOCALHOST)]).collect(),
        false => vec![listen.ip()],
    };
    let urls = hosts.into_iter().map(|host| format!("{scheme}://{}", SocketAddr::new(host, listen.port())));
    urls.filter_map(|url| Endpoint::parse(&url).ok()).collect()
}

/// The address that this machine has for others. Nothing is sent: a socket is only asked which one it would send from.
fn outward_address() -> Option<IpAddr> {
    // Reserved for documents (RFC 5737): it leads wherever the default route does.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}

/// Where plugins keep what they share with those of other gateways, if there are others.
pub(super) fn shared_state(config: &Config) -> Result<Option<Arc<dyn SharedStore>>, SharedStateError> {
    let start = |cluster| SharedState::start(cluster).map(|started| Arc::new(started) as Arc<dyn SharedStore>);
    config.net.cluster.as_ref().map(start).transpose()
}

/// Where plugins keep what lasts.
pub(super) fn folders(config: &Config) -> Folders {
    let in_data_dir = |name: &str| Some(config.data_dir.join(name));
    Folders { state: in_data_dir("state"), components: in_data_dir("components") }
}

/// Components are compiled by this very program, in a process of its own; what comes of it is kept in `cache`.
pub(crate) fn compilation(cache: Option<PathBuf>) -> Compilation {
    let program = match process::own_program() {
        Ok(program) => Some((program, vec![COMPILE_COMMAND.to_owned()])),
        Err(error) => {
            tracing::warn!(%error, "components are compiled in this process, without bounds: its program cannot be found");
            None
        }
    };
    Compilation { program, cache }
}

/// Ready when the process is asked to end, by SIGTERM or from its terminal.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Without a configuration file there is nothing to read again.
async fn ignore(mut hang_up: Signal) {
    while hang_up.recv().await.is_some() {
        tracing::warn!("SIGHUP: there is no configuration file to read again");
    }
}

/// The ready file, complete but not in its place yet.
struct ReadyFile(Option<(tempfile::NamedTempFile, PathBuf)>);

impl ReadyFile {
    fn new(path: Option<&Path>, started: &Started<'_>) -> Result<ReadyFile> {
        let Some(path) = path else {
            return Ok(ReadyFile(None));
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let context = || format!("--ready-file {}: cannot be written", path.display());
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
        let ready = json!({
            "listen": started.gateway.listen_address(),
            "admin": started.gateway.admin_address(),
            "connectionString": started.connection_string,
            "adminToken": started.admin_token,
        });
        writeln!(file, "{ready}").with_context(context)?;
        Ok(ReadyFile(Some((file, path.to_owned()))))
    }

    /// Puts the file into its place.
    fn publish(self) {
        if let Some((file, path)) = self.0
            && let Err(error) = file.persist(&path)
        {
            tracing::error!(%error, "the ready file cannot be written");
        }
    }
}
