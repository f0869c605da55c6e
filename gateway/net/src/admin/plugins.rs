//! Plugins for operators: what serves, and what is to serve instead.

use std::collections::BTreeSet;

use http::{Request, StatusCode};
use hubgate_core::id::PluginName;
use hubgate_core::settings::{self as core, Handler, Pattern};
use hubgate_plugin_host::{PluginLogLine, PluginStatus, RollbackError, SwapError};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::body::{is_dry_run, read_component};
use super::outcome::{Denial, Reply};
use super::{Admin, rfc3339};
use crate::settings::{HubSettings, Negotiate, Settings};
use crate::tasks::on_a_thread;

/// `GET /admin/plugins`.
pub(super) fn list(admin: &Admin) -> Reply {
    let settings = admin.shared.settings();
    let plugins: Vec<Value> = admin.plugins.statuses().into_iter().map(|status| shown(status, &settings)).collect();
    Reply::Json(json!({ "plugins": plugins }))
}

/// `GET /admin/plugins/{name}/log`: the last lines about a plugin, the oldest first.
pub(super) fn log(admin: &Admin, name: &str) -> Result<Reply, Denial> {
    let lines = admin.plugins.log_of(&decoded(name));
    let lines = lines.ok_or_else(|| Denial::new(StatusCode::NOT_FOUND, "There is no plugin of this name."))?;
    let shown = |line: &PluginLogLine| json!({ "at": rfc3339(line.at), "level": line.level.as_str().to_ascii_lowercase(), "text": line.text });
    let lines: Vec<Value> = lines.iter().map(shown).collect();
    Ok(Reply::Json(json!({ "lines": lines })))
}

/// `POST /admin/plugins/{name}/rollback`: brings back the version of a plugin that served before the present one.
pub(super) async fn roll_back(admin: &Admin, name: &str) -> Result<Reply, Denial> {
    let (plugins, name) = (admin.plugins.clone(), decoded(name));
    let denied =
        |status, error: &dyn std::fmt::Display| Denial::new(status, format!("Nothing was rolled back: {error}."));
    // That version may have to be read and loaded.
    let working = on_a_thread("rollback", move || plugins.roll_back(&name));
    let working = working.map_err(|error| denied(StatusCode::SERVICE_UNAVAILABLE, &error))?;
    match working.await {
        Ok(Ok(status)) => Ok(changed(status, &admin.shared.settings())),
        Ok(Err(error @ RollbackError::NoPlugin)) => Err(denied(StatusCode::NOT_FOUND, &error)),
        Ok(Err(error @ RollbackError::NoVersionBefore)) => Err(denied(StatusCode::CONFLICT, &error)),
        Err(error) => Err(denied(StatusCode::INTERNAL_SERVER_ERROR, &error)),
    }
}

/// `POST /admin/plugins/{name}/swap`: writes a component into a plugin's file once it is known that it can be served.
pub(super) async fn swap(admin: &Admin, name: &str, request: &mut Request<Incoming>) -> Result<Reply, Denial> {
    let name = decoded(name);
    let dry_run = is_dry_run(request.uri())?;
    let file = admin.plugins.file_of(&name).map_err(not_swapped)?;
    if admin.shared.cluster.is_some() && !dry_run {
        let why = "Nothing was swapped: this gateway is one of a cluster, each node of which has a file of its own. Put the component in the \
                   place of";
        return Err(Denial::new(StatusCode::CONFLICT, format!("{why} {} on each node.", file.display())));
    }
    // Before the component has come: there is one in memory at a time.
    let turn = admin.plugins.swap_turn().map_err(not_swapped)?;
    let component = read_component(request).await?;
    let plugins = admin.plugins.clone();
    let failed = |status, error: &dyn std::fmt::Display| Denial::new(status, format!("Nothing was swapped: {error}."));
    let cannot = |error: std::io::Error| failed(StatusCode::SERVICE_UNAVAILABLE, &error);
    if dry_run {
        let working = on_a_thread("swap", move || plugins.try_component(turn, &name, &component)).map_err(cannot)?;
        return match working.await {
            Ok(tried) => tried.map(would_serve).map_err(not_swapped),
            Err(error) => Err(failed(StatusCode::INTERNAL_SERVER_ERROR, &error)),
        };
    }
    let working = on_a_thread("swap", move || plugins.swap_file(turn, &name, &component)).map_err(cannot)?;
    match working.await {
        Ok(swapped) => swapped.map(|status| changed(status, &admin.shared.settings())).map_err(not_swapped),
        Err(error) => Err(failed(StatusCode::INTERNAL_SERVER_ERROR, &error)),
    }
}

