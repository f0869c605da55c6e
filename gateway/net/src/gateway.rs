//! The whole gateway: its listeners, its shards, and its orderly end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use hubgate_core::Presence;
use hubgate_core::id::ShardIndex;
use hubgate_core::time::Millis;
use hubgate_plugin_host::PluginHost;
use hubgate_wire::endpoint::Endpoint;
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

use crate::admin::{self, Admin};
use crate::admission::Admission;
use crate::inbox::{INBOX, InboxSender, ShardMessage};
use crate::listeners::{self, Descriptors, Listener};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shard;

/// Questions of plugins that wait for their shard.
const QUESTIONS: usize = 256;

/// The keys of the listeners' addresses.
const LISTEN: &str = "server.listen";
const ADMIN_LISTEN: &str = "admin.listen";

/// What all threads of the gateway read.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: ArcSwap<Settings>,
    pub(crate) admin_address: SocketAddr,
    pub(crate) is_ready: AtomicBool,
    pub(crate) admission: Arc<Admission>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) metrics: Metrics,
    /// What certificates of webhooks are checked by, once it is needed.
    pub(crate) web_tls: OnceLock<rustls::ClientConfig>,
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
            settings: ArcSwap::from_pointee(with_endpoint(settings, listen)),
            admin_address,
            is_ready: AtomicBool::new(false),
            admission: Arc::default(),
            presence: Arc::default(),
            metrics: Metrics::new(registry),
            web_tls: OnceLock::new(),
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

    /// Serves until `stop` is ready, then sends all clients away; `on_ready` is called when everything is accepted.
    pub async fn run(
        self,
        on_ready: impl FnOnce(),
        stop: impl Future<Output = ()>,
        mut changes: mpsc::Receiver<Change>,
    ) -> Result<(), StartError> {
        let mut shards = Shards::start(&self.shared, &self.plugins)?;
        let admin =
            Admin { shared: self.shared.clone(), plugins: self.plugins.clone(), inboxes: shards.inboxes.clone() };
        let listener = Listener::new(self.listener, LISTEN)?;
        let mut operators = std::pin::pin!(admin::serve(Listener::new(self.admin, ADMIN_LISTEN)?, admin));
        self.shared.is_ready.store(true, Ordering::Relaxed);
        on_ready();
        {
            let mut accepting = std::pin::pin!(async {
                tokio::select! {
                    () = accept(listener, self.descriptors, &self.shared, &shards.inboxes) => {}
                    () = stop => {}
                }
                self.shared.is_ready.store(false, Ordering::Relaxed);
                shards.drain_within(self.shared.settings().drain_timeout).await;
            });
            loop {
                tokio::select! {
                    () = &mut accepting => break,
                    never = &mut operators => match never {},
                    Some(Change { settings, done }) = changes.recv() => {
                        let settings = Arc::new(with_endpoint(settings, self.listen));
                        self.shared.settings.store(settings.clone());
                        shards.configure(&settings.core).await;
                        // Who wanted it may be gone.
                        let _ = done.send(());
                    }
                }
            }
        }
        shards.stop().await;
        self.plugins.stop();
        Ok(())
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
async fn accept(mut listener: Listener, mut descriptors: Descriptors, shared: &Shared, inboxes: &[InboxSender]) {
    for shard in inboxes.iter().cycle() {
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
        drop(shard.send(accepted).await);
    }
}

/// The worker threads.
struct Shards {
    inboxes: Vec<InboxSender>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    fn start(shared: &Arc<Shared>, plugins: &PluginHost) -> io::Result<Shards> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..shared.settings().shards).map(|_| mpsc::channel(INBOX)).unzip();
        let mut threads = Vec::new();
        for (index, inbox) in receivers.into_iter().enumerate() {
            let (shared, plugins, inboxes) = (shared.clone(), plugins.clone(), inboxes.clone());
            let runtime = move || {
                let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
                let runtime = runtime.expect("the operating system gives a poller and a waker");
                let (ask, questions) = mpsc::channel(QUESTIONS);
                let plugins = plugins.shard(ask);
                runtime.block_on(shard::run(ShardIndex(index as u16), shared, plugins, questions, inboxes, inbox));
            };
            threads.push(std::thread::Builder::new().name(format!("shard-{index}")).spawn(runtime)?);
        }
        Ok(Shards { inboxes, threads })
    }

    async fn configure(&self, settings: &Arc<hubgate_core::settings::Settings>) {
        let mut configured = Vec::new();
        for inbox in &self.inboxes {
            let (answer, answered) = oneshot::channel();
            drop(inbox.send(ShardMessage::Configure(settings.clone(), answer)).await);
            configured.push(answered);
        }
        for answered in configured {
            drop(answered.await);
        }
    }

    async fn drain_within(&self, timeout: Duration) {
        if tokio::time::timeout(timeout, self.drain()).await.is_err() {
            tracing::warn!(?timeout, "server.drain-timeout is over before all clients are gone");
        }
    }

    async fn drain(&self) {
        let mut drained = Vec::new();
        for inbox in &self.inboxes {
            let (answer, answered) = oneshot::channel();
            drop(inbox.send(ShardMessage::Drain(answer)).await);
            drained.push(answered);
        }
        for answered in drained {
            drop(answered.await);
        }
    }

    async fn stop(&mut self) {
        for inbox in &self.inboxes {
            drop(inbox.send(ShardMessage::Stop).await);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread has panicked");
            }
        }
    }
}
