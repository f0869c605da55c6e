//! Every key of the configuration file, with its type, its default, its bounds, and whether it may change while the gateway runs. What
//! the keys mean is in `docs/configuration.md`, whose tables a test compares with these.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use hubgate_core::filter::OnError;
use hubgate_core::mode::Mode;
use hubgate_core::settings::{ClaimNames, ConnectFailure};
use hubgate_core::stream::StreamBounds;
use hubgate_net::KeyUrl;
use hubgate_net::settings::{DirectoryUrl, DomainName, LogCategory, NatsUrl, OtlpUrl, RequestKind, RuleAction};
use hubgate_plugin_host::{Budgets, Payloads, Rollback, StateScope};
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::webhook::UrlTemplate;

use super::table::{Refusing, Rule, Table, Visitor, table};
use super::value::{
    Allowed, CorsOrigin, Counts, Listen, LogFilter, Network, Ratio, SecretTexts, Secrets, Size, Span, Texts, kib, mib,
    millis, seconds, words,
};

/// The name of the entry of `[hubs]` that the others begin with.
pub(super) const ALL_HUBS: &str = "*";

#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) admin: Admin,
    pub(crate) hubs: BTreeMap<String, Hub>,
    pub(crate) network_rules: Vec<NetworkRule>,
    pub(crate) upstream: Vec<UpstreamItem>,
    pub(crate) plugins: BTreeMap<String, Plugin>,
    /// If it is one of several.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) telemetry: Telemetry,
}

impl Table for File {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.table("server", &mut self.server);
        visitor.table("admin", &mut self.admin);
        visitor.tables("hubs", &mut self.hubs, Some(ALL_HUBS));
        visitor.list("network-rules", &mut self.network_rules);
        visitor.list("upstream", &mut self.upstream);
        visitor.tables("plugins", &mut self.plugins, None);
        visitor.optional("cluster", &mut self.cluster);
        visitor.table("telemetry", &mut self.telemetry);
    }
}

/// The address for clients, and that of the admin listener one port above it.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8888);
pub(super) const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8889);

table! {
    Server {
        listen: Listen = Listen(LISTEN), restart();
        endpoints: Vec<Endpoint> = Vec::new();
        access_keys: Secrets = Secrets::default();
        access_keys_file: Option<PathBuf> = None;
        drain_delay: Span = seconds(0);
        drain_timeout: Span = seconds(10);
        drain_closes: u32 = 0;
        data_dir: Option<PathBuf> = None, restart();
        trusted_proxies: Vec<Network> = Vec::new();
        log: LogFilter = LogFilter("info".to_owned());
        shards: u16 = 0, restart();
        detailed_errors: bool = false;
        [tls]: Tls;
        [limits]: Limits;
        [timeouts]: Timeouts;
    }
}

/// Both files, or how a certificate is got, or neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) acme: Option<Acme>,
}

impl Table for Tls {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        visitor.key("certificate", &mut self.certificate, &Rule::any());
        visitor.key("key", &mut self.key, &Rule::any());
        visitor.optional("acme", &mut self.acme);
    }
}

table! {
    Acme {
        directory: DirectoryUrl = DirectoryUrl::lets_encrypt();
        email: Option<String> = None;
        domains: Vec<DomainName> = Vec::new();
        ca_file: Option<PathBuf> = None;
    }
}

table! {
    Limits {
        // The handshake of official clients and their pings fit.
        message: Size = mib(16), least(kib(1));
        outbox: Size = mib(8), least(kib(1));
        // A handful of messages that are not acknowledged yet.
        replay: Size = mib(1), least(kib(1));
        server_message: Size = mib(64), least(kib(1));
        server_outbox: Size = mib(64), least(kib(1));
        /// By the memory that there is, if it is not set.
        outboxes: Option<Size> = None, least(Some(LEAST_OUTBOXES));
        messages_per_second: u32 = 0;
        mode_switch_closes: usize = 1_000, least(1);
        groups_per_connection: usize = 1_000;
        // Half of it still takes the one with the longest names, which counts as many.
        user_memberships: usize = 1_000_000, least(100);
        /// By the memory that there is, if it is not set.
        plugin_memory: Option<Size> = None, least(Some(LEAST_PLUGIN_MEMORY));
        connections: usize = 100_000, least(1);
        connections_per_ip: usize = 0;
        connections_per_user: usize = 0;
        connections_per_token: usize = 0;
        connections_per_claim: Counts = Counts::default();
        negotiates_per_second: u32 = 0;
        http_connections: usize = 10_000, least(1);
        http_connections_per_ip: usize = 1_000;
        // The HTTP library takes no less.
        headers: Size = kib(32), least(kib(8));
        post: Size = mib(1), least(kib(1));
    }
}

