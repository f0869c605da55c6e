//! What is different between hub servers of ASP.NET SignalR and the gateway.
//!
//! Source: Azure SignalR SDK for .NET, `Microsoft.Azure.SignalR.AspNet`: what its servers send is wrapped once more, and what they get is not.

use hubgate_wire::aspnet;
use hubgate_wire::service::{AnyText, ConnectionData, Payloads, ServiceMessage};
use hubgate_wire::signalr::HubProtocol;

use super::servers::written;
use crate::client::Session;
use crate::id::{ConnectionId, ShardAddress};
use crate::outgoing::Outgoing;

/// The text by which a hub server hears that its client has come by another transport.
const RECONNECTED: &[u8] = b"asrs:reconnect";
/// The name of the payload in what servers send to many.
const PAYLOAD: &str = "json";

/// Gives each message for clients a cursor, by which they can say later that they have had it. No two of a gateway are alike.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    made: u64,
}

impl Cursors {
    /// The messages that a hub server on this shard has wrapped; `None` if they cannot be read.
    pub(super) fn unwrap(&mut self, here: ShardAddress, payload: &[u8]) -> Option<Vec<Outgoing>> {
        let texts = aspnet::unwrap(payload).ok()?;
        Some(texts.into_iter().map(|text| self.outgoing(here, text)).collect())
    }

    fn outgoing(&mut self, here: ShardAddress, text: &[u8]) -> Outgoing {
        self.made += 1;
        let cursor = format!("{:x}-{:x}-{:x}", here.node.0, here.shard.0, self.made);
        match aspnet::with_cursor(text, &cursor) {
            Some(text) => Outgoing::encoded([(HubProtocol::AspNet, text)]),
            None => Outgoing::encoded([(HubProtocol::AspNet, text)]),
        }
    }
}

/// The payload of what a hub server sends to many.
pub(super) fn payload<'a>(payloads: &Payloads<'a>) -> Option<&'a [u8]> {
    payloads.iter().find_map(|(name, payload)| (*name == PAYLOAD).then_some(*payload))
}

/// Whether a client may see why its server ends it, by the claim `asrs.s.derror`.
pub(super) fn shows_errors(client: &Session) -> bool {
    let claim = client.facts().and_then(|facts| facts.claims.get("asrs.s.derror"));
    claim.is_some_and(|shows| shows.eq_ignore_ascii_case("true"))
}

/// Tells a hub server that its client has come by another transport.
pub(super) fn reconnected(client: ConnectionId) -> Vec<u8> {
    let connection_id = AnyText(client.as_bytes());
    written(&ServiceMessage::ConnectionData(ConnectionData {
        connection_id,
        payload: RECONNECTED,
        ..ConnectionData::default()
    }))
}
