//! The thread's loop: what comes from shards, from NATS and by time goes into the node, and what the node wants is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hubgate_cluster::codec::{Envelope as NodeEnvelope, Shards};
use hubgate_cluster::{Input, Node, NodeSettings, Other, Output, Report};
use hubgate_core::id::{NodeId, ShardIndex};
use hubgate_plugin_host::PluginHost;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::configuration::OwnConfiguration;
use super::nats::{Happened, Nats, NatsError};
use super::reports;
use super::to_shards::ToShards;
use super::{LEAVING, random_id};
use crate::cluster_link::{ClusterLink, ClusterStatus, Flow, FromShard, FromShards};
use crate::envelope::Envelope;
use crate::inbox::{InboxSender, LocalMessage, Message};
use crate::settings::ClusterSettings;
use crate::shared::Shared;

/// How often the node hears that time has passed.
const TICK: Duration = Duration::from_millis(100);
/// Orders of shards, and frames of others, that are taken in one turn.
const AT_ONCE: usize = 256;
/// How long what another node does not acknowledge is kept for it at least. It is kept for as long as an outage may last: what is between clients
/// and hub servers of two nodes goes on after one.
const SHORTEST_RESEND_AGE: Duration = Duration::from_secs(30);

/// The node, and all that it is driven by.
pub(super) struct Driver {
    shared: Arc<Shared>,
    settings: ClusterSettings,
    node: Node,
    nats: Nats,
    to_shards: ToShards,
    /// Frames may have so many bytes, while there is a connection.
    max_frame: Option<usize>,
    /// When the gateway serves even if no other node is heard.
    starts_alone: Option<Instant>,
    /// Whether it is logged that servers do not let the node in.
    is_refusal_told: bool,
    configuration: OwnConfiguration,
    outputs: Vec<Output>,
}

impl Driver {
    /// On the thread's own runtime.
    pub(super) async fn start(
        shared: Arc<Shared>,
        plugins: PluginHost,
        inboxes: Vec<InboxSender>,
    ) -> Result<Driver, NatsError> {
        let settings = shared.settings().cluster.clone().expect("a cluster is configured");
        let id = link(&shared).node();
        let nats = Nats::start(&settings, id).await?;
        Ok(Driver {
            node: node(&shared, &settings, id),
            nats,
            to_shards: ToShards::new(inboxes, &shared.vitals),
            max_frame: None,
            starts_alone: starts_alone(settings.start_alone),
            is_refusal_told: false,
            configuration: OwnConfiguration::new(plugins),
            outputs: Vec::new(),
            settings,
            shared,
        })
    }

