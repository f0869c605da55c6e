//! What the configuration says of a hub, for operators: who handles its events, which filters its messages pass, and who lets clients in.

use hubgate_core::id::HubName;
use hubgate_core::settings::{FilterSettings, Handler, OnError, Pattern, Targets, UpstreamItem};
use serde_json::{Value, json};

use crate::origins::CorsOrigins;
use crate::settings::{CloseOnExpiry, Negotiate, Settings};

/// As JSON, without what is secret: of a webhook its URL as it may be shown.
pub(super) fn shown(settings: &Settings, hub: &HubName) -> Value {
    let (core, own) = (settings.core.hub(hub), settings.hub(hub));
    let upstream: Vec<Value> = match core.mode.asks_upstream() {
        true => settings.core.upstream.iter().filter(|item| item.hubs.matches(hub.as_str())).map(of_upstream).collect(),
        false => Vec::new(),
    };
    let filters: Vec<Value> = core.filters.iter().map(of_filter).collect();
    json!({
        "upstream": upstream,
        "filters": filters,
        "messagesPerSecond": core.messages_per_second,
        "corsOrigins": origins(&own.cors),
        "signIn": sign_in(&own.negotiate),
        "closesOnExpiry": own.close_on_expiry == CloseOnExpiry::Yes,
    })
}

fn of_upstream(item: &UpstreamItem) -> Value {
    let (plugin, webhook) = match &item.handler {
        Handler::Plugin(plugin) => (Some(plugin.as_str()), None),
        Handler::Webhook(webhook) => (None, Some(webhook.url.shown())),
    };
    json!({ "plugin": plugin, "webhook": webhook, "categories": names(&item.categories), "events": names(&item.events) })
}

fn of_filter(filter: &FilterSettings) -> Value {
    let methods = match &filter.targets {
        Targets::All => Value::Null,
        Targets::OneOf(methods) => json!(methods),
    };
    json!({ "plugin": filter.plugin.as_str(), "methods": methods, "failing": on_error(filter.on_error) })
}

fn on_error(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Closed => "closed",
        OnError::Open => "open",
    }
}

/// As they are written in the configuration.
fn origins(cors: &CorsOrigins) -> Vec<String> {
    let any = cors.any.then(|| "*".to_owned());
    let localhost = cors.localhost.then(|| "http://localhost:*".to_owned());
    cors.patterns.iter().map(ToString::to_string).chain(any).chain(localhost).collect()
}

/// `*` for all.
fn names(pattern: &Pattern) -> Value {
    match pattern {
        Pattern::Any => json!("*"),
        Pattern::OneOf(names) => json!(names),
    }
}

/// Whom the hub's own negotiation lets in.
fn sign_in(negotiate: &Negotiate) -> Value {
    match negotiate {
        Negotiate::Nobody => json!({ "by": "nobody" }),
        Negotiate::Anybody => json!({ "by": "anybody" }),
        Negotiate::Authorizer(plugin) => json!({ "by": "plugin", "plugin": plugin.as_str() }),
        Negotiate::IdentityProvider(provider) => json!({ "by": "jwt", "anonymous": provider.anonymous }),
    }
}
