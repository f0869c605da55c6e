//! The whole gateway: its listeners, its shards, and its orderly end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hubgate_plugin_host::PluginHost;
use hubgate_wire::endpoint::Endpoint;
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::accepting::Accepting;
use crate::acme::Acme;
use crate::admin::{self, Admin};
use crate::cluster::Cluster;
use crate::key_fetching;
use crate::listeners::{Descriptors, Listener, ListeningSocket};
use crate::orders::OperatorOrder;
use crate::resource_log::ResourceLog;
use crate::settings::{Drain, ResourceLogSettings, Settings};
use crate::shards::Shards;
use crate::shared::Shared;
use crate::tasks::{self, Caught, Panicked};
use crate::telemetry::Telemetry;
use crate::telemetry_export;
use crate::vitals::Vitals;
use crate::watchdog;

/// The keys of the listeners' addresses.
const LISTEN: &str = "server.listen";
const ADMIN_LISTEN: &str = "admin.listen";
/// The key of the file of resource logs.
const RESOURCE_LOG: &str = "telemetry.resource-logs.file";
/// How long the process may take to end once its clients have had their time to leave.
const END_LIMIT: Duration = Duration::from_secs(15);

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{key} = \"{address}\": cannot listen there: {source}{}", cure(.source))]
    Listen { key: &'static str, address: SocketAddr, source: io::Error },
    #[error("{key}: the socket that the service manager has passed is not a listening TCP socket: {source}")]
    Inherited { key: &'static str, source: io::Error },
    #[error("telemetry.resource-logs.file = \"{}\": cannot write there: {source}", .file.display())]
    ResourceLog { file: PathBuf, source: io::Error },
    #[error("cannot start a worker thread: {0}")]
    Thread(#[from] io::Error),
}

impl StartError {
    /// The key of the configuration that it is about, if it is about one.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            StartError::Listen { key, .. } | StartError::Inherited { key, .. } => Some(key),
            StartError::ResourceLog { .. } => Some(RESOURCE_LOG),
            StartError::Thread(_) => None,
        }
    }
}

/// What to do where nobody can listen.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ". Another program listens there: stop it, or take another port; 0 is a free one",
        io::ErrorKind::AddrNotAvailable => ". It is not an address of this machine: 0.0.0.0 means all of them",
        io::ErrorKind::PermissionDenied => {
            ". Ports below 1024 need a privilege (`AmbientCapabilities=CAP_NET_BIND_SERVICE` in a systemd unit)"
        }
        _ => "",
    }
}

/// Whether the gateway could listen where the settings say; nothing listens there afterwards.
pub fn check_listening(settings: &Settings) -> Vec<StartError> {
    let mut listening = Vec::new();
    let mut errors = Vec::new();
    for (key, address) in [(LISTEN, settings.listen), (ADMIN_LISTEN, settings.admin.listen)] {
        let listens = |socket: ListeningSocket| {
            let listens = socket.listen().map_err(|source| StartError::Listen { key, address, source });
            listens.map(|()| socket)
        };
        match bind(key, address, None).and_then(listens) {
            // Held, so that one address for both is found.
            Ok(socket) => listening.push(socket),
            Err(error) => errors.push(error),
        }
    }
    errors
}

/// Why a gateway that ran ended otherwise than it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("a vital part of the gateway is gone: {0}")]
    Failed(String),
    #[error("a worker thread does not end: {0}")]
    Stuck(String),
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> RunError {
        RunError::Start(error.into())
    }
}

/// Settings for a running gateway to go on with, and with the plugins that its host has now. Of the settings `listen`,
/// `shards`, `cluster` and the address of the admin listener have no effect.
#[derive(Debug)]
pub struct Change {
    pub settings: Settings,
    /// Told when all threads go by them.
    pub done: oneshot::Sender<()>,
}

/// How a running gateway and whoever keeps its configuration speak to each other.
#[derive(Debug)]
pub struct Keeper {
    pub changes: mpsc::Receiver<Change>,
    /// What operators want changed.
    pub orders: mpsc::Sender<OperatorOrder>,
}

/// Listening sockets that the service manager has made; those that it has not are bound.
#[derive(Debug, Default)]
pub struct Inherited {
    pub clients: Option<TcpListener>,
    pub admin: Option<TcpListener>,
}

/// The addresses of a gateway, which nobody else can have; connections are still refused.
#[derive(Debug)]
pub struct Sockets {
    clients: ListeningSocket,
    admin: ListeningSocket,
}

impl Sockets {
    /// Binds those that are not inherited.
    pub fn bind(settings: &Settings, inherited: Inherited) -> Result<Sockets, StartError> {
        Ok(Sockets {
            clients: bind(LISTEN, settings.listen, inherited.clients)?,
            admin: bind(ADMIN_LISTEN, settings.admin.listen, inherited.admin)?,
        })
    }

