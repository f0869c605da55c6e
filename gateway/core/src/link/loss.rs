//! Clients that lose their hub server, and hub servers that lose clients of other nodes.

use super::{Links, moving};
use crate::arrivals::WhenLost;
use crate::client::{Clients, Closing};
use crate::close_cause::CloseCause;
use crate::id::{NodeId, ServerConnectionId};
use crate::order::Leaving;
use crate::turn::Turn;

/// A node is gone: the clients here lose its hub servers, and the hub servers here its clients.
pub(crate) fn node_lost(links: &mut Links, clients: &mut Clients, turn: &mut Turn<'_>, node: NodeId) {
    let lost = links.clients_of.keys().filter(|id| id.owner.node == node);
    let mut lost: Vec<ServerConnectionId> = lost.copied().collect();
    lost.sort_unstable();
    for id in lost {
        let first = links.clients_of.get(&id).and_then(|slots| slots.first().copied());
        if let Some(link) = first.and_then(|slot| links.get(slot)) {
            let leaving = Leaving::Lost(link.route.when_lost);
            clients_lose_server(links, clients, turn, id, leaving);
        }
    }
    links.servers.lose_guests_of(turn, node);
}

/// The clients of a server connection lose it.
pub(super) fn clients_lose_server(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    server: ServerConnectionId,
    leaving: Leaving,
) {
    for slot in links.clients_of(server) {
        let Some(link) = links.get_mut(slot) else {
            continue;
        };
        if link.server_knows_end || clients[slot].is_closed() {
            // The server has ended it, perhaps after what filters look at.
            continue;
        }
        let has_moved = match leaving {
            Leaving::MovesClients => {
                moving::begin(links, clients, turn, slot);
                continue;
            }
            Leaving::DropsClients => false,
            Leaving::Lost(when_lost) => {
                link.server_knows_end = true;
                let moves = when_lost == WhenLost::MovesClients || link.moving.is_some();
                // The beginning of a message is lost with the server that has it.
                let may_move = moves && link.is_between_messages();
                may_move && moving::end(links, clients, turn, slot)
            }
        };
        if !has_moved {
            clients.close(turn, slot, CloseCause::ServerConnectionClosed, Closing::with_error(true, ""));
        }
    }
}
