//! Peers that take too little of what waits for them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::outbox::Flow;
use crate::settings::Timeouts;

/// How often within its time-outs a stalled peer is looked at.
const LOOKS: u32 = 16;
/// How many points in time are remembered of a peer that takes something, but too little.
const MAX_MARKS: u32 = 64;

/// Makes the reasons, the list of them and their keys one table, so that none is missing from the list.
macro_rules! slow_reasons {
    ($($(#[$doc:meta])* $reason:ident = $key:literal,)+) => {
        /// By which limit a peer was too slow.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum SlowReason {
            $($(#[$doc])* $reason,)+
        }

        impl SlowReason {
            pub(crate) const ALL: &[SlowReason] = &[$(SlowReason::$reason),+];

            /// The limit's key in the configuration.
            pub(crate) fn key(self) -> &'static str {
                match self {
                    $(SlowReason::$reason => $key,)+
                }
            }
        }
    };
}

slow_reasons! {
    /// More waited for a client than it may.
    Outbox = "server.limits.outbox",
    /// More waited for a hub server than it may.
    ServerOutbox = "server.limits.server-outbox",
    /// More waited for all peers together than may, and most for this one.
    Outboxes = "server.limits.outboxes",
    /// It took nothing for too long.
    Write = "server.timeouts.write",
    /// A message waited for too long.
    Wait = "server.timeouts.outbox",
}

/// Watches whether a peer takes what waits for it.
#[derive(Debug, Default)]
pub(crate) struct StallWatch {
    /// While it cannot take all of it. Boxed: most peers never stall.
    stall: Option<Box<Stall>>,
}

impl StallWatch {
    /// Ready when the peer has been too slow. `blocked` is what has passed through its queue until now, if it cannot take
    /// the rest.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        blocked: Option<Flow>,
        timeouts: &Timeouts,
    ) -> Poll<SlowReason> {
        let Some(flow) = blocked else {
            self.stall = None;
            return Poll::Pending;
        };
        self.stall.get_or_insert_with(|| Box::new(Stall::new(flow))).poll(cx, flow, timeouts)
    }

    /// Nothing passes for another reason than the peer: its times begin now.
    pub(crate) fn begin_anew(&mut self) {
        if let Some(stall) = &mut self.stall {
            stall.still_since = Instant::now();
            stall.marks.clear();
        }
    }
}

/// How long a peer has been unable to take all that waits for it.
#[derive(Debug)]
struct Stall {
    next_look: Pin<Box<Sleep>>,
    /// The bytes that it had taken when it was looked at last.
    bytes: u64,
    /// Since when it has taken none.
    still_since: Instant,
    /// Messages by when they were there at the latest: those up to a number of [`Flow::queued`] since a point in time.
    marks: VecDeque<(u64, Instant)>,
}

impl Stall {
    /// Begins with a peer that cannot take all of what has been queued until now.
    fn new(flow: Flow) -> Stall {
        let now = Instant::now();
        Stall {
            next_look: Box::pin(tokio::time::sleep_until(now)),
            bytes: flow.bytes,
            still_since: now,
            marks: VecDeque::new(),
        }
    }

    /// Ready when it has been too slow. `flow` is what has passed through its queue until now.
    fn poll(&mut self, cx: &mut Context<'_>, flow: Flow, timeouts: &Timeouts) -> Poll<SlowReason> {
        while self.next_look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(reason) = self.look(flow, timeouts, now) {
                return Poll::Ready(reason);
            }
            self.next_look.as_mut().reset(now + timeouts.write.min(timeouts.outbox) / LOOKS);
        }
        Poll::Pending
    }

    fn look(&mut self, flow: Flow, timeouts: &Timeouts, now: Instant) -> Option<SlowReason> {
        if flow.bytes != self.bytes {
            (self.bytes, self.still_since) = (flow.bytes, now);
        }
        while self.marks.front().is_some_and(|(message, _)| *message <= flow.left) {
            self.marks.pop_front();
        }
        let is_due =
            |(message, at): &(u64, Instant)| *message < flow.queued && now - *at >= timeouts.outbox / MAX_MARKS;
        if self.marks.back().is_none_or(is_due) {
            self.marks.push_back((flow.queued, now));
        }
        if now - self.still_since >= timeouts.write {
            return Some(SlowReason::Write);
        }
        let oldest = self.marks.front().map_or(Duration::ZERO, |(_, at)| now - *at);
        (oldest >= timeouts.outbox).then_some(SlowReason::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timeouts(write: u32, outbox: u32) -> Timeouts {
        let (header, body) = (SECOND, SECOND);
        Timeouts { header, body, write: write * SECOND, outbox: outbox * SECOND }
    }

    /// What is found when a peer is looked at each second, and has taken as much as `flow` says of that second.
    fn found(timeouts: &Timeouts, flow: impl Fn(u64) -> Flow) -> Option<(u64, SlowReason)> {
        let start = Instant::now();
        let mut stall = Stall {
            next_look: Box::pin(tokio::time::sleep_until(start)),
            bytes: 0,
            still_since: start,
            marks: VecDeque::new(),
        };
        let look = |second| Some((second, stall.look(flow(second), timeouts, start + second as u32 * SECOND)?));
        (0..200).find_map(look)
    }

    #[tokio::test]
    async fn who_takes_no_byte_is_given_up_after_the_time_for_a_write() {
        let flow = |_| Flow { queued: 1, left: 0, bytes: 0 };
        assert_eq!(found(&timeouts(10, 60), flow), Some((10, SlowReason::Write)));
    }

    #[tokio::test]
    async fn a_message_that_takes_its_time_is_given_up_after_the_time_for_a_message() {
        let flow = |second| Flow { queued: 1, left: 0, bytes: second };
        assert_eq!(found(&timeouts(10, 60), flow), Some((60, SlowReason::Wait)));
    }

    #[tokio::test]
    async fn the_times_of_a_peer_to_which_nothing_passes_begin_when_it_does() {
        let (timeouts, start, flow) = (timeouts(10, 15), Instant::now(), Flow { queued: 1, left: 0, bytes: 0 });
        let mut watch = StallWatch { stall: Some(Box::new(Stall::new(flow))) };
        let look = |watch: &mut StallWatch, second: u32| {
            watch.stall.as_mut().expect("it is stalled").look(flow, &timeouts, start + second * SECOND)
        };
        let long_ago = start.checked_sub(60 * SECOND).expect("the machine runs for a minute");
        let stall = watch.stall.as_mut().expect("it is stalled");
        (stall.still_since, stall.marks) = (long_ago, VecDeque::from([(1, long_ago)]));
        watch.begin_anew();
        assert_eq!(look(&mut watch, 5), None);
        assert_eq!(look(&mut watch, 11), Some(SlowReason::Write));
    }

    #[tokio::test]
    async fn each_message_has_its_own_time() {
        // A message a second, each of which leaves after fifty more.
        let flow = |second: u64| Flow { queued: second + 1, left: second.saturating_sub(50), bytes: second };
        assert_eq!(found(&timeouts(10, 60), flow), None);
        let slower = |second: u64| Flow { queued: second + 1, left: second.saturating_sub(70), bytes: second };
        assert_eq!(found(&timeouts(10, 60), slower), Some((60, SlowReason::Wait)));
    }

    #[tokio::test]
    async fn few_points_in_time_are_remembered_however_long_a_message_may_wait() {
        let mut stall = Stall::new(Flow::default());
        let timeouts = timeouts(10, 86_400);
        for second in 0..80_000 {
            let now = stall.still_since.max(Instant::now()) + SECOND;
            let flow = Flow { queued: second, left: 0, bytes: second };
            assert_eq!(stall.look(flow, &timeouts, now), None);
            assert!(stall.marks.len() <= MAX_MARKS as usize + 1);
        }
    }
}
