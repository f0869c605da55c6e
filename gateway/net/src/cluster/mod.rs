//! This gateway as one of several: the thread that speaks to the others by NATS, and the shards' way to it.
//!
//! What the nodes say to each other, and what each makes of it, is [`hubgate_cluster`]'s; this part only carries it.

mod configuration;
mod driver;
mod nats;
mod reports;
mod to_shards;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::id::NodeId;
use hubgate_plugin_host::PluginHost;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

use crate::cluster_link::{ClusterLink, FromShards};
use crate::inbox::InboxSender;
use crate::shared::Shared;
use crate::tasks::{Caught, start_thread};
use driver::Driver;

/// How long others may take to acknowledge the last of what they were told by a node that leaves.
const LEAVING: Duration = Duration::from_secs(2);
/// How long a node may take to say that it leaves, after that.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the thread needs that has not been started.
#[derive(Debug)]
pub(crate) struct Cluster {
    from_shards: FromShards,
}

/// A thread that runs.
#[derive(Debug)]
pub(crate) struct ClusterThread {
    leave: oneshot::Sender<()>,
    has_left: oneshot::Receiver<()>,
}

impl Cluster {
    /// The way to a thread that is to be started.
    pub(crate) fn new() -> (ClusterLink, Cluster) {
        let (link, from_shards) = ClusterLink::new(random_id());
        (link, Cluster { from_shards })
    }

    /// Starts the thread. It speaks for the shards that have these inboxes.
    pub(crate) fn start(
        self,
        shared: &Arc<Shared>,
        plugins: PluginHost,
        inboxes: Vec<InboxSender>,
    ) -> io::Result<ClusterThread> {
        let (leave, is_to_leave) = oneshot::channel();
        let (leaves, has_left) = oneshot::channel();
        let shared = shared.clone();
        start_thread("cluster", move || {
            run(&shared, plugins, (self.from_shards, is_to_leave), inboxes);
            let _ = leaves.send(());
        })?;
        Ok(ClusterThread { leave, has_left })
    }
}

impl ClusterThread {
    /// Tells the other nodes that this one leaves, once they have all that it had for them.
    pub(crate) async fn leave(self) {
        let _ = self.leave.send(());
        drop(tokio::time::timeout(LEAVING + 2 * LAST_WORDS, self.has_left).await);
    }
}

fn run(
    shared: &Arc<Shared>,
    plugins: PluginHost,
    (from_shards, is_to_leave): (FromShards, oneshot::Receiver<()>),
    inboxes: Vec<InboxSender>,
) {
    let vitals = shared.vitals.clone();
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return vitals.fail(format!("the cluster's thread has no poller: {error}")),
    };
    let driving =
        async { Driver::start(shared.clone(), plugins, inboxes).await?.drive(from_shards, is_to_leave).await };
    let driven = runtime.block_on(Caught::new(driving));
    if let Some(link) = &shared.cluster {
        link.close();
    }
    match driven {
        Ok(Ok(())) => {}
        Ok(Err(error)) => vitals.fail(format!("the cluster cannot be joined: {error}")),
        Err(_) => vitals.fail("the cluster's thread panicked".to_owned()),
    }
}

/// An id that no other node has, most probably; 0 is that of a gateway that serves alone.
fn random_id() -> NodeId {
    NodeId(rand::random_range(1..=u32::MAX))
}
