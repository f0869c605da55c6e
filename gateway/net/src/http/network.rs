//! Whether network rules let a request in.

use std::net::IpAddr;

use http::header::HeaderMap;

use super::forwarded::client_address;
use crate::network_rules::RequestKind;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Refuses a request that a rule denies. What a trusted proxy says of the client's address counts.
pub(crate) fn check(settings: &Settings, kind: RequestKind, peer: IpAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    let address = client_address(settings, peer, headers);
    match settings.network_rules.denying(kind, address) {
        Some(rule) => Err(Refusal::DeniedByRule { rule, kind, address }),
        None => Ok(()),
    }
}
