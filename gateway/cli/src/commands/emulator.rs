//! The settings of Azure SignalR's local emulator, read for Hubgate.
//!
//! Source: Azure SignalR Service, "Azure SignalR Local Emulator": section `UpstreamSettings` of `settings.json`.

use std::path::Path;

use anyhow::{Context, anyhow};
use hubgate_plugin_host::RegularFile;
use hubgate_wire::webhook::UrlTemplate;
use serde::Deserialize;
use toml::{Table, Value};

use crate::Failure;

/// The largest `settings.json`, in bytes.
const MAX_SETTINGS_BYTES: usize = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    upstream_settings: UpstreamSettings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpstreamSettings {
    #[serde(default)]
    templates: Vec<Template>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    url_template: String,
    #[serde(default = "any")]
    hub_pattern: String,
    #[serde(default = "any")]
    category_pattern: String,
    #[serde(default = "any")]
    event_pattern: String,
    auth: Option<Auth>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Auth {
    #[serde(default, rename = "Type")]
    kind: String,
}

fn any() -> String {
    "*".to_owned()
}

/// The configuration that does what the emulator does with these settings: serverless hubs and their upstream items.
pub(super) fn import(file: &Path) -> Result<String, Failure> {
    let read = || -> anyhow::Result<String> {
        let text = RegularFile::read_text(file, MAX_SETTINGS_BYTES).context("cannot be read")?;
        let settings: Settings =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).context("is no settings.json")?;
        let templates = settings.upstream_settings.templates.iter().enumerate();
        let items: Vec<Value> = templates.map(item).collect::<anyhow::Result<_>>()?;
        let mode = Table::from_iter([("mode".to_owned(), "serverless".into())]);
        let hubs = Table::from_iter([("*".to_owned(), mode.into())]);
        let config = Table::from_iter([("hubs".to_owned(), hubs.into()), ("upstream".to_owned(), items.into())]);
        Ok(toml::to_string_pretty(&config)?)
    };
    read().map_err(|error| Failure::Usage(error.context(file.display().to_string())))
}

fn item((index, template): (usize, &Template)) -> anyhow::Result<Value> {
    let key = |name: &str| format!("UpstreamSettings.Templates[{index}].{name}");
    UrlTemplate::parse(&template.url_template).with_context(|| key("UrlTemplate"))?;
    if let Some(auth) = &template.auth
        && !["", "None"].contains(&auth.kind.as_str())
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
    ]);
    Ok(item.into())
}
