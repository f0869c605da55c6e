//! Streams to clients: an application answers the stream call of a client, item by item, and ends it.
//!
//! Source: Azure SignalR Service, "Data plane REST API", version 2024-12-01; the Azure SignalR SDK for .NET sends an item as the body. Whether the
//! service knows which streams a client has is not documented; the SDK's other transport sends items as any message to one connection.

use hubgate_core::Outgoing;
use hubgate_core::delivery::{Action, Target};
use hubgate_core::id::ConnectionId;

use crate::questions::HubAccess;
use crate::refusal::Refusal;

/// Sends what belongs to one stream, in order. The client drops what is of no stream of its own, and a connection that is not there gets nothing, as
/// of any send.
pub(super) async fn send(
    access: &HubAccess<'_>,
    connection: Option<ConnectionId>,
    messages: impl IntoIterator<Item = Outgoing>,
) -> Result<(), Refusal> {
    let Some(to) = connection.map(Target::Connection) else { return Ok(()) };
    let send = |message| Action::Send { to: to.clone(), message, except: Vec::new().into() };
    access.send(messages.into_iter().map(send).collect()).await
}
