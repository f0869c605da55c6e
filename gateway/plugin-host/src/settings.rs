//! Plugins as the configuration describes them.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::id::{HubName, PluginName};
use hubgate_wire::endpoint::Endpoint;
use ipnet::IpNet;

use crate::budgets::Budgets;

/// All plugins of a gateway.
#[derive(Debug, Clone)]
pub struct HostSettings {
    pub plugins: Vec<PluginSettings>,
    /// The hubs that each plugin is told of when one of its versions begins to serve.
    pub hubs: Vec<(PluginName, HubName)>,
    /// The shards that timers are dealt out to, in number. Only the start goes by it.
    pub shards: usize,
    /// What all instances of all plugins may hold together, in bytes. Growth beyond it is refused to the guest.
    pub memory_bytes: usize,
}

/// A plugin as the configuration describes it.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginSettings {
    pub name: PluginName,
    pub source: PluginSource,
    /// What the plugin must export, because the configuration uses it so.
    pub uses: Uses,
    /// What the plugin's `config` import answers. A name given twice answers with its first value.
    pub config: Vec<(String, String)>,
    pub budgets: Budgets,
    pub payloads: Payloads,
    pub rollback: Rollback,
    /// What the `http` import may reach; a component that imports it is not loaded without.
    pub allow_http: Arc<AllowHttp>,
    pub state_scope: StateScope,
}

/// Who shares what a plugin keeps with `state`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StateScope {
    /// This gateway alone.
    #[default]
    Node,
    /// All gateways of the cluster.
    Cluster,
}

/// What the configuration uses a plugin for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// What names it as a handler: an item of `[[upstream]]`, or an option.
    pub upstream: Option<&'static str>,
    /// A hub names it among its filters.
    pub filter: bool,
    /// A hub asks it who may come.
    pub authorizer: bool,
}

/// When the version before is brought back by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// The share of calls that trapped, took too long or used too much of something; `None`: it is never brought back by itself.
    pub errors: Option<Share>,
    /// The time in which these calls ended.
    pub window: Duration,
    /// So many must have ended.
    pub calls: u64,
}

impl Default for Rollback {
    fn default() -> Rollback {
        Rollback { errors: Share::new(0.5), window: Duration::from_secs(10), calls: 20 }
    }
}

/// A part of a whole, above nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    millionths: u64,
}

impl Share {
    const WHOLE: u64 = 1_000_000;

    /// Of a number above 0 and up to 1.
    pub fn new(share: f64) -> Option<Share> {
        let millionths = (share * Share::WHOLE as f64).round() as u64;
        (share <= 1.0 && millionths > 0).then_some(Share { millionths })
    }

    pub fn to_number(self) -> f64 {
        self.millionths as f64 / Share::WHOLE as f64
    }

    pub(crate) fn is_reached(self, part: u64, whole: u64) -> bool {
        part.saturating_mul(Share::WHOLE) >= whole.saturating_mul(self.millionths)
    }
}

/// In which form a plugin gets the values of clients that speak MessagePack. What it gives may have either form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Payloads {
    /// As JSON text, converted.
    #[default]
    Json,
    /// As the bytes that the client sent.
    Native,
}

/// Where a plugin's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// A file, watched for changes while the plugin serves.
    File(PathBuf),
    /// A component inside the program; it never changes.
    Embedded(&'static [u8]),
}

/// What a plugin may reach by HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowHttp {
    /// What says so: a key of the configuration, or an option.
    pub key: String,
    /// Scheme, host and port of what may be asked. One that names an address, or `localhost`, may have it.
    pub endpoints: Vec<Endpoint>,
    /// Other networks than the internet that the hosts may be in.
    pub networks: Vec<IpNet>,
}

impl AllowHttp {
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Whether requests to `authority`, a host with or without a port, are allowed.
    pub fn has(&self, scheme: &str, authority: &str) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_at(scheme, authority))
    }

    /// Whether `host`, which is a name, may have this address: one of the internet, of a network that is listed, or of this
    /// machine if it is called `localhost`.
    pub fn has_address(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_of_the_internet(address)
            || self.networks.iter().any(|network| network.contains(&address))
            || (host.eq_ignore_ascii_case("localhost") && address.is_loopback())
    }
}

/// Not private, link-local, of this machine, or otherwise apart from the internet (IANA's special-purpose registries).
fn is_of_the_internet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            // Global unicast alone, less documentation (2001:db8::/32, 3fff::/20) and what wraps another address: Teredo
            // (2001::/32) and 6to4 (2002::/16).
            let is_global = segments[0] & 0xe000 == 0x2000;
            let is_apart = matches!(segments, [0x2001, 0xdb8 | 0, ..] | [0x2002, ..])
                || segments[0] == 0x3fff && segments[1] < 0x1000;
            is_global && !is_apart
        }
    }
}

impl fmt::Debug for PluginSettings {
    /// Without the values of `config`: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config: Vec<&str> = self.config.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("PluginSettings")
            .field("name", &self.name)
            .field("uses", &self.uses)
            .field("config", &config)
            .field("budgets", &self.budgets)
            .field("payloads", &self.payloads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_and_of_listed_networks_are_allowed() {
        let allowed = AllowHttp { networks: vec!["10.1.0.0/16".parse().unwrap()], ..AllowHttp::default() };
        let check = |address: &str| allowed.has_address("api.example.com", address.parse().unwrap());
        for inside in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.5.5",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001:0:1::",
        ] {
            assert!(!check(inside), "{inside}");
        }
        for outside in ["93.184.216.34", "10.1.2.3", "::ffff:10.1.2.3", "2606:2800:220:1::1", "2001:4860:4860::8888"] {
            assert!(check(outside), "{outside}");
        }
        assert!(allowed.has_address("localhost", "127.0.0.1".parse().unwrap()));
        assert!(!allowed.has_address("localhost", "192.168.0.1".parse().unwrap()));
    }
}
