//! Hub servers that call a client: the call on its way there.

use bytes::Bytes;
use hubgate_wire::service::{self, ServiceMessage};
use hubgate_wire::websocket::Frame;

use super::client_link::ClientInvocation;
use super::client_result::{self, CLIENT_RESULT_TIMEOUT, NO_CONNECTION};
use super::payloads::outgoing;
use super::{Links, outgoing as lane};
use crate::client::held::{ClientCall, HeldBack, HeldMessage};
use crate::client::{Clients, MAX_PENDING_CLIENT_RESULTS};
use crate::filter::{Direction, Origin};
use crate::id::{ConnectionId, HubIndex, ServerConnectionId, ServerId, Slot};
use crate::outgoing::Outgoing;
use crate::turn::{Step, Turn};

/// A hub server calls a client of this shard. `message` is the body of its message. From here on the call has an end,
/// whatever becomes of the client, its server and its filters.
pub(super) fn invoke(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    hub: HubIndex,
    (from, origin): (ServerConnectionId, Origin),
    id: ConnectionId,
    message: Bytes,
) {
    let Ok(ServiceMessage::ClientInvocation(call)) = service::parse(&message) else {
        return;
    };
    let invocation = ClientInvocation {
        id: call.invocation_id.into(),
        caller: ServerId::new(call.caller_server_id),
        from,
        deadline: turn.now + CLIENT_RESULT_TIMEOUT,
    };
    let outgoing = outgoing(&call.payloads);
    let (slot, frame) = match find_callable(links, clients, hub, id, &outgoing) {
        Ok(found) => found,
        Err(error) => return client_result::fail(links, clients, turn, (hub, id), &invocation, &error),
    };
    let invocation_id = invocation.id.clone();
    if let Some(link) = links.get_mut(slot) {
        link.invocations.push(invocation);
    }
    let is_held = clients[slot].holds_back() || clients.hub(hub).filters.inspects(Direction::Outbound);
    let call = ClientCall { origin, message: message.clone(), outgoing, invocation_id };
    match is_held {
        true => lane::enqueue(links, clients, turn, slot, HeldBack::Message(HeldMessage::Call(call))),
        false => client_result::call_client(links, clients, turn, slot, &call, frame),
    }
    turn.then(Step::CheckDeadlines(slot));
}

/// A client that may be called, and the call in its protocol; or why it cannot be.
fn find_callable(
    links: &Links,
    clients: &Clients,
    hub: HubIndex,
    id: ConnectionId,
    outgoing: &Outgoing,
) -> Result<(Slot, Frame), String> {
    let slot = clients.find_in(hub, id).ok_or(NO_CONNECTION)?;
    let dialect = clients[slot].dialect();
    let link = links.get(slot).ok_or("The connection is not served by a hub server.")?;
    if link.moving.is_some() {
        // What it answers would not reach the server that is told of the call.
        return Err("The connection is moving to another server.".to_owned());
    }
    let frame = dialect.frame_of(outgoing).cloned();
    let frame = frame.ok_or_else(|| format!("The call has no payload for the protocol '{}'.", dialect.name()))?;
    match link.invocations.len() < MAX_PENDING_CLIENT_RESULTS {
        true => Ok((slot, frame)),
        false => Err(format!("{MAX_PENDING_CLIENT_RESULTS} calls of the connection wait for their results.")),
    }
}
