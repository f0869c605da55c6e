//! The settings of the gateway's outside: addresses, keys and limits, checked and ready to use.

mod acme;
mod cluster;
mod resource_log;
mod telemetry;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::id::{HubName, PluginName};
use hubgate_core::pairs::Pairs;
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::token::AccessKey;
use hubgate_wire::token::identity::{KeySet, Rules};
use ipnet::IpNet;

pub use self::acme::{AcmeSettings, DirectoryUrl, DomainName, InvalidDirectoryUrl, InvalidDomain};
pub use self::cluster::{
    ClientCertificate, ClusterSettings, InvalidCredentials, InvalidNatsUrl, LARGEST_MESSAGE, NatsSignIn, NatsTls,
    NatsUrl, Secret,
};
pub use self::resource_log::{LogCategory, ResourceLogSettings};
pub use self::telemetry::{InvalidOtlpUrl, OtlpUrl, TelemetrySettings};
pub use crate::network_rules::{NetworkRule, NetworkRules, RequestKind, RuleAction, rule_key};
pub use crate::origins::{CorsOrigins, InvalidOrigin, OriginPattern};
pub use crate::provider_keys::KeyUrl;
use crate::tls::Tls;
pub use http::{HeaderName, HeaderValue};

/// All settings of a gateway but its plugins.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Public base URLs; redirects use the first. None: the bound address.
    pub endpoints: Vec<Endpoint>,
    /// The first one signs.
    pub access_keys: Vec<AccessKey>,
    /// Worker threads; at least 1.
    pub shards: u16,
    pub drain: Drain,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// None: plain HTTP, unless there is `acme`.
    pub tls: Option<Tls>,
    /// How the gateway gets its own certificate; None: not at all.
    pub acme: Option<AcmeSettings>,
    /// The networks whose `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<IpNet>,
    pub network_rules: NetworkRules,
    /// Whether the host of every request must be the gateway's, and not only where clients come in without a token.
    pub checks_every_host: bool,
    /// Whom clients without a token are signed in as, where a hub lets them in; None: they are nobody.
    pub anonymous_user: Option<String>,
    pub hubs: HashMap<HubName, HubSettings>,
    /// Of hubs that are not named.
    pub other_hubs: HubSettings,
    pub admin: AdminSettings,
    /// None: it serves alone.
    pub cluster: Option<ClusterSettings>,
    /// None: nothing is traced, and metrics are only there for whoever asks.
    pub telemetry: Option<TelemetrySettings>,
    /// None: there is no such log.
    pub resource_log: Option<ResourceLogSettings>,
    /// What is served beside the protocol's paths.
    pub pages: Pages,
    pub core: Arc<hubgate_core::settings::Settings>,
}

impl Settings {
    /// The scheme of the gateway's own URLs.
    pub fn scheme(&self) -> &'static str {
        match self.tls.is_some() || self.acme.is_some() {
            true => "https",
            false => "http",
        }
    }

    /// Whether a peer's `X-Forwarded-*` headers count.
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// With the bound address, which an inherited socket may have from elsewhere; it is the endpoint if there is none.
    pub(crate) fn listening_at(mut self, listen: SocketAddr) -> Settings {
        self.listen = listen;
        if self.endpoints.is_empty() {
            let url = format!("{}://{listen}", self.scheme());
            self.endpoints.push(Endpoint::parse(&url).expect("an address makes a URL"));
        }
        self
    }

    /// Where identity providers publish the keys that hubs check tokens with.
    pub(crate) fn key_urls(&self) -> impl Iterator<Item = &KeyUrl> {
        self.hubs.values().chain([&self.other_hubs]).filter_map(|hub| match &hub.negotiate {
            Negotiate::IdentityProvider(provider) => match &provider.keys {
                KeySource::At(url) => Some(url),
                KeySource::Known(_) => None,
            },
            Negotiate::Nobody | Negotiate::Anybody | Negotiate::Authorizer(_) => None,
        })
    }

    pub fn hub(&self, hub: &HubName) -> &HubSettings {
        self.hubs.get(hub).unwrap_or(&self.other_hubs)
    }
}

/// How the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long everything goes on while load balancers learn that the gateway is not ready.
    pub delay: Duration,
    /// How long clients have to leave, after that.
    pub timeout: Duration,
    /// Clients that are asked to leave in a second, in number; 0: all at once.
    pub closes: u32,
}

/// Bounds of what may come from outside. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Queued for one client. A single message that is larger passes when nothing else is queued.
    pub outbox: usize,
    /// Queued for one connection of a hub server.
    pub server_outbox: usize,
    /// Queued for all clients and hub servers together.
    pub outboxes: usize,
    /// The body of a request.
    pub post: usize,
    /// The head of a request: its first line and its headers. At least 8 KiB.
    pub headers: usize,
    /// Clients connected at once, in number.
    pub connections: usize,
    /// Clients connected at once from one address, in number; 0: no limit of their own.
    pub connections_per_ip: usize,
    /// The same of one user of one hub.
    pub connections_per_user: usize,
    /// The same with one token.
    pub connections_per_token: usize,
    /// The same of one hub with one value of a claim, by the claim's name.
    pub connections_per_claim: Vec<(Arc<str>, usize)>,
    /// Connections at once that are no client's, or not yet, in number.
    pub http_connections: usize,
    /// Those of them from one address that carry no admitted client and no hub server, in number; 0: no limit of their own.
    pub http_connections_per_ip: usize,
    /// Negotiations in a second, in number; 0: no limit.
    pub negotiates_per_second: u32,
}

