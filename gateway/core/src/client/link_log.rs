//! What a client that may resume and the gateway have said to each other, as far as it may have to be said again.
//!
//! Source: ASP.NET Core SignalR, the specification of its hub protocol, "Ack Message" and "Sequence Message", as its clients carry it out: calls, items, completions and
//! cancellations are counted from 1 in each direction, and kept until the other side acknowledges them. After a cut each side begins with a
//! Sequence, which has the number of the message that it goes on with, and sends again what it has kept.

use std::collections::VecDeque;

use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::Frame;

use super::kept::{KeptAccount, KeptFrame, SLOT};
use crate::time::Millis;

/// So much that came is acknowledged at once, in bytes. Clients keep 100,000 bytes, and say no more beyond that.
const ACK_BYTES: usize = 32 << 10;
/// What came is acknowledged after so long.
const ACK_DELAY: Millis = Millis(1_000);
/// A client that is connected has so long to acknowledge something once more than the bound is kept: official ones do once a second.
const PATIENCE: Millis = Millis(3_000);
/// So many times the bound may be kept for it meanwhile.
const OVERRUN: usize = 4;
/// So many messages are counted once more at most for a client that may not have had them again.
const MOST_PLACEHOLDERS: u64 = 4_096;
/// Another resume is allowed after so long.
const RESUME_SHARE: Millis = Millis(100);
/// So many may come at once, in terms of that time.
const RESUME_BURST: Millis = Millis(5_000);

/// Both directions of one client's link, whatever transports it has had.
#[derive(Debug)]
pub(crate) struct LinkLog {
    /// The number of the last message that was sent.
    sent: u64,
    /// The number of the last message before those that are kept.
    forgotten: u64,
    /// What was sent and not acknowledged, oldest first.
    kept: VecDeque<KeptFrame>,
    /// What that takes up, in bytes, as if nobody shared it.
    cost: usize,
    /// Those of the kept messages that the client is not known to have taken, and somebody waits for that; by their numbers.
    awaited: VecDeque<u64>,
    /// Those of which the client has said itself, by this transport, that it has taken them, before the transport did.
    taken_early: usize,
    /// Since when more is kept than the bound, and the client could have acknowledged some of it and has not.
    over_since: Option<Millis>,
    /// What is kept for all clients of the shard.
    account: KeptAccount,
    /// The client goes on with this number, or with a later one, or ends the connection.
    surely_next: u64,
    /// How many messages had been sent when the client last came by another transport.
    sent_before: u64,
    /// The number of the message that comes next.
    next: u64,
    /// The number of the last message that was new.
    last: u64,
    /// Whether the client has come by another transport and has not said with which message it goes on.
    awaits_sequence: bool,
    /// Messages that came since they were last acknowledged, in bytes.
    unacknowledged: usize,
    ack_due: Option<Millis>,
    /// It has said goodbye: its transport need not break off to be gone.
    has_said_close: bool,
    /// Until when the resumes are paid for that it has had.
    resumes_paid_until: Millis,
}

/// Whether somebody waits until the client has taken a message. It has when its transport has taken it, or when it acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    None,
    Awaited,
}

/// What may be kept for a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// In bytes.
    pub(crate) limit: usize,
    pub(crate) now: Millis,
    pub(crate) link: Link,
}

/// Whether a client can acknowledge anything now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    Down,
}

/// Whether what is kept is within its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The message was not kept: the client cannot go on.
    TooLittle,
}

/// What a message is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Counted,
    /// A ping, or what nobody knows.
    Uncounted,
    Close,
    Ack(i64),
    Sequence(i64),
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logged {
    /// It goes on to whoever answers the client.
    New,
    /// It goes no further: it came before, or the log alone had to see it.
    Over,
    /// An Ack: the client has taken so many messages for which somebody waits.
    Taken(usize),
    Breach(Breach),
}

/// What a client is sent before what was kept.
///
/// A client may acknowledge messages that it had before while these are sent again. If it is cut off then, before the last of them, official
/// clients go back to the one that they expected: a Sequence with a later number ends their connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Again {
    /// That of its Sequence.
    pub(crate) sequence_id: i64,
    /// So many messages are not kept, because they were acknowledged, and have to be counted once more. The client does not look at them.
    pub(crate) placeholders: usize,
}

