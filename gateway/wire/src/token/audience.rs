//! What a token opens: its audience is the URL of a resource at one of the gateway's endpoints.
//!
//! Source: Azure SignalR Service, "Authenticate via Azure SignalR Service AccessKey". An audience may have the endpoint's port or none.

use crate::endpoint::{Endpoint, decimal};
use crate::path;

/// What a token can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// Negotiation and transports of a hub's clients.
    Client { hub: &'a str },
    /// Connections of a hub's servers.
    Server { hub: &'a str },
    /// Negotiation and transports of clients of ASP.NET SignalR, whatever their application.
    AspNetClient,
    /// Connections of a server of ASP.NET SignalR, for one of its hubs.
    AspNetServer { hub: &'a str },
    /// One path of the REST API, as it stands in the request, below the base path of the endpoint.
    Rest { path: &'a str },
}

impl<'a> Resource<'a> {
    /// The path below the base path of the endpoint.
    pub fn path(&self) -> &'a str {
        match self {
            Resource::Client { .. } => "/client",
            Resource::Server { .. } => "/server",
            Resource::AspNetClient => "/aspnetclient",
            Resource::AspNetServer { .. } => "/aspnetserver",
            Resource::Rest { path } => path,
        }
    }

    /// The hub that an audience may name in its query.
    pub fn hub(&self) -> Option<&'a str> {
        match self {
            Resource::Client { hub } | Resource::Server { hub } | Resource::AspNetServer { hub } => Some(hub),
            Resource::AspNetClient | Resource::Rest { .. } => None,
        }
    }

    /// Whether a token for this audience opens the resource at the endpoint.
    pub fn is_opened_by(self, audience: &str, endpoint: &Endpoint) -> bool {
        Audience::parse(audience).is_some_and(|audience| {
            endpoint.has_origin(audience.scheme, audience.host, audience.port)
                && self.is_at(endpoint.base_path(), audience.path)
                && audience.names_no_hub_but(self.hub())
        })
    }

    /// Whether `path`, that of an audience, is the resource's. The SDKs of hub servers leave `base_path` out.
    fn is_at(&self, base_path: &str, path: &str) -> bool {
        let path = path::strip_base(path, base_path).unwrap_or(path);
        match self {
            Resource::Client { .. }
            | Resource::Server { .. }
            | Resource::AspNetClient
            | Resource::AspNetServer { .. } => path::is_same_literal(path, self.path()),
            Resource::Rest { path: own } => path::is_same(path, own),
        }
    }
}

/// The parts of an audience. It is compared and never followed, so that it may hold what a URL has to escape: some
/// signers take the URL as it was before it was escaped.
struct Audience<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Audience<'a> {
    fn parse(text: &'a str) -> Option<Audience<'a>> {
        let (scheme, rest) = text.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(decimal(port)?)),
            _ => (authority, None),
        };
        Some(Audience { scheme, host, port, path, query })
    }

    fn names_no_hub_but(&self, hub: Option<&str>) -> bool {
        form_urlencoded::parse(self.query.as_bytes())
            .filter(|(name, _)| name.eq_ignore_ascii_case("hub"))
            .all(|(_, value)| hub.is_some_and(|hub| hub.eq_ignore_ascii_case(&value)))
    }
}
