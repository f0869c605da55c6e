//! Messages of hub servers that are longer than `server.limits.server-message`. Each is passed over as it comes, its sender is told,
//! and its connection goes on: the clients that it serves have no part in it.

use bytes::Bytes;
use hubgate_wire::service::{self, Abridged, ErrorCompletion, ServiceError, ServiceEvent, ServiceMessage};

use super::message::{dispatch, refuse_what_is_acked};
use super::servers::{ServerPhase, Skipped, written};
use super::{Links, Took, client_result};
use crate::client::Clients;
use crate::id::{ConnectionId, HubIndex, ServerConnectionId};
use crate::order::ServerOrder;
use crate::turn::Turn;

/// What an event is about: a hub server's connection.
const SERVER_CONNECTION: i64 = 4;
/// What has become of it: it has been sent more than there is room for.
const BUFFER_FULL: i64 = 3;

/// A message that is passed over.
#[derive(Debug)]
pub(super) struct Oversized {
    /// In bytes.
    length: usize,
    abridged: Abridged,
}

/// Whether what comes next of a hub server belongs to a message that is passed over.
#[inline]
pub(super) fn is_passing_over(links: &Links, id: ServerConnectionId) -> bool {
    !links.oversized.is_empty() && links.oversized.contains_key(&id)
}

/// A message of `length` bytes, which is too long, begins.
pub(super) fn begin_to_pass_over(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    id: ServerConnectionId,
    length: usize,
) {
    let Some(server) = links.servers.get(id) else {
        return;
    };
    match server.phase() {
        // Nothing that follows can be its handshake request.
        ServerPhase::Handshaking { .. } => links.refuse_server(clients, turn, id, has_no_effect(turn, length)),
        ServerPhase::Open(_) => {
            links.oversized.insert(id, Oversized { length, abridged: Abridged::new(length) });
        }
    }
}

/// Passes over what has come of a message that is too long, and acts on its end.
pub(super) fn pass_over(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    id: ServerConnectionId,
    input: &mut &[u8],
) -> Took {
    let Some(oversized) = links.oversized.get_mut(&id) else {
        return Took::Nothing;
    };
    if !oversized.abridged.read(input) {
        return Took::Nothing;
    }
    if let Some(oversized) = links.oversized.remove(&id)
        && let Some(hub) = links.servers.hub(id)
    {
        tell_of(links, clients, turn, (id, hub), &oversized);
    }
    Took::Message
}

/// Tells whom a message concerns that it has no effect.
fn tell_of(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (from, hub): (ServerConnectionId, HubIndex),
    oversized: &Oversized,
) {
    let error = has_no_effect(turn, oversized.length);
    links.servers.skip(clients, turn, from, Skipped::Oversized, &error);
    let event =
        ServiceEvent { object_type: SERVER_CONNECTION, kind: BUFFER_FULL, message: &error, ..ServiceEvent::default() };
    links.servers.send(turn, from, &ServiceMessage::ServiceEvent(event));
    match oversized.abridged.message() {
        Some(ServiceMessage::ConnectionData(data)) => {
            if let Some(to) = ConnectionId::parse(data.connection_id.0) {
                dispatch(links, clients, turn, (from, to), hub, ServerOrder::SaysTooMuch { from, to });
            }
        }
        Some(ServiceMessage::ClientInvocation(call)) => {
            client_result::refuse(&links.servers, turn, from, &call, &error);
        }
        Some(ServiceMessage::ClientCompletion(completion)) => {
            let failed = ErrorCompletion {
                invocation_id: completion.invocation_id,
                connection_id: completion.connection_id,
                caller_server_id: completion.caller_server_id,
                error: &error,
                ..ErrorCompletion::default()
            };
            fail_call_of(links, clients, turn, (from, hub), failed);
        }
        Some(message) => {
            refuse_what_is_acked(&links.servers, turn, from, &message);
        }
        None => {}
    }
}

/// The answer of a client cannot be passed on: whoever has called it is told.
fn fail_call_of(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    (from, hub): (ServerConnectionId, HubIndex),
    failed: ErrorCompletion<'_>,
) {
    let client = ConnectionId::parse(failed.connection_id);
    let framed = written(&ServiceMessage::ErrorCompletion(failed));
    if let (Some(client), Ok(Some(body))) = (client, service::split_message(&mut &framed[..])) {
        let message = Bytes::copy_from_slice(body);
        dispatch(links, clients, turn, (from, client), hub, ServerOrder::Complete { client, message });
    }
}

/// A message has a length that no message can have; where the next one begins is unknown.
pub(super) fn end_unreadable(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, id: ServerConnectionId) {
    let error = "The length before a message is none that a message can have.";
    match links.servers.get(id).map(|server| server.phase()) {
        Some(ServerPhase::Handshaking { .. }) => links.refuse_server(clients, turn, id, error.to_owned()),
        Some(ServerPhase::Open(_)) => {
            links.servers.send(turn, id, &ServiceMessage::ServiceError(ServiceError { error }));
            links.end_server(clients, turn, id, error.to_owned());
        }
        None => {}
    }
}

/// What is said of a message of `length` bytes.
fn has_no_effect(turn: &Turn<'_>, length: usize) -> String {
    let limit = turn.settings.limits.server_message;
    format!("A message of {length} bytes has no effect: `server.limits.server-message` of the gateway allows {limit}.")
}
