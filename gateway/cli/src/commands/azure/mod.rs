//! An Azure SignalR resource, read for Hubgate: what of it has an equal here becomes a configuration, all else is named.
//!
//! Source: Azure Resource Manager, type `Microsoft.SignalRService/signalR`, up to version 2025-01-01-preview. `az signalr show` prints
//! its properties beside its name, `az resource show` and templates below `properties`.

mod limits;
mod network;
mod node;
mod remarks;
mod resource;
mod upstream;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use hubgate_net::settings::OriginPattern;
use hubgate_plugin_host::RegularFile;
use jsonc_parser::ParseOptions;
use serde_json::Value as Json;
use toml::{Table, Value};

use self::limits::Limits;
use self::network::NetworkAccess;
use self::node::{Cut, Malformed, Node};
use self::remarks::Remarks;
use self::resource::Part;
use super::emulator::KEYS_ARE_NEEDED;
use crate::{Failure, logging, print};

/// The largest document, in bytes, as large as the largest template that Azure takes.
const MAX_DOCUMENT_BYTES: usize = 4 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// JSON of the resource: what `az signalr show`, `az resource show` or `bicep build --stdout` prints, or an ARM template.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The resource, where there are several.
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// A new file for the configuration, readable by its owner alone, as URLs of upstream may have secrets [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A configuration, and what of the resource is not in it.
struct Imported {
    text: String,
    remarks: Remarks,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let of_file = |error: anyhow::Error| Failure::Usage(error.context(arguments.file.display().to_string()));
    let read = || -> anyhow::Result<Imported> {
        let text = RegularFile::read_text(&arguments.file, MAX_DOCUMENT_BYTES).context("cannot be read")?;
        import(text.trim_start_matches('\u{feff}'), arguments.resource.as_deref())
    };
    let Imported { text, remarks } = read().map_err(of_file)?;
    match &arguments.output {
        None => print(text.trim_end())?,
        Some(output) => {
            write(output, &text).with_context(|| format!("--output {}: cannot be written", output.display()))?
        }
    }
    for line in remarks.lines() {
        logging::say(&format!("warning: {}: {line}", arguments.file.display()));
    }
    Ok(())
}

/// Nothing that is there is written over.
fn write(output: &Path, text: &str) -> anyhow::Result<()> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".hubgate-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist_noclobber(output).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => anyhow!("it exists already: name another file, or remove it"),
        _ => error.error.into(),
    })?;
    Ok(())
}

fn import(document: &str, name: Option<&str>) -> anyhow::Result<Imported> {
    // Templates may have comments.
    let parsed = jsonc_parser::parse_to_serde_value::<Option<Json>>(document, &ParseOptions::default());
    let document = parsed.map_err(|error| anyhow!("is not JSON: {error}"))?.context("is empty")?;
    let document = Node::top(&document);
    let (resource, parts) = resource::choose(&document, name)?;
    let mut properties = Properties::default();
    properties.read(&resource)?;
    for part in parts {
        properties.remarks.push(&part.node, without_equal(&part));
    }
    properties.into_configuration(resource::name_of(&resource))
}

/// What is said of a resource that belongs to the one that is imported.
fn without_equal(part: &Part<'_>) -> String {
    let kind = part.kind.to_ascii_lowercase();
    if kind == "customdomains" {
        let domain = part.node.member("properties").and_then(|properties| properties.member("domainname"));
        let domain = Cut(domain.and_then(|domain| domain.value.as_str()).unwrap_or("its domain")).to_string();
        return format!(
            "a domain of one's own: name https://{domain} in `server.endpoints`, and let it lead to the gateway"
        );
    }
    match PARTS.iter().chain(&WITHOUT_EQUAL).find(|(other, _)| *other == kind) {
        Some((_, why)) => (*why).to_owned(),
        None => format!("a part of the resource of type {}: it has no equal here", Cut(part.kind)),
    }
}

