//! Hub servers that call a client and wait for its result.
//!
//! Source: Azure SignalR SDK for .NET, "Client Invocation" (`specs/ClientInvocation.md`). The client answers the hub server
//! that it is routed to; that one reads the answer and sends it on to the server that called.

use bytes::Bytes;
use hubgate_wire::service::{self, ErrorCompletion, ServiceMapping, ServiceMessage};
use hubgate_wire::websocket::Frame;

use super::Links;
use super::client_link::ClientInvocation;
use super::servers::{Servers, written};
use crate::client::Clients;
use crate::client::held::ClientCall;
use crate::id::{ConnectionId, HubIndex, ServerConnectionId, Slot};
use crate::time::Millis;
use crate::turn::Turn;

/// How long an answer is waited for.
pub(super) const CLIENT_RESULT_TIMEOUT: Millis = Millis(600_000);
/// Why a call fails whose client is not there.
pub(super) const NO_CONNECTION: &str = "The connection does not exist.";
/// What hub servers know the gateway by, where they ask which of several instances has a client.
const INSTANCE: &str = "hubgate";

/// Answers a hub server of this shard whose call can be nobody's.
pub(super) fn refuse(
    servers: &Servers,
    turn: &mut Turn<'_>,
    from: ServerConnectionId,
    call: &service::ClientInvocation<'_>,
    error: &str,
) {
    let completion = ErrorCompletion {
        invocation_id: call.invocation_id,
        connection_id: call.connection_id,
        caller_server_id: call.caller_server_id,
        error,
        ..ErrorCompletion::default()
    };
    servers.send(turn, from, &ServiceMessage::ErrorCompletion(completion));
}

/// Sends a client the call of a hub server, as `frame`.
pub(super) fn call_client(
    links: &Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    call: &ClientCall,
    frame: Frame,
) {
    let (hub, id) = (clients[slot].hub(), clients[slot].id());
    let (Some(link), Ok(message)) = (links.get(slot), service::parse(&call.message)) else {
        return;
    };
    let Some(invocation) = link.invocations.iter().find(|each| each.id == call.invocation_id) else {
        // It has failed while filters looked at it.
        return;
    };
    let (route, caller, from) = (link.route.clone(), invocation.caller.clone(), invocation.from);
    if route.server != caller {
        // It must know whose the answer is before it comes.
        links.pass(clients, turn, hub, route.connection, written(&message));
        let mapping = ServiceMapping {
            invocation_id: &call.invocation_id,
            connection_id: id.as_str(),
            instance_id: INSTANCE,
            ..ServiceMapping::default()
        };
        let mapping = written(&ServiceMessage::ServiceMapping(mapping)).into();
        links.pass_to_any_of_server(clients, turn, hub, from, caller, mapping);
    }
    clients.send_at_once(turn, slot, frame);
}

/// Whether anybody still waits for the call's answer: it may have failed while it was held back.
pub(super) fn is_awaited(links: &Links, slot: Slot, call: &ClientCall) -> bool {
    links.get(slot).is_some_and(|link| link.invocations.iter().any(|each| each.id == call.invocation_id))
}

/// A call does not reach its client.
pub(super) fn fail_call(
    links: &mut Links,
    clients: &Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    call: &ClientCall,
    error: &str,
) {
    let of = (clients[slot].hub(), clients[slot].id());
    let Some(link) = links.get_mut(slot) else {
        return;
    };
    if let Some(index) = link.invocations.iter().position(|each| each.id == call.invocation_id) {
        let invocation = link.invocations.swap_remove(index);
        fail(links, clients, turn, of, &invocation, error);
    }
}

/// The answer of a client of this shard, as its hub server read it. `message` is the body of the server's message.
pub(super) fn completed(
    links: &mut Links,
    clients: &Clients,
    turn: &mut Turn<'_>,
    hub: HubIndex,
    id: ConnectionId,
    message: &Bytes,
) {
    let parsed = service::parse(message);
    let invocation_id = match &parsed {
        Ok(ServiceMessage::ClientCompletion(completion)) => completion.invocation_id,
        Ok(ServiceMessage::ErrorCompletion(completion)) => completion.invocation_id,
        _ => return,
    };
    let Some(link) = clients.find_in(hub, id).and_then(|slot| links.get_mut(slot)) else {
        return;
    };
    let Some(index) = link.invocations.iter().position(|each| *each.id == *invocation_id) else {
        return;
    };
    let ClientInvocation { caller, from, .. } = link.invocations.swap_remove(index);
    // A caller that has the client itself has read the answer already.
    if caller != link.route.server
        && let Ok(message) = parsed
    {
        links.pass_to_any_of_server(clients, turn, hub, from, caller, written(&message).into());
    }
}

/// Ends calls that have waited too long; gives when the next one will have.
pub(super) fn check(links: &mut Links, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) -> Option<Millis> {
    let of = (clients[slot].hub(), clients[slot].id());
    let link = links.get_mut(slot)?;
    let late: Vec<_> = link.invocations.extract_if(.., |each| each.deadline <= turn.now).collect();
    let next = link.invocations.iter().map(|each| each.deadline).min();
    for invocation in late {
        fail(links, clients, turn, of, &invocation, "The connection did not answer in time.");
    }
    next
}

/// Tells the caller that there will be no answer.
pub(super) fn fail(
    links: &Links,
    clients: &Clients,
    turn: &mut Turn<'_>,
    (hub, id): (HubIndex, ConnectionId),
    invocation: &ClientInvocation,
    error: &str,
) {
    let completion = ErrorCompletion {
        invocation_id: &invocation.id,
        connection_id: id.as_str(),
        caller_server_id: invocation.caller.as_str(),
        error,
        ..ErrorCompletion::default()
    };
    let message = written(&ServiceMessage::ErrorCompletion(completion)).into();
    links.pass_to_any_of_server(clients, turn, hub, invocation.from, invocation.caller.clone(), message);
}
