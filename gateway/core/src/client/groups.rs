//! How clients come into groups and out of them: all of them this way, so that plugins that watch a group are told.

use super::{Clients, Session};
use crate::hub::presence::{Movement, Moving};
use crate::id::{GroupName, Slot};
use crate::question::Joined;
use crate::turn::Turn;

/// Puts a client into a group, unless it is in too many.
pub(crate) fn join(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, group: &GroupName) -> Joined {
    let Clients { arena, hubs, presence, .. } = clients;
    let client = &mut arena[slot];
    if client.groups.contains(group) {
        return Joined::Yes;
    }
    let hub = &mut hubs[client.hub()];
    if client.groups.len() >= turn.settings.limits.groups_per_connection {
        hub.counters.joins_refused += 1;
        return Joined::TooManyGroups;
    }
    client.groups.push(group.clone());
    hub.join(slot, group.clone());
    presence.note(turn, hub, group, moving(client, Movement::Joined));
    Joined::Yes
}

/// Takes a client out of a group, or out of all.
pub(crate) fn leave(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, group: Option<&GroupName>) {
    let Clients { arena, hubs, presence, .. } = clients;
    let client = &mut arena[slot];
    let left = match group {
        Some(group) => client.groups.extract_if(.., |each| each == group).collect(),
        None => std::mem::take(&mut client.groups),
    };
    let hub = &mut hubs[client.hub()];
    for group in left {
        hub.leave(slot, &group);
        presence.note(turn, hub, &group, moving(client, Movement::Left));
    }
}

fn moving(client: &Session, movement: Movement) -> Moving<'_> {
    let user_id = client.facts().and_then(|facts| facts.user_id.as_ref());
    Moving { connection: client.id(), user_id, movement }
}
