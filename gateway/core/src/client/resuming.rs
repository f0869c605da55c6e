//! Clients that outlive a transport: they wait for another one, and go on by it.

use hubgate_wire::negotiate::Transport;

use super::attachment::{self, Attachment};
use super::{Clients, Closing, Leave, Session, returning};
use crate::arrivals::ResumedClient;
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::hub::status::ResumeOutcome;
use crate::id::{ConnectionId, HubName, Slot, TransportKey, UserId};
use crate::refusal::ResumeRefusal;
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// A client's transport broke, by this cause: the client stays for a while.
pub(super) fn wait(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
    let client = &mut clients.arena[slot];
    let grace = match client.dialect().is_asp_net() {
        true => returning::GRACE,
        false => turn.settings.timeouts.reconnect,
    };
    client.line_mut().attach(Attachment::Waiting { until: turn.now + grace, cause });
    if client.is_parsing() {
        // The beginning of a message, which the client says again as a whole.
        drop(client.take_unread());
    }
    clients.hubs[client.hub()].waiting_clients += 1;
    turn.then(Step::CheckDeadlines(slot));
}

/// Gives a client's transport up, by this cause: the client may come by another one.
pub(super) fn cut(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
    if let Attachment::Attached(transport) = clients[slot].line().attachment() {
        turn.effect(Effect::Sever(transport));
        clients.gone(turn, transport, cause);
    }
}

/// A client has not come back in time.
pub(super) fn grace_ended(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
    let hub = clients[slot].hub();
    clients.hubs[hub].counters.resumes[ResumeOutcome::GraceEnded as usize] += 1;
    clients.end(turn, slot, cause, None, None, "it has not come back in time".to_owned());
}

/// Whether a WebSocket of this user may go on with a client of this shard.
pub(crate) fn may_resume(
    clients: &Clients,
    id: ConnectionId,
    hub: &HubName,
    user: Option<&UserId>,
    now: Millis,
) -> Result<(), ResumeRefusal> {
    let slot = clients.find(id).filter(|slot| clients.hub_of(*slot).name == *hub).ok_or(ResumeRefusal::Unknown)?;
    let client = &clients[slot];
    let is_others = client.facts().is_some_and(|facts| facts.user_id.as_ref() != user);
    match client.line().has_log() && is_others {
        true => Err(ResumeRefusal::OtherUser),
        false => may_go_on(client, now),
    }
}

/// Whether a client may go on by another transport now.
fn may_go_on(client: &Session, now: Millis) -> Result<(), ResumeRefusal> {
    match client.line().log.as_ref().and_then(|log| log.core()) {
        Some(log) if client.is_open() => match client.leave() != Leave::No || log.has_said_close() {
            true => Err(ResumeRefusal::Unknown),
            false => log.may_resume(now).then_some(()).ok_or(ResumeRefusal::TooOften),
        },
        Some(_) | None => Err(ResumeRefusal::NotStateful),
    }
}

/// A client goes on by another transport.
pub(crate) fn resumed(clients: &mut Clients, turn: &mut Turn<'_>, transport: TransportKey, resumed: ResumedClient) {
    // Since it was asked for, the client may have ended, or others may have come for it.
    let found = clients.find(resumed.id).map(|slot| (slot, may_go_on(&clients[slot], turn.now)));
    let Some((slot, Ok(()))) = found else {
        if let Some((slot, Err(refusal))) = found {
            let hub = clients[slot].hub();
            clients.hubs[hub].counters.resumes[ResumeOutcome::from(refusal) as usize] += 1;
        }
        clients.transports.skip_key();
        return turn.effect(Effect::Sever(transport));
    };
    attachment::replace(clients, turn, slot, transport);
    go_on(&mut clients[slot], turn, transport, resumed.expiry);
    turn.then(Step::Resumed(slot));
    turn.then(Step::CheckDeadlines(slot));
}

/// Somebody may not go on with a client.
pub(crate) fn refused(clients: &mut Clients, hub: &HubName, refusal: ResumeRefusal) {
    // One that nobody uses is not remembered for this.
    if let Some(hub) = clients.hubs.find(hub) {
        clients.hubs[hub].counters.resumes[ResumeOutcome::from(refusal) as usize] += 1;
    }
}

/// What is kept for all that may resume, in bytes.
pub(crate) fn kept(clients: &Clients) -> usize {
    clients.kept.total()
}

/// The client for which most is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MostKept {
    pub client: Slot,
    /// In bytes, as if it shared none of it with others.
    pub kept: usize,
    /// Its part of what is kept for all, if those who share a message have the same part of it.
    pub part: usize,
}

pub(crate) fn most_kept(clients: &Clients) -> Option<MostKept> {
    let logs = clients.arena.iter().filter_map(|(slot, client)| Some((slot, client.line().log.as_ref()?)));
    let (client, log) = logs.filter(|(_, log)| log.cost() > 0).max_by_key(|(_, log)| log.cost())?;
    Some(MostKept { client, kept: log.cost(), part: log.part() })
}

/// Too much is kept for a client.
pub(crate) fn close_slow(clients: &mut Clients, turn: &mut Turn<'_>, slot: Slot) {
    let is_enough = clients.is_still(slot) && returning::forget_sent(clients, slot);
    if !is_enough && clients.is_still(slot) && clients[slot].line().has_log() {
        let detail = "it has not acknowledged what is kept for it, and that is more than `server.limits.replay`, or most of \
                      what waits for all clients and is more than `server.limits.outboxes`";
        clients.close(turn, slot, CloseCause::SlowClient, Closing::with_error(true, detail));
    }
}

impl Session {
    /// Whether it may come by another transport when its own is gone for this cause.
    pub(super) fn may_come_back(&self, cause: CloseCause) -> bool {
        let is_in_time = self.is_open() || (self.dialect().is_asp_net() && !self.is_closed());
        // Polls are many transports to the client, and one here.
        let is_polled = self.dialect().is_asp_net() && self.transport() == Transport::LongPolling;
        self.line().outlives(cause) && is_in_time && !is_polled && self.leave() == Leave::No
    }
}

/// A client goes on by this transport.
fn go_on(client: &mut Session, turn: &mut Turn<'_>, transport: TransportKey, expiry: Option<Millis>) {
    // What was not looked at yet was not counted: the client says it again.
    drop(client.take_unread());
    if let Some(expiry) = expiry {
        client.expiry.token_came(expiry);
    }
    if !client.holds.is_empty() {
        turn.effect(Effect::PauseReading(transport));
    }
    let dialect = client.dialect();
    client.line_mut().go_on(turn, transport, dialect);
}
