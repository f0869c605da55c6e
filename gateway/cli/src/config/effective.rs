//! A configuration with all its defaults, as it is shown and as two of them are compared.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hubgate_core::filter::{FilterSettings, OnError, Targets};
use hubgate_core::settings as core;
use hubgate_net::settings as net;
use hubgate_plugin_host::{HostSettings, Payloads, PluginSettings, PluginSource};
use toml::{Table, Value};

use super::{Config, rollback};

/// Whether a value that may be secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Hidden,
    /// For comparing alone.
    Exposed,
}

/// All keys with their values as TOML.
pub(super) fn show(config: &Config) -> String {
    toml::to_string_pretty(&table(config, Secrets::Hidden)).expect("a table of texts, numbers and lists is TOML")
}

/// The paths of the keys whose values differ.
pub(super) fn changed_keys(before: &Config, after: &Config) -> Vec<String> {
    let mut changed = Vec::new();
    let (before, after) = (table(before, Secrets::Exposed), table(after, Secrets::Exposed));
    collect_changes(&Value::Table(before), &Value::Table(after), String::new(), &mut changed);
    changed
}

fn collect_changes(before: &Value, after: &Value, path: String, changed: &mut Vec<String>) {
    let (Value::Table(before), Value::Table(after)) = (before, after) else {
        if before != after {
            changed.push(path);
        }
        return;
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => collect_changes(before, after, path, changed),
            (_, _) => changed.push(path),
        }
    }
}

fn table(config: &Config, secrets: Secrets) -> Table {
    let Config { net, host: HostSettings { plugins, memory_bytes }, data_dir, tls, log, files: _, warnings: _ } =
        config;
    let mut server = Table::new();
    server.insert("listen".into(), text(net.listen));
    server.insert("endpoints".into(), list(&net.endpoints));
    server.insert("access-keys".into(), list(net.access_keys.iter().map(|key| secret(secrets, key.expose()))));
    server.insert("trusted-proxies".into(), list(&net.trusted_proxies));
    server.insert("shards".into(), number(usize::from(net.shards)));
    server.insert("drain-delay".into(), span(net.drain.delay));
    server.insert("drain-timeout".into(), span(net.drain.timeout));
    server.insert("drain-closes".into(), Value::Integer(net.drain.closes.into()));
    if let Some(files) = tls {
        let mut tls = Table::new();
        tls.insert("certificate".into(), text(files.certificate.display()));
        tls.insert("key".into(), text(files.key.display()));
        if let Secrets::Exposed = secrets {
            // Not a key of the configuration: tells that a file's content has changed.
            tls.insert("version".into(), text(files.version));
        }
        server.insert("tls".into(), tls.into());
    }
    if let Some(folder) = data_dir {
        server.insert("data-dir".into(), text(folder.display()));
    }
    server.insert("detailed-errors".into(), net.core.detailed_errors.into());
    if let Some(log) = log {
        server.insert("log".into(), text(log));
    }
    server.insert("limits".into(), limits(&net.limits, &net.core.limits, *memory_bytes).into());
    server.insert("timeouts".into(), timeouts(&net.timeouts, &net.core.timeouts).into());

    let mut admin = Table::new();
    admin.insert("listen".into(), text(net.admin.listen));
    if net.admin.has_token_file {
        admin.insert("token-file".into(), text(secret(secrets, &net.admin.token)));
    }
    admin.insert("hosts".into(), list(&net.admin.hosts));
    admin.insert("metrics-open".into(), net.admin.metrics_open.into());

    let mut hubs = Table::new();
    hubs.insert("*".into(), hub(&net.other_hubs, &net.core.other_hubs).into());
    for (name, settings) in &net.hubs {
        hubs.insert(name.to_string(), hub(settings, net.core.hub(name)).into());
    }
    let filters: Vec<&FilterSettings> =
        net.core.hubs.values().chain([&net.core.other_hubs]).flat_map(|hub| &hub.filters).collect();
    let plugins = plugins.iter().map(|settings| {
        let filter = filters.iter().find(|filter| filter.plugin == settings.name).copied();
        (settings.name.to_string(), plugin(settings, filter, secrets).into())
    });

    let upstream = net.core.upstream.iter().map(|item| upstream_item(item, secrets));
    let mut table = Table::new();
    table.insert("server".into(), server.into());
    table.insert("admin".into(), admin.into());
    table.insert("hubs".into(), hubs.into());
    table.insert("upstream".into(), upstream.collect::<Vec<Value>>().into());
    table.insert("plugins".into(), plugins.collect::<Table>().into());
    table
}

fn limits(net: &net::Limits, core: &core::Limits, plugin_memory: usize) -> Table {
    Table::from_iter([
        ("message".into(), size(core.message)),
        ("post".into(), size(net.post)),
        ("headers".into(), size(net.headers)),
        ("outbox".into(), size(net.outbox)),
        ("outboxes".into(), size(net.outboxes)),
        ("server-message".into(), size(core.server_message)),
        ("server-outbox".into(), size(net.server_outbox)),
        ("connections".into(), number(net.connections)),
        ("connections-per-ip".into(), number(net.connections_per_ip)),
        ("connections-per-user".into(), number(net.connections_per_user)),
        ("connections-per-token".into(), number(net.connections_per_token)),
        ("http-connections".into(), number(net.http_connections)),
        ("http-connections-per-ip".into(), number(net.http_connections_per_ip)),
        ("negotiates-per-second".into(), Value::Integer(net.negotiates_per_second.into())),
        ("messages-per-second".into(), Value::Integer(core.messages_per_second.into())),
        ("groups-per-connection".into(), number(core.groups_per_connection)),
        ("user-memberships".into(), number(core.user_memberships)),
        ("mode-switch-closes".into(), number(core.mode_switch_closes)),
        ("plugin-memory".into(), size(plugin_memory)),
    ])
}

