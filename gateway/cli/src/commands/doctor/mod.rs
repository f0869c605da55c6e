//! `hubgate doctor`: tells why a token, an origin, an endpoint, a key, a webhook or a plugin does not work, in the words of the gateway's
//! own checks. As much as possible is found out from the configuration and the token alone; only the server of a URL that is named, and
//! those of webhooks, are asked.

mod configured;
mod online;
mod place;
mod token;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use hubgate_core::id::HubName;
use hubgate_net::checks;
use hubgate_net::settings::OriginPattern;
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
    let Arguments { config, url, token, origin } = arguments;
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
    if let Some(config) = config {
        configured::look_at(config, findings).await;
    }
    findings.extend(case.url());
    let had_errors = findings.has_errors();
    if let Some(token) = &arguments.token {
        token::look_at(token, &mut case, findings);
    }
    findings.extend(case.origin());
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
                findings.extend(open.err().map(|error| Finding::error(format!("hubs.{hub}.negotiate"), error)));
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
        let Some(net) = self.config.map(|config| &config.net) else { return Vec::new() };
        let (cors, key) = match self.hub().and_then(Result::ok) {
            Some(hub) if net.hubs.contains_key(&hub) => (net.hub(&hub), format!("hubs.{hub}.cors-origins")),
            Some(_) | None => (&net.other_hubs, "hubs.*.cors-origins".to_owned()),
        };
        let is_allowed_somewhere = net.hubs.values().any(|hub| hub.cors.allows(&as_sent) || hub.cors.any);
        match (cors.cors.allows(&as_sent), cors.cors.any) {
            (true, _) => Vec::new(),
            (false, true) => {
                let text = format!(
                    "{as_sent} is allowed only without credentials, as \"*\" is: SignalR's clients need \
                     `withCredentials: false`, or list the origin itself"
                );
                vec![Finding::warning(key, text)]
            }
            (false, false) if self.hub().is_none() && is_allowed_somewhere => {
                vec![Finding::warning(
                    key,
                    format!("{as_sent} is not among them; hubs with an entry of their own list it"),
                )]
            }
            (false, false) => {
                vec![Finding::error(
                    key,
                    format!("{as_sent} is not among them: browsers hide all answers from its pages"),
                )]
            }
        }
    }
}

/// Why a hub takes no hub servers, in the gateway's words.
fn hub_server(config: &Config, hub: &HubName) -> Option<Finding> {
    let core = &config.net.core;
    if core.hub(hub).mode.takes_hub_servers() {
        return None;
    }
    let key = if core.hubs.contains_key(hub) { format!("hubs.{hub}.mode") } else { "hubs.*.mode".to_owned() };
    Some(Finding::error(key, format!("Hub '{hub}' is in serverless mode: it does not accept hub servers.")))
}
