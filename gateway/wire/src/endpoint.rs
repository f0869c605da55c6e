//! The public base URLs of the gateway. On loopback all names of this machine are one host.

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
        let uri: Uri = url.parse().map_err(|_| InvalidEndpoint)?;
        if uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(InvalidEndpoint);
        }
        let base_path = uri.path().trim_end_matches('/').to_owned();
        Ok(Endpoint { base_path, ..origin(&uri).ok_or(InvalidEndpoint)? })
    }

    /// The same at another port.
    pub fn with_port(self, port: u16) -> Endpoint {
        Endpoint { port, explicit_port: true, ..self }
    }

    /// Empty, or the path below which everything is, without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// In lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether `host`, an IPv6 address in its brackets, is the endpoint's. On loopback all names of this machine are one.
    pub fn has_host(&self, host: &str) -> bool {
        is_same_host(&self.host, host)
    }

    /// Whether requests to `authority`, a host with or without a port, with this scheme are for the endpoint.
    pub fn is_at(&self, scheme: &str, authority: &str) -> bool {
        let uri: Option<Uri> = format!("{scheme}://{authority}/").parse().ok();
        uri.as_ref()
            .and_then(origin)
            .is_some_and(|other| self.scheme == other.scheme && self.host == other.host && self.port == other.port)
    }

    /// Whether scheme, host and port of a URL are the endpoint's; one without a port has any. On loopback all names of this machine are
    /// one.
    pub(crate) fn has_origin(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        scheme.eq_ignore_ascii_case(&self.scheme)
            && is_same_host(&self.host, host)
            && port.is_none_or(|port| port == self.port)
    }
}

/// A port, written in digits alone.
pub(crate) fn decimal(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?
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

/// The scheme, host and port of an absolute http or https URL, as an endpoint without a base path.
fn origin(uri: &Uri) -> Option<Endpoint> {
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
        port => Some(decimal(port.strip_prefix(':')?)?),
    };
    Some(Endpoint {
        scheme,
        host: host.to_ascii_lowercase(),
        port: port.unwrap_or(default_port),
        explicit_port: port.is_some(),
        base_path: String::new(),
    })
}

/// On loopback, all names of this machine are one host.
fn is_same_host(own: &str, other: &str) -> bool {
    const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let is_loopback = |host: &str| LOOPBACK.iter().any(|name| name.eq_ignore_ascii_case(host));
    own.eq_ignore_ascii_case(other) || (is_loopback(own) && is_loopback(other))
}