impl Limits {
    /// Whether clients are counted by a claim.
    pub(crate) fn counts_claim(&self, name: &str) -> bool {
        self.connections_per_claim.iter().any(|(counted, _)| **counted == *name)
    }

    /// Those of a client's claims by which clients are counted.
    pub(crate) fn counted_claims(&self, claims: &Pairs) -> Pairs {
        match self.connections_per_claim.is_empty() {
            true => Pairs::default(),
            false => claims.iter().filter(|(name, _)| self.counts_claim(name)).collect(),
        }
    }
}

/// How long a peer may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// To send the head of a request. A connection without a request ends then, too.
    pub header: Duration,
    /// To send the body of a request.
    pub body: Duration,
    /// To take the next byte of what is written to it; more than zero.
    pub write: Duration,
    /// To take a whole message from when it is queued, as far as the peer is connected and the reason; more than zero.
    pub outbox: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    pub cors: CorsOrigins,
    pub negotiate: Negotiate,
    pub close_on_expiry: CloseOnExpiry,
}

/// Whether clients that the gateway lets in itself are closed when their tokens expire, whatever their transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseOnExpiry {
    Yes,
    /// WebSockets outlive their tokens.
    No,
}

/// Whom `POST /hubs/{hub}/negotiate` lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Negotiate {
    Nobody,
    Anybody,
    /// Whom this plugin lets in.
    Authorizer(PluginName),
    /// Who brings a token of this provider.
    IdentityProvider(Arc<IdentityProvider>),
}

/// Who signs the tokens that clients bring.
#[derive(Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    pub keys: KeySource,
    pub rules: Rules,
    /// Whether those without a token are let in as nobody in particular.
    pub anonymous: bool,
}

/// The public keys of a provider.
#[derive(Debug, PartialEq, Eq)]
pub enum KeySource {
    Known(KeySet),
    /// They are published there, and may change.
    At(KeyUrl),
}

#[derive(Clone)]
pub struct AdminSettings {
    pub listen: SocketAddr,
    /// The bearer token that opens everything.
    pub token: String,
    /// Whether the token was given; else it is a random one.
    pub has_token_file: bool,
    /// One that may read, but no keys; none if there is no such token.
    pub read_token: Option<String>,
    /// Whether every change is refused.
    pub read_only: bool,
    /// Host names allowed beside the listener's own address and localhost, in lower case.
    pub hosts: Vec<String>,
    /// Whether `/metrics` needs no token.
    pub metrics_open: bool,
}

impl fmt::Debug for AdminSettings {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminSettings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Files for browsers.
#[derive(Debug, Clone)]
pub enum Pages {
    None,
    /// Path, content type and content of each.
    Embedded(&'static [(&'static str, &'static str, &'static [u8])]),
    Folder(PathBuf),
}

#[cfg(test)]
pub(crate) mod tests {
    use hubgate_core::mode::Mode;
    use hubgate_core::settings as core;
    use hubgate_core::time::Millis;

    use super::*;

    /// Without keys, endpoints or hubs; no limit lets anything in.
    pub(crate) fn settings() -> Settings {
        let hub =
            HubSettings { cors: CorsOrigins::NONE, negotiate: Negotiate::Nobody, close_on_expiry: CloseOnExpiry::No };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let core = core::Settings {
            hubs: Default::default(),
            other_hubs: core::HubSettings { mode: Mode::Default, filters: Vec::new(), messages_per_second: 0 },
            upstream: Vec::new(),
            presence: Default::default(),
            limits: core::Limits {
                message: 0,
                messages_per_second: 0,
                queued_calls: 0,
                queued_bytes: 0,
                departed_bytes: 0,
                departed_calls: 0,
                held: 0,
                replay: 0,
                server_message: 0,
                mode_switch_closes: 0,
                groups_per_connection: 0,
                user_memberships: 0,
            },
            timeouts: core::Timeouts {
                negotiate: Millis(0),
                handshake: Millis(0),
                client: Millis(0),
                keep_alive: Millis(0),
                reconnect: Millis(0),
            },
            streams: Default::default(),
            detailed_errors: false,
        };
        Settings {
            listen: address,
            endpoints: Vec::new(),
            access_keys: Vec::new(),
            shards: 1,
            drain: Drain { delay: Duration::ZERO, timeout: Duration::ZERO, closes: 0 },
            limits: limits(),
            timeouts: Timeouts {
                header: Duration::ZERO,
                body: Duration::ZERO,
                write: Duration::ZERO,
                outbox: Duration::ZERO,
            },
            tls: None,
            acme: None,
            trusted_proxies: Vec::new(),
            network_rules: NetworkRules::default(),
            checks_every_host: false,
            anonymous_user: None,
            hubs: HashMap::new(),
            other_hubs: hub,
            admin: AdminSettings {
                listen: address,
                token: String::new(),
                has_token_file: false,
                read_token: None,
                read_only: false,
                hosts: Vec::new(),
                metrics_open: false,
            },
            cluster: None,
            telemetry: None,
            resource_log: None,
            pages: Pages::None,
            core: Arc::new(core),
        }
    }

    /// None of its own by address, user, token or time; all others let nothing in.
    pub(crate) fn limits() -> Limits {
        Limits {
            outbox: 0,
            server_outbox: 0,
            outboxes: usize::MAX,
            post: 0,
            headers: 0,
            connections: 0,
            connections_per_ip: 0,
            connections_per_user: 0,
            connections_per_token: 0,
            connections_per_claim: Vec::new(),
            http_connections: 0,
            http_connections_per_ip: 0,
            negotiates_per_second: 0,
        }
    }
}
