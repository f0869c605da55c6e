//! Nodes of which something is heard, and which are not known.

use std::collections::BTreeMap;

use hubgate_core::id::NodeId;
use hubgate_core::time::Millis;

/// How often one may be greeted.
const GREET_AFTER: Millis = Millis(500);
/// How long one is remembered.
const FORGET_AFTER: Millis = Millis(600_000);
/// How many are remembered. More are neither greeted nor told of.
const MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Strangers(BTreeMap<NodeId, Stranger>);

#[derive(Debug)]
struct Stranger {
    since: Millis,
    greeted: Option<Millis>,
    /// It cannot be known, and people know that.
    is_reported: bool,
}

impl Strangers {
    /// Whether one is to be greeted that has said something: so it is now and then.
    pub(crate) fn are_to_be_greeted(&mut self, node: NodeId, now: Millis) -> bool {
        let Some(stranger) = self.remember(node, now) else {
            return false;
        };
        let is_due = stranger.greeted.is_none_or(|greeted| greeted + GREET_AFTER <= now);
        if is_due {
            stranger.greeted = Some(now);
        }
        is_due
    }

    /// Whether people are to hear that one cannot be known: so it is once.
    pub(crate) fn is_news(&mut self, node: NodeId, now: Millis) -> bool {
        let stranger = self.remember(node, now);
        stranger.is_some_and(|stranger| !std::mem::replace(&mut stranger.is_reported, true))
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    fn remember(&mut self, node: NodeId, now: Millis) -> Option<&mut Stranger> {
        if self.0.len() >= MAX && !self.0.contains_key(&node) {
            self.0.retain(|_, stranger| stranger.since + FORGET_AFTER > now);
        }
        let has_room = self.0.len() < MAX || self.0.contains_key(&node);
        let new = Stranger { since: now, greeted: None, is_reported: false };
        has_room.then(|| self.0.entry(node).or_insert(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_greeted_now_and_then_and_reported_once() {
        let mut strangers = Strangers::default();
        let greeted: Vec<bool> =
            [0, 100, 499, 500, 900, 1_000].map(|now| strangers.are_to_be_greeted(NodeId(1), Millis(now))).into();
        assert_eq!(greeted, [true, false, false, true, false, true]);
        assert_eq!([0, 1, 2].map(|now| strangers.is_news(NodeId(1), Millis(now))), [true, false, false]);
    }

    #[test]
    fn no_more_are_remembered_than_the_bound_and_old_ones_make_room() {
        let mut strangers = Strangers::default();
        for node in 0..MAX as u32 {
            assert!(strangers.is_news(NodeId(node), Millis(u64::from(node))));
        }
        let one_more = NodeId(u32::MAX);
        assert!(!strangers.is_news(one_more, Millis(2_000)) && !strangers.are_to_be_greeted(one_more, Millis(2_000)));
        assert!(strangers.is_news(one_more, FORGET_AFTER), "the first one is forgotten");
        assert_eq!(strangers.0.len(), MAX);
    }
}
