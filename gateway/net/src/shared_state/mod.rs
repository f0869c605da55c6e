//! What plugins of a cluster keep, in buckets of JetStream's key-value store: one for each plugin.
//!
//! What the records mean is `hubgate_plugin_host`'s; this part carries them. A thread of its own has the connection, and hears of what
//! changes ([`following`]); questions and writes come from the shards' threads ([`bucket`]).

mod bucket;
mod following;
mod link;

use std::io;
use std::sync::{Arc, Weak};

use async_nats::Client;
use async_nats::jetstream::{self, ContextBuilder};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hubgate_core::id::PluginName;
use hubgate_plugin_host::{Follower, SharedRecords, SharedStore, VitalSign};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use crate::nats_options;
use crate::settings::ClusterSettings;
use crate::tasks::start_thread;
use bucket::{ANSWER, Bucket};
use following::follow;
use link::Link;

/// Writes of all plugins that wait for their answers, in number; further ones wait until others are answered.
const WRITES: usize = 10_000;

/// Why plugins cannot share what they keep.
#[derive(Debug, thiserror::Error)]
pub enum SharedStateError {
    #[error("cluster.credentials-file: {0}")]
    Credentials(io::Error),
    #[error("no thread for what plugins keep in the cluster: {0}")]
    Thread(io::Error),
    #[error("the thread for what plugins keep in the cluster has ended")]
    Ended,
    #[error("the client for NATS cannot be made: {0}")]
    Client(#[from] async_nats::ConnectError),
}

/// The buckets of a cluster, and the thread that follows them until this is dropped.
#[derive(Debug)]
pub struct SharedState {
    cluster: String,
    connection: Connection,
    openings: mpsc::UnboundedSender<Opening>,
    /// Dropped with the thread.
    is_alive: Weak<()>,
}

/// A connection to NATS, which is made again whenever it is lost.
#[derive(Debug, Clone)]
struct Connection {
    client: Client,
    jetstream: jetstream::Context,
    link: Link,
}

/// A bucket that somebody wants to follow.
#[derive(Debug)]
struct Opening {
    bucket: Bucket,
    follower: Follower,
}

impl SharedState {
    /// Starts to look for servers. Waits for none of them.
    pub fn start(settings: &ClusterSettings) -> Result<SharedState, SharedStateError> {
        let (openings, opened) = mpsc::unbounded_channel();
        let (connects, connected) = std::sync::mpsc::sync_channel(1);
        let alive = Arc::new(());
        let is_alive = Arc::downgrade(&alive);
        let cluster = settings.name.clone();
        let settings = settings.clone();
        start_thread("cluster-state", move || {
            let _alive = alive;
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(connects.send(Err(SharedStateError::Thread(error)))),
            };
            runtime.block_on(async {
                match Connection::make(&settings).await {
                    Ok(connection) => {
                        drop(connects.send(Ok(connection.clone())));
                        follow_all(&connection, opened).await;
                    }
                    Err(error) => drop(connects.send(Err(error))),
                }
            });
        })
        .map_err(SharedStateError::Thread)?;
        // At once: no server is waited for.
        let connection = connected.recv().map_err(|_| SharedStateError::Ended)??;
        Ok(SharedState { cluster, connection, openings, is_alive })
    }
}

impl Connection {
    /// Waits for no server.
    async fn make(settings: &ClusterSettings) -> Result<Connection, SharedStateError> {
        let (link, happened) = Link::new();
        let options = nats_options::options(settings, format!("hubgate {} state", settings.name));
        let options = options.map_err(SharedStateError::Credentials)?.event_callback(happened);
        Ok(Connection::new(options.connect(nats_options::servers(settings)).await?, link))
    }

    fn new(client: Client, link: Link) -> Connection {
        let jetstream = ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER).max_ack_inflight(WRITES);
        Connection { jetstream: jetstream.build(client.clone()), client, link }
    }
}

impl SharedStore for SharedState {
    fn open(&self, plugin: &PluginName, follower: Follower) -> Arc<dyn SharedRecords> {
        let bucket = Bucket::new(self.connection.clone(), &self.cluster, plugin);
        // A thread that is gone ends the gateway.
        let _ = self.openings.send(Opening { bucket: bucket.clone(), follower });
        Arc::new(bucket)
    }

    fn vital_sign(&self) -> VitalSign {
        match self.is_alive.strong_count() {
            0 => VitalSign::Ended,
            _ => VitalSign::Idle,
        }
    }
}

/// Until nobody can open any more.
async fn follow_all(connection: &Connection, mut openings: mpsc::UnboundedReceiver<Opening>) {
    let mut following = FuturesUnordered::new();
    loop {
        tokio::select! {
            opening = openings.recv() => match opening {
                Some(Opening { bucket, follower }) => following.push(follow(connection, bucket, follower)),
                None => return,
            },
            Some(()) = following.next(), if !following.is_empty() => {}
        }
    }
}