    /// The address that clients connect to.
    pub fn listen_address(&self) -> io::Result<SocketAddr> {
        self.clients.address()
    }
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    plugins: PluginHost,
    acme: Acme,
    /// What speaks to other nodes, if the gateway is one of several.
    cluster: Option<Cluster>,
    /// For the collector, if there is one.
    spans: Option<mpsc::Receiver<Span>>,
    listener: ListeningSocket,
    listen: SocketAddr,
    admin: ListeningSocket,
    descriptors: Descriptors,
}

impl Gateway {
    /// Begins to listen. Nothing is accepted before [`Gateway::run`]. The process may have `max_descriptors` open files.
    pub fn listen(
        settings: Settings,
        plugins: PluginHost,
        max_descriptors: usize,
        sockets: Sockets,
    ) -> Result<Gateway, StartError> {
        let Sockets { clients: listener, admin } = sockets;
        for (key, address, socket) in
            [(LISTEN, settings.listen, &listener), (ADMIN_LISTEN, settings.admin.listen, &admin)]
        {
            socket.listen().map_err(|source| StartError::Listen { key, address, source })?;
        }
        let (listen, admin_address) = (listener.address()?, admin.address()?);
        let mut registry = Registry::default();
        plugins.register_metrics(&mut registry);
        let vitals = Vitals::new(settings.shards, Some(plugins.clone()));
        let (vitals, link, cluster) = match settings.cluster {
            Some(_) => {
                let (link, cluster) = Cluster::new();
                (vitals.in_a_cluster(), Some(link), Some(cluster))
            }
            None => (vitals, None, None),
        };
        let mut acme = Acme::default();
        let settings = acme.serving(settings.listening_at(listen));
        let (telemetry, spans) = Telemetry::new(settings.telemetry.as_ref());
        let resource_log = settings.resource_log.as_ref().map(start_resource_log).transpose()?;
        let mut shared =
            Shared::new(settings, (link, telemetry), admin_address, Arc::new(vitals), registry, acme.status());
        shared.resource_log = resource_log;
        let descriptors = Descriptors::new(max_descriptors);
        Ok(Gateway { shared: Arc::new(shared), plugins, acme, cluster, spans, listener, listen, admin, descriptors })
    }

