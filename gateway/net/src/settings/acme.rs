//! Where and for which names a gateway gets its own certificate (ACME, RFC 8555).

use std::fmt;
use std::path::PathBuf;

use http::Uri;

/// The longest name in the DNS, in characters, and the longest of its labels (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// How a gateway gets its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    pub directory: DirectoryUrl,
    /// Whom the directory may write to.
    pub email: Option<String>,
    /// At least one; each once.
    pub domains: Vec<DomainName>,
    /// The authorities that the directory's own certificate is checked with, in PEM; None: those of this machine.
    pub authorities: Option<Vec<u8>>,
    /// A folder of this user alone, for the account and the certificates.
    pub folder: PathBuf,
}

/// Where an ACME server says what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUrl(Uri);

/// Why a text is no [`DirectoryUrl`].
#[derive(Debug, thiserror::Error)]
#[error("is not the URL of an ACME directory, which begins with https:// and names a host")]
pub struct InvalidDirectoryUrl;

impl DirectoryUrl {
    pub fn parse(text: &str) -> Result<DirectoryUrl, InvalidDirectoryUrl> {
        let url: Uri = text.parse().map_err(|_| InvalidDirectoryUrl)?;
        // Requests are signed, and what is answered is trusted: RFC 8555 (section 6.1) allows no other scheme.
        match (url.scheme_str(), url.host()) {
            (Some("https"), Some(host)) if !host.is_empty() => Ok(DirectoryUrl(url)),
            _ => Err(InvalidDirectoryUrl),
        }
    }

    /// Let's Encrypt's.
    pub fn lets_encrypt() -> DirectoryUrl {
        DirectoryUrl(Uri::from_static("https://acme-v02.api.letsencrypt.org/directory"))
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that a certificate can be for, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

/// Why a text is no [`DomainName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomain {
    #[error("is a wildcard, which the gateway cannot prove to be its own: list the names themselves")]
    Wildcard,
    #[error("is an IP address; certificates are got for names alone")]
    Address,
    #[error("is not a name in the DNS such as \"chat.example.com\"; letters beyond ASCII are written as `xn--…`")]
    Malformed,
}

impl DomainName {
    pub fn parse(text: &str) -> Result<DomainName, InvalidDomain> {
        if text.contains('*') {
            return Err(InvalidDomain::Wildcard);
        }
        if text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
            return Err(InvalidDomain::Address);
        }
        let is_label = |label: &str| {
            let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let has_ends = !label.starts_with('-') && !label.ends_with('-');
            (1..=LONGEST_LABEL).contains(&label.len()) && has_ends && label.bytes().all(is_of_it)
        };
        match text.len() <= LONGEST_NAME && text.split('.').all(is_label) {
            true => Ok(DomainName(text.to_ascii_lowercase())),
            false => Err(InvalidDomain::Malformed),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_names() {
        let longest = format!("{}.{}", "a".repeat(63), "b".repeat(63));
        for name in ["chat.example.com", "Chat.Example.COM", "gateway", "xn--bcher-kva.example", "1.example", &longest]
        {
            assert_eq!(DomainName::parse(name).expect(name).as_str(), name.to_ascii_lowercase());
        }
        for (text, expected) in [
            ("*.example.com", InvalidDomain::Wildcard),
            ("192.0.2.1", InvalidDomain::Address),
            ("2001:db8::1", InvalidDomain::Address),
            ("[2001:db8::1]", InvalidDomain::Address),
            ("", InvalidDomain::Malformed),
            ("example.com.", InvalidDomain::Malformed),
            ("a..b", InvalidDomain::Malformed),
            ("-a.example", InvalidDomain::Malformed),
            ("a-.example", InvalidDomain::Malformed),
            ("a_b.example", InvalidDomain::Malformed),
            ("bücher.example", InvalidDomain::Malformed),
            ("https://a.example", InvalidDomain::Malformed),
            ("a.example:443", InvalidDomain::Malformed),
            (&"a".repeat(64), InvalidDomain::Malformed),
            (&"a.".repeat(127).replace(".a.a.a", ".aa.aa.aa"), InvalidDomain::Malformed),
        ] {
            assert_eq!(DomainName::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_directory_is_reached_by_https() {
        assert_eq!(DirectoryUrl::parse("https://ca.example:9000/acme/directory").expect("a URL").host(), "ca.example");
        for text in ["", "ca.example", "http://ca.example/directory", "https:///directory", "ftp://ca.example"] {
            assert!(DirectoryUrl::parse(text).is_err(), "{text}");
        }
    }
}
