//! How a gateway joins others over NATS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
pub use hubgate_cluster::LARGEST_MESSAGE;
use hubgate_wire::endpoint::Endpoint;

/// What makes several gateways one. It is read at the start.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// At least one; any of them may be connected to.
    pub servers: Vec<NatsUrl>,
    /// Nodes of the same name are one cluster: 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`. It stands in subjects.
    pub name: String,
    pub sign_in: NatsSignIn,
    /// Set: the connection has TLS, whatever the scheme of the server's URL.
    pub tls: Option<NatsTls>,
    /// A node that was not heard for so long, while others are, is gone.
    pub node_timeout: Duration,
    /// How long nobody is given up while no other node is heard.
    pub outage_grace: Duration,
    /// A node that has not joined the others so long after its start serves alone; zero: it never does.
    pub start_alone: Duration,
    /// What is kept for each other node until it has acknowledged it, in bytes.
    pub resend_buffer: usize,
    /// The public base URL of this node alone, which clients reach past any load balancer.
    pub node_endpoint: Option<Endpoint>,
}

/// Who the gateway is for NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsSignIn {
    Nobody,
    /// What a `.creds` file holds: a user's JWT, and the seed of its key.
    Credentials(Secret),
    Token(Secret),
    User {
        user: String,
        password: Secret,
    },
}

/// Credentials that cannot sign anybody in. Their text is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("does not hold a user's JWT and the seed of its key, as .creds files do")]
pub struct InvalidCredentials;

impl NatsSignIn {
    /// Takes the text of a `.creds` file.
    pub fn with_credentials(text: String) -> Result<NatsSignIn, InvalidCredentials> {
        match ConnectOptions::with_credentials(&text) {
            Ok(_) => Ok(NatsSignIn::Credentials(Secret::new(text))),
            // The error could repeat a part of the text.
            Err(_) => Err(InvalidCredentials),
        }
    }
}

/// A text that neither a log nor an error has.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Files in PEM that are read again for each connection. They have been checked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsTls {
    /// The authorities of which one has signed the server's certificate; none: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// What the gateway shows to a server that asks for it.
    pub client: Option<ClientCertificate>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a NATS server is: `nats://` or `tls://`, a host, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsUrl(ServerAddr);

/// Why a text is no [`NatsUrl`]. What may be a secret is not repeated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNatsUrl {
    #[error(
        "holds a user or a token before the `@`, which do not belong there: `token-file`, `credentials-file`, or `user` and \
         `password-file` say who signs in"
    )]
    SignIn,
    #[error(
        "must be nats:// or tls:// with a host and perhaps a port, such as \"nats://127.0.0.1:4222\", and not \"{0}\""
    )]
    Other(String),
}

impl NatsUrl {
    /// For the client.
    pub fn address(&self) -> &ServerAddr {
        &self.0
    }
}

impl FromStr for NatsUrl {
    type Err = InvalidNatsUrl;

    fn from_str(text: &str) -> Result<NatsUrl, InvalidNatsUrl> {
        if text.contains('@') {
            return Err(InvalidNatsUrl::SignIn);
        }
        let is_scheme = |scheme: &str| scheme.eq_ignore_ascii_case("nats") || scheme.eq_ignore_ascii_case("tls");
        let authority = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map(|(_, rest)| rest);
        let authority = authority.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_plain = |authority: &&str| {
            let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            !authority.starts_with(':') && authority.bytes().all(is_of_it)
        };
        let address: Option<ServerAddr> = authority.filter(is_plain).and_then(|_| text.parse().ok());
        address
            .filter(|address| !address.host().is_empty() && address.port() != 0)
            .map(NatsUrl)
            .ok_or_else(|| InvalidNatsUrl::Other(text.to_owned()))
    }
}

impl fmt::Display for NatsUrl {
    /// With its port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.0.scheme(), self.0.host(), self.0.port());
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_scheme_a_host_and_a_port() {
        for (text, shown, is_tls) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", false),
            ("nats://nats.example.com", "nats://nats.example.com:4222", false),
            ("TLS://nats_1.example.com:443/", "tls://nats_1.example.com:443", true),
            ("nats://[2001:db8::1]:5222", "nats://[2001:db8::1]:5222", false),
            ("nats://[::1]", "nats://[::1]:4222", false),
        ] {
            let url: NatsUrl = text.parse().expect(text);
            assert_eq!((url.to_string().as_str(), url.address().tls_required()), (shown, is_tls), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_and_repeated_unless_it_may_hold_a_secret() {
        for text in [
            "",
            "127.0.0.1:4222",
            "nats://",
            "nats://:4222",
            "nats:///x",
            "http://127.0.0.1:4222",
            "ws://127.0.0.1",
            "nats://127.0.0.1/subject",
            "nats://127.0.0.1?x=1",
            "nats://127.0.0.1#x",
            "nats://127.0.0.1:0",
            "nats://127.0.0.1:65536",
            "nats://127.0.0.1:4222,nats://127.0.0.2:4222",
            "nats://host name",
            "nats://[::1",
            "nats://::1",
            "nats://ho%73t",
        ] {
            assert_eq!(text.parse::<NatsUrl>(), Err(InvalidNatsUrl::Other(text.to_owned())), "{text}");
        }
        for text in ["nats://hidden@127.0.0.1", "nats://ann:hidden@127.0.0.1:4222", "hidden@"] {
            let error = text.parse::<NatsUrl>().expect_err(text);
            assert_eq!(error, InvalidNatsUrl::SignIn);
            assert!(!error.to_string().contains("hidden"));
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let hidden = || Secret::new("hidden");
        let user = NatsSignIn::User { user: "ann".to_owned(), password: hidden() };
        for sign_in in [NatsSignIn::Credentials(hidden()), NatsSignIn::Token(hidden()), user] {
            assert!(!format!("{sign_in:?}").contains("hidden"), "{sign_in:?}");
        }
    }
}
