//! Network access control becomes `[[network-rules]]`.
//!
//! Source: Azure SignalR Service, "Configure network access control": without public access nothing else counts; a kind of request that no
//! list names is met by the default action. How its two parts go together it does not say: here a request must be allowed by its kind
//! and, where there are rules by address, by its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::{Table, Value};

use super::node::{Cut, Malformed, Node};
use super::remarks::Remarks;

/// Kinds of requests, as the service and as rules call them. Live traces have none here: nothing is to be allowed or denied.
const KINDS: [(&str, &str); 3] = [("ClientConnection", "client"), ("ServerConnection", "server"), ("RESTAPI", "rest")];
const TRACE: &str = "Trace";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Deny => "deny",
        }
    }
}

/// How many rules by address are read; the service takes fewer.
const MOST_BY_ADDRESS: usize = 1_000;
/// What comes of something that is not known, and may deny everybody.
const EVERYBODY_IS_DENIED: &str =
    "everybody is denied until you write its value, or import what `az signalr show` prints";

/// What a resource says of networks.
#[derive(Debug, Default)]
pub(super) struct NetworkAccess {
    /// Whether the public network may ask for nothing at all.
    is_closed: bool,
    default: Option<Action>,
    allowed: Vec<&'static str>,
    denied: Vec<&'static str>,
    by_address: Option<Vec<(Action, IpNet)>>,
}

impl NetworkAccess {
    /// Denies everybody, as what the resource says is not known.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// `publicNetworkAccess`.
    pub(super) fn public(&mut self, access: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        if !remarks.is_known(access, EVERYBODY_IS_DENIED) {
            self.close();
            return Ok(());
        }
        match access.text()? {
            text if text.eq_ignore_ascii_case("enabled") => return Ok(()),
            text if text.eq_ignore_ascii_case("disabled") => {
                let why = "there are no private endpoints here: everybody is denied. Allow the networks of yours by a rule before, or listen \
                           on a private address and leave the rule out";
                remarks.push(access, why);
            }
            text => remarks.push(access, format_args!("{} is not known here: everybody is denied", Cut(text))),
        }
        self.close();
        Ok(())
    }

    /// `networkACLs`.
    pub(super) fn rules(&mut self, acls: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        if !remarks.is_known(acls, EVERYBODY_IS_DENIED) {
            self.close();
            return Ok(());
        }
        for member in acls.members()? {
            match member.name().as_str() {
                "defaultaction" => self.default = Some(action(&member, remarks)?),
                "publicnetwork" => self.public_network(&member, remarks)?,
                "iprules" => self.addresses(&member, remarks)?,
                "privateendpoints" => {
                    for endpoint in remarks.items(&member)? {
                        let why = "there are no private endpoints here: what it allows and denies is left out. Write a rule for the \
                                   addresses that come by it";
                        remarks.push(&endpoint, why);
                    }
                }
                _ => self.unknown(&member, remarks),
            }
        }
        // Where nothing is said, nothing is denied.
        self.default = self.default.or(Some(Action::Allow));
        Ok(())
    }

    fn public_network(&mut self, network: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        if !remarks.is_known(network, EVERYBODY_IS_DENIED) {
            self.close();
            return Ok(());
        }
        for member in network.members()? {
            match member.name().as_str() {
                "allow" => self.allowed = kinds(&member, remarks)?,
                "deny" => self.deny(&member, remarks)?,
                _ => self.unknown(&member, remarks),
            }
        }
        Ok(())
    }

    fn deny(&mut self, list: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        self.denied = kinds(list, remarks)?;
        // It may be about any kind.
        let is_unknown = |node: &Node<'_>| node.expression().is_some();
        if is_unknown(list) || list.items()?.iter().any(is_unknown) {
            remarks.push(list, "denies every kind of request, as it is not known which ones");
            self.close();
        }
        Ok(())
    }

    /// A member that has no meaning here. `copy` makes others, such as a list that denies.
    fn unknown(&mut self, member: &Node<'_>, remarks: &mut Remarks) {
        match member.name().as_str() {
            "copy" => {
                remarks.push(member, format_args!("is not evaluated: {EVERYBODY_IS_DENIED}"));
                self.close();
            }
            _ => remarks.push(member, "is not known here: it has no effect"),
        }
    }

    /// `ipRules`.
    fn addresses(&mut self, rules: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        if !remarks.is_known(rules, EVERYBODY_IS_DENIED) {
            self.close();
            return Ok(());
        }
        let items = rules.items()?;
        if items.len() > MOST_BY_ADDRESS {
            let count = items.len();
            remarks.push(rules, format_args!("has {count} rules, and {MOST_BY_ADDRESS} are read: everybody is denied"));
            self.close();
            return Ok(());
        }
        if items.is_empty() {
            return Ok(());
        }
        let mut addresses = Vec::new();
        for item in items {
            addresses.extend(by_address(&item, remarks)?);
        }
        self.by_address = Some(addresses);
        Ok(())
    }