/// How a client breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("It acknowledges message {0}, and {1} have been sent.")]
    AckOfUnsent(i64, u64),
    #[error("It goes on with message {0}, and {1} have been received: messages are lost.")]
    Gap(i64, u64),
    #[error("It goes on with message {0}, and messages are counted from 1.")]
    NoNumber(i64),
    #[error("A Sequence message is the first message after a reconnect, and comes once.")]
    UnexpectedSequence,
}

impl LinkLog {
    pub(crate) fn new(account: KeptAccount) -> LinkLog {
        LinkLog {
            sent: 0,
            forgotten: 0,
            kept: VecDeque::new(),
            cost: 0,
            awaited: VecDeque::new(),
            taken_early: 0,
            over_since: None,
            account,
            surely_next: 1,
            sent_before: 0,
            next: 1,
            last: 0,
            awaits_sequence: false,
            unacknowledged: 0,
            ack_due: None,
            has_said_close: false,
            resumes_paid_until: Millis(0),
        }
    }

    /// Messages that count are sent in one frame, now or once the client is back. One frame passes that is larger than the bound if nothing
    /// else is kept.
    pub(crate) fn send(&mut self, frame: &KeptFrame, mark: Mark, bound: Bound) -> Room {
        let cost = self.cost + frame.cost();
        if cost > bound.limit && !self.kept.is_empty() && self.is_out_of_patience(cost, bound) {
            return Room::TooLittle;
        }
        self.sent += frame.messages();
        self.cost = cost;
        self.account.add(SLOT);
        self.kept.push_back(frame.clone());
        if mark == Mark::Awaited {
            self.awaited.push_back(self.sent);
        }
        Room::Enough
    }

    /// Whether the client is not waited for while so much more than the bound is kept.
    #[cold]
    fn is_out_of_patience(&mut self, cost: usize, Bound { limit, now, link }: Bound) -> bool {
        let since = *self.over_since.get_or_insert(now);
        link == Link::Down || cost > limit.saturating_mul(OVERRUN) || now >= since + PATIENCE
    }

    /// What the client acknowledges was not read until now.
    pub(crate) fn patience_begins_anew(&mut self) {
        self.over_since = None;
    }

    /// A message of so many bytes came.
    pub(crate) fn hear(&mut self, said: Said, bytes: usize, now: Millis) -> Logged {
        match said {
            Said::Sequence(number) => self.sequence(number, now),
            // It was said before the cut, and comes again if it counts.
            _ if self.awaits_sequence => Logged::Over,
            Said::Counted => self.count(bytes, now),
            Said::Uncounted => Logged::New,
            Said::Close => {
                self.has_said_close = true;
                Logged::New
            }
            Said::Ack(number) => self.acknowledged(number),
        }
    }

    fn count(&mut self, bytes: usize, now: Millis) -> Logged {
        let number = self.next;
        self.next += 1;
        if number <= self.last {
            return Logged::Over;
        }
        self.last = number;
        self.unacknowledged += bytes;
        if self.unacknowledged >= ACK_BYTES {
            self.ack_due = Some(now);
        } else if self.ack_due.is_none() {
            self.ack_due = Some(now + ACK_DELAY);
        }
        Logged::New
    }

    fn acknowledged(&mut self, number: i64) -> Logged {
        let Some(number) = u64::try_from(number).ok().filter(|number| *number <= self.sent) else {
            return Logged::Breach(Breach::AckOfUnsent(number, self.sent));
        };
        while let Some(frame) = self.kept.front()
            && self.forgotten + frame.messages() <= number
        {
            self.forgotten += frame.messages();
            self.cost -= frame.cost();
            self.account.subtract(SLOT);
            self.kept.pop_front();
            self.over_since = None;
        }
        if number > self.sent_before {
            // Nothing is new to it that comes before all that is sent again.
            self.surely_next = self.first();
        }
        if self.kept.is_empty() {
            // A burst may have made it large.
            self.kept.shrink_to(32);
        }
        let taken = self.awaited.iter().take_while(|awaited| **awaited <= number).count();
        self.awaited.drain(..taken);
        self.taken_early += taken;
        Logged::Taken(taken)
    }

