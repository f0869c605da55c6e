//! `[[upstream]]` and `[plugins.NAME]` for those who serve them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hubgate_core::id::PluginName;
use hubgate_core::settings as core;
use hubgate_core::stream::StreamBounds;
use hubgate_plugin_host::{AllowHttp, Budgets, PluginSettings, PluginSource, StateScope, Uses};

use super::plain_words::no_plugin;
use super::problem::{Problem, Problems};
use super::schema::{Category, File, Plugin, UpstreamItem};
use super::value::Allowed;

/// The items of `[[upstream]]` that can stay.
pub(super) fn upstream(file: &File, problems: &mut Problems) -> Vec<core::UpstreamItem> {
    let mut items = Vec::new();
    for (index, item) in file.upstream.iter().enumerate() {
        let handler = handler(&format!("upstream[{index}]"), item, file);
        let categories: Vec<String> = item.events.categories.iter().map(|each| each.name().to_owned()).collect();
        items.extend(problems.take(handler).map(|handler| core::UpstreamItem {
            hubs: pattern(&item.events.hubs),
            categories: pattern(&categories),
            events: pattern(&item.events.events),
            handler,
        }));
    }
    items
}

/// Who gets the events of an upstream item: a plugin or a webhook.
fn handler(key: &str, item: &UpstreamItem, file: &File) -> Result<core::Handler, Problem> {
    match (&item.events.plugin, &item.events.url) {
        (Some(name), None) if file.plugins.contains_key(name) => {
            Ok(core::Handler::Plugin(PluginName::new(name.as_str())))
        }
        (Some(name), None) => {
            let names = file.plugins.keys().map(String::as_str);
            Err(Problem::new(format!("{key}.plugin"), no_plugin(name, names)))
        }
        (None, Some(url)) => Ok(core::Handler::Webhook(Arc::new(core::Webhook {
            url: url.clone(),
            timeout: item.webhook.timeout.0.into(),
            retries: item.webhook.retries,
            on_connect_failure: item.webhook.on_connect_failure,
            claim_names: item.webhook.claim_names,
            stream_calls: match item.webhook.streams {
                true => core::StreamCalls::Told,
                false => core::StreamCalls::Refused,
            },
        }))),
        (Some(_), Some(_)) => Err(Problem::new(key, "has both `plugin` and `url`; an event goes to one of them")),
        (None, None) => {
            let needed = "needs `plugin`, the name of an entry of [plugins], or `url`, that of a webhook";
            Err(Problem::new(key, needed))
        }
    }
}

fn pattern(names: &[String]) -> core::Pattern {
    match names.iter().any(|name| name == Category::Any.name()) {
        true => core::Pattern::Any,
        false => core::Pattern::OneOf(names.to_vec()),
    }
}

/// What names plugins as handlers.
const UPSTREAM: &str = "[[upstream]]";

/// All plugins, in the order of their names.
pub(super) fn plugins(file: &File, problems: &mut Problems) -> Vec<PluginSettings> {
    let mut plugins = Vec::new();
    for (name, plugin) in &file.plugins {
        let key = format!("plugins.{name}");
        let Some(path) = &plugin.path else {
            problems.push(format!("{key}.path"), "must name the component's file");
            continue;
        };
        let allow_http = problems.take(allow_http(&format!("{key}.allow-http"), &plugin.allow_http));
        plugins.push(PluginSettings {
            name: PluginName::new(name.as_str()),
            source: PluginSource::File(path.clone()),
            uses: Uses {
                upstream: file
                    .upstream
                    .iter()
                    .any(|item| item.events.plugin.as_ref() == Some(name))
                    .then_some(UPSTREAM),
                filter: file.hubs.values().any(|hub| hub.filters.contains(name)),
                authorizer: file.hubs.values().any(|hub| hub.negotiate.plugin.as_ref() == Some(name)),
            },
            config: plugin.config.0.clone().into_iter().collect(),
            budgets: budgets(plugin),
            rollback: plugin.rollback.clone(),
            allow_http: Arc::new(allow_http.unwrap_or_default()),
            payloads: plugin.payload,
            state_scope: problems.take(state_scope(&format!("{key}.state-scope"), plugin, file)).unwrap_or_default(),
        });
    }
    plugins
}

/// How each plugin is told who joins and leaves groups that it watches.
pub(super) fn presence(file: &File) -> BTreeMap<PluginName, core::PresenceSettings> {
    let settings = |plugin: &Plugin| core::PresenceSettings {
        groups: plugin.presence_groups,
        batch: plugin.presence_batch.0.into(),
    };
    file.plugins.iter().map(|(name, plugin)| (PluginName::new(name.as_str()), settings(plugin))).collect()
}

fn state_scope(key: &str, plugin: &Plugin, file: &File) -> Result<StateScope, Problem> {
    match plugin.state_scope.unwrap_or_default() {
        StateScope::Cluster if file.cluster.is_none() => {
            Err(Problem::new(key, "is \"cluster\", and there is no [cluster] whose gateways could share values"))
        }
        scope => Ok(scope),
    }
}

fn budgets(plugin: &Plugin) -> Budgets {
    Budgets {
        memory_bytes: plugin.memory.0,
        call_time: plugin.call_time.0,
        cpu_time: plugin.cpu_time.unwrap_or(plugin.call_time).0,
        concurrency: plugin.concurrency,
        actions: plugin.actions,
        host_calls: plugin.host_calls,
        log_lines: plugin.log_lines,
        state_bytes: plugin.state.0,
        state_writes: plugin.state_writes.0,
        asks: plugin.asks,
        ask_time: plugin.ask_time.0,
        timers: plugin.timers,
        shortest_period: plugin.shortest_period.0,
        streams: stream_bounds(plugin),
    }
}

/// Of all plugins.
pub(super) fn streams(file: &File) -> BTreeMap<PluginName, StreamBounds> {
    file.plugins.iter().map(|(name, plugin)| (PluginName::new(name.as_str()), stream_bounds(plugin))).collect()
}

fn stream_bounds(plugin: &Plugin) -> StreamBounds {
    StreamBounds {
        items: plugin.stream_items,
        bytes: plugin.stream_bytes.0,
        per_client: plugin.streams_per_client,
        calls: plugin.streams,
    }
}

fn allow_http(key: &str, entries: &[Allowed]) -> Result<AllowHttp, Problem> {
    let mut allowed = AllowHttp { key: key.to_owned(), ..AllowHttp::default() };
    for entry in entries {
        match entry {
            Allowed::Endpoint(endpoint) => allowed.endpoints.push(endpoint.clone()),
            Allowed::Network(network) => allowed.networks.push(*network),
        }
    }
    match allowed.endpoints.is_empty() && !allowed.networks.is_empty() {
        true => Err(Problem::new(key, "lists networks, but no URL in them that may be requested")),
        false => Ok(allowed),
    }
}
