//! `[hubs.NAME]` for those who serve them.

use std::collections::BTreeMap;

use hubgate_core::filter::{FilterSettings, Targets};
use hubgate_core::id::{HubName, PluginName};
use hubgate_core::settings as core;
use hubgate_net::settings as net;

use super::Warning;
use super::plain_words::no_plugin;
use super::problem::Problems;
use super::schema::{ALL_HUBS, File, Hub};
use super::sign_in;
use super::value::CorsOrigin;

/// The settings of all hubs, for one of their readers.
pub(super) struct Hubs<T> {
    pub(super) named: BTreeMap<HubName, T>,
    pub(super) others: T,
}

/// The same for both.
pub(super) struct Settings {
    pub(super) core: Hubs<core::HubSettings>,
    pub(super) net: Hubs<net::HubSettings>,
    /// What of their own can have no effect.
    pub(super) warnings: Vec<Warning>,
}

/// Of a file that has an entry for all hubs.
pub(super) fn hubs(file: &File, problems: &mut Problems) -> Settings {
    let all = &file.hubs[ALL_HUBS];
    let inherited = filters(file, ALL_HUBS, all, problems);
    let negotiate = sign_in::negotiate(file, ALL_HUBS, all, problems);
    let mut hubs = Settings {
        warnings: sign_in::doubtful_keys(ALL_HUBS, &negotiate),
        core: Hubs { named: BTreeMap::new(), others: core_settings(all, inherited.clone()) },
        net: Hubs { named: BTreeMap::new(), others: net_settings(all, negotiate) },
    };
    for (entry, hub) in file.hubs.iter().filter(|(entry, _)| *entry != ALL_HUBS) {
        let key = format!("hubs.{entry}");
        let name = match HubName::parse(entry) {
            Ok(name) => name,
            Err(error) => {
                problems.push(key, error);
                continue;
            }
        };
        // What is wrong in the filters is told where they stand.
        let filters = match hub.filters == all.filters {
            true => inherited.clone(),
            false => filters(file, entry, hub, problems),
        };
        // The same holds for who may come.
        let (is_inherited, mut own) = (hub.negotiate == all.negotiate && hub.jwt == all.jwt, Problems::default());
        let negotiate = sign_in::negotiate(file, entry, hub, if is_inherited { &mut own } else { problems });
        if !is_inherited {
            hubs.warnings.extend(sign_in::doubtful_keys(entry, &negotiate));
        }
        hubs.net.named.insert(name.clone(), net_settings(hub, negotiate));
        if hubs.core.named.insert(name, core_settings(hub, filters)).is_some() {
            problems.push(key, "the hub has another entry; hub names are compared without case");
        }
    }
    hubs
}

/// The filters of a hub, each once.
fn filters(file: &File, entry: &str, hub: &Hub, problems: &mut Problems) -> Vec<FilterSettings> {
    let key = format!("hubs.{entry}.filters");
    let mut filters: Vec<FilterSettings> = Vec::new();
    for name in &hub.filters {
        let Some(plugin) = file.plugins.get(name) else {
            problems.push(&key, no_plugin(name, file.plugins.keys().map(String::as_str)));
            continue;
        };
        if filters.iter().any(|filter| filter.plugin.as_str() == name) {
            problems.push(&key, format!("has \"{name}\" twice"));
        }
        filters.push(FilterSettings {
            plugin: PluginName::new(name.as_str()),
            targets: plugin.targets.clone().map_or(Targets::All, Targets::OneOf),
            on_error: plugin.on_error,
        });
    }
    filters
}

fn core_settings(hub: &Hub, filters: Vec<FilterSettings>) -> core::HubSettings {
    core::HubSettings { mode: hub.mode, filters, messages_per_second: hub.messages_per_second }
}

fn net_settings(hub: &Hub, negotiate: net::Negotiate) -> net::HubSettings {
    let mut cors = net::CorsOrigins::NONE;
    for origin in &hub.cors_origins {
        match origin {
            CorsOrigin::Any => cors.any = true,
            CorsOrigin::Pattern(pattern) => cors.patterns.push(pattern.clone()),
        }
    }
    let close_on_expiry = match hub.close_on_expiry {
        true => net::CloseOnExpiry::Yes,
        false => net::CloseOnExpiry::No,
    };
    net::HubSettings { cors, negotiate, close_on_expiry }
}