/// What was read of a resource.
#[derive(Debug, Default)]
struct Properties {
    remarks: Remarks,
    mode: Option<&'static str>,
    /// `None`: all, as the service has it.
    origins: Option<Vec<String>>,
    upstream: Vec<Value>,
    network: NetworkAccess,
    limits: Limits,
    host: Option<String>,
}

impl Properties {
    /// Reads the members of the resource, or of its `properties`. What is not known opens nothing.
    fn read(&mut self, node: &Node<'_>) -> Result<(), Malformed> {
        if !self.remarks.is_known(node, NOBODY_COMES_IN) {
            self.close();
            return Ok(());
        }
        for member in node.members()? {
            match member.name().as_str() {
                // Beside `properties` it is an object, and repeats the resource; in them it is a list, and makes others of them.
                "copy" if !member.value.is_object() => {
                    self.remarks.push(&member, format_args!("is not evaluated: {NOBODY_COMES_IN}"));
                    self.close();
                }
                "properties" => self.read(&member)?,
                "features" => self.features(&member)?,
                "cors" => self.cors(&member)?,
                "upstream" => self.upstream.extend(upstream::items(&member, &mut self.remarks)?),
                "networkacls" => self.network.rules(&member, &mut self.remarks)?,
                "publicnetworkaccess" => self.network.public(&member, &mut self.remarks)?,
                "applicationfirewall" => self.limits.firewall(&member, &mut self.remarks)?,
                "serverless" => self.limits.serverless(&member, &mut self.remarks)?,
                "hostname" => self.host = self.remarks.read(&member, Node::text)?.map(str::to_owned),
                _ => self.name_what_has_no_equal(&member)?,
            }
        }
        Ok(())
    }

    /// Lets nobody in whom the resource may keep out.
    fn close(&mut self) {
        self.network.close();
        self.origins = Some(Vec::new());
    }

    fn name_what_has_no_equal(&mut self, member: &Node<'_>) -> Result<(), Malformed> {
        let (remarks, name) = (&mut self.remarks, member.name());
        let switch = SWITCHES.iter().find(|(switch, ..)| *switch == name);
        let why = match (switch, name.as_str()) {
            (Some((_, inner, why)), _) => is_on(member, inner, remarks)?.then_some(*why),
            (None, "regionendpointenabled") => {
                let is_off = says(member, "disabled", remarks)?;
                is_off.then_some("no region is switched off here: the gateway takes whoever comes")
            }
            (None, "kind") => {
                let is_other = !says(member, "signalr", remarks)? && member.expression().is_none();
                is_other.then_some("is that of Azure Web PubSub, whose clients are not served")
            }
            (None, "identity") => {
                let is_none = member.member("type").map(|kind| says(&kind, "none", remarks)).transpose()?;
                (is_none != Some(true)).then_some("there are no managed identities here")
            }
            (None, "resourcelogconfiguration") => has_a_category(member, remarks)?.then_some(LOGS),
            (None, name) => match WITHOUT_EQUAL.iter().find(|(other, _)| *other == name) {
                Some((_, why)) => (!member.is_empty()).then_some(*why),
                None => (!OF_AZURE_ALONE.contains(&name)).then_some("is not known here: it has no effect"),
            },
        };
        if let Some(why) = why {
            remarks.push(member, why);
        }
        Ok(())
    }

    fn features(&mut self, features: &Node<'_>) -> Result<(), Malformed> {
        for feature in self.remarks.items(features)? {
            let (mut flag, mut value) = (None, None);
            for member in self.remarks.members(&feature)? {
                match member.name().as_str() {
                    "flag" => flag = self.remarks.read(&member, Node::text)?,
                    "value" => value = Some(member),
                    "properties" if member.is_empty() => {}
                    _ => self.remarks.push(&member, "is not known here: it has no effect"),
                }
            }
            let (Some(flag), Some(value)) = (flag, value) else { continue };
            self.feature(&flag.to_ascii_lowercase(), &value)?;
        }
        Ok(())
    }

