//! What the gateway counts, in the text that Prometheus reads.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;

use http::StatusCode;
use hubgate_core::id::{HubName, PluginName};
use hubgate_core::{CloseCause, Directory, HubCounters, HubStatus, RefreshOutcome, ResumeOutcome, ShardStatus};
use hubgate_wire::negotiate::Transport;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::certificate_status::CertificateStatus;
use crate::cluster_link::ClusterStatus;
use crate::network_rules::RequestKind;
use crate::peer_task::PeerTask;
use crate::resource_log::ResourceLog;
use crate::slow::SlowReason;
use crate::telemetry::SpanCounts;

/// The label of hubs that have none of their own.
const OTHER: &str = "other";

/// Why requests and connections are refused.
const REFUSALS: [&str; 36] = [
    "absent",
    "anonymous",
    "authorizer",
    "authorizer-failed",
    "connection",
    "connections",
    "connections-per-claim",
    "connections-per-ip",
    "connections-per-token",
    "connections-per-user",
    "descriptors",
    "headers",
    "host",
    "http-body",
    "http-connections",
    "http-connections-per-ip",
    "http-header",
    "hub",
    "hub-server",
    "joining",
    "malformed",
    "negotiated",
    "negotiates-per-second",
    "network-rules",
    "no-answer",
    "node",
    "path",
    "post",
    "provider-keys",
    "posts",
    "request",
    "resumes",
    "tls",
    "token",
    "transport",
    "user-memberships",
];
const WEBHOOK_OUTCOMES: [&str; 7] = ["ok", "status", "unreachable", "timed-out", "busy", "bad-answer", "bad-event"];
const PLUGIN_HTTP_OUTCOMES: [&str; 5] = ["ok", "denied", "timed-out", "too-large", "failed"];

/// What is counted outside of the shards' cores, which count for themselves.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Also has the plugins' metrics.
    registry: Registry,
    requests_refused: Family<ReasonLabel, Counter>,
    network_refusals: Family<KindLabel, Counter>,
    rest_requests: Family<RestLabels, Counter>,
    webhook_requests: Family<OutcomeLabel, Counter>,
    plugin_http_requests: Family<OutcomeLabel, Counter>,
    slow_peers: Family<LimitLabel, Counter>,
    outbox_bytes: Gauge,
    task_panics: Family<TaskLabel, Counter>,
    sign_ins: Family<SignInLabels, Counter>,
}

/// By what a hub's own negotiation lets clients in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignIn {
    Anonymous,
    Authorizer,
    IdentityProvider,
}

impl SignIn {
    const ALL: [SignIn; 3] = [SignIn::Anonymous, SignIn::Authorizer, SignIn::IdentityProvider];