    /// Goes on until the node is to leave, and has left.
    pub(super) async fn drive(
        mut self,
        mut from_shards: FromShards,
        mut is_to_leave: oneshot::Receiver<()>,
    ) -> Result<(), NatsError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut is_to_leave => break,
                () = self.take_one(&mut from_shards, &mut ticks) => {}
            }
            self.turn(&mut from_shards).await?;
        }
        self.leave(from_shards, ticks).await
    }

    /// Waits for something to happen, and tells the node. Nothing is lost if it is dropped while it waits.
    async fn take_one(&mut self, from_shards: &mut FromShards, ticks: &mut Interval) {
        let takes_data = self.to_shards.take_more();
        tokio::select! {
            Some(order) = from_shards.recv() => self.order(order),
            happened = self.nats.next(takes_data) => self.happened(happened),
            _ = ticks.tick() => self.tick(),
            () = self.to_shards.eased(), if !takes_data => {}
        }
    }

    /// Takes what else is there, and does what comes of all.
    async fn turn(&mut self, from_shards: &mut FromShards) -> Result<(), NatsError> {
        self.to_shards.begin_turn();
        for _ in 0..AT_ONCE {
            match from_shards.try_recv() {
                Ok(order) => self.order(order),
                Err(_) => break,
            }
        }
        self.carry_out().await?;
        for _ in 0..AT_ONCE {
            if !self.to_shards.take_more() {
                break;
            }
            match self.nats.received_already() {
                Some(frame) => self.feed(Input::Received(frame)),
                None => break,
            }
            self.carry_out().await?;
        }
        self.node.flush(self.shared.now(), &mut self.outputs);
        self.carry_out().await?;
        self.nats.flush();
        link(&self.shared).set_flow(Flow {
            is_congested: self.node.is_congested(self.shared.now()),
            is_cut_off: self.node.is_degraded(),
        });
        Ok(())
    }

    fn feed(&mut self, input: Input) {
        self.node.handle(input, self.shared.now(), &mut self.outputs);
        link(&self.shared).set_given_up(self.node.given_up());
    }

    fn order(&mut self, order: FromShard) {
        link(&self.shared).taken(&order);
        self.feed(match order {
            FromShard::Send { to, item } => Input::Send { to, item },
            FromShard::TooLarge { nodes } => Input::TooLarge { nodes },
            FromShard::Announce(announced) => Input::Announce(announced),
        });
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected { max_frame } => {
                tracing::info!(max_frame, "NATS is connected");
                (self.max_frame, self.is_refusal_told) = (Some(max_frame), false);
                self.feed(Input::Connected { max_frame });
            }
            Happened::Disconnected => {
                if self.max_frame.take().is_some() {
                    tracing::warn!(
                        "the connection to NATS is lost: what is for other nodes is kept, up to `cluster.resend-buffer`"
                    );
                }
                self.feed(Input::Disconnected);
            }
            Happened::Received(frame) => self.feed(Input::Received(frame)),
            Happened::Dropped => {
                tracing::debug!("frames of other nodes came faster than they were taken, and come again")
            }
            Happened::Refused(error) => {
                if !std::mem::replace(&mut self.is_refusal_told, true) {
                    let servers: Vec<String> = self.settings.servers.iter().map(ToString::to_string).collect();
                    let servers = servers.join(", ");
                    tracing::warn!(
                        servers,
                        error,
                        "cluster.servers: NATS is not reached, or does not let this node in; it is tried again"
                    );
                }
            }
        }
    }

    fn tick(&mut self) {
        let (now, clients) = (self.shared.now(), self.shared.admission.clients() as u64);
        let configuration = self.configuration.digests(&self.shared.settings());
        self.feed(Input::Tick { clients, configuration });
        let vitals = self.shared.vitals.clone();
        if let Some(pulse) = vitals.cluster() {
            pulse.beat();
        }
        if self.starts_alone.is_some_and(|at| at <= Instant::now()) {
            self.starts_alone = None;
            if vitals.is_joining() {
                tracing::warn!(
                    "cluster.start-alone is over and the cluster is not joined: the gateway serves alone, degraded, until it is"
                );
                vitals.set_joining(false);
                self.feed(Input::Serves);
            }
        }
        let has_joined = self.node.has_joined();
        let others: Vec<Other> = self.node.others(now).collect();
        let differs = |other: &Other| other.configuration.is_some_and(|other| other != configuration);
        let is_degraded = self.node.is_degraded() || !has_joined || others.iter().any(differs);
        vitals.set_degraded(is_degraded);
        link(&self.shared).set_status(ClusterStatus {
            now,
            name: self.settings.name.clone(),
            node: link(&self.shared).node(),
            clients,
            has_joined,
            is_degraded,
            configuration,
            others,
            counts: self.node.counts(),
        });
    }

    /// Does what the node wants, in order.
    async fn carry_out(&mut self) -> Result<(), NatsError> {
        while !self.outputs.is_empty() {
            for output in std::mem::take(&mut self.outputs) {
                self.perform(output).await?;
            }
        }
        Ok(())
    }

    async fn perform(&mut self, output: Output) -> Result<(), NatsError> {
        match output {
            Output::PublishToAll(frame) => self.nats.publish_to_all(frame),
            Output::Publish { to, frame } => self.nats.publish(to, frame),
            Output::Nodes(nodes) => {
                self.to_shards.tell_all(|heard| LocalMessage::Nodes(nodes.clone(), heard)).await;
            }
            Output::Broken(node) => self.to_shards.tell_all(|heard| LocalMessage::NodeLost(node, heard)).await,
            Output::Forget(node) => self.shared.directory.node_lost(node),
            Output::Apply { hub, change } => {
                let is_configured = self.shared.settings().core.names(&hub);
                self.shared.directory.apply(&hub, is_configured, change);
            }
            Output::Deliver(envelope) => self.deliver(envelope),
            Output::Tunnel(message) => self.to_shards.hand(message.to, LocalMessage::Tunnel(message).into()),
            Output::Announced { shard, hub } => {
                self.to_shards.hand(shard, LocalMessage::HubAnnounced(hub).into());
            }
            Output::IdTaken => self.draw_anew().await?,
            Output::Report(report) => {
                reports::tell(&report);
                if let Report::Joined { .. } = report {
                    self.starts_alone = None;
                    self.shared.vitals.set_joining(false);
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, NodeEnvelope { from, to, hub, order }: NodeEnvelope) {
        let hand = |shard: ShardIndex, order| {
            let envelope = Envelope { from, hub: hub.clone(), order };
            self.to_shards.hand(shard, Message::Order(envelope));
        };
        match to {
            Shards::One(shard) => hand(shard, order),
            Shards::All => self.to_shards.shards().for_each(|shard| hand(shard, order.clone())),
        }
    }

    /// Another node has the id that this one has drawn. Nobody is served yet, so that nothing has been named by it.
    async fn draw_anew(&mut self) -> Result<(), NatsError> {
        let id = random_id();
        link(&self.shared).set_node(id);
        self.to_shards.tell_all(|heard| LocalMessage::Named(id, heard)).await;
        self.nats.rename(id).await?;
        self.node = node(&self.shared, &self.settings, id);
        if let Some(max_frame) = self.max_frame {
            self.feed(Input::Connected { max_frame });
        }
        Ok(())
    }

    /// Says that the node leaves, once others have what it had for them.
    async fn leave(mut self, mut from_shards: FromShards, mut ticks: Interval) -> Result<(), NatsError> {
        let end = tokio::time::sleep(LEAVING);
        tokio::pin!(end);
        while self.max_frame.is_some() && (!from_shards.is_empty() || !self.node.is_settled()) {
            tokio::select! {
                () = &mut end => break,
                () = self.take_one(&mut from_shards, &mut ticks) => {}
            }
            self.turn(&mut from_shards).await?;
        }
        self.feed(Input::Leave);
        self.carry_out().await?;
        self.nats.end().await;
        Ok(())
    }
}

/// When the gateway is to serve alone; zero: never.
fn starts_alone(after: Duration) -> Option<Instant> {
    if after.is_zero() { None } else { Instant::now().checked_add(after) }
}

fn link(shared: &Shared) -> &ClusterLink {
    shared.cluster.as_ref().expect("a cluster is configured")
}

fn node(shared: &Shared, settings: &ClusterSettings, id: NodeId) -> Node {
    let settings = NodeSettings {
        node: id,
        incarnation: rand::random(),
        shards: shared.settings().shards,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node_timeout: settings.node_timeout.into(),
        outage_grace: settings.outage_grace.into(),
        resend_buffer: settings.resend_buffer,
        resend_age: settings.outage_grace.max(SHORTEST_RESEND_AGE).into(),
    };
    Node::new(settings, shared.directory.clone())
}