    fn feature(&mut self, flag: &str, value: &Node<'_>) -> Result<(), Malformed> {
        let remarks = &mut self.remarks;
        let why = match flag {
            "servicemode" => {
                let modes = ["default", "serverless", "classic"];
                let Some(text) = remarks.read(value, Node::text)? else { return Ok(()) };
                match modes.into_iter().find(|mode| text.eq_ignore_ascii_case(mode)) {
                    Some(mode) => {
                        self.mode = Some(mode);
                        return Ok(());
                    }
                    None => format!("there is no mode {}: hubs are in default mode", Cut(text)),
                }
            }
            "enableconnectivitylogs" | "enablemessaginglogs" | "enablelivetrace" => {
                match remarks.read(value, Node::is_on)?.unwrap_or(false) {
                    true => LOGS.to_owned(),
                    false => return Ok(()),
                }
            }
            _ => format!("the feature {} is not known here: it has no effect", Cut(flag)),
        };
        remarks.push(value, why);
        Ok(())
    }

    fn cors(&mut self, cors: &Node<'_>) -> Result<(), Malformed> {
        if !self.remarks.is_known(cors, NO_ORIGIN) {
            self.origins = Some(Vec::new());
            return Ok(());
        }
        for member in cors.members()? {
            match member.name().as_str() {
                "allowedorigins" => self.allowed_origins(&member)?,
                // It may make the list of them.
                "copy" => {
                    self.remarks.push(&member, format_args!("is not evaluated: {NO_ORIGIN}"));
                    self.origins.get_or_insert_default();
                }
                _ => self.remarks.push(&member, "is not known here: it has no effect"),
            }
        }
        Ok(())
    }

    fn allowed_origins(&mut self, list: &Node<'_>) -> Result<(), Malformed> {
        let mut origins = Vec::new();
        if self.remarks.is_known(list, NO_ORIGIN) {
            for (node, origin) in self.remarks.texts(list)? {
                match OriginPattern::parse(origin) {
                    Err(error) if origin != "*" => {
                        self.remarks.push(&node, format_args!("\"{}\" {error}; it is left out", Cut(origin)));
                    }
                    Ok(_) | Err(_) => origins.push(origin.to_owned()),
                }
            }
        }
        if origins.iter().any(|origin| origin == "*") {
            self.remarks.push(list, ANY_ORIGIN);
        }
        self.origins = Some(origins);
        Ok(())
    }