fn timeouts(net: &net::Timeouts, core: &core::Timeouts) -> Table {
    Table::from_iter([
        ("negotiate".into(), span(core.negotiate.into())),
        ("handshake".into(), span(core.handshake.into())),
        ("client".into(), span(core.client.into())),
        ("keep-alive".into(), span(core.keep_alive.into())),
        ("http-header".into(), span(net.header)),
        ("http-body".into(), span(net.body)),
        ("write".into(), span(net.write)),
        ("outbox".into(), span(net.outbox)),
    ])
}

fn hub(net: &net::HubSettings, core: &core::HubSettings) -> Table {
    let any = net.cors.any.then_some("*".to_owned());
    let anonymous = Table::from_iter([("anonymous".into(), net.anonymous_negotiate.into())]);
    Table::from_iter([
        ("mode".into(), text(core.mode.name())),
        ("filters".into(), list(core.filters.iter().map(|filter| &filter.plugin))),
        ("messages-per-second".into(), Value::Integer(core.messages_per_second.into())),
        ("cors-origins".into(), list(net.cors.patterns.iter().map(ToString::to_string).chain(any))),
        ("negotiate".into(), anonymous.into()),
    ])
}

fn upstream_item(item: &core::UpstreamItem, secrets: Secrets) -> Value {
    let pattern = |pattern: &core::Pattern| match pattern {
        core::Pattern::Any => list(["*"]),
        core::Pattern::OneOf(names) => list(names),
    };
    let mut table = Table::from_iter([
        ("hubs".into(), pattern(&item.hubs)),
        ("categories".into(), pattern(&item.categories)),
        ("events".into(), pattern(&item.events)),
    ]);
    match &item.handler {
        core::Handler::Plugin(plugin) => drop(table.insert("plugin".into(), text(plugin))),
        core::Handler::Webhook(webhook) => {
            let url = match (secrets, webhook.url.expose() == webhook.url.shown()) {
                (Secrets::Hidden, false) => format!("{}?(not shown)", webhook.url.shown()),
                (Secrets::Exposed, _) | (_, true) => webhook.url.expose().to_owned(),
            };
            let on_connect_failure = match webhook.on_connect_failure {
                core::ConnectFailure::Close => "close",
                core::ConnectFailure::Log => "log",
            };
            table.insert("url".into(), text(url));
            table.insert("timeout".into(), span(webhook.timeout.into()));
            table.insert("retries".into(), Value::Integer(webhook.retries.into()));
            table.insert("on-connect-failure".into(), text(on_connect_failure));
            let claim_names = match webhook.claim_names {
                core::ClaimNames::Token => "token",
                core::ClaimNames::Dotnet => "dotnet",
            };
            table.insert("claim-names".into(), text(claim_names));
        }
    }
    table.into()
}

/// `filter`: what it is as a filter, if it is one.
fn plugin(settings: &PluginSettings, filter: Option<&FilterSettings>, secrets: Secrets) -> Table {
    let path = match &settings.source {
        PluginSource::File(path) => path.as_path(),
        PluginSource::Embedded(_) => Path::new("(embedded)"),
    };
    let config = settings.config.iter().map(|(name, value)| (name.clone(), text(secret(secrets, value))));
    let payloads = match settings.payloads {
        Payloads::Json => "json",
        Payloads::Native => "native",
    };
    let budgets = &settings.budgets;
    let allowed = settings.allow_http.endpoints.iter().map(ToString::to_string);
    let networks = settings.allow_http.networks.iter().map(ToString::to_string);
    let mut table = Table::from_iter([
        ("path".into(), text(path.display())),
        ("config".into(), config.collect::<Table>().into()),
        ("memory".into(), size(budgets.memory_bytes)),
        ("call-time".into(), span(budgets.call_time)),
        ("cpu-time".into(), span(budgets.cpu_time)),
        ("concurrency".into(), number(budgets.concurrency)),
        ("actions".into(), number(budgets.actions)),
        ("host-calls".into(), Value::Integer(budgets.host_calls.into())),
        ("log-lines".into(), Value::Integer(budgets.log_lines.into())),
        ("state".into(), size(budgets.state_bytes)),
        ("state-writes".into(), size(budgets.state_writes)),
        ("payload".into(), text(payloads)),
        ("rollback".into(), rollback::show(&settings.rollback)),
        ("allow-http".into(), list(allowed.chain(networks))),
    ]);
    if let Some(filter) = filter {
        if let Targets::OneOf(targets) = &filter.targets {
            table.insert("targets".into(), list(targets));
        }
        let on_error = match filter.on_error {
            OnError::Closed => "closed",
            OnError::Open => "open",
        };
        table.insert("on-error".into(), text(on_error));
    }
    table
}

fn secret(secrets: Secrets, value: &str) -> &str {
    match secrets {
        Secrets::Hidden => "(not shown)",
        Secrets::Exposed => value,
    }
}

fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

fn list(values: impl IntoIterator<Item = impl ToString>) -> Value {
    Value::Array(values.into_iter().map(text).collect())
}

fn number(value: usize) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn span(value: Duration) -> Value {
    text(humantime::format_duration(value))
}

/// In the largest unit that says it exactly.
fn size(bytes: usize) -> Value {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let exact = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    text(exact.map_or(format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift)))
}
