//! What clients have said and nobody has parsed yet, within bounds.

use bytes::BytesMut;

use super::dialect::LONGEST_OPENING;
use super::read_holds::Hold;
use super::{Clients, Phase};
use crate::close_cause::CloseCause;
use crate::id::Slot;
use crate::turn::Turn;

/// Keeps what cannot be parsed yet.
pub(crate) fn keep(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, bytes: &[u8]) {
    let client = &mut clients[slot];
    if client.is_closed() {
        return;
    }
    client.add_unread(bytes);
    check(clients, turn, slot);
}

/// Puts back what is left after some of it was parsed.
pub(crate) fn put_back(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, unread: BytesMut) {
    if !unread.is_empty() && !clients[slot].is_closed() {
        clients[slot].put_unread(unread);
        check(clients, turn, slot);
    }
}

fn check(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let limit = turn.settings.limits.message;
    let client = &clients[slot];
    let unread = client.unread_message();
    match client.phase {
        Phase::Handshaking { .. } if unread > LONGEST_OPENING => {
            let error = client.dialect().opening_too_long(turn.settings.detailed_errors);
            clients.refuse(turn, slot, CloseCause::HandshakeError, error);
        }
        Phase::Open { .. } if client.is_parsing() && unread > limit => clients.too_large(turn, slot),
        Phase::Connecting { .. } if unread > LONGEST_OPENING => {
            clients.hold(turn, slot, Hold::Admission);
        }
        Phase::Handshaking { .. } | Phase::Connecting { .. } | Phase::Open { .. } | Phase::Closed { .. } => {}
    }
}
