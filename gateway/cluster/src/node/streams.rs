//! What passes between a node and another one that it knows: what is told anew when something of it may be lost, and what comes.

use bytes::Bytes;
use hubgate_core::id::NodeId;
use hubgate_core::time::Millis;

use super::Node;
use crate::codec::{Item, ItemError};
use crate::door::{Output, Report};
use crate::frame::{Again, Data, FrameKind, Knows};
use crate::incoming::{Arrived, Beginning, IncomingStream};
use crate::outgoing::OutgoingStream;

/// What a frame may take up before anybody has said it, in bytes.
const SMALLEST_FRAME: usize = 4 << 10;

/// Which stream of a node is followed after what was between the two is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Following {
    /// That which it has begun.
    This,
    /// The one that it begins next.
    Next,
}

impl Node {
    /// A stream to a node of the incarnation `to`, whose streams up to `ignores` are not followed.
    pub(super) fn new_stream(&mut self, to: u64, ignores: u32) -> OutgoingStream {
        let number = self.next_stream;
        self.next_stream += 1;
        OutgoingStream::new(number, (to, ignores), self.transport.max_frame().unwrap_or(0).max(SMALLEST_FRAME))
    }

    /// Begins a stream with what this node knows, which the other one has to know before all that follows.
    pub(super) fn tell_all_known(&mut self, node: NodeId, now: Millis) {
        let known = self.directory.snapshot_of(self.settings.node).into_iter();
        let known =
            known.chain(self.directory.memberships_snapshot()).map(|(hub, change)| Item::Change { hub, change });
        let Some(peer) = self.others.get_mut(&node) else {
            return;
        };
        for item in known {
            peer.outgoing.push(item.encode(), now);
        }
        let place = peer.outgoing.push(Item::Complete.encode(), now);
        self.announcements.told_anew(node, place);
    }

    /// What was said to a node, or what it has said, may be lost: both begin anew, and what was begun between the two is over. What is known of it
    /// stays until it is told anew, so that what is sent to its clients meanwhile goes to them.
    pub(super) fn reset(&mut self, node: NodeId, following: Following, now: Millis, outputs: &mut Vec<Output>) {
        let Some(peer) = self.others.get_mut(&node) else {
            return;
        };
        if following == Following::Next {
            peer.incoming = IncomingStream::after(peer.incoming.last());
            peer.tells_anew = true;
        }
        let (incarnation, ignores) = (peer.incarnation, peer.incoming.ignores());
        let outgoing = self.new_stream(incarnation, ignores);
        let Some(peer) = self.others.get_mut(&node) else {
            return;
        };
        let before = std::mem::replace(&mut peer.outgoing, outgoing);
        peer.is_complete = false;
        // One that is not reached is told when it is.
        peer.is_waiting = !self.transport.is_up();
        let is_reached = !peer.is_waiting;
        let messages = before.unacknowledged();
        self.counts.lost += messages;
        outputs.extend([Output::Broken(node), self.nodes()]);
        if messages > 0 {
            outputs.push(Output::Report(Report::MessagesLost { node, messages }));
        }
        if is_reached {
            self.tell_all_known(node, now);
        }
        self.settle_announcements(outputs);
    }

    pub(super) fn data(&mut self, from: NodeId, data: Data, now: Millis, outputs: &mut Vec<Output>) {
        let Some(peer) = self.others.get_mut(&from) else {
            return;
        };
        let (stream, to) = (data.stream, peer.incarnation);
        let is_ignored = data.ignores >= peer.outgoing.number();
        match peer.incoming.receive(data) {
            Arrived::Items { beginning, items } => {
                peer.has_received(&items);
                let begins_anew = beginning == Beginning::Anew || std::mem::take(&mut peer.tells_anew);
                if begins_anew {
                    peer.is_complete = false;
                    outputs.push(Output::Forget(from));
                }
                if is_ignored {
                    self.reset(from, Following::This, now, outputs);
                } else if begins_anew {
                    outputs.extend([Output::Broken(from), self.nodes()]);
                }
                for item in items {
                    self.item(from, &item, outputs);
                }
            }
            Arrived::Known if is_ignored => self.reset(from, Following::This, now, outputs),
            // Its acknowledgement may be lost.
            Arrived::Known => peer.acknowledge_soon(),
            Arrived::Early => {
                if let Some((stream, sequence)) = peer.incoming.ask_again(stream, now) {
                    let frame = self.frame(FrameKind::Again(Again { stream, to, from: sequence }));
                    outputs.push(Output::Publish { to: from, frame });
                }
            }
            Arrived::Misbehaved => {
                self.counts.unreadable += 1;
                self.reset(from, Following::Next, now, outputs);
                outputs.push(Output::Publish { to: from, frame: self.greeting(Knows::NotYet) });
            }
        }
    }

    fn item(&mut self, from: NodeId, bytes: &Bytes, outputs: &mut Vec<Output>) {
        self.counts.received += 1;
        let Some(peer) = self.others.get_mut(&from) else {
            return;
        };
        match Item::decode(bytes) {
            Ok(Item::Envelope(envelope)) if envelope.from.node == from => outputs.push(Output::Deliver(envelope)),
            Ok(Item::Tunnel(message)) if message.from.node == from => outputs.push(Output::Tunnel(message)),
            Ok(Item::Sends(sends)) if sends.from.node == from => {
                outputs.extend(sends.into_envelopes().map(Output::Deliver));
            }
            Ok(Item::Envelope(_) | Item::Tunnel(_) | Item::Sends(_)) => self.counts.unreadable += 1,
            Ok(Item::Change { hub, change }) => {
                peer.acknowledge_soon();
                outputs.push(Output::Apply { hub, change });
            }
            Ok(Item::Complete) => {
                peer.acknowledge_soon();
                peer.is_complete = true;
            }
            Err(ItemError::UnknownKind { .. }) => self.counts.unknown += 1,
            Err(ItemError::Malformed) => self.counts.unreadable += 1,
        }
    }
}
