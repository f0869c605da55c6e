//! Several gateways that serve as one, joined by a nats-server.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Index, IndexMut};

use serde_json::Value;

use crate::gateway::{Gateway, Setup};
use crate::nats::NatsServer;
use crate::network::{Machine, Network};
use crate::wait::until;

/// Gateways that serve as one, each on a port of its own. Dropped, all of it is killed.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Gateway>,
    /// Of each, whether it runs.
    runs: Vec<bool>,
    /// Of each, the one that it has for itself, if it was started so.
    machines: Vec<Machine>,
    /// After the gateways, so that it ends after them.
    pub nats: NatsServer,
    making: Making,
}

/// A cluster that is not started yet.
pub struct Making {
    /// What all nodes have alike.
    setup: Box<dyn Fn() -> Setup + Send + Sync>,
    /// What more configuration they have.
    config: String,
    /// What more there is in the table `cluster`.
    settings: String,
}

/// How one node sees the cluster.
#[derive(Debug)]
pub struct View {
    /// Its own id.
    pub node: String,
    /// The ids of all nodes, its own among them.
    pub nodes: BTreeSet<String>,
    pub is_degraded: bool,
}

impl Cluster {
    /// Nodes that are all made by `setup`.
    pub fn of(setup: impl Fn() -> Setup + Send + Sync + 'static) -> Making {
        Making { setup: Box::new(setup), config: String::new(), settings: String::new() }
    }

    pub fn nodes(&self) -> &[Gateway] {
        &self.nodes
    }

    /// That of a node which was [started apart](Making::start_apart).
    pub fn machine(&self, node: usize) -> &Machine {
        &self.machines[node]
    }

    /// The places of those that run.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.runs[*node])
    }

    /// Waits until all that run are ready, and know each other and nobody else.
    pub async fn is_whole(&self) {
        for node in self.running() {
            is_ready(&self.nodes[node]).await;
        }
        let mut ids = BTreeSet::new();
        for node in self.running() {
            ids.insert(View::of(&self.nodes[node]).await.node);
        }
        assert_eq!(ids.len(), self.running().count(), "each node has an id of its own");
        for node in self.running() {
            let what = format!("node {node} to know the others, and nobody else");
            let knows_all = async || {
                let view = View::of(&self.nodes[node]).await;
                (view.nodes == ids && !view.is_degraded).then_some(())
            };
            until(&what, knows_all).await;
        }
    }

    /// Ends a node at once, as a crash does.
    pub fn crash(&mut self, node: usize) {
        self.runs[node] = false;
        self.nodes[node].crash();
    }

    /// Asks a node to stop, and waits until it has.
    pub async fn stop(&mut self, node: usize) {
        self.runs[node] = false;
        self.nodes[node].terminate();
        assert_eq!(self.nodes[node].ended().await.code(), Some(0));
    }

    /// Starts a node that has ended, on the same port; it may not have joined yet.
    pub async fn start_again(&mut self, node: usize) {
        self.nodes[node].start_again().await;
        self.runs[node] = true;
    }

    /// Starts one more node; it may not have joined yet. Gives its place.
    pub async fn add(&mut self) -> usize {
        self.nodes.push(self.making.setup(&self.nats).start().await);
        self.runs.push(true);
        self.nodes.len() - 1
    }
}

impl Index<usize> for Cluster {
    type Output = Gateway;

    fn index(&self, node: usize) -> &Gateway {
        &self.nodes[node]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, node: usize) -> &mut Gateway {
        &mut self.nodes[node]
    }
}

impl Making {
    /// With more keys of the table `cluster`.
    pub fn with(mut self, settings: &str) -> Making {
        self.settings.push_str(settings);
        self.settings.push('\n');
        self
    }

    /// With more configuration of all nodes.
    pub fn configured(mut self, config: &str) -> Making {
        self.config.push_str(config);
        self.config.push('\n');
        self
    }

    /// So many nodes and a nats-server; all have joined.
    pub async fn start(self, nodes: usize) -> Cluster {
        self.start_on(NatsServer::start().await, nodes).await
    }

    /// The same on this nats-server.
    pub async fn start_on(self, nats: NatsServer, nodes: usize) -> Cluster {
        let cluster = self.start_unready_on(nats, nodes).await;
        cluster.is_whole().await;
        cluster
    }

    /// The same, and nobody has joined yet.
    pub async fn start_unready_on(self, nats: NatsServer, nodes: usize) -> Cluster {
        let starting = (0..nodes).map(|_| self.setup(&nats).start());
        let nodes = futures_util::future::join_all(starting).await;
        Cluster { runs: vec![true; nodes.len()], nodes, machines: Vec::new(), nats, making: self }
    }

    /// So many nodes, each on a machine of its own, as the nats-server is; all have joined.
    pub async fn start_apart(self, network: &mut Network, nats: NatsServer, nodes: usize) -> Cluster {
        let machines: Vec<Machine> = (0..nodes).map(|_| network.machine()).collect();
        let starting = machines.iter().map(|machine| self.setup(&nats).on(machine.clone()).start());
        let nodes = futures_util::future::join_all(starting).await;
        let cluster = Cluster { runs: vec![true; nodes.len()], nodes, machines, nats, making: self };
        cluster.is_whole().await;
        cluster
    }

    /// A node of it, not started yet.
    pub fn setup(&self, nats: &NatsServer) -> Setup {
        let servers = format!("[cluster]\nservers = ['{}']\n", nats.url());
        (self.setup)().with(&self.config).with(&servers).with(&format!("[cluster]\n{}", self.settings))
    }
}

impl fmt::Debug for Making {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Making").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl View {
    /// What `/admin/cluster` of a node says.
    pub async fn of(gateway: &Gateway) -> View {
        let status = gateway.admin("/admin/cluster").await;
        let id = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no id of a node: {status}")).to_owned();
        let node = id(&status["node"]);
        let others = status["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {status}"));
        let nodes = others.iter().map(|other| id(&other["node"])).chain([node.clone()]).collect();
        View { node, nodes, is_degraded: status["degraded"] == true }
    }
}

/// Waits until a node has joined.
pub async fn is_ready(gateway: &Gateway) {
    until("a node to be ready", async || (gateway.get("/readyz").await.status == 200).then_some(())).await;
}
