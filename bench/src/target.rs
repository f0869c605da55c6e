//! What is measured: where it listens, what a client says to get in, and which process it is.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use http::Uri;
use hubgate_wire::token::AccessKey;
use serde_json::{Map, Value};

use crate::arguments::{Negotiation, ScenarioArguments};
use crate::dialect::Dialect;
use crate::{client, http_post, process};

/// Redirects that a negotiation follows.
const MOST_REDIRECTS: usize = 5;
/// How long a signed token is good for, in seconds.
const TOKEN_LIFETIME: u64 = 3600;

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// `None`: it is not on this machine, or not ours to look at.
    pub(crate) pid: Option<u32>,
    pub(crate) dialect: Dialect,
    /// Whether every second client speaks MessagePack.
    pub(crate) is_mixed: bool,
    admission: Admission,
    may_be_remote: bool,
}

/// How a client gets in.
#[derive(Debug)]
enum Admission {
    /// To the service, with a token of its own.
    Signed { endpoint: String, hub: String, key: AccessKey, negotiates: bool },
    /// All at one place, in one way.
    Fixed(Entrance),
    /// To a floor, which knows users by their numbers.
    Floor(SocketAddr),
    /// By way of the application.
    Application(String),
}

/// Where a client opens its WebSocket, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) address: SocketAddr,
    authority: String,
    path: String,
    query: String,
    token: Option<String>,
}

impl Target {
    pub(crate) fn find(arguments: &ScenarioArguments) -> Result<Target> {
        let (address, admission) = match (&arguments.url, &arguments.connection_string, &arguments.hub) {
            (Some(url), _, _) if arguments.dialect == Dialect::SocketIo => {
                let url = format!("{}/socket.io/?EIO=4&transport=websocket", url.trim_end_matches('/'));
                let entrance = Entrance::at(&url, arguments.remote)?;
                (entrance.address, Admission::Fixed(entrance))
            }
            (Some(url), _, _) => application(url, arguments).with_context(|| format!("--url {url}"))?,
            (None, Some(text), Some(hub)) => signed(text, hub, arguments).context("--connection-string")?,
            _ => bail!("say what to measure: --url, or --connection-string with --hub"),
        };
        let pid = arguments.pid.or_else(|| process::listener(address));
        Ok(Target {
            address,
            pid,
            dialect: arguments.dialect,
            is_mixed: arguments.mixed,
            admission,
            may_be_remote: arguments.remote,
        })
    }

    /// A floor server, which lets anybody in.
    pub(crate) fn floor(address: SocketAddr, pid: u32) -> Target {
        Target {
            address,
            pid: Some(pid),
            dialect: Dialect::Signalr,
            is_mixed: false,
            admission: Admission::Floor(address),
            may_be_remote: false,
        }
    }

    /// What client `number` speaks.
    pub(crate) fn dialect_of(&self, number: usize) -> Dialect {
        match self.is_mixed && number % 2 == 1 {
            true => Dialect::SignalrMessagePack,
            false => self.dialect,
        }
    }

    /// The way in for client number `client`; it may take negotiating.
    pub(crate) fn entrance(&self, client: usize) -> Result<Entrance> {
        match &self.admission {
            Admission::Fixed(entrance) => Ok(entrance.clone()),
            Admission::Floor(address) => Entrance::at(&format!("http://{address}/client/?user={client}"), false),
            Admission::Application(url) => {
                negotiated(Entrance::at(url, self.may_be_remote)?, Negotiation::Each, client, self.may_be_remote)
            }
            Admission::Signed { endpoint, hub, key, negotiates } => {
                let mut entrance = Entrance::at(&format!("{endpoint}/client/?hub={hub}"), self.may_be_remote)?;
                entrance.token = Some(sign(key, &format!("{endpoint}/client/?hub={hub}"), Some(client)));
                match negotiates {
                    true => negotiated(entrance, Negotiation::Each, client, self.may_be_remote),
                    false => Ok(entrance),
                }
            }
        }
    }
}

