//! What hub servers have encoded for clients.

use hubgate_wire::service::Payloads;
use hubgate_wire::signalr::HubProtocol;

use crate::outgoing::Outgoing;

/// What is sent to clients of each protocol. Clients of a protocol that has no payload get nothing.
pub(super) fn outgoing(payloads: &Payloads<'_>) -> Outgoing {
    let known = payloads.iter().filter_map(|(name, payload)| Some((HubProtocol::named(name)?, *payload)));
    Outgoing::encoded(known)
}