    /// The address that clients connect to.
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.shared.admin_address
    }

    /// The public base URL of connection strings.
    pub fn endpoint(&self) -> Endpoint {
        self.shared.settings().endpoints[0].clone()
    }

    /// Tells how long the end takes at most, as the settings are when it is asked.
    pub fn longest_end(&self) -> impl Fn() -> Duration + use<> {
        let shared = self.shared.clone();
        move || longest_end(shared.settings().drain)
    }

    /// How many clients are connected now, in all hubs.
    pub fn clients(&self) -> impl Fn() -> usize + use<> {
        let shared = self.shared.clone();
        move || shared.admission.clients()
    }

    /// Starts a task without which the gateway cannot go on: it stops, in order, if the task panics.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        tasks::spawn_vital(self.shared.vitals.clone(), name, task)
    }

    /// Serves until `stop` is ready, then sends all clients away; `on_ready` is called when everything is accepted, and
    /// `on_well` again and again from another thread while all parts of the gateway show signs of life. It has `on_abort` called
    /// right before it ends a process that does not, and waits for that only for a moment.
    pub async fn run(
        self,
        on_ready: impl FnOnce(),
        on_well: impl Fn() + Send + 'static,
        on_abort: impl FnOnce() + Send + 'static,
        stop: impl Future<Output = ()>,
        keeper: Keeper,
    ) -> Result<(), RunError> {
        let vitals = self.shared.vitals.clone();
        watchdog::start(&vitals, on_well, on_abort)?;
        let ran = tokio::select! {
            ran = self.serve(on_ready, stop, keeper) => ran,
            never = vitals.main.keep_beating() => match never {},
        };
        vitals.begin_to_stop();
        ran
    }

    async fn serve(
        mut self,
        on_ready: impl FnOnce(),
        stop: impl Future<Output = ()>,
        Keeper { mut changes, orders }: Keeper,
    ) -> Result<(), RunError> {
        let vitals = &self.shared.vitals;
        let (shards, threads) = Shards::start(&self.shared, &self.plugins)?;
        let cluster = self
            .cluster
            .map(|cluster| cluster.start(&self.shared, self.plugins.clone(), shards.inboxes()))
            .transpose()?;
        let settings = self.shared.settings().telemetry.clone();
        let exporting = match (self.shared.telemetry.export(), settings, self.spans) {
            (Some(export), Some(settings), Some(spans)) => {
                Some(telemetry_export::start(export.clone(), &settings, spans, (&self.shared, &shards)))
            }
            _ => None,
        };
        let (shared, plugins) = (self.shared.clone(), self.plugins.clone());
        let admin = Admin { shared, plugins, shards: shards.clone(), orders };
        let listener = Listener::new(self.listener, LISTEN)?;
        let mut operators = std::pin::pin!(admin::serve(Listener::new(self.admin, ADMIN_LISTEN)?, admin));
        key_fetching::follow(&self.shared, self.shared.settings().key_urls());
        self.acme.follow(&self.shared, self.shared.settings().acme.as_ref());
        vitals.set_ready(true);
        on_ready();
        {
            let accepting =
                Accepting { listener, descriptors: self.descriptors, shared: &self.shared, shards: &shards };
            let mut accepting = std::pin::pin!(async {
                let drain = Caught::new(accepting.until(begin_to_end(&self.shared, stop))).await;
                let drain = drain.unwrap_or_else(|Panicked| {
                    vitals.fail("accepting connections panicked".to_owned());
                    end_begins(&self.shared)
                });
                shards.drain_within(drain.timeout).await;
            });
            // Beside the others: a shard that stands still holds up the reload alone.
            let mut changing = std::pin::pin!(async {
                while let Some(Change { settings, done }) = changes.recv().await {
                    key_fetching::follow(&self.shared, settings.key_urls());
                    let settings = self.acme.serving(settings.listening_at(self.listen));
                    self.acme.follow(&self.shared, settings.acme.as_ref());
                    self.shared.set_settings(settings);
                    shards.configure().await;
                    // Who wanted it may be gone.
                    let _ = done.send(());
                }
                std::future::pending::<Infallible>().await
            });
            tokio::select! {
                () = &mut accepting => {}
                never = &mut operators => match never {},
                never = &mut changing => match never {},
            }
        }
        if let Some(cluster) = cluster {
            cluster.leave().await;
        }
        vitals.begin_to_stop();
        if exporting.is_some() {
            // The collector is told last what the shards know last, and they answer no more once they have stopped.
            drop(shards.statuses().await);
        }
        let stuck = shards.stop(threads).await;
        if let Some(exporting) = exporting {
            exporting.end().await;
        }
        if let Some(log) = &self.shared.resource_log {
            log.end();
        }
        self.plugins.stop();
        match (vitals.failure(), stuck.is_empty()) {
            (Some(what), _) => Err(RunError::Failed(what.to_owned())),
            (None, false) => Err(RunError::Stuck(stuck.join(", "))),
            (None, true) => Ok(()),
        }
    }
}

fn start_resource_log(settings: &ResourceLogSettings) -> Result<Arc<ResourceLog>, StartError> {
    let failed = |source| StartError::ResourceLog { file: settings.file.clone(), source };
    let (log, write) = ResourceLog::open(settings).map_err(failed)?;
    tasks::start_thread("hubgate-resource-log", write)?;
    Ok(log)
}

/// Until clients are to be sent away: for a while before, load balancers learn that the gateway wants no more. Gives how the
/// gateway stops, whatever a reload makes of it meanwhile.
async fn begin_to_end(shared: &Shared, stop: impl Future<Output = ()>) -> Drain {
    let vitals = &shared.vitals;
    tokio::select! {
        () = stop => {}
        _ = vitals.failed() => {}
    }
    let drain = end_begins(shared);
    tokio::select! {
        () = tokio::time::sleep(drain.delay) => {}
        _ = vitals.failed() => {}
    }
    drain
}

/// The gateway wants no more clients, and must have ended in time; gives how it stops.
fn end_begins(shared: &Shared) -> Drain {
    shared.vitals.set_ready(false);
    let drain = shared.settings().drain;
    shared.vitals.end_within(longest_end(drain));
    drain
}

/// How long the end takes at most.
fn longest_end(drain: Drain) -> Duration {
    drain.delay.saturating_add(drain.timeout).saturating_add(END_LIMIT)
}

fn bind(key: &'static str, address: SocketAddr, inherited: Option<TcpListener>) -> Result<ListeningSocket, StartError> {
    match inherited {
        Some(socket) => {
            let socket = ListeningSocket::inherited(socket).and_then(|socket| {
                let address = socket.address()?;
                tracing::info!(%address, "the service manager has made the socket: {key} has no effect");
                Ok(socket)
            });
            socket.map_err(|source| StartError::Inherited { key, source })
        }
        None => ListeningSocket::bind(address).map_err(|source| StartError::Listen { key, address, source }),
    }
}

#[cfg(test)]
mod tests;