    fn name(self) -> &'static str {
        match self {
            SignIn::Anonymous => "anonymous",
            SignIn::Authorizer => "authorizer",
            SignIn::IdentityProvider => "jwt",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignInLabels {
    by: &'static str,
    outcome: &'static str,
}

const SIGN_IN_OUTCOMES: [&str; 3] = ["granted", "refused", "failed"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabel {
    task: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RestLabels {
    operation: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabel {
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WayLabel {
    direction: &'static str,
}

impl Metrics {
    /// `registry` has the metrics of others already.
    pub(crate) fn new(mut registry: Registry) -> Metrics {
        let requests_refused = Family::default();
        registry.register("hubgate_requests_refused", "Requests that were refused", requests_refused.clone());
        let network_refusals = Family::default();
        let help = "Requests that network rules have denied, by what they were for";
        registry.register("hubgate_network_refusals", help, network_refusals.clone());
        let rest_requests = Family::default();
        registry.register("hubgate_rest_requests", "Operations of the REST API by their status", rest_requests.clone());
        let webhook_requests = Family::default();
        registry.register("hubgate_webhook_requests", "Events that went to webhooks", webhook_requests.clone());
        let plugin_http_requests = Family::default();
        let help = "Requests that plugins made by HTTP";
        registry.register("hubgate_plugin_http_requests", help, plugin_http_requests.clone());
        let slow_peers = Family::default();
        let help = "Peers that were given up because they took too little of what waited for them";
        registry.register("hubgate_slow_peers", help, slow_peers.clone());
        let outbox_bytes = Gauge::default();
        let help = "What waits for clients and hub servers and did not leave at once";
        registry.register("hubgate_outbox_bytes", help, outbox_bytes.clone());
        let task_panics = Family::default();
        let help = "Tasks that panicked; what each did for one peer ended with that peer";
        registry.register("hubgate_task_panics", help, task_panics.clone());
        let sign_ins = Family::default();
        let help = "Negotiations of hubs' own endpoints, by who decided about them";
        registry.register("hubgate_sign_ins", help, sign_ins.clone());
        let metrics = Metrics {
            registry,
            requests_refused,
            network_refusals,
            rest_requests,
            webhook_requests,
            plugin_http_requests,
            slow_peers,
            outbox_bytes,
            task_panics,
            sign_ins,
        };
        metrics.begin();
        metrics
    }

    /// Counts 0 of everything that is known by name: a rate of a counter that appears with its first event misses that one.
    fn begin(&self) {
        for reason in REFUSALS {
            self.requests_refused.get_or_create(&ReasonLabel { reason }).inc_by(0);
        }
        for kind in RequestKind::ALL {
            self.network_refusals.get_or_create(&KindLabel { kind: kind.name() }).inc_by(0);
        }
        for outcome in WEBHOOK_OUTCOMES {
            self.webhook_requests.get_or_create(&OutcomeLabel { outcome }).inc_by(0);
        }
        for outcome in PLUGIN_HTTP_OUTCOMES {
            self.plugin_http_requests.get_or_create(&OutcomeLabel { outcome }).inc_by(0);
        }
        for &reason in SlowReason::ALL {
            self.slow_peers.get_or_create(&LimitLabel { limit: reason.key() }).inc_by(0);
        }
        for task in PeerTask::ALL {
            self.task_panics.get_or_create(&TaskLabel { task: task.name() }).inc_by(0);
        }
        for by in SignIn::ALL {
            for outcome in SIGN_IN_OUTCOMES {
                self.sign_ins.get_or_create(&SignInLabels { by: by.name(), outcome }).inc_by(0);
            }
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.requests_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A network rule has denied a request. It is counted as refused beside this.
    pub(crate) fn denied(&self, kind: RequestKind) {
        self.network_refusals.get_or_create(&KindLabel { kind: kind.name() }).inc();
    }

    /// A hub's own negotiation was answered; `refused` is the status of a refusal.
    pub(crate) fn sign_in(&self, by: SignIn, refused: Option<StatusCode>) {
        let [granted, denied, failed] = SIGN_IN_OUTCOMES;
        let outcome = match refused {
            None => granted,
            Some(status) if status.is_server_error() => failed,
            Some(_) => denied,
        };
        self.sign_ins.get_or_create(&SignInLabels { by: by.name(), outcome }).inc();
    }

    /// A client or a hub server was too slow.
    pub(crate) fn slow_peer(&self, reason: SlowReason) {
        self.slow_peers.get_or_create(&LimitLabel { limit: reason.key() }).inc();
    }

    /// So many bytes wait for all peers.
    pub(crate) fn set_outboxes(&self, bytes: usize) {
        self.outbox_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn task_panicked(&self, task: PeerTask) {
        self.task_panics.get_or_create(&TaskLabel { task: task.name() }).inc();
    }

    /// A plugin made a request by HTTP.
    pub(crate) fn plugin_http(&self, outcome: &'static str) {
        self.plugin_http_requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// An event went to a webhook.
    pub(crate) fn webhook(&self, outcome: &'static str) {
        self.webhook_requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// An operation of the REST API was answered.
    pub(crate) fn rest_request(&self, operation: &'static str, status: StatusCode) {
        self.rest_requests.get_or_create(&RestLabels { operation, status: status.as_u16() }).inc();
    }

    /// All metrics as text: `status` is what all shards know, `directory` what they know together, `cluster` how the cluster is, if the
    /// gateway is one of several, `certificate` how that is which the gateway gets for itself, `spans`
    /// what became of those for a collector, and `resource_log` what is written there, if there are these.
    pub(crate) fn encode(
        &self,
        status: ShardStatus,
        directory: &Directory,
        cluster: Option<&ClusterStatus>,
        certificate: Option<&CertificateStatus>,
        spans: Option<&SpanCounts>,
        resource_log: Option<&ResourceLog>,
    ) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &hub_metrics(&labelled(status)))?;
        encode_registry(&mut text, &plugin_metrics(directory))?;
        if let Some(cluster) = cluster {
            encode_registry(&mut text, &cluster_metrics(cluster))?;
        }
        if let Some(certificate) = certificate {
            encode_registry(&mut text, &certificate_metrics(certificate))?;
        }
        if let Some(spans) = spans {
            encode_registry(&mut text, &spans.metrics())?;
        }
        if let Some(log) = resource_log {
            encode_registry(&mut text, &log.metrics())?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn certificate_metrics(certificate: &CertificateStatus) -> Registry {
    let expires = Gauge::<i64>::default();
    expires.set(i64::try_from(certificate.expires()).unwrap_or(i64::MAX));
    let failed = Counter::<u64>::default();
    failed.inc_by(certificate.failed_orders());
    let mut registry = Registry::default();
    let help = "When the certificate ends that the gateway has got for itself, since 1970; 0 as long as there is none";
    registry.register_with_unit("hubgate_certificate_expires_timestamp", help, Unit::Seconds, expires);
    let help = "Attempts to get a certificate that failed";
    registry.register("hubgate_certificate_orders_failed", help, failed);
    registry
}

fn cluster_metrics(cluster: &ClusterStatus) -> Registry {
    let counts = cluster.counts();
    let counter = |count| {
        let counter = Counter::<u64>::default();
        counter.inc_by(count);
        counter
    };
    let messages = Family::<WayLabel, Counter>::default();
    for (direction, count) in [("in", counts.received), ("out", counts.sent)] {
        messages.get_or_create(&WayLabel { direction }).inc_by(count);
    }
    let nodes = Gauge::<i64>::default();
    nodes.set(cluster.nodes() as i64);
    let degraded = Gauge::<i64>::default();
    degraded.set(i64::from(cluster.is_degraded()));
    let lag = Gauge::<f64, AtomicU64>::default();
    lag.set(cluster.lag_seconds());
    let mut registry = Registry::default();
    registry.register("hubgate_cluster_nodes", "Nodes of the cluster that are there, with this one", nodes);
    let help = "1 while other nodes may be there that this one does not reach";
    registry.register("hubgate_cluster_degraded", help, degraded);
    let help = "How long the oldest message for another node has waited for its acknowledgement";
    registry.register_with_unit("hubgate_cluster_lag", help, Unit::Seconds, lag);
    let help = "Messages from and to other nodes, once for each";
    registry.register("hubgate_cluster_messages", help, messages);
    let help = "Frames that were sent to other nodes once more";
    registry.register("hubgate_cluster_resent", help, counter(counts.resent));
    let help = "Messages for other nodes of which nobody knows whether they have arrived";
    registry.register("hubgate_cluster_lost", help, counter(counts.lost));
    let help = "Frames and messages of other nodes that could not be read";
    registry.register("hubgate_cluster_unreadable", help, counter(counts.unreadable));
    let help = "Frames and messages of newer nodes that this one does not know, and skips";
    registry.register("hubgate_cluster_unknown", help, counter(counts.unknown));
    registry
}

/// The sums over all shards, of hubs that are not forgotten.
pub(crate) fn sum(statuses: impl IntoIterator<Item = HubStatus>) -> Vec<HubStatus> {
    let mut sums: BTreeMap<HubName, HubStatus> = BTreeMap::new();
    for status in statuses.into_iter().filter(|status| !status.is_forgotten()) {
        match sums.get_mut(&status.hub) {
            None => drop(sums.insert(status.hub.clone(), status)),
            Some(sum) => {
                add(&mut sum.clients, status.clients);
                sum.waiting_clients += status.waiting_clients;
                sum.server_connections += status.server_connections;
                sum.counters += &status.counters;
            }
        }
    }
    sums.into_values().collect()
}

/// Adds numbers of clients, each to that of its transport.
fn add(sums: &mut [usize; Transport::COUNT], counts: [usize; Transport::COUNT]) {
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// What a hub's metrics are labelled with.
type HubLabels = Vec<(&'static str, String)>;

/// What tells hubs apart in metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct HubLabel {
    hub: String,
    is_asp_net: bool,
}

impl HubLabel {
    fn of(hub: &HubName) -> HubLabel {
        HubLabel { hub: hub.configured().to_owned(), is_asp_net: hub.is_asp_net() }
    }

    /// That of hubs which have none of their own.
    fn other() -> HubLabel {
        HubLabel { hub: OTHER.to_owned(), is_asp_net: false }
    }

    fn alone(&self) -> HubLabels {
        let protocol = self.is_asp_net.then(|| ("protocol", "aspnet".to_owned()));
        std::iter::once(("hub", self.hub.clone())).chain(protocol).collect()
    }

    /// With one more label.
    fn with(&self, name: &'static str, value: &'static str) -> HubLabels {
        let mut labels = self.alone();
        labels.insert(1, (name, value.to_owned()));
        labels
    }
}

/// What metrics count together.
#[derive(Debug, Default)]
struct Labelled {
    clients: [usize; Transport::COUNT],
    waiting_clients: usize,
    server_connections: usize,
    user_memberships: usize,
    counters: HubCounters,
}

/// The sums over all shards by label. Hubs without a label of their own, and those that are forgotten, are one: no count ever
/// goes back.
fn labelled(status: ShardStatus) -> BTreeMap<HubLabel, Labelled> {
    let mut sums: BTreeMap<HubLabel, Labelled> = BTreeMap::new();
    let mut counted = HashSet::new();
    for status in &status.hubs {
        let label = if status.has_own_label() { HubLabel::of(&status.hub) } else { HubLabel::other() };
        let sum = sums.entry(label).or_default();
        add(&mut sum.clients, status.clients);
        sum.waiting_clients += status.waiting_clients;
        sum.server_connections += status.server_connections;
        sum.counters += &status.counters;
        // All shards tell of the same ones.
        if counted.insert(&status.hub) {
            sum.user_memberships += status.user_memberships;
        }
    }
    if status.forgotten != HubCounters::default() {
        sums.entry(HubLabel::other()).or_default().counters += &status.forgotten;
    }
    sums
}

/// What plugins have in all hubs.
fn plugin_metrics(directory: &Directory) -> Registry {
    let by_plugin = |counts: Vec<(PluginName, usize)>| {
        let gauges = Family::<PluginLabel, Gauge>::default();
        for (plugin, count) in counts {
            gauges.get_or_create(&PluginLabel { plugin: plugin.to_string() }).set(count as i64);
        }
        gauges
    };
    let mut registry = Registry::default();
    let help = "Memberships of users that a plugin has made, in all hubs";
    registry.register("hubgate_plugin_user_memberships", help, by_plugin(directory.plugin_memberships()));
    let help = "Groups that a plugin watches, in all hubs";
    registry.register("hubgate_plugin_presence_groups", help, by_plugin(directory.watched_groups()));
    registry
}

/// Labels never name a user, group or connection, and hubs that the configuration does not name share one beyond a number, so
/// that the number of series stays bounded.
fn hub_metrics(hubs: &BTreeMap<HubLabel, Labelled>) -> Registry {
    let connections = Family::<HubLabels, Gauge>::default();
    let waiting = Family::<HubLabels, Gauge>::default();
    let resumes = Family::<HubLabels, Counter>::default();
    let refreshes = Family::<HubLabels, Counter>::default();
    let servers = Family::<HubLabels, Gauge>::default();
    let skipped = Family::<HubLabels, Counter>::default();
    let closed = Family::<HubLabels, Counter>::default();
    let slow = Family::<HubLabels, Counter>::default();
    let slowed = Family::<HubLabels, Counter>::default();
    let joins_refused = Family::<HubLabels, Counter>::default();
    let calls_dropped = Family::<HubLabels, Counter>::default();
    let messages = Family::<HubLabels, Counter>::default();
    let bytes = Family::<HubLabels, Counter>::default();
    let memberships = Family::<HubLabels, Gauge>::default();
    let memberships_refused = Family::<HubLabels, Counter>::default();
    for (label, status) in hubs {
        let counters = &status.counters;
        for transport in Transport::ALL {
            let labels = label.with("transport", transport.name());
            connections.get_or_create(&labels).set(status.clients[transport as usize] as i64);
        }
        waiting.get_or_create(&label.alone()).set(status.waiting_clients as i64);
        for outcome in ResumeOutcome::ALL {
            let labels = label.with("outcome", outcome.name());
            resumes.get_or_create(&labels).inc_by(counters.resumes[outcome as usize]);
        }
        for outcome in RefreshOutcome::ALL {
            let labels = label.with("outcome", outcome.name());
            refreshes.get_or_create(&labels).inc_by(counters.refreshes[outcome as usize]);
        }
        servers.get_or_create(&label.alone()).set(status.server_connections as i64);
        skipped.get_or_create(&label.alone()).inc_by(counters.server_messages_skipped);
        for cause in CloseCause::ALL {
            let count = counters.closed[cause as usize];
            closed.get_or_create(&label.with("reason", cause.name())).inc_by(count);
        }
        slow.get_or_create(&label.alone()).inc_by(counters.closed[CloseCause::SlowClient as usize]);
        for (limit, count) in [
            ("server.limits.messages-per-second", counters.slowed),
            ("hubs.messages-per-second", counters.slowed_by_hub),
        ] {
            slowed.get_or_create(&label.with("limit", limit)).inc_by(count);
        }
        memberships.get_or_create(&label.alone()).set(status.user_memberships as i64);
        memberships_refused.get_or_create(&label.alone()).inc_by(counters.memberships_refused);
        joins_refused.get_or_create(&label.alone()).inc_by(counters.joins_refused);
        calls_dropped.get_or_create(&label.alone()).inc_by(counters.calls_dropped);
        for (direction, message_count, byte_count) in
            [("in", counters.messages_in, counters.bytes_in), ("out", counters.messages_out, counters.bytes_out)]
        {
            let labels = label.with("direction", direction);
            messages.get_or_create(&labels).inc_by(message_count);
            bytes.get_or_create(&labels).inc_by(byte_count);
        }
    }
    let mut registry = Registry::default();
    registry.register("hubgate_client_connections", "Clients connected now", connections);
    let help = "Clients that have lost their WebSocket and may come back by another one";
    registry.register("hubgate_client_connections_waiting", help, waiting);
    let help =
        "What came of clients with stateful reconnect that had lost their WebSocket, or for which another one came";
    registry.register("hubgate_client_resumes", help, resumes);
    let help = "Clients that were to go on with a newer token";
    registry.register("hubgate_client_refreshes", help, refreshes);
    registry.register("hubgate_server_connections", "Connections of hub servers that are open now", servers);
    let help = "Messages of hub servers that have no effect, because nobody knows what they mean";
    registry.register("hubgate_server_messages_skipped", help, skipped);
    registry.register("hubgate_client_connections_closed", "Client connections that ended", closed);
    registry.register("hubgate_slow_clients_closed", "Clients given up because they read too slowly", slow);
    let help = "Times that a client was not read for a while because too many messages came in a second";
    registry.register("hubgate_slowed_clients", help, slowed);
    registry.register("hubgate_group_joins_refused", "Joins of connections that are in too many groups", joins_refused);
    registry.register("hubgate_user_memberships", "Memberships of users in groups; long names count more", memberships);
    let help = "Memberships of users that were refused because of a bound";
    registry.register("hubgate_user_memberships_refused", help, memberships_refused);
    let help = "Calls that were dropped because their clients had left and too much was waiting";
    registry.register("hubgate_calls_dropped", help, calls_dropped);
    registry.register("hubgate_messages", "Hub messages from and to clients", messages);
    registry.register("hubgate_message_bytes", "Bytes of hub messages from and to clients", bytes);
    registry
}
