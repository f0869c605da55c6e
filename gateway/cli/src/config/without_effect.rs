//! What a configuration says that can have no effect: valid, and most likely not what was meant.

use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_core::settings::{Pattern, Settings, UpstreamItem};
use hubgate_net::settings as net;
use hubgate_plugin_host::PluginSettings;

use super::plain_words::alike;

/// A key, and why it has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) key: String,
    pub(crate) text: String,
}

pub(super) fn warnings<'a>(core: &Settings, plugins: impl Iterator<Item = &'a PluginSettings>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |key: String, text: String| warnings.push(Warning { key, text });
    for (index, item) in core.upstream.iter().enumerate() {
        let key = format!("upstream[{index}]");
        if let Some(other) = core.upstream[..index].iter().position(|earlier| covers(earlier, item)) {
            warn(key, format!("gets no event: upstream[{other}] comes first and matches all of its events"));
            continue;
        }
        match without_upstream(core, item).as_slice() {
            [] => {}
            [Unasked::All] => {
                warn(
                    key,
                    "gets no event: no hub is in serverless mode (`hubs.NAME.mode`, `hubs.\"*\".mode`)".to_owned(),
                );
            }
            hubs => {
                for hub in hubs {
                    let Unasked::Named(hub) = hub else { continue };
                    let text = unasked(core, hub);
                    warn(format!("{key}.hubs"), text);
                }
            }
        }
    }
    let mut unused: Vec<&str> = plugins
        .filter(|plugin| !plugin.uses.upstream && !plugin.uses.filter)
        .map(|plugin| plugin.name.as_str())
        .collect();
    unused.sort_unstable();
    for name in unused {
        let text = "is used by nothing: name it in `[[upstream]]`, or in the `filters` of a hub".to_owned();
        warn(format!("plugins.{name}"), text);
    }
    warnings
}

/// A gateway that listens on all addresses and knows none of its URLs.
pub(super) fn unknown_host(net: &net::Settings) -> Option<Warning> {
    let text = format!(
        "is not set, and server.listen = \"{}\" is not an address that clients use: tokens for other URLs are refused",
        net.listen
    );
    (net.endpoints.is_empty() && net.listen.ip().is_unspecified())
        .then(|| Warning { key: "server.endpoints".to_owned(), text })
}

/// Hubs of an item whose events go to no upstream.
enum Unasked {
    /// All that there are.
    All,
    Named(HubName),
}

fn without_upstream(core: &Settings, item: &UpstreamItem) -> Vec<Unasked> {
    match &item.hubs {
        Pattern::Any => {
            let mut hubs = core.hubs.values().chain([&core.other_hubs]);
            if hubs.any(|hub| hub.mode.asks_upstream()) { Vec::new() } else { vec![Unasked::All] }
        }
        Pattern::OneOf(names) => {
            let named = names.iter().filter_map(|name| HubName::parse(name).ok());
            named.filter(|name| !core.hub(name).mode.asks_upstream()).map(Unasked::Named).collect()
        }
    }
}

/// Why an item gets no events from a hub that it names.
fn unasked(core: &Settings, hub: &HubName) -> String {
    let names = core.hubs.keys().map(HubName::as_str);
    let meant = alike(hub.as_str(), names).filter(|_| !core.hubs.contains_key(hub));
    let cure = format!("set `hubs.{hub}.mode = \"serverless\"`");
    match (meant, core.hub(hub).mode) {
        (Some(meant), _) => {
            format!("gets no events from hub '{hub}': there is no [hubs.{hub}]: did you mean `{meant}`? If not, {cure}")
        }
        (None, Mode::Default) => format!(
            "gets no events from hub '{hub}', which is in default mode: clients are refused until a hub server connects; for \
             events to come here, {cure}"
        ),
        (None, mode) => format!("gets no events from hub '{hub}', which is in {} mode: {cure}", mode.name()),
    }
}

/// Whether every event of `item` is one of `earlier`.
fn covers(earlier: &UpstreamItem, item: &UpstreamItem) -> bool {
    let covers = |earlier: &Pattern, pattern: &Pattern| match (earlier, pattern) {
        (Pattern::Any, _) => true,
        (Pattern::OneOf(_), Pattern::Any) => false,
        (Pattern::OneOf(names), Pattern::OneOf(others)) => others.iter().all(|other| names.contains(other)),
    };
    covers(&earlier.hubs, &item.hubs)
        && covers(&earlier.categories, &item.categories)
        && covers(&earlier.events, &item.events)
}
