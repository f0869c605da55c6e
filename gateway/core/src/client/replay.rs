//! What a client of ASP.NET SignalR has been sent, as far as it may have to be sent again.
//!
//! Source: ASP.NET SignalR 2.4, its client: it keeps the `C` of the last message that has one, and gives it back as `messageId` when it
//! returns. Nothing is acknowledged, so messages are kept for as long as a client may not know that its transport is broken.

use std::collections::VecDeque;

use hubgate_wire::aspnet;
use hubgate_wire::websocket::Frame;

use super::kept::{KeptAccount, KeptFrame};
use super::link_log::{Bound, Link, Room};
use crate::time::Millis;

/// How long a message is kept that was sent over a transport. A client misses keep-alives after 20 s at most, and tries to return for 30 s.
const KEPT_FOR: Millis = Millis(60_000);
/// What a log takes up for a frame that it keeps, which others may keep as well: a slot in a queue that doubles as it grows.
const SLOT: usize = 2 * size_of::<Entry>();
/// Another return is allowed after so long.
const RETURN_SHARE: Millis = Millis(100);
/// So many may come at once, in terms of that time.
const RETURN_BURST: Millis = Millis(5_000);

/// The messages of one client, whatever transports it has had.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Oldest first.
    kept: VecDeque<Entry>,
    /// What they take up, in bytes, as if nobody shared them.
    cost: usize,
    /// What is kept for all clients of the shard.
    account: KeptAccount,
    /// Until when the returns are paid for that it has had.
    returns_paid_until: Millis,
}

#[derive(Debug)]
struct Entry {
    frame: KeptFrame,
    /// When it was sent over a transport; None if the client had none.
    sent: Option<Millis>,
}

impl Replay {
    pub(crate) fn new(account: KeptAccount) -> Replay {
        Replay { kept: VecDeque::new(), cost: 0, account, returns_paid_until: Millis(0) }
    }

    /// Whether a frame has to be kept. The result of a call has no cursor, so nobody could tell later whether it has come.
    pub(super) fn keeps(&self, frame: &Frame, link: Link) -> bool {
        link == Link::Down || has_cursor(frame)
    }

    /// Keeps a frame. What was sent before makes room for it; what waits for the client does not.
    pub(super) fn send(&mut self, kept: &KeptFrame, Bound { limit, now, link }: Bound) -> Room {
        self.forget_old(now);
        let cost = kept.frame().cost() + SLOT;
        while self.cost + cost > limit
            && let Some(oldest) = self.kept.front()
        {
            if oldest.sent.is_none() {
                return Room::TooLittle;
            }
            self.forget_oldest();
        }
        self.cost += cost;
        self.account.add(SLOT);
        self.kept.push_back(Entry { frame: kept.clone(), sent: (link == Link::Up).then_some(now) });
        Room::Enough
    }

    /// The client returns: what it gets that it has not had, and it has had what was sent up to the message with this cursor. All that is kept came
    /// after one that is not known any longer.
    pub(super) fn after(&mut self, cursor: &str, now: Millis) -> Vec<Frame> {
        let has_cursor_of = |entry: &Entry| aspnet::cursor_of(&entry.frame.frame().payload()) == Some(cursor);
        if let Some(place) = self.kept.iter().rposition(has_cursor_of) {
            (0..=place).for_each(|_| self.forget_oldest());
        }
        let frames = self.kept.iter().map(|entry| entry.frame.frame().clone()).collect();
        self.returns_paid_until = self.returns_paid_until.max(now) + RETURN_SHARE;
        // They are sent now. Results are not sent once more.
        let (mut kept, mut dropped) = (VecDeque::with_capacity(self.kept.len()), 0);
        for entry in self.kept.drain(..) {
            match has_cursor(entry.frame.frame()) {
                true => kept.push_back(Entry { sent: Some(now), ..entry }),
                false => {
                    self.cost -= entry.frame.frame().cost() + SLOT;
                    dropped += 1;
                }
            }
        }
        self.kept = kept;
        self.account.subtract(dropped * SLOT);
        frames
    }

    /// Whether the client has not returned too often of late.
    pub(super) fn may_return(&self, now: Millis) -> bool {
        self.returns_paid_until < now + RETURN_BURST
    }

    /// Forgets what every client has had by now, or has given up.
    pub(super) fn forget_old(&mut self, now: Millis) {
        while let Some(Entry { sent: Some(sent), .. }) = self.kept.front()
            && *sent + KEPT_FOR <= now
        {
            self.forget_oldest();
        }
    }

    /// Forgets what was sent over a transport. Gives whether that was anything.
    pub(super) fn forget_sent(&mut self) -> bool {
        let before = self.kept.len();
        while self.kept.front().is_some_and(|oldest| oldest.sent.is_some()) {
            self.forget_oldest();
        }
        self.kept.len() < before
    }

    fn forget_oldest(&mut self) {
        if let Some(entry) = self.kept.pop_front() {
            self.cost -= entry.frame.frame().cost() + SLOT;
            self.account.subtract(SLOT);
        }
        if self.kept.is_empty() {
            // A burst may have made it large.
            self.kept.shrink_to(8);
        }
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn part(&self) -> usize {
        self.kept.iter().map(|entry| entry.frame.part()).sum()
    }

    pub(super) fn account(&self) -> &KeptAccount {
        &self.account
    }
}

fn has_cursor(frame: &Frame) -> bool {
    aspnet::cursor_of(&frame.payload()).is_some()
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.account.subtract(self.kept.len() * SLOT);
    }
}