    /// The client's transport has taken the next message of those that somebody waits for. Gives whether that is news.
    pub(crate) fn left(&mut self) -> bool {
        match self.taken_early {
            0 => self.awaited.pop_front().is_some(),
            _ => {
                self.taken_early -= 1;
                false
            }
        }
    }

    fn sequence(&mut self, number: i64, now: Millis) -> Logged {
        if !std::mem::take(&mut self.awaits_sequence) {
            return Logged::Breach(Breach::UnexpectedSequence);
        }
        match u64::try_from(number) {
            Ok(0) | Err(_) => Logged::Breach(Breach::NoNumber(number)),
            Ok(first) if first > self.last + 1 => Logged::Breach(Breach::Gap(number, self.last)),
            Ok(first) => {
                self.next = first;
                if first <= self.last {
                    // It keeps what has come: it may have missed that it was told so.
                    self.ack_due = Some(now);
                }
                Logged::Over
            }
        }
    }

    /// When what came is to be acknowledged.
    pub(crate) fn ack_due(&self) -> Option<Millis> {
        self.ack_due.filter(|_| !self.awaits_sequence)
    }

    /// The number that is acknowledged now, if it is time.
    pub(crate) fn take_ack(&mut self, now: Millis) -> Option<i64> {
        self.ack_due().filter(|due| *due <= now)?;
        self.ack_due = None;
        self.unacknowledged = 0;
        Some(self.last as i64)
    }

    /// The client goes on by another transport.
    pub(crate) fn resume(&mut self, now: Millis) -> Again {
        self.awaits_sequence = true;
        self.resumes_paid_until = self.resumes_paid_until.max(now) + RESUME_SHARE;
        // While it was away it could acknowledge nothing.
        self.patience_begins_anew();
        self.taken_early = 0;
        self.sent_before = self.sent;
        if self.first() - self.surely_next > MOST_PLACEHOLDERS {
            // A client that acknowledges so much and never anything new may have to begin anew.
            self.surely_next = self.first();
        }
        let placeholders = (self.first() - self.surely_next) as usize;
        Again { sequence_id: self.surely_next as i64, placeholders }
    }

    /// Whether it has not resumed too often of late.
    pub(crate) fn may_resume(&self, now: Millis) -> bool {
        self.resumes_paid_until < now + RESUME_BURST
    }

    /// The number of the oldest message that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.forgotten + 1
    }

    /// What was sent and not acknowledged, oldest first, and whether somebody still waits until the client has taken it.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&Frame, Mark)> {
        let (mut number, mut awaited) = (self.forgotten, self.awaited.iter().peekable());
        self.kept.iter().map(move |frame| {
            number += frame.messages();
            let mark = awaited.next_if(|awaited| **awaited == number).map_or(Mark::None, |_| Mark::Awaited);
            (frame.frame(), mark)
        })
    }

    /// What that takes up, in bytes, as if nobody shared it.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// The client's part of that in what is kept for all.
    pub(crate) fn part(&self) -> usize {
        self.kept.iter().map(KeptFrame::part).sum()
    }

    pub(crate) fn account(&self) -> &KeptAccount {
        &self.account
    }

    pub(crate) fn has_said_close(&self) -> bool {
        self.has_said_close
    }
}

impl Drop for LinkLog {
    fn drop(&mut self) {
        self.account.subtract(self.kept.len() * SLOT);
    }
}

impl Said {
    /// What a message is that was read.
    pub(crate) fn of(message: &HubMessage<'_>) -> Said {
        match message {
            HubMessage::Invocation(_)
            | HubMessage::StreamItem { .. }
            | HubMessage::Completion { .. }
            | HubMessage::StreamInvocation(_)
            | HubMessage::CancelInvocation { .. }
            | HubMessage::Unbindable(_) => Said::Counted,
            HubMessage::Ping | HubMessage::Unknown { .. } => Said::Uncounted,
            HubMessage::Close { .. } => Said::Close,
            HubMessage::Ack { sequence_id } => Said::Ack(*sequence_id),
            HubMessage::Sequence { sequence_id } => Said::Sequence(*sequence_id),
        }
    }
}

#[cfg(test)]
mod tests;
