//! What is kept for clients that may resume, on the account of all outboxes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use hubgate_core::{Input, MostKept};

use super::ShardThread;
use crate::outboxes::{Level, Outboxes, Part, Receiver};
use crate::slow::SlowReason;

/// Clients that are let go at once; whoever else has to go does so at the next tick.
const MOST_AT_ONCE: usize = 16;

/// The account of one shard.
#[derive(Debug)]
pub(super) struct Kept {
    /// Of the client for which most is kept, while much waits for all: it may be the one that goes.
    largest: RefCell<Part>,
    /// Of all others.
    rest: RefCell<Part>,
}

impl Kept {
    pub(super) fn new(outboxes: &Arc<Outboxes>) -> Kept {
        let part = || RefCell::new(outboxes.part(Receiver::Client));
        Kept { largest: part(), rest: part() }
    }

    /// What it counts now, in bytes.
    fn counted(&self) -> usize {
        self.largest.borrow().held() + self.rest.borrow().held()
    }

    /// `all` is kept, `part` of it for the one client for which most is kept: `kept` with what it shares with others.
    fn settle(&self, all: usize, (part, kept): (usize, usize)) {
        let rest = all.saturating_sub(part);
        // Nobody needs to be woken: it is looked at right away.
        let settle_largest = || self.largest.borrow_mut().settle(part, kept, Some(Waker::noop()));
        let is_rest_smaller = rest < self.rest.borrow().held();
        // What one gives to the other is not to count twice meanwhile: peers would be let go for it.
        if !is_rest_smaller {
            settle_largest();
        }
        self.rest.borrow_mut().settle(rest, rest, None);
        if is_rest_smaller {
            settle_largest();
        }
    }

    /// Whether the client with most is to go, which is asked for once.
    fn takes_verdict(&self) -> bool {
        let must_go = self.largest.borrow().must_go();
        if must_go {
            self.largest.borrow_mut().settle(0, 0, None);
        }
        must_go
    }
}

impl ShardThread {
    /// Counts what is kept now. Clients for which most is kept are let go when too much waits for all together.
    pub(super) fn settle_kept(self: &Rc<Self>) {
        let outboxes = &self.shared.outboxes;
        for _ in 0..MOST_AT_ONCE {
            let all = self.core.borrow().kept_for_resumes();
            let level = outboxes.level_with(self.kept.counted(), all);
            if all == 0 || level == Level::Little {
                return self.kept.settle(all, (0, 0));
            }
            // Before it is too much: whoever goes then, on whichever shard, is the one with most.
            let Some(MostKept { client, kept, part }) = self.core.borrow().most_kept_for_resumes() else { return };
            self.kept.settle(all, (part, kept));
            if level == Level::TooMuch {
                outboxes.relieve();
            }
            if !self.kept.takes_verdict() {
                return;
            }
            self.shared.metrics.slow_peer(SlowReason::Outboxes);
            self.feed(Input::KeepsTooMuch(client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn the_client_for_which_most_is_kept_goes_when_too_much_waits_for_all_and_more_than_for_any_peer() {
        let outboxes = Arc::new(Outboxes::new(100 * KIB));
        let kept = Kept::new(&outboxes);
        let mut peer = outboxes.part(Receiver::Client);
        peer.settle(50 * KIB, 50 * KIB, Some(Waker::noop()));
        kept.settle(40 * KIB, (0, 0));
        let level = |all: usize| outboxes.level_with(kept.counted(), all * KIB);
        assert_eq!([level(0), level(50), level(51)], [Level::Little, Level::Much, Level::TooMuch]);

        kept.settle(60 * KIB, (40 * KIB, 40 * KIB));
        outboxes.relieve();
        assert!(peer.must_go() && !kept.takes_verdict(), "more waits for the peer");

        drop(peer);
        kept.settle(120 * KIB, (60 * KIB, 60 * KIB));
        outboxes.relieve();
        assert_eq!([kept.takes_verdict(), kept.takes_verdict()], [true, false], "once");
        drop(kept);
        assert_eq!(outboxes.held(), 0);
    }

    #[test]
    fn nobody_goes_because_what_is_kept_moves_between_the_two_counts() {
        let outboxes = Arc::new(Outboxes::new(100 * KIB));
        let kept = Kept::new(&outboxes);
        let mut peer = outboxes.part(Receiver::Client);
        peer.settle(30 * KIB, 30 * KIB, Some(Waker::noop()));
        for largest in [0, 50, 10, 60, 0] {
            kept.settle(60 * KIB, (largest * KIB, largest * KIB));
            assert_eq!(outboxes.held(), 90 * KIB);
            assert!(!peer.must_go() && !kept.takes_verdict(), "{largest}");
        }
    }
}
