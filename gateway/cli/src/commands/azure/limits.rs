//! The application firewall and the time-outs of serverless clients become limits and time-outs.
//!
//! Source: Azure SignalR Service, "Application Firewall", and the resource's reference, "ServerlessSettings".

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::node::{Malformed, Node};
use super::remarks::Remarks;

/// What a rule allows that does not say how many.
const DEFAULT_COUNT: u64 = 20;
/// What the gateway has where nothing is said, in seconds.
const DEFAULT_KEEP_ALIVE: u64 = 15;
const DEFAULT_CLIENT: u64 = 30;
/// Longer than any time-out that the service takes, in seconds.
const LONGEST: u64 = 3_600;

/// Of `[server.limits]` and `[server.timeouts]`.
#[derive(Debug, Default)]
pub(super) struct Limits {
    per_user: Option<u64>,
    per_token: Option<u64>,
    per_claim: BTreeMap<String, u64>,
    /// In seconds.
    client: Option<u64>,
    keep_alive: Option<u64>,
}

impl Limits {
    /// `applicationFirewall`.
    pub(super) fn firewall(&mut self, firewall: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        for member in remarks.members(firewall)? {
            match member.name().as_str() {
                "clientconnectioncountrules" => {
                    for rule in remarks.items(&member)? {
                        self.count(&rule, remarks)?;
                    }
                }
                "clienttrafficcontrolrules" => {
                    for rule in remarks.items(&member)? {
                        let why = "traffic is not limited by bytes, users or claims here: `server.limits.messages-per-second` counts the \
                                   messages of each connection";
                        remarks.push(&rule, why);
                    }
                }
                "maxclientconnectionlifetimeinseconds" => {
                    let why = "connections have no longest life here: `hubs.NAME.close-on-expiry` ends those of the gateway's own tokens with \
                               their tokens";
                    remarks.push(&member, why);
                }
                _ => remarks.push(&member, "is not known here: it has no effect"),
            }
        }
        Ok(())
    }

    fn count(&mut self, rule: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        let (mut kind, mut claim, mut most) = (None, None, Some(DEFAULT_COUNT));
        for member in remarks.members(rule)? {
            match member.name().as_str() {
                "type" => kind = remarks.read(&member, Node::text)?,
                "claimname" => claim = remarks.read(&member, Node::text)?.filter(|name| !name.is_empty()),
                "maxcount" => most = remarks.read(&member, Node::whole_number)?,
                _ => remarks.push(&member, "is not known here: it has no effect"),
            }
        }
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        let most = match most {
            Some(most @ 1..) => most,
            Some(_) => {
                remarks.push(rule, "is left out: it allows nobody, and 0 is no limit here");
                return Ok(());
            }
            None => {
                remarks.push(rule, "is left out: how many it allows is not known");
                return Ok(());
            }
        };
        // Where several are about the same, all of them hold.
        let least = |limit: &mut Option<u64>| *limit = Some(limit.map_or(most, |other| other.min(most)));
        match (kind.as_str(), claim) {
            ("throttlebyuseridrule", _) => least(&mut self.per_user),
            ("throttlebyjwtsignaturerule", _) => least(&mut self.per_token),
            ("throttlebyjwtcustomclaimrule", Some(claim)) => {
                let limit = self.per_claim.entry(claim.to_owned()).or_insert(most);
                *limit = most.min(*limit);
            }
            ("throttlebyjwtcustomclaimrule", None) => {
                remarks.push(rule, "is left out: the claim by which it counts is not known")
            }
            _ => remarks.push(rule, "is left out: clients are counted by user, token or claim here"),
        }
        Ok(())
    }

    /// `serverless`.
    pub(super) fn serverless(&mut self, settings: &Node<'_>, remarks: &mut Remarks) -> Result<(), Malformed> {
        let (mut client, mut keep_alive) = (None, None);
        for member in remarks.members(settings)? {
            let taken = match member.name().as_str() {
                "connectiontimeoutinseconds" => &mut client,
                "keepaliveintervalinseconds" => &mut keep_alive,
                _ => {
                    remarks.push(&member, "is not known here: it has no effect");
                    continue;
                }
            };
            match remarks.read(&member, Node::whole_number)? {
                Some(seconds @ 1..=LONGEST) => *taken = Some((member, seconds)),
                Some(_) => remarks.push(&member, format_args!("is left out: it is not from 1 to {LONGEST} seconds")),
                None => {}
            }
        }
        self.settle(client, keep_alive, remarks);
        Ok(())
    }

    /// A client must be pinged before it counts as gone: what would not go together is changed, and named. All in seconds.
    fn settle(&mut self, client: Option<(Node<'_>, u64)>, keep_alive: Option<(Node<'_>, u64)>, remarks: &mut Remarks) {
        self.client = client.as_ref().map(|(_, seconds)| *seconds);
        self.keep_alive = keep_alive.as_ref().map(|(_, seconds)| *seconds);
        match (client, keep_alive) {
            (Some((_, client)), Some((node, pings))) if pings > client => {
                self.keep_alive = Some(client);
                remarks.push(
                    &node,
                    format_args!("is longer than the time-out: `keep-alive` is {client} seconds, as `client` is"),
                );
            }
            (Some((node, client)), None) if client < DEFAULT_KEEP_ALIVE => {
                let pings = client.div_ceil(2);
                self.keep_alive = Some(pings);
                let why = format_args!(
                    "is shorter than the {DEFAULT_KEEP_ALIVE} seconds between pings that the gateway has by itself: `keep-alive` is {pings} \
                     seconds"
                );
                remarks.push(&node, why);
            }
            (None, Some((node, pings))) if pings > DEFAULT_CLIENT => {
                self.client = Some(pings);
                let why = format_args!(
                    "is longer than the {DEFAULT_CLIENT} seconds that the gateway waits for a client by itself: `client` is {pings} seconds"
                );
                remarks.push(&node, why);
            }
            (Some(_) | None, Some(_) | None) => {}
        }
    }

    /// `[server]`, if anything of it is set.
    pub(super) fn into_server(self) -> Option<Table> {
        let number = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let mut limits = Table::new();
        limits.extend(self.per_user.map(|most| ("connections-per-user".to_owned(), number(most))));
        limits.extend(self.per_token.map(|most| ("connections-per-token".to_owned(), number(most))));
        if !self.per_claim.is_empty() {
            let counts: Table = self.per_claim.into_iter().map(|(claim, most)| (claim, number(most))).collect();
            limits.insert("connections-per-claim".to_owned(), counts.into());
        }
        let mut timeouts = Table::new();
        let seconds = |seconds: u64| Value::from(format!("{seconds}s"));
        timeouts.extend(self.client.map(|client| ("client".to_owned(), seconds(client))));
        timeouts.extend(self.keep_alive.map(|pings| ("keep-alive".to_owned(), seconds(pings))));
        let tables = [("limits", limits), ("timeouts", timeouts)].into_iter().filter(|(_, table)| !table.is_empty());
        let server: Table = tables.map(|(name, table)| (name.to_owned(), table.into())).collect();
        (!server.is_empty()).then_some(server)
    }
}
