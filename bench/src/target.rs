//! What is measured: where it listens, what a client says to get in, and which process it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use http::Uri;
use hubgate_wire::token::AccessKey;
use serde_json::{Map, Value};

use crate::{Dialect, ScenarioArguments, process};

/// How long a target may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// `None`: it is not on this machine, or not ours to look at.
    pub(crate) pid: Option<u32>,
    pub(crate) dialect: Dialect,
    admission: Admission,
}

/// How a client gets in.
#[derive(Debug)]
enum Admission {
    /// Straight to the endpoint.
    Signed { authority: String, hub: String, endpoint: String, key: Box<AccessKey> },
    /// To where negotiation with the application sends it.
    Redirected { authority: String, path: String, token: Option<String> },
}

impl Target {
    pub(crate) fn find(arguments: &ScenarioArguments) -> Result<Target> {
        let (address, admission) = match (&arguments.url, &arguments.connection_string, &arguments.hub) {
            (Some(url), _, _) if arguments.dialect == Dialect::SocketIo => straight(url)?,
            (Some(url), _, _) => redirected(url).with_context(|| format!("--url {url}"))?,
            (None, Some(text), Some(hub)) => signed(text, hub).context("--connection-string")?,
            _ => bail!("say what to measure: --url, or --connection-string with --hub"),
        };
        let pid = arguments.pid.or_else(|| process::listener(address));
        Ok(Target { address, pid, dialect: arguments.dialect, admission })
    }

    /// A floor server, which lets anybody in.
    pub(crate) fn floor(address: SocketAddr, pid: u32) -> Target {
        let admission =
            Admission::Redirected { authority: address.to_string(), path: "/client/?hub=floor".into(), token: None };
        Target { address, pid: Some(pid), dialect: Dialect::Signalr, admission }
    }

    /// The request that opens the WebSocket of client number `client`.
    pub(crate) fn upgrade_request(&self, client: usize) -> Vec<u8> {
        let (authority, path, token) = match &self.admission {
            Admission::Signed { authority, hub, endpoint, key } => {
                (authority, format!("/client/?hub={hub}"), Some(sign(key, endpoint, hub, client)))
            }
            Admission::Redirected { authority, path, token } => (authority, path.clone(), token.clone()),
        };
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
        )
        .into_bytes()
    }
}

fn sign(key: &AccessKey, endpoint: &str, hub: &str, client: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims = Map::new();
    claims.insert("aud".into(), format!("{endpoint}/client/?hub={hub}").into());
    claims.insert("exp".into(), (now + 3600).into());
    claims.insert("asrs.s.uid".into(), format!("user-{client}").into());
    key.sign(&claims)
}

fn signed(text: &str, hub: &str) -> Result<(SocketAddr, Admission)> {
    let value = |name: &str| {
        let mut items = text.split(';').filter_map(|item| item.split_once('='));
        items.find_map(|(each, value)| each.eq_ignore_ascii_case(name).then_some(value))
    };
    let endpoint = value("Endpoint").context("has no Endpoint")?.trim_end_matches('/').to_owned();
    let key = Box::new(AccessKey::new(value("AccessKey").context("has no AccessKey")?));
    let (address, authority) = resolve(&endpoint.parse()?)?;
    Ok((address, Admission::Signed { authority, hub: hub.to_ascii_lowercase(), endpoint, key }))
}

fn redirected(url: &str) -> Result<(SocketAddr, Admission)> {
    let uri: Uri = url.parse()?;
    let (address, authority) = resolve(&uri)?;
    let path = format!("{}/negotiate?negotiateVersion=1", uri.path().trim_end_matches('/'));
    let answer = post(address, &authority, &path)?;
    let Some(url) = answer["url"].as_str() else {
        return Ok((address, Admission::Redirected { authority, path: uri.path().to_owned(), token: None }));
    };
    let uri: Uri = url.parse()?;
    let (address, authority) = resolve(&uri)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let token = answer["accessToken"].as_str().map(str::to_owned);
    Ok((address, Admission::Redirected { authority, path, token }))
}

/// A server that is not asked where to go.
fn straight(url: &str) -> Result<(SocketAddr, Admission)> {
    let uri: Uri = url.parse()?;
    let (address, authority) = resolve(&uri)?;
    let path = "/socket.io/?EIO=4&transport=websocket".to_owned();
    Ok((address, Admission::Redirected { authority, path, token: None }))
}

fn resolve(uri: &Uri) -> Result<(SocketAddr, String)> {
    if uri.scheme_str() != Some("http") {
        bail!("only http:// can be measured");
    }
    let host = uri.host().ok_or_else(|| anyhow!("has no host"))?;
    let port = uri.port_u16().unwrap_or(80);
    let addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs()?;
    // Many source addresses are at hand on the loopback network of IPv4.
    let address = addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| anyhow!("{host} has no address"))?;
    Ok((address, format!("{host}:{port}")))
}

/// Posts nothing and reads JSON.
fn post(address: SocketAddr, authority: &str, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("negotiate is answered with {}", head.lines().next().unwrap_or_default());
    }
    serde_json::from_str(body).context("negotiate is not answered with JSON")
}

pub(crate) fn wait_until_it_listens(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while process::listener(address).is_none() {
        if Instant::now() > deadline {
            bail!("nothing listens at {address}");
        }
        std::thread::yield_now();
    }
    Ok(())
}
