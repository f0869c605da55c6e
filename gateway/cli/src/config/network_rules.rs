//! `[[network-rules]]` for those who keep them, and which of them can have no effect.

use std::net::{Ipv4Addr, Ipv6Addr};

use hubgate_net::settings::{self as net, RequestKind, RuleAction, rule_key};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Warning;
use super::problem::Problems;
use super::schema::NetworkRule;

/// The rules in their order.
pub(super) fn rules(rules: &[NetworkRule], problems: &mut Problems) -> net::NetworkRules {
    let mut checked = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let key = rule_key(index);
        if rule.networks.is_empty() {
            let text = "must list what the rule is about, such as [\"203.0.113.0/24\"]; [\"0.0.0.0/0\", \"::/0\"] is every address";
            problems.push(format!("{key}.networks"), text);
        }
        if rule.kinds.is_empty() {
            let text = "must have at least one of \"client\", \"server\", \"rest\", \"admin\", or not be there: then the rule is about all of them";
            problems.push(format!("{key}.kinds"), text);
        }
        let Some(action) = rule.action else {
            problems.push(format!("{key}.action"), "must be \"allow\" or \"deny\"");
            continue;
        };
        checked.push(net::NetworkRule { action, kinds: rule.kinds.clone(), networks: networks(rule).collect() });
    }
    net::NetworkRules::new(checked)
}

fn networks(rule: &NetworkRule) -> impl Iterator<Item = IpNet> {
    rule.networks.iter().map(|network| network.0)
}

/// Rules, and networks of rules, that no request meets, rules that change nothing, and those that forget a family of addresses.
pub(super) fn without_effect(rules: &[NetworkRule]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let (key, earlier) = (rule_key(index), &rules[..index]);
        let is_met = |network: &IpNet| !rule.kinds.iter().all(|kind| decides_all(earlier, *kind, *network));
        let unmet: Vec<IpNet> = networks(rule).filter(|network| !is_met(network)).collect();
        if !unmet.is_empty() && unmet.len() == rule.networks.len() {
            let text =
                format!("is met by no request: {} decides about all of its addresses first", before(earlier, rule));
            warnings.push(Warning { key, text });
            continue;
        }
        for network in unmet {
            let text = format!("{network} is met by no request: {} decides about it first", before(earlier, rule));
            warnings.push(Warning { key: format!("{key}.networks"), text });
        }
        if rule.action == Some(RuleAction::Allow) && !rules[index + 1..].iter().any(|later| narrows(rule, later)) {
            let text = "changes nothing: what no rule is about is allowed. To allow nothing else, deny the rest in a rule after it, with \
                        networks = [\"0.0.0.0/0\", \"::/0\"]";
            warnings.push(Warning { key: key.clone(), text: text.to_owned() });
        }
        let open = ALL_ADDRESSES.into_iter().find(|(_, all)| leaves_open(rules, rule, *all));
        if let Some((family, all)) = open {
            let text = format!("denies every address but those of {family}, which stay open: list \"{all}\" as well");
            warnings.push(Warning { key: format!("{key}.networks"), text });
        }
    }
    warnings
}

/// All addresses of each family.
const ALL_ADDRESSES: [(&str, IpNet); 2] = [
    ("IPv4", IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))),
    ("IPv6", IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0))),
];

/// Whether a rule denies all addresses of the other family, and no rule is about all of this one.
fn leaves_open(rules: &[NetworkRule], rule: &NetworkRule, all: IpNet) -> bool {
    let is_other = |network: IpNet| ALL_ADDRESSES.iter().any(|(_, other)| *other == network && network != all);
    rule.action == Some(RuleAction::Deny)
        && networks(rule).any(is_other)
        && rule.kinds.iter().any(|kind| !decides_all(rules, *kind, all))
}

/// Whether rules decide about each request of a kind from a network.
fn decides_all(rules: &[NetworkRule], kind: RequestKind, network: IpNet) -> bool {
    let about = rules.iter().filter(|rule| rule.kinds.contains(&kind));
    let together = IpNet::aggregate(&about.flat_map(networks).collect());
    together.iter().any(|decided| decided.contains(&network))
}

/// Which of the rules before one decide about some of its addresses.
fn before(earlier: &[NetworkRule], rule: &NetworkRule) -> String {
    let meets = |other: &NetworkRule| {
        other.kinds.iter().any(|kind| rule.kinds.contains(kind))
            && networks(other).any(|own| networks(rule).any(|network| overlap(own, network)))
    };
    let places = earlier.iter().enumerate().filter(|(_, other)| meets(other)).map(|(index, _)| rule_key(index));
    places.collect::<Vec<_>>().join(" or ")
}

/// Whether `later` would deny something that `rule` allows.
fn narrows(rule: &NetworkRule, later: &NetworkRule) -> bool {
    later.action == Some(RuleAction::Deny)
        && later.kinds.iter().any(|kind| rule.kinds.contains(kind))
        && networks(later).any(|denied| networks(rule).any(|allowed| overlap(denied, allowed)))
}

/// Two networks have addresses in common only where one is in the other.
fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}