    fn into_configuration(self, name: &str) -> anyhow::Result<Imported> {
        let origins = self.origins.unwrap_or_else(|| vec!["*".to_owned()]);
        let hub = Table::from_iter([
            ("mode".to_owned(), self.mode.unwrap_or("default").into()),
            ("cors-origins".to_owned(), origins.into()),
        ]);
        let hubs = Table::from_iter([("*".to_owned(), hub.into())]);
        let mut configuration = Table::from_iter([("hubs".to_owned(), hubs.into())]);
        configuration.extend(self.limits.into_server().map(|server| ("server".to_owned(), server.into())));
        let lists = [("network-rules", self.network.into_rules()), ("upstream", self.upstream)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        configuration.extend(lists.map(|(name, list)| (name.to_owned(), list.into())));
        let (name, host) = (Cut(name).to_string(), self.host.map(|host| Cut(&host).to_string()));
        let of = match (name.as_str(), &host) {
            ("", None) => String::new(),
            (name, None) => format!(" {name:?}"),
            (name, Some(host)) => format!(" {name:?} ({host:?}; `server.endpoints` has the URLs of the gateway)"),
        };
        let remarks: String = self.remarks.lines().map(|line| format!("# - {line}\n")).collect();
        let remarks =
            if remarks.is_empty() { remarks } else { format!("#\n# Not in here, or not as it was there:\n{remarks}") };
        let text = format!(
            "# Of the Azure SignalR resource{of}, by `hubgate config import-azure`.\n{KEYS_ARE_NEEDED}{remarks}\n{}",
            toml::to_string_pretty(&configuration)?
        );
        Ok(Imported { text, remarks: self.remarks })
    }
}

const NO_ORIGIN: &str = "no origin is allowed";

const NOBODY_COMES_IN: &str =
    "everybody is denied and no origin is allowed until you write its value, or import what `az signalr show` prints";

const ANY_ORIGIN: &str = "pages of any origin may come here without credentials alone: name those of yours, or let clients connect with \
                          `withCredentials: false`";

const LOGS: &str = "logs are the gateway's own, on standard error: `server.log` says how much";

/// What is named where it is on, itself or by a member of it; in lower case.
const SWITCHES: [(&str, Option<&str>, &str); 4] = [
    (
        "disablelocalauth",
        None,
        "clients, servers and callers sign with an access key here: identities of Entra are not known",
    ),
    ("resourcestopped", None, "the resource is stopped: a gateway with this configuration serves"),
    ("tls", Some("clientcertenabled"), "clients are asked for no certificate here: a reverse proxy may do it"),
    (
        "livetraceconfiguration",
        Some("enabled"),
        "there is no live trace: the log says more with `server.log = \"debug\"`",
    ),
];

/// What is named where there is anything of it; in lower case.
const WITHOUT_EQUAL: [(&str, &str); 6] = [
    ("sku", "there are no units: `server.limits` has what a gateway holds, 100,000 clients if nothing else is said"),
    ("privateendpointconnections", "there are no private endpoints: let the gateway listen on a private address"),
    (
        "sharedprivatelinkresources",
        "there are no shared private links: upstream is reached over the gateway's own network",
    ),
    ("routesettings", "clients are not routed by weights here"),
    ("condition", "is not evaluated: the configuration is that of a resource which is deployed"),
    ("copy", "is not evaluated: what it repeats is not there"),
];

/// What is said of resources that belong to one, beside what is said of its members of the same name; in lower case.
const PARTS: [(&str, &str); 2] = [
    ("customcertificates", "certificates of a Key Vault are not fetched: give the gateway their files in `server.tls`"),
    ("replicas", "there are no replicas: a client's connection is on the one gateway that it came to"),
];

/// What says nothing of how clients are served; in lower case.
const OF_AZURE_ALONE: [&str; 27] = [
    "apiversion",
    "comments",
    "dependson",
    "disableaadauth",
    "etag",
    "existing",
    "extendedlocation",
    "externalip",
    "hostnameprefix",
    "id",
    "location",
    "managedby",
    "metadata",
    "name",
    "plan",
    "provisioningstate",
    "publicport",
    "resourcegroup",
    "resources",
    "scope",
    "serverport",
    "systemdata",
    "tags",
    "type",
    "version",
    "zones",
    "$schema",
];

fn is_on(switch: &Node<'_>, inner: &Option<&str>, remarks: &mut Remarks) -> Result<bool, Malformed> {
    let switch = match inner {
        None => Some(switch.clone()),
        Some(inner) => switch.member(inner),
    };
    let is_on = switch.map(|switch| remarks.read(&switch, Node::is_on)).transpose()?;
    Ok(is_on.flatten().unwrap_or(false))
}

/// Whether a text says a word, in any case.
fn says(node: &Node<'_>, word: &str, remarks: &mut Remarks) -> Result<bool, Malformed> {
    Ok(remarks.read(node, Node::text)?.is_some_and(|text| text.eq_ignore_ascii_case(word)))
}

fn has_a_category(logs: &Node<'_>, remarks: &mut Remarks) -> Result<bool, Malformed> {
    let Some(categories) = logs.member("categories") else { return Ok(false) };
    for category in remarks.items(&categories)? {
        if let Some(enabled) = category.member("enabled")
            && remarks.read(&enabled, Node::is_on)?.unwrap_or(false)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
