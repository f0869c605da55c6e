//! Clients that outlive a transport: they wait for another one, and go on by it.

use std::sync::atomic::Ordering;

use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::Frame;

use super::attachment::Attachment;
use super::link_log::{Again, Bound, Link, Logged, Mark, Room, Said};
use super::session::Delivery;
use super::{Clients, Closing, Leave, Session};
use crate::arrivals::ResumedClient;
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::hub::status::ResumeOutcome;
use crate::id::{ConnectionId, HubName, Slot, TransportKey, UserId};
use crate::refusal::ResumeRefusal;
use crate::settings::Limits;
use crate::time::Millis;
use crate::turn::{Step, Turn};

/// Whether what a client says goes on to whoever answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heed {
    Yes,
    /// It came before, or was for the gateway alone.
    No,
}

/// Coming and going.
impl Clients {
    /// A client's transport broke, by this cause: the client stays for a while.
    pub(super) fn wait(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
        let until = turn.now + turn.settings.timeouts.reconnect;
        let client = &mut self.arena[slot];
        client.attach(Attachment::Waiting { until, cause });
        self.hubs[client.hub()].waiting_clients += 1;
        turn.then(Step::CheckDeadlines(slot));
    }

    /// Gives a client's transport up, by this cause: the client may come by another one.
    pub(super) fn cut(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
        if let Attachment::Attached(transport) = self[slot].attachment() {
            turn.effect(Effect::Sever(transport));
            self.gone(turn, transport, cause);
        }
    }

    /// A client has not come back in time.
    pub(super) fn grace_ended(&mut self, turn: &mut Turn<'_>, slot: Slot, cause: CloseCause) {
        let hub = self[slot].hub();
        self.hubs[hub].counters.resumes[ResumeOutcome::GraceEnded as usize] += 1;
        self.end(turn, slot, cause, None, None, "it has not come back in time".to_owned());
    }

    /// Whether a WebSocket of this user may go on with a client of this shard.
    pub(crate) fn may_resume(
        &self,
        id: ConnectionId,
        hub: &HubName,
        user: Option<&UserId>,
        now: Millis,
    ) -> Result<(), ResumeRefusal> {
        let slot = self.find(id).filter(|slot| self.hub_of(*slot).name == *hub).ok_or(ResumeRefusal::Unknown)?;
        let client = &self[slot];
        let (Some(facts), Some(log)) = (client.facts(), &client.log) else {
            return Err(ResumeRefusal::NotStateful);
        };
        if facts.user_id.as_ref() != user {
            return Err(ResumeRefusal::OtherUser);
        }
        if !client.is_open() {
            return Err(ResumeRefusal::NotStateful);
        }
        if client.leave() != Leave::No || log.has_said_close() {
            return Err(ResumeRefusal::Unknown);
        }
        log.may_resume(now).then_some(()).ok_or(ResumeRefusal::TooOften)
    }

    /// A client goes on by another transport.
    pub(crate) fn resumed(&mut self, turn: &mut Turn<'_>, transport: TransportKey, resumed: ResumedClient) {
        let is_resumable = |slot: &Slot| self[*slot].is_open() && self[*slot].has_log();
        let Some(slot) = self.find(resumed.id).filter(is_resumable) else {
            // It has ended since it was asked for.
            self.transports.skip_key();
            return turn.effect(Effect::Sever(transport));
        };
        let before = self[slot].attachment();
        let index = self[slot].hub();
        let hub = &mut self.hubs[index];
        hub.counters.resumes[ResumeOutcome::Resumed as usize] += 1;
        match before {
            Attachment::Waiting { .. } => hub.waiting_clients -= 1,
            Attachment::Attached(before) => {
                // Before the next one is inserted: a place that is free is taken by another key than the one that was next.
                turn.effect(Effect::Sever(before));
            }
            Attachment::Ended => {}
        }
        assert_eq!(self.transports.insert(slot), transport, "a client resumes with the transport that was next");
        if let Attachment::Attached(before) = before {
            self.transports.remove(before);
        }
        self[slot].go_on(turn, transport, resumed.expiry);
        turn.then(Step::Resumed(slot));
        turn.then(Step::CheckDeadlines(slot));
    }

    /// Somebody may not go on with a client.
    pub(crate) fn resume_refused(&mut self, turn: &Turn<'_>, hub: &HubName, refusal: ResumeRefusal) {
        let hub = self.hubs.get(hub, turn.settings);
        self.hubs[hub].counters.resumes[ResumeOutcome::from(refusal) as usize] += 1;
    }
}

/// What is said in both directions, and kept.
impl Clients {
    /// Writes down what a client that may resume says, and does what is for the gateway alone.
    pub(crate) fn log_said(&mut self, turn: &mut Turn<'_>, slot: Slot, said: Said, bytes: usize) -> Heed {
        let Some(log) = &mut self[slot].log else {
            return Heed::Yes;
        };
        let logged = log.hear(said, bytes, turn.now);
        if let Some(due) = log.ack_due() {
            match due <= turn.now {
                true => self.acknowledge(turn, slot),
                false => self.schedule_by(slot, due),
            }
        }
        match logged {
            Logged::New => return Heed::Yes,
            Logged::Over | Logged::Taken(0) => {}
            Logged::Taken(count) => turn.then(Step::Taken(slot, count)),
            Logged::Breach(breach) => self.bad_request(turn, slot, breach.to_string()),
        }
        Heed::No
    }

