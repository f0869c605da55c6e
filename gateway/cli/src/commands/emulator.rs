//! The settings of Azure SignalR's local emulator, read for Hubgate.
//!
//! Source: Azure SignalR Service, "Azure SignalR Local Emulator": section `UpstreamSettings` of `settings.json`.

use std::path::Path;

use anyhow::{Context, anyhow};
use hubgate_plugin_host::RegularFile;
use hubgate_wire::webhook::UrlTemplate;
use jsonc_parser::ParseOptions;
use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::Failure;

/// What neither the emulator's settings nor a resource of Azure have.
pub(super) const KEYS_ARE_NEEDED: &str = "# Access keys are needed as well: HUBGATE_ACCESS_KEYS_FILE=FILE in the environment, or here\n\
                               # server.access-keys-file = \"FILE\"; `openssl rand -base64 48` makes a key.\n";

/// The largest `settings.json`, in bytes.
const MAX_SETTINGS_BYTES: usize = 4 << 20;

#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(rename = "upstreamsettings")]
    upstream_settings: UpstreamSettings,
}

#[derive(Debug, Deserialize)]
struct UpstreamSettings {
    #[serde(default)]
    templates: Vec<Template>,
}

#[derive(Debug, Deserialize)]
struct Template {
    #[serde(rename = "urltemplate")]
    url_template: String,
    #[serde(default = "any", rename = "hubpattern")]
    hub_pattern: String,
    #[serde(default = "any", rename = "categorypattern")]
    category_pattern: String,
    #[serde(default = "any", rename = "eventpattern")]
    event_pattern: String,
    auth: Option<Auth>,
}

#[derive(Debug, Deserialize)]
struct Auth {
    #[serde(default, rename = "type")]
    kind: String,
}

fn any() -> String {
    "*".to_owned()
}

/// The settings in `text`, read as the emulator reads them: with comments and trailing commas, names in any case.
fn parse(text: &str) -> anyhow::Result<Settings> {
    let value = jsonc_parser::parse_to_serde_value::<Option<Json>>(text, &ParseOptions::default())?;
    let value = value.context("the file is empty")?;
    // What an error names is then written as the emulator's documents write it.
    Settings::deserialize(in_lower_case(value)).map_err(|error| {
        let text = error.to_string();
        let known = NAMES.iter().find(|name| text.contains(&format!("`{}`", name.to_ascii_lowercase())));
        match known {
            Some(name) => anyhow!(text.replace(&name.to_ascii_lowercase(), name)),
            None => error.into(),
        }
    })
}

/// Names of properties, as the emulator's documents write them.
const NAMES: [&str; 2] = ["UpstreamSettings", "UrlTemplate"];

/// The same with the names of all properties in lower case.
fn in_lower_case(value: Json) -> Json {
    match value {
        Json::Object(object) => {
            let entries = object.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), in_lower_case(value)));
            Json::Object(entries.collect())
        }
        Json::Array(list) => Json::Array(list.into_iter().map(in_lower_case).collect()),
        other => other,
    }
}

/// The configuration that does what the emulator does with these settings: serverless hubs and their upstream items.
pub(super) fn import(file: &Path) -> Result<String, Failure> {
    let read = || -> anyhow::Result<String> {
        let text = RegularFile::read_text(file, MAX_SETTINGS_BYTES).context("cannot be read")?;
        let settings = parse(text.trim_start_matches('\u{feff}')).context("is not a settings.json")?;
        let templates = settings.upstream_settings.templates.iter().enumerate();
        let items: Vec<Value> = templates.map(item).collect::<anyhow::Result<_>>()?;
        let mode = Table::from_iter([("mode".to_owned(), "serverless".into())]);
        let hubs = Table::from_iter([("*".to_owned(), mode.into())]);
        let config = Table::from_iter([("hubs".to_owned(), hubs.into()), ("upstream".to_owned(), items.into())]);
        Ok(format!("{KEYS_ARE_NEEDED}\n{}", toml::to_string_pretty(&config)?))
    };
    read().map_err(|error| Failure::Usage(error.context(file.display().to_string())))
}

fn item((index, template): (usize, &Template)) -> anyhow::Result<Value> {
    let key = |name: &str| format!("UpstreamSettings.Templates[{index}].{name}");
    UrlTemplate::parse(&template.url_template).with_context(|| key("UrlTemplate"))?;
    if let Some(auth) = &template.auth
        && !["", "none"].contains(&auth.kind.to_ascii_lowercase().as_str())
    {
        let none = anyhow!("there are no managed identities here: the signature proves who asks");
        return Err(none.context(key("Auth.Type")));
    }
    let names =
        |pattern: &str| -> Value { pattern.split(',').map(|name| Value::from(name.trim())).collect::<Vec<_>>().into() };
    let item = Table::from_iter([
        ("hubs".to_owned(), names(&template.hub_pattern)),
        ("categories".to_owned(), names(&template.category_pattern)),
        ("events".to_owned(), names(&template.event_pattern)),
        ("url".to_owned(), template.url_template.as_str().into()),
        // Whatever the emulator is answered at `connected`, the client stays.
        ("on-connect-failure".to_owned(), "log".into()),
        ("claim-names".to_owned(), "dotnet".into()),
    ]);
    Ok(item.into())
}
