//! The first clients of a hub wait until other nodes know that this one has any: from then on they get what is sent there.

use std::collections::BTreeMap;

use super::Clients;
use super::read_holds::Hold;
use crate::directory_change::DirectoryChange;
use crate::id::{HubIndex, HubName, Slot};
use crate::turn::Turn;

/// What this shard has announced of its hubs and other nodes have not heard.
#[derive(Debug, Default)]
pub(super) struct Announcements(BTreeMap<HubName, Pending>);

#[derive(Debug, Default)]
struct Pending {
    /// How often it was announced that the hub is used: a client that comes and goes before that is heard is announced twice.
    count: usize,
    waiting: Vec<Slot>,
}

/// A client opens. It is not read before the other nodes know that its hub is used here.
pub(super) fn opened(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, index: HubIndex) {
    let hub = &mut clients.hubs[index];
    hub.open_clients += 1;
    if hub.open_clients == 1 {
        let here = turn.here();
        hub.announce(turn, DirectoryChange::HubUsed(here));
        if !turn.neighbours.nodes().is_empty() {
            clients.announcements.0.entry(hub.name.clone()).or_default().count += 1;
        }
    }
    if !clients.announcements.0.is_empty()
        && let Some(pending) = clients.announcements.0.get_mut(&clients.hubs[index].name)
    {
        pending.waiting.push(slot);
        clients.hold(turn, slot, Hold::Announcement);
    }
}

/// A client is closed.
pub(super) fn closed(clients: &mut Clients, turn: &mut Turn<'_>, index: HubIndex) {
    let hub = &mut clients.hubs[index];
    hub.open_clients -= 1;
    if hub.open_clients == 0 {
        let here = turn.here();
        hub.announce(turn, DirectoryChange::HubUnused(here));
    }
}

/// The other nodes know that a hub is used here, as far as it was announced the first time that was not answered.
pub(crate) fn announced(clients: &mut Clients, turn: &mut Turn<'_>, hub: &HubName) {
    let Some(pending) = clients.announcements.0.get_mut(hub) else {
        return;
    };
    pending.count -= 1;
    if pending.count > 0 {
        return;
    }
    let pending = clients.announcements.0.remove(hub).unwrap_or_default();
    for slot in pending.waiting {
        if clients.is_still(slot) {
            clients.release_hold(turn, slot, Hold::Announcement);
        }
    }
}
