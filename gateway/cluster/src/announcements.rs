//! What shards have announced and wait for until all others know it.

use std::collections::VecDeque;

use hubgate_core::id::{HubName, NodeId, ShardIndex};

use crate::outgoing::Position;

/// Announcements that somebody waits for, in their order.
#[derive(Debug, Default)]
pub(crate) struct Announcements(VecDeque<Announcement>);

#[derive(Debug)]
struct Announcement {
    shard: ShardIndex,
    hub: HubName,
    /// Where it is on its way to each of the others.
    places: Vec<(NodeId, Position)>,
}

impl Announcements {
    pub(crate) fn add(&mut self, shard: ShardIndex, hub: HubName, places: Vec<(NodeId, Position)>) {
        self.0.push_back(Announcement { shard, hub, places });
    }

    /// A node is told all anew, and has heard of these with what is at `place`.
    pub(crate) fn told_anew(&mut self, node: NodeId, place: Position) {
        for Announcement { places, .. } in &mut self.0 {
            places.retain(|(each, _)| *each != node);
            places.push((node, place));
        }
    }

    /// Tells of those that have arrived, each after those before it.
    pub(crate) fn settle(
        &mut self,
        is_on_its_way: impl Fn(NodeId, Position) -> bool,
        mut tell: impl FnMut(ShardIndex, HubName),
    ) {
        while let Some(Announcement { places, .. }) = self.0.front()
            && !places.iter().any(|(node, place)| is_on_its_way(*node, *place))
            && let Some(Announcement { shard, hub, .. }) = self.0.pop_front()
        {
            tell(shard, hub);
        }
    }
}
