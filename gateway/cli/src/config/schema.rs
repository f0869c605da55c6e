//! The configuration file as it is written. Names and defaults are explained in `docs/configuration.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) admin: Admin,
    pub(crate) hubs: BTreeMap<String, Hub>,
    pub(crate) upstream: Items,
    pub(crate) plugins: BTreeMap<String, Plugin>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Server {
    pub(crate) listen: Option<Listen>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) access_keys: Secrets,
    pub(crate) access_keys_file: Option<PathBuf>,
    pub(crate) drain_delay: Option<Span>,
    pub(crate) drain_timeout: Option<Span>,
    pub(crate) drain_closes: u32,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) shards: u16,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) detailed_errors: bool,
    pub(crate) log: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Limits {
    pub(crate) message: Option<Size>,
    pub(crate) post: Option<Size>,
    pub(crate) headers: Option<Size>,
    pub(crate) outbox: Option<Size>,
    pub(crate) outboxes: Option<Size>,
    pub(crate) server_message: Option<Size>,
    pub(crate) server_outbox: Option<Size>,
    pub(crate) connections: Option<usize>,
    pub(crate) connections_per_ip: usize,
    pub(crate) connections_per_user: usize,
    pub(crate) connections_per_token: usize,
    pub(crate) http_connections: Option<usize>,
    pub(crate) http_connections_per_ip: Option<usize>,
    pub(crate) negotiates_per_second: u32,
    pub(crate) messages_per_second: u32,
    pub(crate) groups_per_connection: Option<usize>,
    pub(crate) user_memberships: Option<usize>,
    pub(crate) mode_switch_closes: Option<usize>,
    pub(crate) plugin_memory: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Timeouts {
    pub(crate) negotiate: Option<Span>,
    pub(crate) handshake: Option<Span>,
    pub(crate) client: Option<Span>,
    pub(crate) keep_alive: Option<Span>,
    pub(crate) http_header: Option<Span>,
    pub(crate) http_body: Option<Span>,
    pub(crate) write: Option<Span>,
    pub(crate) outbox: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Admin {
    pub(crate) listen: Option<Listen>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) hosts: Vec<String>,
    pub(crate) metrics_open: bool,
}

/// A hub, or with the name `*` all that have no entry of their own.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Hub {
    pub(crate) mode: Option<Mode>,
    pub(crate) cors_origins: Option<Vec<String>>,
    pub(crate) negotiate: Option<Negotiate>,
    pub(crate) filters: Option<Vec<String>>,
    pub(crate) messages_per_second: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Default,
    Serverless,
    Classic,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Negotiate {
    pub(crate) anonymous: bool,
    pub(crate) plugin: Option<NotYet>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UpstreamItem {
    #[serde(default = "all")]
    pub(crate) hubs: Vec<String>,
    #[serde(default = "all")]
    pub(crate) categories: Vec<String>,
    #[serde(default = "all")]
    pub(crate) events: Vec<String>,
    pub(crate) plugin: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) timeout: Option<Span>,
    pub(crate) retries: Option<u32>,
    pub(crate) on_connect_failure: Option<ConnectFailure>,
    pub(crate) claim_names: Option<ClaimNames>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConnectFailure {
    Close,
    Log,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClaimNames {
    Token,
    Dotnet,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Plugin {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) memory: Option<Size>,
    pub(crate) call_time: Option<Span>,
    pub(crate) cpu_time: Option<Span>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) actions: Option<usize>,
    pub(crate) host_calls: Option<u32>,
    pub(crate) log_lines: Option<u32>,
    pub(crate) state: Option<Size>,
    pub(crate) state_writes: Option<Size>,
    pub(crate) payload: Option<Payload>,
    pub(crate) rollback: Option<Rollback>,
    #[serde(default)]
    pub(crate) allow_http: Vec<String>,
    pub(crate) targets: Option<Vec<String>>,
    pub(crate) on_error: Option<OnError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    Closed,
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Payload {
    Json,
    Native,
}

/// `false`, or when it is done.
#[derive(Debug, Clone)]
pub(crate) enum Rollback {
    Never,
    Settings(RollbackSettings),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackSettings {
    pub(crate) errors: Option<f64>,
    pub(crate) window: Option<Span>,
    pub(crate) calls: Option<u64>,
}

impl<'de> Deserialize<'de> for Rollback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rollback, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Boolean(false) => Ok(Rollback::Never),
            toml::Value::Table(settings) => {
                let settings: Result<RollbackSettings, toml::de::Error> = settings.try_into();
                settings.map(Rollback::Settings).map_err(|error| D::Error::custom(error.message()))
            }
            other => Err(D::Error::custom(format_args!(
                "must be `false` (never roll back automatically) or a table such as {{ errors = 0.5, window = \"10s\", calls = 20 }} \
                 (the default), and not {other}"
            ))),
        }
    }
}

/// A key that is known but not built yet, whatever its value.
#[derive(Debug, Clone)]
pub(crate) struct NotYet;

impl<'de> Deserialize<'de> for NotYet {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<NotYet, D::Error> {
        Err(serde::de::Error::custom("not supported yet"))
    }
}

/// Texts that no error repeats.
#[derive(Default)]
pub(crate) struct Secrets(pub(crate) Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secrets, D::Error> {
        let texts = toml::Value::deserialize(deserializer)?.try_into();
        texts.map(Secrets).map_err(|_| serde::de::Error::custom("must be a list of one or two texts"))
    }
}

/// The items of `[[upstream]]`.
#[derive(Debug, Default)]
pub(crate) struct Items(pub(crate) Vec<UpstreamItem>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Items, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of items: write each as [[upstream]], with two brackets")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// An address to listen on: an IP address and a port, or `localhost` and a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let text = text.trim();
        let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        local.as_deref().unwrap_or(text).parse().map(Listen).map_err(|_| {
            let example = match text.strip_prefix(':').or(text.parse::<u16>().is_ok().then_some(text)) {
                Some(port) => format!("\"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for other machines"),
                None => "\"127.0.0.1:8888\", \"localhost:8888\" or \"0.0.0.0:8888\"".to_owned(),
            };
            format!("\"{text}\" is not an IP address with a port, such as {example}")
        })
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A number of bytes, such as "64MiB".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let text = with_unit(deserializer, "a size", "MiB")?;
        let size: ByteSize = text.parse().map_err(|_| not(&text, "a size such as \"64MiB\""))?;
        Ok(Size(usize::try_from(size.as_u64()).map_err(|_| not(&text, "a size that fits into memory"))?))
    }
}

/// The longest time. The clocks count some multiples of it.
pub(super) const LONGEST_SPAN: Duration = Duration::from_secs(31_557_600);

/// A time, such as "10s". What is longer than a year is a year.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = with_unit(deserializer, "a time", "s")?;
        let time = humantime::parse_duration(&text).map_err(|_| not(&text, "a time such as \"10s\""))?;
        Ok(Span(time.min(LONGEST_SPAN)))
    }
}

/// A text that is more than a number.
fn with_unit<'de, D: Deserializer<'de>>(deserializer: D, what: &str, unit: &str) -> Result<String, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let number = match &value {
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::String(text) if text.parse::<f64>().is_ok() && text != "0" => text.clone(),
        toml::Value::String(text) => return Ok(text.clone()),
        _ => return Err(D::Error::custom(format_args!("must be {what} such as \"10{unit}\""))),
    };
    Err(D::Error::custom(format_args!("{number} has no unit: write {what} such as \"{number}{unit}\"")))
}

fn not<E: serde::de::Error>(text: &str, expected: &str) -> E {
    E::custom(format_args!("\"{text}\" is not {expected}"))
}
