//! What clients say, on its way to their hub servers.

use std::borrow::Cow;
use std::sync::Arc;

use hubgate_wire::service::{
    self, AnyText, ConnectionData, Extensions, Headers, OpenConnection, ServiceMessage, UpdateConnectionClaims,
    long_name,
};

use super::Links;
use super::servers::{protocol_extension, written};
use crate::client::Clients;
use crate::client::dialect::Dialect;
use crate::event::ConnectionFacts;
use crate::id::{ConnectionId, ServerId, Slot};
use crate::slowed_clients;
use crate::turn::Turn;

/// Claims that say for whom a token is and how long it is good (RFC 7519, section 4.1).
const OF_TOKENS: [&str; 5] = ["aud", "exp", "iat", "iss", "nbf"];

/// Hands over what a client says, as it is.
#[inline]
pub(super) fn forward(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, bytes: &[u8]) {
    let messages = hand_over(links, clients, turn, slot, bytes);
    let hub = clients[slot].hub();
    clients.hub_mut(hub).counters.messages_in += messages as u64;
    slowed_clients::charge(clients, turn, slot, messages);
}

/// What a client says, written for its hub server, if it has one.
pub(crate) fn pass_on(
    links: &mut Links,
    clients: &Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    write: impl FnOnce(&mut Vec<u8>),
) {
    if let Some(link) = links.get_mut(slot) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        if let Some(bytes) = link.hold_if_moving(bytes) {
            hand_over(links, clients, turn, slot, &bytes);
        }
    }
}

/// Hands a client's bytes to its hub server. Gives how many messages end in them.
#[inline]
pub(super) fn hand_over(links: &mut Links, clients: &Clients, turn: &mut Turn<'_>, slot: Slot, bytes: &[u8]) -> usize {
    let client = &clients[slot];
    let Some(link) = links.get_mut(slot) else {
        return 0;
    };
    link.has_spoken = true;
    let messages = match client.dialect().is_asp_net() {
        // It comes message by message, and which calls wait only the server knows.
        true => 1,
        false => link.exchange.client_says(bytes).messages,
    };
    let to = link.route.connection;
    links.pass(clients, turn, client.hub(), to, connection_data(client.id(), bytes));
    messages
}

/// Tells its hub server of a client, and gives it what the client has opened with. `from` is the server that it has moved from.
pub(super) fn open(links: &mut Links, clients: &Clients, turn: &mut Turn<'_>, slot: Slot, from: Option<&ServerId>) {
    let client = &clients[slot];
    let (Some(facts), Some(link)) = (client.facts(), links.get(slot)) else {
        return;
    };
    let claims = claims_for_server(facts, client.dialect());
    let query = match &*facts.query {
        "" => String::new(),
        query => format!("?{query}"),
    };
    let (id, dialect) = (client.id(), client.dialect());
    let extensions = match dialect.is_asp_net() {
        true => Extensions::default(),
        false => protocol_extension(dialect.name()),
    };
    let open = OpenConnection {
        connection_id: id.as_str(),
        claims: claims.iter().map(|(name, value)| (&**name, *value)).collect(),
        headers: headers(facts, from),
        query: &query,
        extensions,
    };
    let mut messages = written(&ServiceMessage::OpenConnection(open));
    if !link.opening.is_empty() {
        messages.extend_from_slice(&connection_data(id, &link.opening));
    }
    let hub = &clients.hub_of(slot).name;
    let here = turn.here();
    links.servers.open_client(turn, hub, link.route.connection, (id, here), messages);
}

/// Tells its hub server, if it has one, that a client has other claims.
pub(crate) fn tell_claims(links: &Links, clients: &Clients, turn: &mut Turn<'_>, slot: Slot) {
    let client = &clients[slot];
    let (Some(facts), Some(link)) = (client.facts(), links.get(slot)) else {
        return;
    };
    if link.server_knows_end {
        return;
    }
    let (id, claims) = (client.id(), claims_for_server(facts, client.dialect()));
    let update = UpdateConnectionClaims {
        connection_id: id.as_str(),
        claims: claims.iter().map(|(name, value)| (&**name, *value)).collect(),
        ..UpdateConnectionClaims::default()
    };
    let message = written(&ServiceMessage::UpdateConnectionClaims(update));
    links.pass(clients, turn, client.hub(), link.route.connection, message);
}

/// The claims of a client under the names that hub servers know them by. To those of ASP.NET SignalR a client with any claims is one that has signed
/// in, so that they get none that only its token is about.
fn claims_for_server(facts: &ConnectionFacts, dialect: Dialect) -> Vec<(Cow<'_, str>, &str)> {
    let is_passed = |name: &str| !(dialect.is_asp_net() && OF_TOKENS.contains(&name));
    let claims = facts.claims.iter().filter(|(name, _)| is_passed(name));
    claims.map(|(name, value)| (long_name(name), value)).collect()
}

fn connection_data(id: ConnectionId, bytes: &[u8]) -> Vec<u8> {
    let data = ConnectionData { connection_id: AnyText(id.as_bytes()), payload: bytes, ..ConnectionData::default() };
    let mut message = Vec::with_capacity(bytes.len() + 48);
    service::write(&ServiceMessage::ConnectionData(data), &mut message);
    message
}

/// The headers of a client's request as its hub server gets them: each name once, none that only the gateway may set, and the
/// address that the gateway believes.
fn headers<'a>(facts: &'a Arc<ConnectionFacts>, from: Option<&'a ServerId>) -> Headers<'a> {
    let mut headers: Headers<'a> = Vec::new();
    for (name, value) in facts.headers.iter() {
        let is_ours = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("asrs-"));
        if is_ours || name.eq_ignore_ascii_case("x-forwarded-for") {
            continue;
        }
        match headers.iter_mut().find(|(each, _)| each.eq_ignore_ascii_case(name)) {
            Some((_, values)) => values.push(value),
            None => headers.push((name, vec![value])),
        }
    }
    headers.push(("X-Forwarded-For", vec![&facts.remote_address]));
    if let Some(from) = from {
        headers.push(("Asrs-Migrate-From", vec![from.as_str()]));
    }
    headers
}
