//! Which network rule meets the requests of an address.

use std::net::IpAddr;

use hubgate_net::settings::{RequestKind, RuleAction, rule_key};

use crate::config::Config;

/// A line for each kind of request, and one if the address speaks for others.
pub(super) fn verdicts(config: &Config, address: IpAddr) -> Vec<String> {
    let address = address.to_canonical();
    let verdict = |kind: RequestKind| match config.net.network_rules.first_about(kind, address) {
        Some((index, action)) => {
            let action = match action {
                RuleAction::Allow => "allowed",
                RuleAction::Deny => "denied",
            };
            format!("{action} by {}", config.origins.place(&rule_key(index)))
        }
        None => "allowed, as no rule is about it".to_owned(),
    };
    let mut lines: Vec<String> =
        RequestKind::ALL.map(|kind| format!("{address}, {}: {}", kind.name(), verdict(kind))).into();
    if config.net.is_trusted(address) {
        lines.push(format!(
            "{address} is a trusted proxy: of a request that has `X-Forwarded-For`, the address that this names counts instead"
        ));
    }
    lines
}
