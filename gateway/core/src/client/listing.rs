//! The clients of a shard as operators list them: so many at a time that nobody else waits for it.

use std::sync::Arc;

use hubgate_wire::negotiate::Transport;

use super::{Clients, Session};
use crate::event::ConnectionFacts;
use crate::id::{ConnectionId, GroupName, HubName, TransportKey, UserId};
use crate::mode::Mode;
use crate::time::Millis;

/// Places of clients that are looked at for one part of a list.
const PLACES: usize = 2_048;

/// Which clients are listed: those that are all of what is said here.
#[derive(Debug, Clone, Default)]
pub struct ListedClients {
    pub hub: Option<HubName>,
    pub user: Option<UserId>,
    pub group: Option<GroupName>,
    pub id: Option<ConnectionId>,
    /// Those that do not fit their hub's mode if it becomes this one.
    pub not_fit_for: Option<Mode>,
    /// Those with greater ids.
    pub after: Option<ConnectionId>,
}

/// A client as others see it.
#[derive(Debug, Clone)]
pub struct ListedClient {
    pub facts: Arc<ConnectionFacts>,
    pub transport: Transport,
    /// When its first transport opened.
    pub opened: Millis,
    /// What carries its messages; none while it waits for another one.
    pub attached: Option<TransportKey>,
}

/// What some places of a shard have of a list.
#[derive(Debug, Clone)]
pub struct ListPart {
    /// Those with the smallest ids, as many as were wanted, in no order.
    pub clients: Vec<ListedClient>,
    /// How many there are here, those that were not wanted among them.
    pub count: usize,
    /// Where the next part begins, if there is one.
    pub next: Option<usize>,
}

/// The part of a list that begins at the place `from`, with `most` clients of it.
pub(crate) fn part(clients: &Clients, wanted: &ListedClients, from: usize, most: usize) -> ListPart {
    if let Some(id) = wanted.id {
        let found = clients.find(id).map(|slot| &clients[slot]);
        let found: Vec<ListedClient> = found.and_then(|client| listed(clients, wanted, client)).into_iter().collect();
        return ListPart { count: found.len(), clients: found.into_iter().take(most).collect(), next: None };
    }
    let end = from.saturating_add(PLACES);
    let next = (end < clients.arena.places()).then_some(end);
    let places = clients.arena.iter_places(from..end);
    let mut found: Vec<ListedClient> = places.filter_map(|client| listed(clients, wanted, client)).collect();
    let count = found.len();
    if count > most {
        if most > 0 {
            found.select_nth_unstable_by_key(most - 1, |client| client.facts.id);
        }
        found.truncate(most);
    }
    ListPart { clients: found, count, next }
}

/// A client, if others see it and it is wanted.
fn listed(clients: &Clients, wanted: &ListedClients, client: &Session) -> Option<ListedClient> {
    let ListedClients { hub, user, group, id, not_fit_for, after } = wanted;
    let facts = client.facts().filter(|_| !client.is_closed())?;
    let is_wanted = after.is_none_or(|after| facts.id > after)
        && id.is_none_or(|id| facts.id == id)
        && hub.as_ref().is_none_or(|hub| clients.hub(client.hub()).name == *hub)
        && user.as_ref().is_none_or(|user| facts.user_id.as_ref() == Some(user))
        && group.as_ref().is_none_or(|group| client.groups.contains(group))
        && not_fit_for.is_none_or(|mode| mode.of_present_client(client.kind()).is_none());
    is_wanted.then(|| ListedClient {
        facts: facts.clone(),
        transport: client.transport(),
        opened: client.opened(),
        attached: client.line().attachment().transport(),
    })
}
