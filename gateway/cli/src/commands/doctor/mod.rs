//! `hubgate doctor`: tells why a token, an origin, an endpoint, a key, a webhook or a plugin does not work, in the words of the gateway's
//! own checks. As much as possible is found out from the configuration and the token alone; only the server of a URL that is named, and
//! those of webhooks, are asked.

mod address;
mod configured;
mod online;
mod place;
mod token;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use hubgate_core::id::HubName;
use hubgate_net::checks;
use hubgate_net::settings::{CorsOrigins, OriginPattern};
use hubgate_wire::endpoint::Endpoint;

use self::place::{Kind, Place};
use super::findings::{Finding, Findings};
use crate::config::{Addresses, Config, Origins};
use crate::{Failure, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration of the gateway: its keys, endpoints, hubs, plugins and webhooks are looked at.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The URL that a client, a hub server or a caller of the REST API uses; it is asked.
    #[arg(long)]
    url: Option<String>,
    /// The token that is refused.
    #[arg(long)]
    token: Option<String>,
    /// The origin of a page that a browser keeps away, such as https://app.example.com.
    #[arg(long)]
    origin: Option<String>,
    /// An address: which of the configuration's network rules meets its requests is told.
    #[arg(long, value_name = "ADDRESS", requires = "config")]
    as_if: Option<IpAddr>,
}

/// What is looked at.
struct Case<'a> {
    arguments: &'a Arguments,
    config: Option<&'a Config>,
    /// The public base URLs of the configuration.
    endpoints: Vec<Endpoint>,
    /// Where the URL leads.
    place: Option<Place>,
    /// Where the token says that it leads.
    audience: Option<Place>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { config, url, token, origin, as_if } = arguments;
    if config.is_none() && url.is_none() && token.is_none() {
        let alone = if origin.is_some() { " with --origin" } else { "" };
        return Err(Failure::Usage(anyhow!("give at least one of --config FILE, --url URL and --token TOKEN{alone}")));
    }
    let mut findings = Findings::default();
    let config = config.as_deref().and_then(|file| load(file, &mut findings));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(examine(arguments, config.as_ref(), &mut findings));
    let nowhere = Origins::default();
    let origins = config.as_ref().map_or(&nowhere, |config| &config.origins);
    if let (Some(config), Some(address)) = (&config, as_if) {
        address::verdicts(config, *address).into_iter().try_for_each(print)?;
    }
    for finding in findings.worst_first() {
        print(finding.line(origins))?;
    }
    match (findings.has_errors(), findings.worst_first().is_empty()) {
        (true, _) => Err(Failure::Failed(anyhow!("not everything works: see the errors above"))),
        (false, true) => print("no problems found"),
        (false, false) => Ok(()),
    }
}

/// A configuration that cannot be read is a finding like others.
fn load(file: &Path, findings: &mut Findings) -> Option<Config> {
    match Config::load(file, Addresses::default()) {
        Ok(config) => Some(config),
        Err(error) => {
            findings.extend(error.lines().into_iter().map(|line| Finding::error("--config", line)));
            None
        }
    }
}

async fn examine(arguments: &Arguments, config: Option<&Config>, findings: &mut Findings) {
    let place = match arguments.url.as_deref().map(Place::parse) {
        Some(Err(error)) => {
            findings.push(Finding::error("--url", error));
            None
        }
        Some(Ok(place)) => Some(place),
        None => None,
    };
    let endpoints = config.map(|config| checks::endpoints(&config.net)).unwrap_or_default();
    let mut case = Case { arguments, config, endpoints, place, audience: None };
    let runs = match config {
        Some(config) => configured::look_at(config, findings).await,
        None => false,
    };
    findings.extend(case.url());
    let had_errors = findings.has_errors();
    if let Some(token) = &arguments.token {
        token::look_at(token, &mut case, findings);
    }
    findings.extend(case.origin());
    if let Some(config) = config.filter(|_| runs) {
        configured::look_for_hub_servers(config, case.hub().and_then(Result::ok), findings).await;
    }
    // What is wrong already would come back as the gateway's answer.
    let is_known = findings.has_errors() && !had_errors;
    online::look_at(&case, is_known, findings).await;
}

