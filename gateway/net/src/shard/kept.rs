//! What is kept for clients that may resume, on the account of all outboxes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use hubgate_core::{Input, MostKept};

use super::ShardThread;
use crate::outboxes::{Outboxes, Part, Receiver};
use crate::slow::SlowReason;

/// Clients that are let go at once; whoever else has to go does so at the next tick.
const MOST_AT_ONCE: usize = 16;

/// The account of one shard.
#[derive(Debug)]
pub(super) struct Kept {
    /// Of the client for which most is kept, while too much waits for all: it may be the one that goes.
    largest: RefCell<Part>,
    /// Of all others.
    rest: RefCell<Part>,
}

impl Kept {
    pub(super) fn new(outboxes: &Arc<Outboxes>) -> Kept {
        let part = || RefCell::new(outboxes.part(Receiver::Client));
        Kept { largest: part(), rest: part() }
    }

    /// `all` is kept, `part` of it for the one client for which most is kept: `kept` with what it shares with others.
    fn settle(&self, all: usize, (part, kept): (usize, usize)) {
        let rest = all.saturating_sub(part);
        self.rest.borrow_mut().settle(rest, rest, None);
        // Nobody needs to be woken: it is looked at right away.
        self.largest.borrow_mut().settle(part, kept, Some(Waker::noop()));
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
            self.kept.settle(all, (0, 0));
            if !outboxes.hold_too_much() {
                return;
            }
            let Some(MostKept { client, kept, part }) = self.core.borrow().most_kept_for_resumes() else { return };
            self.kept.settle(all, (part, kept));
            outboxes.relieve();
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
        assert!(!outboxes.hold_too_much() && !kept.takes_verdict(), "all of it is allowed");

        kept.settle(60 * KIB, (40 * KIB, 40 * KIB));
        outboxes.relieve();
        assert!(outboxes.hold_too_much() && peer.must_go(), "more waits for the peer");
        assert!(!kept.takes_verdict());

        drop(peer);
        kept.settle(120 * KIB, (60 * KIB, 60 * KIB));
        outboxes.relieve();
        assert_eq!([kept.takes_verdict(), kept.takes_verdict()], [true, false], "once");
        drop(kept);
        assert_eq!(outboxes.held(), 0);
    }
}