impl Target {
    /// The way in for a hub server.
    pub(crate) fn server_entrance(&self) -> Result<Entrance> {
        let Admission::Signed { endpoint, hub, key, .. } = &self.admission else {
            bail!("--hub-servers needs --connection-string and --hub");
        };
        let url = format!("{endpoint}/server/?hub={hub}");
        let mut entrance = Entrance::at(&url, self.may_be_remote)?;
        entrance.token = Some(sign(key, &url, None));
        Ok(entrance)
    }

    /// Where a send to the user of client number `user` goes, and the request's line and headers but its length.
    pub(crate) fn send_to_user(&self, user: usize) -> Result<(SocketAddr, String)> {
        let (endpoint, hub, key) = match &self.admission {
            Admission::Floor(address) => {
                let head = format!("POST /api/users/{user}/ HTTP/1.1\r\nHost: {address}\r\n{JSON}");
                return Ok((*address, head));
            }
            Admission::Signed { endpoint, hub, key, .. } => (endpoint, hub, key),
            Admission::Fixed(_) | Admission::Application(_) => bail!("`rest` needs --connection-string and --hub"),
        };
        let url = format!("{endpoint}/api/hubs/{hub}/users/user-{user}/:send");
        let Entrance { address, authority, path, .. } = Entrance::at(&url, self.may_be_remote)?;
        let token = sign(key, &url, None);
        let head = format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n{JSON}");
        Ok((address, head))
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

impl Entrance {
    fn at(url: &str, may_be_remote: bool) -> Result<Entrance> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        if uri.scheme_str() != Some("http") {
            bail!("{url:?}: only http:// can be measured");
        }
        let host = uri.host().ok_or_else(|| anyhow!("{url:?} has no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        let addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs()?;
        // Many source addresses are at hand on the loopback network of IPv4.
        let address = addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| anyhow!("{host} has no address"))?;
        if !address.ip().is_loopback() && !may_be_remote {
            bail!("{address} is not this machine: --remote lets the load leave it, to a host that is yours to test");
        }
        Ok(Entrance {
            address,
            authority: format!("{host}:{port}"),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            token: None,
        })
    }

    /// The request that opens the WebSocket.
    pub(crate) fn upgrade_request(&self) -> Vec<u8> {
        let Entrance { authority, path, token, .. } = self;
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let authorization = token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let authorization = authorization.unwrap_or_default();
        format!(
            "GET {path}{query} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        )
        .into_bytes()
    }

    fn with_query(&mut self, item: &str) {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(item);
    }

    fn negotiate(&self, client: usize) -> Result<Value> {
        let mut place = self.clone();
        place.path = format!("{}/negotiate", self.path.trim_end_matches('/'));
        place.with_query("negotiateVersion=1");
        let path = format!("{}?{}", place.path, place.query);
        let stream = client::open(self.address, client, false)?;
        http_post::post(stream, &self.authority, &path, self.token.as_deref()).with_context(|| format!("POST {path}"))
    }
}

/// Negotiates as official clients do: at each redirect anew, until there is an id to connect with. `Once` stops behind
/// the application's redirect, where the service makes the connection without an id.
fn negotiated(
    mut entrance: Entrance,
    negotiation: Negotiation,
    client: usize,
    may_be_remote: bool,
) -> Result<Entrance> {
    for _ in 0..=MOST_REDIRECTS {
        let answer = entrance.negotiate(client)?;
        if let Some(error) = answer["error"].as_str() {
            bail!("the negotiation is refused: {error}");
        }
        if let Some(url) = answer["url"].as_str() {
            entrance = Entrance::at(url, may_be_remote).context("the negotiation's redirect")?;
            entrance.token = answer["accessToken"].as_str().map(str::to_owned);
            match negotiation {
                Negotiation::Each => continue,
                Negotiation::Once | Negotiation::Never => return Ok(entrance),
            }
        }
        if negotiation == Negotiation::Each {
            let id = answer["connectionToken"].as_str().or_else(|| answer["connectionId"].as_str());
            entrance.with_query(&format!("id={}", escaped(id.context("the negotiation's answer has no id")?)));
        }
        return Ok(entrance);
    }
    bail!("the negotiation is redirected more than {MOST_REDIRECTS} times")
}

/// A value as it stands in a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn application(url: &str, arguments: &ScenarioArguments) -> Result<(SocketAddr, Admission)> {
    let entrance = Entrance::at(url, arguments.remote)?;
    match arguments.negotiate.unwrap_or(Negotiation::Once) {
        Negotiation::Never => Ok((entrance.address, Admission::Fixed(entrance))),
        Negotiation::Once => {
            let entrance = negotiated(entrance, Negotiation::Once, 0, arguments.remote)?;
            Ok((entrance.address, Admission::Fixed(entrance)))
        }
        Negotiation::Each => {
            let last = negotiated(entrance, Negotiation::Once, 0, arguments.remote)?;
            Ok((last.address, Admission::Application(url.to_owned())))
        }
    }
}

fn signed(text: &str, hub: &str, arguments: &ScenarioArguments) -> Result<(SocketAddr, Admission)> {
    let (endpoint, key) = connection_string(text)?;
    let hub = hub.to_ascii_lowercase();
    let address = Entrance::at(&endpoint, arguments.remote)?.address;
    let negotiates = match arguments.negotiate.unwrap_or(Negotiation::Never) {
        Negotiation::Never => false,
        Negotiation::Each => true,
        Negotiation::Once => bail!("--negotiate once needs --url: each client has its own token"),
    };
    Ok((address, Admission::Signed { endpoint, hub, key: AccessKey::new(key), negotiates }))
}

/// The endpoint, without a slash at its end, and the key.
fn connection_string(text: &str) -> Result<(String, &str)> {
    let value = |name: &str| {
        let mut items = text.split(';').filter_map(|item| item.split_once('='));
        items.find_map(|(each, value)| each.trim().eq_ignore_ascii_case(name).then_some(value))
    };
    let endpoint = value("Endpoint").context("it has no Endpoint")?.trim_end_matches('/');
    let key = value("AccessKey").context("it has no AccessKey")?;
    match value("Port") {
        Some(port) => Ok((format!("{endpoint}:{port}"), key)),
        None => Ok((endpoint.to_owned(), key)),
    }
}

fn sign(key: &AccessKey, audience: &str, client: Option<usize>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = Map::new();
    claims.insert("aud".into(), audience.into());
    claims.insert("exp".into(), (now + TOKEN_LIFETIME).into());
    if let Some(client) = client {
        claims.insert("asrs.s.uid".into(), format!("user-{client}").into());
    }
    key.sign(&claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_has_an_endpoint_and_a_key() {
        let parsed = |text| connection_string(text).ok();
        let expected = Some(("http://localhost:8888".to_owned(), "k=="));
        assert_eq!(parsed("Endpoint=http://localhost:8888/;AccessKey=k==;Version=1.0;"), expected);
        assert_eq!(parsed("endpoint=http://localhost;Port=8888;accesskey=k=="), expected);
        assert_eq!(parsed("Endpoint=http://localhost;Version=1.0"), None);
        assert_eq!(parsed("AccessKey=k"), None);
        assert_eq!(parsed(""), None);
    }

    #[test]
    fn the_load_stays_on_this_machine_unless_asked() {
        assert!(Entrance::at("http://127.0.0.1:8888/hubs/chat", false).is_ok());
        assert!(Entrance::at("http://[::1]:8888/", false).is_ok());
        let refused = Entrance::at("http://192.0.2.1/hubs/chat", false).unwrap_err();
        assert!(refused.to_string().contains("--remote"), "{refused}");
        assert!(Entrance::at("http://192.0.2.1/hubs/chat", true).is_ok());
        assert!(Entrance::at("https://127.0.0.1/", false).is_err());
        assert!(Entrance::at("not a url", false).is_err());
    }

    #[test]
    fn an_upgrade_keeps_the_query_and_brings_id_and_token() {
        let mut entrance = Entrance::at("http://127.0.0.1:8888/client/?hub=chat", false).unwrap();
        entrance.with_query(&format!("id={}", escaped("a+b")));
        entrance.token = Some("t".to_owned());
        let request = String::from_utf8(entrance.upgrade_request()).unwrap();
        assert!(
            request.starts_with("GET /client/?hub=chat&id=a%2Bb HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nAuthorization: Bearer t\r\n"), "{request}");
    }
}
