//! Which addresses may make which kinds of requests.

use std::net::IpAddr;

use ipnet::IpNet;

/// What a request is for, as far as rules tell requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Of clients: negotiation, transports, and pages.
    Client,
    /// Of hub servers.
    Server,
    /// Of callers of the REST API.
    Rest,
    /// Of operators, on the admin listener.
    Admin,
}

impl RequestKind {
    pub const ALL: [RequestKind; 4] = [RequestKind::Client, RequestKind::Server, RequestKind::Rest, RequestKind::Admin];

    /// As the configuration and the metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            RequestKind::Client => "client",
            RequestKind::Server => "server",
            RequestKind::Rest => "rest",
            RequestKind::Admin => "admin",
        }
    }
}

/// What becomes of the requests that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    Allow,
    Deny,
}

/// What becomes of requests of some kinds from some networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRule {
    pub action: RuleAction,
    pub kinds: Vec<RequestKind>,
    /// None of them has IPv4 addresses that are written as those of IPv6.
    pub networks: Vec<IpNet>,
}

impl NetworkRule {
    fn is_about(&self, kind: RequestKind, address: IpAddr) -> bool {
        self.kinds.contains(&kind) && self.networks.iter().any(|network| network.contains(&address))
    }
}

/// The rules in the order of the file: the first one that is about a request decides. Requests that none is about are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRules(Vec<NetworkRule>);

impl NetworkRules {
    pub fn new(rules: Vec<NetworkRule>) -> NetworkRules {
        NetworkRules(rules)
    }

    /// The rule that decides about requests of a kind from an address, with its place, counted from 0.
    pub fn first_about(&self, kind: RequestKind, address: IpAddr) -> Option<(usize, RuleAction)> {
        let address = address.to_canonical();
        let index = self.0.iter().position(|rule| rule.is_about(kind, address))?;
        Some((index, self.0[index].action))
    }

    /// The place of the rule that denies requests of a kind from an address.
    pub(crate) fn denying(&self, kind: RequestKind, address: IpAddr) -> Option<usize> {
        match self.first_about(kind, address)? {
            (index, RuleAction::Deny) => Some(index),
            (_, RuleAction::Allow) => None,
        }
    }
}

/// The path of a rule in the configuration.
pub fn rule_key(index: usize) -> String {
    format!("network-rules[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: RuleAction, kinds: &[RequestKind], networks: &[&str]) -> NetworkRule {
        let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
        NetworkRule { action, kinds: kinds.to_vec(), networks }
    }

    #[test]
    fn the_first_rule_about_a_request_decides_and_what_none_is_about_is_allowed() {
        let rules = NetworkRules::new(vec![
            rule(RuleAction::Allow, &[RequestKind::Client, RequestKind::Rest], &["10.1.0.0/16", "2001:db8::/32"]),
            rule(RuleAction::Deny, &[RequestKind::Rest, RequestKind::Admin], &["10.0.0.0/8", "::/0"]),
            rule(RuleAction::Deny, &[RequestKind::Client], &["10.1.2.3/32"]),
        ]);
        for (kind, address, decides) in [
            (RequestKind::Client, "10.1.2.3", Some((0, RuleAction::Allow))),
            (RequestKind::Rest, "10.1.2.3", Some((0, RuleAction::Allow))),
            (RequestKind::Rest, "10.2.2.3", Some((1, RuleAction::Deny))),
            (RequestKind::Admin, "10.1.2.3", Some((1, RuleAction::Deny))),
            (RequestKind::Server, "10.1.2.3", None),
            (RequestKind::Client, "10.2.2.3", None),
            (RequestKind::Rest, "2001:db8::1", Some((0, RuleAction::Allow))),
            (RequestKind::Rest, "2001:db9::1", Some((1, RuleAction::Deny))),
            // It is an address of IPv4.
            (RequestKind::Rest, "::ffff:10.2.2.3", Some((1, RuleAction::Deny))),
            (RequestKind::Rest, "::ffff:192.0.2.1", None),
            (RequestKind::Rest, "192.0.2.1", None),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(rules.first_about(kind, address), decides, "{kind:?} {address}");
            let denying = decides.filter(|(_, action)| *action == RuleAction::Deny).map(|(index, _)| index);
            assert_eq!(rules.denying(kind, address), denying, "{kind:?} {address}");
        }
    }
}