    /// Tells a client what has come of what it has said, if it is time.
    pub(super) fn acknowledge(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let client = &mut self.arena[slot];
        if let (Attachment::Attached(_), Some(log)) = (client.attachment(), &mut client.log)
            && let Some(sequence_id) = log.take_ack(turn.now)
        {
            let frame = client.dialect().frame(&HubMessage::Ack { sequence_id });
            self.send_uncounted(turn, slot, frame);
        }
    }

    /// Sends a client that is open what its hub server says, before what is held back: one message without what frames it.
    pub(crate) fn send_said(&mut self, turn: &mut Turn<'_>, slot: Slot, message: &[u8]) {
        let client = &self[slot];
        let (dialect, has_log) = (client.dialect(), client.has_log());
        let frame = dialect.frame_encoded(message);
        match has_log && dialect.said(message) != Said::Counted {
            true => self.send_uncounted(turn, slot, frame),
            false => self.send_at_once(turn, slot, frame),
        }
    }

    /// Sends a client what is not sent again.
    fn send_uncounted(&mut self, turn: &mut Turn<'_>, slot: Slot, frame: Frame) {
        let client = &mut self.arena[slot];
        if let Attachment::Attached(to) = client.attachment() {
            self.hubs[client.hub()].count_out(1, frame.len());
            client.last_sent = turn.now;
            turn.effect(Effect::Send { to, frame });
        }
    }

    pub(crate) fn kept_for_resumes(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn most_kept_for_resumes(&self) -> Option<(Slot, usize)> {
        let kept = self.arena.iter().filter_map(|(slot, client)| Some((slot, client.log.as_ref()?.cost())));
        kept.filter(|(_, cost)| *cost > 0).max_by_key(|(_, cost)| *cost)
    }

    /// Too much is kept for a client.
    pub(crate) fn keeps_too_much(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        if self.is_still(slot) && self[slot].has_log() {
            let detail = "it has not acknowledged what is kept for it, and that is more than `server.limits.replay`, or most of \
                          what waits for all clients and is more than `server.limits.outboxes`";
            self.close(turn, slot, CloseCause::SlowClient, Closing::with_error(true, detail));
        }
    }
}

/// A client that may resume.
impl Session {
    /// Whether what it says and gets is counted and kept.
    #[inline]
    pub(crate) fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// Whether it has no transport, and another one may come.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.attachment(), Attachment::Waiting { .. })
    }

    /// Whether it may come by another transport when its own is gone for this cause.
    pub(super) fn may_come_back(&self, cause: CloseCause) -> bool {
        let broke = matches!(cause, CloseCause::TransportLost | CloseCause::PingTimeout);
        let log = self.log.as_ref().filter(|log| !log.has_said_close());
        broke && log.is_some() && self.is_open() && self.leave() == Leave::No
    }

    /// Sends it `frame`, which counts, now, whatever is held back for it; or keeps it until it is back.
    pub(super) fn accept(&mut self, frame: &Frame, mark: Mark, now: Millis, limits: &Limits) -> Delivery {
        let (transport, link) = match self.attachment() {
            Attachment::Attached(transport) => (Some(transport), Link::Up),
            Attachment::Waiting { .. } => (None, Link::Down),
            Attachment::Ended => return Delivery::NotNow,
        };
        if let Some(log) = &mut self.log
            && log.send(frame, mark, Bound { limit: limits.replay, now, link }) == Room::TooLittle
        {
            return Delivery::TooMuch;
        }
        match transport {
            Some(transport) => {
                self.last_sent = now;
                Delivery::Now(transport)
            }
            None => Delivery::OnResume,
        }
    }

    /// It goes on by this transport: it is told with which message, and gets what it has not acknowledged.
    fn go_on(&mut self, turn: &mut Turn<'_>, transport: TransportKey, expiry: Option<Millis>) {
        self.attach(Attachment::Attached(transport));
        (self.last_heard, self.last_sent, self.last_probed) = (turn.now, turn.now, turn.now);
        // What was not looked at yet was not counted: the client says it again.
        drop(self.take_unread());
        if let Some(expiry) = expiry {
            self.token_renewed(expiry);
        }
        if !self.holds.is_empty() {
            turn.effect(Effect::PauseReading(transport));
        }
        let dialect = self.dialect();
        if let Some(log) = &mut self.log {
            let Again { sequence_id, placeholders } = log.resume(turn.now);
            let sequence = dialect.frame(&HubMessage::Sequence { sequence_id });
            let placeholders = (placeholders > 0).then(|| dialect.placeholders(placeholders));
            for frame in std::iter::once(&sequence).chain(&placeholders).chain(log.kept()) {
                turn.effect(Effect::Send { to: transport, frame: frame.clone() });
            }
        }
    }
}