    /// The rules, in their order; none where everything is allowed.
    pub(super) fn into_rules(self) -> Vec<Value> {
        let is_allowed = |kind: &&str| match self.default {
            _ if self.is_closed || self.denied.contains(kind) => false,
            Some(Action::Deny) => self.allowed.contains(kind),
            Some(Action::Allow) | None => true,
        };
        let names = KINDS.map(|(_, name)| name);
        let (allowed, denied): (Vec<&str>, Vec<&str>) = names.into_iter().partition(is_allowed);
        let mut rules = Vec::new();
        if !denied.is_empty() {
            rules.push(rule(Action::Deny, &denied, &ALL));
        }
        if let Some(addresses) = self.by_address.filter(|_| !allowed.is_empty()) {
            let met = decisive(addresses, self.default.unwrap_or(Action::Allow));
            rules.extend(met.iter().map(|(action, networks)| rule(*action, &allowed, networks)));
        }
        rules
    }
}

/// All addresses of each family.
const ALL: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

/// The rules that decide something, those of one action after each other as one, the default for what none is about as the last.
fn decisive(addresses: Vec<(Action, IpNet)>, default: Action) -> Vec<(Action, Vec<IpNet>)> {
    let mut rules: Vec<(Action, Vec<IpNet>)> = Vec::new();
    let is_met = |rules: &[(Action, Vec<IpNet>)], network: &IpNet| {
        !rules.iter().any(|(_, decided)| decided.iter().any(|earlier| earlier.contains(network)))
    };
    for (action, network) in addresses.into_iter().chain(ALL.map(|all| (default, all))) {
        if !is_met(&rules, &network) {
            continue;
        }
        match rules.last_mut() {
            Some((last, networks)) if *last == action => networks.push(network),
            Some(_) | None => rules.push((action, vec![network])),
        }
    }
    // What is allowed at the end would be allowed anyway.
    if rules.last().is_some_and(|(action, _)| *action == Action::Allow) {
        rules.pop();
    }
    rules
}

fn rule(action: Action, kinds: &[&str], networks: &[IpNet]) -> Value {
    let texts = |texts: Vec<String>| Value::from(texts);
    Value::from(Table::from_iter([
        ("action".to_owned(), action.name().into()),
        ("kinds".to_owned(), texts(kinds.iter().map(|kind| (*kind).to_owned()).collect())),
        ("networks".to_owned(), texts(networks.iter().map(ToString::to_string).collect())),
    ]))
}

/// What is not known is denied, as it is by a careful reader.
fn action(node: &Node<'_>, remarks: &mut Remarks) -> Result<Action, Malformed> {
    let text = remarks.read(node, Node::text)?;
    match text {
        Some(text) if text.eq_ignore_ascii_case("allow") => return Ok(Action::Allow),
        Some(text) if text.eq_ignore_ascii_case("deny") => return Ok(Action::Deny),
        Some(text) => remarks.push(node, format_args!("{} is neither Allow nor Deny: it is taken for Deny", Cut(text))),
        None => remarks.push(node, "is taken for Deny as long as it is not known"),
    }
    Ok(Action::Deny)
}

fn kinds(list: &Node<'_>, remarks: &mut Remarks) -> Result<Vec<&'static str>, Malformed> {
    let mut kinds = Vec::new();
    for (node, text) in remarks.texts(list)? {
        match KINDS.into_iter().find(|(kind, _)| text.eq_ignore_ascii_case(kind)) {
            Some((_, name)) => kinds.push(name),
            None if text.eq_ignore_ascii_case(TRACE) => {}
            None => remarks.push(&node, format_args!("no requests are of the kind {} here", Cut(text))),
        }
    }
    Ok(kinds)
}

/// A rule by address. What one denies that is not known may be any address; one that allows what is not known allows nothing.
fn by_address(rule: &Node<'_>, remarks: &mut Remarks) -> Result<Vec<(Action, IpNet)>, Malformed> {
    let is_known = remarks.is_known(rule, "it is taken for one that denies every address");
    let (mut met, mut network) = (Action::Allow, None);
    for member in if is_known { rule.members()? } else { Vec::new() } {
        match member.name().as_str() {
            "action" => met = action(&member, remarks)?,
            "value" => {
                if let Some(text) = remarks.read(&member, Node::text)? {
                    network = parse(text);
                    if network.is_none() {
                        let why = format_args!(
                            "{} is no address and no network (service tags are not known here): the rule is left out if it allows, and \
                             denies every address if it denies",
                            Cut(text)
                        );
                        remarks.push(&member, why);
                    }
                }
            }
            _ => remarks.push(&member, "is not known here: it has no effect"),
        }
    }
    Ok(match (network, met) {
        (Some(network), met) => vec![(met, network)],
        (None, Action::Allow) if is_known => Vec::new(),
        (None, Action::Allow | Action::Deny) => ALL.map(|network| (Action::Deny, network)).into(),
    })
}

fn parse(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = text.parse().map(|network: IpNet| network.trunc());
    network.ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