pub(super) const LEAST_OUTBOXES: Size = mib(1);
/// Some instances still fit.
pub(super) const LEAST_PLUGIN_MEMORY: Size = mib(16);

/// The shortest time in which a peer can be expected to do something.
const SHORTEST: Span = millis(100);

table! {
    Timeouts {
        negotiate: Span = seconds(5), least(SHORTEST);
        handshake: Span = seconds(15), least(SHORTEST);
        client: Span = seconds(30), least(seconds(1));
        keep_alive: Span = seconds(15), least(seconds(1));
        http_header: Span = seconds(10), least(SHORTEST);
        http_body: Span = seconds(10), least(SHORTEST);
        write: Span = seconds(10), least(SHORTEST);
        outbox: Span = seconds(60), least(SHORTEST);
        // Clients and what is kept for them hold memory and their places so long.
        reconnect: Span = seconds(30), least(SHORTEST), most(seconds(600));
    }
}

table! {
    Admin {
        listen: Listen = Listen(ADMIN_LISTEN), restart();
        token_file: Option<PathBuf> = None;
        read_token_file: Option<PathBuf> = None;
        read_only: bool = false;
        hosts: Vec<String> = Vec::new();
        metrics_open: bool = false;
    }
}

table! {
    /// A hub, or with the name `*` all that have no entry of their own.
    Hub {
        mode: Mode = Mode::Default;
        cors_origins: Vec<CorsOrigin> = Vec::new();
        filters: Vec<String> = Vec::new();
        messages_per_second: u32 = 0;
        close_on_expiry: bool = false;
        [negotiate]: Negotiate;
        [jwt]: Jwt;
    }
}

table! {
    #[derive(PartialEq)]
    Negotiate {
        anonymous: bool = false;
        plugin: Option<String> = None;
    }
}

table! {
    /// With the keys in a file or at a URL, if a hub takes tokens of an identity provider at all.
    #[derive(PartialEq)]
    Jwt {
        jwks_file: Option<PathBuf> = None;
        jwks_url: Option<KeyUrl> = None;
        issuer: Option<String> = None;
        audience: Option<String> = None;
        user: String = "sub".to_owned();
        claims: Texts = Texts::default();
    }
}

table! {
    NetworkRule {
        action: Option<RuleAction> = None;
        kinds: Vec<RequestKind> = RequestKind::ALL.to_vec();
        networks: Vec<Network> = Vec::new();
    }
}

/// What gets events, and which ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpstreamItem {
    pub(crate) events: Events,
    /// If no plugin is named.
    pub(crate) webhook: Webhook,
}

impl Table for UpstreamItem {
    fn visit(&mut self, visitor: &mut impl Visitor) {
        self.events.visit(visitor);
        match (&self.events.plugin, &self.events.url) {
            (Some(plugin), None) => {
                let why =
                    format!("is for webhooks; what a plugin may use is in [plugins.{plugin}], such as `call-time`");
                self.webhook.visit(&mut Refusing { visitor, why });
            }
            _ => self.webhook.visit(visitor),
        }
    }
}

/// Categories of events, and all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Any,
    Connections,
    Messages,
}

impl Category {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Category::Any => "*",
            Category::Connections => "connections",
            Category::Messages => "messages",
        }
    }
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

table! {
    Events {
        hubs: Vec<String> = all();
        categories: Vec<Category> = vec![Category::Any];
        events: Vec<String> = all();
        plugin: Option<String> = None;
        url: Option<UrlTemplate> = None;
    }
}

table! {
    Webhook {
        timeout: Span = seconds(100), least(SHORTEST);
        // Within some 3.5 seconds: about what it takes to start an application again. At most some minutes in all.
        retries: u32 = 3, most(10);
        on_connect_failure: ConnectFailure = ConnectFailure::Close;
        claim_names: ClaimNames = ClaimNames::Token;
        streams: bool = false;
    }
}

