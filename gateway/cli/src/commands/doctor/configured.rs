//! What a configuration names, and whether it works.

use hubgate_core::id::HubName;
use hubgate_core::mode::Mode;
use hubgate_core::settings::Handler;

use super::{Config, Finding, Findings};
use crate::commands::deep_check;

/// Looks at everything that the configuration needs to serve, webhooks included. Gives whether a gateway listens where this one would.
pub(super) async fn look_at(config: &Config, findings: &mut Findings) -> bool {
    findings.extend(config.warnings.iter().map(|warning| Finding::warning(&warning.key, &warning.text)));
    let runs = runs(config).await;
    match runs {
        // It has its addresses and its folder.
        true => deep_check::plugins(config, findings),
        false => deep_check::look_at(config, findings),
    }
    for (index, item) in config.net.core.upstream.iter().enumerate() {
        let Handler::Webhook(webhook) = &item.handler else { continue };
        // The host is literal: whatever stands for the parameters, the connection is the same.
        let url = webhook.url.expand("hub", "messages", "event").unwrap_or_default();
        if let Err(error) = hubgate_net::reach(&url).await {
            let text = format!("{}: the upstream could not be reached: {error}", webhook.url.shown());
            findings.push(Finding::error(format!("upstream[{index}].url"), text));
        }
    }
    runs
}

/// Says which hubs in default mode serve nobody for want of a hub server: `hub`, or if none is named, those of the configuration. The
/// gateway that runs knows.
pub(super) async fn look_for_hub_servers(config: &Config, hub: Option<HubName>, findings: &mut Findings) {
    let is_named = hub.is_some();
    let hubs = hub.map_or_else(|| config.net.hubs.keys().cloned().collect(), |hub| vec![hub]);
    for hub in hubs.into_iter().filter(|hub| config.net.core.hub(hub).mode == Mode::Default) {
        let text = match hub_servers(config, &hub).await {
            Some(0) => {
                format!("no hub server of hub '{hub}' is connected, and in default mode nobody else serves its clients")
            }
            None if is_named => format!(
                "clients of hub '{hub}' are served by hub servers: whether one is connected is told where `admin.token-file` is set"
            ),
            Some(_) | None => continue,
        };
        findings.push(Finding::warning(config.hub_key(&hub, "mode"), text));
    }
}

/// How many connections of hub servers a hub has; none where the admin listener does not say.
async fn hub_servers(config: &Config, hub: &HubName) -> Option<u64> {
    let admin = &config.net.admin;
    if !admin.has_token_file {
        return None;
    }
    let (url, token) = (format!("http://{}/admin/hubs/{hub}", admin.listen), format!("Bearer {}", admin.token));
    let answer = hubgate_net::ask("GET", &url, &[("Authorization", &token)]).await.ok()?;
    match answer.status {
        // Nobody uses it.
        404 => Some(0),
        _ => serde_json::from_str::<serde_json::Value>(&answer.body).ok()?["serverConnections"].as_u64(),
    }
}

/// Whether a gateway listens where this one would. Its admin listener answers without TLS, and says what it is.
async fn runs(config: &Config) -> bool {
    let url = format!("http://{}/admin/plugins", config.net.admin.listen);
    let answer = hubgate_net::ask("GET", &url, &[]).await;
    answer.is_ok_and(|answer| answer.status == 401 && answer.body.contains("admin token"))
}
