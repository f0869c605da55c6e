//! The settings of the gateway's outside: addresses, keys and limits, checked and ready to use.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hubgate_core::id::HubName;
use hubgate_wire::token::{AccessKey, Endpoint};

/// All settings of a gateway but its plugins.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Public base URLs. None: the bound address.
    pub endpoints: Vec<Endpoint>,
    /// The first one signs.
    pub access_keys: Vec<AccessKey>,
    /// Worker threads; at least 1.
    pub shards: u16,
    pub drain_timeout: Duration,
    pub limits: Limits,
    /// How long a request's head may take.
    pub http_header_timeout: Duration,
    pub hubs: HashMap<HubName, HubSettings>,
    /// Of hubs that are not named.
    pub other_hubs: HubSettings,
    pub admin: AdminSettings,
    /// What is served beside the protocol's paths.
    pub pages: Pages,
    pub core: Arc<hubgate_core::settings::Settings>,
}

impl Settings {
    pub fn hub(&self, hub: &HubName) -> &HubSettings {
        self.hubs.get(hub).unwrap_or(&self.other_hubs)
    }
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes queued for one client. A single message that is larger passes when nothing else is queued.
    pub outbox: usize,
    /// Clients connected at once, in number.
    pub connections: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    pub cors: CorsOrigins,
    /// Whether `POST /hubs/{hub}/negotiate` lets anybody in.
    pub anonymous_negotiate: bool,
}

/// The pages of a browser that may talk to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigins {
    /// Exact origins, allowed with credentials.
    pub exact: Vec<String>,
    /// Any origin, without credentials.
    pub any: bool,
    /// Any port of this machine's loopback names, with credentials.
    pub localhost: bool,
}

#[derive(Clone)]
pub struct AdminSettings {
    pub listen: SocketAddr,
    /// The bearer token that every request must carry.
    pub token: String,
    /// Host names allowed beside the listener's own address and localhost, in lower case.
    pub hosts: Vec<String>,
    /// Whether `/metrics` needs no token.
    pub metrics_open: bool,
}

impl fmt::Debug for AdminSettings {
    /// Without the token.
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
