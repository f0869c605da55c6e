//! What a client that may resume and the gateway have said to each other, as far as it may have to be said again.
//!
//! Source: ASP.NET Core SignalR, "HubProtocol.md", "Ack Message" and "Sequence Message", as its clients carry it out: calls, items, completions and
//! cancellations are counted from 1 in each direction, and kept until the other side acknowledges them. After a cut each side begins with a
//! Sequence, which has the number of the message that it goes on with, and sends again what it has kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hubgate_wire::signalr::HubMessage;
use hubgate_wire::websocket::Frame;

use crate::time::Millis;

/// So much that came is acknowledged at once, in bytes. Clients keep 100,000 bytes, and say no more beyond that.
const ACK_BYTES: usize = 32 << 10;
/// What came is acknowledged after so long.
const ACK_DELAY: Millis = Millis(1_000);
/// A client that is connected has so long to acknowledge something once more than the bound is kept: official ones do once a second.
const PATIENCE: Millis = Millis(3_000);
/// So many times the bound may be kept for it meanwhile.
const OVERRUN: usize = 4;
/// Another resume is allowed after so long.
const RESUME_SHARE: Millis = Millis(100);
/// So many may come at once, in terms of that time.
const RESUME_BURST: Millis = Millis(5_000);

/// Both directions of one client's link, whatever transports it has had.
#[derive(Debug)]
pub(crate) struct LinkLog {
    /// The number of the last message that was sent.
    sent: u64,
    /// What was sent and not acknowledged, oldest first: the last has the number `sent`.
    kept: VecDeque<Kept>,
    /// What that takes up, in bytes.
    cost: usize,
    /// Since when more is kept than the bound and the client has acknowledged nothing.
    over_since: Option<Millis>,
    /// What is kept for all clients of the shard.
    account: Arc<AtomicUsize>,
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

#[derive(Debug)]
struct Kept {
    frame: Frame,
    mark: Mark,
}

/// Whether somebody waits until the client has taken a message, which it has once it acknowledges it.
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
    pub(crate) fn new(account: Arc<AtomicUsize>) -> LinkLog {
        LinkLog {
            sent: 0,
            kept: VecDeque::new(),
            cost: 0,
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

    /// One message that counts is sent, now or once the client is back. One passes that is larger than the bound if nothing else is kept.
    pub(crate) fn send(&mut self, frame: &Frame, mark: Mark, bound: Bound) -> Room {
        let cost = cost(frame);
        if self.cost + cost > bound.limit && !self.kept.is_empty() && self.is_out_of_patience(self.cost + cost, bound) {
            return Room::TooLittle;
        }
        self.sent += 1;
        self.cost += cost;
        self.account.fetch_add(cost, Ordering::Relaxed);
        self.kept.push_back(Kept { frame: frame.clone(), mark });
        Room::Enough
    }

    /// Whether the client is not waited for while so much more than the bound is kept.
    #[cold]
    fn is_out_of_patience(&mut self, cost: usize, Bound { limit, now, link }: Bound) -> bool {
        let since = *self.over_since.get_or_insert(now);
        link == Link::Down || cost > limit.saturating_mul(OVERRUN) || now >= since + PATIENCE
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
        let mut taken = 0;
        while self.first() <= number
            && let Some(Kept { frame, mark }) = self.kept.pop_front()
        {
            self.cost -= cost(&frame);
            self.account.fetch_sub(cost(&frame), Ordering::Relaxed);
            taken += usize::from(mark == Mark::Awaited);
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
        Logged::Taken(taken)
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
        self.sent_before = self.sent;
        Again { sequence_id: self.surely_next as i64, placeholders: (self.first() - self.surely_next) as usize }
    }

    /// Whether it has not resumed too often of late.
    pub(crate) fn may_resume(&self, now: Millis) -> bool {
        self.resumes_paid_until < now + RESUME_BURST
    }

    /// The number of the oldest message that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.sent + 1 - self.kept.len() as u64
    }

    /// What was sent and not acknowledged, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Frame> {
        self.kept.iter().map(|kept| &kept.frame)
    }

    /// What that takes up, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn has_said_close(&self) -> bool {
        self.has_said_close
    }
}

