//! `hubgate token`: signs tokens, for tests and scripts.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use hubgate_core::id::HubName;
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::token::AccessKey;
use serde_json::{Map, Value, json};

use crate::config::{Addresses, Config, Span, access_key};
use crate::{Failure, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Prints a token that opens a hub to a client.
    Client(ClientArguments),
    /// Prints a token for requests of the REST API to one URL.
    Rest(RestArguments),
    /// Prints a token that lets a hub server of one hub connect.
    Server(ServerArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ClientArguments {
    #[arg(long, value_name = "NAME")]
    hub: String,
    /// The user that the client will be.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// A further claim; the same name again makes a list.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, String)>,
    #[arg(long, value_name = "TIME", default_value = "1h")]
    lifetime: Span,
    #[command(flatten)]
    key: KeySource,
    /// Prints a JSON object with the token, its audience and when it ends, in seconds since 1970.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestArguments {
    /// The URL of the requests; its query does not matter.
    #[arg(long)]
    url: String,
    #[arg(long, value_name = "TIME", default_value = "1h")]
    lifetime: Span,
    #[command(flatten)]
    key: KeySource,
    /// Prints a JSON object with the token, its audience and when it ends, in seconds since 1970.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServerArguments {
    #[arg(long, value_name = "NAME")]
    hub: String,
    /// What the gateway knows the server by, unless its requests say so.
    #[arg(long, value_name = "ID")]
    server_id: Option<String>,
    #[arg(long, value_name = "TIME", default_value = "1h")]
    lifetime: Span,
    #[command(flatten)]
    key: KeySource,
    /// Prints a JSON object with the token, its audience and when it ends, in seconds since 1970.
    #[arg(long)]
    json: bool,
}

/// Whose key signs.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct KeySource {
    /// The configuration file of the gateway.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_name = "TEXT")]
    connection_string: Option<String>,
}

fn claim(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Client(arguments) => client(&arguments),
        Command::Rest(arguments) => rest(&arguments),
        Command::Server(arguments) => server(&arguments),
    }
}

fn client(arguments: &ClientArguments) -> Result<(), Failure> {
    let hub = HubName::parse(&arguments.hub).map_err(|error| Failure::Usage(anyhow!("--hub: {error}")))?;
    let (endpoint, key) = arguments.key.resolve()?;
    let mut claims = lasting(arguments.lifetime, format!("{endpoint}/client/?hub={hub}"));
    if let Some(user) = &arguments.user {
        claims.insert("asrs.s.uid".to_owned(), user.as_str().into());
    }
    for (name, value) in &arguments.claims {
        if ["aud", "iat", "exp"].contains(&name.as_str()) {
            return Err(Failure::Usage(anyhow!("--claim {name}: the command sets it itself")));
        }
        add(&mut claims, name, value);
    }
    tell(&key, &claims, arguments.json)
}

fn rest(arguments: &RestArguments) -> Result<(), Failure> {
    let audience = arguments.url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    if !["http://", "https://"].iter().any(|scheme| audience.starts_with(scheme)) {
        return Err(Failure::Usage(anyhow!("--url: must be that of the requests, http://… or https://…")));
    }
    let (_, key) = arguments.key.resolve()?;
    tell(&key, &lasting(arguments.lifetime, audience.to_owned()), arguments.json)
}

fn server(arguments: &ServerArguments) -> Result<(), Failure> {
    let hub = HubName::parse(&arguments.hub).map_err(|error| Failure::Usage(anyhow!("--hub: {error}")))?;
    let (endpoint, key) = arguments.key.resolve()?;
    let mut claims = lasting(arguments.lifetime, format!("{endpoint}/server/?hub={hub}"));
    if let Some(id) = &arguments.server_id {
        claims.insert("nameid".to_owned(), id.as_str().into());
    }
    tell(&key, &claims, arguments.json)
}

fn tell(key: &AccessKey, claims: &Map<String, Value>, json: bool) -> Result<(), Failure> {
    let token = key.sign(claims);
    match json {
        true => print(json!({ "token": token, "audience": claims["aud"], "expires": claims["exp"] })),
        false => print(token),
    }
}

/// The claims of a token for `audience`, valid from now on.
fn lasting(Span(lifetime): Span, audience: String) -> Map<String, Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Map::from_iter([
        ("aud".to_owned(), audience.into()),
        ("iat".to_owned(), now.as_secs().into()),
        ("exp".to_owned(), (now + lifetime).as_secs().into()),
    ])
}

fn add(claims: &mut Map<String, Value>, name: &str, value: &str) {
    match claims.get_mut(name) {
        None => {
            claims.insert(name.to_owned(), value.into());
        }
        Some(Value::Array(values)) => values.push(value.into()),
        Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
    }
}

impl KeySource {
    fn resolve(&self) -> Result<(Endpoint, AccessKey), Failure> {
        if let Some(text) = &self.connection_string {
            return parse_connection_string(text).map_err(|error| Failure::Usage(error.context("--connection-string")));
        }
        let file = self.config.as_deref().ok_or_else(|| Failure::Usage(anyhow!("--config or --connection-string")))?;
        let net = Config::load(file, Addresses::default())?.net;
        let endpoint = match net.endpoints.first() {
            Some(endpoint) => endpoint.clone(),
            None => Endpoint::parse(&format!("http://{}", net.listen)).map_err(|error| Failure::Usage(error.into()))?,
        };
        Ok((endpoint, net.access_keys[0].clone()))
    }
}

/// Reads `Endpoint=…;AccessKey=…;Version=1.0;`, names without regard to case. `Port=…` is the endpoint's, whatever that says itself.
fn parse_connection_string(text: &str) -> anyhow::Result<(Endpoint, AccessKey)> {
    let value = |name: &str| {
        let mut items = text.split(';').filter_map(|item| item.split_once('='));
        items.find_map(|(each, value)| each.trim().eq_ignore_ascii_case(name).then_some(value.trim()))
    };
    let endpoint = value("Endpoint").ok_or_else(|| anyhow!("has no Endpoint"))?;
    let key = value("AccessKey").filter(|key| !key.is_empty()).ok_or_else(|| anyhow!("has no AccessKey"))?;
    let endpoint = Endpoint::parse(endpoint).context("Endpoint")?;
    let endpoint = match value("Port").map(str::parse) {
        None => endpoint,
        Some(Ok(port)) => endpoint.with_port(port),
        Some(Err(_)) => return Err(anyhow!("Port is not a number from 0 to 65535")),
    };
    let key = access_key(key).map_err(|why| anyhow!("AccessKey: {why}"))?;
    Ok((endpoint, key))
}
