//! The public base URLs of the gateway, and the audiences of tokens that are made for them.
//!
//! Source: Azure SignalR Service, "Authenticate via Azure SignalR Service AccessKey". An audience may have the endpoint's port or
//! none, and on loopback all names of this machine are one host.

use std::fmt;

use http::Uri;

/// A public base URL of the gateway: what tokens are made for and redirects point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: String,
    host: String,
    port: u16,
    explicit_port: bool,
    /// Without a trailing slash; empty for none.
    base_path: String,
}

/// Why a text is no [`Endpoint`].
#[derive(Debug, thiserror::Error)]
#[error("must be an http or https URL without query, such as \"https://realtime.example.com\"")]
pub struct InvalidEndpoint;

impl Endpoint {
    pub fn parse(url: &str) -> Result<Endpoint, InvalidEndpoint> {
        let (endpoint, path, query) = split_url(url).ok_or(InvalidEndpoint)?;
        match query.is_empty() {
            true => Ok(Endpoint { base_path: path.trim_end_matches('/').to_owned(), ..endpoint }),
            false => Err(InvalidEndpoint),
        }
    }

    /// Empty, or the path below which everything is, without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// In lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether requests to `authority`, a host with or without a port, with this scheme are for the endpoint.
    pub fn is_at(&self, scheme: &str, authority: &str) -> bool {
        split_url(&format!("{scheme}://{authority}/")).is_some_and(|(other, _, _)| {
            self.scheme == other.scheme && self.host == other.host && self.port == other.port
        })
    }

    /// Whether a token for this audience is for `path` below the endpoint, and where the audience names a hub, for `hub`.
    pub(crate) fn is_audience(&self, audience: &str, path: &str, hub: Option<&str>) -> bool {
        let Some((other, other_path, query)) = split_url(audience) else {
            return false;
        };
        let hub_matches = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name.eq_ignore_ascii_case("hub"))
            .all(|(_, value)| hub.is_some_and(|hub| hub.eq_ignore_ascii_case(&value)));
        self.scheme == other.scheme
            && same_host(&self.host, &other.host)
            && (!other.explicit_port || other.port == self.port)
            && same_path(&other_path, &format!("{}{path}", self.base_path))
            && hub_matches
    }
}

impl fmt::Display for Endpoint {
    /// The URL without a trailing slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.explicit_port {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.base_path)
    }
}

/// An endpoint without base path, the path, and the query of an absolute http or https URL.
fn split_url(url: &str) -> Option<(Endpoint, String, String)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (authority, host) = (uri.authority()?.as_str(), uri.host()?);
    // Nothing but the host and a port: what else an authority can hold is where confusion begins.
    let port = match authority.strip_prefix(host)? {
        "" => None,
        port => Some(port.strip_prefix(':').filter(|port| !port.starts_with('+'))?.parse().ok()?),
    };
    let endpoint = Endpoint {
        scheme,
        host: host.to_ascii_lowercase(),
        port: port.unwrap_or(default_port),
        explicit_port: port.is_some(),
        base_path: String::new(),
    };
    Some((endpoint, uri.path().to_owned(), uri.query().unwrap_or_default().to_owned()))
}

/// On loopback, all names of this machine are one host.
fn same_host(a: &str, b: &str) -> bool {
    const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    a == b || (LOOPBACK.contains(&a) && LOOPBACK.contains(&b))
}

/// Compared without trailing slashes and whatever is percent-encoded in them.
fn same_path(a: &str, b: &str) -> bool {
    let decode = |path: &str| -> Vec<u8> { percent_encoding::percent_decode_str(path.trim_end_matches('/')).collect() };
    decode(a) == decode(b)
}
