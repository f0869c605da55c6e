//! Origins of pages, and the patterns that allow them.
//!
//! Source: RFC 6454 and WHATWG HTML, "Origin": browsers send scheme and host in lower case, and no port that is the scheme's own.

use std::fmt;

/// The pages of a browser that may talk to a hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins {
    /// Origins that are allowed with credentials.
    pub patterns: Vec<OriginPattern>,
    /// Any origin, without credentials.
    pub any: bool,
    /// Any port of this machine's loopback names, with credentials.
    pub localhost: bool,
}

impl CorsOrigins {
    /// No page of another origin.
    pub const NONE: CorsOrigins = CorsOrigins { patterns: Vec::new(), any: false, localhost: false };

    /// Whether pages of `origin`, as a browser sends it, are allowed with credentials.
    pub fn allows(&self, origin: &str) -> bool {
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        self.patterns.iter().any(|pattern| pattern.matches(&origin)) || (self.localhost && origin.is_loopback())
    }
}

/// An origin, or all below a domain, on one port or on any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    /// With the brackets of an IPv6 address.
    host: String,
    /// Hosts below `host`, and not itself.
    is_below: bool,
    port: Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// None: the scheme's own.
    Of(Option<u16>),
    Any,
}

/// Why a text is no [`OriginPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    #[error("has no scheme: write \"https://\" or \"http://\" before the host, as browsers send it")]
    NoScheme,
    #[error("has a path: an origin is scheme, host and port, such as \"https://app.example.com\"")]
    Path,
    #[error("is not a host that browsers send: letters of other scripts are written in their ASCII form, \"xn--…\"")]
    NotAHost,
    #[error(
        "has its \"*\" where none can be: \"https://*.example.com\", \"http://localhost:*\" and \"*\" are patterns"
    )]
    Wildcard,
    #[error("has no port that exists")]
    NotAPort,
    #[error("is what pages without an origin send, any page among them: it cannot be allowed")]
    Null,
}

impl OriginPattern {
    /// Reads one of `https://app.example.com`, `https://*.example.com`, `http://localhost:*`. What browsers would write otherwise,
    /// upper case, a slash at the end and a port that is the scheme's own, is taken as they would write it.
    pub fn parse(text: &str) -> Result<OriginPattern, InvalidOrigin> {
        let text = text.trim().to_ascii_lowercase();
        if text == "null" {
            return Err(InvalidOrigin::Null);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin::NoScheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(InvalidOrigin::Path);
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None => Port::Of(None),
            Some("*") => Port::Any,
            Some(digits) => match port_number(digits).ok_or(InvalidOrigin::NotAPort)? {
                number if Some(number) == default_port(scheme) => Port::Of(None),
                number => Port::Of(Some(number)),
            },
        };
        let (host, is_below) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (host, false),
        };
        if host.contains('*') || scheme.contains('*') {
            return Err(InvalidOrigin::Wildcard);
        }
        let is_scheme = scheme.starts_with(|char: char| char.is_ascii_lowercase())
            && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
        if !is_scheme {
            return Err(InvalidOrigin::NoScheme);
        }
        if !is_host(host) {
            return Err(InvalidOrigin::NotAHost);
        }
        Ok(OriginPattern { scheme: scheme.to_owned(), host: host.to_owned(), is_below, port })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let is_host = match self.is_below {
            false => origin.host == self.host,
            true => {
                let label = origin.host.strip_suffix(self.host.as_str()).and_then(|below| below.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty())
            }
        };
        let is_port = match self.port {
            Port::Any => true,
            Port::Of(port) => port == origin.port,
        };
        is_host && is_port && self.scheme == origin.scheme
    }
}

impl fmt::Display for OriginPattern {
    /// As it may stand in a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.is_below { "*." } else { "" };
        write!(f, "{}://{below}{}", self.scheme, self.host)?;
        match self.port {
            Port::Of(None) => Ok(()),
            Port::Of(Some(port)) => write!(f, ":{port}"),
            Port::Any => f.write_str(":*"),
        }
    }
}

/// An origin that a browser has sent.
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Origin<'a>> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_port(authority);
        let port = match port {
            None => None,
            Some(digits) => Some(port_number(digits)?).filter(|port| Some(*port) != default_port(scheme)),
        };
        is_host(host).then_some(Origin { scheme, host, port })
    }

    fn is_loopback(&self) -> bool {
        matches!(self.scheme, "http" | "https") && matches!(self.host, "localhost" | "127.0.0.1" | "[::1]")
    }
}

/// The host, and what follows its colon. The colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn port_number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// A name, an address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        let patterns = vec![OriginPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern} {error}"))];
        CorsOrigins { patterns, any: false, localhost: false }.allows(origin)
    }

    #[test]
    fn a_pattern_is_taken_as_browsers_write_it() {
        for pattern in [
            "https://app.example.com",
            "https://app.example.com/",
            "HTTPS://App.Example.com",
            "https://app.example.com:443",
            " https://app.example.com ",
        ] {
            assert!(allows(pattern, "https://app.example.com"), "{pattern}");
            assert_eq!(OriginPattern::parse(pattern).expect("valid").to_string(), "https://app.example.com");
            for other in [
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com.evil.example",
                "https://x.app.example.com",
                "https://evil.example/app.example.com",
                "null",
                "",
            ] {
                assert!(!allows(pattern, other), "{pattern} {other}");
            }
        }
        assert!(allows("http://[::1]:8080", "http://[::1]:8080"));
        assert!(allows("capacitor://localhost", "capacitor://localhost"));
    }

    #[test]
    fn a_wildcard_stands_for_hosts_below_a_domain_or_for_any_port() {
        assert!(allows("https://*.example.com", "https://a.example.com"));
        assert!(allows("https://*.example.com", "https://a.b.example.com"));
        for other in ["https://example.com", "https://aexample.com", "https://.example.com", "http://a.example.com"] {
            assert!(!allows("https://*.example.com", other), "{other}");
        }
        assert!(
            allows("http://localhost:*", "http://localhost:3000") && allows("http://localhost:*", "http://localhost")
        );
        assert!(!allows("http://localhost:*", "https://localhost:3000"));
        assert!(!allows("http://localhost:*", "http://localhost.evil.example:3000"));
        for pattern in ["https://*.example.com", "http://localhost:*"] {
            assert_eq!(OriginPattern::parse(pattern).expect("valid").to_string(), pattern);
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_the_reason() {
        for (text, error) in [
            ("app.example.com", InvalidOrigin::NoScheme),
            ("://app.example.com", InvalidOrigin::NoScheme),
            ("https://app.example.com/chat", InvalidOrigin::Path),
            ("https://ann@app.example.com", InvalidOrigin::Path),
            ("https://", InvalidOrigin::NotAHost),
            ("https://müller.example", InvalidOrigin::NotAHost),
            ("https://app.*.com", InvalidOrigin::Wildcard),
            ("https://*", InvalidOrigin::Wildcard),
            ("https://*example.com", InvalidOrigin::Wildcard),
            ("*://example.com", InvalidOrigin::Wildcard),
            ("https://example.com:x", InvalidOrigin::NotAPort),
            ("https://example.com:99999", InvalidOrigin::NotAPort),
            ("null", InvalidOrigin::Null),
        ] {
            assert_eq!(OriginPattern::parse(text), Err(error), "{text}");
        }
    }
}
