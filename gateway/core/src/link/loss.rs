//! Clients that lose their hub server, and hub servers that lose clients of other nodes.

use super::servers::{ServerKind, ServerPhase};
use super::{Links, moving, order_all};
use crate::arrivals::WhenLost;
use crate::client::returning::SERVER_OFFLINE;
use crate::client::{Clients, Closing};
use crate::close_cause::CloseCause;
use crate::directory_change::DirectoryChange;
use crate::id::{NodeId, ServerConnectionId};
use crate::order::{Leaving, ServerOrder};
use crate::time::Millis;
use crate::turn::Turn;

/// How long a server connection waits for its clients on other nodes to go, when the gateway stops: some longer than each of them takes at most.
const LONGEST_LEAVE: Millis = Millis(2_000);

/// A node is gone: the clients here lose its hub servers, and the hub servers here its clients, with what these were to answer.
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
    let servers = &links.servers;
    links.calls_elsewhere.node_lost(node, |server, message| servers.send(turn, server, message));
}

/// The gateway stops: clients that other nodes have of these server connections here go to servers there, once what they have called is answered.
pub(super) fn let_guests_leave(
    links: &mut Links,
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    servers: &[ServerConnectionId],
) {
    let mut leaving = Vec::new();
    for id in servers {
        let Some(server) = links.servers.get(*id) else { continue };
        let hub = server.hub();
        let may_move = matches!(server.phase(), ServerPhase::Open(ServerKind::Hub { migration })
            if migration.when_lost() == WhenLost::MovesClients);
        if may_move && server.guests_leave_since().is_none() && clients.hub(hub).directory.servers().clients_of(*id) > 0
        {
            links.servers.let_guests_leave(turn, *id);
            // First of all of them, so that no client goes from one to another.
            clients.hub(hub).announce(turn, DirectoryChange::ServerDrains(*id));
            leaving.push((*id, hub));
        }
    }
    for (server, hub) in leaving {
        let order = ServerOrder::Leaves { server, leaving: Leaving::MovesClients };
        order_all(links, clients, turn, hub, order);
    }
}

/// Whether clients on other nodes are still about to go from this server connection to others.
pub(super) fn guests_are_leaving(links: &Links, clients: &Clients, turn: &Turn<'_>, id: ServerConnectionId) -> bool {
    links.servers.get(id).is_some_and(|server| {
        let has_guests = clients.hub(server.hub()).directory.servers().clients_of(id) > 0;
        has_guests && server.guests_leave_since().is_some_and(|since| turn.now < since + LONGEST_LEAVE)
    })
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
                // What the server was to answer is lost with it: a client that waits for it hears so.
                let moves = (when_lost == WhenLost::MovesClients && link.is_answered()) || link.moving.is_some();
                // So is the beginning of a message that it has.
                let may_move = moves && link.is_between_messages();
                may_move && moving::end(links, clients, turn, slot)
            }
        };
        if !has_moved {
            let mut closing = Closing::with_error(true, "");
            if clients[slot].dialect().is_asp_net() {
                closing.error = Some(SERVER_OFFLINE.to_owned());
            }
            clients.close(turn, slot, CloseCause::ServerConnectionClosed, closing);
        }
    }
}
