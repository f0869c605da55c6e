//! How a client comes in: what it opens with is read, others see it, and it is answered.

use std::sync::Arc;

use hubgate_wire::websocket::Frame;

use super::dialect::Dialect;
use super::read_holds::Hold;
use super::{Clients, Phase, groups};
use crate::arrivals::{Identity, Reconnect};
use crate::close_cause::CloseCause;
use crate::directory_change::DirectoryChange;
use crate::effect::Effect;
use crate::event::ConnectionFacts;
use crate::id::Slot;
use crate::turn::{Step, Turn};

/// Reads what a client opens with. One that cannot be let in is told so, and none is given.
pub(crate) fn read(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, request: &[u8]) -> Option<Dialect> {
    let client = &clients[slot];
    match client.dialect().open(request, client.kind(), client.transport(), turn.settings.detailed_errors) {
        Ok((dialect, reconnect)) => {
            if dialect.is_asp_net()
                && let Phase::Handshaking { identity, .. } = &mut clients.arena[slot].phase
            {
                identity.query = String::from_utf8_lossy(request).into();
            }
            if reconnect == Reconnect::Stateful {
                clients.arena[slot].line_mut().begin_log(&clients.kept);
            }
            Some(dialect)
        }
        Err(error) => {
            clients.refuse(turn, slot, CloseCause::HandshakeError, error);
            None
        }
    }
}

/// Others see the client from here on; whoever answers it decides whether it stays.
pub(crate) fn register(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, dialect: Dialect) {
    let closed = Phase::Closed { facts: None };
    let client = &mut clients.arena[slot];
    let Phase::Handshaking { identity, .. } = std::mem::replace(&mut client.phase, closed) else {
        unreachable!("only a handshaking client is registered");
    };
    let Identity { user_id, claims, query, headers, remote_address, mut groups } = *identity;
    client.speaks(dialect);
    let protocol = dialect.protocol();
    let (index, id, transport) = (client.hub(), client.id(), client.transport());
    let also_in = client.also_in.clone();
    let name = clients.hubs[index].name.clone();
    let facts = Arc::new(ConnectionFacts { hub: name, id, user_id, protocol, claims, query, headers, remote_address });
    for each in std::iter::once(index).chain(also_in) {
        let hub = &mut clients.hubs[each];
        hub.directory.apply(DirectoryChange::ClientsEntered(1));
        if let Some(user) = &facts.user_id
            && !hub.has_user(user)
        {
            hub.directory.apply(DirectoryChange::UserEntered { user: user.clone(), shard: turn.here() });
        }
        // It is one connection, and counts in its own hub.
        hub.add(slot, (each == index).then_some(transport), facts.user_id.as_ref());
    }
    if let Some(user) = &facts.user_id {
        groups.extend(clients.hubs.directory().memberships.groups_of(&facts.hub, user, turn.now));
    }
    clients.slots.insert(id, slot);
    if let Some(token) = clients[slot].token.filter(|token| *token != id) {
        clients.by_token.insert(token, slot);
    }
    let client = &mut clients[slot];
    client.phase = Phase::Connecting { facts };
    client.hold_back();
    for group in groups {
        groups::join(clients, turn, slot, &group);
    }
}

/// Lets in a client that the gateway itself serves.
pub(crate) fn accept(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let answer = clients[slot].dialect().accepted();
    let_in(clients, turn, slot, Some(answer));
    clients.release_hold(turn, slot, Hold::Admission);
}

/// Sends the answer to what a client has opened with, if there is one, and after it what was held back.
pub(crate) fn let_in(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, answer: Option<Frame>) {
    let client = &mut clients[slot];
    let Phase::Connecting { facts } = &client.phase else {
        return;
    };
    client.phase = Phase::Open { facts: facts.clone() };
    (client.line_mut().last_sent, client.line_mut().last_heard) = (turn.now, turn.now);
    if let Some(frame) = answer {
        client.line().attachment().effect(turn, |to| Effect::Send { to, frame });
    }
    turn.then(Step::ReleaseHeld(slot));
    turn.then(Step::CheckDeadlines(slot));
}
