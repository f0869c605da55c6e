//! Texts with a meaning of their own, and secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use hubgate_net::KeyUrl;
use hubgate_net::settings::{DirectoryUrl, DomainName, NatsUrl, OriginPattern, OtlpUrl};
use hubgate_wire::endpoint::Endpoint;
use hubgate_wire::webhook::UrlTemplate;
use ipnet::IpNet;
use serde_json::json;

use super::{NOT_SHOWN, Problems, Secrecy, Value, not, text, wrong};

/// Access keys, which no error repeats.
#[derive(Clone, Default)]
pub(crate) struct Secrets(pub(crate) Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Value for Secrets {
    fn schema() -> serde_json::Value {
        json!({ "type": "array", "items": String::schema(), "maxItems": 2 })
    }

    fn read(found: &toml::Value) -> Result<Secrets, Problems> {
        let texts = found.clone().try_into();
        texts.map(Secrets).map_err(|_| wrong("must be a list of one or two texts"))
    }

    fn write(&self, secrecy: Secrecy) -> Option<toml::Value> {
        Some(self.0.iter().map(|text| shown(text, secrecy)).collect::<Vec<_>>().into())
    }
}

/// Texts by name, which may be secrets.
#[derive(Clone, Default)]
pub(crate) struct SecretTexts(pub(crate) BTreeMap<String, String>);

impl fmt::Debug for SecretTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn texts(found: &toml::Value) -> Result<BTreeMap<String, String>, Problems> {
    let table = found.as_table().ok_or_else(|| not(found, "a table, such as { … }"))?;
    let (mut texts, mut problems) = (BTreeMap::new(), Problems::default());
    for (name, found) in table {
        match found.as_str() {
            Some(text) => drop(texts.insert(name.clone(), text.to_owned())),
            None => problems.push(name, "must be a text in quotes"),
        }
    }
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

fn texts_schema() -> serde_json::Value {
    json!({ "type": "object", "additionalProperties": String::schema() })
}

/// Texts by names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) BTreeMap<String, String>);

impl Value for Texts {
    fn schema() -> serde_json::Value {
        texts_schema()
    }

    fn read(found: &toml::Value) -> Result<Texts, Problems> {
        texts(found).map(Texts)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        let texts: toml::Table = self.0.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        Some(texts.into())
    }
}

/// Numbers by names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) BTreeMap<String, usize>);

impl Value for Counts {
    fn schema() -> serde_json::Value {
        json!({ "type": "object", "additionalProperties": usize::schema() })
    }

    fn read(found: &toml::Value) -> Result<Counts, Problems> {
        let table = found.as_table().ok_or_else(|| not(found, "a table, such as { tenant = 100 }"))?;
        let (mut counts, mut problems) = (BTreeMap::new(), Problems::default());
        for (name, found) in table {
            match usize::read(found) {
                Ok(count) => drop(counts.insert(name.clone(), count)),
                Err(wrong) => problems.extend_below(name, wrong),
            }
        }
        if problems.is_empty() { Ok(Counts(counts)) } else { Err(problems) }
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        let number = |count: usize| toml::Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let counts: toml::Table = self.0.iter().map(|(name, count)| (name.clone(), number(*count))).collect();
        Some(counts.into())
    }
}

impl Value for KeyUrl {
    fn read(found: &toml::Value) -> Result<KeyUrl, Problems> {
        KeyUrl::parse(text(found)?).map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for DirectoryUrl {
    fn read(found: &toml::Value) -> Result<DirectoryUrl, Problems> {
        DirectoryUrl::parse(text(found)?).map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for DomainName {
    fn read(found: &toml::Value) -> Result<DomainName, Problems> {
        let name = text(found)?;
        DomainName::parse(name).map_err(|error| wrong(format!("\"{name}\" {error}")))
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.as_str().into())
    }
}

impl Value for OtlpUrl {
    fn read(found: &toml::Value) -> Result<OtlpUrl, Problems> {
        OtlpUrl::parse(text(found)?).map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for NatsUrl {
    fn read(found: &toml::Value) -> Result<NatsUrl, Problems> {
        text(found)?.parse().map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for SecretTexts {
    fn schema() -> serde_json::Value {
        texts_schema()
    }

    fn read(found: &toml::Value) -> Result<SecretTexts, Problems> {
        texts(found).map(SecretTexts)
    }

    fn write(&self, secrecy: Secrecy) -> Option<toml::Value> {
        let texts: toml::Table =
            self.0.iter().map(|(name, text)| (name.clone(), shown(text, secrecy).into())).collect();
        Some(texts.into())
    }
}

fn shown(secret: &str, secrecy: Secrecy) -> &str {
    match secrecy {
        Secrecy::Hidden => NOT_SHOWN,
        Secrecy::Exposed => secret,
    }
}

/// What is logged.
#[derive(Debug, Clone)]
pub(crate) struct LogFilter(pub(crate) String);

impl Value for LogFilter {
    fn read(found: &toml::Value) -> Result<LogFilter, Problems> {
        let text = text(found)?;
        crate::logging::check(text).map(|()| LogFilter(text.to_owned())).map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.0.as_str().into())
    }
}

impl Value for Endpoint {
    fn read(found: &toml::Value) -> Result<Endpoint, Problems> {
        let text = text(found)?;
        Endpoint::parse(text).map_err(|error| wrong(format!("{error}, and not \"{text}\"")))
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// An address, or a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network(pub(crate) IpNet);

impl Value for Network {
    fn read(found: &toml::Value) -> Result<Network, Problems> {
        let text = text(found)?;
        let address = || text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
        let network = text.parse().or_else(|_| address());
        network
            .map(|network| Network(canonical(network)))
            .map_err(|_| wrong(format!("\"{text}\" is neither an address nor a network such as \"10.0.0.0/8\"")))
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(self.0.to_string().into())
    }
}

/// As addresses are compared with it: without what IPv6 adds to addresses of IPv4, and without bits beyond the prefix.
fn canonical(network: IpNet) -> IpNet {
    /// The bits before the address of IPv4.
    const MAPPED: u8 = 96;
    let within = match network {
        IpNet::V6(own) if own.prefix_len() >= MAPPED => own.addr().to_ipv4_mapped(),
        IpNet::V6(_) | IpNet::V4(_) => None,
    };
    let mapped = within.and_then(|address| IpNet::new(address.into(), network.prefix_len() - MAPPED).ok());
    mapped.unwrap_or(network).trunc()
}

/// Origins of pages, with credentials or, if it is any, without.
#[derive(Debug, Clone)]
pub(crate) enum CorsOrigin {
    Any,
    Pattern(OriginPattern),
}

impl Value for CorsOrigin {
    fn read(found: &toml::Value) -> Result<CorsOrigin, Problems> {
        match text(found)? {
            "*" => Ok(CorsOrigin::Any),
            text => match OriginPattern::parse(text) {
                Ok(pattern) => Ok(CorsOrigin::Pattern(pattern)),
                Err(error) => Err(wrong(format!("\"{text}\" {error}"))),
            },
        }
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(match self {
            CorsOrigin::Any => "*".into(),
            CorsOrigin::Pattern(pattern) => pattern.to_string().into(),
        })
    }
}

/// What a plugin may reach: the base URL of what it may ask, or a network that the URL's host may be in.
#[derive(Debug, Clone)]
pub(crate) enum Allowed {
    Endpoint(Endpoint),
    Network(IpNet),
}

impl std::str::FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Allowed, String> {
        if let Ok(network) = text.parse() {
            return Ok(Allowed::Network(network));
        }
        match Endpoint::parse(text) {
            Ok(endpoint) if endpoint.base_path().is_empty() => Ok(Allowed::Endpoint(endpoint)),
            Ok(_) | Err(_) => Err(format!(
                "\"{text}\" is not scheme, host and port, such as \"https://api.example.com\", and no network, such as \
                 \"10.0.0.0/8\""
            )),
        }
    }
}

impl Value for Allowed {
    fn read(found: &toml::Value) -> Result<Allowed, Problems> {
        text(found)?.parse().map_err(wrong)
    }

    fn write(&self, _: Secrecy) -> Option<toml::Value> {
        Some(match self {
            Allowed::Endpoint(endpoint) => endpoint.to_string().into(),
            Allowed::Network(network) => network.to_string().into(),
        })
    }
}

impl Value for UrlTemplate {
    /// The text is not repeated: its query may be a secret.
    fn read(found: &toml::Value) -> Result<UrlTemplate, Problems> {
        UrlTemplate::parse(text(found)?).map_err(wrong)
    }

    fn write(&self, secrecy: Secrecy) -> Option<toml::Value> {
        let has_query = self.expose() != self.shown();
        Some(match secrecy {
            Secrecy::Hidden if has_query => format!("{}?{NOT_SHOWN}", self.shown()).into(),
            Secrecy::Hidden | Secrecy::Exposed => self.expose().into(),
        })
    }
}
