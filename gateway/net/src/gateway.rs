//! The whole gateway: its listeners, its shards, and its orderly end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use hubgate_core::Presence;
use hubgate_core::time::Millis;
use hubgate_plugin_host::PluginHost;
use hubgate_wire::endpoint::Endpoint;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::admin::{self, Admin};
use crate::admission::Admission;
use crate::inbox::ShardMessage;
use crate::listeners::{self, Descriptors, Listener};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shards::Shards;
use crate::tasks::{self, Caught};
use crate::vitals::Vitals;
use crate::watchdog;

/// The keys of the listeners' addresses.
const LISTEN: &str = "server.listen";
const ADMIN_LISTEN: &str = "admin.listen";
/// How long the process may take to end once its clients have had their time to leave.
const END_LIMIT: Duration = Duration::from_secs(15);

/// What all threads of the gateway read.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: ArcSwap<Settings>,
    pub(crate) admin_address: SocketAddr,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) metrics: Metrics,
    /// What certificates of webhooks are checked by, once it is needed.
    pub(crate) web_tls: OnceLock<rustls::ClientConfig>,
    #[cfg(test)]
    pub(crate) faults: crate::faults::Faults,
    started: Instant,
}

impl Shared {
    /// The settings as they are now, with at least one endpoint.
    pub(crate) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    pub(crate) fn now(&self) -> Millis {
        self.started.elapsed().into()
    }
}

/// Seconds since 1970, as tokens count them.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{key} = \"{address}\": cannot listen there: {source}")]
    Listen { key: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot start a worker thread: {0}")]
    Thread(#[from] io::Error),
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
/// `shards` and the address of the admin listener have no effect.
#[derive(Debug)]
pub struct Change {
    pub settings: Settings,
    /// Told when all threads go by them.
    pub done: oneshot::Sender<()>,
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    plugins: PluginHost,
    listener: TcpListener,
    listen: SocketAddr,
    admin: TcpListener,
    descriptors: Descriptors,
}

impl Gateway {
    /// Binds the listeners. Nothing is accepted before [`Gateway::run`]. The process may have `max_descriptors` open files.
    pub fn bind(settings: Settings, plugins: PluginHost, max_descriptors: usize) -> Result<Gateway, StartError> {
        let listener = listen(LISTEN, settings.listen)?;
        let admin = listen(ADMIN_LISTEN, settings.admin.listen)?;
        let (listen, admin_address) = (listener.local_addr()?, admin.local_addr()?);
        let mut registry = Registry::default();
        plugins.register_metrics(&mut registry);
        let shared = Shared {
            vitals: Arc::new(Vitals::new(settings.shards, Some(plugins.clone()))),
            settings: ArcSwap::from_pointee(with_endpoint(settings, listen)),
            admin_address,
            admission: Arc::default(),
            presence: Arc::default(),
            metrics: Metrics::new(registry),
            web_tls: OnceLock::new(),
            #[cfg(test)]
            faults: crate::faults::Faults::default(),
            started: Instant::now(),
        };
        let descriptors = Descriptors::new(max_descriptors);
        Ok(Gateway { shared: Arc::new(shared), plugins, listener, listen, admin, descriptors })
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

    /// Starts a task without which the gateway cannot go on: it stops, in order, if the task panics.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        tasks::spawn_vital(self.shared.vitals.clone(), name, task)
    }

    /// Serves until `stop` is ready, then sends all clients away; `on_ready` is called when everything is accepted, and
    /// `on_well` again and again from another thread while all parts of the gateway show signs of life.
    pub async fn run(
        self,
        on_ready: impl FnOnce(),
        on_well: impl Fn() + Send + 'static,
        stop: impl Future<Output = ()>,
        changes: mpsc::Receiver<Change>,
    ) -> Result<(), RunError> {
        let vitals = self.shared.vitals.clone();
        watchdog::start(&vitals, on_well)?;
        let ran = tokio::select! {
            ran = self.serve(on_ready, stop, changes) => ran,
            never = vitals.main.keep_beating() => match never {},
        };
        vitals.begin_to_stop();
        ran
    }

    async fn serve(
        self,
        on_ready: impl FnOnce(),
        stop: impl Future<Output = ()>,
        mut changes: mpsc::Receiver<Change>,
    ) -> Result<(), RunError> {
        let vitals = &self.shared.vitals;
        let (shards, threads) = Shards::start(&self.shared, &self.plugins)?;
        let admin = Admin { shared: self.shared.clone(), plugins: self.plugins.clone(), shards: shards.clone() };
        let listener = Listener::new(self.listener, LISTEN)?;
        let mut operators = std::pin::pin!(admin::serve(Listener::new(self.admin, ADMIN_LISTEN)?, admin));
        vitals.set_accepting(true);
        on_ready();
        {
            let mut accepting = std::pin::pin!(async {
                tokio::select! {
                    ended = Caught::new(accept(listener, self.descriptors, &self.shared, &shards)) => match ended {
                        Ok(never) => match never {},
                        Err(_) => vitals.fail("accepting connections panicked".to_owned()),
                    },
                    () = stop => {}
                    _ = vitals.failed() => {}
                }
                vitals.set_accepting(false);
                let drain_timeout = self.shared.settings().drain_timeout;
                vitals.end_within(drain_timeout.saturating_add(END_LIMIT));
                shards.drain_within(drain_timeout).await;
            });
            loop {
                tokio::select! {
                    () = &mut accepting => break,
                    never = &mut operators => match never {},
                    Some(Change { settings, done }) = changes.recv() => {
                        self.shared.settings.store(Arc::new(with_endpoint(settings, self.listen)));
                        shards.configure().await;
                        // Who wanted it may be gone.
                        let _ = done.send(());
                    }
                }
            }
        }
        vitals.begin_to_stop();
        let stuck = shards.stop(threads).await;
        self.plugins.stop();
        match (vitals.failure(), stuck.is_empty()) {
            (Some(what), _) => Err(RunError::Failed(what.to_owned())),
            (None, false) => Err(RunError::Stuck(stuck.join(", "))),
            (None, true) => Ok(()),
        }
    }
}

/// The settings, with the bound address for an endpoint if they have none.
fn with_endpoint(mut settings: Settings, listen: SocketAddr) -> Settings {
    if settings.endpoints.is_empty() {
        let url = format!("{}://{listen}", settings.scheme());
        settings.endpoints.push(Endpoint::parse(&url).expect("an address makes a URL"));
    }
    settings
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listeners::bind(address).map_err(|source| StartError::Listen { key, address, source })
}

/// Accepts connections and deals them out to the shards in turn. Those that there is no place for are closed without a word:
/// an answer would wait for a request.
async fn accept(mut listener: Listener, mut descriptors: Descriptors, shared: &Shared, shards: &Shards) -> Infallible {
    let mut turn = 0;
    loop {
        let accepted = loop {
            let (stream, remote) = listener.accept().await;
            if descriptors.are_scarce(&stream) {
                shared.metrics.refused("descriptors");
                continue;
            }
            let Some(place) = shared.admission.enter_http(&shared.settings().limits) else {
                shared.metrics.refused("http-connections");
                continue;
            };
            match stream.into_std() {
                Ok(stream) => break ShardMessage::Accepted { stream, remote, place },
                Err(error) => tracing::debug!(%error, "an accepted connection is lost"),
            }
        };
        #[cfg(test)]
        shared.faults.strike(crate::faults::Fault::Accepting);
        shards.deal(&mut turn, accepted).await;
    }
}

#[cfg(test)]
mod tests;
