//! What a configuration says that can have no effect: valid, and most likely not what was meant.

use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_core::settings::{Pattern, Settings, UpstreamItem};
use hubgate_net::settings as net;

use super::Warning;
use super::plain_words::alike;
use super::schema::{Category, File, Plugin};

pub(super) fn warnings(file: &File, core: &Settings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, item) in core.upstream.iter().enumerate() {
        let key = format!("upstream[{index}]");
        if let Some(other) = core.upstream[..index].iter().position(|earlier| covers(earlier, item)) {
            let text = format!("gets no event: upstream[{other}] comes first and matches all of its events");
            warnings.push(Warning { key, text });
            continue;
        }
        warnings.extend(unasked_hubs(core, &key, item));
        warnings.extend(unknown_events(&format!("{key}.events"), item));
    }
    warnings.extend(unused_plugins(file));
    warnings
}

/// Hubs of an item whose events go to no upstream.
fn unasked_hubs(core: &Settings, key: &str, item: &UpstreamItem) -> Vec<Warning> {
    match &item.hubs {
        Pattern::Any => {
            let mut hubs = core.hubs.values().chain([&core.other_hubs]);
            let text = "gets no event: no hub is in serverless mode (`hubs.NAME.mode`, `hubs.\"*\".mode`)".to_owned();
            match hubs.any(|hub| hub.mode.asks_upstream()) {
                true => Vec::new(),
                false => vec![Warning { key: key.to_owned(), text }],
            }
        }
        Pattern::OneOf(names) => {
            let named = names.iter().filter_map(|name| HubName::parse(name).ok());
            let unasked = named.filter(|name| !core.hub(name).mode.asks_upstream());
            unasked.map(|hub| Warning { key: format!("{key}.hubs"), text: why_unasked(core, &hub) }).collect()
        }
    }
}

/// Why an item gets no events from a hub that it names.
fn why_unasked(core: &Settings, hub: &HubName) -> String {
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

/// The events of category `connections`; those of the other one are the names of methods.
const CONNECTION_EVENTS: [&str; 2] = ["connected", "disconnected"];

/// Events that an item names and that do not happen in its categories, as far as that can be known.
fn unknown_events(key: &str, item: &UpstreamItem) -> Vec<Warning> {
    let Pattern::OneOf(events) = &item.events else { return Vec::new() };
    let gets = |category: Category| item.categories.matches(category.name());
    let (connections, messages) = (gets(Category::Connections), gets(Category::Messages));
    let why = |event: &str| {
        let is_known = CONNECTION_EVENTS.contains(&event);
        let meant = alike(event, CONNECTION_EVENTS.into_iter());
        match (is_known, connections, messages, meant) {
            (false, true, false, Some(meant)) => {
                Some(format!("\"{event}\" is not an event of category \"connections\": did you mean \"{meant}\"?"))
            }
            (false, true, false, None) => Some(format!(
                "\"{event}\" is not an event of category \"connections\": there are \"connected\" and \"disconnected\""
            )),
            (false, true, true, Some(meant)) => Some(format!(
                "\"{event}\" is a method of that name, and not the event \"{meant}\": did you mean that one?"
            )),
            (true, false, _, _) => Some(format!(
                "\"{event}\" is a method of that name, and not the event: that one is in category \"connections\""
            )),
            _ => None,
        }
    };
    let why = events.iter().filter_map(|event| why(event));
    why.map(|text| Warning { key: key.to_owned(), text }).collect()
}

/// Plugins that nothing names, and what only filters have of those that are none.
fn unused_plugins(file: &File) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (name, plugin) in &file.plugins {
        let key = format!("plugins.{name}");
        let is_filter = file.hubs.values().any(|hub| hub.filters.contains(name));
        let is_handler = file.upstream.iter().any(|item| item.events.plugin.as_ref() == Some(name));
        let is_authorizer = file.hubs.values().any(|hub| hub.negotiate.plugin.as_ref() == Some(name));
        if !is_filter && !is_handler && !is_authorizer {
            let text =
                "is not used by anything: name it in `[[upstream]]`, or in the `filters` or `negotiate` of a hub";
            let text = text.to_owned();
            warnings.push(Warning { key: key.clone(), text });
        }
        let set = [("targets", plugin.targets.is_some()), ("on-error", plugin.on_error != Plugin::default().on_error)];
        for (option, _) in set.into_iter().filter(|(_, is_set)| *is_set && !is_filter) {
            let text = "has no effect: it is for filters, and no hub has the plugin in its `filters`".to_owned();
            warnings.push(Warning { key: format!("{key}.{option}"), text });
        }
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
