//! Clients that go on with a newer token: it has other claims, or another end.

use std::sync::Arc;

use super::{Clients, Phase, Session};
use crate::event::ConnectionFacts;
use crate::hub::status::RefreshOutcome;
use crate::id::{ConnectionId, HubName, Slot};
use crate::pairs::Pairs;
use crate::refresh::{NewEnd, Refresh, RefreshRefusal, Refreshed, is_change, is_kept, refreshed_claims};
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// Lets a connection go on with what whoever has let it in says of it now.
pub(crate) fn refresh(clients: &mut Clients, turn: &mut Turn<'_>, hub: &HubName, refresh: &Refresh) -> Refreshed {
    let refreshed = refresh_one(clients, turn, hub, refresh);
    // One that nobody uses is not remembered for this.
    if let Some(hub) = clients.hubs.find(hub) {
        clients.hubs[hub].counters.refreshes[RefreshOutcome::of(&refreshed) as usize] += 1;
    }
    refreshed
}

fn refresh_one(clients: &mut Clients, turn: &mut Turn<'_>, hub: &HubName, refresh: &Refresh) -> Refreshed {
    let slot = find(clients, hub, refresh.token).ok_or(RefreshRefusal::NoSuchConnection)?;
    let facts = clients[slot].facts().ok_or(RefreshRefusal::NoSuchConnection)?;
    if refresh.has_claims() {
        let claims = refreshed_claims((facts.user_id.as_ref(), &facts.claims), &refresh.user, &refresh.claims)?;
        replace_claims(clients, turn, slot, claims);
    }
    if let NewEnd::At(time) = refresh.end {
        let end = Millis(time.saturating_sub(clients.epoch));
        clients[slot].expiry.refresh(end);
        turn.then(Step::CheckDeadlines(slot));
    }
    clients[slot].facts().cloned().ok_or(RefreshRefusal::NoSuchConnection)
}

/// A client has come with a token by which its connection, which ends with its token, ends at `expiry`. The latest counts. A token that
/// is newer than those before brings its claims.
pub(crate) fn token_renewed(
    clients: &mut Clients,
    turn: &mut Turn<'_>,
    slot: Slot,
    expiry: Millis,
    claims: Option<Pairs>,
) {
    clients[slot].expiry.token_came(expiry);
    if let Some(claims) = claims.filter(is_kept) {
        replace_claims(clients, turn, slot, claims);
    }
}

/// It is so many milliseconds since 1970.
pub(crate) fn set_time_of_day(clients: &mut Clients, now: Millis, time: u64) {
    clients.epoch = time.saturating_sub(now.0);
    clients.hubs.directory().memberships.set_epoch(clients.epoch);
}

/// What is known of the connection that a token has opened.
pub(crate) fn facts(clients: &Clients, hub: &HubName, token: ConnectionId) -> Option<Arc<ConnectionFacts>> {
    clients[find(clients, hub, token)?].facts().cloned()
}

/// The client that others see, and whose transports this secret opens. One whose id opens them has none.
fn find(clients: &Clients, hub: &HubName, token: ConnectionId) -> Option<Slot> {
    let slot = clients.by_token.get(&token).copied();
    slot.filter(|slot| clients[*slot].facts().is_some_and(|facts| facts.hub == *hub))
}

/// Filters and whoever answers the client see other claims from its next message on. Its hub server is told if they say something else
/// of the client.
fn replace_claims(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, claims: Pairs) {
    let Session { phase: Phase::Connecting { facts } | Phase::Open { facts }, .. } = &mut clients[slot] else {
        return;
    };
    if facts.claims == claims {
        return;
    }
    let is_change = is_change(&facts.claims, &claims);
    let ConnectionFacts { hub, id, user_id, protocol, claims: _, query, headers, remote_address } = &**facts;
    *facts = Arc::new(ConnectionFacts {
        hub: hub.clone(),
        id: *id,
        user_id: user_id.clone(),
        protocol: *protocol,
        claims,
        query: query.clone(),
        headers: headers.clone(),
        remote_address: remote_address.clone(),
    });
    if is_change {
        turn.then(Step::ClaimsChanged(slot));
    }
}