impl Drop for LinkLog {
    fn drop(&mut self) {
        self.account.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

/// What a frame takes up while it is kept.
fn cost(frame: &Frame) -> usize {
    frame.len() + KEPT_OVERHEAD
}

/// Beside its bytes, which its outbox, or that of another receiver, has as well until they have left: a slot in a queue that doubles as it grows,
/// and the count of those that share it.
const KEPT_OVERHEAD: usize = 2 * size_of::<Kept>() + 32;

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
mod tests {
    use hubgate_wire::websocket::DataKind;

    use super::*;

    const NOW: Millis = Millis(1_000);
    const LIMIT: usize = 10_000;
    const BOUND: Bound = Bound { limit: LIMIT, now: NOW, link: Link::Down };

    fn log() -> (LinkLog, Arc<AtomicUsize>) {
        let account = Arc::new(AtomicUsize::new(0));
        (LinkLog::new(account.clone()), account)
    }

    fn frame(text: &str) -> Frame {
        Frame::of_payload(DataKind::Text, text.as_bytes())
    }

    fn again(sequence_id: i64, placeholders: usize) -> Again {
        Again { sequence_id, placeholders }
    }

    fn kept(log: &LinkLog) -> Vec<Frame> {
        log.kept().cloned().collect()
    }

    #[track_caller]
    fn send(log: &mut LinkLog, texts: &[&str]) {
        texts.iter().for_each(|text| assert_eq!(log.send(&frame(text), Mark::None, BOUND), Room::Enough));
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_from_the_oldest() {
        let (mut log, account) = log();
        assert_eq!(log.resume(NOW), again(1, 0), "nothing was sent");
        log.hear(Said::Sequence(1), 0, NOW);
        send(&mut log, &["a", "b", "c"]);
        assert_eq!(log.hear(Said::Ack(1), 0, NOW), Logged::Taken(0));
        assert_eq!(log.hear(Said::Ack(1), 0, NOW), Logged::Taken(0), "again");
        assert_eq!(log.hear(Said::Ack(0), 0, NOW), Logged::Taken(0), "an old one");
        assert_eq!((log.resume(NOW), kept(&log)), (again(2, 0), vec![frame("b"), frame("c")]));
        log.hear(Said::Sequence(1), 0, NOW);
        assert_eq!(log.hear(Said::Ack(3), 0, NOW), Logged::Taken(0));
        assert_eq!(kept(&log), Vec::new());
        assert_eq!((log.cost(), account.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn what_is_acknowledged_while_it_is_sent_again_is_counted_once_more_until_something_new_has_come() {
        let (mut log, _) = log();
        send(&mut log, &["a", "b", "c"]);
        assert_eq!(log.resume(NOW), again(1, 0));
        log.hear(Said::Sequence(1), 0, NOW);
        // It had two of them before the cut; how many it has had since is not known.
        log.hear(Said::Ack(2), 0, NOW);
        assert_eq!((log.resume(NOW), kept(&log)), (again(1, 2), vec![frame("c")]));
        log.hear(Said::Sequence(1), 0, NOW);
        log.hear(Said::Ack(3), 0, NOW);
        assert_eq!((log.resume(NOW), kept(&log)), (again(1, 3), Vec::new()));
        log.hear(Said::Sequence(1), 0, NOW);
        send(&mut log, &["d", "e"]);
        log.hear(Said::Ack(4), 0, NOW);
        assert_eq!((log.resume(NOW), kept(&log)), (again(5, 0), vec![frame("e")]));
    }

    #[test]
    fn a_client_goes_on_with_any_message_up_to_the_first_that_has_not_come() {
        let (mut log, _) = log();
        (0..3).for_each(|_| assert_eq!(log.hear(Said::Counted, 1, NOW), Logged::New));
        log.resume(NOW);
        log.hear(Said::Sequence(1), 0, NOW);
        // It was told that all had come, and was cut off before it had said them again.
        log.resume(NOW);
        assert_eq!(log.hear(Said::Sequence(4), 0, NOW), Logged::Over);
        assert_eq!(log.hear(Said::Counted, 1, NOW), Logged::New);
    }

    #[test]
    fn what_is_kept_has_a_bound_and_counts_for_all_until_it_is_gone() {
        let (mut first, account) = log();
        let mut second = LinkLog::new(account.clone());
        assert_eq!(first.send(&frame(&"x".repeat(LIMIT)), Mark::None, BOUND), Room::Enough, "a large one alone passes");
        assert_eq!(first.send(&frame("x"), Mark::None, BOUND), Room::TooLittle);
        send(&mut second, &["y"]);
        assert_eq!(account.load(Ordering::Relaxed), first.cost() + second.cost());
        assert_eq!((first.resume(NOW), first.sent), (again(1, 0), 1), "what was not kept was not sent");
        drop(first);
        assert_eq!(account.load(Ordering::Relaxed), second.cost());
        drop(second);
        assert_eq!(account.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_client_that_is_connected_has_some_seconds_to_acknowledge_what_is_beyond_the_bound() {
        let half = frame(&"x".repeat(LIMIT / 2));
        let send = |log: &mut LinkLog, after: u64, link| {
            log.send(&half, Mark::None, Bound { limit: LIMIT, now: NOW + Millis(after), link })
        };
        let (mut first, _) = log();
        let fits = (0..100).take_while(|_| send(&mut first, 0, Link::Up) == Room::Enough).count();
        assert_eq!(fits, 2 * OVERRUN - 1, "with what keeping costs");
        let (mut second, _) = log();
        (0..3).for_each(|_| assert_eq!(send(&mut second, 0, Link::Up), Room::Enough));
        assert_eq!(send(&mut second, 2_900, Link::Up), Room::Enough);
        assert_eq!(send(&mut second, 3_000, Link::Up), Room::TooLittle);
        second.hear(Said::Ack(1), 0, NOW);
        assert_eq!([Link::Up, Link::Down].map(|link| send(&mut second, 3_000, link)), [Room::Enough, Room::TooLittle]);
    }

    #[test]
    fn what_somebody_waits_for_is_taken_once_it_is_acknowledged() {
        let (mut log, _) = log();
        for mark in [Mark::Awaited, Mark::None, Mark::Awaited] {
            log.send(&frame("x"), mark, BOUND);
        }
        let ack = |log: &mut LinkLog, number| log.hear(Said::Ack(number), 0, NOW);
        assert_eq!([ack(&mut log, 2), ack(&mut log, 3), ack(&mut log, 3)], [1, 1, 0].map(Logged::Taken));
    }

    #[test]
    fn what_comes_again_goes_no_further() {
        let (mut log, _) = log();
        let hear = |log: &mut LinkLog, said| log.hear(said, 1, NOW);
        assert_eq!([hear(&mut log, Said::Counted), hear(&mut log, Said::Counted)], [Logged::New, Logged::New]);
        log.resume(NOW);
        for before in [Said::Counted, Said::Uncounted, Said::Close, Said::Ack(9)] {
            assert_eq!(hear(&mut log, before), Logged::Over, "it comes before the Sequence");
        }
        assert!(!log.has_said_close());
        assert_eq!(hear(&mut log, Said::Sequence(2)), Logged::Over);
        assert_eq!([hear(&mut log, Said::Counted), hear(&mut log, Said::Counted)], [Logged::Over, Logged::New]);
        assert_eq!(log.take_ack(NOW + ACK_DELAY), Some(3));
    }

    #[test]
    fn what_came_is_acknowledged_when_it_is_much_or_a_second_old_and_again_to_one_that_has_missed_it() {
        let (mut log, _) = log();
        assert_eq!((log.ack_due(), log.take_ack(NOW)), (None, None));
        log.hear(Said::Uncounted, ACK_BYTES, NOW);
        assert_eq!(log.ack_due(), None, "pings are not counted");
        log.hear(Said::Counted, 1, NOW);
        log.hear(Said::Counted, 1, NOW + Millis(500));
        assert_eq!((log.ack_due(), log.take_ack(NOW)), (Some(NOW + ACK_DELAY), None));
        assert_eq!(log.take_ack(NOW + ACK_DELAY), Some(2));
        log.hear(Said::Counted, ACK_BYTES / 2, NOW);
        log.hear(Said::Counted, ACK_BYTES / 2, NOW);
        assert_eq!((log.take_ack(NOW), log.take_ack(NOW + ACK_DELAY)), (Some(4), None));
        log.resume(NOW);
        assert_eq!(log.take_ack(NOW + ACK_DELAY), None);
        log.hear(Said::Sequence(4), 0, NOW);
        assert_eq!(log.take_ack(NOW), Some(4));
        log.resume(NOW);
        log.hear(Said::Sequence(5), 0, NOW);
        assert_eq!(log.take_ack(NOW), None, "it has not missed anything");
    }

    #[test]
    fn numbers_that_cannot_be_are_named() {
        let breach = |resumes: usize, said| {
            let (mut log, _) = log();
            send(&mut log, &["a"]);
            log.hear(Said::Counted, 1, NOW);
            for _ in 0..resumes {
                log.resume(NOW);
            }
            match log.hear(said, 0, NOW) {
                Logged::Breach(breach) => Some(breach),
                Logged::New | Logged::Over | Logged::Taken(_) => None,
            }
        };
        for number in [2, -1, i64::MAX, i64::MIN] {
            assert_eq!(breach(0, Said::Ack(number)), Some(Breach::AckOfUnsent(number, 1)));
        }
        assert_eq!(breach(0, Said::Sequence(1)), Some(Breach::UnexpectedSequence));
        assert_eq!((breach(1, Said::Sequence(2)), breach(2, Said::Sequence(1))), (None, None));
        for number in [3, i64::MAX] {
            assert_eq!(breach(1, Said::Sequence(number)), Some(Breach::Gap(number, 1)));
        }
        for number in [0, -1, i64::MIN] {
            assert_eq!(breach(1, Said::Sequence(number)), Some(Breach::NoNumber(number)));
        }
        let (mut log, _) = log();
        log.resume(NOW);
        log.hear(Said::Sequence(1), 0, NOW);
        assert_eq!(log.hear(Said::Sequence(1), 0, NOW), Logged::Breach(Breach::UnexpectedSequence), "a second one");
    }

    #[test]
    fn a_client_may_resume_some_times_at_once_and_then_ten_times_a_second() {
        let (mut log, _) = log();
        let mut resume = |now| log.may_resume(now).then(|| log.resume(now)).is_some();
        assert_eq!((0..1_000).filter(|_| resume(NOW)).count(), 50);
        let later = (0..1_000).filter(|call| resume(NOW + Millis(*call))).count();
        assert!((9..=11).contains(&later), "{later}");
        assert!(resume(NOW + Millis(10_000)));
    }
}
