//! Clients that outlive a transport: they wait for another one, and go on by it.

use super::Clients;
use crate::arrivals::ResumedClient;
use crate::client::Closing;
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::hub::status::ResumeOutcome;
use crate::id::{ConnectionId, HubName, Slot, TransportKey, UserId};
use crate::refusal::ResumeRefusal;
use crate::time::Millis;
use crate::turn::Turn;

impl Clients {
    /// Whether a WebSocket of this user may go on with a client of this shard.
    pub(crate) fn may_resume(
        &self,
        id: ConnectionId,
        hub: &HubName,
        user: Option<&UserId>,
        _now: Millis,
    ) -> Result<(), ResumeRefusal> {
        let slot = self.find(id).filter(|slot| self.hub_of(*slot).name == *hub).ok_or(ResumeRefusal::Unknown)?;
        match self[slot].facts() {
            Some(facts) if facts.user_id.as_ref() != user => Err(ResumeRefusal::OtherUser),
            Some(_) | None => Err(ResumeRefusal::NotStateful),
        }
    }

    /// A client goes on by another transport.
    pub(crate) fn resumed(&mut self, turn: &mut Turn<'_>, transport: TransportKey, _client: ResumedClient) {
        turn.effect(Effect::Sever(transport));
    }

    /// Somebody may not go on with a client.
    pub(crate) fn resume_refused(&mut self, turn: &Turn<'_>, hub: &HubName, refusal: ResumeRefusal) {
        let hub = self.hubs.get(hub, turn.settings);
        self.hubs[hub].counters.resumes[ResumeOutcome::from(refusal) as usize] += 1;
    }

    pub(crate) fn kept_for_resumes(&self) -> usize {
        0
    }

    pub(crate) fn most_kept_for_resumes(&self) -> Option<(Slot, usize)> {
        None
    }

    /// Too much is kept for clients, and most of it for this one.
    pub(crate) fn keeps_too_much(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        if self.is_still(slot) {
            let detail = "too much waited for it to acknowledge, of all that is kept for clients";
            self.close(turn, slot, CloseCause::SlowClient, Closing::with_error(true, detail));
        }
    }
}