table! {
    Plugin {
        path: Option<PathBuf> = None;
        config: SecretTexts = SecretTexts::default();
        // A component of the smallest kind fits.
        memory: Size = Size(Budgets::default().memory_bytes), least(mib(1));
        call_time: Span = Span(Budgets::default().call_time), least(millis(1));
        /// As `call_time`, if it is not set. Counted in epochs of a millisecond.
        cpu_time: Option<Span> = None, least(Some(millis(1)));
        concurrency: usize = Budgets::default().concurrency, least(1), most(1_000);
        actions: usize = Budgets::default().actions;
        host_calls: u32 = Budgets::default().host_calls, least(1);
        log_lines: u32 = Budgets::default().log_lines;
        state: Size = Size(Budgets::default().state_bytes);
        /// The cluster's, if there is one and it is not set.
        state_scope: Option<StateScope> = None;
        // Less in a second is taken for a mistake.
        state_writes: Size = Size(Budgets::default().state_writes), least(kib(64));
        asks: usize = Budgets::default().asks;
        ask_time: Span = Span(Budgets::default().ask_time), least(millis(1));
        timers: usize = Budgets::default().timers;
        shortest_period: Span = Span(Budgets::default().shortest_period), least(millis(1));
        presence_groups: usize = 1_000;
        presence_batch: Span = millis(250), least(millis(10)), most(seconds(60));
        stream_items: usize = StreamBounds::default().items, least(1);
        stream_bytes: Size = Size(StreamBounds::default().bytes), least(kib(1));
        streams_per_client: usize = StreamBounds::default().per_client;
        streams: usize = StreamBounds::default().calls;
        allow_http: Vec<Allowed> = Vec::new();
        targets: Option<Vec<String>> = None;
        on_error: OnError = OnError::Closed;
        rollback: Rollback = Rollback::default();
        payload: Payloads = Payloads::Json;
    }
}

table! {
    /// Nodes find each other, and know each other's ways, from the start on.
    Cluster {
        servers: Vec<NatsUrl> = Vec::new(), restart();
        name: String = "hubgate".to_owned(), restart();
        credentials_file: Option<PathBuf> = None, restart();
        token_file: Option<PathBuf> = None, restart();
        user: Option<String> = None, restart();
        password_file: Option<PathBuf> = None, restart();
        node_endpoint: Option<Endpoint> = None, restart();
        // Nodes say once a second that they are there.
        node_timeout: Span = seconds(5), least(seconds(1)), most(seconds(60)), restart();
        outage_grace: Span = seconds(60), least(seconds(1)), most(seconds(3_600)), restart();
        start_alone: Span = seconds(60), most(seconds(3_600)), restart();
        resend_buffer: Size = mib(16), least(mib(1)), most(mib(1_024)), restart();
        [tls]: ClusterTls;
    }
}

table! {
    /// Certificate and key come together, or neither of them.
    ClusterTls {
        ca_file: Option<PathBuf> = None, restart();
        cert_file: Option<PathBuf> = None, restart();
        key_file: Option<PathBuf> = None, restart();
    }
}

table! {
    /// The keys but those of the tables within count only with a collector.
    Telemetry {
        otlp: Option<OtlpUrl> = None, restart();
        headers_file: Option<PathBuf> = None, restart();
        sample_ratio: Ratio = Ratio(1.0), restart();
        /// As the environment says, if it is not set.
        service_name: Option<String> = None, restart();
        metrics_interval: Span = seconds(60), restart();
        [resource_logs]: ResourceLogs;
    }
}

table! {
    /// Only with a file.
    ResourceLogs {
        file: Option<PathBuf> = None, restart();
        categories: Vec<LogCategory> = LogCategory::ALL.to_vec(), restart();
    }
}

words! {
    Mode { Mode::Default = "default", Mode::Serverless = "serverless", Mode::Classic = "classic", }
    Category { Category::Connections = "connections", Category::Messages = "messages", Category::Any = "*", }
    ConnectFailure { ConnectFailure::Close = "close", ConnectFailure::Log = "log", }
    ClaimNames { ClaimNames::Token = "token", ClaimNames::Dotnet = "dotnet", }
    LogCategory {
        LogCategory::Connectivity = "connectivity",
        LogCategory::Messaging = "messaging",
        LogCategory::HttpRequests = "http-requests",
    }
    RuleAction { RuleAction::Allow = "allow", RuleAction::Deny = "deny", }
    RequestKind {
        RequestKind::Client = "client",
        RequestKind::Server = "server",
        RequestKind::Rest = "rest",
        RequestKind::Admin = "admin",
    }
    OnError { OnError::Closed = "closed", OnError::Open = "open", }
    Payloads { Payloads::Json = "json", Payloads::Native = "native", }
    StateScope { StateScope::Cluster = "cluster", StateScope::Node = "node", }
}