impl Case<'_> {
    /// The hub that the case is about, if one is named.
    fn hub(&self) -> Option<Result<HubName, String>> {
        let mut places = [&self.place, &self.audience].into_iter().flatten();
        let name = places.find_map(|place| place.hub.as_deref())?;
        Some(HubName::parse(name).map_err(|error| error.to_string()))
    }

    /// Whether the URL is one of the configuration's, and leads somewhere.
    fn url(&self) -> Vec<Finding> {
        let Some(place) = &self.place else { return Vec::new() };
        let mut findings = Vec::new();
        if self.config.is_some() && !self.endpoints.iter().any(|endpoint| place.is_at(endpoint)) {
            let known: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
            let text = format!(
                "{} is not among them, so that tokens for it are refused; there are {}",
                place.base,
                known.join(", ")
            );
            findings.push(Finding::error("server.endpoints", text));
        }
        match (place.kind, self.hub()) {
            (Kind::Client | Kind::Server, None) => {
                findings.push(Finding::error("--url", checks::no_hub()));
            }
            (_, Some(Err(error))) => findings.push(Finding::error("--url", error)),
            (Kind::Server, Some(Ok(hub))) => {
                findings.extend(self.config.and_then(|config| hub_server(config, &hub)));
            }
            (Kind::Open, Some(Ok(hub))) => {
                let open = self.config.map_or(Ok(()), |config| checks::open_hub(&config.net, &hub));
                let key = || self.config.map_or_else(String::new, |config| config.hub_key(&hub, "negotiate"));
                findings.extend(open.err().map(|error| Finding::error(key(), error)));
            }
            (_, _) => {}
        }
        findings
    }

    /// Whether pages of the origin may use the hub, as the configuration says.
    fn origin(&self) -> Vec<Finding> {
        let Some(origin) = &self.arguments.origin else { return Vec::new() };
        let as_sent = match OriginPattern::parse(origin) {
            Ok(pattern) => pattern.to_string(),
            Err(error) => return vec![Finding::error("--origin", format!("\"{origin}\" {error}"))],
        };
        let Some(config) = self.config else { return Vec::new() };
        match self.hub().and_then(Result::ok) {
            Some(hub) => {
                let key = config.hub_key(&hub, CORS_ORIGINS);
                refused_origin(&config.net.hub(&hub).cors, &as_sent, key).into_iter().collect()
            }
            None => origin_of_any_hub(config, &as_sent),
        }
    }
}

/// The key, below a hub, that lists origins.
const CORS_ORIGINS: &str = "cors-origins";

/// Whether pages of the origin may use some hub.
fn origin_of_any_hub(config: &Config, origin: &str) -> Vec<Finding> {
    let key_of_all = format!("hubs.*.{CORS_ORIGINS}");
    let own = config.net.hubs.iter().map(|(hub, settings)| (config.hub_key(hub, CORS_ORIGINS), &settings.cors));
    let mut lists: BTreeMap<String, &CorsOrigins> = own.collect();
    if lists.is_empty() || config.origins.is_set(&key_of_all) {
        lists.insert(key_of_all, &config.net.other_hubs.cors);
    }
    let is_allowed_somewhere = lists.values().any(|cors| cors.allows(origin) || cors.any);
    let finding = |(key, cors): (String, &CorsOrigins)| {
        let refused = refused_origin(cors, origin, key.clone());
        refused.map(|error| match is_allowed_somewhere && !cors.any {
            true => Finding::warning(key, format!("{origin} is not among them; other hubs list it")),
            false => error,
        })
    };
    lists.into_iter().filter_map(finding).collect()
}

/// Why pages of an origin may not use a hub whose list stands at `key`.
fn refused_origin(cors: &CorsOrigins, origin: &str, key: String) -> Option<Finding> {
    match (cors.allows(origin), cors.any) {
        (true, _) => None,
        (false, true) => {
            let text = format!(
                "{origin} is allowed only without credentials, as \"*\" is: SignalR's clients need `withCredentials: false`, or list \
                 the origin itself"
            );
            Some(Finding::warning(key, text))
        }
        (false, false) => {
            Some(Finding::error(key, format!("{origin} is not among them: browsers hide all answers from its pages")))
        }
    }
}

/// Why a hub takes no hub servers, in the gateway's words.
fn hub_server(config: &Config, hub: &HubName) -> Option<Finding> {
    let core = &config.net.core;
    if core.hub(hub).mode.takes_hub_servers() {
        return None;
    }
    let key = config.hub_key(hub, "mode");
    Some(Finding::error(key, format!("Hub '{hub}' is in serverless mode: it does not accept hub servers.")))
}
