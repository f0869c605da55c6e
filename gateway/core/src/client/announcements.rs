//! The first clients of a hub wait until other nodes know that this one has any: from then on they get what is sent there.

use std::collections::BTreeMap;

use super::Clients;
use super::read_holds::Hold;
use crate::directory_change::DirectoryChange;
use crate::hub::hubs::Hubs;
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

/// A client opens. It is not read before the other nodes know that its hubs are used here.
pub(super) fn opened(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let Clients { arena, hubs, announcements, .. } = clients;
    let mut waits = false;
    for index in arena[slot].hubs() {
        waits |= opened_in(hubs, announcements, turn, slot, index);
    }
    if waits {
        clients.hold(turn, slot, Hold::Announcement);
    }
}

/// The same in one hub. Gives whether the client waits for that.
fn opened_in(
    hubs: &mut Hubs,
    announcements: &mut Announcements,
    turn: &mut Turn<'_>,
    slot: Slot,
    index: HubIndex,
) -> bool {
    let hub = &mut hubs[index];
    hub.open_clients += 1;
    if hub.open_clients == 1 {
        let here = turn.here();
        hub.announce(turn, DirectoryChange::HubUsed(here));
        if !turn.neighbours.nodes().is_empty() {
            announcements.0.entry(hub.name.clone()).or_default().count += 1;
        }
    }
    match announcements.0.is_empty() {
        true => false,
        false => announcements.0.get_mut(&hub.name).map(|pending| pending.waiting.push(slot)).is_some(),
    }
}

/// A client is closed.
pub(super) fn closed(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let Clients { arena, hubs, .. } = clients;
    for index in arena[slot].hubs() {
        let hub = &mut hubs[index];
        hub.open_clients -= 1;
        if hub.open_clients == 0 {
            let here = turn.here();
            hub.announce(turn, DirectoryChange::HubUnused(here));
        }
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
        // Of several hubs, all have to be known.
        let is_in_others = clients.get(slot).is_some_and(|client| !client.also_in.is_empty());
        let waits_on = is_in_others && clients.announcements.0.values().any(|other| other.waiting.contains(&slot));
        if !waits_on && clients.is_still(slot) {
            clients.release_hold(turn, slot, Hold::Announcement);
        }
    }
}
