//! What a configuration names, and whether it works.

use hubgate_core::settings::Handler;

use super::{Config, Finding, Findings};
use crate::commands::deep_check;

/// Looks at everything that the configuration needs to serve, webhooks included.
pub(super) async fn look_at(config: &Config, findings: &mut Findings) {
    findings.extend(config.warnings.iter().map(|warning| Finding::warning(&warning.key, &warning.text)));
    match runs(config).await {
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
}

/// Whether a gateway listens where this one would. Its admin listener answers without TLS, and says what it is.
async fn runs(config: &Config) -> bool {
    let url = format!("http://{}/admin/plugins", config.net.admin.listen);
    let answer = hubgate_net::ask("GET", &url, &[]).await;
    answer.is_ok_and(|answer| answer.status == 401 && answer.body.contains("admin token"))
}
