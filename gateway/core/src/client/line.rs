//! How one client is reached: what carries its messages, when something came and went, and what is kept of it to be said again.

use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::Frame;

use super::attachment::Attachment;
use super::dialect::Dialect;
use super::kept::{Copies, KeptAccount};
use super::link_log::{Again, Bound, Link, LinkLog, Mark, Room};
use super::log::Log;
use super::session::Delivery;
use crate::arrivals::Reconnect;
use crate::close_cause::CloseCause;
use crate::effect::Effect;
use crate::id::TransportKey;
use crate::settings::Limits;
use crate::time::Millis;
use crate::turn::Turn;

/// A client's line: the transport that it has now, if it has one, and the log of all that it has had.
#[derive(Debug)]
pub(crate) struct Line {
    attachment: Attachment,
    pub(super) last_heard: Millis,
    pub(super) last_sent: Millis,
    /// When its WebSocket was asked whether it is there; that was for the silence since `last_heard`, if it is later.
    pub(super) last_probed: Millis,
    /// What the client has negotiated.
    reconnect: Reconnect,
    /// Of one that may resume: it has negotiated that, and its handshake has asked for it.
    pub(super) log: Option<Box<Log>>,
}

impl Line {
    pub(super) fn new(transport: TransportKey, reconnect: Reconnect, now: Millis) -> Line {
        Line {
            attachment: Attachment::Attached(transport),
            last_heard: now,
            last_sent: now,
            last_probed: now,
            reconnect,
            log: None,
        }
    }

    #[inline]
    pub(crate) fn attachment(&self) -> Attachment {
        self.attachment
    }

    pub(super) fn attach(&mut self, attachment: Attachment) {
        self.attachment = attachment;
    }

    /// Something came from the client.
    #[inline]
    pub(crate) fn was_heard(&mut self, now: Millis) {
        self.last_heard = now;
    }

    pub(crate) fn last_heard(&self) -> Millis {
        self.last_heard
    }

    /// Whether it was asked if it is there since it was heard last.
    pub(super) fn is_probed(&self) -> bool {
        self.last_probed > self.last_heard
    }

    /// What the client has opened with allows it to resume, if it has negotiated that: what passes is counted and kept from now on.
    pub(super) fn begin_log(&mut self, account: &KeptAccount) {
        if self.reconnect == Reconnect::Stateful {
            self.log = Some(Box::new(Log::Core(LinkLog::new(account.clone()))));
        }
    }

    /// Whether what the client says and gets is counted and kept.
    #[inline]
    pub(crate) fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// Sends a frame now to a client that has a transport, and of which nothing is kept.
    #[inline]
    pub(super) fn accept_at_once(&mut self, now: Millis) -> Option<TransportKey> {
        match self.attachment {
            Attachment::Attached(transport) if self.log.is_none() => {
                self.last_sent = now;
                Some(transport)
            }
            _ => None,
        }
    }

    /// Whether it has no transport, and another one may come.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.attachment, Attachment::Waiting { .. })
    }

    /// Whether another transport may come when this one is gone for this cause.
    pub(super) fn outlives(&self, cause: CloseCause) -> bool {
        self.log.as_ref().is_some_and(|log| log.outlives(cause))
    }

    /// When the client is to be told what has come of what it has said.
    pub(super) fn ack_due(&self) -> Option<Millis> {
        self.log.as_ref()?.core()?.ack_due()
    }

    /// The client is not read, or was not until now: no time counts against it for what it has not acknowledged.
    pub(super) fn patience_begins_anew(&mut self) {
        if let Some(log) = self.log.as_mut().and_then(|log| log.core_mut()) {
            log.patience_begins_anew();
        }
    }

    /// Sends a frame now; or keeps what counts of it until there is a transport again.
    pub(super) fn accept(
        &mut self,
        copies: &mut Copies<'_>,
        dialect: Dialect,
        mark: Mark,
        now: Millis,
        limits: &Limits,
    ) -> Delivery {
        let (transport, link) = match self.attachment {
            Attachment::Attached(transport) => (Some(transport), Link::Up),
            Attachment::Waiting { .. } => (None, Link::Down),
            Attachment::Ended => return Delivery::NotNow,
        };
        if let Some(log) = &mut self.log
            && log.keeps(copies.frame, link)
        {
            let kept = copies.kept(dialect, log.account());
            let bound = Bound { limit: limits.replay, now, link };
            if log.send(kept, mark, bound) == Room::TooLittle {
                return Delivery::TooMuch;
            }
        }
        match transport {
            Some(transport) => {
                self.last_sent = now;
                Delivery::Now(transport)
            }
            None => Delivery::OnResume,
        }
    }

    /// It goes on by this transport: the client is told with which message, and gets what it has not acknowledged.
    pub(super) fn go_on(&mut self, turn: &mut Turn<'_>, transport: TransportKey, dialect: Dialect) {
        self.goes_on_by(transport, turn.now);
        if let Some(log) = self.log.as_mut().and_then(|log| log.core_mut()) {
            let Again { sequence_id, placeholders } = log.resume(turn.now);
            let sequence = dialect.frame(&HubMessage::Sequence { sequence_id });
            let placeholders = (placeholders > 0).then(|| dialect.placeholders(placeholders));
            for frame in std::iter::once(sequence).chain(placeholders) {
                turn.effect(Effect::Send { to: transport, frame });
            }
            for (frame, mark) in log.kept() {
                let frame = frame.clone();
                turn.effect(match mark {
                    Mark::None => Effect::Send { to: transport, frame },
                    Mark::Awaited => Effect::SendMarked { to: transport, frame },
                });
            }
        }
    }

    /// Its transport is this one from now on.
    pub(super) fn goes_on_by(&mut self, transport: TransportKey, now: Millis) {
        self.attachment = Attachment::Attached(transport);
        (self.last_heard, self.last_sent, self.last_probed) = (now, now, now);
    }

    /// What a client of ASP.NET SignalR gets that was sent after the message with this cursor.
    pub(super) fn sent_after(&mut self, cursor: &str, now: Millis) -> Vec<Frame> {
        let replay = self.log.as_mut().and_then(|log| log.asp_net_mut());
        replay.map_or_else(Vec::new, |replay| replay.after(cursor, now))
    }
}
