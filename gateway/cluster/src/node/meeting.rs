//! How a node meets others: who says who it is, who is known from then on, and who is so no longer.

use std::sync::Arc;

use bytes::Bytes;
use hubgate_core::OtherNode;
use hubgate_core::id::NodeId;
use hubgate_core::time::Millis;

use super::{Following, Node, Standing};
use crate::door::{Output, Report};
use crate::frame::{FrameKind, Hello, Knows, Versions};
use crate::incoming::IncomingStream;
use crate::peer::Peer;

/// Nodes that are gone and may come back, in number.
const MAX_GONE: usize = 1_024;
/// A node that was heard so lately is there: two beats.
const STILL_THERE: Millis = Millis(2_000);

/// A node that was known.
#[derive(Debug)]
pub(super) struct Gone {
    incarnation: u64,
    /// The last of its streams that was followed.
    last_stream: u32,
}

impl Node {
    /// What this node says of itself. `knows`: whether it knows the one that it says it to.
    pub(super) fn greeting(&self, knows: Knows) -> Bytes {
        let (shards, gateway) = (self.settings.shards, self.settings.version.clone());
        self.frame(FrameKind::Hello(Hello { shards, versions: Versions::OWN, gateway, knows }))
    }

    /// A frame came from a node with this one's id, as a rule from itself. Of two nodes with one id that which serves keeps it, because its
    /// connections are named by it, and the other one draws anew. If both serve already, both keep it and say so: somebody has to restart
    /// one of them.
    pub(super) fn heard_own_id(&mut self, incarnation: u64, kind: &FrameKind, now: Millis, outputs: &mut Vec<Output>) {
        if incarnation == self.settings.incarnation {
            self.heard_itself(now);
            return;
        }
        match (self.standing, kind) {
            (Standing::Left, _) => {}
            (Standing::Listening { .. }, _) if !self.serves => outputs.push(Output::IdTaken),
            // It comes, and is to hear that its id is taken.
            (Standing::Listening { .. } | Standing::Joined, FrameKind::Hello(_)) => self.next_beat = now,
            (Standing::Listening { .. } | Standing::Joined, _) => {
                if self.namesake.is_news(now) {
                    outputs.push(Output::Report(Report::IdShared(self.settings.node)));
                }
            }
        }
    }

    /// Whether a frame is of a node that has the id of another one, which is known and was heard of late. That one is not given up for it.
    pub(super) fn is_of_namesake(
        &mut self,
        from: NodeId,
        incarnation: u64,
        now: Millis,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let Some(peer) = self.others.get_mut(&from) else {
            return false;
        };
        let is_another = peer.incarnation != incarnation && peer.last_heard + STILL_THERE > now;
        if is_another && peer.namesake.is_news(now) {
            outputs.push(Output::Report(Report::IdShared(from)));
        }
        is_another
    }

    pub(super) fn greeted(
        &mut self,
        from: NodeId,
        incarnation: u64,
        hello: Hello,
        now: Millis,
        outputs: &mut Vec<Output>,
    ) {
        if Versions::OWN.common(hello.versions).is_none() {
            if self.strangers.is_news(from, now) {
                outputs.push(Output::Report(Report::Incompatible { node: from, version: hello.gateway }));
                // Its people hear of it, too.
                outputs.push(Output::Publish { to: from, frame: self.greeting(Knows::Already) });
            }
            return;
        }
        let knows = hello.knows;
        match self.others.contains_key(&from) {
            // It has lost what it knew of this node: that is told again from the beginning.
            true if knows == Knows::NotYet => self.reset(from, Following::Next, now, outputs),
            true => return,
            false => self.add(from, incarnation, hello, now, outputs),
        }
        if knows == Knows::NotYet {
            outputs.push(Output::Publish { to: from, frame: self.greeting(Knows::Already) });
        }
    }

    /// A node that is not known has said something: it is to say who it is, and to begin from the beginning.
    pub(super) fn greet_stranger(&mut self, from: NodeId, now: Millis, outputs: &mut Vec<Output>) {
        if self.strangers.are_to_be_greeted(from, now) {
            outputs.push(Output::Publish { to: from, frame: self.greeting(Knows::NotYet) });
        }
    }

    fn add(&mut self, node: NodeId, incarnation: u64, hello: Hello, now: Millis, outputs: &mut Vec<Output>) {
        let gone = self.gone.remove(&node).filter(|gone| gone.incarnation == incarnation);
        let incoming = IncomingStream::after(gone.map_or(0, |gone| gone.last_stream));
        self.strangers.forget(node);
        let version = hello.gateway.clone();
        let outgoing = self.new_stream(incarnation, incoming.ignores());
        self.others.insert(node, Peer::new((incarnation, hello), outgoing, incoming, now));
        outputs.push(self.nodes());
        outputs.push(Output::Report(Report::NodeJoined { node, version }));
        self.tell_all_known(node, now);
    }

    pub(super) fn nodes(&self) -> Output {
        let others = self.others.iter().map(|(id, peer)| OtherNode { id: *id, shards: peer.hello.shards });
        Output::Nodes(Arc::new(others.collect()))
    }

    pub(super) fn remove(&mut self, node: NodeId, report: Report, outputs: &mut Vec<Output>) {
        let Some(peer) = self.others.remove(&node) else {
            return;
        };
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_first();
        }
        self.gone.insert(node, Gone { incarnation: peer.incarnation, last_stream: peer.incoming.last() });
        // What waits for a node that has left is for nobody.
        if !matches!(report, Report::NodeLeft(_)) {
            self.counts.lost += peer.outgoing.unacknowledged();
        }
        outputs.extend([Output::Forget(node), Output::Broken(node), self.nodes(), Output::Report(report)]);
        self.settle_announcements(outputs);
    }
}