/// The digest is that of a component that was tried and not put anywhere.
fn would_serve(digest: String) -> Reply {
    let told = format!("{digest} would serve");
    Reply::Changed(json!({ "digest": digest, "wouldServe": true }), told)
}

fn not_swapped(error: SwapError) -> Denial {
    let status = match &error {
        SwapError::NoPlugin => StatusCode::NOT_FOUND,
        SwapError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        SwapError::NoFile | SwapError::RolledBack | SwapError::UnderWay | SwapError::Unwritable { .. } => {
            StatusCode::CONFLICT
        }
        SwapError::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
        SwapError::NotServing { .. } => {
            return Denial::new(StatusCode::SERVICE_UNAVAILABLE, format!("It is not swapped yet: {error}."));
        }
    };
    Denial::new(status, format!("Nothing was swapped: {error}."))
}

fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

fn changed(status: PluginStatus, settings: &Settings) -> Reply {
    let told = format!("generation {} serves, {}", status.generation, status.digest.as_deref().unwrap_or("nothing"));
    Reply::Changed(shown(status, settings), told)
}

fn shown(status: PluginStatus, settings: &Settings) -> Value {
    let budgets = &status.budgets;
    json!({
        "name": status.name.as_str(),
        "generation": status.generation,
        "digest": status.digest,
        "state": status.state.to_string(),
        "loadedAt": status.loaded_at.map(rfc3339),
        "calls": status.calls,
        "traps": status.traps,
        "memoryBytes": status.memory_bytes,
        "rolledBackFrom": status.rolled_back_from,
        "previous": status.previous,
        "hubs": hubs_of(&status.name, settings),
        "limits": {
            "memoryBytes": budgets.memory_bytes,
            "callSeconds": budgets.call_time.as_secs_f64(),
            "cpuSeconds": budgets.cpu_time.as_secs_f64(),
            "concurrency": budgets.concurrency,
            "stateBytes": budgets.state_bytes,
            "timers": budgets.timers,
        },
        "lastError": status.last_error.map(|error| json!({ "reason": error.reason, "at": rfc3339(error.at) })),
    })
}

/// The hubs whose events it handles, whose messages it filters, and that ask it who may come. `*` is all hubs that the configuration does
/// not name; of handlers, all for which nothing else is said.
fn hubs_of(plugin: &PluginName, settings: &Settings) -> Value {
    let core = &settings.core;
    let items = core.upstream.iter().filter(|item| item.handler == Handler::Plugin(plugin.clone()));
    let handler: BTreeSet<&str> = items
        .flat_map(|item| match &item.hubs {
            Pattern::Any => vec!["*"],
            Pattern::OneOf(names) => names.iter().map(String::as_str).collect(),
        })
        .collect();
    let is_filter = |hub: &core::HubSettings| hub.filters.iter().any(|filter| filter.plugin == *plugin);
    let filter = core.hubs.iter().filter(|(_, hub)| is_filter(hub)).map(|(name, _)| name.as_str());
    let filter: BTreeSet<&str> = filter.chain(is_filter(&core.other_hubs).then_some("*")).collect();
    let is_asked = |hub: &HubSettings| matches!(&hub.negotiate, Negotiate::Authorizer(asked) if asked == plugin);
    let authorizer = settings.hubs.iter().filter(|(_, hub)| is_asked(hub)).map(|(name, _)| name.as_str());
    let authorizer: BTreeSet<&str> = authorizer.chain(is_asked(&settings.other_hubs).then_some("*")).collect();
    json!({ "handler": handler, "filter": filter, "authorizer": authorizer })
}
